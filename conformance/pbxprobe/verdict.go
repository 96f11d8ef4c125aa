package main

import (
	"errors"
	"time"

	"github.com/pbxauth/pbx"
)

// verdict returns for how long a failed login forbids the next one; 0: it does
// not.
func verdict(err error, window time.Duration) time.Duration {
	var failure *pbx.Error
	if !errors.As(err, &failure) {
		return window // a driver that says nothing
	}
	switch {
	case errors.Is(failure.Kind, pbx.ErrLocked) && failure.RetryAfter > 0:
		return failure.RetryAfter
	case errors.Is(failure.Kind, pbx.ErrLocked):
		return window
	case pbx.MayHaveCounted(err):
		return max(window, failure.RetryAfter)
	}
	return 0
}
