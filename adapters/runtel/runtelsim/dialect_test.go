package runtelsim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	user     = "a@office.example"
	password = "secret"
)

// inMemory gives f a Runtel PBX with one account, in virtual time.
func inMemory(t *testing.T, d runtelsim.Options, opts pbxsim.Options, f func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server)) {
	t.Helper()
	opts.Accounts = map[string]string{user: password}
	drivertest.InMemory(t, func() *pbxsim.PBX { return runtelsim.New(&d, &opts) }, f)
}

// An answer is what a client makes of one.
type answer struct {
	Status      int
	ContentType string
	Body        string
}

func send(t *testing.T, s *pbxsim.Server, method, path, token, body string) (answer, http.Header, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	resp, err := s.Client().Transport.RoundTrip(req)
	if err != nil {
		return answer{}, nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header.Get("Content-Type"), string(got)}, resp.Header, err
}

func post(t *testing.T, s *pbxsim.Server, token, body string) answer {
	t.Helper()
	got, _, err := send(t, s, "POST", "/api/", token, body)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func auth(login, password string) string {
	return fmt.Sprintf(`{"action":"auth","obj":"User","action_id":"7","params":{"login":%q,"password":%q}}`, login, password)
}

const (
	logout = `{"action":"logout","obj":"User","action_id":"8","params":{}}`
	call   = `{"action":"list","obj":"Call","action_id":"9","params":{}}`
)

// login returns the body of a login that must succeed.
func login(t *testing.T, s *pbxsim.Server) (body struct{ Exp, TZ, Token string }) {
	t.Helper()
	got := post(t, s, "", auth(user, password))
	var envelope struct {
		Code int
		Body any
	}
	envelope.Body = &body
	if err := json.Unmarshal([]byte(got.Body), &envelope); err != nil || envelope.Code != 200 || body.Token == "" {
		t.Fatalf("login: %+v, error %v", got, err)
	}
	return body
}

func enveloped(status, code int, request string) answer {
	var e struct {
		Action, Obj string
		ActionID    string `json:"action_id"`
	}
	json.Unmarshal([]byte(request), &e)
	return answer{status, "application/json; charset=utf-8",
		fmt.Sprintf(`{"action":%q,"action_id":%q,"obj":%q,"code":%d,"notifies":[],"body":null}`, e.Action, e.ActionID, e.Obj, code)}
}

func page(status int, title string) answer {
	return answer{status, "text/html", "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title +
		"</h1></center>\r\n<hr><center>nginx/1.16.1</center>\r\n</body>\r\n</html>\r\n"}
}

// The requests of the vendor's page, and answers of the shape that it prints.
func TestTheVendorsRequestsGetResponsesInItsShape(t *testing.T) {
	opts := pbxsim.Options{NewToken: func() string { return "J-token-W" }}
	inMemory(t, runtelsim.Options{}, opts, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		drivertest.ReplayTranscript(t, s, "testdata/session.http")
	})
}

func TestAFailureTakesEachFormThatIsKnown(t *testing.T) {
	type answers struct{ unauthorized, forbidden, badRequest func(request string) answer }
	as := func(status, code int) func(string) answer {
		return func(request string) answer { return enveloped(status, code, request) }
	}
	html := func(status int, title string) func(string) answer {
		return func(string) answer { return page(status, title) }
	}
	empty := func(status int) func(string) answer {
		return func(string) answer { return answer{status, "text/html", ""} }
	}
	tests := map[runtelsim.FailureMode]answers{
		"":                {as(401, 401), as(403, 403), as(400, 400)},
		runtelsim.HTTP401: {as(401, 401), as(403, 403), as(400, 400)},
		runtelsim.Code401: {as(200, 401), as(200, 403), as(200, 400)},
		runtelsim.HTTP403: {as(403, 403), as(403, 403), as(400, 400)},
		runtelsim.HTML: {html(401, "401 Authorization Required"), html(403, "403 Forbidden"),
			html(400, "400 Bad Request")},
		runtelsim.Empty: {empty(401), empty(403), empty(400)},
	}
	for mode, want := range tests {
		t.Run(string(mode), func(t *testing.T) {
			inMemory(t, runtelsim.Options{Failure: mode}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
				check := func(token, request string, want func(string) answer) {
					t.Helper()
					if diff := cmp.Diff(want(request), post(t, s, token, request)); diff != "" {
						t.Errorf("%s (-want +got):\n%s", request, diff)
					}
				}
				token := login(t, s).Token
				p.Expire(token)
				for _, request := range []string{call, logout} {
					check("", request, want.unauthorized)
					check("Bearer made-up", request, want.unauthorized)
					check("Bearer "+token, request, want.unauthorized)
				}
				check("", `{"action":"auth","obj":"User","action_id":"1","params":{}}`, want.badRequest)
				for range 5 {
					check("", auth(user, "guess"), want.unauthorized)
				}
				check("", auth(user, password), want.forbidden)
			})
		})
	}
}

func TestRefusalAndBlockHaveTheirCodes(t *testing.T) {
	tests := []struct {
		dialect          runtelsim.Options
		status           int // of the refusal and of the block; 0: as the code
		refusal, blocked int
		retryAfter       string
	}{
		{runtelsim.Options{Failure: runtelsim.Code401, Refusal: 400}, 200, 400, 403, ""},
		{runtelsim.Options{Failure: runtelsim.Code401, Refusal: 1001, Block: 1002}, 200, 1001, 1002, ""},
		{runtelsim.Options{Failure: runtelsim.Code401, Block: 429}, 200, 401, 429, "598"},
		{runtelsim.Options{Refusal: 422, Block: 429}, 0, 422, 429, "598"},
	}
	for _, tt := range tests {
		inMemory(t, tt.dialect, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			check := func(token, request string, code int) http.Header {
				t.Helper()
				status := tt.status
				if status == 0 {
					status = code
				}
				got, header, err := send(t, s, "POST", "/api/", token, request)
				if diff := cmp.Diff(enveloped(status, code, request), got); err != nil || diff != "" {
					t.Errorf("%s: error %v (-want +got):\n%s", request, err, diff)
				}
				return header
			}
			check("Bearer made-up", call, tt.refusal)
			for range 5 {
				check("", auth(user, "guess"), tt.refusal)
			}
			time.Sleep(2500 * time.Millisecond)
			if got := check("", auth(user, password), tt.blocked).Get("Retry-After"); got != tt.retryAfter {
				t.Errorf("Retry-After %q, want %q", got, tt.retryAfter)
			}
		})
	}
}

func TestTheEchoOfARequestsID(t *testing.T) {
	for mode, want := range map[runtelsim.EchoMode]string{
		"":                   `"action_id":"8",`,
		runtelsim.EchoNumber: `"action_id":8,`,
		runtelsim.EchoNone:   ``,
		runtelsim.EchoOther:  `"action_id":"80",`,
	} {
		inMemory(t, runtelsim.Options{Echo: mode}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			want := `{"action":"logout",` + want + `"obj":"User","code":401,"notifies":[],"body":null}`
			if got := post(t, s, "", logout); got.Body != want {
				t.Errorf("%q: %s, want %s", mode, got.Body, want)
			}
		})
	}
}

func TestTheBodyOfALoginCanBeAnothers(t *testing.T) {
	bodies := map[string]func(map[string]any) any{
		`"body":null}`: func(map[string]any) any { return nil },
		`"body":{"token":"J-token-W","user_id":73}}`: func(fields map[string]any) any {
			return map[string]any{"token": fields["token"], "user_id": fields["user_id"]}
		},
	}
	for want, body := range bodies {
		opts := pbxsim.Options{NewToken: func() string { return "J-token-W" }}
		inMemory(t, runtelsim.Options{Body: body}, opts, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			if got := post(t, s, "", auth(user, password)); !strings.HasSuffix(got.Body, want) {
				t.Errorf("%s, want %s", got.Body, want)
			}
			if diff := cmp.Diff([]string{"J-token-W"}, p.Tokens(user)); diff != "" {
				t.Errorf("tokens (-want +got):\n%s", diff)
			}
		})
	}
}

func TestABlockedClientMayGetNoResponse(t *testing.T) {
	inMemory(t, runtelsim.Options{Failure: runtelsim.Silence}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		token := "Bearer " + login(t, s).Token
		for range 5 {
			if diff := cmp.Diff(enveloped(401, 401, auth("", "")), post(t, s, "", auth(user, "guess"))); diff != "" {
				t.Errorf("wrong login (-want +got):\n%s", diff)
			}
		}
		for token, body := range map[string]string{"": auth(user, password), token: call} {
			if _, _, err := send(t, s, "POST", "/api/", token, body); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("under the lock: error %v, want a time-out", err)
			}
		}
		time.Sleep(8 * time.Minute)
		if got := post(t, s, token, call); got.Status != 200 {
			t.Errorf("after the lock: %+v", got)
		}
		login(t, s)
	})
}

func TestMalformedRequests(t *testing.T) {
	for _, body := range []string{
		"",
		"action=auth",
		"[]",
		`{"Action":"auth","obj":"User","action_id":"1","params":{}}`,
		`{"action":"auth","obj":"User","params":{}}`,
		`{"action":"auth","obj":"User","action_id":1,"params":{}}`,
		`{"action":"auth","obj":"User","action_id":"1"}`,
		`{"action":"auth","obj":"User","action_id":"1","params":{"login":"a@office.example"}}`,
		`{"action":"auth","obj":"User","action_id":"1","params":{"login":"a@office.example","password":1}}`,
	} {
		inMemory(t, runtelsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			if got := post(t, s, "", body); got.Status != 400 {
				t.Errorf("%s: %+v, want 400", body, got)
			}
			if got := p.Counts().WrongLogins; got != 0 {
				t.Errorf("%s: counts as a wrong login", body)
			}
		})
	}
}

func TestATokenGoesInTheHeaderOnly(t *testing.T) {
	inMemory(t, runtelsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		token := login(t, s).Token
		for _, header := range []string{"", token, "Token " + token, "Bearer", "Bearer  " + token} {
			got, _, err := send(t, s, "POST", "/api/?token="+token, header, call)
			if err != nil || got.Status != 401 {
				t.Errorf("Authorization %q: %+v, error %v; want 401", header, got, err)
			}
		}
	})
}

func TestATokensLifetimeIsFixed(t *testing.T) {
	inMemory(t, runtelsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		token := "Bearer " + login(t, s).Token
		time.Sleep(4*time.Hour - time.Second)
		if got := post(t, s, token, call); got.Status != 200 {
			t.Errorf("before the end: %+v", got)
		}
		time.Sleep(time.Second)
		if got := post(t, s, token, call); got.Status != 401 {
			t.Errorf("at the end: %+v", got)
		}
	})
}

func TestThePathMayNeedItsSlash(t *testing.T) {
	for _, strict := range []bool{false, true} {
		inMemory(t, runtelsim.Options{SlashRequired: strict}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			check := func(method, path string, want answer, header, value string) {
				t.Helper()
				got, h, err := send(t, s, method, path, "", auth(user, password))
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("%s %s: error %v (-want +got):\n%s", method, path, err, diff)
				}
				if h.Get(header) != value {
					t.Errorf("%s %s: %s %q, want %q", method, path, header, h.Get(header), value)
				}
			}
			if strict {
				check("POST", "/api", page(404, "404 Not Found"), "Location", "")
			} else {
				check("POST", "/api", page(301, "301 Moved Permanently"), "Location", "/api/")
			}
			check("POST", "/", page(404, "404 Not Found"), "Location", "")
			check("POST", "/api/auth", page(404, "404 Not Found"), "Location", "")
			check("GET", "/api/", page(405, "405 Not Allowed"), "Allow", "POST")
			if got := p.Tokens(user); got != nil {
				t.Errorf("tokens: %q", got)
			}
		})
	}
}

func TestExpIsLocalOrUniversalTime(t *testing.T) {
	moscow, err := time.LoadLocation("Europe/Moscow")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		zone *time.Location
		life time.Duration
		want string
	}{
		{nil, 0, "2000-01-01T04:00:00"},
		{moscow, time.Hour, "2000-01-01T04:00:00"},
		{nil, time.Hour + 998824*time.Microsecond, "2000-01-01T01:00:00.998824"},
		{nil, time.Hour + 20*time.Microsecond, "2000-01-01T01:00:00.000020"},
		{nil, time.Hour + 999, "2000-01-01T01:00:00"},
	}
	for _, tt := range tests {
		inMemory(t, runtelsim.Options{ExpZone: tt.zone}, pbxsim.Options{Lifetime: tt.life}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			if got := login(t, s).Exp; got != tt.want {
				t.Errorf("zone %v, life %v: %s, want %s", tt.zone, tt.life, got, tt.want)
			}
		})
	}
}

func TestNoticesAndZoneComeBackAsPlanted(t *testing.T) {
	d := runtelsim.Options{Notifies: json.RawMessage(`[{"text":"<canary>"},null]`), TZ: "Asia/Omsk"}
	inMemory(t, d, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		for _, body := range []string{auth(user, password), auth(user, "guess")} {
			if got := post(t, s, "", body); !strings.Contains(got.Body, `"notifies":[{"text":"<canary>"},null],`) {
				t.Errorf("%s: %+v", body, got)
			}
		}
		if got := login(t, s).TZ; got != "Asia/Omsk" {
			t.Errorf("tz %q, want Asia/Omsk", got)
		}
	})
}

func TestAKeyWorksWithoutALogin(t *testing.T) {
	inMemory(t, runtelsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.AddKey("key")
		time.Sleep(365 * 24 * time.Hour)
		if got := post(t, s, "Bearer key", call); got.Status != 200 {
			t.Errorf("%+v", got)
		}
		p.Revoke("key")
		if got := post(t, s, "Bearer key", call); got.Status != 401 {
			t.Errorf("revoked: %+v", got)
		}
	})
}
