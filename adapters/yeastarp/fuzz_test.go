package yeastarp_test

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastarp"
)

// FuzzAnswer reads any bytes as the answer to each operation. Either there is
// proof of success, or an error that is safe to show.
func FuzzAnswer(f *testing.F) {
	drivertest.EachSample(f, func(_ int, _ http.Header, body string) {
		f.Add(body)
	})
	f.Fuzz(func(t *testing.T, body string) {
		// A second reading, by other means, of what the driver must find.
		var fields struct {
			Errcode json.RawMessage
			Access  any `json:"access_token"`
			Refresh any `json:"refresh_token"`
		}
		json.Unmarshal([]byte(drivertest.Trimmed(body)), &fields)
		text := strings.TrimSuffix(strings.TrimPrefix(string(fields.Errcode), `"`), `"`)
		number, err := strconv.ParseFloat(text, 64)
		if number != math.Trunc(number) || number > math.MaxInt32 || number < math.MinInt32 {
			err = strconv.ErrRange
		}
		understood := err == nil
		success := understood && number == 0
		access, _ := fields.Access.(string)
		refresh, _ := fields.Refresh.(string)

		driver := on(t, drivertest.Body(body))
		token, err := driver.Login(t.Context())
		if ok := success && access != ""; ok != (err == nil) || ok != (token != nil) {
			t.Errorf("Login: %v, %v", token, err)
		}
		sound(t, token, access, refresh)
		safe(t, err, access, refresh)

		token, err = driver.KeepAlive(t.Context(), given())
		if ok := success && access != "" && refresh != ""; ok != (err == nil) || ok != (token != nil) {
			t.Errorf("KeepAlive: %v, %v", token, err)
		}
		sound(t, token, access, refresh)
		safe(t, err, access, refresh)

		err = driver.Logout(t.Context(), given())
		if ok := success || understood && number == 10004; ok != (err == nil) {
			t.Errorf("Logout: %v", err)
		}
		safe(t, err, access, refresh)

		err = inspect(driver, 200, body)
		if silent := !understood || number >= 0 && number <= 2; silent != (err == nil) {
			t.Errorf("Inspect: %v", err)
		}
		safe(t, err, access, refresh)
	})
}

// sound checks that a token is the answer's, and has a life.
func sound(t *testing.T, token *pbx.Token, access, refresh string) {
	t.Helper()
	if token == nil {
		return
	}
	if token.Value.Reveal() != access || token.Refresh.Reveal() != refresh {
		t.Errorf("the pair is %q and %q, want %q and %q", token.Value.Reveal(), token.Refresh.Reveal(), access, refresh)
	}
	if life := token.ExpiresAt.Sub(token.IssuedAt); life < time.Second || life > 24*time.Hour {
		t.Errorf("the token lives %s", life)
	}
	if life := token.RefreshExpiresAt.Sub(token.IssuedAt); refresh != "" && (life < time.Second || life > 30*24*time.Hour) {
		t.Errorf("the refresh token lives %s", life)
	}
}

func safe(t *testing.T, err error, secrets ...string) {
	t.Helper()
	drivertest.SafeNumber(t, yeastarp.Name, err, secrets...)
}
