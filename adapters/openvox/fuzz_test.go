package openvox_test

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/openvox"
)

// FuzzAnswer reads any bytes, JSON or XML, as the answer to each operation.
// Either there is proof of success, or an error that is safe to show.
func FuzzAnswer(f *testing.F) {
	drivertest.EachSample(f, func(_ int, _ http.Header, body string) {
		f.Add(body)
	})
	f.Fuzz(func(t *testing.T, body string) {
		status, value, certain := reading(body)
		driver, given := on(t, openvox.XML, drivertest.Body(body)), &pbx.Token{Value: pbx.NewSecret(sampleToken)}

		token, err := driver.Login(t.Context())
		if (err == nil) != (token != nil) {
			t.Errorf("Login: %v, %v", token, err)
		}
		if ok := status == "Success" && value != ""; token != nil && !ok || certain && ok != (token != nil) {
			t.Errorf("Login: %v, %v; the answer says %q, %q", token, err, status, value)
		}
		if token != nil && token.Value.Reveal() != value {
			t.Errorf("the token is %q, want %q", token.Value.Reveal(), value)
		}
		if token != nil && !token.ExpiresAt.Equal(token.IssuedAt.Add(30*time.Minute)) {
			t.Errorf("the token lives until %s", token.ExpiresAt)
		}
		safe(t, err, value)

		token, err = driver.KeepAlive(t.Context(), given)
		if ok := status == "Success"; (err == nil) != (token != nil) || token != nil && !ok || certain && ok != (token != nil) {
			t.Errorf("KeepAlive: %v, %v; the answer says %q", token, err, status)
		}
		if token != nil && !token.Value.Equal(given.Value) {
			t.Errorf("KeepAlive made another token of it: %q", token.Value.Reveal())
		}
		safe(t, err, value)
		safe(t, driver.Logout(t.Context(), given), value)

		err = inspect(driver, body)
		if silent := status == "" || status == "Success"; silent && err != nil || certain && silent != (err == nil) {
			t.Errorf("Inspect: %v; the answer says %q", err, status)
		}
		safe(t, err, value)
	})
}

// reading is a second one, by other means. Of XML it takes more than the driver
// does, and so is not certain about it.
func reading(body string) (status, token string, certain bool) {
	body = drivertest.Trimmed(body)
	if !strings.HasPrefix(strings.TrimLeft(body, " \t\r\n"), "<") {
		var fields struct{ Status, Token any }
		json.Unmarshal([]byte(body), &fields)
		status, _ = fields.Status.(string)
		token, _ = fields.Token.(string)
		return status, token, true
	}
	var document struct {
		XMLName xml.Name `xml:"xml"`
		Status  string   `xml:"status"`
		Token   string   `xml:"token"`
	}
	if xml.Unmarshal([]byte(body), &document) != nil {
		return "", "", true
	}
	return document.Status, document.Token, false
}

func safe(t *testing.T, err error, secrets ...string) {
	t.Helper()
	drivertest.SafeNumber(t, openvox.Name, err, secrets...)
}
