package grandstream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/session"
)

func TestTheCookieGoesIntoTheBodyAndNothingElseChanges(t *testing.T) {
	const c = `"sid1-2"`
	full := strings.Repeat("x", 1<<20-len(`{"request":{"a":""}}`))
	tests := []struct{ name, body, want string }{
		{"no cookie", `{"request":{"action":"listAccount"}}`, `{"request":{"action":"listAccount","cookie":` + c + `}}`},
		{"an empty request", `{"request":{}}`, `{"request":{"cookie":` + c + `}}`},
		{"blanks", "\n{ \"request\" : { \"action\" : \"x\" } }\r\n", "\n{ \"request\" : { \"action\" : \"x\" ,\"cookie\":" + c + "} }\r\n"},
		{"an empty request with a blank", `{"request":{ }}`, `{"request":{ "cookie":` + c + `}}`},
		{"large numbers", `{"request":{"action":"x","id":12345678901234567890,"f":1.10,"e":1E400}}`, `{"request":{"action":"x","id":12345678901234567890,"f":1.10,"e":1E400,"cookie":` + c + `}}`},
		{"escapes and any text", `{"request":{"action":"\u0078\/<>&","ö":"пароль 🙂"}}`, `{"request":{"action":"\u0078\/<>&","ö":"пароль 🙂","cookie":` + c + `}}`},
		{"fields that nobody knows", `{"v":[1,{"request":1}],"request":{"a":{"cookie":"mine"},"b":[{"cookie":1}]},"w":null}`,
			`{"v":[1,{"request":1}],"request":{"a":{"cookie":"mine"},"b":[{"cookie":1}],"cookie":` + c + `},"w":null}`},
		{"a megabyte", `{"request":{"a":"` + full + `"}}`, `{"request":{"a":"` + full + `","cookie":` + c + `}}`},
		{"a field twice", `{"request":{"a":1,"a":2}}`, `{"request":{"a":1,"a":2,"cookie":` + c + `}}`},

		{"an old cookie", `{"request":{"cookie":"sid0-0","action":"x"}}`, `{"request":{"cookie":` + c + `,"action":"x"}}`},
		{"one at the end", `{"request":{"action":"x","cookie":""}}`, `{"request":{"action":"x","cookie":` + c + `}}`},
		{"one of another type", `{"request":{"cookie":{"a":[1]},"action":"x"}}`, `{"request":{"cookie":` + c + `,"action":"x"}}`},
		{"one with blanks", `{"request":{"cookie" : null ,"action":"x"}}`, `{"request":{"cookie" : ` + c + ` ,"action":"x"}}`},
		{"a number", `{"request":{"cookie":12 ,"action":"x"}}`, `{"request":{"cookie":` + c + ` ,"action":"x"}}`},
		{"two", `{"request":{"cookie":"a","action":"x","cookie":"b"}}`, `{"request":{"cookie":` + c + `,"action":"x","cookie":` + c + `}}`},
		{"one that is escaped", `{"request":{"\u0063ookie":"a"}}`, `{"request":{"\u0063ookie":` + c + `}}`},
		{"what looks like one", `{"request":{"Cookie":"a","cookies":"b"}}`, `{"request":{"Cookie":"a","cookies":"b","cookie":` + c + `}}`},
		{"an escaped request", `{"\u0072equest":{"action":"x"}}`, `{"\u0072equest":{"action":"x","cookie":` + c + `}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for kind, body := range map[string]io.Reader{
				"that can be read again": strings.NewReader(tt.body),
				"that can be read once":  io.MultiReader(strings.NewReader(tt.body)),
			} {
				r, err := http.NewRequest("POST", "https://pbx.example.com:8089/api?x=y", body)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/json")
				if err := on(t, drivertest.Unsent{T: t}).Authorize(r, &pbx.Token{Value: pbx.NewSecret("sid1-2")}); err != nil {
					t.Fatal(err)
				}
				if r.ContentLength != int64(len(tt.want)) || r.URL.RawQuery != "x=y" || len(r.Header) != 1 {
					t.Errorf("a body %s: length %d, query %s, header %v", kind, r.ContentLength, r.URL.RawQuery, r.Header)
				}
				again, err := r.GetBody() // for net/http, when a kept connection breaks
				if err != nil {
					t.Fatal(err)
				}
				for which, body := range map[string]io.ReadCloser{"Body": r.Body, "GetBody": again} {
					got, err := io.ReadAll(body)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(tt.want, string(got)); diff != "" {
						t.Errorf("%s of a body %s (-want +got):\n%s", which, kind, diff)
					}
				}
			}
		})
	}
}

func TestABodyThatIsNotTheEnvelopeIsAClearError(t *testing.T) {
	const secret = "canary-in-the-body"
	for name, tt := range map[string]struct {
		body io.Reader
		says string
	}{
		"none":                {nil, "has none"},
		"NoBody":              {http.NoBody, "has none"},
		"an empty one":        {io.MultiReader(strings.NewReader("")), "not a JSON object"},
		"a form":              {strings.NewReader("action=" + secret), "not a JSON object"},
		"a list":              {strings.NewReader(`[{"request":{"action":"` + secret + `"}}]`), "not a JSON object"},
		"a text":              {strings.NewReader(`"` + secret + `"`), "not a JSON object"},
		"null":                {strings.NewReader("null"), "not a JSON object"},
		"no request":          {strings.NewReader(`{"action":"` + secret + `"}`), `0 members "request"`},
		"in capitals":         {strings.NewReader(`{"Request":{"action":"` + secret + `"}}`), `0 members "request"`},
		"two requests":        {strings.NewReader(`{"request":{"a":"` + secret + `"},"request":{}}`), `2 members "request"`},
		"a request in a list": {strings.NewReader(`{"request":[{"a":"` + secret + `"}]}`), `its "request"`},
		"a request of null":   {strings.NewReader(`{"request":null}`), `its "request"`},
		"a request in a text": {strings.NewReader(`{"request":"{}"}`), `its "request"`},
		"cut short":           {strings.NewReader(`{"request":{"a":"` + secret + `"}`), "not a JSON object"},
		"more behind it":      {strings.NewReader(`{"request":{"a":"` + secret + `"}}{}`), "not a JSON object"},
		"a comma too many":    {strings.NewReader(`{"request":{"a":"` + secret + `",}}`), "not a JSON object"},
		"a name of no text":   {strings.NewReader(`{"request":{"a":"` + secret + `"},7:8}`), "not a JSON object"},
		"no colon":            {strings.NewReader(`{"request"{"a":"` + secret + `"}}`), "not a JSON object"},
		"a byte-order mark":   {strings.NewReader("\ufeff" + `{"request":{}}`), "not a JSON object"},
		"nested without end":  {strings.NewReader(`{"request":{"a":` + strings.Repeat("[", 100_000) + "}}"), "not a JSON object"},
		"a file":              {bytes.NewReader(make([]byte, 1<<20+1)), "larger than 1024 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequest("POST", "https://pbx.example.com:8089/api", tt.body)
			if err != nil {
				t.Fatal(err)
			}
			err = on(t, drivertest.Unsent{T: t}).Authorize(r, &pbx.Token{Value: pbx.NewSecret("sid1-2")})
			got := failure(t, err)
			if got.Kind != pbx.ErrNotSupported || got.Op != pbx.OpRequest || got.Sent || !strings.Contains(got.Message, tt.says) || !strings.Contains(got.Message, `{"request":{"action":…}}`) {
				t.Errorf("%v", err)
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "sid1-2") {
				t.Errorf("it quotes the body or the token: %v", err)
			}
		})
	}
}

// brokenBody fails in the middle, and notes that it was closed.
type brokenBody struct{ closed bool }

var errBroken = errors.New("the disk is gone")

func (b *brokenBody) Read([]byte) (int, error) { return 0, errBroken }
func (b *brokenBody) Close() error             { b.closed = true; return nil }

func TestABodyIsClosedWhateverBecomesOfIt(t *testing.T) {
	body := &brokenBody{}
	r, err := http.NewRequest("POST", "https://pbx.example.com:8089/api", body)
	if err != nil {
		t.Fatal(err)
	}
	err = on(t, drivertest.Unsent{T: t}).Authorize(r, &pbx.Token{Value: pbx.NewSecret("sid1-2")})
	if failure(t, err).Sent || !errors.Is(err, errBroken) || !body.closed {
		t.Errorf("%v, closed %v", err, body.closed)
	}
}

// After a restart the PBX refuses the cookie in the body, and the session sends
// the application's body again with another.
func TestASessionsReplayCarriesTheNewCookie(t *testing.T) {
	simulate(t, grandstreamsim.Options{}, nil, func(t *testing.T, s simulation) {
		kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
		defer kept.Close(context.Background())
		const body = `{"request":{"action":"getSystemGeneralStatus","id":12345678901234567890}}`
		post := func(body io.Reader) (string, error) {
			resp, err := kept.Client().Post(s.Server.URL+"/api", "application/json", body)
			if err != nil {
				return "", err
			}
			defer resp.Body.Close()
			answer, err := io.ReadAll(resp.Body)
			return string(answer), err
		}
		const success = `{"response":{},"status":0}`
		if got, err := post(strings.NewReader(body)); got != success || err != nil {
			t.Errorf("%s, %v", got, err)
		}
		first := s.Last().Body
		s.Restart()
		if got, err := post(strings.NewReader(body)); got != success || err != nil {
			t.Errorf("after a restart: %s, %v", got, err)
		}
		second := s.Last().Body
		for _, sent := range [][]byte{first, second} {
			var envelope struct {
				Request struct {
					Cookie string
					ID     json.Number
				}
			}
			if err := json.Unmarshal(sent, &envelope); err != nil || envelope.Request.ID != "12345678901234567890" || envelope.Request.Cookie == "" {
				t.Errorf("sent %s", sent)
			}
		}
		if bytes.Equal(first, second) {
			t.Error("the old cookie is sent again")
		}
		if counts := s.Counts(); counts.Logins != 2 || counts.RefusedTokens != 1 {
			t.Errorf("%d logins, %d cookies refused, want 2 and 1", counts.Logins, counts.RefusedTokens)
		}

		// What can be read once is not sent again, and the PBX's refusal is the answer.
		s.Restart()
		if got, err := post(io.MultiReader(strings.NewReader(body))); got != `{"response":{},"status":-6}` || err != nil {
			t.Errorf("a body that can be read once: %s, %v", got, err)
		}
		before := s.Counts().Requests
		if _, err := post(strings.NewReader("action=x")); !errors.Is(err, pbx.ErrNotSupported) || s.Counts().AppRequests != 2 {
			t.Errorf("a form: %v, %d requests", err, s.Counts().Requests-before)
		}
	})
}

// A body that cannot be used is closed once, by the driver or by the session.
func TestASessionClosesABodyThatIsNotTheEnvelopeOnce(t *testing.T) {
	simulate(t, grandstreamsim.Options{}, nil, func(t *testing.T, s simulation) {
		kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
		defer kept.Close(context.Background())
		if _, err := kept.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		reader, writer := io.Pipe()
		defer writer.Close()
		for name, from := range map[string]io.Reader{"a form": strings.NewReader("action=x"), "one that blocks": reader} {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			body := &closings{Reader: from, pipe: reader, closed: make(chan struct{}, 9)}
			r, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.Server.URL+"/api", body)
			if _, err := kept.Transport(nil).RoundTrip(r); err == nil {
				t.Errorf("%s: no error", name)
			}
			<-ctx.Done()
			cancel()
			time.Sleep(10 * time.Millisecond) // the one who reads ends too
			if n := len(body.closed); n != 1 {
				t.Errorf("%s is closed %d times", name, n)
			}
		}
	})
}

type closings struct {
	io.Reader
	pipe   *io.PipeReader
	closed chan struct{}
}

func (c *closings) Close() error {
	c.closed <- struct{}{}
	return c.pipe.Close()
}
