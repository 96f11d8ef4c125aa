package session

import (
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
)

// lease is a token with its expiry as the session sees it. Times are counted from
// base by the monotonic clock, so that one atomic number can move the expiry. After
// a lease is published, only until, good and, under its session's lock, lead
// change.
type lease struct {
	token      *pbx.Token
	generation uint32      // counts tokens: a heartbeat that extends one keeps it
	good       atomic.Bool // the PBX accepted a request with it

	base  time.Time     // when the token came
	span  time.Duration // a full lifetime; 0: unknown
	lead  time.Duration // how long before its expiry the token is renewed; below 0: after
	until atomic.Int64  // nanoseconds after base
}

// lifetime returns how long t is valid from now, and its full lifetime, which
// traffic gives back. A lifetime that nobody states is unlimited, and 0.
func lifetime(t *pbx.Token, stated time.Duration, now time.Time) (remaining, span time.Duration) {
	switch {
	case !t.ExpiresAt.IsZero():
		remaining = min(t.ExpiresAt.Sub(now), unlimited)
		span = remaining
		if !t.IssuedAt.IsZero() {
			span = min(max(t.ExpiresAt.Sub(t.IssuedAt), remaining), unlimited)
		}
		return remaining, span
	case stated > 0:
		return min(stated, unlimited), min(stated, unlimited)
	}
	return unlimited, 0
}

// living reports whether the token can be handed out. A nil lease has none.
func (l *lease) living(now time.Time) bool {
	return l != nil && now.Sub(l.base) < time.Duration(l.until.Load())
}

// age is how old the token is.
func (l *lease) age(now time.Time) time.Duration { return now.Sub(l.base) }

// early reports whether a token that the PBX refuses now was valid for too short a
// time.
func (l *lease) early(now time.Time) bool {
	served := earlyAge
	if l.span > 0 {
		served = min(served, l.span)
	}
	return l.age(now) < served
}

func (l *lease) end() time.Time { return l.base.Add(time.Duration(l.until.Load())) }

// renewal is when the token should be renewed; zero: never.
func (l *lease) renewal() time.Time {
	if l.span == 0 {
		return time.Time{}
	}
	return l.base.Add(time.Duration(l.until.Load()) - l.lead)
}

// renewBy moves the renewal forward to at, if it would come later, and reports
// whether it did.
func (l *lease) renewBy(at time.Time) bool {
	if l.span == 0 || l.renewal().Before(at) {
		return false
	}
	l.lead = max(time.Duration(l.until.Load())-at.Sub(l.base), l.lead)
	return true
}

// accept notes that the PBX accepted a request with the token that was sent at
// that time. Where lifetimes slide, it moves the expiry.
func (l *lease) accept(sent time.Time, sliding bool) {
	if !l.good.Load() {
		l.good.Store(true)
	}
	if !sliding || l.span == 0 {
		return
	}
	until := int64(sent.Sub(l.base) + l.span)
	for old := l.until.Load(); until > old && !l.until.CompareAndSwap(old, until); old = l.until.Load() {
	}
}
