package lockout

import (
	"slices"
	"time"
)

// Status is what a person wants to know about a host.
type Status struct {
	Bookings    []Use // logins that count, oldest first
	InFlight    int
	Refused     int // credentials that the PBX refused
	Proven      int // credentials that work
	LockedSince time.Time
	LockedUntil time.Time // zero: the PBX has stated no lock
	LockedFor   string    // the account; empty: every login to the host
	InDoubt     time.Time // since when this process does not know whether the host works
}

// Status describes the host at now. Whether the client's own budget holds a
// login back depends on the login: see [Host.Ask].
func (h *Host) Status(now time.Time, l *Local) Status {
	t := at(now)
	s := Status{InDoubt: l.InDoubt(), Bookings: h.uses(t, func(*Booking) bool { return true })}
	for i := range h.bookings {
		if h.bookings[i].flying(t) {
			s.InFlight++
		}
	}
	for _, c := range h.credentials {
		if c.isProven() {
			s.Proven++
		} else if c.isRefused() {
			s.Refused++
		}
	}
	var longest instant
	for _, k := range h.locks {
		if k.until > max(t, longest) {
			longest = k.until
			s.LockedSince, s.LockedUntil, s.LockedFor = k.since.time(), k.until.time(), k.account
		}
	}
	return s
}

// LockedUntil is the end of the lock that the PBX stated for the account; zero:
// it stated none. Where pbx.Lockout.CoversRequests is set, tokens wait for it
// too.
func (h *Host) LockedUntil(now time.Time, url, account string) time.Time {
	k, _ := h.locked(at(now), url, account)
	return k.until.time()
}

// Idle reports whether nothing about the host has to be remembered: no booking,
// refusal, proof or lock.
func (h *Host) Idle(now time.Time) bool {
	t := at(now)
	return len(h.credentials) == 0 && !h.Locked(now) &&
		!slices.ContainsFunc(h.bookings, func(b Booking) bool { return t <= b.expires() })
}

// Trouble reports whether what is known of the host holds logins back, or what
// responses to tokens show is of use: there is a booking, a lock, or a row of
// unclear outcomes.
func (h *Host) Trouble(now time.Time) bool {
	return len(h.bookings) > 0 || h.row.count > 0 || h.Locked(now)
}

// Counts reports whether the PBX may count a wrong login: one that it refused, one
// without a verdict, or a dead token. Logins under way are no reason for it.
func (h *Host) Counts(now time.Time) bool {
	t := at(now)
	return slices.ContainsFunc(h.bookings, func(b Booking) bool { return !b.flying(t) && t <= b.expires() })
}

// Locked reports whether the PBX has said that it has locked this client, or one
// of its accounts.
func (h *Host) Locked(now time.Time) bool {
	t := at(now)
	return slices.ContainsFunc(h.locks, func(k lock) bool { return k.until > t })
}

// Passes is when Counts or Locked, whichever is first, becomes false by time
// alone. Zero: neither does.
func (h *Host) Passes(now time.Time) time.Time {
	t := at(now)
	var counted, locked instant
	for i := range h.bookings {
		if b := &h.bookings[i]; !b.flying(t) && t <= b.expires() {
			counted = max(counted, b.expires().add(time.Millisecond))
		}
	}
	for _, k := range h.locks {
		if k.until > t {
			locked = max(locked, k.until)
		}
	}
	first := forever
	for _, end := range []instant{counted, locked} {
		if end > 0 {
			first = min(first, end)
		}
	}
	return first.time()
}
