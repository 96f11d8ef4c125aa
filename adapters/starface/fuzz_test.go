package starface_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/starface"
)

// FuzzResponse reads any bytes under any status as the response to each operation.
// Either there is proof of success, or an error that is safe to show.
func FuzzResponse(f *testing.F) {
	drivertest.EachSample(f, func(_ int, _ http.Header, body string) {
		f.Add(200, body)
	})
	for _, status := range []int{204, 400, 401, 403, 404, 500} {
		f.Add(status, `{"message":"invalid login"}`)
		f.Add(status, "")
		f.Add(status, "\v")
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 || status == http.StatusNotModified {
			t.Skip("no final status of a response with a body")
		}
		// A second reading, by other means, of what the driver must find.
		var fields map[string]any
		trimmed := drivertest.Trimmed(body)
		json.Unmarshal([]byte(trimmed), &fields)
		has := func(name string) bool {
			for key, value := range fields {
				if s, ok := value.(string); ok && s != "" && strings.EqualFold(key, name) {
					return true
				}
				if _, ok := value.(float64); ok && strings.EqualFold(key, name) {
					return true
				}
			}
			return false
		}
		good := status/100 == 2

		given := &pbx.Token{Value: pbx.NewSecret(token)}
		response := drivertest.Response{Status: status, Body: body}
		got, err := on(t, drivertest.Responses(drivertest.Response{Body: template}, response)).Login(t.Context())
		if (got == nil) == (err == nil) || err == nil && (!good || !has("token")) {
			t.Errorf("Login: %v, %v", got, err)
		}
		safe(t, err)
		_, err = on(t, drivertest.Responses(response)).Login(t.Context()) // as the first step
		if err == nil {
			t.Error("a login without a second response succeeds")
		}
		safe(t, err)
		err = on(t, drivertest.Responses(response)).Ping(t.Context(), given)
		if err == nil && (!good || !has("id") && !has("login")) {
			t.Error("Ping succeeds")
		}
		safe(t, err)
		err = on(t, drivertest.Responses(response)).Logout(t.Context(), given)
		if empty := strings.TrimSpace(trimmed) == ""; err == nil && status != 401 && !(good && empty) {
			t.Error("Logout succeeds")
		}
		safe(t, err)
		driver := on(t, drivertest.Unsent{T: t})
		err = driver.Inspect(&http.Response{StatusCode: status, Header: http.Header{}}, []byte(body), given)
		if (err == nil) != good || errors.Is(err, pbx.ErrTokenRejected) != (status == 401) {
			t.Errorf("Inspect: %v", err)
		}
		safe(t, err)
	})
}

func safe(t *testing.T, err error, secrets ...string) {
	t.Helper()
	drivertest.Safe(t, starface.Name, err, secrets...)
}
