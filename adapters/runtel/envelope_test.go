package runtel_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/runtel"
)

func TestTheWordsOfThePlatformAreBounded(t *testing.T) {
	long := strings.Repeat("слово ", 10_000)
	server := &platform{body: `{"code":401,"notifies":["` + long + `"` + strings.Repeat(`,"x"`, 10_000) + `]}`}
	var got runtel.Failure
	_, err := open(t, server.at(runtel.Config{Classify: func(a runtel.Failure) error { got = a; return nil }})).Login(t.Context())
	if f := failure(t, err); f.Kind != pbx.ErrInvalidCredentials || len([]rune(f.Message)) > 500 {
		t.Errorf("%v, with a message of %d characters", f.Kind, len([]rune(f.Message)))
	}
	if len(got.Notices) != 20 {
		t.Errorf("Classify got %d notices", len(got.Notices))
	}
	for _, notice := range got.Notices {
		if n := len([]rune(notice)); n > 500 {
			t.Errorf("Classify got a notice of %d characters", n)
		}
	}
}

func TestAResponseHasItsRequestsID(t *testing.T) {
	const none = "no error"
	tests := []struct {
		name, id     string // the answer's, as JSON; {id} is the request's
		good, failed string // the error of a good answer, and of code 401
	}{
		{"repeated", `"{id}"`, none, "invalid credentials"},
		{"repeated as a number", `{id}`, none, "invalid credentials"},
		{"another", `"123"`, "another request", "another request"},
		{"another number", `123`, "another request", "another request"},
		{"longer", `"{id}0"`, "another request", "another request"},
		{"null", `null`, "no action_id", "invalid credentials"},
		{"empty", `""`, "no action_id", "invalid credentials"},
		{"an object", `{}`, "no action_id", "invalid credentials"},
	}
	check := func(name string, err error, want string) {
		t.Helper()
		switch {
		case want == none:
			if err != nil {
				t.Errorf("%s: error %v", name, err)
			}
		case err == nil || !strings.Contains(err.Error(), want):
			t.Errorf("%s: error %v, want %s", name, err, want)
		case !strings.Contains(want, "invalid") && !errors.Is(err, pbx.ErrProtocol):
			t.Errorf("%s: error %v, want an unexpected response", name, err)
		}
	}
	for _, tt := range tests {
		server := &platform{body: `{"action_id":` + tt.id + `,"code":200,"body":{"token":"J...W"}}`}
		_, err := open(t, server.at(runtel.Config{})).Login(t.Context())
		check(tt.name+", good", err, tt.good)

		server = &platform{body: `{"action_id":` + tt.id + `,"code":401}`}
		_, err = open(t, server.at(runtel.Config{})).Login(t.Context())
		check(tt.name+", failed", err, tt.failed)
	}
	for _, good := range []string{`{"code":200,"body":{"token":"J...W"}}`, `{"code":200,"body":null}`} {
		_, err := open(t, (&platform{body: good}).at(runtel.Config{})).Login(t.Context())
		check("missing, good", err, "no action_id")
	}
}

func TestEveryRequestHasAnIDOfItsOwn(t *testing.T) {
	server := &platform{body: answered(`{"token":"J...W"}`)}
	a, b := open(t, server.at(runtel.Config{})), open(t, server.at(runtel.Config{}))
	for range 500 {
		for _, p := range []*runtel.PBX{a, b} {
			token, err := p.Login(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Logout(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
	}
	seen := map[any]bool{}
	for _, r := range server.requests {
		id, ok := r.Envelope["action_id"].(string)
		if !ok || id == "" || strings.Trim(id, "0123456789") != "" || seen[id] {
			t.Fatalf("action_id %v: not a new one, or not digits in a string", r.Envelope["action_id"])
		}
		seen[id] = true
	}
}

// Whatever the driver reads, it says in words that a person can act on, on one
// line, and it never takes for a success what is none.
func FuzzEnvelope(f *testing.F) {
	for _, body := range []string{
		answered(`{"token":"J...W","exp":"2021-09-20T10:14:13.998824","tz":"Europe/Prague"}`),
		answered(`null`), `{"code":401,"notifies":["no",{"text":"no"}]}`, `{"action_id":{id},"code":"200","body":{"token":"J"}}`,
		`{"code":200}`, `[]`, `null`, ``, nginx, `{"code":4e2}`, `{"code":401,"notifies":[[[[[[{"a":["b"]}]]]]]]}`,
	} {
		f.Add(200, body)
	}
	f.Add(401, nginx)
	f.Add(503, `{"code":200}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			return
		}
		server := &platform{status: status, body: body}
		p := open(t, server.at(runtel.Config{}))
		token, login := p.Login(t.Context())
		if login == nil && (status/100 != 2 || token.Value.IsZero() || !strings.Contains(body, "{id}")) {
			t.Errorf("HTTP %d %s: taken for a success", status, body)
		}
		old := &pbx.Token{Value: pbx.NewSecret("J-old-W")}
		logout := p.Logout(t.Context(), old)
		call := p.Inspect(&http.Response{StatusCode: status, Header: http.Header{}}, []byte(body), new(pbx.Token))
		for _, err := range []error{login, logout, call} {
			if err == nil {
				continue
			}
			f := failure(t, err)
			if f.Message == "" && f.Kind == nil && f.Code == "" {
				t.Errorf("HTTP %d %s: %v says nothing", status, body, err)
			}
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) || len([]rune(f.Message)) > 500 {
				t.Errorf("HTTP %d %s: %q", status, body, err)
			}
			kinds := []error{nil, pbx.ErrInvalidCredentials, pbx.ErrLocked, pbx.ErrForbidden, pbx.ErrTokenRejected, pbx.ErrUnavailable, pbx.ErrProtocol, pbx.ErrConfig}
			if !slices.Contains(kinds, f.Kind) {
				t.Errorf("HTTP %d %s: kind %v", status, body, f.Kind)
			}
		}
		if token != nil && token.Details != nil { // a token of one sign may be all over them
			if _, err := runtel.Account(token); err != nil {
				t.Errorf("HTTP %d %s: %v", status, body, err)
			}
		}
	})
}
