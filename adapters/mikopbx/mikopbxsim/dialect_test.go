package mikopbxsim_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/mikopbx/mikopbxsim"
	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	password = "s3cret-password"
	api      = "/pbxcore/api/v3/"
)

func inMemory(t *testing.T, settings mikopbxsim.Options, opts pbxsim.Options, f func(t *testing.T, p *pbxsim.PBX, c client)) {
	t.Helper()
	opts.Accounts = map[string]string{"admin": password}
	drivertest.InMemory(t, func() *pbxsim.PBX { return mikopbxsim.New(&settings, &opts) }, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		f(t, p, client{t, s})
	})
}

type client struct {
	*testing.T
	server *pbxsim.Server
}

// response is one with the parts that tests look at.
type response struct {
	status int
	text   string
	cookie string // of the refresh token, as it is written
	line   string // Set-Cookie

	Result bool
	Data   json.RawMessage
}

func (r response) token() string {
	var data struct{ AccessToken string }
	json.Unmarshal(r.Data, &data)
	return data.AccessToken
}

func (c client) send(target, body string, headers ...string) response {
	c.Helper()
	method, path, _ := strings.Cut(target, " ")
	headers = append([]string{"Content-Type", "application/json"}, headers...)
	resp, text := drivertest.Send(c.T, c.server, method, path, body, headers...)
	got := response{status: resp.StatusCode, text: text, line: resp.Header.Get("Set-Cookie")}
	value, _, _ := strings.Cut(got.line, ";")
	got.cookie, _ = strings.CutPrefix(value, "refreshToken=")
	json.Unmarshal([]byte(text), &got)
	return got
}

func (c client) login(password string) response {
	c.Helper()
	body, _ := json.Marshal(map[string]any{"login": "admin", "password": password, "rememberMe": true})
	return c.send("POST "+api+"auth:login", string(body))
}

func (c client) refresh(cookie string) response {
	c.Helper()
	return c.send("POST "+api+"auth:refresh", "{}", "Cookie", "refreshToken="+cookie)
}

func (c client) use(token string) int {
	c.Helper()
	return c.send("GET "+api+"extensions?limit=1", "", "Authorization", "Bearer "+token).status
}

// The samples' requests get responses of the samples' form.
func TestTheSamples(t *testing.T) {
	inMemory(t, mikopbxsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
		var last response
		for _, name := range []string{"login", "refresh", "extensions", "logout", "refresh-expired", "wrong-password"} {
			x, err := golden.Load("../testdata/golden/" + name + ".http")
			if err != nil {
				t.Fatal(err)
			}
			var headers []string
			if x.Request.Header.Get("Cookie") != "" {
				headers = append(headers, "Cookie", "refreshToken="+last.cookie)
			}
			if x.Request.Header.Get("Authorization") != "" {
				headers = append(headers, "Authorization", "Bearer "+last.token())
			}
			got := c.send(strings.TrimSuffix(x.Request.Line, " HTTP/1.1"), x.Request.Body, headers...)
			if want, have := fields(t, x.Response.Body), fields(t, got.text); want != have || !strings.Contains(x.Response.Line, fmt.Sprint(got.status)) {
				t.Errorf("%s: %d with %s, want %s with %s", name, got.status, have, x.Response.Line, want)
			}
			if (x.Response.Header.Get("Set-Cookie") != "") != (got.line != "") {
				t.Errorf("%s: Set-Cookie: %s", name, got.line)
			}
			if got.token() != "" {
				cookie := last.cookie
				if last = got; got.cookie == "" {
					last.cookie = cookie
				}
			}
		}
	})
}

// fields are the names in an envelope and its data, and its result.
func fields(t *testing.T, text string) string {
	t.Helper()
	var envelope map[string]any
	if err := json.Unmarshal([]byte(text), &envelope); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	data, _ := envelope["data"].(map[string]any)
	names := map[string]bool{}
	for name := range envelope {
		names[name] = true
	}
	for name := range data {
		names["data."+name] = true
	}
	return fmt.Sprint(names, envelope["result"])
}

func TestATokenIsAJWTThatIsAcceptedForTenMinutesMore(t *testing.T) {
	inMemory(t, mikopbxsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
		token := c.login(password).token()
		parts := strings.Split(token, ".")
		if len(parts) != 3 {
			t.Fatal(token)
		}
		claims, err := base64.RawURLEncoding.DecodeString(parts[1])
		var times struct{ Iat, Exp, Nbf int64 }
		if err != nil || json.Unmarshal(claims, &times) != nil || times.Exp-times.Iat != 900 || times.Iat != time.Now().Unix() {
			t.Errorf("%s", claims)
		}
		time.Sleep(1500*time.Second - time.Nanosecond)
		if got := c.use(token); got != 200 {
			t.Errorf("600 s after exp: %d", got)
		}
		time.Sleep(time.Nanosecond)
		if got := c.use(token); got != 401 {
			t.Errorf("later: %d", got)
		}
	})
}

func TestTheTokenHasOneSpelling(t *testing.T) {
	for gate, want := range map[bool]int{false: 401, true: 403} {
		inMemory(t, mikopbxsim.Options{Gate: gate}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
			token := c.login(password).token()
			for _, header := range []string{"", token, "bearer " + token, "Bearer  " + token, "Basic " + token, "Bearer x"} {
				got := c.send("GET "+api+"extensions", "", "Authorization", header)
				if got.status != want || !strings.Contains(got.text, "isn't authenticated.") {
					t.Errorf("%q: %d %s", header, got.status, got.text)
				}
			}
			if got := c.use(token); got != 200 {
				t.Errorf("%d", got)
			}
		})
	}
}

func TestRefreshTokens(t *testing.T) {
	inMemory(t, mikopbxsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
		first := c.login(password)
		if !strings.Contains(first.line, "HttpOnly; SameSite=Strict") || !strings.Contains(first.line, "expires=Mon, 31 Jan 2000") {
			t.Errorf("%s", first.line)
		}
		if got := c.send("POST "+api+"auth:login", `{"login":"admin","password":"`+password+`"}`); strings.Contains(got.line, "expires") {
			t.Errorf("without rememberMe: %s", got.line)
		}
		for range 3 {
			got := c.refresh(first.cookie)
			if got.status != 200 || got.token() == first.token() || got.line != "" {
				t.Errorf("%+v", got)
			}
			if c.use(got.token()) != 200 || c.use(first.token()) != 200 {
				t.Error("one of the tokens is dead")
			}
		}
		for name, cookie := range map[string]string{"none": "", "an unknown one": "x", "one that was decoded": strings.ReplaceAll(first.cookie, "%3D", "=")} {
			if got := c.refresh(cookie); got.status != 401 {
				t.Errorf("%s: %d", name, got.status)
			}
		}
		time.Sleep(29 * 24 * time.Hour)
		if got := c.refresh(first.cookie); got.status != 200 {
			t.Errorf("after 29 days: %d", got.status)
		}
		time.Sleep(24 * time.Hour)
		if got := c.refresh(first.cookie); got.status != 401 {
			t.Errorf("after 30 days, though it was used: %d", got.status)
		}
		first = c.login(password)
		p.Restart()
		if got := c.refresh(first.cookie); got.status != 401 {
			t.Errorf("after a restart: %d", got.status)
		}
	})
	inMemory(t, mikopbxsim.Options{Rotate: true}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
		first := c.login(password)
		second := c.refresh(first.cookie)
		if second.status != 200 || second.cookie == "" || second.cookie == first.cookie {
			t.Errorf("%+v", second)
		}
		if got := c.refresh(first.cookie); got.status != 401 {
			t.Errorf("the old one again: %d", got.status)
		}
		if got := c.refresh(second.cookie); got.status != 200 {
			t.Errorf("the new one: %d", got.status)
		}
	})
}

func TestRefreshesOfAnAddressAreLimited(t *testing.T) {
	inMemory(t, mikopbxsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
		cookie := c.login(password).cookie
		time.Sleep(time.Minute)
		for range 99 {
			if got := c.refresh(cookie); got.status != 200 {
				t.Fatalf("%d", got.status)
			}
		}
		if got := c.refresh(cookie); got.status != 429 {
			t.Errorf("the 100th: %d", got.status)
		}
		time.Sleep(4 * time.Minute)
		if got := c.refresh(cookie); got.status != 200 {
			t.Errorf("in the next window: %d", got.status)
		}
	})
}

func TestALogoutEndsTheRefreshToken(t *testing.T) {
	inMemory(t, mikopbxsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
		first := c.login(password)
		logout := func(token, cookie string) int {
			return c.send("POST "+api+"auth:logout", "{}", "Authorization", "Bearer "+token, "Cookie", "refreshToken="+cookie).status
		}
		if got := logout("x", first.cookie); got != 401 {
			t.Errorf("with a dead token: %d", got)
		}
		if got := logout(first.token(), ""); got != 200 || c.refresh(first.cookie).status != 200 {
			t.Errorf("without the cookie: %d", got)
		}
		if got := logout(first.token(), first.cookie); got != 200 || c.refresh(first.cookie).status != 401 || c.use(first.token()) != 200 {
			t.Errorf("with it: %d", got)
		}
	})
}

func TestTheEleventhWrongLoginOfAWindowIsRefused(t *testing.T) {
	inMemory(t, mikopbxsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
		time.Sleep(299 * time.Second)
		for range 9 {
			if got := c.login("wrong"); got.status != 401 || got.Result {
				t.Errorf("%+v", got)
			}
		}
		if got := c.login(password); got.status != 200 { // and resets nothing
			t.Errorf("%+v", got)
		}
		c.login("wrong")
		if got := c.login(password); got.status != 429 || got.Result {
			t.Errorf("%+v", got)
		}
		time.Sleep(time.Second)
		if got := c.login(password); got.status != 200 {
			t.Errorf("in the next window: %+v", got)
		}
	})
}

// sanitizeData in BaseController.php removes outer blanks, and filters what begins with
// http.
func TestThePasswordIsAlteredBeforeItIsCompared(t *testing.T) {
	for account, typed := range map[string]string{
		"plain": "plain", "a < b": "a < b", "a<x>b": "a<x>b", "a<b": "a<b", "blank": " blank\t", "httpx": "httpx", "httpxy": "httpx y", "HTTPxy": "HTTPx yé",
	} {
		inMemory(t, mikopbxsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
			p.SetPassword("admin", account)
			if got := c.login(typed); got.status != 200 {
				t.Errorf("%q typed for %q: %d", typed, account, got.status)
			}
			if typed != account {
				p.SetPassword("admin", typed)
				if got := c.login(typed); got.status != 401 {
					t.Errorf("%q can log in: %d", typed, got.status)
				}
			}
		})
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	inMemory(t, mikopbxsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
		token := c.login(password).token()
		for _, tt := range []struct {
			target, body, contentType, token string
			status                           int
		}{
			{"POST " + api + "auth:login", "", "application/json", "", 400},
			{"POST " + api + "auth:login", `{"login":"admin"}`, "application/json", "", 400},
			{"POST " + api + "auth:login", `{"login":"admin","password":7}`, "application/json", "", 400},
			{"POST " + api + "auth:login", "login=admin&password=" + password, "application/x-www-form-urlencoded", "", 200},
			{"GET " + api + "auth:login", "", "application/json", "", 404},
			{"GET " + api + "nothing", "", "application/json", token, 422},
			{"GET /pbxcore/api/v2/extensions", "", "application/json", token, 404},
			{"GET /", "", "application/json", "", 200},
		} {
			if got := c.send(tt.target, tt.body, "Content-Type", tt.contentType, "Authorization", "Bearer "+tt.token); got.status != tt.status {
				t.Errorf("%s %s: %d %s, want %d", tt.target, tt.body, got.status, got.text, tt.status)
			}
		}
		if got := p.Counts().WrongLogins; got != 0 {
			t.Errorf("%d wrong logins", got)
		}
	})
	inMemory(t, mikopbxsim.Options{Denied: true, Language: "ru"}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
		token := c.login(password).token()
		if got := c.send("GET "+api+"extensions", "", "Authorization", "Bearer "+token); got.status != 403 || !strings.Contains(got.text, "Ошибка") {
			t.Errorf("%+v", got)
		}
	})
}
