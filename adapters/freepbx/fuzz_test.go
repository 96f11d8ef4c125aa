package freepbx_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/freepbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
)

// FuzzResponse reads any bytes as the response to each operation. Either there is
// proof of success, or an error that is safe to show.
func FuzzResponse(f *testing.F) {
	drivertest.EachSample(f, func(status int, _ http.Header, body string) {
		f.Add(status, body)
	})
	f.Add(200, `{"data":{"__typename":"Query"}}`)
	f.Add(400, `{"errors":[{"message":"x","status":false}]}`)
	f.Add(500, "")
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 || status/100 == 3 { // wire's affair
			return
		}
		rt := drivertest.Response{Status: status, Body: body}
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

func safe(t *testing.T, err error, secrets ...string) {
	t.Helper()
	drivertest.Safe(t, freepbx.Name, err, secrets...)
}
