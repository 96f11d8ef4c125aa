package openvox_test

import (
	"encoding/json"
	"encoding/xml"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/openvox"
	"github.com/pbxauth/pbx/conformance/golden"
)

// FuzzAnswer reads any bytes, JSON or XML, as the answer to each operation.
// Either there is proof of success, or an error that is safe to show.
func FuzzAnswer(f *testing.F) {
	samples, err := filepath.Glob("testdata/golden/*.http")
	if err != nil || len(samples) == 0 {
		f.Fatal("no samples", err)
	}
	for _, path := range samples {
		x, err := golden.Load(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(x.Answer.Body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		status, value, certain := reading(body)
		driver, given := on(t, openvox.XML, answering(body)), &pbx.Token{Value: pbx.NewSecret(sampleToken)}

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
	body = strings.Trim(strings.TrimPrefix(body, "\ufeff"), " \t\r\n\x00")
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

var kinds = []error{
	nil, pbx.ErrInvalidCredentials, pbx.ErrLocked, pbx.ErrForbidden, pbx.ErrTokenRejected, pbx.ErrTooManySessions,
	pbx.ErrUnavailable, pbx.ErrProtocol, pbx.ErrConfig, pbx.ErrNotSupported,
}

// safe checks that an error can be shown to anybody: it is one line of the
// driver's own words, and of the PBX's a number at most.
func safe(t *testing.T, err error, token string) {
	t.Helper()
	if err == nil {
		return
	}
	got := failure(t, err)
	if !slices.Contains(kinds, got.Kind) {
		t.Errorf("kind %v", got.Kind)
	}
	if got.Code != "" {
		if _, err := strconv.ParseInt(got.Code, 10, 32); err != nil {
			t.Errorf("code %q", got.Code)
		}
	}
	text := err.Error()
	if len(text) > 400 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("the error is not one line of plain text: %q", text)
	}
	if len(token) >= 12 && strings.Contains(text, token) {
		t.Errorf("the error quotes the token: %q", text)
	}
}
