package pbxsim_test

import (
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// plain is the least dialect: the path is the action, the query has the rest,
// and the answer is the verdict in plain text, or a login's token.
type plain struct{ fixed bool }

func (plain) Name() string { return "plain" }

func (d plain) Defaults() pbxsim.Defaults {
	return pbxsim.Defaults{
		Lifetime: 30 * time.Minute,
		Sliding:  !d.fixed,
		Lockout:  pbxsim.Lockout{After: 3, Reset: pbxsim.Address},
	}
}

func (plain) NewToken() string { return "token-" + rand.Text() }

func (plain) Action(r *pbxsim.Request) pbxsim.Action {
	if r.Method == http.MethodGet {
		return pbxsim.Web
	}
	return pbxsim.Action(strings.TrimPrefix(r.URL.Path, "/"))
}

func (plain) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	q := r.URL.Query()
	var verdict pbxsim.Verdict
	if r.Method == http.MethodGet {
		return pbxsim.Reply{Body: []byte("a page")}
	}
	switch r.Action {
	case "useandlogin": // with another account's token, as a dialect may judge twice
		a.Use(q.Get("token"))
		_, verdict = a.Login("api", func(string) bool { return false })
	case "loginbypassword":
		token, v := a.LoginByPassword(func(password string) bool { return password == q.Get("password") })
		if v == pbxsim.OK {
			return pbxsim.Reply{Body: []byte(token.User)}
		}
		verdict = v
	case pbxsim.Login:
		token, v := a.Login(q.Get("user"), func(password string) bool { return password == q.Get("password") })
		if v == pbxsim.OK {
			return pbxsim.Reply{Body: []byte(token.Value)}
		}
		verdict = v
	case pbxsim.KeepAlive:
		verdict = a.KeepAlive(q.Get("token"))
	case pbxsim.Logout:
		verdict = a.Logout(q.Get("token"))
	case pbxsim.AppRequest:
		if verdict = a.Use(q.Get("token")); verdict == pbxsim.OK {
			if reply, ok := a.Respond("application/json"); ok {
				return reply
			}
		}
	}
	return pbxsim.Reply{Body: []byte(verdict.String())}
}

const (
	good = "/login?user=api&password=secret"
	bad  = "/login?user=api&password=guess"
)

// inMemory gives f a PBX with the account api, password secret, in memory and
// in virtual time. It fails if a goroutine outlives the server.
func inMemory(t *testing.T, d plain, opts pbxsim.Options, f func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server)) {
	synctest.Test(t, func(t *testing.T) {
		opts.Accounts = map[string]string{"api": "secret"}
		p := pbxsim.New(d, &opts)
		s := pbxsim.ListenMemory(p)
		defer s.Close()
		f(t, p, s)
	})
}

// everywhere is inMemory, and the same over a loopback socket and over TLS.
func everywhere(t *testing.T, f func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server)) {
	t.Run("memory", func(t *testing.T) { inMemory(t, plain{}, pbxsim.Options{}, f) })
	for name, listen := range map[string]func(*pbxsim.PBX) *pbxsim.Server{
		"loopback": pbxsim.Listen,
		"tls":      pbxsim.ListenTLS,
	} {
		t.Run(name, func(t *testing.T) {
			p := pbxsim.New(plain{}, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}})
			s := listen(p)
			defer s.Close()
			f(t, p, s)
		})
	}
}

// ask returns the body of an answer, or the error for lack of one.
func ask(c *http.Client, url string) (*http.Response, string, error) {
	resp, err := c.Post(url, "", nil)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// say is ask where there must be an answer.
func say(t *testing.T, s *pbxsim.Server, path string) string {
	t.Helper()
	return sayFrom(t, s, "127.0.0.1", path)
}

func sayFrom(t *testing.T, s *pbxsim.Server, ip, path string) string {
	t.Helper()
	_, body, err := ask(s.ClientFrom(ip), s.URL+path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return body
}

// want checks the answers to a row of requests.
func want(t *testing.T, s *pbxsim.Server, path string, answers ...string) {
	t.Helper()
	for i, w := range answers {
		if got := say(t, s, path); got != w {
			t.Errorf("%s, time %d: %q, want %q", path, i+1, got, w)
		}
	}
}

// login returns the token of a login that must succeed.
func login(t *testing.T, s *pbxsim.Server) string {
	t.Helper()
	token := say(t, s, good)
	if !strings.HasPrefix(token, "token-") {
		t.Fatalf("login: %q, want a token", token)
	}
	return token
}
