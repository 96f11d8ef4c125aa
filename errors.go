package pbx

import (
	"strings"
	"time"
)

// kind is the type of the sentinels, so that their set is closed.
type kind string

func (k kind) Error() string { return string(k) }

// The kinds of failure, for errors.Is. A driver classifies a failure. The
// session decides what to do about it. An [Error] with an unknown code has no
// kind.
const (
	// ErrInvalidCredentials: the PBX judged the user name and password and
	// refused them. Sending them again brings a lockout nearer. Not for a PBX
	// that did not respond, and not for a proxy or a step that sent no proof.
	ErrInvalidCredentials = kind("invalid credentials")

	// ErrLocked: the PBX refuses logins from this client for a while, whatever
	// the password. RetryAfter says how long, if that is known.
	ErrLocked = kind("locked out")

	// ErrForbidden: the PBX knows the client and does not permit this: an
	// address outside its allow-list, a missing permission. Not for a wrong
	// password.
	ErrForbidden = kind("forbidden")

	// ErrTokenRejected: the token has expired, was revoked, or was never known.
	// A new login helps. Only for responses about the token itself.
	ErrTokenRejected = kind("token rejected")

	// ErrTooManySessions: the PBX has no room for another token until one ends.
	// Whether it looked at the password differs by brand.
	ErrTooManySessions = kind("too many sessions")

	// ErrUnavailable: no usable response, or the PBX says that it cannot
	// respond now. Sent says whether it may have acted all the same.
	ErrUnavailable = kind("unavailable")

	// ErrProtocol: a whole response that this driver does not understand, such
	// as a web page. Not for a code that is merely unknown.
	ErrProtocol = kind("unexpected response")

	// ErrConfig: a person has to change the settings. Setting names the field,
	// if one is at fault.
	ErrConfig = kind("configuration")

	// ErrNotSupported: the brand has no such request. Nothing was sent.
	ErrNotSupported = kind("not supported")
)

// Op is the operation that an [Error] happened in.
type Op string

// The operations of a driver. OpRequest is a request of the application itself,
// whose response a [Requester] inspected.
const (
	OpOpen      Op = "open"
	OpLogin     Op = "login"
	OpKeepAlive Op = "keep-alive"
	OpLogout    Op = "logout"
	OpPing      Op = "ping"
	OpRequest   Op = "request"
)

// Error is the error type of drivers. It is safe to print and to log: no field
// holds a secret. Code that sets a field removes secrets from it first.
type Error struct {
	Driver string // its registered name; empty in an error of the session's own
	Op     Op

	// Kind is one of the sentinels above, or nil if the code is unknown.
	Kind error
	// Setting names the setting at fault: a field of Config ("URL", "Username",
	// "TLS.PinSHA256"), the name of an option, or "Driver" for the name given to
	// [Open]. Empty: none, or unknown.
	Setting string
	// Code is the PBX's own error code, as it wrote it. Empty: none.
	Code string
	// HTTPStatus is the status of the response. 0: there was no response.
	HTTPStatus int
	// Length is that of the response's body in bytes, at most what a driver reads of it. A
	// session compares it to tell whether something in front of the PBX responds to every
	// request in the same way.
	Length int
	// Message is one line for a person: what went wrong and what to do.
	Message string
	// RetryAfter is how long to wait, as the PBX or its vendor's documents say.
	// 0: neither does.
	RetryAfter time.Duration
	// Sent is false only if the request certainly did not reach the PBX. For a
	// login it says whether a proof of the password may have reached it: a
	// password, a digest, or the response to a challenge.
	Sent bool
	// NotJudged, of a login: the vendor documents Code as a failure in which the
	// password was not judged, for example because the PBX is overloaded or does not
	// permit the client's address. Set it only where the page leaves no doubt. If the
	// credentials have worked before, a session believes it, and tries again until
	// they work. Otherwise the login may have been a wrong one, as with every error
	// that is not known to be something else.
	NotJudged bool
	// Ambiguous, of a request of the application: the response may be about the token,
	// or about this one request. So a session sends a ping (see [Pinger]) before it
	// gives the token up, unless the PBX has just refused another token and may have
	// lost this one too. With ErrTokenRejected the PBX has done nothing: if the token
	// is dead, the session repeats the request. With any other kind the PBX may have
	// acted: the session replaces a dead token and does not repeat the request.
	Ambiguous bool
	// Err is the cause, if there is one: a network or context error.
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
