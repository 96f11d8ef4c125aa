package freepbxsim_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx/adapters/freepbx/freepbxsim"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	form      = "application/x-www-form-urlencoded"
	tokenPath = "/admin/api/api/token"
	gql       = "/admin/api/api/gql"
	users     = "/admin/api/api/rest/core/users"

	good = "client_id=application&client_secret=secret&grant_type=client_credentials"
	user = "client_id=application&client_secret=secret&grant_type=password&username=1000&password=pass"
)

// client is one at a FreePBX in virtual time.
type client struct {
	*pbxsim.PBX
	t *testing.T
	s *pbxsim.Server
}

func inMemory(t *testing.T, d freepbxsim.Options, opts pbxsim.Options, f func(t *testing.T, c client)) {
	t.Helper()
	opts.Accounts = map[string]string{"application": "secret", "1000": "pass"}
	drivertest.InMemory(t, func() *pbxsim.PBX { return freepbxsim.New(&d, &opts) }, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		f(t, client{p, t, s})
	})
}

func (c client) send(method, path, body string, header ...string) (*http.Response, string) {
	c.t.Helper()
	return drivertest.Send(c.t, c.s, method, path, body, header...)
}

type tokenBody struct {
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
}

func (c client) token(body string) tokenBody {
	c.t.Helper()
	resp, text := c.send("POST", tokenPath, body, "Content-Type", form)
	var got tokenBody
	if json.Unmarshal([]byte(text), &got); resp.StatusCode != 200 || got.AccessToken == "" || got.TokenType != "Bearer" {
		c.t.Fatalf("HTTP %d, %s", resp.StatusCode, text)
	}
	return got
}

func (c client) refused(body, code string, status int) *http.Response {
	c.t.Helper()
	resp, text := c.send("POST", tokenPath, body, "Content-Type", form)
	if resp.StatusCode != status || !strings.Contains(text, `"error":"`+code+`"`) {
		c.t.Errorf("%s: HTTP %d, %s, want HTTP %d, %s", body, resp.StatusCode, text, status, code)
	}
	return resp
}

var application = freepbxsim.Application{ID: "application", Secret: "secret"}

func TestTheSamples(t *testing.T) {
	for _, tt := range []struct {
		name    string
		dialect freepbxsim.Options
		prepare func(c client)
	}{
		{"login-16", freepbxsim.Options{}, func(c client) {}},
		{"login-17", freepbxsim.Options{Version: 17}, func(c client) {}},
		{"login-user-16", freepbxsim.Options{Application: application}, func(c client) {}},
		{"refresh-16", freepbxsim.Options{Application: application}, func(c client) { c.token(user) }},
		{"login-refused-16", freepbxsim.Options{}, func(c client) { c.SetPassword("application", "other") }},
		{"login-refused-17", freepbxsim.Options{Version: 17}, func(c client) { c.SetPassword("application", "other") }},
		{"login-user-refused-16", freepbxsim.Options{Application: application}, func(c client) { c.SetPassword("1000", "other") }},
		{"login-user-refused-17", freepbxsim.Options{Version: 17, Application: application}, func(c client) { c.SetPassword("1000", "other") }},
		{"refresh-refused-16", freepbxsim.Options{Application: application}, func(c client) {}},
		{"request-dead-16", freepbxsim.Options{}, func(c client) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, err := golden.Load("../testdata/golden/" + tt.name + ".http")
			if err != nil {
				t.Fatal(err)
			}
			var sample tokenBody
			json.Unmarshal([]byte(x.Response.Body), &sample)
			values := []string{sample.AccessToken, sample.RefreshToken}
			if tt.name == "refresh-16" {
				values = []string{"first", "def50200", sample.AccessToken, sample.RefreshToken}
			}
			next := func() string { v := values[0]; values = values[1:]; return v }
			inMemory(t, tt.dialect, pbxsim.Options{NewToken: next}, func(t *testing.T, c client) {
				tt.prepare(c)
				drivertest.SameJSON(t, x.Response.Body, drivertest.Replay(t, c.s, x))
			})
		})
	}
}

func TestWhatATokenRequestIsRefusedFor(t *testing.T) {
	for _, version := range []int{15, 16, 17} {
		wrongUser, status := "invalid_credentials", 401
		if version == 17 {
			wrongUser, status = "invalid_grant", 400
		}
		inMemory(t, freepbxsim.Options{Version: version, Application: application}, pbxsim.Options{Lockout: pbxsim.Lockout{After: -1}}, func(t *testing.T, c client) {
			c.refused("client_id=application&client_secret=wrong&grant_type=client_credentials", "invalid_client", 401)
			c.refused("client_id=nobody&client_secret=secret&grant_type=client_credentials", "invalid_client", 401)
			c.refused("client_id=application&grant_type=client_credentials", "invalid_client", 401)
			challenged := c.refused("grant_type=client_credentials", "invalid_client", 401).Header.Get("WWW-Authenticate")
			if want := map[bool]string{true: `Basic realm="OAuth"`}[version < 17]; challenged != want {
				t.Errorf("%d: WWW-Authenticate %q to a client that did not use Basic, want %q", version, challenged, want)
			}
			c.refused(strings.Replace(user, "pass&", "x&", 1)+"x", wrongUser, status)
			c.refused(strings.Replace(user, "1000", "nobody", 1), wrongUser, status)
			c.refused(strings.Replace(user, "secret=secret", "secret=wrong", 1), "invalid_client", 401)
			c.refused(strings.Replace(good, "client_credentials", "device_code", 1), "unsupported_grant_type", 400)
			c.refused(good+"&scope=nothing", "invalid_scope", 400)
			c.token(good + "&scope=gql+rest%3Acore%3Aread")
			if resp, _ := c.send("POST", tokenPath, `{"grant_type":"client_credentials"}`, "Content-Type", "application/json"); resp.StatusCode != 400 {
				t.Errorf("JSON: HTTP %d", resp.StatusCode)
			}
			if resp, _ := c.send("GET", tokenPath, ""); resp.StatusCode != 405 {
				t.Errorf("GET: HTTP %d", resp.StatusCode)
			}
		})
	}
	inMemory(t, freepbxsim.Options{}, pbxsim.Options{}, func(t *testing.T, c client) {
		c.refused(user, "unsupported_grant_type", 400)
	})
}

func TestAnApplicationMayUseBasic(t *testing.T) {
	inMemory(t, freepbxsim.Options{}, pbxsim.Options{}, func(t *testing.T, c client) {
		basic := func(pair string) *http.Response {
			resp, _ := c.send("POST", tokenPath, "grant_type=client_credentials", "Content-Type", form, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
			return resp
		}
		if resp := basic("application:secret"); resp.StatusCode != 200 {
			t.Errorf("HTTP %d", resp.StatusCode)
		}
		if resp := basic("application:wrong"); resp.StatusCode != 401 || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Basic") {
			t.Errorf("HTTP %d, WWW-Authenticate %q", resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
		}
	})
}

func TestFreePBX17MayTakeAnySecret(t *testing.T) {
	inMemory(t, freepbxsim.Options{Version: 17, AnySecret: true}, pbxsim.Options{}, func(t *testing.T, c client) {
		c.token("client_id=application&client_secret=wrong&grant_type=client_credentials")
		c.refused("client_id=nobody&client_secret=secret&grant_type=client_credentials", "invalid_client", 401)
	})
}

func TestATokenIsAJWTOfAnHour(t *testing.T) {
	for version, fraction := range map[int]bool{15: false, 16: false, 17: true} {
		inMemory(t, freepbxsim.Options{Version: version}, pbxsim.Options{}, func(t *testing.T, c client) {
			time.Sleep(1500 * time.Millisecond)
			got := c.token(good)
			parts := strings.Split(got.AccessToken, ".")
			if len(parts) != 3 || got.ExpiresIn != 3600 || got.RefreshToken != "" {
				t.Fatalf("%+v", got)
			}
			text, err := base64.RawURLEncoding.DecodeString(parts[1])
			var claims struct{ Iat, Exp float64 }
			if err != nil || json.Unmarshal(text, &claims) != nil {
				t.Fatalf("%s, %v", text, err)
			}
			if life := claims.Exp - claims.Iat; life > 3600 || life < 3599.9 {
				t.Errorf("FreePBX %d: a lifetime of %f s", version, life)
			}
			if got := claims.Iat != float64(int64(claims.Iat)); got != fraction {
				t.Errorf("FreePBX %d: a fraction %v: %s", version, got, text)
			}
			time.Sleep(time.Hour - time.Nanosecond)
			if resp, _ := c.send("GET", users, "", "Authorization", "Bearer "+got.AccessToken); resp.StatusCode != 200 {
				t.Errorf("HTTP %d", resp.StatusCode)
			}
			time.Sleep(time.Nanosecond)
			if resp, _ := c.send("GET", users, "", "Authorization", "Bearer "+got.AccessToken); resp.StatusCode != 401 {
				t.Errorf("HTTP %d", resp.StatusCode)
			}
		})
	}
}

func TestADeadTokenByVersion(t *testing.T) {
	for _, tt := range []struct {
		dialect freepbxsim.Options
		path    string
		status  int
		empty   bool
	}{
		{freepbxsim.Options{Version: 15}, gql, 401, false},
		{freepbxsim.Options{Version: 16}, gql, 401, false},
		{freepbxsim.Options{Version: 16}, users, 401, false},
		{freepbxsim.Options{Version: 17}, users, 401, false},
		{freepbxsim.Options{Version: 17}, gql, 500, false},
		{freepbxsim.Options{Version: 17, EmptyFailure: true}, gql, 500, true},
	} {
		inMemory(t, tt.dialect, pbxsim.Options{}, func(t *testing.T, c client) {
			resp, got := c.send("POST", tt.path, `{"query":"{__typename}"}`, "Authorization", "Bearer dead")
			if denied := strings.Contains(got, `"access_denied"`); resp.StatusCode != tt.status || denied != (tt.status == 401) || (got == "") != tt.empty {
				t.Errorf("%+v, %s: HTTP %d, %s", tt.dialect, tt.path, resp.StatusCode, got)
			}
		})
	}
}

func TestARefreshEndsBothTokens(t *testing.T) {
	inMemory(t, freepbxsim.Options{Application: application}, pbxsim.Options{}, func(t *testing.T, c client) {
		first := c.token(user)
		refresh := "client_id=application&client_secret=secret&grant_type=refresh_token&refresh_token=" + first.RefreshToken
		time.Sleep(30*24*time.Hour - time.Nanosecond)
		second := c.token(refresh)
		c.refused(refresh, "invalid_request", 401)
		if resp, _ := c.send("GET", users, "", "Authorization", "Bearer "+second.AccessToken); resp.StatusCode != 200 {
			t.Errorf("HTTP %d", resp.StatusCode)
		}
		time.Sleep(30 * 24 * time.Hour)
		c.refused(strings.Replace(refresh, first.RefreshToken, second.RefreshToken, 1), "invalid_request", 401)
		if got := c.token(good).RefreshToken; got != "" {
			t.Errorf("an application gets the refresh token %s", got)
		}
	})
}

func TestQueries(t *testing.T) {
	for _, noScope := range []bool{false, true} {
		inMemory(t, freepbxsim.Options{NoScope: noScope}, pbxsim.Options{}, func(t *testing.T, c client) {
			token := "Bearer " + c.token(good).AccessToken
			for body, want := range map[string]int{
				`{"query":"{__typename}"}`: 200, `{"query":"{nothing}"}`: 400, "{}": 400, "": 400,
				`{"query":"{fetchAllExtensions{extension{extensionId}}}"}`: map[bool]int{false: 200, true: 400}[noScope],
			} {
				resp, got := c.send("POST", gql, body, "Authorization", token)
				if resp.StatusCode != want || strings.Contains(got, `"errors"`) != (want == 400) {
					t.Errorf("%s: HTTP %d, %s, want HTTP %d", body, resp.StatusCode, got, want)
				}
			}
			for target, want := range map[string]int{"GET /": 200, "GET /admin/api/gql": 404, "GET /admin/api/api/rest/nothing": 404, "GET " + users: map[bool]int{false: 200, true: 401}[noScope], "GET " + gql: 404} {
				method, path, _ := strings.Cut(target, " ")
				if resp, _ := c.send(method, path, "", "Authorization", token); resp.StatusCode != want {
					t.Errorf("%s: HTTP %d, want %d", target, resp.StatusCode, want)
				}
			}
		})
	}
}

func TestAModuleThatIsOffIsALoginPage(t *testing.T) {
	inMemory(t, freepbxsim.Options{ModuleOff: true}, pbxsim.Options{}, func(t *testing.T, c client) {
		if resp, got := c.send("POST", tokenPath, good, "Content-Type", form); resp.StatusCode != 200 || !strings.Contains(got, "<html>") {
			t.Errorf("HTTP %d, %s", resp.StatusCode, got)
		}
		if got := c.Counts().Logins; got != 0 {
			t.Errorf("%d logins", got)
		}
	})
}
