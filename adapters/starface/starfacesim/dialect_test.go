package starfacesim_test

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/starface/starfacesim"
	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const password = "s3cret-password"

func inMemory(t *testing.T, settings starfacesim.Options, opts pbxsim.Options, f func(t *testing.T, p *pbxsim.PBX, c client)) {
	t.Helper()
	opts.Accounts = map[string]string{"0001": password}
	drivertest.InMemory(t, func() *pbxsim.PBX { return starfacesim.New(&settings, &opts) }, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		f(t, p, client{t, s})
	})
}

type client struct {
	*testing.T
	server *pbxsim.Server
}

// send sends a request with the headers of the wiki, changed by more.
func (c client) send(target, body string, more ...string) (status int, text string) {
	c.Helper()
	method, path, _ := strings.Cut(target, " ")
	header := append([]string{"Content-Type", "application/json", "X-Version", "2"}, more...)
	resp, text := drivertest.Send(c.T, c.server, method, path, body, header...)
	return resp.StatusCode, text
}

type login struct {
	LoginType string  `json:"loginType"`
	Nonce     string  `json:"nonce"`
	Secret    *string `json:"secret"`
}

func (c client) template() login {
	c.Helper()
	status, body := c.send("GET /rest/login", "")
	var l login
	if json.Unmarshal([]byte(body), &l) != nil || status != 200 || len(l.Nonce) != 26 || l.Secret != nil {
		c.Fatalf("%d %s", status, body)
	}
	return l
}

func (c client) post(l login, secret string) (status int, token string) {
	c.Helper()
	l.Secret = &secret
	body, _ := json.Marshal(l)
	status, text := c.send("POST /rest/login", string(body))
	var got struct{ Token string }
	json.Unmarshal([]byte(text), &got)
	return status, got.Token
}

func sha(text string) string { return fmt.Sprintf("%x", sha512.Sum512([]byte(text))) }

func secret(user, nonce, password string) string {
	return user + ":" + sha(user+nonce+sha(password))
}

func (c client) login() string {
	c.Helper()
	l := c.template()
	status, token := c.post(l, secret("0001", l.Nonce, password))
	if status != 200 || token == "" {
		c.Fatalf("login: %d %q", status, token)
	}
	return token
}

// The samples' requests get the samples' responses, but for the nonce.
func TestTheSamples(t *testing.T) {
	const token, nonce = "5tq9e1hbtbq7oh0hmb0f0mbq7c", "pds24hmip1ctbogn1l8ujvs5u4"
	for _, names := range [][]string{
		{"login-1-nonce", "login-2-login", "logout", "me-dead-token"}, {"login-1-nonce", "wrong-2-login"},
	} {
		inMemory(t, starfacesim.Options{}, pbxsim.Options{NewToken: func() string { return token }}, func(t *testing.T, p *pbxsim.PBX, c client) {
			issued := ""
			for _, name := range names {
				x, err := golden.Load("../testdata/golden/" + name + ".http")
				if err != nil {
					t.Fatal(err)
				}
				body := x.Request.Body
				if issued != "" && body != "" {
					with := password
					if name == "wrong-2-login" {
						with = "wrong"
					}
					body = strings.Replace(body, secret("0001", nonce, with), secret("0001", issued, with), 1)
					body = strings.Replace(body, nonce, issued, 1)
				}
				var headers []string
				for key := range x.Request.Header {
					headers = append(headers, key, x.Request.Header.Get(key))
				}
				target := strings.TrimSuffix(x.Request.Line, " HTTP/1.1")
				status, got := c.send(target, body, headers...)
				if m := regexp.MustCompile(`"nonce":"(\w+)"`).FindStringSubmatch(got); m != nil {
					issued = m[1]
					got = strings.Replace(got, issued, nonce, 1)
				}
				if got != x.Response.Body || !strings.Contains(x.Response.Line, fmt.Sprint(status)) {
					t.Errorf("%s: %d %s, want %s %s", name, status, got, x.Response.Line, x.Response.Body)
				}
			}
		})
	}
}

func TestASecretIsMadeAsTheVendorSays(t *testing.T) {
	inMemory(t, starfacesim.Options{}, pbxsim.Options{Lockout: pbxsim.Lockout{After: -1}}, func(t *testing.T, p *pbxsim.PBX, c client) {
		for name, make := range map[string]func(nonce string) string{
			"another password":    func(n string) string { return secret("0001", n, "another") },
			"another user":        func(n string) string { return secret("0002", n, password) },
			"capitals":            func(n string) string { return "0001:" + strings.ToUpper(sha("0001"+n+sha(password))) },
			"no hashed password":  func(n string) string { return "0001:" + sha("0001"+n+password) },
			"no nonce":            func(n string) string { return "0001:" + sha("0001"+sha(password)) },
			"another nonce":       func(n string) string { return secret("0001", n+"x", password) },
			"that of a directory": func(n string) string { return "0001:" + base64.StdEncoding.EncodeToString([]byte("0001"+n+password)) },
		} {
			l := c.template()
			if status, token := c.post(l, make(l.Nonce)); status != 400 || token != "" {
				t.Errorf("%s: %d %q", name, status, token)
			}
		}
		if got := p.Counts().WrongLogins; got != 7 {
			t.Errorf("%d wrong logins, want 7", got)
		}
		c.login()
	})
	inMemory(t, starfacesim.Options{ActiveDirectory: true}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
		l := c.template()
		if l.LoginType != "ActiveDirectory" {
			t.Errorf("type %q", l.LoginType)
		}
		if status, _ := c.post(l, secret("0001", l.Nonce, password)); status != 400 {
			t.Errorf("a digest for a directory: %d", status)
		}
		l = c.template()
		if status, token := c.post(l, base64.StdEncoding.EncodeToString([]byte("0001"+l.Nonce+password))); status != 200 || token == "" {
			t.Errorf("a directory: %d %q", status, token)
		}
	})
}

func TestRequestsThatAreNone(t *testing.T) {
	inMemory(t, starfacesim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
		token := c.login()
		for _, tt := range []struct {
			target, body string
			more         []string
			status       int
		}{
			{"POST /rest/login", "", nil, 400},
			{"POST /rest/login", `{"loginType":"Internal"}`, nil, 400},
			{"POST /rest/login", `{"loginType":"Internal","nonce":"x","secret":null}`, nil, 400},
			{"POST /rest/login", `{"loginType":"Internal","nonce":"x","secret":"no colon"}`, nil, 400},
			{"POST /rest/login", `{"loginType":"Other","nonce":"x","secret":"0001:x"}`, nil, 400},
			{"POST /rest/login", `{"loginType":"Internal","nonce":"x","secret":"0001:x"}`, []string{"X-Version", "1"}, 400},
			{"GET /rest/users", "", nil, 401},
			{"GET /rest/users", "", []string{"Authorization", "Bearer " + token}, 401},
			{"GET /rest/users", "", []string{"authToken", "x"}, 401},
			{"GET /rest/users", "", []string{"authToken", token}, 200},
			{"GET /rest/users", "", []string{"authToken", token, "X-Version", ""}, 400},
			{"GET /rest/users", "", []string{"authToken", token, "Content-Type", ""}, 400},
			{"GET /rest/users", "", []string{"authToken", token, "Content-Type", "application/json;charset=UTF-8"}, 200},
			{"GET /rest/users/9", "", []string{"authToken", token}, 404},
			{"GET /elsewhere", "", nil, 404},
			{"GET /", "", nil, 200},
		} {
			if status, body := c.send(tt.target, tt.body, tt.more...); status != tt.status {
				t.Errorf("%s %s %v: %d %s, want %d", tt.target, tt.body, tt.more, status, body, tt.status)
			}
		}
		if got := p.Counts().WrongLogins; got != 0 {
			t.Errorf("%d wrong logins", got)
		}
	})
}

func TestNonces(t *testing.T) {
	for name, tt := range map[string]struct {
		settings                       starfacesim.Options
		twice, afterTheNext, afterADay bool
	}{
		"as they are":  {starfacesim.Options{}, false, true, true},
		"reusable":     {starfacesim.Options{NonceReusable: true}, true, true, true},
		"of a minute":  {starfacesim.Options{NonceLifetime: time.Minute}, false, true, false},
		"of which one": {starfacesim.Options{NewestNonce: true}, false, false, true},
	} {
		inMemory(t, tt.settings, pbxsim.Options{Lockout: pbxsim.Lockout{After: -1}}, func(t *testing.T, p *pbxsim.PBX, c client) {
			works := func(l login) bool {
				status, _ := c.post(l, secret("0001", l.Nonce, password))
				return status == 200
			}
			check := func(what string, got, want bool) {
				t.Helper()
				if got != want {
					t.Errorf("%s: %s: %v", name, what, got)
				}
			}
			l := c.template()
			check("once", works(l), true)
			check("twice", works(l), tt.twice)
			l = c.template()
			c.template()
			check("after the next", works(l), tt.afterTheNext)
			l = c.template()
			time.Sleep(24 * time.Hour)
			check("after a day", works(l), tt.afterADay)
			check("an invented one", works(login{LoginType: "Internal", Nonce: "x"}), false)
		})
	}
}

func TestATokenIsValidForFourHours(t *testing.T) {
	for _, dead := range []int{0, 401} {
		inMemory(t, starfacesim.Options{DeadLogout: dead}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
			token := c.login()
			for range 4 {
				if status, _ := c.send("GET /rest/users/me", "", "authToken", token); status != 200 {
					t.Errorf("a live token: %d", status)
				}
				time.Sleep(time.Hour)
			}
			if status, _ := c.send("GET /rest/users/me", "", "authToken", token); status != 401 {
				t.Errorf("after four hours: %d", status)
			}
			want := 204
			if dead != 0 {
				want = dead
			}
			if status, _ := c.send("DELETE /rest/login", "", "authToken", token); status != want {
				t.Errorf("a logout with a dead token: %d", status)
			}
			token = c.login()
			if status, _ := c.send("DELETE /rest/login", "", "authToken", token); status != 204 || len(p.Tokens("0001")) != 0 {
				t.Errorf("a logout: %d", status)
			}
		})
	}
}

func TestFailuresHaveTheBodyOfTheOptions(t *testing.T) {
	for body, want := range map[starfacesim.ErrorBody]string{
		starfacesim.JSONBody: `{"message":"administrator rights are required"}`,
		starfacesim.TextBody: "administrator rights are required",
		starfacesim.NoBody:   "",
	} {
		for _, status := range []int{401, 403} {
			inMemory(t, starfacesim.Options{Body: body, NotAdministrator: status}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
				token := c.login()
				if got, text := c.send("GET /rest/users", "", "authToken", token); got != status || text != want {
					t.Errorf("%d %s", got, text)
				}
				if got, _ := c.send("GET /rest/users/me", "", "authToken", token); got != 200 {
					t.Errorf("the own user: %d", got)
				}
			})
		}
	}
}
