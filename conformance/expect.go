package conformance

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pbxauth/pbx"
)

// ofKind returns nil if err is an *pbx.Error of one of the kinds, any kind if
// none is given, and else what is wrong with it.
func ofKind(err error, kinds ...error) error {
	var names []string
	for _, kind := range kinds {
		names = append(names, fmt.Sprintf("%q", kind))
	}
	want := "an error"
	if len(names) > 0 {
		want = "an error of kind " + strings.Join(names, " or ")
	}
	if err == nil {
		return fmt.Errorf("it succeeds, want %s", want)
	}
	var failure *pbx.Error
	if !errors.As(err, &failure) {
		return fmt.Errorf("it returns a %T, want an *pbx.Error: %w", err, err)
	}
	for _, kind := range kinds {
		if failure.Kind == kind {
			return nil
		}
	}
	if len(kinds) > 0 {
		return fmt.Errorf("it returns kind %v, want %s: %w", failure.Kind, want, err)
	}
	return nil
}

// sent returns nil if err is an *pbx.Error whose Sent is want.
func sent(err error, want bool) error {
	var failure *pbx.Error
	if !errors.As(err, &failure) {
		return ofKind(err)
	}
	if failure.Sent != want {
		return fmt.Errorf("the error's Sent is %t, want %t: %w", failure.Sent, want, err)
	}
	return nil
}

// errorKind is the kind of an *pbx.Error; nil for any other.
func errorKind(err error) error {
	var failure *pbx.Error
	if errors.As(err, &failure) {
		return failure.Kind
	}
	return nil
}

// noToken returns err, or an error that a token came with it.
func noToken(token *pbx.Token, err error) error {
	if err != nil && token != nil {
		return fmt.Errorf("a token is returned together with an error: %v", err)
	}
	return err
}

// at adds to an error where in a rule it happened.
func at(where string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", where, err)
}
