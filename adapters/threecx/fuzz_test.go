package threecx_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
)

// FuzzResponse reads any bytes as the response to each operation. Either there is
// proof of success, or an error that is safe to show.
func FuzzResponse(f *testing.F) {
	drivertest.EachSample(f, func(status int, _ http.Header, body string) {
		f.Add(status, body)
	})
	f.Add(404, `{"error":{"code":"x","message":"y"}}`)
	f.Add(200, `{"Version":"20"}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 || status/100 == 3 { // wire's affair
			return
		}
		driver := open(t, config(drivertest.Response{Status: status, Body: body}))
		token, err := driver.Login(t.Context())
		if (token == nil) == (err == nil) || token != nil && token.ExpiresAt.Sub(token.IssuedAt) < time.Minute {
			t.Errorf("Login: %v, %v", token, err)
		}
		safe(t, err, status)
		safe(t, driver.Ping(t.Context(), given()), status)
		err = driver.Inspect(&http.Response{StatusCode: status, Header: http.Header{}}, []byte(body), given())
		if (err == nil) != (status/100 == 2) {
			t.Errorf("Inspect of HTTP %d: %v", status, err)
		}
		safe(t, err, status)
	})
}

// safe checks that an error can be shown to anybody, and takes nothing but a 401
// for a refused token.
func safe(t *testing.T, err error, status int) {
	t.Helper()
	if err == nil {
		return
	}
	got := failure(t, err)
	if got.Kind == pbx.ErrTokenRejected && status != 401 {
		t.Errorf("HTTP %d: %v", status, err)
	}
	if text := err.Error(); len(text) > 1200 || strings.ContainsAny(text, "\r\n") || strings.Contains(text, sampleToken) {
		t.Errorf("%q", text)
	}
}
