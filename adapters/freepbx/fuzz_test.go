package freepbx_test

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/golden"
)

// FuzzResponse reads any bytes as the response to each operation. Either there is
// proof of success, or an error that is safe to show.
func FuzzResponse(f *testing.F) {
	files, err := filepath.Glob("testdata/golden/*.http")
	if err != nil || len(files) == 0 {
		f.Fatal("no samples", err)
	}
	for _, path := range files {
		x, err := golden.Load(path)
		if err != nil {
			f.Fatal(err)
		}
		status, _ := strconv.Atoi(strings.Fields(x.Answer.Line)[1])
		f.Add(status, x.Answer.Body)
	}
	f.Add(200, `{"data":{"__typename":"Query"}}`)
	f.Add(400, `{"errors":[{"message":"x","status":false}]}`)
	f.Add(500, "")
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 || status/100 == 3 { // wire's affair
			return
		}
		rt := answering{status: status, body: body}
		for name, driver := range map[string]pbx.Authenticator{"an application": open(t, config(rt)), "a user": open(t, ofUser(rt))} {
			token, err := driver.Login(t.Context())
			if (token == nil) == (err == nil) || token != nil && token.Value.IsZero() {
				t.Errorf("%s: %v, %v", name, token, err)
			}
			safe(t, err)
		}
		driver := open(t, ofUser(rt))
		token, err := driver.KeepAlive(t.Context(), given(time.Hour))
		if (token == nil) == (err == nil) || token != nil && token.Refresh.IsZero() {
			t.Errorf("KeepAlive: %v, %v", token, err)
		}
		safe(t, err)
		if err := driver.Ping(t.Context(), given(time.Hour)); err == nil && status/100 != 2 {
			t.Errorf("a ping succeeds with HTTP %d", status)
		} else {
			safe(t, err)
		}
		request := &http.Request{URL: &url.URL{Path: "/admin/api/api/gql"}}
		err = driver.Inspect(&http.Response{StatusCode: status, Header: http.Header{}, Request: request}, []byte(body), given(time.Hour))
		safe(t, err)
		switch {
		case err == nil && status/100 != 2:
			t.Errorf("HTTP %d is a success", status)
		case err != nil && failure(t, err).Kind == pbx.ErrTokenRejected && !strings.Contains(strings.ToLower(body), "error") && !strings.Contains(body, `\u`):
			t.Errorf("HTTP %d, %q: %v", status, body, err)
		}
	})
}

// safe checks that an error can be shown to anybody.
func safe(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	failure(t, err)
	text := err.Error()
	if len(text) > 1200 || strings.ContainsAny(text, "\r\n") || strings.Contains(text, token16) {
		t.Errorf("%q", text)
	}
}
