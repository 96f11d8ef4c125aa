package session

import (
	"time"

	"github.com/pbxauth/pbx/session/lockout"
)

// run checks once, if that is due, and plans the next check.
func (c *check) run() {
	if v, sent, timeout := c.begin(); v != nil {
		c.end(v, sent, v.probe(v.ctx, timeout))
	}
}

// begin returns the visitor over whose connections to check now, when that is, and how
// long it may take. nil: no check is due.
func (c *check) begin() (v *visitor, now time.Time, timeout time.Duration) {
	h := c.host
	h.lock()
	defer h.unlock()
	now = h.now()
	if c.by == nil || c.busy { // Retry may plan it while it is under way
		return nil, now, 0
	}
	if !h.wanted(c.url, now) {
		delete(h.checks, c.url)
		return nil, now, 0
	}
	if at := h.local.NextCheck(c.url); at.After(now) {
		c.by.schedule.set(&c.job, h.here(at, now), true)
		return nil, now, 0
	}
	c.busy = true
	return c.by, now, h.local.CheckTimeout(c.url)
}

// end notes what a check over the visitor's connections got, has those ask again that may
// go now or have to learn of it, and plans the next check.
func (c *check) end(v *visitor, sent time.Time, page lockout.Page) {
	h := c.host
	h.lock()
	c.busy = false
	now := h.now()
	responds := h.local.Checked(c.url, sent, now, page)
	var first *visitor
	if c.handedOver && responds && c.by != nil {
		first = v // another one's connections may still fail
	}
	next := h.advanceFrom(now, first)
	if c.failed = h.wanted(c.url, now); c.failed {
		next = append(next, h.line.callWithoutError(c.url)...)
	}
	var due time.Time
	if c.by != nil {
		if other := h.checker(c.url, v); other != nil && (!responds || !v.lacksEvidence()) {
			h.handOver(c, other, now)
		} else {
			due = h.nextCheck(c.url, now)
		}
	}
	h.unlock()
	next.poke()
	v.schedule.set(&c.job, due, true)
}

// handOver has another visitor check from now on. h.mu is held.
func (h *host) handOver(c *check, other *visitor, now time.Time) {
	c.by = nil
	delete(h.checks, c.url)
	h.check(other, now)
	h.checks[c.url].failed, h.checks[c.url].handedOver = c.failed, true
}

// checker returns the visitor that checks next: another one that waits for the URL,
// because its connections may work where these do not. nil: there is none. h.mu is
// held.
func (h *host) checker(url string, last *visitor) *visitor {
	for i := range h.members {
		v := h.members[(int(last.member)+1+i)%len(h.members)]
		if v != last && v.traits.URL == url && v.lacksEvidence() {
			return v
		}
	}
	return nil
}

// wanted reports whether somebody waits for the URL to respond. h.mu is held.
func (h *host) wanted(url string, now time.Time) bool {
	for _, w := range h.line.beats {
		if w.unsure && w.v.traits.URL == url && !h.local.Responds(url, now) {
			return true
		}
	}
	for _, r := range h.line.ranks {
		for _, w := range r.logins {
			if w.login.URL == url && h.ledger.Ask(now, &h.local, w.login).Reason == lockout.NoEvidence {
				return true
			}
		}
	}
	return false
}
