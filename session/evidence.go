package session

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/lockout"
)

// checkTimeout is what a check gets for its response.
const checkTimeout = 5 * time.Second

// check looks whether one URL of a host responds, without credentials, for as
// long as logins wait for that. It is a job of the Manager of a visitor that
// waits, and runs over that visitor's connections. If the visitor leaves, the next
// one that waits makes another.
type check struct {
	host *host
	url  string
	job  job

	by *visitor // guarded by host.mu; nil: it is over
}

// check plans a check of the visitor's URL, if there is none yet. h.mu is held.
func (h *host) check(v *visitor, now time.Time) {
	url := v.traits.URL
	if h.checks[url] != nil {
		return
	}
	c := &check{host: h, url: url, by: v}
	c.job = newJob(c.run)
	if h.checks == nil {
		h.checks = map[string]*check{}
	}
	h.checks[url] = c
	v.gate().schedule.set(&c.job, h.nextCheck(url, now), true)
}

// nextCheck is when to check the URL next, by this process's clock. h.mu is held.
func (h *host) nextCheck(url string, now time.Time) time.Time {
	at := h.local.NextCheck(url)
	if at.Before(now) {
		at = now
	}
	return h.here(at, now)
}

// wanted reports whether somebody waits for the URL to respond. h.mu is held.
func (h *host) wanted(url string, now time.Time) bool {
	for _, w := range h.line.beats {
		if w.unsure && w.v.traits.URL == url && !h.local.Responds(url, now) {
			return true
		}
	}
	for _, q := range h.line.logins {
		for _, w := range q {
			if w.login.URL == url && h.ledger.Ask(now, &h.local, w.login).Reason == lockout.NoEvidence {
				return true
			}
		}
	}
	return false
}

// run checks once, and plans the next check.
func (c *check) run() {
	h := c.host
	h.lock()
	now := h.now()
	v := c.by
	if v == nil {
		h.unlock()
		return
	}
	if !h.wanted(c.url, now) {
		delete(h.checks, c.url)
		h.unlock()
		return
	}
	if at := h.local.NextCheck(c.url); at.After(now) {
		due := h.here(at, now)
		h.unlock()
		v.gate().schedule.set(&c.job, due, true)
		return
	}
	h.unlock()

	status := v.probe(v.gate().ctx)

	h.lock()
	sent := now
	now = h.now()
	h.local.Checked(c.url, sent, now, status)
	next := h.advance(now)
	var due time.Time
	if c.by != nil {
		due = h.nextCheck(c.url, now)
	}
	h.unlock()
	next.poke()
	v.gate().schedule.set(&c.job, due, true)
}

// probe asks the PBX for a page without credentials, and returns the HTTP status;
// 0 without a response.
func (d *driver) probe(ctx context.Context) (status int) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	r := d.bounded(ctx, opCheck, func(ctx context.Context) (r result) {
		requester, ok := pbx.As[pbx.Requester](d.auth)
		if !ok {
			return result{err: pbx.ErrNotSupported}
		}
		base := requester.Transport()
		if base == nil {
			base = http.DefaultTransport
		}
		address := statedBy(d.auth).Probe
		if address == "" {
			address = d.traits.URL
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return result{err: err}
		}
		request.Close = true
		resp, err := base.RoundTrip(request)
		if err != nil {
			return result{err: unanswered(err)}
		}
		io.CopyN(io.Discard, resp.Body, 4<<10)
		resp.Body.Close()
		if r.status = resp.StatusCode; r.status >= http.StatusInternalServerError {
			r.err = unanswered(nil)
		}
		return r
	})
	return r.status
}

// unanswered is the failure of a check.
func unanswered(err error) error {
	return &pbx.Error{Op: opCheck, Kind: pbx.ErrUnavailable, Err: err, Message: "the PBX does not respond"}
}
