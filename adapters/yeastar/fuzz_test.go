package yeastar_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/conformance/golden"
)

// FuzzAnswer reads any bytes as the answer to each operation. Either there is
// proof of success, or an error that is safe to show.
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
		// A second reading, by other means, of what the driver must find.
		var fields struct{ Status, Errno, Token, RefreshToken any }
		json.Unmarshal([]byte(strings.Trim(strings.TrimPrefix(body, "\ufeff"), " \t\r\n\x00")), &fields)
		status, _ := fields.Status.(string)
		value, _ := fields.Token.(string)
		refresh, _ := fields.RefreshToken.(string)

		driver, given := on(t, answering(body)), &pbx.Token{Value: pbx.NewSecret("48a7d7481a5355aa4fb5dc285edeb40e")}

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
		token, err = ofFamily(t, yeastar.CloudV1, answering(body)).KeepAlive(t.Context(), pair)
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
		if _, err := strconv.Atoi(got.Code); err != nil || len(got.Code) > len("-2147483648") {
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
