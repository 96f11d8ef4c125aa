package pbx

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

// kind is the type of the sentinels, so that their set is closed.
type kind string

func (k kind) Error() string { return string(k) }

// The kinds of failure, for errors.Is. A driver classifies; what to do about it
// is decided by the session. An [Error] whose code nobody knows has no kind.
const (
	// ErrInvalidCredentials: the PBX judged the user name and password and
	// refused them. Sending them again brings the caller's IP nearer to being
	// locked, so nothing here ever does. Not for a PBX that did not answer.
	ErrInvalidCredentials = kind("invalid credentials")

	// ErrLocked: the PBX refuses logins from this caller for a while, whatever
	// the password. RetryAfter says how long where that is known.
	ErrLocked = kind("locked out")

	// ErrForbidden: the PBX knows the caller and does not permit this: an IP
	// outside its allow-list, a missing permission. Not for a wrong password,
	// though a PBX that looks at it first may have counted one.
	ErrForbidden = kind("forbidden")

	// ErrTokenRejected: the token has expired, was revoked, or was never known.
	// A new login mends it. Only for answers about the token itself.
	ErrTokenRejected = kind("token rejected")

	// ErrTooManySessions: the credentials may be right, but the PBX has no
	// room for another token until one ends.
	ErrTooManySessions = kind("too many sessions")

	// ErrUnavailable: no usable answer, or the PBX says that it cannot answer
	// now. Sent tells whether it may have acted all the same.
	ErrUnavailable = kind("unavailable")

	// ErrProtocol: a whole answer that this driver does not understand: another
	// family's, or a web page. Not for a code that is merely unknown.
	ErrProtocol = kind("unexpected answer")

	// ErrConfig: a person has to change the settings. Nothing was sent, unless
	// it was the PBX that found the fault (a redirect, a wrong port).
	ErrConfig = kind("configuration")

	// ErrNotSupported: the brand has no such thing. Nothing was sent.
	ErrNotSupported = kind("not supported")
)

// Op names what an [Error] happened in.
type Op string

// The operations of a driver. OpCall is a request of the application itself,
// whose answer an [Inspector] read.
const (
	OpOpen      Op = "open"
	OpLogin     Op = "login"
	OpKeepAlive Op = "keep-alive"
	OpLogout    Op = "logout"
	OpCall      Op = "call"
)

// Error is the one error type of drivers. It is safe to print and to log: no
// field holds a secret, and whoever fills one in has cleaned it first.
type Error struct {
	Driver string // its registered name; empty in an error of the session's own
	Op     Op

	// Kind is one of the sentinels above, or nil where the code is unknown.
	Kind error
	// Code is the PBX's own error code, as it wrote it; empty without one.
	Code string
	// HTTPStatus is the answer's status, 0 without an answer.
	HTTPStatus int
	// Message is one line for a person: what went wrong and what to do.
	Message string
	// RetryAfter is how long the PBX asks to be left alone, or by its vendor's
	// documents wants to be; 0: neither says.
	RetryAfter time.Duration
	// Sent is false only if the request certainly never left this machine. A
	// login that was sent and not answered may have been a wrong one.
	Sent bool
	// Err is the cause, where there is one: a network or context error.
	Err error
}

// Error returns one line: driver, operation, kind, message, code.
func (e *Error) Error() string {
	var b strings.Builder
	part := func(s string) {
		if s == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(s)
	}
	part(e.Driver)
	part(string(e.Op))
	if e.Kind != nil {
		part(e.Kind.Error())
	}
	part(e.Message)
	if e.Err != nil {
		part(e.Err.Error())
	}
	if e.Code != "" {
		b.WriteString(" (code " + e.Code + ")")
	}
	if wait := e.RetryAfter; wait > 0 {
		b.WriteString(" (retry in " + max(wait.Round(time.Second), time.Second).String() + ")")
	}
	return b.String()
}

// GoString is Error, so that %#v prints no more than %v.
func (e *Error) GoString() string { return e.Error() }

// Unwrap makes errors.Is find both the kind and the cause.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// MayHaveCounted reports whether the PBX may have taken a failed login for a
// wrong one, and so have come nearer to locking the caller out: it refused the
// account, or got the request and did not say what it made of it. An error that
// is no *[Error] may have. What never left, and what was refused for another
// reason than the password, as with ErrLocked, has not; nor has a redirect, or
// an HTTP status that says nobody was there to judge: 404, 405, 501, 503.
func MayHaveCounted(err error) bool {
	var failure *Error
	if err == nil || !errors.As(err, &failure) {
		return err != nil
	}
	if !failure.Sent {
		return false
	}
	switch failure.Kind {
	case ErrInvalidCredentials:
		return true
	case ErrTooManySessions, ErrLocked, ErrNotSupported: // it looked, and found something else
		return false
	}
	switch status := failure.HTTPStatus; {
	case status/100 == 3, // redirected instead
		status == http.StatusNotFound, status == http.StatusMethodNotAllowed,
		status == http.StatusNotImplemented, status == http.StatusServiceUnavailable:
		return false
	}
	return true
}
