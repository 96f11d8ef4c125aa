package wazo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/wazo"
	"github.com/pbxauth/pbx/adapters/wazo/wazosim"
	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

const (
	user     = "crm"
	password = "secret"

	sampleToken   = "7f1a50b1-fa4e-4a1c-acc6-704755305814"
	sampleRefresh = "9d2b6c4e-1f3a-4b5c-8d7e-6f5a4b3c2d1e"
)

func given() *pbx.Token {
	return &pbx.Token{Value: pbx.NewSecret(sampleToken), Refresh: pbx.NewSecret(sampleRefresh)}
}

func config(rt http.RoundTripper) wazo.Config {
	return wazo.Config{Config: pbx.Config{URL: "https://wazo.example.com", Username: user, Password: pbx.NewSecret(password), Transport: rt}}
}

func open(t testing.TB, cfg wazo.Config) *wazo.PBX {
	t.Helper()
	driver, err := wazo.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

// failure is err as what every error of a driver is.
func failure(t testing.TB, err error) *pbx.Error {
	t.Helper()
	return drivertest.Failure(t, wazo.Name, err)
}

// simulation is a Wazo server in virtual time, and the driver opened on it.
type simulation = drivertest.Simulation[*wazo.PBX]

func simulate(t *testing.T, d wazosim.Options, clientID string, f func(t *testing.T, s simulation)) {
	t.Helper()
	drivertest.Simulate(t, func() *pbxsim.PBX {
		return wazosim.New(&d, &pbxsim.Options{Accounts: map[string]string{user: password}})
	}, func(at pbx.Config) (*wazo.PBX, error) {
		cfg := config(at.Transport)
		cfg.URL, cfg.ClientID = at.URL, clientID
		return wazo.New(cfg)
	}, f)
}

// get sends a request as an application does, and returns the HTTP status.
func get(t *testing.T, s simulation, live *session.Session, path string) int {
	t.Helper()
	resp, err := live.Client().Get(s.Server.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// replayed opens the driver on samples of testdata/golden.
func replayed(t *testing.T, clientID string, names ...string) *wazo.PBX {
	t.Helper()
	for i := range names {
		names[i] = "testdata/golden/" + names[i] + ".http"
	}
	cfg := config(golden.Transport(t, names...))
	cfg.TokenTTL, cfg.ClientID = 20*time.Second, clientID
	return open(t, cfg)
}

func TestTheSamplesLoginAndLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := replayed(t, "", "login", "logout")
		token, err := driver.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		details := token.Details
		token.Details = nil
		want := &pbx.Token{Value: pbx.NewSecret(sampleToken), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(20 * time.Second)}
		if diff := cmp.Diff(want, token); diff != "" {
			t.Errorf("token (-want +got):\n%s", diff)
		}
		var got struct {
			Metadata struct {
				UUID       string `json:"uuid"`
				TenantUUID string `json:"tenant_uuid"`
			} `json:"metadata"`
			ACL []string `json:"acl"`
		}
		if err := json.Unmarshal(details, &got); err != nil || got.Metadata.UUID == "" || got.Metadata.TenantUUID != wazosim.Tenant || len(got.ACL) != 1 {
			t.Errorf("details %s: %v", details, err)
		}
		if bytes.Contains(details, []byte(sampleToken)) {
			t.Errorf("the details hold the token: %s", details)
		}
		if err := driver.Logout(t.Context(), token); err != nil {
			t.Error(err)
		}
	})
}

func TestTheSamplesRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := replayed(t, "crm", "login-offline", "refresh")
		first, err := driver.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		second, err := driver.KeepAlive(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		if first.Refresh.Reveal() != sampleRefresh || !second.Refresh.Equal(first.Refresh) {
			t.Error("the refresh token does not stay")
		}
		if second.Value.Equal(first.Value) || second.ExpiresAt != time.Now().Add(20*time.Second) || !second.RefreshExpiresAt.IsZero() {
			t.Errorf("refreshed: %v", second)
		}
		if bytes.Contains(first.Details, []byte(sampleRefresh)) {
			t.Errorf("the details hold the refresh token: %s", first.Details)
		}
	})
}

func TestTheSamplesRefusals(t *testing.T) {
	login := func(d *wazo.PBX) error { _, err := d.Login(t.Context()); return err }
	refresh := func(d *wazo.PBX) error { _, err := d.KeepAlive(t.Context(), given()); return err }
	for _, tt := range []struct {
		sample, clientID string
		do               func(*wazo.PBX) error
		kind             error
	}{
		{"login-refused", "", login, pbx.ErrInvalidCredentials},
		{"login-full", "", login, pbx.ErrTooManySessions},
		{"login-broker-down", "", login, pbx.ErrUnavailable},
		{"refresh-refused", "crm", refresh, pbx.ErrTokenRejected},
	} {
		t.Run(tt.sample, func(t *testing.T) {
			if got := failure(t, tt.do(replayed(t, tt.clientID, tt.sample))); got.Kind != tt.kind || !got.Sent || got.Ambiguous {
				t.Errorf("%v, want %v", got, tt.kind)
			}
		})
	}
}

func TestTheSamplesOfARefusedRequest(t *testing.T) {
	for sample, want := range map[string]error{
		"request-dead": pbx.ErrTokenRejected, "request-denied": pbx.ErrForbidden, "request-tenant": pbx.ErrForbidden,
	} {
		x, err := golden.Load("testdata/golden/" + sample + ".http")
		if err != nil {
			t.Fatal(err)
		}
		got := failure(t, open(t, config(drivertest.Unsent{T: t})).Inspect(&http.Response{StatusCode: 401}, []byte(x.Response.Body), given()))
		if got.Kind != want || got.Ambiguous {
			t.Errorf("%s: %v, want %v", sample, got, want)
		}
		if text := got.Error(); strings.Contains(text, "7f1a50b1") || strings.Contains(text, "704755305814") {
			t.Errorf("%s: the error quotes the token, which the body holds: %s", sample, text)
		}
	}
}

// Everything that stands in front of the server, or is another one.
func TestWhatAResponseMeans(t *testing.T) {
	const forbidden = `{"message":"Forbidden","error_id":"forbidden","details":{"invalid_token":"x","reason":"missing_permission_or_invalid_tenant","required_access":"confd.users.read","tenant_uuid":null},"timestamp":1.5}`
	const daemonDown = `{"reason":"Authentication server unreachable","error_id":"authentication-server-unreachable","message":"x","details":{}}`
	for _, tt := range []struct {
		name   string
		op     pbx.Op
		status int
		body   string
		kind   error
		sent   bool
	}{
		{"a 401 of a gateway", pbx.OpLogin, 401, `{"message":"Unauthorized"}`, pbx.ErrConfig, true},
		{"a 401 of nginx", pbx.OpLogin, 401, pbxsim.HTMLPage, pbx.ErrConfig, true},
		{"a wrong password under another status", pbx.OpLogin, 200, `{"reason":["Authentication Failed"],"status_code":401}`, pbx.ErrInvalidCredentials, true},
		{"a status without a reason", pbx.OpLogin, 401, `{"status_code":401}`, pbx.ErrConfig, true},
		{"a success for a reason", pbx.OpLogin, 401, `{"reason":["x"],"status_code":200}`, pbx.ErrConfig, true},
		{"a 429 of a gateway", pbx.OpLogin, 429, `{"message":"API rate limit exceeded"}`, pbx.ErrUnavailable, true},
		{"a 429 of nginx", pbx.OpLogin, 429, pbxsim.HTMLPage, pbx.ErrUnavailable, true},
		{"a lifetime that the server does not permit", pbx.OpLogin, 400, `{"reason":["{'expiration': ['x']}"],"status_code":400}`, pbx.ErrConfig, true},
		{"a request that is not understood", pbx.OpLogin, 400, `{"message":"The browser (or proxy) sent a request that this server could not understand."}`, pbx.ErrProtocol, true},
		{"a server that starts", pbx.OpLogin, 503, `{"error_id":"top-tenant-not-initialized","message":"x"}`, pbx.ErrUnavailable, true},
		{"a failure of wazo-auth's own without a meaning here", pbx.OpLogin, 409, `{"reason":["x"],"status_code":409}`, pbx.ErrProtocol, true},
		{"a forbidden login", pbx.OpLogin, 403, `{"reason":["x"],"status_code":403}`, pbx.ErrForbidden, true},
		{"data without a token", pbx.OpLogin, 200, `{"data":{}}`, pbx.ErrProtocol, true},
		{"a token that no URL can carry", pbx.OpLogin, 200, `{"data":{"token":"../../users"}}`, pbx.ErrProtocol, true},
		{"other JSON", pbx.OpLogin, 200, `{"token":"x"}`, pbx.ErrProtocol, true},

		{"a 401 of a gateway", pbx.OpRequest, 401, `{"message":"Unauthorized"}`, pbx.ErrConfig, true},
		{"a 401 of nginx", pbx.OpRequest, 401, pbxsim.HTMLPage, pbx.ErrConfig, true},
		{"wazo-auth is down", pbx.OpRequest, 503, daemonDown, pbx.ErrUnavailable, true},
		{"a dead token under another status", pbx.OpRequest, 200, `{"error_id":"unauthorized","details":{"reason":"not_found_or_expired"}}`, pbx.ErrTokenRejected, true},
		{"an error without details", pbx.OpRequest, 401, `{"error_id":"unauthorized"}`, pbx.ErrConfig, true},
		{"data with a code of the application's own", pbx.OpRequest, 200, `{"error_id":"x","details":{},"reason":["y"],"status_code":7}`, nil, true},
		{"nginx without a backend", pbx.OpRequest, 502, pbxsim.HTMLPage, pbx.ErrUnavailable, true},
		{"the application's mistake", pbx.OpRequest, 404, `{"message":"x","error_id":"not-found"}`, pbx.ErrProtocol, true},
		{"forbidden", pbx.OpRequest, 403, `{"message":"x","error_id":"y"}`, pbx.ErrForbidden, true},
		{"a missing permission since 2026", pbx.OpRequest, 403, forbidden, pbx.ErrForbidden, true},
		{"the same under another status", pbx.OpRequest, 401, forbidden, pbx.ErrForbidden, true},
		{"the same without a reason", pbx.OpRequest, 403, `{"message":"Forbidden","error_id":"forbidden","details":{}}`, pbx.ErrForbidden, true},
		{"a good one", pbx.OpRequest, 204, "", nil, true},

		{"no such token", pbx.OpPing, 404, `{"reason":["No such token"],"status_code":404}`, pbx.ErrTokenRejected, true},
		{"no such page", pbx.OpPing, 404, pbxsim.HTMLPage, pbx.ErrProtocol, true},
		{"no such path", pbx.OpPing, 404, `{"message":"not found"}`, pbx.ErrProtocol, true},
		{"another page", pbx.OpPing, 200, pbxsim.HTMLPage, pbx.ErrProtocol, true},

		{"another page", pbx.OpLogout, 200, pbxsim.HTMLPage, pbx.ErrProtocol, true},
	} {
		t.Run(string(tt.op)+" "+tt.name, func(t *testing.T) {
			driver := open(t, config(drivertest.Response{Status: tt.status, Body: tt.body}))
			var err error
			switch tt.op {
			case pbx.OpLogin:
				_, err = driver.Login(t.Context())
			case pbx.OpPing:
				err = driver.Ping(t.Context(), given())
			case pbx.OpLogout:
				err = driver.Logout(t.Context(), given())
			default:
				err = driver.Inspect(&http.Response{StatusCode: tt.status, Header: http.Header{}}, []byte(tt.body), given())
			}
			if tt.kind == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if got := failure(t, err); got.Kind != tt.kind || got.Sent != tt.sent || got.Ambiguous {
				t.Errorf("%v, sent %v; want %v, sent %v", err, got.Sent, tt.kind, tt.sent)
			}
		})
	}
}

// A session waits as long as the error says, and believes its NotJudged.
func TestWhatAFailedRequestForATokenSaysBesidesItsKind(t *testing.T) {
	const broker, tooLong = `{"message":"Internal Server Error"}`, `{"reason":["{'expiration': ['x']}"],"status_code":400}`
	for _, tt := range []struct {
		op     pbx.Op
		status int
		body   string
		header http.Header
		want   pbx.Error
	}{
		{pbx.OpLogin, 400, tooLong, nil, pbx.Error{Kind: pbx.ErrConfig, Setting: "token_ttl", Code: "400", NotJudged: true}},
		{pbx.OpKeepAlive, 400, tooLong, nil, pbx.Error{Kind: pbx.ErrConfig, Setting: "token_ttl", Code: "400"}},
		{pbx.OpLogin, 500, broker, nil, pbx.Error{Kind: pbx.ErrUnavailable, RetryAfter: 5 * time.Second}},
		{pbx.OpLogin, 500, broker, http.Header{"Retry-After": {"60"}}, pbx.Error{Kind: pbx.ErrUnavailable, RetryAfter: time.Minute}},
		{pbx.OpKeepAlive, 500, broker, nil, pbx.Error{Kind: pbx.ErrUnavailable}},
		{pbx.OpLogin, 503, `{"message":"x","error_id":"y"}`, nil, pbx.Error{Kind: pbx.ErrUnavailable, Code: "y"}},
		{pbx.OpLogin, 503, `{"message":"x","error_id":"top-tenant-not-initialized"}`, nil, pbx.Error{Kind: pbx.ErrUnavailable, Code: "top-tenant-not-initialized", NotJudged: true}},
		{pbx.OpKeepAlive, 503, `{"message":"x","error_id":"top-tenant-not-initialized"}`, nil, pbx.Error{Kind: pbx.ErrUnavailable, Code: "top-tenant-not-initialized"}},
		{pbx.OpLogin, 403, `{"message":"x"}`, nil, pbx.Error{}},
		{pbx.OpLogin, 403, `{"error_id":"forbidden","details":{}}`, nil, pbx.Error{Code: "forbidden"}},
		{pbx.OpKeepAlive, 403, `{"error_id":"y"}`, nil, pbx.Error{Kind: pbx.ErrForbidden, Code: "y"}},
		{pbx.OpLogin, 403, pbxsim.HTMLPage, nil, pbx.Error{Kind: pbx.ErrConfig}},
		{pbx.OpLogin, 502, pbxsim.HTMLPage, nil, pbx.Error{Kind: pbx.ErrUnavailable}},
		{pbx.OpLogin, 401, `{"reason":["x"],"status_code":401}`, nil, pbx.Error{Kind: pbx.ErrInvalidCredentials, Code: "401"}},
		{pbx.OpLogin, 200, `{"data":{"token":"` + sampleToken + `"}}`, nil, pbx.Error{Kind: pbx.ErrProtocol}}, // a refresh token was asked for
	} {
		cfg := config(drivertest.Response{Status: tt.status, Header: tt.header, Body: tt.body})
		cfg.ClientID = "crm"
		driver := open(t, cfg)
		_, err := driver.Login(t.Context())
		if tt.op == pbx.OpKeepAlive {
			_, err = driver.KeepAlive(t.Context(), given())
		}
		tt.want.Driver, tt.want.Op, tt.want.HTTPStatus, tt.want.Sent = wazo.Name, tt.op, tt.status, true
		got := *failure(t, err)
		got.Message, got.Length = "", 0
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: HTTP %d %s (-want +got):\n%s", tt.op, tt.status, tt.body, diff)
		}
	}
}

// The two UTC times are compared with each other and with no clock. The times in
// the server's own zone are not read: clocks are set back in the night in between.
func TestALifetimeIsTheDifferenceOfTheUTCTimes(t *testing.T) {
	for times, want := range map[string]time.Duration{
		`"utc_issued_at":"2026-11-25T19:24:40.936507","utc_expires_at":"2026-11-25T19:25:00.936507"`: 20 * time.Second,
		`"utc_issued_at":"2026-11-25T19:24:40","utc_expires_at":"2026-11-25T20:24:40"`:               time.Hour,
		`"utc_issued_at":"2026-11-25T19:24:40.5","utc_expires_at":"2026-11-25T19:24:42"`:             1500 * time.Millisecond,
		`"utc_issued_at":"2026-11-25T19:24:40","utc_expires_at":"2026-11-25T19:24:41"`:               time.Second,
		`"utc_issued_at":"2026-01-01T00:00:00","utc_expires_at":"2035-12-30T00:00:00"`:               87600 * time.Hour,
		`"utc_issued_at":"1999-01-01T00:00:00","utc_expires_at":"1999-01-01T00:00:30"`:               30 * time.Second,
		`"issued_at":"2026-10-25T02:59:00","expires_at":"2026-10-25T02:01:00"`:                       2 * time.Hour,
		`"issued_at":"2026-10-25T02:00:00","expires_at":"2026-10-25T02:00:10"`:                       2 * time.Hour,
		`"utc_issued_at":"2026-11-25T19:24:40","utc_expires_at":"2026-11-25T19:24:40"`:               2 * time.Hour,
		`"utc_issued_at":"2026-11-25T19:24:40","utc_expires_at":"2026-11-25T18:24:40"`:               2 * time.Hour,
		`"utc_issued_at":"0001-01-01T00:00:00","utc_expires_at":"9999-01-01T00:00:00"`:               2 * time.Hour,
		`"utc_issued_at":"soon","utc_expires_at":"2026-11-25T19:25:00"`:                              2 * time.Hour,
		`"utc_expires_at":"2026-11-25T19:25:00"`:                                                     2 * time.Hour,
		`"acl":[]`:                                                                                   2 * time.Hour,
	} {
		token, err := open(t, config(drivertest.Response{Status: 200, Body: `{"data":{"token":"` + sampleToken + `",` + times + `}}`})).Login(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", times, err)
		}
		if got := token.ExpiresAt.Sub(token.IssuedAt); got != want {
			t.Errorf("%s: %s, want %s", times, got, want)
		}
	}
}

func TestTheLifetimeIsAskedFor(t *testing.T) {
	opts := pbxsim.Options{Accounts: map[string]string{user: password}}
	drivertest.InMemory(t, func() *pbxsim.PBX { return wazosim.New(nil, &opts) }, func(t *testing.T, sim *pbxsim.PBX, server *pbxsim.Server) {
		cfg := config(server.Client().Transport)
		cfg.URL, cfg.TokenTTL = server.URL, 90500*time.Millisecond
		token, err := open(t, cfg).Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := token.ExpiresAt.Sub(token.IssuedAt); got != 90*time.Second {
			t.Errorf("a lifetime of %s", got)
		}
		time.Sleep(90 * time.Second)
		if len(sim.Tokens(user)) != 0 {
			t.Error("the server has given another lifetime")
		}
	})
}

// Under 401, or since 2026 under 403, with another error_id.
func TestAMissingPermissionIsNamed(t *testing.T) {
	for _, d := range []wazosim.Options{{Denied: "/api/confd/"}, {Denied: "/api/confd/", Forbidden403: true}} {
		simulate(t, d, "", func(t *testing.T, s simulation) {
			r := drivertest.NewRequest(t, http.MethodGet, s.Server.URL+"/api/confd/1.1/extensions", "", "")
			token := s.Login(t)
			resp, body := drivertest.RoundTrip(t, s.Driver, r, token)
			got := failure(t, s.Driver.Inspect(resp, body, token))
			if got.Kind != pbx.ErrForbidden || !strings.Contains(got.Message, "lacks a permission") || got.Code == "" {
				t.Errorf("%+v: %v, code %q", d, got, got.Code)
			}
		})
	}
}

// The mistake of real clients: a 401 for a missing permission taken for a dead
// token, and login after login until the user has no session left.
func TestAMissingPermissionCostsNoLogin(t *testing.T) {
	for name, d := range map[string]wazosim.Options{
		"26.04": {Denied: "/api/confd/"}, "before 22.05": {Denied: "/api/confd/", NoReason: true}, "403": {Denied: "/api/confd/", Forbidden403: true},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, d, "", func(t *testing.T, s simulation) {
				live := s.Session()
				defer live.Close(t.Context())
				for range 200 {
					if got := get(t, s, live, "/api/confd/1.1/extensions"); got != 401 && (got != 403 || !d.Forbidden403) {
						t.Fatalf("HTTP %d, want the server's own refusal", got)
					}
					time.Sleep(100 * time.Millisecond)
				}
				if got := get(t, s, live, "/api/auth/0.1/users/me/tokens"); got != 200 {
					t.Errorf("a permitted request: HTTP %d", got)
				}
				counts := s.Counts()
				if counts.Logins != 1 {
					t.Errorf("%d logins, want 1", counts.Logins)
				}
				if pings := counts.Requests - 202 - counts.Logouts; pings > 25 || d.NoReason != (pings > 0) {
					t.Errorf("%d pings in 20 s", pings)
				}
			})
		})
	}
}

func TestADeadTokenOfAnOldReleaseIsReplaced(t *testing.T) {
	simulate(t, wazosim.Options{NoReason: true}, "", func(t *testing.T, s simulation) {
		live := s.Session()
		defer live.Close(t.Context())
		if got := get(t, s, live, "/api/confd/1.1/extensions"); got != 200 {
			t.Fatalf("HTTP %d", got)
		}
		s.Restart()
		get(t, s, live, "/api/confd/1.1/extensions") // finds out
		time.Sleep(5 * time.Second)
		if got := get(t, s, live, "/api/confd/1.1/extensions"); got != 200 {
			t.Errorf("HTTP %d", got)
		}
		if got := s.Counts().Logins; got != 2 {
			t.Errorf("%d logins, want 2", got)
		}
	})
}

// brokenBroker has a login fail after the password was judged.
var brokenBroker = pbxsim.Fault{On: pbxsim.Login, Times: -1, Edit: func(_ *pbxsim.Request, r *pbxsim.Reply) {
	if r.Status == 200 {
		r.Status, r.Body = 500, []byte(`{"message": "Internal Server Error"}`)
	}
}}

// A right password, and no token: the session tries again, and is not rejected.
func TestASessionOutlastsABrokenMessageBroker(t *testing.T) {
	simulate(t, wazosim.Options{}, "", func(t *testing.T, s simulation) {
		s.Fault(brokenBroker)
		live := s.Session()
		defer live.Close(t.Context())
		time.Sleep(time.Minute)
		if state := live.Status().State; state == session.Live || state == session.Rejected {
			t.Errorf("state %v", state)
		}
		s.ClearFaults()
		time.Sleep(15 * time.Minute)
		if _, err := live.Token(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// The server has made the session before it fails, and counts it until it expires.
func TestABrokenMessageBrokerDoesNotCostAllSessions(t *testing.T) {
	simulate(t, wazosim.Options{}, "", func(t *testing.T, s simulation) {
		s.Fault(brokenBroker)
		live := s.Session()
		defer live.Close(t.Context())
		time.Sleep(90 * time.Minute)
		s.ClearFaults()
		time.Sleep(6 * time.Minute)
		if _, err := live.Token(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// All sessions are taken by tokens that nobody has logged out. They count until
// they expire, and up to a minute longer.
func TestASessionWaitsUntilAnotherTokenFits(t *testing.T) {
	simulate(t, wazosim.Options{}, "", func(t *testing.T, s simulation) {
		time.Sleep(30 * time.Second)
		for range 100 {
			s.Login(t)
		}
		full := time.Now()
		live := s.Session()
		defer live.Close(t.Context())
		time.Sleep(time.Second)
		if err := live.Status().Err; !errors.Is(err, pbx.ErrTooManySessions) {
			t.Errorf("%v, want %v", err, pbx.ErrTooManySessions)
		}
		time.Sleep(time.Until(full.Add(2 * time.Hour)))
		if _, err := s.Driver.Login(t.Context()); !errors.Is(err, pbx.ErrTooManySessions) {
			t.Errorf("before the sweep: %v", err)
		}
		time.Sleep(10 * time.Minute)
		if _, err := live.Token(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestARefreshTokenLastsForAWeek(t *testing.T) {
	simulate(t, wazosim.Options{}, "crm", func(t *testing.T, s simulation) {
		live := s.Session()
		for range 7 * 24 {
			if got := get(t, s, live, "/api/confd/1.1/extensions"); got != 200 {
				t.Fatalf("HTTP %d", got)
			}
			time.Sleep(time.Hour)
		}
		if c := s.Counts(); c.Logins != 1 || c.KeepAlives < 80 || c.RefusedTokens != 0 {
			t.Errorf("%+v, want one login", c)
		}
		if err := live.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestALogoutEndsTheRefreshToken(t *testing.T) {
	simulate(t, wazosim.Options{}, "crm", func(t *testing.T, s simulation) {
		first, second := s.Login(t), s.Login(t)
		if !first.Refresh.Equal(second.Refresh) {
			t.Fatal("two logins with one client_id bring two refresh tokens")
		}
		if err := s.Driver.Logout(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Driver.KeepAlive(t.Context(), second); !errors.Is(err, pbx.ErrTokenRejected) {
			t.Errorf("a refresh after the logout: %v", err)
		}
		if got := s.Tokens(user); len(got) != 1 || got[0] != second.Value.Reveal() {
			t.Errorf("%d tokens are alive, want the other one", len(got))
		}
		third := s.Login(t)
		time.Sleep(3 * time.Hour)
		if err := s.Driver.Logout(t.Context(), third); err != nil {
			t.Errorf("of an expired token: %v", err)
		}
		if path := s.Last().Path; path != "/api/auth/0.1/token/"+third.Value.Reveal() {
			t.Errorf("the last request was to %s", path)
		}
	})
}

// Without the permission to delete it, the token is ended all the same, and the
// application learns that the refresh token is not.
func TestARefreshTokenThatMayNotBeDeletedIsAnError(t *testing.T) {
	for _, old := range []bool{false, true} {
		simulate(t, wazosim.Options{Denied: "/api/auth/0.1/users/", NoReason: old}, "crm", func(t *testing.T, s simulation) {
			token := s.Login(t)
			if err := s.Driver.Logout(t.Context(), token); err == nil {
				t.Error("no error")
			}
			if got := s.Tokens(user); len(got) != 0 {
				t.Error("the token is alive")
			}
			if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil {
				t.Errorf("the refresh token is dead: %v", err)
			}
		})
	}
}

func TestARefreshTokenThatAnotherProgramDeletedIsNoError(t *testing.T) {
	for _, body := range []string{`{"reason":["x"],"status_code":404}`, `{"message":"x","error_id":"unknown-refresh-token"}`} {
		simulate(t, wazosim.Options{}, "crm", func(t *testing.T, s simulation) {
			token := s.Login(t)
			s.Fault(pbxsim.Fault{On: pbxsim.Logout, Status: 404, Body: []byte(body)})
			if err := s.Driver.Logout(t.Context(), token); err != nil {
				t.Error(err)
			}
			if got := s.Tokens(user); len(got) != 0 {
				t.Error("the token is alive")
			}
		})
	}
}
