package runtel_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/runtel"
	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// nginx is an error page as its servers write it.
const nginx = "<html>\r\n<head><title>Error</title></head>\r\n<body>\r\n<center><h1>Error</h1></center>\r\n<hr><center>nginx/1.16.1</center>\r\n</body>\r\n</html>\r\n"

// The vendor shows no failing answer. These are the shapes that one may have, and
// what each means on a login, on a logout, and on a call of the application.
func TestWhatAFailingResponseMeans(t *testing.T) {
	const none = "no error"
	kinds := map[string]error{
		"credentials": pbx.ErrInvalidCredentials, "token": pbx.ErrTokenRejected, "forbidden": pbx.ErrForbidden, "locked": pbx.ErrLocked,
		"unavailable": pbx.ErrUnavailable, "protocol": pbx.ErrProtocol, "config": pbx.ErrConfig, "unknown": nil,
	}
	coded := func(code, notifies string) string {
		return `{"action":"x","action_id":"{id}","obj":"User","code":` + code + `,"notifies":` + notifies + `,"body":null}`
	}
	type seen struct{ login, logout, call string }
	tests := []struct {
		name   string
		status int
		header http.Header
		body   string
		want   seen
		code   string   // the failure's
		says   []string // in its message, on a login
	}{
		// HTTP 200, and the envelope's code.
		{name: "code 401", status: 200, body: coded(`401`, `[]`), want: seen{"credentials", none, "token"}, code: "401", says: []string{"wrong login or password"}},
		{name: "code 403", status: 200, body: coded(`403`, `[]`), want: seen{"credentials", "forbidden", "forbidden"}, code: "403", says: []string{"wrong login or password", "blocked this host"}},
		{name: "code 400", status: 200, body: coded(`400`, `[]`), want: seen{"credentials", "unknown", "unknown"}, code: "400", says: []string{"without a known reason"}},
		{name: "code 404", status: 200, body: coded(`404`, `[]`), want: seen{"credentials", "unknown", "unknown"}, code: "404"},
		{name: "code 408", status: 200, body: coded(`408`, `[]`), want: seen{"unavailable", "unavailable", "unavailable"}, code: "408"},
		{name: "code 429", status: 200, body: coded(`429`, `[]`), want: seen{"locked", "locked", "locked"}, code: "429", says: []string{"too many attempts"}},
		{name: "code 500", status: 200, body: coded(`500`, `[]`), want: seen{"unavailable", "unavailable", "unavailable"}, code: "500"},
		{name: "code 503", status: 200, body: coded(`503`, `[]`), want: seen{"unavailable", "unavailable", "unavailable"}, code: "503"},
		{name: "code 0", status: 200, body: coded(`0`, `[]`), want: seen{"unknown", "unknown", "unknown"}, code: "0", says: []string{"not documented"}},
		{name: "code 1001", status: 200, body: coded(`1001`, `[]`), want: seen{"unknown", "unknown", "unknown"}, code: "1001"},
		{name: "code -200", status: 200, body: coded(`-200`, `[]`), want: seen{"unknown", "unknown", "unknown"}, code: "-200"},
		{name: "code 302", status: 200, body: coded(`302`, `[]`), want: seen{"unknown", "unknown", "unknown"}, code: "302"},
		{name: "code 401 in a string", status: 200, body: coded(`"401"`, `[]`), want: seen{"credentials", none, "token"}, code: "401"},
		{name: "code 401 as a float", status: 200, body: coded(`401.0`, `[]`), want: seen{"credentials", none, "token"}, code: "401.0"},
		{name: "a word for a code", status: 200, body: coded(`"OK"`, `[]`), want: seen{"unknown", "unknown", "unknown"}, code: "OK"},
		{name: "a boolean for a code", status: 200, body: coded(`true`, `[]`), want: seen{"unknown", "unknown", "unknown"}},
		{name: "an object for a code", status: 200, body: coded(`{"value":401}`, `[]`), want: seen{"unknown", "unknown", "unknown"}},
		{name: "a code that is 200 in 32 bits", status: 200, body: coded(`4294967496`, `[]`), want: seen{"unknown", "unknown", "unknown"}, code: "4294967496"},
		{name: "a code too large", status: 200, body: coded(`20000000000000000000`, `[]`), want: seen{"unknown", "unknown", "unknown"}, code: "20000000000000000000"},

		// notifies.
		{name: "a text", status: 200, body: coded(`401`, `"Неверный пароль"`), want: seen{"credentials", none, "token"}, code: "401", says: []string{"the PBX says: Неверный пароль"}},
		{name: "texts", status: 200, body: coded(`401`, `["one","","two"]`), want: seen{"credentials", none, "token"}, code: "401", says: []string{"the PBX says: one, two"}},
		{name: "objects", status: 200, body: coded(`401`, `[{"type":"error","text":"no"},{"more":{"text":"deep"},"n":1,"b":false}]`), want: seen{"credentials", none, "token"}, code: "401", says: []string{"no, error, deep"}},
		{name: "lists in lists", status: 200, body: coded(`401`, `[[["deep"]],null,[]]`), want: seen{"credentials", none, "token"}, code: "401", says: []string{"deep"}},
		{name: "lines", status: 200, body: coded(`401`, `["one\r\ntwo\u001b[31m"]`), want: seen{"credentials", none, "token"}, code: "401", says: []string{"one two [31m"}},
		{name: "null", status: 200, body: coded(`401`, `null`), want: seen{"credentials", none, "token"}, code: "401"},
		{name: "a number", status: 200, body: coded(`401`, `7`), want: seen{"credentials", none, "token"}, code: "401"},
		{name: "no notifies, no body", status: 200, body: `{"code":401}`, want: seen{"credentials", none, "token"}, code: "401"},

		// The two layers.
		{name: "HTTP 401 with an envelope", status: 401, body: coded(`401`, `["no"]`), want: seen{"credentials", none, "token"}, code: "401", says: []string{"no"}},
		{name: "HTTP 403 with an envelope", status: 403, body: coded(`403`, `["no"]`), want: seen{"credentials", "forbidden", "forbidden"}, code: "403", says: []string{"no"}},
		{name: "HTTP 401 and code 200", status: 401, body: coded(`200`, `[]`), want: seen{"credentials", none, "token"}, code: "200"},
		{name: "HTTP 500 and code 200", status: 500, body: coded(`200`, `[]`), want: seen{"unavailable", "unavailable", "unavailable"}, code: "200"},
		{name: "HTTP 401 and a word for a code", status: 401, body: coded(`"ERR"`, `[]`), want: seen{"credentials", none, "token"}, code: "ERR"},
		{name: "HTTP 401 and code 1001", status: 401, body: coded(`1001`, `[]`), want: seen{"credentials", none, "token"}, code: "1001"},
		{name: "HTTP 403 and code 0", status: 403, body: coded(`0`, `[]`), want: seen{"credentials", "forbidden", "forbidden"}, code: "0"},
		{name: "HTTP 404 and code 200", status: 404, body: coded(`200`, `[]`), want: seen{"credentials", "unknown", "unknown"}, code: "200"},
		{name: "HTTP 500 and code 401", status: 500, body: coded(`401`, `[]`), want: seen{"credentials", none, "token"}, code: "401"},
		{name: "HTTP 401 and code 500", status: 401, body: coded(`500`, `[]`), want: seen{"unavailable", "unavailable", "unavailable"}, code: "500"},
		{name: "HTTP 503 and code 500", status: 503, body: coded(`500`, `[]`), want: seen{"unavailable", "unavailable", "unavailable"}, code: "500"},

		// No envelope.
		{name: "HTTP 401 with a page", status: 401, body: nginx, want: seen{"credentials", none, "token"}, says: []string{"wrong login or password", "HTTP status 401"}},
		{name: "HTTP 401 that asks for HTTP authentication", status: 401, header: http.Header{"Www-Authenticate": {"Basic"}}, body: nginx, want: seen{"config", "config", "config"}, says: []string{"HTTP authentication (Basic)"}},
		{name: "HTTP 401 that wants a token", status: 401, header: http.Header{"Www-Authenticate": {`Bearer error="invalid_token"`}}, body: nginx, want: seen{"credentials", none, "token"}},
		{name: "HTTP 401 that wants a token or a password", status: 401, header: http.Header{"Www-Authenticate": {"bearer", "Basic"}}, want: seen{"config", "config", "config"}},
		{name: "HTTP 403 with a page", status: 403, body: nginx, want: seen{"config", "config", "config"}, says: []string{"forbids this", "HTTP status 403"}},
		{name: "HTTP 400 with a page", status: 400, body: nginx, want: seen{"protocol", "protocol", "protocol"}},
		{name: "HTTP 404 with a gateway's words", status: 404, body: `{"code":"NOT_FOUND","message":"no route"}`, want: seen{"protocol", "protocol", "protocol"}},
		{name: "HTTP 404 with a page", status: 404, body: nginx, want: seen{"protocol", "protocol", "protocol"}, says: []string{"HTTP status 404", "web page"}},
		{name: "HTTP 405 with a page", status: 405, body: nginx, want: seen{"protocol", "protocol", "protocol"}},
		{name: "HTTP 429 with a page", status: 429, body: nginx, want: seen{"unavailable", "unavailable", "unavailable"}},
		{name: "HTTP 500 with a page", status: 500, body: nginx, want: seen{"unavailable", "unavailable", "unavailable"}},
		{name: "HTTP 502 with a page", status: 502, body: nginx, want: seen{"unavailable", "unavailable", "unavailable"}},
		{name: "HTTP 504 with a page", status: 504, body: nginx, want: seen{"unavailable", "unavailable", "unavailable"}},
		{name: "HTTP 401 with nothing", status: 401, want: seen{"credentials", none, "token"}, says: []string{"HTTP status 401"}},
		{name: "HTTP 403 with nothing", status: 403, want: seen{"config", "config", "config"}},
		{name: "HTTP 400 with nothing", status: 400, want: seen{"protocol", "protocol", "protocol"}},
		{name: "HTTP 502 with nothing", status: 502, want: seen{"unavailable", "unavailable", "unavailable"}},
		{name: "HTTP 200 with a page", status: 200, body: nginx, want: seen{"protocol", "protocol", none}, says: []string{"web page"}},
		{name: "HTTP 200 with nothing", status: 200, want: seen{"protocol", "protocol", none}, says: []string{"empty"}},
		{name: "HTTP 200 with other JSON", status: 200, body: `{"status":"ok"}`, want: seen{"protocol", "protocol", none}},
		{name: "HTTP 200 with code null", status: 200, body: coded(`null`, `[]`), want: seen{"protocol", "protocol", none}},
		{name: "HTTP 200 with half an envelope", status: 200, body: `{"action_id":"{id}","code":20`, want: seen{"protocol", "protocol", none}},
		{name: "HTTP 301 to somewhere", status: 301, header: http.Header{"Location": {"https://other.example/api/"}}, body: nginx, want: seen{"config", "config", "protocol"}},

		// A success that is none.
		{name: "body null", status: 200, body: answered(`null`), want: seen{"credentials", none, none}, code: "200", says: []string{"brought no token"}},
		{name: "no body", status: 200, body: `{"action_id":"{id}","code":200}`, want: seen{"credentials", none, none}, code: "200"},
		{name: "body without a token", status: 200, body: answered(`{"user_id":48}`), want: seen{"protocol", none, none}, code: "200"},
		{name: "body with a notice", status: 200, body: `{"action_id":"{id}","code":200,"notifies":["no"],"body":{}}`, want: seen{"credentials", none, none}, code: "200", says: []string{"the PBX says: no"}},
		{name: "body a list", status: 200, body: answered(`[{"token":"J...W"}]`), want: seen{"protocol", none, none}, code: "200"},
		{name: "token null", status: 200, body: answered(`{"token":null}`), want: seen{"credentials", none, none}, code: "200"},
		{name: "token empty", status: 200, body: answered(`{"token":""}`), want: seen{"credentials", none, none}, code: "200"},
		{name: "token a number", status: 200, body: answered(`{"token":12345678}`), want: seen{"protocol", none, none}, code: "200"},
		{name: "token with a line break", status: 200, body: answered(`{"token":"J\r\nX: y"}`), want: seen{"protocol", none, none}, code: "200", says: []string{"no header can carry"}},
		{name: "token with a blank", status: 200, body: answered(`{"token":"J W"}`), want: seen{"protocol", none, none}, code: "200"},
		{name: "token with a NUL", status: 200, body: answered(`{"token":"J\u0000W"}`), want: seen{"protocol", none, none}, code: "200"},
		{name: "token in Cyrillic", status: 200, body: answered(`{"token":"ЖЩ"}`), want: seen{"protocol", none, none}, code: "200"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &platform{status: tt.status, header: tt.header, body: tt.body}
			p := open(t, server.at(runtel.Config{}))
			token := &pbx.Token{Value: pbx.NewSecret("J...W")}

			_, login := p.Login(t.Context())
			logout := p.Logout(t.Context(), token)
			call := inspect(response(t, p, server, token))(p)
			for _, got := range []struct {
				op   pbx.Op
				want string
				err  error
			}{{pbx.OpLogin, tt.want.login, login}, {pbx.OpLogout, tt.want.logout, logout}, {pbx.OpRequest, tt.want.call, call}} {
				if got.want == none {
					if got.err != nil {
						t.Errorf("%s: error %v, want none", got.op, got.err)
					}
					continue
				}
				if got.err == nil {
					t.Errorf("%s: no error, want %s", got.op, got.want)
					continue
				}
				want := told{Op: got.op, Kind: kinds[got.want], Code: tt.code, HTTPStatus: tt.status, RetryAfter: "0s", Sent: true}
				if diff := cmp.Diff(want, tell(failure(t, got.err)), byIdentity); diff != "" {
					t.Errorf("%s: %v (-want +got):\n%s", got.op, got.err, diff)
				}
			}
			for _, text := range tt.says {
				if !strings.Contains(login.Error(), text) {
					t.Errorf("the login's failure is %q, want %q in it", login, text)
				}
			}
			if logins := 1; len(server.requests) != logins+2 {
				t.Errorf("%d requests, want one each for login, logout and call", len(server.requests))
			}
		})
	}
}

// response is the answer to a call of the application.
func response(t *testing.T, p *runtel.PBX, server *platform, token *pbx.Token) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequest("POST", "https://office.example/api/", strings.NewReader(`{"action":"list","obj":"Call","action_id":"1","params":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Authorize(r, token); err != nil {
		t.Fatal(err)
	}
	resp, err := p.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp, []byte(strings.ReplaceAll(server.body, "{id}", "1"))
}

func TestRetryAfterIsPassedOn(t *testing.T) {
	for _, tt := range []struct {
		status     int
		body, wait string
		want       time.Duration
	}{
		{429, nginx, "120", 2 * time.Minute},
		{429, `{"code":429}`, "120", 2 * time.Minute},
		{200, `{"code":429}`, "30", 30 * time.Second},
		{503, nginx, "10", 10 * time.Second},
		{429, nginx, "86400", time.Hour},
		{429, nginx, "", 0},
	} {
		server := &platform{status: tt.status, body: tt.body, header: http.Header{"Retry-After": {tt.wait}}}
		_, err := open(t, server.at(runtel.Config{})).Login(t.Context())
		if got := failure(t, err).RetryAfter; got != tt.want {
			t.Errorf("HTTP %d, Retry-After %q: %v, want %v", tt.status, tt.wait, got, tt.want)
		}
	}
}

func TestATimeOutAfterARejectedLoginNamesTheLikelyBlock(t *testing.T) {
	const hint = "the platform has blocked this host"
	simulated(t, runtelsim.Options{Failure: runtelsim.Silence}, pbxsim.Options{}, func(t *testing.T, sim *pbxsim.PBX, s *pbxsim.Server, cfg runtel.Config) {
		p := open(t, cfg)
		login := func() *pbx.Error {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := p.Login(ctx)
			return failure(t, err)
		}
		sim.Lock("127.0.0.1")
		if err := login(); !errors.Is(err, pbx.ErrUnavailable) || strings.Contains(err.Error(), hint) {
			t.Errorf("before any login: %v", err)
		}
		sim.Unlock("127.0.0.1")

		sim.SetPassword(user, "changed")
		for range 5 {
			if err := login(); !errors.Is(err, pbx.ErrInvalidCredentials) {
				t.Fatalf("a wrong login: %v", err)
			}
		}
		if err := login(); !errors.Is(err, pbx.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), hint) {
			t.Errorf("behind the firewall: %v, want %q in it", err, hint)
		}
		s.Close()
		if err := login(); !errors.Is(err, pbx.ErrUnavailable) || err.Sent || !strings.Contains(err.Error(), hint) {
			t.Errorf("refused by the firewall: %v, want %q in it", err, hint)
		}
		s.Reopen()
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.Login(canceled); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), hint) {
			t.Errorf("given up here: %v", err)
		}

		sim.Unlock("127.0.0.1")
		sim.SetPassword(user, password)
		if _, err := p.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
		sim.Lock("127.0.0.1")
		if err := login(); !errors.Is(err, pbx.ErrUnavailable) || strings.Contains(err.Error(), hint) {
			t.Errorf("after a good login: %v", err)
		}

		sim.Unlock("127.0.0.1")
		sim.Fault(pbxsim.Fault{On: pbxsim.Login, Status: http.StatusTooManyRequests, Body: []byte(`{"code":429}`), Times: 1})
		if err := login(); !errors.Is(err, pbx.ErrLocked) {
			t.Errorf("too many attempts: %v", err)
		}
		sim.Lock("127.0.0.1")
		if err := login(); !errors.Is(err, pbx.ErrUnavailable) || !strings.Contains(err.Error(), hint) {
			t.Errorf("behind the firewall after too many attempts: %v, want %q in it", err, hint)
		}
	})
}

// inspect returns what p makes of a response.
func inspect(resp *http.Response, body []byte) func(p *runtel.PBX) error {
	return func(p *runtel.PBX) error { return p.Inspect(resp, body, new(pbx.Token)) }
}
