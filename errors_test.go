package pbx_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
)

var kinds = []error{
	pbx.ErrInvalidCredentials, pbx.ErrLocked, pbx.ErrForbidden, pbx.ErrTokenRejected, pbx.ErrTooManySessions,
	pbx.ErrUnavailable, pbx.ErrProtocol, pbx.ErrConfig, pbx.ErrNotSupported,
}

func TestAnErrorReadsAsOneLine(t *testing.T) {
	for _, test := range []struct {
		err  pbx.Error
		want string
	}{
		{pbx.Error{}, ""},
		{pbx.Error{Op: pbx.OpOpen, Kind: pbx.ErrConfig, Message: "URL is empty"}, "open: configuration: URL is empty"},
		{pbx.Error{Driver: "yeastar", Op: pbx.OpLogin, Kind: pbx.ErrInvalidCredentials, Code: "20003", HTTPStatus: 200, Message: "wrong password", Sent: true},
			"yeastar: login: invalid credentials: wrong password (code 20003)"},
		{pbx.Error{Driver: "yeastar", Op: pbx.OpRequest, Code: "77", Message: "nobody knows"}, "yeastar: request: nobody knows (code 77)"},
		{pbx.Error{Driver: "runtel", Op: pbx.OpKeepAlive, Kind: pbx.ErrUnavailable, Err: context.DeadlineExceeded}, "runtel: keep-alive: unavailable: context deadline exceeded"},
		{pbx.Error{Driver: "runtel", Op: pbx.OpLogin, Kind: pbx.ErrLocked, Code: "429", RetryAfter: 90 * time.Second}, "runtel: login: locked out (code 429) (retry in 1m30s)"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("Error() = %q, want %q", got, test.want)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if got := fmt.Sprintf(verb, &test.err); got != test.want {
				t.Errorf("%s = %q, want %q", verb, got, test.want)
			}
		}
	}
}

func TestAnErrorMatchesItsKindAndNoOther(t *testing.T) {
	for _, kind := range kinds {
		err := fmt.Errorf("wrapped: %w", &pbx.Error{Kind: kind})
		for _, other := range kinds {
			if got, want := errors.Is(err, other), other == kind; got != want {
				t.Errorf("an error of kind %q: errors.Is(err, %q) = %v", kind, other, got)
			}
		}
	}
}

func TestAnErrorWithoutAKindMatchesNone(t *testing.T) {
	err := &pbx.Error{Driver: "yeastar", Op: pbx.OpLogin, Code: "77"}
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			t.Errorf("an unknown code matches %q", kind)
		}
	}
	if errors.Is(err, nil) {
		t.Error("an error matches nil")
	}
}

func TestAnErrorMatchesItsCauseToo(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	err := error(&pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, Err: refused})
	if !errors.Is(err, pbx.ErrUnavailable) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error("kind or cause is not found")
	}
	if errors.Is(err, fs.ErrNotExist) {
		t.Error("an error matches what it does not hold")
	}
	var op *net.OpError
	if !errors.As(err, &op) || op != refused {
		t.Errorf("errors.As finds %v", op)
	}
}

func TestAnErrorUnwrapsToNoNil(t *testing.T) {
	for want, err := range map[int]*pbx.Error{
		0: {Code: "77"}, 1: {Kind: pbx.ErrLocked}, 2: {Kind: pbx.ErrUnavailable, Err: context.Canceled},
	} {
		if got := err.Unwrap(); len(got) != want || slices.Contains(got, nil) {
			t.Errorf("%v: %v", err, got)
		}
	}
	if got := (&pbx.Error{Err: context.Canceled}).Unwrap(); len(got) != 1 || got[0] != context.Canceled {
		t.Errorf("of a cause alone: %v", got)
	}
}

func TestErrorsAsFindsTheError(t *testing.T) {
	want := &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrLocked, RetryAfter: time.Minute}
	var got *pbx.Error
	if !errors.As(fmt.Errorf("customer 7: %w", errors.Join(want)), &got) || got != want {
		t.Errorf("errors.As finds %v", got)
	}
}
