package asterisk_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// Gone and not permitted are the same words. What tells them apart is the id
// that the answer sets.
func TestASessionThatIsGoneIsDistinguishedFromAnActionThatIsNotPermitted(t *testing.T) {
	for name, tt := range map[string]struct {
		meanwhile func(*testing.T, simulation, *pbx.Token)
		action    string
		want      error
	}{
		"a permitted action":       {nil, "ListCommands", nil},
		"one that is not":          {nil, "Command", pbx.ErrForbidden},
		"one that there is not":    {nil, "Nonsense", errNoKind},
		"after a restart":          {func(_ *testing.T, s simulation, _ *pbx.Token) { s.Restart() }, "ListCommands", pbx.ErrTokenRejected},
		"not permitted, and gone":  {func(_ *testing.T, s simulation, _ *pbx.Token) { s.Restart() }, "Command", pbx.ErrTokenRejected},
		"nonsense, and gone":       {func(_ *testing.T, s simulation, _ *pbx.Token) { s.Restart() }, "Nonsense", pbx.ErrTokenRejected},
		"after its life":           {func(*testing.T, simulation, *pbx.Token) { time.Sleep(time.Minute) }, "ListCommands", pbx.ErrTokenRejected},
		"at the end of its life":   {func(*testing.T, simulation, *pbx.Token) { time.Sleep(time.Minute - time.Nanosecond) }, "ListCommands", nil},
		"after a changed password": {func(_ *testing.T, s simulation, _ *pbx.Token) { s.SetPassword(user, "another") }, "ListCommands", nil},
		"after its logout": {func(t *testing.T, s simulation, token *pbx.Token) {
			if err := s.Driver.Logout(t.Context(), token); err != nil {
				t.Error(err)
			}
		}, "ListCommands", pbx.ErrTokenRejected},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
				token := s.Login(t)
				if tt.meanwhile != nil {
					tt.meanwhile(t, s, token)
				}
				_, err := act(t, s.Driver, token, "Action="+tt.action)
				switch {
				case tt.want == nil && err != nil:
					t.Error(err)
				case tt.want == nil:
				case tt.want == errNoKind:
					if got := failure(t, err); got.Kind != nil || !strings.Contains(got.Message, "Invalid/unknown command: Nonsense") {
						t.Errorf("%v", err)
					}
				case failure(t, err).Kind != tt.want:
					t.Errorf("%v, want %v", err, tt.want)
				}
			})
		})
	}
}

var errNoKind = &pbx.Error{Message: "of no kind"}

// Without a cookie in the response, a session that is gone cannot be told from an
// action that is not permitted, and a wrong alarm would cost a login.
func TestWithoutACookieNoSessionIsGivenUp(t *testing.T) {
	resp := &http.Response{StatusCode: 200, Header: http.Header{}}
	token := &pbx.Token{Value: pbx.NewSecret("0badcafe")}
	if got := failure(t, on(t, drivertest.Unsent{T: t}).Inspect(resp, []byte(refused("Permission denied")), token)); got.Kind != pbx.ErrForbidden {
		t.Errorf("a response without a cookie: %v", got)
	}
}

// A Ping needs no permission. For a session that is not logged in, such as that
// of an earlier error, it is refused with the id that was sent.
func TestARefusedPingIsASessionThatIsGone(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		resp, err := s.Server.Client().Post(s.Server.URL+"/rawman", "application/x-www-form-urlencoded", strings.NewReader("Action=Ping"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		stray := &pbx.Token{Value: pbx.NewSecret(resp.Cookies()[0].Value)}
		if _, err := s.Driver.KeepAlive(t.Context(), stray); failure(t, err).Kind != pbx.ErrTokenRejected {
			t.Errorf("%v", err)
		}
	})
}

func TestALifetimeIsReadFromMaxAge(t *testing.T) {
	for _, life := range []time.Duration{time.Second, 20 * time.Second, time.Minute, time.Hour} {
		simulate(t, asterisksim.Options{}, pbxsim.Options{Lifetime: life}, nil, func(t *testing.T, s simulation) {
			start := time.Now()
			token := s.Login(t)
			if !token.IssuedAt.Equal(start) || !token.ExpiresAt.Equal(start.Add(life)) {
				t.Errorf("%s: from %s to %s", life, token.IssuedAt, token.ExpiresAt)
			}
			time.Sleep(life / 2)
			kept, err := s.Driver.KeepAlive(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			want := &pbx.Token{Value: token.Value, IssuedAt: time.Now(), ExpiresAt: time.Now().Add(life)}
			if diff := cmp.Diff(want, kept); diff != "" {
				t.Errorf("%s: kept alive (-want +got):\n%s", life, diff)
			}
		})
	}
}

func TestAMaxAgeThatSaysNothingIsTheUsualMinute(t *testing.T) {
	for cookie, want := range map[string]time.Duration{
		`mansession_id="1c6c9072"; Version=1; Max-Age=60`:                   time.Minute,
		`mansession_id=1c6c9072; Max-Age=120`:                               2 * time.Minute,
		`Mansession_ID="1c6c9072"; max-age=120`:                             2 * time.Minute,
		`mansession_id="1c6c9072"; Version=1`:                               time.Minute,
		`mansession_id="1c6c9072"; Version=1; Max-Age=0`:                    time.Minute,
		`mansession_id="1c6c9072"; Version=1; Max-Age=-5`:                   time.Minute,
		`mansession_id="1c6c9072"; Version=1; Max-Age=soon`:                 time.Minute,
		`mansession_id="1c6c9072"; Version=1; Max-Age=99999999999999999999`: time.Minute,
		`mansession_id="1c6c9072"; Version=1; Max-Age=9000000000000000000`:  (1<<31 - 1) * time.Second,
	} {
		server := withCookie{drivertest.Responses(drivertest.Response{Body: challenged}, drivertest.Response{Body: accepted, Header: http.Header{"Set-Cookie": {cookie}}})}
		token, err := on(t, server).Login(t.Context())
		if err != nil {
			t.Errorf("%s: %v", cookie, err)
			continue
		}
		if got := token.ExpiresAt.Sub(token.IssuedAt); got != want || token.Value.Reveal() != "1c6c9072" {
			t.Errorf("%s: a life of %s and the id %q, want %s", cookie, got, token.Value.Reveal(), want)
		}
	}
}

func TestAResponseWithoutASessionsCookieIsNoLogin(t *testing.T) {
	for _, cookie := range []string{`mansession_id=""; Version=1; Max-Age=60`, "PHPSESSID=1c6c9072", "mansession_id", `mansession_id="1c 6c"`} {
		for step, responses := range map[string][]drivertest.Response{
			"Challenge": {{Body: challenged, Header: http.Header{"Set-Cookie": {cookie}}}},
			"Login":     {{Body: challenged}, {Body: accepted, Header: http.Header{"Set-Cookie": {cookie}}}},
		} {
			token, err := on(t, withCookie{drivertest.Responses(responses...)}).Login(t.Context())
			if token != nil || failure(t, err).Kind != pbx.ErrProtocol || !strings.Contains(err.Error(), "cookie") {
				t.Errorf("%s with %s: %v, %v", step, cookie, token, err)
			}
		}
	}
}

func TestALogoutIsAGoodbyeWhateverTheSession(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		for range 3 {
			if err := s.Driver.Logout(t.Context(), token); err != nil {
				t.Error(err)
			}
		}
		if live := s.Tokens(user); live != nil {
			t.Errorf("%d sessions live on", len(live))
		}
	})
	server := withCookie{drivertest.Bodies("Response: Success\r\nPing: Pong\r\n\r\n")}
	if err := on(t, server).Logout(t.Context(), &pbx.Token{Value: pbx.NewSecret("1c6c9072")}); failure(t, err).Kind != pbx.ErrProtocol {
		t.Errorf("a logout that is no Goodbye: %v", err)
	}
}

// Every request that carries the cookie gives the session its life back, also
// one that is refused.
func TestTrafficKeepsASessionAlive(t *testing.T) {
	for _, action := range []string{"ListCommands", "Command", "Nonsense", "Challenge"} {
		simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
			token := s.Login(t)
			for range 5 {
				time.Sleep(50 * time.Second)
				act(t, s.Driver, token, "AuthType=MD5&Action="+action)
			}
			if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil {
				t.Errorf("after 250 s with %s: %v", action, err)
			}
		})
	}
}

// withARI is an Asterisk with ARI at the same address, which does not look at the cookie.
type withARI struct{ http.RoundTripper }

func (w withARI) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Path, "/ari/") {
		return drivertest.Body(`{"system":{"version":"22.10.1"}}`).RoundTrip(r)
	}
	return w.RoundTripper.RoundTrip(r)
}

// The session of a program that only asks the neighbours is kept alive by Pings.
func TestANeighbourDoesNotKeepASessionAlive(t *testing.T) {
	change := func(c *asterisk.Config) { c.Transport = withARI{c.Transport} }
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, change, func(t *testing.T, s simulation) {
		kept := s.Session()
		defer kept.Close(t.Context())
		for range 30 {
			token, err := kept.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if live := s.Tokens(user); len(live) != 1 || live[0] != token.Value.Reveal() {
				t.Fatalf("after %s the session hands out a token that has ended: %s", time.Since(token.IssuedAt), kept.Status())
			}
			resp, err := kept.Client().Get(s.Server.URL + "/ari/asterisk/info")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			time.Sleep(20 * time.Second)
		}
	})
}

func TestASessionLosesNothingWhenAsteriskRestarts(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
		defer kept.Close(context.Background())
		call := func(form string) string {
			t.Helper()
			resp, err := kept.Client().Post(s.Server.URL+"/rawman", "application/x-www-form-urlencoded", strings.NewReader(form))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			return string(body)
		}
		call("Action=ListCommands")
		s.Restart()
		if got := call("Action=ListCommands"); !strings.HasPrefix(got, "Response: Success\r\n") {
			t.Errorf("after the restart: %s", got)
		}
		if counts := s.Counts(); counts.Logins != 2 {
			t.Errorf("%d logins, want 2", counts.Logins)
		}
		// The application's own trouble is its own, and costs no login.
		if got := call("Action=Command"); got != refused("Permission denied") {
			t.Errorf("%s", got)
		}
		if counts := s.Counts(); counts.Logins != 2 {
			t.Errorf("%d logins after an action that is not permitted, want 2", counts.Logins)
		}
	})
}

func TestASessionIsPingedAboutTwiceALife(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{Lifetime: 20 * time.Second}, nil, func(t *testing.T, s simulation) {
		kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
		defer kept.Close(context.Background())
		time.Sleep(20 * time.Minute)
		counts := s.Counts()
		if counts.Logins != 1 || counts.RefusedTokens != 0 || counts.KeepAlives < 60 || counts.KeepAlives > 120 {
			t.Errorf("%d logins, %d pings, %d refused: want one login, and one or two pings in each of 60 lives", counts.Logins, counts.KeepAlives, counts.RefusedTokens)
		}
	})
}

func TestManyRequestsAtOnceShareASession(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		done := make(chan error)
		for range 20 {
			go func() {
				_, err := s.Driver.KeepAlive(t.Context(), token)
				done <- err
			}()
		}
		for range 20 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// fail2ban counts a line for its findtime, ten minutes by default. So a wrong account
// that logs in first keeps the others out for no longer, and no jail with fail2ban's own
// maxretry bans.
func TestAWrongAccountThatLogsInFirstKeepsTheOthersOutForAsLongAsFail2banCounts(t *testing.T) {
	accounts := map[string]string{"900": secret, "901": secret, "902": secret}
	drivertest.InMemory(t, func() *pbxsim.PBX {
		return asterisksim.New(&asterisksim.Options{}, &pbxsim.Options{Accounts: accounts, Lockout: pbxsim.Lockout{After: 5}})
	}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		m := session.NewManager(&session.Options{Guard: new(session.Guard)})
		defer m.Close(t.Context())
		add := func(name, secret string) *session.Session {
			driver, err := asterisk.New(asterisk.Config{Config: pbx.Config{URL: s.URL, Username: name, Password: pbx.NewSecret(secret), Transport: s.Client().Transport}})
			if err != nil {
				t.Fatal(err)
			}
			added, err := m.Add(name, driver)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			return added
		}
		add("nobody", "wrong")
		var good []*session.Session
		for id := range accounts {
			good = append(good, add(id, secret))
		}
		time.Sleep(10 * time.Minute)
		for _, s := range good {
			if got := s.Status(); got.State != session.Live {
				t.Errorf("%s", got)
			}
		}
		add("nobody2", "wrong")
		add("nobody3", "wrong")
		time.Sleep(24 * time.Hour)
		if got := p.Counts(); got.Locks != 0 || got.WrongLogins != 3 {
			t.Errorf("%+v", got)
		}
	})
}
