package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// ErrClosed is returned by a session or Manager that was closed.
var ErrClosed = errors.New("session: closed")

// State is where a session stands.
type State int8

const (
	// Connecting: a login is under way or about to start. Token waits for it.
	Connecting State = iota
	// Live: there is a token, and its next renewal is planned.
	Live
	// Renewing: there is a token, and its renewal is under way or being
	// repeated.
	Renewing
	// Rejected: the PBX refused the credentials or this client. There is no
	// login until Retry, or until the credentials change. An old token may still
	// be valid.
	Rejected
	// Locked: no login is sent, because the PBX has locked this client or because
	// one more wrong login could make it do so. [Status].LockedBy says which.
	Locked
	// Unavailable: the last attempt failed for the reason in [Status].Err. The
	// next attempt is planned.
	Unavailable
	// Closed: the session has ended.
	Closed
)

var stateNames = [...]string{"connecting", "live", "renewing", "rejected", "locked", "unavailable", "closed"}

// String returns the state's name in lower case.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return "unknown"
	}
	return stateNames[s]
}

// MarshalText returns the state's name, which JSON then shows.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LockHolder says who holds logins back in state [Locked].
type LockHolder int8

const (
	// LockedByNobody: the session is not locked.
	LockedByNobody LockHolder = iota
	// LockedByPBX: the PBX said that it has locked this client, or it refused
	// credentials that had worked, and its locks look so.
	LockedByPBX
	// LockedByBudget: this process sends no login, because so many have gone
	// wrong that the PBX could lock this client. See [Guard].
	LockedByBudget
)

var lockHolderNames = [...]string{"", "PBX", "budget"}

// String returns "PBX", "budget", or nothing.
func (h LockHolder) String() string {
	if h < 0 || int(h) >= len(lockHolderNames) {
		return "unknown"
	}
	return lockHolderNames[h]
}

// MarshalText returns [LockHolder.String].
func (h LockHolder) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// Status is a session at one moment.
type Status struct {
	State State     `json:"state"`
	Since time.Time `json:"since"`
	// ExpiresAt is the expiry of the token if nothing extends it, traffic
	// included. Zero: no token, or its expiry is unknown.
	ExpiresAt time.Time `json:"expires,omitzero"`
	// Next is when the session next acts by itself, at the latest. Zero: it does not,
	// or it is acting now. In state [Locked] it looks whether it may log in, or
	// whether its credentials have changed. Usually it then goes on waiting:
	// [Waiting].Until in [Guard.Hosts] is the end of the wait.
	Next time.Time `json:"next,omitzero"`
	// Check is when the PBX is checked next without the password, because a login or
	// a keep-alive waits until it responds. Zero: neither does.
	Check time.Time `json:"check,omitzero"`
	// LockedBy says who holds logins back in state [Locked].
	LockedBy LockHolder `json:"locked_by,omitzero"`
	// Err is why the last attempt failed. nil: it did not.
	Err error `json:"-"`
	// Warning is something that a person should look at though the session
	// works: another program logs in with this account. Empty: nothing.
	Warning string `json:"warning,omitempty"`
	// Process is the process that brought the token, where several share it:
	// [SharedSettings].Process and a random suffix, as in crm-2-1f2e3d4c. Empty:
	// nothing is shared, or there is no token.
	Process string `json:"process,omitempty"`
	// Details is what came with the token: see [pbx.Token].
	Details json.RawMessage `json:"details,omitempty"`
}

// String returns one line: the state, how long it lasts, and why.
func (s Status) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s since %s", s.State, s.Since.Format(time.RFC3339))
	if s.LockedBy != LockedByNobody {
		b.WriteString(", locked by the " + s.LockedBy.String())
	}
	if !s.ExpiresAt.IsZero() {
		b.WriteString(", token expires " + s.ExpiresAt.Format(time.RFC3339))
	}
	if s.Process != "" {
		b.WriteString(", token from process " + s.Process)
	}
	switch {
	case s.State == Rejected || s.Next.IsZero():
	case s.State == Locked:
		b.WriteString(", looks again at " + s.Next.Format(time.RFC3339))
	default:
		b.WriteString(", next request at " + s.Next.Format(time.RFC3339))
	}
	if !s.Check.IsZero() {
		b.WriteString(", next check without the password at " + s.Check.Format(time.RFC3339))
	}
	if s.Err != nil {
		b.WriteString(": " + s.Err.Error())
	}
	if s.Warning != "" {
		b.WriteString("; warning: " + s.Warning)
	}
	return b.String()
}

// MarshalJSON writes the fields that are set, under the names that LogValue has for
// them, Err as its text, and Details. To write other fields beside these, make the
// Status a field of a struct, and do not embed it.
func (s Status) MarshalJSON() ([]byte, error) {
	type fields Status
	var reason string
	if s.Err != nil {
		reason = s.Err.Error()
	}
	return json.Marshal(struct {
		fields
		Error string `json:"error,omitempty"`
	}{fields(s), reason})
}

// LogValue logs the fields that are set, without Details.
func (s Status) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("state", s.State.String()), slog.Time("since", s.Since)}
	if s.LockedBy != LockedByNobody {
		attrs = append(attrs, slog.String("locked_by", s.LockedBy.String()))
	}
	if !s.ExpiresAt.IsZero() {
		attrs = append(attrs, slog.Time("expires", s.ExpiresAt))
	}
	if s.Process != "" {
		attrs = append(attrs, slog.String("process", s.Process))
	}
	if !s.Next.IsZero() {
		attrs = append(attrs, slog.Time("next", s.Next))
	}
	if !s.Check.IsZero() {
		attrs = append(attrs, slog.Time("check", s.Check))
	}
	if s.Warning != "" {
		attrs = append(attrs, slog.String("warning", s.Warning))
	}
	if s.Err != nil {
		attrs = append(attrs, slog.String("error", s.Err.Error()))
	}
	return slog.GroupValue(attrs...)
}

// Error is what [Session.Token] returns where there is no token.
type Error struct {
	Session string // its name in the Manager; empty outside
	State   State
	Since   time.Time
	Next    time.Time // the next attempt, at the latest; zero: none by itself; see [Status].Next
	Err     error     // the driver's error, the context's, or ErrClosed
}

// Error returns the state, how long it will last, and why.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("session")
	if e.Session != "" {
		b.WriteString(" " + e.Session)
	}
	fmt.Fprintf(&b, ": %s since %s", e.State, e.Since.Format(time.RFC3339))
	switch {
	case e.State == Rejected:
		b.WriteString(", no login until Retry is called or the credentials change")
	case e.State == Locked && e.Next.After(e.Since): // at its credentials, or whether it may log in
		b.WriteString(", looks again at " + e.Next.Format(time.RFC3339))
	case e.Next.After(e.Since):
		b.WriteString(", next attempt at " + e.Next.Format(time.RFC3339))
		if e.State == Unavailable { // it follows at once when a check gets a response
			b.WriteString(" at the latest")
		}
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause, so that errors.Is finds the driver's kind.
func (e *Error) Unwrap() error { return e.Err }
