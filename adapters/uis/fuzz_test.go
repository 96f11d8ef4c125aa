package uis_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/uis"
)

// FuzzResponse reads any bytes as the response to each operation. Either there is
// proof of success, or an error that is safe to show.
func FuzzResponse(f *testing.F) {
	drivertest.EachSample(f, func(_ int, _ http.Header, body string) {
		f.Add(body)
	})
	for _, body := range []string{
		"", "null", "[]", `{"error":null,"result":{}}`, `{"ERROR":{}}`, `{"error":{"code":"-32001","data":{"mnemonic":1}}}`,
		`{"result":{"data":{"access_token":5,"expire_at":1e400,"success":"true"}}}`, `{"error":{"code":-32029,"metadata":{"limits":{"minute_reset":-1}}}}`,
		`{"error":{"data":{"mnemonic":"a\nb\u001b","field":"<x>"}}}`, "\ufeff{\"result\":{}}\x00",
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		// A second reading, by other means, of what the driver must find.
		var envelope struct{ Result, Error any }
		trimmed := drivertest.Trimmed(body)
		decoder := json.NewDecoder(strings.NewReader(trimmed))
		decoder.UseNumber()
		if !strings.HasPrefix(trimmed, "{") || !json.Valid([]byte(trimmed)) || decoder.Decode(&envelope) != nil {
			envelope.Result, envelope.Error = nil, nil
		}
		succeeded, failed := envelope.Result != nil && envelope.Error == nil, envelope.Error != nil
		hasToken := strings.Contains(strings.ToLower(trimmed), "access_token") || strings.Contains(trimmed, `\u`)

		given := &pbx.Token{Value: pbx.NewSecret(token)}
		got, err := on(t, drivertest.Bodies(body)).Login(t.Context())
		if (got == nil) == (err == nil) || err == nil && (!succeeded || !hasToken) || errors.Is(err, pbx.ErrTokenRejected) {
			t.Errorf("Login: %v, %v", got, err)
		}
		safe(t, err)
		err = on(t, drivertest.Bodies(body)).Ping(t.Context(), given)
		if (err == nil) != succeeded {
			t.Errorf("Ping: %v", err)
		}
		safe(t, err)
		err = on(t, drivertest.Bodies(body)).Logout(t.Context(), given)
		if err == nil && !succeeded && !failed {
			t.Error("Logout succeeds")
		}
		safe(t, err)
		err = on(t, drivertest.Unsent{T: t}).Inspect(&http.Response{StatusCode: 200, Header: http.Header{}}, []byte(body), given)
		if (err != nil) != failed {
			t.Errorf("Inspect: %v", err)
		}
		safe(t, err)
		_, err = on(t, drivertest.Bodies(body), withKey("list.calls")).Login(t.Context())
		if errors.Is(err, pbx.ErrTokenRejected) {
			t.Errorf("a key: %v", err)
		}
		safe(t, err)
	})
}

func safe(t *testing.T, err error, secrets ...string) {
	t.Helper()
	drivertest.Safe(t, uis.Name, err, secrets...)
}
