package wazosim_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/wazo/wazosim"
	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	users  = "/api/confd/1.1/extensions"
	tokens = "/api/auth/0.1/token"
)

// client is one at a Wazo server in virtual time.
type client struct {
	*pbxsim.PBX
	t *testing.T
	s *pbxsim.Server
}

func inMemory(t *testing.T, d wazosim.Options, opts pbxsim.Options, f func(t *testing.T, c client)) {
	t.Helper()
	opts.Accounts = map[string]string{"crm": "secret", "josé": "пароль"}
	drivertest.InMemory(t, func() *pbxsim.PBX { return wazosim.New(&d, &opts) }, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		f(t, client{p, t, s})
	})
}

func (c client) send(method, path, body string, header ...string) (*http.Response, string) {
	c.t.Helper()
	return drivertest.Send(c.t, c.s, method, path, body, header...)
}

const (
	right = "Basic Y3JtOnNlY3JldA==" // crm:secret
	wrong = "Basic Y3JtOndyb25n"     // crm:wrong
)

type data struct {
	Token        string
	RefreshToken string `json:"refresh_token"`
	IssuedAt     string `json:"issued_at"`
	ExpiresAt    string `json:"expires_at"`
	UTCIssuedAt  string `json:"utc_issued_at"`
	UTCExpiresAt string `json:"utc_expires_at"`
}

func (c client) login(body string) data {
	c.t.Helper()
	resp, text := c.send("POST", tokens, body, "Authorization", right, "Content-Type", "application/json")
	var got struct{ Data data }
	if json.Unmarshal([]byte(text), &got); resp.StatusCode != 200 || got.Data.Token == "" {
		c.t.Fatalf("HTTP %d, %s", resp.StatusCode, text)
	}
	return got.Data
}

// The requests of the samples get the samples' responses, but for what is made up.
func TestTheSamples(t *testing.T) {
	const sample = "7f1a50b1-fa4e-4a1c-acc6-704755305814"
	for _, tt := range []struct {
		name    string
		dialect wazosim.Options
		prepare func(c client)
	}{
		{"login", wazosim.Options{}, func(c client) {}},
		{"login-refused", wazosim.Options{}, func(c client) { c.SetPassword("crm", "other") }},
		{"login-full", wazosim.Options{}, func(c client) {
			for range 100 {
				c.login("{}")
			}
		}},
		{"refresh-refused", wazosim.Options{}, func(c client) {}},
		{"logout", wazosim.Options{}, func(c client) {}},
		{"request-dead", wazosim.Options{}, func(c client) {}},
		{"request-denied", wazosim.Options{Denied: "/api/auth/0.1/users"}, func(c client) { c.login("{}") }},
		{"request-tenant", wazosim.Options{}, func(c client) { c.login("{}") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, err := golden.Load("../testdata/golden/" + tt.name + ".http")
			if err != nil {
				t.Fatal(err)
			}
			first := true
			opts := pbxsim.Options{}
			if tt.name != "login-full" {
				opts.NewToken = func() string {
					if !first {
						t.Fatal("a second token")
					}
					first = false
					return sample
				}
			}
			inMemory(t, tt.dialect, opts, func(t *testing.T, c client) {
				tt.prepare(c)
				got := drivertest.Replay(t, c.s, x)
				if diff := cmp.Diff(shape(t, x.Response.Body), shape(t, got)); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		})
	}
}

// shape is a JSON text without what differs from server to server.
func shape(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var strip func(any) any
	strip = func(v any) any {
		fields, ok := v.(map[string]any)
		if !ok {
			return v
		}
		for name, value := range fields {
			switch name {
			case "timestamp", "auth_id", "uuid", "session_uuid", "issued_at", "expires_at", "utc_issued_at", "utc_expires_at", "user_agent", "purpose", "remote_addr":
				fields[name] = nil
			default:
				fields[name] = strip(value)
			}
		}
		return fields
	}
	return strip(v)
}

func TestWhatALoginIsRefusedFor(t *testing.T) {
	inMemory(t, wazosim.Options{}, pbxsim.Options{}, func(t *testing.T, c client) {
		for _, tt := range []struct {
			name, authorization, contentType, body string
			want                                   int
		}{
			{"a wrong password", wrong, "application/json", "{}", 401},
			{"an unknown user", "Basic bm9ib2R5OnNlY3JldA==", "application/json", "{}", 401},
			{"no password", "Basic Y3JtOg==", "application/json", "{}", 401},
			{"no authorization", "", "application/json", "{}", 401},
			{"a token instead", "Bearer x", "application/json", "{}", 401},
			{"not base64", "Basic crm:secret", "application/json", "{}", 401},
			{"an empty body", right, "application/json", "", 400},
			{"a form's content type", right, "application/x-www-form-urlencoded", "{}", 400},
			{"a form", right, "application/json", "expiration=20", 400},
			{"no time", right, "application/json", `{"expiration":0}`, 400},
			{"more than ten years", right, "application/json", `{"expiration":315360001}`, 400},
			{"words for a time", right, "application/json", `{"expiration":"soon"}`, 400},
			{"offline without a client", right, "application/json", `{"access_type":"offline"}`, 400},
			{"a refresh without a client", "", "application/json", `{"refresh_token":"x"}`, 400},
			{"an unknown refresh token", "", "application/json", `{"refresh_token":"x","client_id":"crm"}`, 401},
		} {
			if resp, got := c.send("POST", tokens, tt.body, "Authorization", tt.authorization, "Content-Type", tt.contentType); resp.StatusCode != tt.want {
				t.Errorf("%s: HTTP %d, %s, want %d", tt.name, resp.StatusCode, got, tt.want)
			}
		}
		for _, body := range []string{`{}`, `{"expiration":1}`, `{"expiration":315360000}`, `{"expiration":"20"}`, `{"unknown":[1]}`} {
			c.login(body)
		}
		latin := "Basic am9z6To/Pz8=" // josé in Latin-1, with a wrong password
		if resp, _ := c.send("POST", tokens, "{}", "Authorization", latin); resp.StatusCode != 401 {
			t.Errorf("HTTP %d", resp.StatusCode)
		}
		if logins := c.Logins(); logins[len(logins)-1].User != "josé" {
			t.Errorf("Latin-1 is read as %q", logins[len(logins)-1].User)
		}
		for range 40 {
			c.send("POST", tokens, "{}", "Authorization", wrong)
		}
		c.login("{}") // nobody is locked out
	})
}

func TestTimesAreUTCAndTheServersOwn(t *testing.T) {
	zone := time.FixedZone("", 3600)
	for _, noUTC := range []bool{false, true} {
		inMemory(t, wazosim.Options{Zone: zone, NoUTC: noUTC}, pbxsim.Options{}, func(t *testing.T, c client) {
			got := c.login(`{"expiration":20}`)
			want := data{Token: got.Token, IssuedAt: "2000-01-01T01:00:00", ExpiresAt: "2000-01-01T01:00:20"}
			if !noUTC {
				want.UTCIssuedAt, want.UTCExpiresAt = "2000-01-01T00:00:00", "2000-01-01T00:00:20"
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			time.Sleep(1500 * time.Microsecond)
			if got := c.login("{}"); got.ExpiresAt != "2000-01-01T03:00:00.001500" {
				t.Errorf("with a fraction: %s", got.ExpiresAt)
			}
		})
	}
}

func TestATokenHasTheLifetimeThatWasAskedForAndDoesNotSlide(t *testing.T) {
	inMemory(t, wazosim.Options{}, pbxsim.Options{}, func(t *testing.T, c client) {
		token := c.login(`{"expiration":20}`).Token
		time.Sleep(20*time.Second - time.Nanosecond)
		if resp, _ := c.send("GET", users, "", "X-Auth-Token", token); resp.StatusCode != 200 {
			t.Errorf("HTTP %d", resp.StatusCode)
		}
		time.Sleep(time.Nanosecond)
		if resp, got := c.send("GET", users, "", "X-Auth-Token", token); resp.StatusCode != 401 || !strings.Contains(got, `"not_found_or_expired"`) {
			t.Errorf("HTTP %d, %s", resp.StatusCode, got)
		}
	})
}

func TestATokenIsTakenFromItsHeaderOnly(t *testing.T) {
	inMemory(t, wazosim.Options{}, pbxsim.Options{}, func(t *testing.T, c client) {
		token := c.login("{}").Token
		if resp, _ := c.send("GET", users, "", "Authorization", "Bearer "+token); resp.StatusCode != 401 {
			t.Errorf("Bearer: HTTP %d", resp.StatusCode)
		}
		if resp, _ := c.send("GET", users+"?token="+token, ""); resp.StatusCode != 401 {
			t.Errorf("in the query: HTTP %d", resp.StatusCode)
		}
		if resp, _ := c.send("GET", users, "", "X-Auth-Token", token, "Wazo-Tenant", wazosim.Tenant); resp.StatusCode != 200 {
			t.Errorf("with its own tenant: HTTP %d", resp.StatusCode)
		}
	})
}

func TestATokenIsCheckedAndEndedByItsPath(t *testing.T) {
	inMemory(t, wazosim.Options{Denied: "/api/confd"}, pbxsim.Options{}, func(t *testing.T, c client) {
		token := c.login("{}").Token
		check := func(method, query string, want int) string {
			t.Helper()
			resp, got := c.send(method, tokens+"/"+token+query, "")
			if resp.StatusCode != want {
				t.Errorf("%s %s: HTTP %d, want %d", method, query, resp.StatusCode, want)
			}
			return got
		}
		check("HEAD", "", 204)
		check("HEAD", "?scope=confd.users.read", 403)
		if got := check("GET", "", 200); !strings.Contains(got, token) {
			t.Errorf("GET: %s", got)
		}
		check("PUT", "", 405)
		for range 2 {
			if got := check("DELETE", "", 200); got != `{"data":{"message":"success"}}` {
				t.Errorf("DELETE: %s", got)
			}
			check("HEAD", "", 404)
			if got := check("GET", "", 404); !strings.Contains(got, "No such token") {
				t.Errorf("GET: %s", got)
			}
		}
	})
}

func TestSessionsCountUntilTheyAreSwept(t *testing.T) {
	inMemory(t, wazosim.Options{}, pbxsim.Options{MaxTokens: 5}, func(t *testing.T, c client) {
		time.Sleep(10 * time.Second)
		for range 5 {
			c.login(`{"expiration":20}`)
		}
		status := func(authorization string) int {
			resp, _ := c.send("POST", tokens, "{}", "Authorization", authorization)
			return resp.StatusCode
		}
		if got := status(right); got != 429 {
			t.Errorf("the sixth: HTTP %d", got)
		}
		if got := status(wrong); got != 401 {
			t.Errorf("the sixth with a wrong password: HTTP %d", got)
		}
		time.Sleep(50*time.Second - time.Nanosecond) // they expired at 30 s
		if got := status(right); got != 429 {
			t.Errorf("before the sweep: HTTP %d", got)
		}
		time.Sleep(time.Nanosecond)
		if got := status(right); got != 200 {
			t.Errorf("after the sweep: HTTP %d", got)
		}
	})
}

func TestARefreshTokenIsAClientsOwnAndStays(t *testing.T) {
	inMemory(t, wazosim.Options{}, pbxsim.Options{}, func(t *testing.T, c client) {
		const offline = `{"access_type":"offline","client_id":"crm"}`
		first, second := c.login(offline), c.login(offline)
		other := c.login(`{"access_type":"offline","client_id":"other"}`)
		if first.RefreshToken == "" || first.RefreshToken != second.RefreshToken || other.RefreshToken == first.RefreshToken {
			t.Fatalf("%q, %q, of another client %q", first.RefreshToken, second.RefreshToken, other.RefreshToken)
		}
		refresh := func(client string, want int) string {
			t.Helper()
			resp, got := c.send("POST", tokens, `{"refresh_token":"`+first.RefreshToken+`","client_id":"`+client+`","expiration":60}`)
			if resp.StatusCode != want {
				t.Errorf("a refresh of %s: HTTP %d, %s, want %d", client, resp.StatusCode, got, want)
			}
			return got
		}
		refresh("other", 401)
		for range 3 {
			time.Sleep(1000 * time.Hour)
			if got := refresh("crm", 200); strings.Contains(got, "refresh_token") {
				t.Errorf("a refresh brings a refresh token: %s", got)
			}
		}
		token := c.login(offline).Token
		if resp, _ := c.send("DELETE", "/api/auth/0.1/users/me/tokens/crm", "", "X-Auth-Token", token); resp.StatusCode != 204 {
			t.Errorf("HTTP %d", resp.StatusCode)
		}
		refresh("crm", 401)
		if resp, _ := c.send("GET", users, "", "X-Auth-Token", token); resp.StatusCode != 200 {
			t.Errorf("the token goes with it: HTTP %d", resp.StatusCode)
		}
	})
}

func TestOldReleasesGiveNoReason(t *testing.T) {
	inMemory(t, wazosim.Options{NoReason: true, Denied: users}, pbxsim.Options{}, func(t *testing.T, c client) {
		token := c.login("{}").Token
		for _, given := range []string{token, "dead"} {
			if resp, got := c.send("GET", users, "", "X-Auth-Token", given); resp.StatusCode != 401 || strings.Contains(got, "reason") || !strings.Contains(got, given) {
				t.Errorf("HTTP %d, %s", resp.StatusCode, got)
			}
		}
	})
}

func TestANewerLibraryForbidsWithAStatusOfItsOwn(t *testing.T) {
	inMemory(t, wazosim.Options{Forbidden403: true, Denied: users}, pbxsim.Options{}, func(t *testing.T, c client) {
		token := c.login("{}").Token
		if resp, got := c.send("GET", users, "", "X-Auth-Token", token); resp.StatusCode != 403 || !strings.Contains(got, `"error_id":"forbidden"`) || !strings.Contains(got, "missing_permission_or_invalid_tenant") {
			t.Errorf("HTTP %d, %s", resp.StatusCode, got)
		}
		if resp, got := c.send("GET", users, "", "X-Auth-Token", "dead"); resp.StatusCode != 401 || !strings.Contains(got, `"error_id":"unauthorized"`) {
			t.Errorf("HTTP %d, %s", resp.StatusCode, got)
		}
	})
}

func TestOtherPathsAreNotServed(t *testing.T) {
	inMemory(t, wazosim.Options{}, pbxsim.Options{}, func(t *testing.T, c client) {
		token := c.login("{}").Token
		for target, want := range map[string]int{
			"GET /": 200, "GET /0.1/token": 404, "GET " + tokens: 405, "GET /api/confd/1.1/nothing": 404, "POST " + users: 404,
		} {
			method, path, _ := strings.Cut(target, " ")
			if resp, _ := c.send(method, path, "", "X-Auth-Token", token); resp.StatusCode != want {
				t.Errorf("%s: HTTP %d, want %d", target, resp.StatusCode, want)
			}
		}
	})
}
