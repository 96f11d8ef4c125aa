package lockout

import (
	"slices"
	"time"
)

// Replica is what one process remembers of a Host that lives in a shared store.
// A store may forget its last writes or everything; the processes put back what
// they have seen. Call Merge on every Host that was loaded, before anything is
// asked of it, and Keep with every Host that was stored.
type Replica struct {
	process string
	seen    Host
}

// NewReplica returns a Replica for one incarnation of a process: the Process of
// the IDs with which it books.
func NewReplica(process string) *Replica { return &Replica{process: process} }

// Keep remembers h, which the store has accepted.
func (r *Replica) Keep(h *Host) { r.seen = h.Clone() }

// Merge brings h, as the store has it, up to date with what this process has
// seen. The process's own bookings become what it knows of them: those that it
// has settled are taken out, those in flight are put back. Of other processes it
// puts back the settled bookings that nothing has cleared. Refusals, successes,
// locks and clearings are kept, no matter which process saw them.
//
// It reports whether the store lacks a booking or a refusal, has a booking that is
// settled, or has times in the future, because its clock was set back. Then h is to be
// stored, so that a process that has seen less does not believe what the store has, and
// times in the future do not mean now each time they are read.
func (r *Replica) Merge(now time.Time, h *Host) (lacking bool) {
	t := at(now)
	seen := &r.seen
	loaded := Host{bookings: h.bookings, credentials: h.credentials}
	h.credentials = mergeCredentials(h.credentials, seen.credentials)
	for _, c := range seen.clearings {
		h.remember(c)
	}
	for _, l := range seen.locks {
		h.setLock(l)
	}
	h.KeepSuspects(now, seen)
	if s := seen.row; s.last > h.row.last || s.last == h.row.last && s.count > h.row.count {
		h.row = s
	}
	h.lastSuccess = max(h.lastSuccess, seen.lastSuccess)
	h.lastRefused = max(h.lastRefused, seen.lastRefused)
	h.lastRelogin = max(h.lastRelogin, seen.lastRelogin)
	h.forgiven = max(h.forgiven, seen.forgiven)
	ahead := h.clampCredentials(t)
	ahead = h.clamp(t) || ahead

	h.bookings = slices.Clone(h.bookings)
	h.bookings = slices.DeleteFunc(h.bookings, func(b Booking) bool {
		return b.ID.Process == r.process && seen.find(b.ID) == nil
	})
	lacking = ahead || len(h.bookings) < len(loaded.bookings)
	for _, b := range seen.bookings {
		own := b.ID.Process == r.process
		switch k := h.find(b.ID); {
		case k != nil && (own || b.state > k.state):
			*k = b
		case k == nil && (own || b.state != inFlight):
			h.bookings = append(h.bookings, b)
		}
	}
	h.clamp(t)
	h.expire(t)
	h.bookings = slices.DeleteFunc(h.bookings, func(b Booking) bool {
		if b.undecided(t) && h.credential(t, b.URL, b.Fingerprint).proven >= b.booked {
			return true
		}
		return slices.ContainsFunc(h.clearings, func(c clearing) bool { return c.covers(&b, t) })
	})
	h.prune()
	for i := range h.bookings {
		b := &h.bookings[i]
		k := loaded.find(b.ID)
		lacking = lacking || k == nil || k.state != b.state
	}
	// Of a full host, the store never has all that works.
	return lacking || len(loaded.credentials) == 0 && len(h.credentials) > 0 || h.lacksRefusal(t, &loaded)
}

// lacksRefusal reports whether h knows of a refusal that loaded does not. The
// credentials of both are ordered.
func (h *Host) lacksRefusal(now instant, loaded *Host) bool {
	known := loaded.credentials
	for i := range h.credentials {
		c := &h.credentials[i]
		if !c.isRefused() {
			continue
		}
		for len(known) > 0 && compareCredentials(&known[0], c) < 0 {
			known = known[1:]
		}
		if len(known) == 0 || compareCredentials(&known[0], c) > 0 {
			return true
		}
		if k := known[0].clamped(now); !k.isRefused() {
			return true
		}
	}
	return false
}

func (h *Host) find(id ID) *Booking {
	for i := range h.bookings {
		if h.bookings[i].ID == id {
			return &h.bookings[i]
		}
	}
	return nil
}

// Clone returns a copy that shares nothing with h.
func (h *Host) Clone() Host {
	var c Host
	h.copyTo(&c)
	return c
}

// copyTo makes c a copy that shares nothing with h. It uses c's own arrays again.
func (h *Host) copyTo(c *Host) {
	own := *c
	*c = *h
	c.bookings = append(own.bookings[:0], h.bookings...)
	c.credentials = append(own.credentials[:0], h.credentials...)
	c.locks = append(own.locks[:0], h.locks...)
	c.clearings = append(own.clearings[:0], h.clearings...)
	c.suspects = append(own.suspects[:0], h.suspects...)
}

// mergeCredentials merges two ordered lists. Each time is the newer of the two.
func mergeCredentials(a, b []credential) []credential {
	if len(b) == 0 {
		return a
	}
	merged := make([]credential, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch order := compareCredentials(&a[0], &b[0]); {
		case order < 0:
			merged, a = append(merged, a[0]), a[1:]
		case order > 0:
			merged, b = append(merged, b[0]), b[1:]
		default:
			c, k := a[0], b[0]
			c.proven, c.refused, c.retried = max(c.proven, k.proven), max(c.refused, k.refused), max(c.retried, k.retried)
			c.tried = max(c.tried, k.tried)
			merged, a, b = append(merged, c), a[1:], b[1:]
		}
	}
	return append(append(merged, a...), b...)
}
