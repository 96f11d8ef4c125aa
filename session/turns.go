package session

import (
	"slices"
	"time"

	"github.com/pbxauth/pbx/session/lockout"
)

// advance calls those that may go now: more would race for it. h.mu is held.
func (h *host) advance(now time.Time) called { return h.advanceFrom(now, nil) }

// unlockAndAdvance unlocks the host, and has those ask again that may go now.
func (h *host) unlockAndAdvance(now time.Time) {
	next := h.advance(now)
	h.unlock()
	next.poke()
}

// advanceFrom is advance, where a visitor's login, if it may go, goes before those of
// others.
func (h *host) advanceFrom(now time.Time, first *visitor) (next called) {
	free := func(v *visitor) bool { return int(h.calls)+len(next) < int(v.perHost) }
	// Those whose wait has become shorter ask again when it ends.
	var sooner called
	defer func() { next = append(next, sooner...) }()
	for i := 0; i < len(h.line.beats); {
		w := h.line.beats[i]
		url := w.v.traits.URL
		if !free(w.v) {
			break
		}
		if h.trial[url] != nil && h.local.OneTokenAtATime(url, h.issued(w.issued, now), now) || w.unsure && !h.local.Responds(url, now) {
			if w.unsure {
				h.check(w.v, now) // the visitor that checked so far may have left
			}
			i++
			continue
		}
		if !h.coveredUntil(w.v, now).IsZero() || h.isUntold(url, w.issued, now) {
			i++
			continue
		}
		h.line.call(w)
		next = append(next, call{v: w.v})
	}
	if first != nil && first.lacksEvidence() && !first.waiter.beat && free(first) && h.mayGo(now, first.waiter, nil) {
		h.line.call(first.waiter)
		return append(next, call{v: first})
	}
	if w := h.firstOf(now, lockout.Ranks, &sooner); w != nil && free(w.v) {
		h.line.call(w)
		next = append(next, call{v: w.v})
	}
	return next
}

// better returns a waiter that goes before a login that may go. h.mu is held.
func (h *host) better(now time.Time, g lockout.Login) *waiter {
	rank := h.ledger.Rank(now, g)
	if w := h.firstOf(now, rank, nil); w != nil {
		return w
	}
	if rank < len(h.line.ranks) {
		if q := h.line.ranks[rank].logins; len(q) > 0 && q[0].login.Waiting.Before(g.Waiting) && h.mayGo(now, q[0], nil) {
			return q[0]
		}
	}
	return nil
}

// firstOf returns the first login in the queue that may go, of ranks below one.
// h.mu is held.
func (h *host) firstOf(now time.Time, below int, sooner *called) *waiter {
	for _, rank := range h.line.ranks[:min(below, len(h.line.ranks))] {
		var blocked map[kind]bool // those of the same kind wait for the same
		var behind []kind         // those that wait for another login, at whichever URL
		for _, w := range rank.logins {
			anywhere := w.kind.anywhere()
			if slices.Contains(behind, anywhere) || blocked[w.kind] {
				continue
			}
			if h.mayGo(now, w, sooner) {
				return w
			}
			switch {
			case w.reason == lockout.OneByOne:
				behind = append(behind, anywhere)
				if sooner != nil && h.stored() { // this process does not learn when another one's login ends
					*sooner = append(*sooner, call{w.v, time.Now().Add(othersPause)})
				}
			case h.holdsBackAll(now, w):
				if blocked == nil {
					blocked = map[kind]bool{}
				}
				blocked[w.kind] = true
			}
			if len(behind) == len(rank.anywhere) || len(blocked) == len(rank.kinds) {
				break
			}
		}
	}
	return nil
}

// holdsBackAll reports whether what a waiter waits for holds back all of its kind.
// h.mu is held.
func (h *host) holdsBackAll(now time.Time, w *waiter) bool {
	switch w.reason {
	case lockout.NoPlace:
		return !w.kind.limits.PerAccount
	case lockout.NoEvidence:
		everybody := !w.kind.limits.PerAccount || !h.local.InDoubt().IsZero() && !h.local.FailsLong(w.kind.url, now)
		return everybody && (!h.local.Responds(w.kind.url, now) || h.ledger.InFront(now, &h.local, w.kind.url))
	case lockout.LockedByPBX:
		return !h.ledger.LockedUntil(now, "", "").IsZero()
	}
	return false
}

// mayGo asks the ledger anew about a waiter, and notes the reason. h.mu is held.
func (h *host) mayGo(now time.Time, w *waiter, sooner *called) bool {
	d := h.ledger.Ask(now, &h.local, w.login)
	if d.Verdict == lockout.Go {
		return true
	}
	w.reason = d.Reason
	if sooner != nil && !d.Until.IsZero() && (w.until.IsZero() || d.Until.Before(w.until)) {
		w.until = d.Until
		*sooner = append(*sooner, call{w.v, h.here(d.Until, now)})
	}
	if d.Reason == lockout.NoEvidence {
		h.check(w.v, now)
	}
	return false
}

// check plans a check of the visitor's URL, if there is none yet. One that has left while
// it asked makes none: its Manager may have ended. h.mu is held.
func (h *host) check(v *visitor, now time.Time) {
	url := v.traits.URL
	if h.checks[url] != nil || !h.has(v) {
		return
	}
	c := &check{host: h, url: url, by: v}
	c.job = newJob(c)
	if h.checks == nil {
		h.checks = map[string]*check{}
	}
	h.checks[url] = c
	v.schedule.set(&c.job, h.nextCheck(url, now), true)
}

// lacksEvidence reports whether the visitor may stand in the queue until its URL
// responds.
func (v *visitor) lacksEvidence() bool {
	w := v.waiter
	return w != nil && !w.called && !w.parked && (w.unsure || !w.beat)
}
