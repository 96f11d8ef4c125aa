package drivertest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
)

func TestAFailureIsADriversError(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		says string
	}{
		"a driver's":       {&pbx.Error{Driver: "brand", Kind: pbx.ErrLocked}, ""},
		"none":             {nil, "<nil> <nil>, want a *pbx.Error"},
		"another":          {errors.New("x"), "*errors.errorString x, want"},
		"one that wraps":   {fmt.Errorf("x: %w", &pbx.Error{Driver: "brand"}), "*fmt.wrapError x: brand, want"},
		"another driver's": {&pbx.Error{Driver: "other"}, `the error is of driver "other"`},
	} {
		want(t, name, tt.says, complaints(t, func(t testing.TB) { Failure(t, "brand", tt.err) }))
	}
}

func TestAnErrorThatIsNotSafeToShowIsReported(t *testing.T) {
	for name, tt := range map[string]struct {
		err          pbx.Error
		says, number string // what Safe says, and SafeNumber
	}{
		"safe":           {pbx.Error{Message: "x", Code: "-7", RetryAfter: time.Hour}, "", ""},
		"unknown kind":   {pbx.Error{Kind: errors.New("x")}, "kind x", "kind x"},
		"a negative":     {pbx.Error{RetryAfter: -1}, "retry after -1ns", "retry after -1ns"},
		"a long wait":    {pbx.Error{RetryAfter: time.Hour + 1}, "retry after 1h0m0", "retry after 1h0m0"},
		"two lines":      {pbx.Error{Message: "a\nb"}, "the error is not one line: ", "two"},
		"too long":       {pbx.Error{Message: strings.Repeat("x", 1200)}, "the error is not one line: ", "two"},
		"a secret":       {pbx.Error{Message: "SECRET-of-a-user"}, "the error quotes a secret: ", "the error quotes a secret: "},
		"a word as code": {pbx.Error{Code: "denied"}, "", `code "denied"`},
		"a long code":    {pbx.Error{Code: "12345678901"}, "", `code "12345678901"`},
		"not plain":      {pbx.Error{Message: "é"}, "", "the error is not one line of plain text: "},
		"long and plain": {pbx.Error{Message: strings.Repeat("x", 500)}, "", "the error is not one line of plain text: "},
	} {
		tt.err.Driver = "brand"
		want(t, name, tt.says, complaints(t, func(t testing.TB) { Safe(t, "brand", &tt.err, "Secret-of-a-User", "x") }))
		got := complaints(t, func(t testing.TB) { SafeNumber(t, "brand", &tt.err, "secret-of-a-user") })
		if tt.number == "two" {
			if len(got) != 2 {
				t.Errorf("%s: %q, want two complaints", name, got)
			}
			continue
		}
		want(t, name, tt.number, got)
	}
	want(t, "no error", "", complaints(t, func(t testing.TB) { Safe(t, "brand", nil); SafeNumber(t, "brand", nil) }))
}
