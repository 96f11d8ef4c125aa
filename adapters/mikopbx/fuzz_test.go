package mikopbx_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/mikopbx"
)

// FuzzResponse reads any bytes, under any status and with any cookie, as the
// response to each operation. Either there is proof of success, or an error that is
// safe to show.
func FuzzResponse(f *testing.F) {
	drivertest.EachSample(f, func(_ int, header http.Header, body string) {
		f.Add(200, body, header.Get("Set-Cookie"), header.Get("Date"))
		f.Add(401, body, "", "")
	})
	f.Add(403, "The user isn't authenticated.", "", "")
	f.Add(200, `{"result":"true","data":"x"}`, `refreshToken="a b"`, "Mon, 01 Jan 0001 00:00:00 GMT")
	f.Add(429, `{"result":false}`, "refreshtoken=x;;", "Fri, 31 Dec 9999 23:59:59 GMT")
	f.Fuzz(func(t *testing.T, status int, body, set, date string) {
		if status < 200 || status > 599 || status == http.StatusNotModified || strings.ContainsAny(set+date, "\r\n\x00") {
			t.Skip("no HTTP response")
		}
		// A second reading, by other means, of what the driver must find.
		var fields map[string]json.RawMessage
		trimmed := drivertest.Trimmed(body)
		json.Unmarshal([]byte(trimmed), &fields)
		result := ""
		for name, raw := range fields {
			if strings.EqualFold(name, "result") {
				result += string(raw) // two of them are neither
			}
		}
		good := status/100 == 2 && strings.Contains(result, "true")

		response := drivertest.Response{Status: status, Header: http.Header{"Set-Cookie": {set}, "Date": {date}}, Body: body}
		got, err := on(t, drivertest.Responses(response)).Login(t.Context())
		if (got == nil) == (err == nil) || err == nil && !good || errors.Is(err, pbx.ErrTokenRejected) {
			t.Errorf("Login: %v, %v", got, err)
		}
		if got != nil && (!got.ExpiresAt.After(got.IssuedAt) || got.Refresh.IsZero() != got.RefreshExpiresAt.IsZero()) {
			t.Errorf("Login: %v", got)
		}
		safe(t, err)
		got, err = on(t, drivertest.Responses(response)).KeepAlive(t.Context(), held())
		if (got == nil) == (err == nil) || err == nil && (!good || got.Refresh.IsZero()) {
			t.Errorf("KeepAlive: %v, %v", got, err)
		}
		safe(t, err)
		err = on(t, drivertest.Responses(response)).Ping(t.Context(), held())
		if err == nil && !good {
			t.Error("Ping succeeds")
		}
		safe(t, err)
		err = on(t, drivertest.Responses(response)).Logout(t.Context(), held())
		if err == nil && !good && status != 401 && status != 403 {
			t.Error("Logout succeeds")
		}
		safe(t, err)
		err = on(t, drivertest.Unsent{T: t}).Inspect(&http.Response{StatusCode: status, Header: http.Header{}}, []byte(body), held())
		if errors.Is(err, pbx.ErrTokenRejected) && status != 401 && status != 403 || err == nil && status/100 != 2 {
			t.Errorf("Inspect: %v", err)
		}
		safe(t, err)
	})
}

func safe(t *testing.T, err error, secrets ...string) {
	t.Helper()
	drivertest.Safe(t, mikopbx.Name, err, secrets...)
}

// FuzzPassword opens the driver with any password. Either it is refused, or it is sent as
// it is.
func FuzzPassword(f *testing.F) {
	for _, text := range []string{"plain", "a<b", "a < b", " x", "x\v", "httpx y", "Http é", "<", "<\t", "<\v0", "пароль", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		server := drivertest.Bodies(accepted)
		driver, err := mikopbx.New(mikopbx.Config{Config: pbx.Config{URL: "https://pbx.example.com", Username: user, Password: pbx.NewSecret(text), Transport: server}})
		if err != nil {
			if failure(t, err).Kind != pbx.ErrConfig {
				t.Errorf("%v", err)
			}
			return
		}
		if _, err := driver.Login(t.Context()); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		var sent struct{ Password string }
		if err := json.Unmarshal([]byte(server.SentBodies()[0]), &sent); err != nil || sent.Password != text {
			t.Errorf("%q was sent for %q, %v", sent.Password, text, err)
		}
	})
}
