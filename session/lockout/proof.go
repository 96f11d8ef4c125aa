package lockout

import (
	"slices"
	"time"
)

// Proof is what has to be remembered of a host in no trouble: that the credentials
// of one account work. The zero Proof is that of a host where nothing has happened.
type Proof struct {
	url   string
	print Fingerprint
	at    instant
}

// Proof returns the Host as a Proof. It reports false if there is more to know
// than a Proof can hold. What a Host keeps for [Replica.Merge] alone is left out.
func (h *Host) Proof(now time.Time) (p Proof, ok bool) {
	t := at(now)
	if len(h.credentials) > 1 || len(h.suspects) > 0 || h.row.count > 0 || h.Locked(now) ||
		slices.ContainsFunc(h.bookings, func(b Booking) bool { return t <= b.expires() }) {
		return Proof{}, false
	}
	for _, c := range h.credentials {
		if c.refused > 0 || c.retried > 0 {
			return Proof{}, false
		}
		p = Proof{c.url, c.print, c.proven}
	}
	return p, true
}

// Host is the Host that p stands for.
func (p Proof) Host() (h Host) {
	if p.at > 0 {
		h.credentials = []credential{{url: p.url, print: p.print, proven: p.at}}
		h.lastSuccess = p.at
	}
	return h
}

// Quiet reports whether nothing has to be remembered: the host is in no doubt, no
// account waits, no token was refused lately or may be lost, and no check has just brought
// evidence, for which a request may still come.
func (l *Local) Quiet(now time.Time) bool {
	for i := range l.urls {
		u := &l.urls[i]
		if u.forget(at(now)); len(u.refused) > 0 || u.usual > 0 || u.own != (Page{}) || u.evidence == u.checked && l.Responds(u.url, now) {
			return false
		}
	}
	return l.doubt == 0 && len(l.pauses) == 0 && l.Careful(now).IsZero()
}
