package main

import (
	"errors"
	"net/http"
	"time"

	"github.com/pbxauth/pbx"
)

// waitAfter returns how long a failed login forbids the next one. 0: not at all.
func waitAfter(err error, window time.Duration) time.Duration {
	var failure *pbx.Error
	if !errors.As(err, &failure) {
		return window // a driver with errors of its own
	}
	switch {
	case errors.Is(failure.Kind, pbx.ErrLocked) && failure.RetryAfter > 0:
		return failure.RetryAfter
	case errors.Is(failure.Kind, pbx.ErrLocked):
		return window
	case mayHaveCounted(err):
		return max(window, failure.RetryAfter)
	}
	return 0
}

// mayHaveCounted reports whether the PBX may have taken a failed login for a
// wrong one.
func mayHaveCounted(err error) bool {
	var failure *pbx.Error
	if err == nil || !errors.As(err, &failure) {
		return err != nil
	}
	if !failure.Sent {
		return false
	}
	switch failure.Kind {
	case pbx.ErrInvalidCredentials:
		return true
	case pbx.ErrTooManySessions, pbx.ErrLocked, pbx.ErrNotSupported: // the password was not judged, or was right
		return false
	}
	switch status := failure.HTTPStatus; {
	case status/100 == 3, // redirected
		status == http.StatusNotFound, status == http.StatusMethodNotAllowed,
		status == http.StatusNotImplemented, status == http.StatusServiceUnavailable:
		return false
	}
	return true
}
