package threecx_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/threecx"
	"github.com/pbxauth/pbx/adapters/threecx/threecxsim"
	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/internal/thorough"
	"github.com/pbxauth/pbx/session"
)

const (
	id  = "900"
	key = "key"

	sampleToken = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL3BieC5leGFtcGxlLmNvbSIsIm5iZiI6MTc2NDA5ODY4MCwiaWF0IjoxNzY0MDk4NjgwLCJleHAiOjE3NjQxMDIyODB9.bm8gc2lnbmF0dXJlLCBidXQgYXMgbG9uZyBhcyB0aGUgb25lIG9mIEVTMjU2LCB3aGljaCBpcyA2NCBieXRlcw"
)

func given() *pbx.Token { return &pbx.Token{Value: pbx.NewSecret(sampleToken)} }

func config(rt http.RoundTripper) pbx.Config {
	return pbx.Config{URL: "https://pbx.example.com", Username: id, Password: pbx.NewSecret(key), Transport: rt}
}

func open(t testing.TB, cfg pbx.Config) *threecx.PBX {
	t.Helper()
	driver, err := threecx.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

// failure is err as what every error of a driver is.
func failure(t testing.TB, err error) *pbx.Error {
	t.Helper()
	return drivertest.Failure(t, threecx.Name, err)
}

// simulation is a 3CX PBX in virtual time, and the driver opened on it.
type simulation = drivertest.Simulation[*threecx.PBX]

func simulate(t *testing.T, d threecxsim.Options, opts pbxsim.Options, f func(t *testing.T, s simulation)) {
	t.Helper()
	opts.Accounts = map[string]string{id: key}
	drivertest.Simulate(t, func() *pbxsim.PBX { return threecxsim.New(&d, &opts) }, func(at pbx.Config) (*threecx.PBX, error) {
		cfg := config(at.Transport)
		cfg.URL = at.URL
		return threecx.New(cfg)
	}, f)
}

func replayed(t *testing.T, name string) *threecx.PBX {
	t.Helper()
	return open(t, config(golden.Transport(t, "testdata/golden/"+name+".http")))
}

// The JWT of both is of an hour, whatever expires_in says.
func TestTheSamplesLogin(t *testing.T) {
	for sample, details := range map[string]string{
		"login":        `{"expires_in":3600,"refresh_token":null,"token_type":"Bearer"}`,
		"login-20.0.8": `{"expires_in":60,"refresh_token":null,"token_type":"Bearer"}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			token, err := replayed(t, sample).Login(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Replace(details, `"refresh_token":null,`, "", 1); string(token.Details) != got {
				t.Errorf("%s: details %s, want %s", sample, token.Details, got)
			}
			token.Details = nil
			want := &pbx.Token{Value: pbx.NewSecret(sampleToken), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
			if diff := cmp.Diff(want, token); diff != "" {
				t.Errorf("%s (-want +got):\n%s", sample, diff)
			}
		})
	}
}

func TestTheSamplesRefusals(t *testing.T) {
	for _, sample := range []string{"login-refused", "login-refused-oauth", "login-refused-words"} {
		_, err := replayed(t, sample).Login(t.Context())
		if got := failure(t, err); got.Kind != pbx.ErrInvalidCredentials || !got.Sent {
			t.Errorf("%s: %v", sample, err)
		}
	}
	err := replayed(t, "request-dead").Ping(t.Context(), given())
	if got := failure(t, err); got.Kind != pbx.ErrTokenRejected || got.Ambiguous {
		t.Errorf("request-dead: %v", err)
	}
}

// documented401 is the response to a wrong key on the vendor's page
// (3cx.cn/docs/configuration-rest-api-endpoints).
const documented401 = `{"error":"unauthorized","error_description":"The request requires valid user authentication."}`

// errUnknown stands for a failure without a kind.
var errUnknown = errors.New("none")

func TestWhatAResponseMeans(t *testing.T) {
	basic, bearer := http.Header{"Www-Authenticate": {"Basic"}}, http.Header{"Www-Authenticate": {"Bearer"}}
	for _, tt := range []struct {
		name   string
		op     pbx.Op
		status int
		header http.Header
		body   string
		kind   error
	}{
		{"a dead token", pbx.OpRequest, 401, nil, "", pbx.ErrTokenRejected},
		{"a dead token, and a challenge for another", pbx.OpRequest, 401, bearer, "", pbx.ErrTokenRejected},
		{"a dead token in JSON", pbx.OpRequest, 401, nil, `{"error":{"code":"","message":"x"}}`, pbx.ErrTokenRejected},
		{"a proxy's challenge", pbx.OpRequest, 401, basic, "", pbx.ErrConfig},
		{"a dead token, as ASP.NET writes it", pbx.OpRequest, 401, nil, `{"title":"Unauthorized","status":401}`, pbx.ErrTokenRejected},
		{"a dead token, as the vendor's page has it", pbx.OpRequest, 401, nil, documented401, pbx.ErrTokenRejected},
		{"the same, and a proxy's challenge", pbx.OpRequest, 401, basic, documented401, pbx.ErrConfig},
		{"a gateway's 401", pbx.OpRequest, 401, nil, `{"error":"Unauthorized"}`, pbx.ErrConfig},
		{"a gateway's 401 with an object", pbx.OpRequest, 401, nil, `{"error":{"status":401}}`, pbx.ErrConfig},
		{"a proxy's page", pbx.OpRequest, 401, nil, pbxsim.HTMLPage, pbx.ErrConfig},
		{"a role too low", pbx.OpRequest, 403, nil, "", pbx.ErrForbidden},
		{"a role too low, in JSON", pbx.OpRequest, 403, nil, `{"error":{"code":"x"}}`, pbx.ErrForbidden},
		{"a proxy's 403", pbx.OpRequest, 403, nil, pbxsim.HTMLPage, pbx.ErrConfig},
		{"no such thing", pbx.OpRequest, 404, nil, `{"error":{"code":"404","message":"x"}}`, errUnknown},
		{"a wrong value", pbx.OpRequest, 400, nil, `{"error":{"code":"","message":"x"}}`, errUnknown},
		{"a conflict", pbx.OpPing, 409, nil, `{"error":{"code":"x"}}`, errUnknown},
		{"no such path", pbx.OpRequest, 404, nil, "", pbx.ErrProtocol},
		{"too many", pbx.OpRequest, 429, nil, "", pbx.ErrUnavailable},
		{"a failure", pbx.OpRequest, 500, nil, `{"error":{"code":"x"}}`, pbx.ErrUnavailable},
		{"nothing behind the proxy", pbx.OpRequest, 502, nil, pbxsim.HTMLPage, pbx.ErrUnavailable},
		{"a success", pbx.OpRequest, 204, nil, "", nil},
		{"a recording", pbx.OpRequest, 200, nil, "RIFF", nil},

		{"a success", pbx.OpPing, 200, nil, `{"Version":"20.0.9.0"}`, nil},
		{"a page", pbx.OpPing, 200, nil, pbxsim.HTMLPage, pbx.ErrProtocol},
		{"nothing", pbx.OpPing, 200, nil, "", pbx.ErrProtocol},
		{"a dead token", pbx.OpPing, 401, nil, "", pbx.ErrTokenRejected},

		{"a wrong key, and a challenge for a token", pbx.OpLogin, 401, bearer, "", pbx.ErrInvalidCredentials},
		{"a wrong key, as the vendor's page has it", pbx.OpLogin, 401, nil, documented401, pbx.ErrInvalidCredentials},
		{"the same, and a proxy's challenge", pbx.OpLogin, 401, basic, documented401, pbx.ErrConfig},
		{"a gateway's 401", pbx.OpLogin, 401, nil, `{"error":"Unauthorized"}`, pbx.ErrConfig},
		{"a wrong key in JSON", pbx.OpLogin, 401, nil, `{"error":"invalid_client"}`, pbx.ErrInvalidCredentials},
		{"a proxy's challenge", pbx.OpLogin, 401, basic, "", pbx.ErrConfig},
		{"a wrong key, perhaps", pbx.OpLogin, 400, nil, `{"error":"invalid_request"}`, pbx.ErrProtocol},
		{"a scope", pbx.OpLogin, 400, nil, `{"error":"invalid_scope"}`, pbx.ErrConfig},
		{"too many", pbx.OpLogin, 429, nil, "", pbx.ErrUnavailable},
		{"no such path", pbx.OpLogin, 404, nil, "", pbx.ErrProtocol},
	} {
		t.Run(string(tt.op)+" "+tt.name, func(t *testing.T) {
			driver := open(t, config(drivertest.Response{Status: tt.status, Header: tt.header, Body: tt.body}))
			var err error
			switch tt.op {
			case pbx.OpLogin:
				_, err = driver.Login(t.Context())
			case pbx.OpPing:
				err = driver.Ping(t.Context(), given())
			default:
				header := tt.header
				if header == nil {
					header = http.Header{}
				}
				err = driver.Inspect(&http.Response{StatusCode: tt.status, Header: header}, []byte(tt.body), given())
			}
			if tt.kind == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if got := failure(t, err); got.Kind != tt.kind && (tt.kind != errUnknown || got.Kind != nil) {
				t.Errorf("%v, want %v", err, tt.kind)
			}
		})
	}
}

func TestAnOldVersionIsNamed(t *testing.T) {
	_, err := open(t, config(drivertest.Response{Status: 404})).Login(t.Context())
	if text := failure(t, err).Error(); !strings.Contains(text, "version 20") {
		t.Errorf("%s", text)
	}
}

// An opaque token, and an expires_in of a few seconds, are not a login every
// moment.
func TestALifetimeIsAtLeastAMinute(t *testing.T) {
	for body, want := range map[string]time.Duration{
		`{"access_token":"opaque","expires_in":3}`:  time.Minute,
		`{"access_token":"opaque","expires_in":60}`: time.Minute,
		`{"access_token":"opaque","expires_in":61}`: 61 * time.Second,
		`{"access_token":"opaque"}`:                 time.Minute,
	} {
		token, err := open(t, config(drivertest.Response{Status: 200, Body: body})).Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := token.ExpiresAt.Sub(token.IssuedAt); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

// A renewal ends the token of requests that are under way. They are sent once
// more, and the application sees none of it.
func TestRequestsUnderWayOutlastARenewal(t *testing.T) {
	simulate(t, threecxsim.Options{}, pbxsim.Options{}, func(t *testing.T, s simulation) {
		live := s.Session()
		defer live.Close(t.Context())
		var all sync.WaitGroup
		statuses := make([]int, 2*60*6)
		for i := range statuses {
			s.Fault(pbxsim.Fault{On: pbxsim.AppRequest, Late: 25 * time.Second}) // each is judged long after it was sent
			all.Go(func() {
				resp, err := live.Client().Get(s.Server.URL + "/xapi/v1/Users")
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				statuses[i] = resp.StatusCode
			})
			time.Sleep(10 * time.Second)
		}
		all.Wait()
		for i, status := range statuses {
			if status != 200 {
				t.Errorf("the request after %d0 s: HTTP %d", i, status)
			}
		}
		counts := s.Counts()
		if counts.Logins < 3 || counts.Logins > 4 {
			t.Errorf("%d logins in two hours", counts.Logins)
		}
		if counts.RefusedTokens == 0 {
			t.Error("no request was under way at a renewal: the test shows nothing")
		}
	})
}

// Two processes with one client id end each other's tokens. The logins get
// slower, and the state names the reason.
func TestAMissingPermissionCostsNoLogin(t *testing.T) {
	simulate(t, threecxsim.Options{Denied: "/xapi/v1/ReportCallLogData"}, pbxsim.Options{}, func(t *testing.T, s simulation) {
		live := s.Session()
		defer live.Close(t.Context())
		get := func(path string) error {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Server.URL+path, nil)
			resp, err := live.Do(r)
			if resp != nil {
				resp.Body.Close()
			}
			return err
		}
		for range 50 {
			if err := get("/xapi/v1/ReportCallLogData"); !errors.Is(err, pbx.ErrForbidden) {
				t.Fatalf("%v, want %v", err, pbx.ErrForbidden)
			}
			time.Sleep(time.Second)
		}
		if err := get("/xapi/v1/Users"); err != nil {
			t.Errorf("a permitted request: %v", err)
		}
		if got := s.Counts().Logins; got != 1 {
			t.Errorf("%d logins", got)
		}
	})
}

func TestAnotherProgramWithTheSameClientIDIsNamed(t *testing.T) {
	simulate(t, threecxsim.Options{}, pbxsim.Options{}, func(t *testing.T, s simulation) {
		first, second := s.Session(), s.Session()
		defer first.Close(t.Context())
		defer second.Close(t.Context())
		for range 10 * 60 {
			for _, live := range []*session.Session{first, second} {
				if resp, err := live.Client().Get(s.Server.URL + "/xapi/v1/Users"); err == nil {
					resp.Body.Close()
				}
			}
			time.Sleep(time.Second)
		}
		if text := first.Status().String() + second.Status().String(); !strings.Contains(text, "another program") {
			t.Errorf("the states do not name the reason:\n%s\n%s", first.Status(), second.Status())
		}
		if got := s.Counts().Logins; got > 120 {
			t.Errorf("%d logins in ten minutes", got)
		}
	})
}

// Where the second login is refused instead, a session that renews ahead of time
// keeps its token until that expires, and then logs in.
func TestASessionOutlastsAPBXThatRefusesASecondLogin(t *testing.T) {
	simulate(t, threecxsim.Options{Second: threecxsim.Refused400}, pbxsim.Options{}, func(t *testing.T, s simulation) {
		live := s.Session()
		defer live.Close(t.Context())
		for range 3 * 60 {
			resp, err := live.Client().Get(s.Server.URL + "/xapi/v1/Users")
			if err == nil {
				resp.Body.Close()
			}
			time.Sleep(time.Minute)
		}
		if counts := s.Counts(); counts.GoodLogins < 2 || counts.WrongLogins != 0 {
			t.Errorf("%+v, want a login after the expiry", counts)
		}
	})
}

// A second login may be refused like one with a wrong key. It is then due when the own
// token expires.
func TestARefusalLikeThatOfAWrongKeyStopsNoSessionWhoseTokenIsActive(t *testing.T) {
	for _, refusal := range []threecxsim.Refusal{threecxsim.Empty401, threecxsim.JSON401, threecxsim.Words401, threecxsim.Problem401} {
		simulate(t, threecxsim.Options{Second: threecxsim.Refused401, Refusal: refusal}, pbxsim.Options{}, func(t *testing.T, s simulation) {
			live := s.Session()
			defer live.Close(t.Context())
			time.Sleep(30 * time.Second) // not at the moment when the token expires
			for minute := range 5 * 60 {
				resp, err := live.Client().Get(s.Server.URL + "/xapi/v1/Users")
				if err != nil {
					t.Fatalf("minute %d: %v", minute, err)
				}
				resp.Body.Close()
				time.Sleep(time.Minute)
			}
			if got := s.Counts(); got.Logins > 11 || got.WrongLogins != 0 {
				t.Errorf("%+v, want two logins an hour at most", got)
			}
		})
	}
}

// Where a second login is refused like one with a wrong key, a renewal ahead of time
// counts as wrong until the token expires. It leaves places for those whose token has
// expired, also where two wrong accounts use two.
func TestAPIClientsOfAPBXThatRefusesASecondLoginDoNotStopEachOther(t *testing.T) {
	accounts := map[string]string{}
	for id := 900; id < 908; id++ {
		accounts[strconv.Itoa(id)] = key
	}
	for _, second := range []threecxsim.Second{threecxsim.Kills, threecxsim.Refused400, threecxsim.Refused401, threecxsim.Spares} {
		drivertest.InMemory(t, func() *pbxsim.PBX {
			return threecxsim.New(&threecxsim.Options{Second: second}, &pbxsim.Options{Accounts: accounts})
		}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			m := session.NewManager(&session.Options{Guard: new(session.Guard)})
			defer m.Close(t.Context())
			add := func(id, key string) *session.Session {
				cfg := config(s.Client().Transport)
				cfg.URL, cfg.Username, cfg.Password = s.URL, id, pbx.NewSecret(key)
				added, err := m.Add(id, open(t, cfg))
				if err != nil {
					t.Fatal(err)
				}
				return added
			}
			var good []*session.Session
			for id, key := range accounts {
				good = append(good, add(id, key))
			}
			hours, failed := 8, 0
			if thorough.Tests() {
				hours = 24
			}
			for minute := range hours * 60 {
				time.Sleep(time.Minute)
				if minute == 4*60 || minute == 5*60 {
					add(strconv.Itoa(minute), "wrong")
				}
				for _, live := range good {
					resp, err := live.Client().Get(s.URL + "/xapi/v1/Users")
					if err != nil {
						failed++ // the token is expiring
						continue
					}
					resp.Body.Close()
				}
			}
			t.Logf("%q: %d failed, %+v", second, failed, p.Counts())
			if got := p.Counts(); failed > hours*len(good) || got.WrongLogins > 2 || got.Locks != 0 {
				t.Errorf("%q: %d of %d requests failed, %+v", second, failed, hours*60*len(good), got)
			}
		})
	}
}

// A PBX that has lost the token has no reason to refuse a second one.
func TestARefusalAfterTheTokenWasLostIsThatOfAWrongKey(t *testing.T) {
	simulate(t, threecxsim.Options{}, pbxsim.Options{}, func(t *testing.T, s simulation) {
		s.Login(t)
		s.SetPassword(id, "another")
		if _, err := s.Driver.Login(t.Context()); failure(t, err).Kind != nil || failure(t, err).RetryAfter == 0 {
			t.Errorf("while the token is active: %v", err)
		}
		s.Restart()
		if _, err := s.Driver.Login(t.Context()); failure(t, err).Kind != pbx.ErrInvalidCredentials {
			t.Errorf("after a restart: %v", err)
		}
	})
}

// A key that was changed while its token was active is sent once more when the token
// has expired. The PBX may be locked then, so that a session tries it a third time, and
// never again.
func TestAKeyThatWasChangedIsNotSentAgainAndAgain(t *testing.T) {
	simulate(t, threecxsim.Options{}, pbxsim.Options{}, func(t *testing.T, s simulation) {
		live := s.Session()
		defer live.Close(t.Context())
		if _, err := live.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.SetPassword(id, "another")
		time.Sleep(24 * time.Hour)
		if got := s.Counts().WrongLogins; got > 3 || live.Status().State != session.Rejected {
			t.Errorf("%d wrong logins, state %v", got, live.Status().State)
		}
	})
}

func TestTraitsAreWhatTheVendorSays(t *testing.T) {
	want := pbx.Traits{
		Driver: threecx.Name,
		URL:    "https://pbx.example.com", Account: id, KeepAlive: pbx.KeepAliveNone, Logout: pbx.LogoutNone,
		MaxTokens: 1, NewestWins: true, Lockout: pbx.Lockout{LooksWrong: true}, // nothing else is documented
		Probe: "https://pbx.example.com/connect/token",
	}
	if diff := cmp.Diff(want, open(t, config(drivertest.Unsent{T: t})).Traits()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAddressesAreCompleted(t *testing.T) {
	drivertest.Addresses(t, func(address string) (pbx.Authenticator, error) {
		cfg := config(drivertest.Unsent{T: t})
		cfg.URL = address
		return threecx.New(cfg)
	}, map[string]string{
		"pbx.example.com":                             "https://pbx.example.com",
		"https://pbx.example.com:5001/":               "https://pbx.example.com:5001",
		"https://pbx.example.com:5001/connect/token":  "https://pbx.example.com:5001",
		"https://pbx.example.com/xapi/v1":             "https://pbx.example.com",
		"https://proxy.example.com/pbx-7/xapi/v1":     "https://proxy.example.com/pbx-7",
		"https://proxy.example.com/pbx-7/callcontrol": "https://proxy.example.com/pbx-7",
	})
}

func TestTheDriverHasNoOptions(t *testing.T) {
	if d, ok := pbx.Lookup("3cx"); !ok || len(d.Options) != 0 {
		t.Fatalf("%+v", d)
	}
	if _, err := pbx.Open("3cx", config(drivertest.Unsent{T: t})); err != nil {
		t.Fatal(err)
	}
	cfg := config(drivertest.Unsent{T: t})
	cfg.Options = map[string]string{"x": "y"}
	if _, err := threecx.New(cfg); failure(t, err).Kind != pbx.ErrConfig || failure(t, err).Setting != "Options" {
		t.Errorf("with an option: %v", err)
	}
}

func TestNothingIsSentForWhatThereIsNot(t *testing.T) {
	driver := open(t, config(drivertest.Unsent{T: t}))
	if _, err := driver.KeepAlive(t.Context(), given()); !errors.Is(err, pbx.ErrNotSupported) {
		t.Errorf("keep-alive: %v", err)
	}
	if err := driver.Logout(t.Context(), given()); err != nil {
		t.Errorf("logout: %v", err)
	}
}

func TestATokenGoesIntoTheAuthorizationHeader(t *testing.T) {
	r := &http.Request{URL: &url.URL{Scheme: "https", Host: "pbx.example.com", Path: "/xapi/v1/Users"}, Header: http.Header{}}
	if err := open(t, config(drivertest.Unsent{T: t})).Authorize(r, given()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(http.Header{"Authorization": {"Bearer " + sampleToken}}, r.Header); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Whatever a refusal looks like, a key that never worked is sent a few times at
// most, so that the PBX does not block this address.
func TestAWrongKeyIsNotSentAllDay(t *testing.T) {
	for refusal, most := range map[threecxsim.Refusal]int{
		threecxsim.Empty401: 2, threecxsim.JSON401: 2, threecxsim.JSON400: 2, threecxsim.Words401: 2, threecxsim.Problem401: 2, threecxsim.Request400: 4,
	} {
		simulate(t, threecxsim.Options{Refusal: refusal}, pbxsim.Options{}, func(t *testing.T, s simulation) {
			s.SetPassword(id, "another")
			live := s.Session()
			defer live.Close(t.Context())
			time.Sleep(24 * time.Hour)
			if c := s.Counts(); c.WrongLogins == 0 || c.WrongLogins > most || c.Locks != 0 {
				t.Errorf("%q: %d wrong logins and %d locks, want at most %d", refusal, c.WrongLogins, c.Locks, most)
			}
		})
	}
}

func TestASecondLoginThatIsRefusedWhileATokenIsActiveSaysNothingAboutTheKey(t *testing.T) {
	simulate(t, threecxsim.Options{Second: threecxsim.Refused400}, pbxsim.Options{}, func(t *testing.T, s simulation) {
		if _, err := s.Driver.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := s.Driver.Login(t.Context())
		if got := failure(t, err); got.Kind != pbx.ErrTooManySessions {
			t.Errorf("%v, want %v", err, pbx.ErrTooManySessions)
		}
		another := open(t, pbx.Config{URL: s.Server.URL, Username: id, Password: pbx.NewSecret(key), Transport: s.Server.Client().Transport})
		_, err = another.Login(t.Context())
		if got := failure(t, err); got.Kind != pbx.ErrProtocol || !got.Sent {
			t.Errorf("of another program: %v, want %v", err, pbx.ErrProtocol)
		}
	})
}

// Where a wrong key and a second token are refused alike, the driver's own token says
// which it is.
func TestAKeyThatWasChangedIsNotSentAllHour(t *testing.T) {
	for name, change := range map[string]func(s simulation, live *session.Session){
		"and the token is refused": func(s simulation, live *session.Session) {
			s.Restart()
			if resp, err := live.Client().Get(s.Server.URL + "/xapi/v1/Users"); err == nil {
				resp.Body.Close()
			}
		},
		"and the token lives on": func(simulation, *session.Session) {},
		"and the application gives the token up": func(_ simulation, live *session.Session) {
			token, _ := live.Token(context.Background())
			live.Invalidate(token)
		},
	} {
		simulate(t, threecxsim.Options{Refusal: threecxsim.Request400}, pbxsim.Options{}, func(t *testing.T, s simulation) {
			live := s.Session()
			defer live.Close(t.Context())
			if _, err := live.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.SetPassword(id, "another")
			change(s, live)
			time.Sleep(24 * time.Hour)
			if c := s.Counts(); c.WrongLogins == 0 || c.WrongLogins > 4 || c.Locks != 0 {
				t.Errorf("%s: %d wrong logins and %d locks, want at most 4", name, c.WrongLogins, c.Locks)
			}
		})
	}
}

func TestATokenThatWasRefusedExplainsNoRefusalOfALogin(t *testing.T) {
	accepted := drivertest.Response{Body: `{"token_type":"Bearer","expires_in":3600,"access_token":"` + sampleToken + `"}`}
	refused := drivertest.Response{Status: 400, Body: `{"error":"invalid_request"}`}
	for name, tt := range map[string]struct {
		status int
		token  string
		kind   error
	}{
		"refused":              {401, sampleToken, pbx.ErrProtocol},
		"accepted":             {204, sampleToken, pbx.ErrTooManySessions},
		"without a permission": {403, sampleToken, pbx.ErrTooManySessions},
		"another was refused":  {401, "another", pbx.ErrTooManySessions},
	} {
		driver := open(t, config(drivertest.Responses(accepted, refused)))
		if _, err := driver.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
		driver.Inspect(&http.Response{StatusCode: tt.status, Header: http.Header{}}, nil, &pbx.Token{Value: pbx.NewSecret(tt.token)})
		_, err := driver.Login(t.Context())
		if got := failure(t, err); got.Kind != tt.kind || (got.RetryAfter > 0) != (tt.kind == pbx.ErrTooManySessions) {
			t.Errorf("%s: %v, retry after %s; want %v", name, err, got.RetryAfter, tt.kind)
		}
	}
}

func TestATokenOfAnotherKeySaysNothingAboutThisOne(t *testing.T) {
	accepted := drivertest.Response{Body: `{"token_type":"Bearer","expires_in":3600,"access_token":"` + sampleToken + `"}`}
	refused := drivertest.Response{Status: 400, Body: `{"error":"invalid_request"}`}
	cfg := config(drivertest.Responses(accepted, refused))
	accounts := [][2]string{{id, key}, {id, key}, {id, "another"}, {"901", key}}
	cfg.Username, cfg.Password = "", pbx.Secret{}
	cfg.Credentials = func(context.Context) (pbx.Credentials, error) {
		next := pbx.Credentials{Username: accounts[0][0], Password: pbx.NewSecret(accounts[0][1])}
		accounts = accounts[1:]
		return next, nil
	}
	driver := open(t, cfg)
	if _, err := driver.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := driver.Login(t.Context())
	if got := failure(t, err); got.Kind != pbx.ErrTooManySessions || got.RetryAfter < 50*time.Minute {
		t.Errorf("the same key: %v", err)
	}
	for _, other := range []string{"another key", "another client id"} {
		_, err = driver.Login(t.Context())
		if got := failure(t, err); got.Kind != pbx.ErrProtocol || got.RetryAfter != 0 || !strings.Contains(got.Message, "the key may be wrong") {
			t.Errorf("%s: %v, want %v", other, err, pbx.ErrProtocol)
		}
	}
}

// Only a refusal without words, and invalid_request, may be about a second token.
func TestARefusalInWordsIsAboutTheKeyWhileATokenIsActive(t *testing.T) {
	accepted := drivertest.Response{Body: `{"token_type":"Bearer","expires_in":3600,"access_token":"` + sampleToken + `"}`}
	for body, kind := range map[string]error{`{"error":"invalid_client"}`: pbx.ErrInvalidCredentials, pbxsim.HTMLPage: pbx.ErrConfig} {
		p := drivertest.Responses(accepted, drivertest.Response{Status: 401, Body: body})
		driver := open(t, config(p))
		if _, err := driver.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := driver.Login(t.Context())
		if got := failure(t, err); got.Kind != kind || got.RetryAfter != 0 || strings.Contains(got.Message, "another token") {
			t.Errorf("%s: %v, want %v", body, err, kind)
		}
		if n := len(p.Sent()); n != 2 {
			t.Errorf("%s: %d requests", body, n)
		}
	}
}

// After a 401 without words the driver asks about its token. A PBX that does not know it
// responds with 401, and no other response shows that the token is lost.
func TestATokenIsLostIfThePBXRefusesIt(t *testing.T) {
	accepted := drivertest.Response{Body: `{"token_type":"Bearer","expires_in":3600,"access_token":"` + sampleToken + `"}`}
	for _, tt := range []struct {
		ping drivertest.Response
		lost bool
	}{
		{drivertest.Response{Body: `{"Version":"20.0.9.0"}`}, false},
		{drivertest.Response{Status: 403}, false},
		{drivertest.Response{Status: 404}, false},
		{drivertest.Response{Status: 502, Body: pbxsim.HTMLPage}, false},
		{drivertest.Response{Status: 401, Body: pbxsim.HTMLPage}, false}, // a proxy's
		{drivertest.Response{Status: 401}, true},
	} {
		driver := open(t, config(drivertest.Responses(accepted, drivertest.Response{Status: 401}, tt.ping)))
		if _, err := driver.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := driver.Login(t.Context())
		if got := failure(t, err); (got.Kind == pbx.ErrInvalidCredentials) != tt.lost || (got.Kind == nil && got.RetryAfter > 50*time.Minute) == tt.lost {
			t.Errorf("HTTP %d to the question: %v, retry after %s; want lost %t", tt.ping.Status, err, got.RetryAfter, tt.lost)
		}
	}
}
