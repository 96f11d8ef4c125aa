package freepbx_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/freepbx"
	"github.com/pbxauth/pbx/adapters/freepbx/freepbxsim"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

const (
	id     = "application"
	secret = "secret"

	// The tokens of the samples, of 16 and 17.
	token16 = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJhcHBsaWNhdGlvbiIsImp0aSI6IjFmMmUzZDRjIiwiaWF0IjoxNzY0MDk4NjgwLCJuYmYiOjE3NjQwOTg2ODAsImV4cCI6MTc2NDEwMjI4MCwic3ViIjoiIiwic2NvcGVzIjpbXX0.bWFkZSB1cCwgYW5kIG11Y2ggc2hvcnRlciB0aGFuIHRoZSBzaWduYXR1cmUgb2YgUlMyNTY"
	token17 = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJhcHBsaWNhdGlvbiIsImp0aSI6IjFmMmUzZDRjIiwiaWF0IjoxNzY0MDk4NjgwLjIzOTU3NywibmJmIjoxNzY0MDk4NjgwLjIzOTU3NywiZXhwIjoxNzY0MTAyMjgwLjEzODU3Nywic3ViIjoiIiwic2NvcGVzIjpbXX0.bWFkZSB1cCwgYW5kIG11Y2ggc2hvcnRlciB0aGFuIHRoZSBzaWduYXR1cmUgb2YgUlMyNTY"
)

// given is a token that is valid for a time from now.
func given(left time.Duration) *pbx.Token {
	return &pbx.Token{Value: pbx.NewSecret(token16), Refresh: pbx.NewSecret("def50200"), ExpiresAt: time.Now().Add(left)}
}

func config(rt http.RoundTripper) freepbx.Config {
	return freepbx.Config{Config: pbx.Config{URL: "https://pbx.example.com", Username: id, Password: pbx.NewSecret(secret), Transport: rt}}
}

// ofUser is the same for a user, who logs in through that application.
func ofUser(rt http.RoundTripper) freepbx.Config {
	cfg := config(rt)
	cfg.Username, cfg.Password = "1000", pbx.NewSecret("pass")
	cfg.ClientID, cfg.ClientSecret = id, pbx.NewSecret(secret)
	return cfg
}

func open(t testing.TB, cfg freepbx.Config) *freepbx.PBX {
	t.Helper()
	driver, err := freepbx.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

// failure is err as what every error of a driver is.
func failure(t testing.TB, err error) *pbx.Error {
	t.Helper()
	return drivertest.Failure(t, freepbx.Name, err)
}

// simulation is a FreePBX in virtual time, and the driver opened on it: by an
// application, or by a user if the dialect has an application.
type simulation = drivertest.Simulation[*freepbx.PBX]

func simulate(t *testing.T, d freepbxsim.Options, f func(t *testing.T, s simulation)) {
	t.Helper()
	drivertest.Simulate(t, func() *pbxsim.PBX {
		return freepbxsim.New(&d, &pbxsim.Options{Accounts: map[string]string{id: secret, "1000": "pass"}})
	}, func(at pbx.Config) (*freepbx.PBX, error) {
		cfg := config(at.Transport)
		if d.Application.ID != "" {
			cfg = ofUser(at.Transport)
		}
		cfg.URL = at.URL
		return freepbx.New(cfg)
	}, f)
}

var throughApplication = freepbxsim.Application{ID: id, Secret: secret}

// ask sends a harmless request as an application does, by GraphQL or by REST.
func ask(s simulation, live *session.Session, rest bool) (int, error) {
	r := query(s.Server.URL)
	if rest {
		r = list(s.Server.URL)
	}
	resp, err := live.Client().Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, nil
}

func samples(t *testing.T, names ...string) http.RoundTripper {
	t.Helper()
	for i := range names {
		names[i] = "testdata/golden/" + names[i] + ".http"
	}
	return golden.Transport(t, names...)
}

func TestTheSamplesLogin(t *testing.T) {
	for sample, want := range map[string]struct {
		token string
		life  time.Duration
	}{"login-16": {token16, time.Hour}, "login-17": {token17, 3599898 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			token, err := open(t, config(samples(t, sample))).Login(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := string(token.Details); got != `{"expires_in":3600,"token_type":"Bearer"}` {
				t.Errorf("%s: details %s", sample, got)
			}
			token.Details = nil
			expected := &pbx.Token{Value: pbx.NewSecret(want.token), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(want.life)}
			if diff := cmp.Diff(expected, token); diff != "" {
				t.Errorf("%s (-want +got):\n%s", sample, diff)
			}
		})
	}
}

func TestTheSamplesOfAUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := open(t, ofUser(samples(t, "login-user-16", "refresh-16")))
		first, err := driver.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		month := time.Now().Add(28 * 24 * time.Hour)
		if first.Refresh.Reveal() != "def50200" || first.RefreshExpiresAt != month {
			t.Errorf("the refresh token expires %s, want %s", first.RefreshExpiresAt, month)
		}
		second, err := driver.KeepAlive(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		if second.Value.Reveal() != token17 || second.Refresh.Reveal() != "def50201" {
			t.Error("the refresh brings another pair")
		}
	})
}

func TestTheSamplesRefusals(t *testing.T) {
	login := func(d *freepbx.PBX) error { _, err := d.Login(t.Context()); return err }
	refresh := func(d *freepbx.PBX) error { _, err := d.KeepAlive(t.Context(), given(0)); return err }
	ping := func(d *freepbx.PBX) error { return d.Ping(t.Context(), given(time.Hour)) }
	for _, tt := range []struct {
		sample string
		config func(http.RoundTripper) freepbx.Config
		do     func(*freepbx.PBX) error
		kind   error
		code   string
	}{
		{"login-refused-16", config, login, pbx.ErrInvalidCredentials, "invalid_client"},
		{"login-refused-17", config, login, pbx.ErrInvalidCredentials, "invalid_client"},
		{"login-user-refused-16", ofUser, login, pbx.ErrInvalidCredentials, "invalid_credentials"},
		{"login-user-refused-17", ofUser, login, pbx.ErrInvalidCredentials, "invalid_grant"},
		{"refresh-refused-16", ofUser, refresh, pbx.ErrTokenRejected, "invalid_request"},
		{"request-dead-16", config, ping, pbx.ErrTokenRejected, "access_denied"},
	} {
		got := failure(t, tt.do(open(t, tt.config(samples(t, tt.sample)))))
		if got.Kind != tt.kind || got.Code != tt.code || !got.Sent || got.Ambiguous {
			t.Errorf("%s: %v, want %v", tt.sample, got, tt.kind)
		}
	}
}

func TestWhatAResponseMeans(t *testing.T) {
	const gql, rest = "/admin/api/api/gql", "/admin/api/api/rest/core/users"
	unknown := errors.New("of no kind")
	for _, tt := range []struct {
		name, path string
		left       time.Duration // of the token's lifetime
		status     int
		body       string
		kind       error
	}{
		{"a dead token", gql, time.Hour, 401, `{"error":"access_denied","hint":"x"}`, pbx.ErrTokenRejected},
		{"a dead token by REST", rest, time.Hour, 401, `{"error":"access_denied"}`, pbx.ErrTokenRejected},
		{"a dead token under another status", gql, time.Hour, 200, `{"error":"access_denied"}`, pbx.ErrTokenRejected},
		{"a failure", gql, time.Hour, 500, "", pbx.ErrUnavailable},
		{"a failure in words", gql, time.Hour, 500, pbxsim.HTMLPage, pbx.ErrUnavailable},
		{"a failure with an old token", gql, 0, 500, "", pbx.ErrUnavailable},
		{"a failure of REST with an old token", rest, -time.Hour, 500, "", pbx.ErrUnavailable},
		{"a proxy's failure with an old token", gql, -time.Hour, 502, "", pbx.ErrUnavailable},
		{"a query that fails", gql, time.Hour, 400, `{"errors":[{"message":"x","status":false}]}`, unknown},
		{"a query that fails under 200", gql, time.Hour, 200, `{"errors":[{"message":"x"}],"data":null}`, unknown},
		{"a query that fails in part", gql, time.Hour, 200, `{"errors":[{"message":"x"}],"data":{"a":1}}`, nil},
		{"a query that succeeds", gql, time.Hour, 200, `{"data":{"__typename":"Query"}}`, nil},
		{"a list", rest, time.Hour, 200, `[]`, nil},
		{"a recording", rest, time.Hour, 200, "RIFF", nil},
		{"a scope that is missing in REST", rest, time.Hour, 401, `{"status":false,"message":"unauthorized"}`, pbx.ErrForbidden},
		{"the same words of an application's own data", rest, time.Hour, 200, `{"status":false,"message":"unauthorized"}`, nil},
		{"a 401 of something else", gql, time.Hour, 401, `{"message":"Unauthorized"}`, pbx.ErrConfig},
		{"a page instead", rest, time.Hour, 404, pbxsim.HTMLPage, pbx.ErrProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				request := &http.Request{URL: &url.URL{Path: tt.path}}
				err := open(t, config(drivertest.Unsent{T: t})).Inspect(&http.Response{StatusCode: tt.status, Header: http.Header{}, Request: request}, []byte(tt.body), given(tt.left))
				if tt.kind == nil {
					if err != nil {
						t.Error(err)
					}
					return
				}
				got := failure(t, err)
				if want := tt.kind == pbx.ErrUnavailable && tt.path == gql && tt.status == 500; got.Ambiguous != want {
					t.Errorf("%v: ambiguous %v", err, got.Ambiguous)
				}
				if want := tt.kind; got.Kind != want && !(want == unknown && got.Kind == nil) {
					t.Errorf("%v, want %v", err, want)
				}
			})
		})
	}
}

// Only GraphQL's data proves that a token is alive.
func TestWhatAPingMeans(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		kind   error
		good   bool
	}{
		{200, `{"data":{"__typename":"Query"}}`, nil, true},
		{200, `{"data":null}`, pbx.ErrProtocol, false},
		{200, `{}`, pbx.ErrProtocol, false},
		{200, pbxsim.HTMLPage, pbx.ErrProtocol, false},
		{200, `{"errors":[{"message":"x"}]}`, nil, false},
		{401, `{"error":"access_denied"}`, pbx.ErrTokenRejected, false},
		{401, `{"status":false,"message":"unauthorized"}`, pbx.ErrForbidden, false},
		{401, pbxsim.HTMLPage, pbx.ErrConfig, false},
		{500, "", pbx.ErrUnavailable, false},
	} {
		err := open(t, config(drivertest.Response{Status: tt.status, Body: tt.body})).Ping(t.Context(), given(time.Hour))
		if tt.good {
			if err != nil {
				t.Errorf("%d %s: %v", tt.status, tt.body, err)
			}
			continue
		}
		if got := failure(t, err); got.Kind != tt.kind || got.Op != pbx.OpPing || got.Ambiguous {
			t.Errorf("%d %s: %v, want %v", tt.status, tt.body, err, tt.kind)
		}
	}
	failed := open(t, config(drivertest.Response{Status: 500}))
	if err := failed.Ping(t.Context(), given(0)); failure(t, err).Kind != pbx.ErrTokenRejected {
		t.Errorf("a failure with an old token: %v", err)
	}
	if err := failed.Ping(t.Context(), &pbx.Token{Value: pbx.NewSecret(token16)}); failure(t, err).Kind != pbx.ErrUnavailable {
		t.Errorf("a failure with a token of no known lifetime: %v", err)
	}
}

// A 401 of REST for a missing scope costs no login: the token is alive.
func TestAMissingScopeCostsNoLogin(t *testing.T) {
	for _, version := range []int{16, 17} {
		simulate(t, freepbxsim.Options{Version: version, NoScope: true}, func(t *testing.T, s simulation) {
			live := s.Session()
			defer live.Close(t.Context())
			for range 3 {
				if _, err := live.Do(list(s.Server.URL)); !errors.Is(err, pbx.ErrForbidden) {
					t.Errorf("%d: %v, want %v", version, err, pbx.ErrForbidden)
				}
			}
			s.Fault(pbxsim.Fault{On: pbxsim.AppRequest, Status: 500}) // of GraphQL, and REST refuses
			token, err := live.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Driver.Ping(t.Context(), token); !errors.Is(err, pbx.ErrUnavailable) {
				t.Errorf("%d: Ping returns %v", version, err)
			}
			if got := s.Counts().Logins; got != 1 {
				t.Errorf("%d: %d logins", version, got)
			}
		})
	}
}

// Where GraphQL fails, REST says whether the token is dead.
func TestAPingAsksRESTWhereGraphQLFails(t *testing.T) {
	for _, empty := range []bool{false, true} {
		simulate(t, freepbxsim.Options{Version: 17, EmptyFailure: empty}, func(t *testing.T, s simulation) {
			token := s.Login(t)
			if err := s.Driver.Ping(t.Context(), token); err != nil {
				t.Errorf("alive: %v", err)
			}
			for _, status := range []int{500, 502} {
				s.Fault(pbxsim.Fault{On: pbxsim.AppRequest, Status: status})
				if err := s.Driver.Ping(t.Context(), token); !errors.Is(err, pbx.ErrUnavailable) {
					t.Errorf("alive, while GraphQL is HTTP %d: %v", status, err)
				}
			}
			s.Fault(pbxsim.Fault{On: pbxsim.AppRequest, Times: 2, Status: 500})
			if err := s.Driver.Ping(t.Context(), token); !errors.Is(err, pbx.ErrUnavailable) {
				t.Errorf("alive, while everything fails: %v", err)
			}
			s.Revoke(token.Value.Reveal())
			if err := s.Driver.Ping(t.Context(), token); !errors.Is(err, pbx.ErrTokenRejected) {
				t.Errorf("removed: %v", err)
			}
		})
	}
}

// A removed token is noticed at once. GraphQL in 17 refuses it as it fails, so that the
// request is not sent again.
func TestARemovedTokenIsNoticed(t *testing.T) {
	for _, version := range []int{16, 17} {
		for _, rest := range []bool{true, false} {
			simulate(t, freepbxsim.Options{Version: version}, func(t *testing.T, s simulation) {
				live := s.Session()
				defer live.Close(t.Context())
				token, err := live.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				s.Revoke(token.Value.Reveal())
				status, err := ask(s, live, rest)
				if late := version == 17 && !rest; err != nil || late != (status == 500) || !late && status != 200 {
					t.Errorf("FreePBX %d, REST %v: HTTP %d, %v", version, rest, status, err)
				}
				if status, err := ask(s, live, rest); err != nil || status != 200 {
					t.Errorf("FreePBX %d, REST %v, the next: HTTP %d, %v", version, rest, status, err)
				}
				if got := s.Counts().Logins; got != 2 {
					t.Errorf("FreePBX %d, REST %v: %d logins", version, rest, got)
				}
			})
		}
	}
}

// HTTP 500 of GraphQL is mostly a query that fails. It costs no login, the query is sent
// once, and the error is that of a failure.
func TestAQueryThatFailsCostsNoLogin(t *testing.T) {
	for _, both := range []bool{false, true} { // also where REST cannot say
		simulate(t, freepbxsim.Options{Version: 17}, func(t *testing.T, s simulation) {
			live := s.Session()
			defer live.Close(t.Context())
			if _, err := live.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			times := 1
			if both {
				times = 3
			}
			for range 20 {
				s.Fault(pbxsim.Fault{On: pbxsim.AppRequest, Times: times, Status: 500})
				before := s.Counts().Requests
				resp, err := live.Do(query(s.Server.URL))
				if got := failure(t, err); got.Kind != pbx.ErrUnavailable || resp.StatusCode != 500 {
					t.Errorf("%v", err)
				}
				resp.Body.Close()
				if n := s.Counts().Requests - before; n > 3 { // GraphQL and REST are asked once more
					t.Errorf("%d requests for one", n)
				}
				s.ClearFaults()
				time.Sleep(time.Second)
			}
			if got := s.Counts().Logins; got != 1 {
				t.Errorf("%d logins", got)
			}
		})
	}
}

// The token was accepted when the query came, so the PBX may have acted.
func TestAQueryThatFailsWhenItsTokenHasExpiredIsNotRepeated(t *testing.T) {
	simulate(t, freepbxsim.Options{Version: 17}, func(t *testing.T, s simulation) {
		live := s.Session()
		defer live.Close(t.Context())
		token, err := live.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Fault(pbxsim.Fault{On: pbxsim.AppRequest, Status: 500, Delay: time.Until(token.ExpiresAt) + time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		resp, err := live.Do(query(s.Server.URL).WithContext(ctx))
		if got := failure(t, err); got.Kind != pbx.ErrUnavailable || resp.StatusCode != 500 {
			t.Errorf("%v", err)
		}
		resp.Body.Close()
		if n := s.Counts().Requests; n != 3 { // two logins are among them
			t.Errorf("%d requests", n)
		}
	})
}

// The secret may be unchecked, and a wrong one then logs in.
func TestFreePBX17MayTakeAnySecret(t *testing.T) {
	simulate(t, freepbxsim.Options{Version: 17, AnySecret: true}, func(t *testing.T, s simulation) {
		cfg := config(s.Server.Client().Transport)
		cfg.URL, cfg.Password = s.Server.URL, pbx.NewSecret("another")
		if _, err := open(t, cfg).Login(t.Context()); err != nil {
			t.Errorf("%v", err)
		}
		cfg.Username = "nobody"
		if _, err := open(t, cfg).Login(t.Context()); !errors.Is(err, pbx.ErrInvalidCredentials) {
			t.Errorf("an unknown client id: %v", err)
		}
	})
	d, _ := pbx.Lookup("freepbx")
	if !strings.Contains(d.Setup, "may not prove the secret") {
		t.Errorf("the form does not say so: %s", d.Setup)
	}
}

func TestAUserRefreshesForAWeek(t *testing.T) {
	simulate(t, freepbxsim.Options{Version: 17, Application: throughApplication}, func(t *testing.T, s simulation) {
		live := s.Session()
		defer live.Close(t.Context())
		for range 7 * 24 {
			if status, err := ask(s, live, false); err != nil || status != 200 {
				t.Fatalf("HTTP %d, %v", status, err)
			}
			time.Sleep(time.Hour)
		}
		if c := s.Counts(); c.Logins != 1 || c.KeepAlives < 7*24 || c.RefusedTokens != 0 {
			t.Errorf("%+v, want one login", c)
		}
	})
}

func TestARefreshEndsBothTokens(t *testing.T) {
	simulate(t, freepbxsim.Options{Application: throughApplication}, func(t *testing.T, s simulation) {
		first := s.Login(t)
		second, err := s.Driver.KeepAlive(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Driver.Ping(t.Context(), first); !errors.Is(err, pbx.ErrTokenRejected) {
			t.Errorf("the first token: %v", err)
		}
		if _, err := s.Driver.KeepAlive(t.Context(), first); !errors.Is(err, pbx.ErrTokenRejected) {
			t.Errorf("the first refresh token: %v", err)
		}
		if err := s.Driver.Ping(t.Context(), second); err != nil {
			t.Errorf("the second token: %v", err)
		}
	})
}

func TestAScopeIsAskedFor(t *testing.T) {
	simulate(t, freepbxsim.Options{}, func(t *testing.T, s simulation) {
		cfg := config(s.Server.Client().Transport)
		cfg.URL = s.Server.URL
		cfg.Scope = "gql:core rest:core"
		if _, err := open(t, cfg).Login(t.Context()); err != nil {
			t.Errorf("%v", err)
		}
		cfg.Scope = "gql:core nothing"
		_, err := open(t, cfg).Login(t.Context())
		if got := failure(t, err); got.Kind != pbx.ErrConfig || got.Setting != "scope" {
			t.Errorf("an unknown scope: %v", err)
		}
	})
}

func TestAModuleThatIsOffIsNotTakenForTheAPI(t *testing.T) {
	simulate(t, freepbxsim.Options{ModuleOff: true}, func(t *testing.T, s simulation) {
		_, err := s.Driver.Login(t.Context())
		if got := failure(t, err); got.Kind != pbx.ErrProtocol || !strings.Contains(got.Message, "web page") {
			t.Errorf("%v", err)
		}
	})
}
