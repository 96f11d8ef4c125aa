package yeastarp_test

import (
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
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
		var fields struct {
			Errcode json.RawMessage
			Access  any `json:"access_token"`
			Refresh any `json:"refresh_token"`
		}
		json.Unmarshal([]byte(strings.Trim(strings.TrimPrefix(body, "\ufeff"), " \t\r\n\x00")), &fields)
		text := strings.TrimSuffix(strings.TrimPrefix(string(fields.Errcode), `"`), `"`)
		number, err := strconv.ParseFloat(text, 64)
		if number != math.Trunc(number) || number > math.MaxInt32 || number < math.MinInt32 {
			err = strconv.ErrRange
		}
		understood := err == nil
		success := understood && number == 0
		access, _ := fields.Access.(string)
		refresh, _ := fields.Refresh.(string)

		driver := on(t, answering(body))
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

var kinds = []error{
	nil, pbx.ErrInvalidCredentials, pbx.ErrLocked, pbx.ErrForbidden, pbx.ErrTokenRejected, pbx.ErrTooManySessions,
	pbx.ErrUnavailable, pbx.ErrProtocol, pbx.ErrConfig, pbx.ErrNotSupported,
}

// safe checks that an error can be shown to anybody: it is one line of the
// driver's own words, and of the PBX's a number at most.
func safe(t *testing.T, err error, secrets ...string) {
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
	if got.RetryAfter < 0 || got.RetryAfter > time.Hour {
		t.Errorf("retry after %s", got.RetryAfter)
	}
	text := err.Error()
	if len(text) > 400 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("the error is not one line of plain text: %q", text)
	}
	for _, secret := range secrets {
		if len(secret) >= 12 && strings.Contains(text, secret) {
			t.Errorf("the error quotes a token: %q", text)
		}
	}
}
