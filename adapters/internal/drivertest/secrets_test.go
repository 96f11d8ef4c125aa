package drivertest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/internal/leak"
)

const secret = `canary"7Q /+ü`

// leaky is a driver that shows something somewhere.
type leaky struct {
	cfg   pbx.Config
	shows func(where string) string // "": nothing
	heard func(body string)         // gets what the PBX says
}

// do sends a request, and fails with what there is to show at where.
func (d *leaky) do(ctx context.Context, where string) error {
	d.cfg.Logger.Debug().Str("path", "/login").Msg(d.shows("log of " + where))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.cfg.URL+"/login", strings.NewReader("password="+url.QueryEscape(secret)))
	if err != nil {
		return err
	}
	resp, err := d.cfg.Transport.RoundTrip(r)
	if err != nil {
		d.heard(err.Error())
		return d.failure(where)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	d.heard(fmt.Sprint(resp.Header, string(body)))
	if err != nil {
		return err
	}
	return d.failure(where)
}

func (d *leaky) failure(where string) error { return &pbx.Error{Message: d.shows(where)} }

func (d *leaky) Login(ctx context.Context) (*pbx.Token, error) {
	_ = d.do(ctx, "the first of two requests")
	return &pbx.Token{Details: json.RawMessage(d.shows("Token.Details"))}, d.do(ctx, "Login's error")
}

func (d *leaky) KeepAlive(ctx context.Context, _ *pbx.Token) (*pbx.Token, error) {
	return nil, d.do(ctx, "KeepAlive's error")
}
func (d *leaky) Logout(ctx context.Context, t *pbx.Token) error {
	if text := d.shows("the session's token"); text != "" {
		t.Details = json.RawMessage(text)
	}
	return d.do(ctx, "Logout's error")
}
func (d *leaky) Ping(ctx context.Context, _ *pbx.Token) error { return d.do(ctx, "Ping's error") }
func (d *leaky) Authorize(*http.Request, *pbx.Token) error    { return d.failure("Authorize's error") }
func (d *leaky) Transport() http.RoundTripper                 { return d.cfg.Transport }
func (d *leaky) Traits() pbx.Traits                           { return pbx.Traits{Account: d.shows("the traits")} }

func (d *leaky) Inspect(_ *http.Response, body []byte, _ *pbx.Token) error {
	d.heard(string(body))
	if strings.HasPrefix(string(body), "whole ") && strings.HasSuffix(string(body), " whole") {
		return d.failure("Inspect's error")
	}
	return d.failure("Inspect of a half's error")
}

func (d *leaky) Fingerprint(context.Context, []byte) ([]byte, error) { return []byte("print"), nil }

// of returns the search for secret in what d shows.
func of(d *leaky) Secrets {
	return Secrets{
		Planted: map[string]string{"password": secret},
		Open: func(cfg pbx.Config) (Driver, []any, error) {
			cfg.Username, cfg.Password = "api", pbx.NewSecret(secret)
			d.cfg = cfg
			return d, []any{cfg, map[string]string{"v": d.shows("the settings")}}, nil
		},
		Token: &pbx.Token{Value: pbx.NewSecret("a token of the session")},
		Request: func(base string) *http.Request {
			r, err := http.NewRequest(http.MethodGet, base+"/users", nil)
			if err != nil {
				panic(err)
			}
			return r
		},
		Logged: "/login",
	}
}

// showing returns a driver that shows text at one place, whatever its PBX says.
func showing(place, text string) *leaky {
	return &leaky{heard: func(string) {}, shows: func(where string) string {
		if where == place {
			return text
		}
		return ""
	}}
}

// quoter returns a driver that quotes in its errors what its PBX said last.
func quoter() *leaky {
	last := ""
	return &leaky{heard: func(body string) { last = body }, shows: func(where string) string {
		if strings.HasSuffix(where, "error") {
			return last
		}
		return ""
	}}
}

var whole = Body("whole whole")

func TestADriverThatShowsNothingHasNoProblem(t *testing.T) {
	for _, text := range []string{"", "canary", "the password is wrong"} {
		if got := of(showing("Login's error", text)).problems(t.Context(), whole); len(got) != 0 {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestASecretIsFoundHoweverItIsWritten(t *testing.T) {
	asJSON, _ := json.Marshal(secret)
	for name, text := range map[string]string{
		"as it is":    "token=" + secret,
		"in capitals": strings.ToUpper(secret),
		"in JSON":     string(asJSON),
		"in HTML":     html.EscapeString(secret),
		"in a query":  "?token=" + url.QueryEscape(secret),
		"in a path":   "/" + url.PathEscape(secret),
		"in hex":      fmt.Sprintf("%x", secret),
		"in base64":   base64.StdEncoding.EncodeToString([]byte(secret)),
	} {
		want := "the password shows in Login's error: "
		if got := of(showing("Login's error", text)).problems(t.Context(), whole); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestASecretIsFoundWhereverItShows(t *testing.T) {
	places := map[string]string{ // where the driver shows it, and where it is found
		"the settings":        "a value",
		"the session's token": "a value",
		"the traits":          "a value",
	}
	for _, where := range []string{
		"Login's error", "KeepAlive's error", "Ping's error", "Authorize's error", "Inspect's error", "Inspect of a half's error", "Logout's error",
	} {
		places[where] = where
	}
	for _, of := range []string{"Login's error", "KeepAlive's error", "Ping's error", "Logout's error"} {
		places["log of "+of] = "the log"
	}
	for place, found := range places {
		want := "the password shows in " + found + ": "
		if got := of(showing(place, secret)).problems(t.Context(), whole); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s: %q, want %q", place, got, want)
		}
	}
}

func TestASecretIsFoundInTheDetailsOfAToken(t *testing.T) {
	got := of(showing("Token.Details", secret)).problems(t.Context(), whole)
	for _, want := range []string{"the password shows in Login: ", "the password shows in Token.Details: "} { // as bytes, and as text
		if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// holding is a driver with a secret in a field that does not hide itself.
type holding struct {
	*leaky
	password string
}

// wrapping is a driver whose error hides what it wraps from its text only.
type wrapping struct{ *leaky }

func (wrapping) Logout(context.Context, *pbx.Token) error {
	return &pbx.Error{Err: deep{errors.New(secret)}}
}

type deep struct{ error }

func (deep) Error() string   { return "deep" }
func (d deep) Unwrap() error { return d.error }

func TestASecretIsFoundInFieldsAndCauses(t *testing.T) {
	for found, wrap := range map[string]func(*leaky) Driver{
		"a value":        func(d *leaky) Driver { return holding{d, secret} },
		"Logout's error": func(d *leaky) Driver { return wrapping{d} },
	} {
		s := of(showing("", ""))
		open := s.Open
		s.Open = func(cfg pbx.Config) (Driver, []any, error) {
			driver, settings, err := open(cfg)
			return wrap(driver.(*leaky)), settings, err
		}
		want := "the password shows in " + found + ": "
		if got := s.problems(t.Context(), whole); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// failing returns the transports with which s finds a problem, sorted.
func failing(t *testing.T, s Secrets) []string {
	t.Helper()
	var names []string
	for name, transport := range s.transports() {
		if len(s.problems(t.Context(), transport)) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Every response repeats the password, and so does the transport: a driver that
// quotes fails with each.
func TestEveryResponseBringsTheSecretsBack(t *testing.T) {
	s := of(quoter())
	s.Responses = map[string]Response{"the brand's": {Status: 400, Header: http.Header{"X-Error": {Echo}}, Body: `{"error":1}`}}
	s.First = []Response{{Body: `{"first":1}`}}
	got := failing(t, s)
	for name := range s.transports() {
		if !slices.Contains(got, name) {
			t.Errorf("with %s nothing is found", name)
		}
	}
	if want := 2*(len(anyPBX)+1) + 1; len(got) != want {
		t.Errorf("%d transports %q, want %d", len(got), got, want)
	}

	if p := s.transports()["the brand's, after 1: password"].(*echoing).base.(*PBX); p.responses[0].Body != s.First[0].Body || len(p.responses) != 2 {
		t.Errorf("%+v, want the first response first", p.responses)
	}

	quiet := of(showing("", ""))
	quiet.First = s.First
	if got := failing(t, quiet); got != nil {
		t.Errorf("a driver that shows nothing fails with %q", got)
	}
}

// A secret comes back wherever it was, in the body and in the headers.
func TestAResponseRepeatsWhatTheExchangeCarries(t *testing.T) {
	const token = "token-of-the-session"
	for name, tt := range map[string]struct {
		request  func(*http.Request)
		response Response
	}{
		"in the query":             {request: func(r *http.Request) { r.URL.RawQuery = "token=" + token }},
		"in a header":              {request: func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }},
		"in the body":              {request: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(token)) }},
		"in the response's header": {response: Response{Header: http.Header{"Set-Cookie": {token}}}},
		"in the response":          {response: Response{Body: token + " "}},
		"nowhere":                  {},
	} {
		leaks := new(leak.Detector)
		leaks.Plant("token", token)
		r := NewRequest(t, http.MethodGet, secretsURL, "", "")
		if tt.request != nil {
			tt.request(r)
		}
		if tt.response.Header == nil {
			tt.response.Header = http.Header{}
		}
		tt.response.Header.Set("X-Error", Echo)
		tt.response.Body += `"` + Echo + `"`
		resp, err := (&echoing{base: tt.response, leaks: leaks}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		inHex := fmt.Sprintf("%x", token)
		if want := name != "nowhere"; strings.Contains(string(body), inHex) != want || strings.Contains(resp.Header.Get("X-Error"), inHex) != want {
			t.Errorf("%s: %v %s", name, resp.Header, body)
		}
	}
}

// A driver that hides a text with a secret that it knows may show another one.
func TestEachSecretIsRepeatedAlone(t *testing.T) {
	known := new(leak.Detector)
	known.Plant("password", secret)
	d := quoter()
	quoted := d.shows
	d.shows = func(where string) string {
		if text := quoted(where); len(known.Among(text)) == 0 {
			return text
		}
		return ""
	}
	s := of(d)
	s.SaysNothing = true
	s.Planted["next token"] = "token-of-the-next-login"
	got := failing(t, s)
	for name := range s.transports() {
		if found := slices.Contains(got, name); found != strings.HasSuffix(name, ": next token") {
			t.Errorf("with %s: found %v", name, found)
		}
	}
}

func TestAQuotingTransportQuotesAllOfARequest(t *testing.T) {
	r := NewRequest(t, http.MethodPost, secretsURL+"?in=query", "in/header", "in body")
	_, err := quoting{}.RoundTrip(r)
	for _, part := range []string{http.MethodPost, r.URL.String(), "in/header", "in body"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not have %s", err, part)
		}
	}
}

// A driver that says nothing may show no secret, also none that it has not sent.
func TestOnlyASilentDriverIsToldSecretsThatItHasNotSent(t *testing.T) {
	s := of(quoter())
	s.Planted = map[string]string{"next token": "token-of-the-next-login"}
	s.Responses = map[string]Response{"the brand's": {Body: Echo}}
	if got := failing(t, s); len(got) != 0 {
		t.Errorf("%q", got)
	}
	s.SaysNothing = true
	if got := failing(t, s); !slices.Contains(got, "the brand's: next token") {
		t.Error("the next token was not echoed")
	}
}

func TestASearchThatProvesNothingFails(t *testing.T) {
	unlogged := of(showing("", ""))
	unlogged.Logged = "/other"
	closed := of(showing("", ""))
	closed.Open = func(pbx.Config) (Driver, []any, error) { return nil, nil, errors.New("no URL") }
	for want, s := range map[string]Secrets{
		"the log says nothing of /other": unlogged,
		"not opened: no URL":             closed,
	} {
		if got := s.problems(t.Context(), whole); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
