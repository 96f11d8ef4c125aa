package threecxsim_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/threecx/threecxsim"
	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	form      = "application/x-www-form-urlencoded"
	good      = "client_id=900&client_secret=key&grant_type=client_credentials"
	wrongKey  = "client_id=900&client_secret=wrong&grant_type=client_credentials"
	tokenPath = "/connect/token"
)

// client is one at a 3CX PBX in virtual time.
type client struct {
	*pbxsim.PBX
	t *testing.T
	s *pbxsim.Server
}

func inMemory(t *testing.T, d threecxsim.Options, opts pbxsim.Options, f func(t *testing.T, c client)) {
	t.Helper()
	opts.Accounts = map[string]string{"900": "key", "901": "another"}
	drivertest.InMemory(t, func() *pbxsim.PBX { return threecxsim.New(&d, &opts) }, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		f(t, client{p, t, s})
	})
}

func (c client) send(method, path, contentType, token, body string) (*http.Response, string) {
	c.t.Helper()
	var header []string
	if contentType != "" {
		header = append(header, "Content-Type", contentType)
	}
	if token != "" {
		header = append(header, "Authorization", "Bearer "+token)
	}
	return drivertest.Send(c.t, c.s, method, path, body, header...)
}

type tokenBody struct {
	TokenType    string          `json:"token_type"`
	ExpiresIn    int             `json:"expires_in"`
	AccessToken  string          `json:"access_token"`
	RefreshToken json.RawMessage `json:"refresh_token"`
}

func (c client) login() tokenBody {
	c.t.Helper()
	resp, text := c.send("POST", tokenPath, form, "", good)
	var got tokenBody
	if json.Unmarshal([]byte(text), &got); resp.StatusCode != 200 || got.AccessToken == "" {
		c.t.Fatalf("HTTP %d, %s", resp.StatusCode, text)
	}
	return got
}

// use returns the HTTP status of a harmless request.
func (c client) use(token string) int {
	c.t.Helper()
	resp, _ := c.send("GET", "/xapi/v1/SystemStatus", "", token, "")
	return resp.StatusCode
}

func TestTheSamples(t *testing.T) {
	for _, tt := range []struct {
		name    string
		dialect threecxsim.Options
		key     string
	}{
		{"login", threecxsim.Options{}, "key"},
		{"login-20.0.8", threecxsim.Options{ExpiresIn: 60}, "key"},
		{"login-refused", threecxsim.Options{}, "another"},
		{"login-refused-oauth", threecxsim.Options{Refusal: threecxsim.JSON400}, "another"},
		{"request-dead", threecxsim.Options{}, "key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, err := golden.Load("../testdata/golden/" + tt.name + ".http")
			if err != nil {
				t.Fatal(err)
			}
			var sample tokenBody
			json.Unmarshal([]byte(x.Response.Body), &sample)
			inMemory(t, tt.dialect, pbxsim.Options{NewToken: func() string { return sample.AccessToken }}, func(t *testing.T, c client) {
				c.SetPassword("900", tt.key)
				drivertest.SameJSON(t, x.Response.Body, drivertest.Replay(t, c.s, x))
			})
		})
	}
}

// The vendor's tutorial sends the form in this way.
func TestAFormMayBeMultipart(t *testing.T) {
	inMemory(t, threecxsim.Options{}, pbxsim.Options{}, func(t *testing.T, c client) {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		for _, field := range [][2]string{{"client_id", "900"}, {"client_secret", "key"}, {"grant_type", "client_credentials"}} {
			w.WriteField(field[0], field[1])
		}
		w.Close()
		if resp, got := c.send("POST", tokenPath, w.FormDataContentType(), "", body.String()); resp.StatusCode != 200 {
			t.Errorf("HTTP %d, %s", resp.StatusCode, got)
		}
		if resp, got := c.send("POST", tokenPath, w.FormDataContentType(), "", "cut"+body.String()[:20]); resp.StatusCode != 400 {
			t.Errorf("half a form: HTTP %d, %s", resp.StatusCode, got)
		}
	})
}

func TestWhatATokenRequestIsRefusedFor(t *testing.T) {
	for refusal, want := range map[threecxsim.Refusal]struct {
		status int
		body   string
	}{
		threecxsim.Empty401:   {401, ""},
		threecxsim.JSON401:    {401, `{"error":"invalid_client"}`},
		threecxsim.JSON400:    {400, `{"error":"invalid_client"}`},
		threecxsim.Request400: {400, `{"error":"invalid_request"}`},
		threecxsim.Words401:   {401, `{"error":"unauthorized","error_description":"The request requires valid user authentication."}`},
		threecxsim.Problem401: {401, `{"status":401,"title":"Unauthorized","traceId":"00-0123456789abcdef-00","type":"https://tools.ietf.org/html/rfc9110#section-15.5.2"}`},
	} {
		inMemory(t, threecxsim.Options{Refusal: refusal}, pbxsim.Options{Lockout: pbxsim.Lockout{After: -1}}, func(t *testing.T, c client) {
			for _, body := range []string{wrongKey, "client_id=nobody&client_secret=key&grant_type=client_credentials", "client_id=900&grant_type=client_credentials"} {
				if resp, got := c.send("POST", tokenPath, form, "", body); resp.StatusCode != want.status || got != want.body {
					t.Errorf("%s: HTTP %d, %q, want HTTP %d, %q", body, resp.StatusCode, got, want.status, want.body)
				}
			}
			for contentType, body := range map[string]string{form: "%zz", "application/json": "{}", "": good, "text/plain": good} {
				if resp, _ := c.send("POST", tokenPath, contentType, "", body); resp.StatusCode != 400 {
					t.Errorf("%s: HTTP %d", contentType, resp.StatusCode)
				}
			}
			if _, got := c.send("POST", tokenPath, form, "", "client_id=900&client_secret=key&grant_type=password"); got != `{"error":"unsupported_grant_type"}` {
				t.Errorf("another grant: %s", got)
			}
			if resp, _ := c.send("POST", tokenPath+"?"+good, form, "", ""); resp.StatusCode != 400 {
				t.Errorf("in the URL: HTTP %d", resp.StatusCode)
			}
		})
	}
}

func TestATokenIsAJWTOfItsLifetime(t *testing.T) {
	inMemory(t, threecxsim.Options{ExpiresIn: 60, NoRefreshToken: true}, pbxsim.Options{Lifetime: 30 * time.Minute}, func(t *testing.T, c client) {
		got := c.login()
		parts := strings.Split(got.AccessToken, ".")
		if len(parts) != 3 || got.ExpiresIn != 60 || got.RefreshToken != nil {
			t.Fatalf("%+v", got)
		}
		text, err := base64.RawURLEncoding.DecodeString(parts[1])
		var claims struct{ Iat, Exp int64 }
		if err != nil || json.Unmarshal(text, &claims) != nil || claims.Exp-claims.Iat != 1800 || claims.Iat != time.Now().Unix() {
			t.Errorf("%s, %v", text, err)
		}
		time.Sleep(30*time.Minute - time.Nanosecond)
		if got := c.use(got.AccessToken); got != 200 {
			t.Errorf("HTTP %d", got)
		}
		time.Sleep(time.Nanosecond)
		if got := c.use(got.AccessToken); got != 401 {
			t.Errorf("HTTP %d", got)
		}
	})
}

func TestASecondLogin(t *testing.T) {
	for second, want := range map[threecxsim.Second]struct{ login, first int }{
		threecxsim.Kills: {200, 401}, threecxsim.Spares: {200, 200},
		threecxsim.Refused400: {400, 200}, threecxsim.Refused401: {401, 200},
	} {
		inMemory(t, threecxsim.Options{Second: second, Opaque: true}, pbxsim.Options{}, func(t *testing.T, c client) {
			first := c.login().AccessToken
			if strings.Contains(first, ".") {
				t.Errorf("%s is not opaque", first)
			}
			if resp, _ := c.send("POST", tokenPath, form, "", good); resp.StatusCode != want.login {
				t.Errorf("%q: the second login is HTTP %d, want %d", second, resp.StatusCode, want.login)
			}
			if got := c.use(first); got != want.first {
				t.Errorf("%q: the first token is HTTP %d, want %d", second, got, want.first)
			}
			if resp, _ := c.send("POST", tokenPath, form, "", "client_id=901&client_secret=another&grant_type=client_credentials"); resp.StatusCode != 200 {
				t.Errorf("%q: another API client's login is HTTP %d", second, resp.StatusCode)
			}
			time.Sleep(time.Hour)
			c.login()
		})
	}
}

func TestADeadTokenAndARoleTooLow(t *testing.T) {
	for _, inJSON := range []bool{false, true} {
		inMemory(t, threecxsim.Options{DeadTokenInJSON: inJSON, Denied: "/xapi/v1/Users"}, pbxsim.Options{}, func(t *testing.T, c client) {
			for _, token := range []string{"", "dead"} {
				if resp, got := c.send("GET", "/xapi/v1/Users", "", token, ""); resp.StatusCode != 401 || (got != "") != inJSON {
					t.Errorf("HTTP %d, %q", resp.StatusCode, got)
				}
			}
			token := c.login().AccessToken
			if resp, _ := c.send("GET", "/xapi/v1/Users", "", token, ""); resp.StatusCode != 403 {
				t.Errorf("HTTP %d", resp.StatusCode)
			}
			if got := c.use(token); got != 200 {
				t.Errorf("HTTP %d", got)
			}
			for target, want := range map[string]int{"GET /": 200, "GET /nothing": 404, "GET /xapi/v1/Nothing": 404, "GET /callcontrol": 404, "GET " + tokenPath: 405} {
				method, path, _ := strings.Cut(target, " ")
				if resp, _ := c.send(method, path, "", token, ""); resp.StatusCode != want {
					t.Errorf("%s: HTTP %d, want %d", target, resp.StatusCode, want)
				}
			}
		})
	}
}
