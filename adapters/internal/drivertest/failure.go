package drivertest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/pbxauth/pbx"
)

// Failure returns err as what every error of a driver is.
func Failure(t testing.TB, driver string, err error) *pbx.Error {
	t.Helper()
	got, ok := err.(*pbx.Error)
	if !ok {
		t.Fatalf("%T %v, want a *pbx.Error", err, err)
	}
	if got.Driver != driver {
		t.Errorf("the error is of driver %q: %v", got.Driver, err)
	}
	if got.Kind != nil && !errors.Is(err, got.Kind) {
		t.Errorf("errors.Is does not find the kind of %v", err)
	}
	return got
}

var kinds = []error{
	nil, pbx.ErrInvalidCredentials, pbx.ErrLocked, pbx.ErrForbidden, pbx.ErrTokenRejected, pbx.ErrTooManySessions,
	pbx.ErrUnavailable, pbx.ErrProtocol, pbx.ErrConfig, pbx.ErrNotSupported,
}

// Safe checks that err, which may be nil, can be shown to anybody: it is one line of
// a bearable length, of a known kind, asks for a wait that makes sense, and has none
// of the secrets. A secret below 12 bytes may show by chance, and is ignored.
func Safe(t testing.TB, driver string, err error, secrets ...string) {
	t.Helper()
	if err == nil {
		return
	}
	got := Failure(t, driver, err)
	if !slices.Contains(kinds, got.Kind) {
		t.Errorf("kind %v", got.Kind)
	}
	if got.RetryAfter < 0 || got.RetryAfter > time.Hour {
		t.Errorf("retry after %s", got.RetryAfter)
	}
	text := err.Error()
	if len([]rune(text)) > 1200 || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("the error is not one line: %q", text)
	}
	for _, secret := range secrets {
		if len(secret) >= 12 && strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
			t.Errorf("the error quotes a secret: %q", text)
		}
	}
}

// SafeNumber is Safe for a driver that quotes nothing of its PBX but a number: the
// error is short, plain text.
func SafeNumber(t testing.TB, driver string, err error, secrets ...string) {
	t.Helper()
	Safe(t, driver, err, secrets...)
	if err == nil {
		return
	}
	code := strings.TrimPrefix(Failure(t, driver, err).Code, "-")
	if len(code) > len("2147483648") || strings.Trim(code, "0123456789") != "" {
		t.Errorf("code %q", code)
	}
	if text := err.Error(); len(text) > 500 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("the error is not one line of plain text: %q", text)
	}
}
