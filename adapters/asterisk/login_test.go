package asterisk_test

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
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
)

func TestALoginIsAChallengeAndItsResponse(t *testing.T) {
	server := withCookie{drivertest.Bodies(challenged, accepted)}
	token, err := on(t, server).Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if token.Value.Reveal() != "1c6c9072" {
		t.Errorf("token %q, want the session's id", token.Value.Reveal())
	}
	want := []string{
		"Action=Challenge&AuthType=MD5",
		fmt.Sprintf("Action=Login&AuthType=MD5&Key=%x&Username=crm", md5.Sum([]byte("325310457"+secret))),
	}
	if diff := cmp.Diff(want, server.SentBodies()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

// A query is in proxies' logs, and an old cookie would make a success of any
// login.
func TestALoginHasNoQueryAndNoOldCookie(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		for range 2 {
			s.Login(t)
		}
		for _, record := range s.Log() {
			if record.Method != "POST" || record.Path != "/rawman" || record.RawQuery != "" {
				t.Errorf("%s %s?%s", record.Method, record.Path, record.RawQuery)
			}
			if record.Action == asterisksim.Challenge && record.Header.Get("Cookie") != "" {
				t.Errorf("a challenge is asked for with the cookie %q", record.Header.Get("Cookie"))
			}
			if strings.Contains(string(record.Body), "s3cret") {
				t.Errorf("the secret travels: %s", record.Body)
			}
		}
		if live := s.Tokens(user); len(live) != 2 {
			t.Errorf("%d sessions, want one for each login", len(live))
		}
	})
}

// A login with the cookie of a live session succeeds with any user and any
// secret. A driver whose Transport adds one must not believe it.
func TestACookieOfTheApplicationsTransportProvesNothing(t *testing.T) {
	jar := map[string]func(*asterisk.Config, string){
		"a transport": func(c *asterisk.Config, id string) {
			c.Transport = adding{c.Transport, id}
		},
	}
	for name, add := range jar {
		t.Run(name, func(t *testing.T) {
			simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
				live := s.Login(t)
				cfg := asterisk.Config{Config: pbx.Config{URL: s.Server.URL, Username: user, Password: pbx.NewSecret("wrong"), Transport: s.Server.Client().Transport}}
				add(&cfg, live.Value.Reveal())
				driver, err := asterisk.New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				token, err := driver.Login(t.Context())
				if err == nil || token != nil {
					t.Errorf("a wrong secret is accepted: %v", token)
				}
			})
		})
	}
}

func TestAlreadyAuthenticatedIsNoLogin(t *testing.T) {
	server := withCookie{drivertest.Bodies(challenged, "Response: Success\r\nMessage: Already authenticated\r\n\r\n")}
	token, err := on(t, server).Login(t.Context())
	if got := failure(t, err); token != nil || got.Kind != pbx.ErrProtocol || !strings.Contains(got.Message, "did not look at the secret") {
		t.Errorf("%v, %v", token, err)
	}
}

func TestASessionThatIsNotLoggedInIsValidForFiveSeconds(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		s.Fault(pbxsim.Fault{On: asterisksim.Challenge, Delay: 4 * time.Second})
		s.Login(t)
		s.Fault(pbxsim.Fault{On: asterisksim.Challenge, Delay: 5 * time.Second})
		if _, err := s.Driver.Login(t.Context()); failure(t, err).Kind != pbx.ErrUnavailable || failure(t, err).Sent || s.Counts().Logins != 1 {
			t.Errorf("%v, want no login after the challenge has ended", err)
		}
		s.Fault(pbxsim.Fault{On: pbxsim.Login, Late: 6 * time.Second})
		if _, err := s.Driver.Login(t.Context()); failure(t, err).Kind != pbx.ErrUnavailable || s.Counts().WrongLogins != 1 {
			t.Errorf("%v, want no verdict on a key without a challenge", err)
		}
	})
}

// fail2ban reads the log, where a login whose challenge had expired is a wrong one.
func TestAnAsteriskTooSlowForItsChallengesIsNoLockout(t *testing.T) {
	banned := pbxsim.Lockout{After: 3, For: 10 * time.Minute, Memory: pbxsim.Forever, Reset: pbxsim.Nothing, Weight: 1}
	simulate(t, asterisksim.Options{}, pbxsim.Options{Lockout: banned}, nil, func(t *testing.T, s simulation) {
		live := s.Session()
		defer live.Close(t.Context())
		token, err := live.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Fault(pbxsim.Fault{On: asterisksim.Challenge, Delay: 6 * time.Second, Times: -1})
		s.Restart()
		live.Invalidate(token)
		time.Sleep(time.Hour)
		if c := s.Counts(); c.WrongLogins != 0 || c.Locks != 0 {
			t.Errorf("%d logins without a challenge, %d bans", c.WrongLogins, c.Locks)
		}
		s.ClearFaults()
		time.Sleep(time.Minute)
		if _, err := live.Token(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestEveryRefusedLoginTakesASecondAndIsSentOnce(t *testing.T) {
	for name, change := range map[string]func(*asterisk.Config){
		"a wrong secret":           func(c *asterisk.Config) { c.Password = pbx.NewSecret("wrong") },
		"a secret in another case": func(c *asterisk.Config) { c.Password = pbx.NewSecret(strings.ToUpper(secret)) },
		"an unknown user":          func(c *asterisk.Config) { c.Username = "nobody" },
		"a user whom an ACL stops": func(c *asterisk.Config) { c.Username, c.Password = "other", pbx.NewSecret("x") },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, asterisksim.Options{UsersDenied: []string{"OTHER"}}, pbxsim.Options{}, change, func(t *testing.T, s simulation) {
				start := time.Now()
				token, err := s.Driver.Login(t.Context())
				want := &pbx.Error{
					Driver: "asterisk", Op: pbx.OpLogin, Kind: pbx.ErrInvalidCredentials, HTTPStatus: 200, Length: 51, Sent: true,
					Message: "wrong user name or secret, or manager.conf denies the user this machine's address",
				}
				if diff := cmp.Diff(want, failure(t, err)); diff != "" || token != nil {
					t.Errorf("token %v, error (-want +got):\n%s", token, diff)
				}
				if took := time.Since(start); took != time.Second {
					t.Errorf("it takes %s", took)
				}
				if counts := s.Counts(); counts.WrongLogins != 1 || counts.Requests != 2 {
					t.Errorf("%d requests, %d wrong logins", counts.Requests, counts.WrongLogins)
				}
			})
		})
	}
}

// A deadline of less than the second is no verdict on the secret.
func TestADeadlineUnderASecondLeavesTheVerdictOpen(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, func(c *asterisk.Config) { c.Password = pbx.NewSecret("wrong") }, func(t *testing.T, s simulation) {
		ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
		defer cancel()
		_, err := s.Driver.Login(ctx)
		if got := failure(t, err); got.Kind != pbx.ErrUnavailable || !got.Sent || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, sent %v", err, got.Sent)
		}
	})
}

func TestNamesOfUsersIgnoreCase(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, func(c *asterisk.Config) { c.Username = "CRM" }, func(t *testing.T, s simulation) {
		s.Login(t)
		if live := s.Tokens(user); len(live) != 1 {
			t.Errorf("%d sessions of %s", len(live), user)
		}
	})
}

func TestAUserWithOneSessionHasToWaitForItsEnd(t *testing.T) {
	simulate(t, asterisksim.Options{SingleLogin: true}, pbxsim.Options{Lifetime: 40 * time.Second}, nil, func(t *testing.T, s simulation) {
		first := s.Login(t)
		time.Sleep(10 * time.Second)
		start := time.Now()
		_, err := s.Driver.Login(t.Context())
		got := failure(t, err)
		if got.Kind != pbx.ErrTooManySessions || got.RetryAfter != 47*time.Second || !strings.Contains(got.Message, "allowmultiplelogin=no") {
			t.Errorf("%v, want %v and to come back when the session is gone", err, pbx.ErrTooManySessions)
		}
		if took := time.Since(start); took != time.Second || s.Counts().WrongLogins != 0 {
			t.Errorf("it took %s, %d wrong logins", took, s.Counts().WrongLogins)
		}
		time.Sleep(got.RetryAfter)
		second := s.Login(t)
		if err := s.Driver.Logout(t.Context(), second); err != nil {
			t.Error(err)
		}
		s.Login(t) // at once
		if err := s.Driver.Logout(t.Context(), first); err != nil {
			t.Error(err)
		}
	})
}

// Asterisk drops blanks at both ends of a secret, so that such a password could
// only be a wrong one.
func TestAPasswordWithABlankAtAnEndIsRefused(t *testing.T) {
	open := func(c pbx.Config) (pbx.Authenticator, error) { return asterisk.New(asterisk.Config{Config: c}) }
	for _, password := range []string{" " + secret, "\t" + secret, "\n" + secret, "\x00" + secret, secret + " ", secret + "\t", " "} {
		account := pbx.Credentials{Username: user, Password: pbx.NewSecret(password)}
		drivertest.Impossible(t, asterisk.Name, open, config(t), account, "Password", "begins or ends with a blank", "remove it")
	}
}

// Asterisk drops blanks at the beginning of a value in a request, so that such a user
// name arrives as another one, and its login counts as a wrong one.
func TestAUserNameWithABlankAtItsBeginningIsRefused(t *testing.T) {
	open := func(c pbx.Config) (pbx.Authenticator, error) { return asterisk.New(asterisk.Config{Config: c}) }
	for _, name := range []string{" " + user, "\t" + user, " "} {
		account := pbx.Credentials{Username: name, Password: pbx.NewSecret(secret)}
		drivertest.Impossible(t, asterisk.Name, open, config(t), account, "Username", "begins with a blank", "remove it")
	}
}

// adding is a transport that adds a session's cookie to every request.
type adding struct {
	base http.RoundTripper
	id   string
}

func (a adding) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Cookie", "mansession_id="+a.id)
	return a.base.RoundTrip(r)
}
