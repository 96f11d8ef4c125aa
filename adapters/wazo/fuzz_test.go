package wazo_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/golden"
)

var kinds = []error{
	nil, pbx.ErrInvalidCredentials, pbx.ErrForbidden, pbx.ErrTokenRejected, pbx.ErrTooManySessions,
	pbx.ErrUnavailable, pbx.ErrProtocol, pbx.ErrConfig,
}

// FuzzResponse reads any bytes as the response to each operation. Either there is
// proof of success, or an error that is safe to show.
func FuzzResponse(f *testing.F) {
	samples, err := filepath.Glob("testdata/golden/*.http")
	if err != nil || len(samples) == 0 {
		f.Fatal("no samples", err)
	}
	for _, path := range samples {
		x, err := golden.Load(path)
		if err != nil {
			f.Fatal(err)
		}
		status, _ := strconv.Atoi(strings.Fields(x.Answer.Line)[1])
		f.Add(status, x.Answer.Body)
	}
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
		json.Unmarshal([]byte(strings.Trim(strings.TrimPrefix(body, "\ufeff"), " \t\r\n\x00")), &fields)
		access, _ := fields.Data.Token.(string)

		driver := open(t, config(answering{status: status, body: body}))
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

		cfg := config(answering{status: status, body: body})
		cfg.ClientID = "crm"
		token, err = open(t, cfg).KeepAlive(t.Context(), given())
		if (token == nil) == (err == nil) || token != nil && token.Refresh.IsZero() {
			t.Errorf("KeepAlive: %v, %v", token, err)
		}
		safe(t, err, access, sampleRefresh)
		safe(t, open(t, cfg).Logout(t.Context(), given()), sampleToken)
	})
}

// safe checks that an error can be shown to anybody.
func safe(t *testing.T, err error, secrets ...string) {
	t.Helper()
	if err == nil {
		return
	}
	got := failure(t, err)
	if !slices.Contains(kinds, got.Kind) {
		t.Errorf("kind %v", got.Kind)
	}
	text := err.Error()
	if len(text) > 1200 || strings.ContainsAny(text, "\r\n") {
		t.Errorf("the error is not one line: %q", text)
	}
	for _, secret := range secrets {
		if len(secret) >= 12 && strings.Contains(text, secret) {
			t.Errorf("the error quotes a token: %q", text)
		}
	}
}
