package yeastar_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastar"
)

// FuzzAnswer reads any bytes as the answer to each operation. Either there is
// proof of success, or an error that is safe to show.
func FuzzAnswer(f *testing.F) {
	drivertest.EachSample(f, func(_ int, _ http.Header, body string) {
		f.Add(body)
	})
	f.Fuzz(func(t *testing.T, body string) {
		// A second reading, by other means, of what the driver must find.
		var fields struct{ Status, Errno, Token, RefreshToken any }
		json.Unmarshal([]byte(drivertest.Trimmed(body)), &fields)
		status, _ := fields.Status.(string)
		value, _ := fields.Token.(string)
		refresh, _ := fields.RefreshToken.(string)

		driver, given := on(t, drivertest.Body(body)), &pbx.Token{Value: pbx.NewSecret("48a7d7481a5355aa4fb5dc285edeb40e")}

		token, err := driver.Login(t.Context())
		if succeeded := status == "Success" && value != ""; succeeded != (err == nil) || succeeded != (token != nil) {
			t.Errorf("Login: %v, %v", token, err)
		}
		if token != nil {
			if token.Value.Reveal() != value {
				t.Errorf("the token is %q, want %q", token.Value.Reveal(), value)
			}
			if !token.ExpiresAt.Equal(token.IssuedAt.Add(30 * time.Minute)) {
				t.Errorf("the token lives until %s", token.ExpiresAt)
			}
		}
		safe(t, err, value)

		token, err = driver.KeepAlive(t.Context(), given)
		if succeeded := status == "Success"; succeeded != (err == nil) || succeeded != (token != nil) {
			t.Errorf("KeepAlive: %v, %v", token, err)
		}
		if token != nil && !token.Value.Equal(given.Value) {
			t.Errorf("KeepAlive made another token of it: %q", token.Value.Reveal())
		}
		safe(t, err, value)

		pair := &pbx.Token{Value: given.Value, Refresh: pbx.NewSecret("58f29c380365e5546cd3ac8c34edc88c")}
		token, err = ofFamily(t, yeastar.CloudV1, drivertest.Body(body)).KeepAlive(t.Context(), pair)
		if succeeded := status == "Success" && value != "" && refresh != ""; succeeded != (err == nil) || succeeded != (token != nil) {
			t.Errorf("refresh: %v, %v", token, err)
		}
		if token != nil && (token.Value.Reveal() != value || token.Refresh.Reveal() != refresh) {
			t.Errorf("the pair is %q and %q, want %q and %q", token.Value.Reveal(), token.Refresh.Reveal(), value, refresh)
		}
		safe(t, err, value)
		safe(t, err, refresh)

		err = driver.Logout(t.Context(), given)
		if status == "Success" && err != nil {
			t.Errorf("Logout: %v", err)
		}
		safe(t, err, value)

		err = inspect(driver, 200, body)
		if silent := status == "" || status == "Success"; silent != (err == nil) {
			t.Errorf("Inspect: %v", err)
		}
		safe(t, err, value)
	})
}

func safe(t *testing.T, err error, secrets ...string) {
	t.Helper()
	drivertest.SafeNumber(t, yeastar.Name, err, secrets...)
}
