package asterisk_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
)

// Lines that prove a success, in the first block of an answer.
var (
	provesLogin = regexp.MustCompile(`^\x{feff}?[\s\x00]*Response:\s*Success\s*\n(?:[^\n]*[^\r\n][^\n]*\n)*?Message:[^\S\n]*Authentication accepted[^\S\n]*\n`)
	provesPing  = regexp.MustCompile(`^\x{feff}?[\s\x00]*Response:\s*Success\s*\n(?:[^\n]*[^\r\n][^\n]*\n)*?Ping:[^\S\n]*Pong[^\S\n]*\n`)
	provesBye   = regexp.MustCompile(`^\x{feff}?[\s\x00]*Response:\s*Goodbye\s*\n`)
	provesError = regexp.MustCompile(`^\x{feff}?[\s\x00]*Response:\s*Error\s*\n`)
)

// FuzzAnswer reads any bytes as the answer to each operation. A success is
// proven, and an error is safe to show.
func FuzzAnswer(f *testing.F) {
	drivertest.EachSample(f, func(_ int, _ http.Header, body string) {
		f.Add(strings.ReplaceAll(body, "\n", "\r\n"))
	})
	f.Fuzz(func(t *testing.T, body string) {
		given := &pbx.Token{Value: pbx.NewSecret("1c6c9072")}

		token, err := on(t, withCookie{drivertest.Bodies(challenged, body)}).Login(t.Context())
		if (token == nil) == (err == nil) || (err == nil && !provesLogin.MatchString(body)) {
			t.Errorf("Login: %v, %v", token, err)
		}
		safe(t, err)

		token, err = on(t, withCookie{drivertest.Bodies(body)}).KeepAlive(t.Context(), given)
		if (token == nil) == (err == nil) || (err == nil && !provesPing.MatchString(body)) {
			t.Errorf("KeepAlive: %v, %v", token, err)
		}
		safe(t, err)

		err = on(t, withCookie{drivertest.Bodies(body)}).Logout(t.Context(), given)
		if err == nil && !provesBye.MatchString(body) {
			t.Error("Logout: no error")
		}
		safe(t, err)

		err = inspect(on(t, drivertest.Unsent{T: t}), 200, body)
		if err != nil && !provesError.MatchString(body) {
			t.Errorf("Inspect: %v", err)
		}
		safe(t, err)
	})
}

// FuzzSetCookie reads any bytes as the cookie of a login.
func FuzzSetCookie(f *testing.F) {
	f.Add(`mansession_id="1c6c9072"; Version=1; Max-Age=60`)
	f.Fuzz(func(t *testing.T, cookie string) {
		if cookie == "" {
			return // an Asterisk's own
		}
		token, err := on(t, withCookie{drivertest.Responses(drivertest.Response{Body: challenged}, drivertest.Response{Body: accepted, Header: http.Header{"Set-Cookie": {cookie}}})}).Login(t.Context())
		if err != nil {
			if failure(t, err).Kind != pbx.ErrProtocol {
				t.Errorf("%v", err)
			}
			safe(t, err)
			return
		}
		if id := token.Value.Reveal(); id == "" || strings.Trim(strings.ToLower(id), "0123456789abcdef") != "" {
			t.Errorf("the id %q", id)
		}
		if !token.ExpiresAt.After(token.IssuedAt) {
			t.Errorf("from %s to %s", token.IssuedAt, token.ExpiresAt)
		}
	})
}

// FuzzCookieHeader puts a token into any Cookie header. A server that reads the
// last session in it finds ours, and the other cookies are all there.
func FuzzCookieHeader(f *testing.F) {
	f.Add(`lang=de; mansession_id="0badcafe"; theme=dark`)
	f.Fuzz(func(t *testing.T, header string) {
		if strings.ContainsFunc(header, unicode.IsControl) || strings.Count(header, ";") > 2000 {
			return // net/http does not send it, or does not read that many
		}
		before, r := &http.Request{Header: http.Header{"Cookie": {header}}}, &http.Request{Header: http.Header{"Cookie": {header}}}
		if err := on(t, drivertest.Unsent{T: t}).Authorize(r, &pbx.Token{Value: pbx.NewSecret("1c6c9072")}); err != nil {
			t.Fatal(err)
		}
		if len(r.Header["Cookie"]) != 1 || !strings.HasSuffix(r.Header.Get("Cookie"), "mansession_id=1c6c9072") {
			t.Errorf("%q", r.Header)
		}
		others := func(r *http.Request) (kept []string, sessions int) {
			for _, c := range r.Cookies() {
				if strings.EqualFold(c.Name, "mansession_id") {
					sessions++
					continue
				}
				kept = append(kept, c.String())
			}
			return kept, sessions
		}
		want, _ := others(before)
		got, sessions := others(r)
		if sessions != 1 || strings.Join(want, "|") != strings.Join(got, "|") {
			t.Errorf("%q became %q", header, r.Header.Get("Cookie"))
		}
	})
}

// safe checks that an error can be shown to anybody: it is one line, of a
// bearable length, and without the session's id.
func safe(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	text := err.Error()
	if len([]rune(text)) > 500 || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("the error is not one line: %q", text)
	}
	if strings.Contains(strings.ToLower(text), "1c6c9072") {
		t.Errorf("the error quotes the session's id: %q", text)
	}
	failure(t, err)
}
