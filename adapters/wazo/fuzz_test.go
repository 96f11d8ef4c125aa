package wazo_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/wazo"
)

// FuzzResponse reads any bytes as the response to each operation. Either there is
// proof of success, or an error that is safe to show.
func FuzzResponse(f *testing.F) {
	drivertest.EachSample(f, func(status int, _ http.Header, body string) {
		f.Add(status, body)
	})
	f.Add(404, `{"reason":["No such token"],"status_code":404}`)
	f.Add(200, `{"data":{"token":"x","utc_issued_at":"2026-01-01T00:00:00","utc_expires_at":"9999-01-01T00:00:00"}}`)
	f.Add(200, `{"data":{"token":["x"]}}`)
	f.Add(429, `{"reason":["x"],"status_code":"429"}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 || status/100 == 3 { // wire's affair
			return
		}
		// A second reading, by other means, of what a login must find.
		var fields struct {
			Data struct {
				Token   any `json:"token"`
				Refresh any `json:"refresh_token"`
			} `json:"data"`
		}
		json.Unmarshal([]byte(drivertest.Trimmed(body)), &fields)
		access, _ := fields.Data.Token.(string)

		driver := open(t, config(drivertest.Response{Status: status, Body: body}))
		token, err := driver.Login(t.Context())
		safe(t, err, access)
		if (token == nil) == (err == nil) || token != nil && (status/100 != 2 || access == "" || token.Value.Reveal() != access) {
			t.Errorf("Login: %v, %v", token, err)
		}
		if token != nil {
			if life := token.ExpiresAt.Sub(token.IssuedAt); life < time.Second || life > 87600*time.Hour {
				t.Errorf("a lifetime of %s", life)
			}
			if len(access) >= 12 && strings.Contains(string(token.Details), access) {
				t.Errorf("the details hold the token: %s", token.Details)
			}
		}
		for _, err := range []error{
			driver.Ping(t.Context(), given()),
			driver.Logout(t.Context(), given()),
		} {
			if err == nil && status/100 != 2 {
				t.Errorf("HTTP %d is a success", status)
			}
			safe(t, err, sampleToken)
		}
		err = driver.Inspect(&http.Response{StatusCode: status, Header: http.Header{}}, []byte(body), given())
		if err == nil && status/100 != 2 {
			t.Errorf("Inspect of HTTP %d: %v", status, err)
		}
		safe(t, err, sampleToken)

		cfg := config(drivertest.Response{Status: status, Body: body})
		cfg.ClientID = "crm"
		token, err = open(t, cfg).KeepAlive(t.Context(), given())
		if (token == nil) == (err == nil) || token != nil && token.Refresh.IsZero() {
			t.Errorf("KeepAlive: %v, %v", token, err)
		}
		safe(t, err, access, sampleRefresh)
		safe(t, open(t, cfg).Logout(t.Context(), given()), sampleToken)
	})
}

func safe(t *testing.T, err error, secrets ...string) {
	t.Helper()
	drivertest.Safe(t, wazo.Name, err, secrets...)
}
