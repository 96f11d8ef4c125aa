package session

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Lives are counted by the monotonic clock, which stands still while a machine
// is suspended: a token may then have died at the PBX though hardly any time
// has passed here. The wall clock tells, by running ahead. It may also have been
// set by somebody, so nothing is thrown away on its word: tokens are renewed a
// little sooner, and that is all.

const (
	// longestSleep bounds how long a suspension goes unnoticed.
	longestSleep = time.Minute
	// A wall clock that is so far ahead was not merely adjusted.
	bigJump = time.Minute
	// After a jump all renewals are spread over this, lest they come together.
	jumpSpread = time.Minute
)

// clock watches the wall clock run ahead of the monotonic one.
type clock struct {
	wall func() time.Time
	mono time.Time // the last look, by both
	last time.Time
}

func newClock(wall func() time.Time) *clock {
	return &clock{wall: wall, mono: time.Now(), last: wall().Round(0)}
}

// jump returns how far the wall clock has run ahead since the last call; 0 for
// adjustments, and for a clock that was set back.
func (c *clock) jump() time.Duration {
	now, wall := time.Now(), c.wall().Round(0)
	ahead := wall.Sub(c.last) - now.Sub(c.mono)
	c.mono, c.last = now, wall
	if ahead < bigJump {
		return 0
	}
	return ahead
}

// suspended has all tokens renewed soon. Until then they are handed out: most
// are alive, and a dead one is replaced when the PBX refuses it.
func (m *Manager) suspended() {
	m.mu.Lock()
	queued := slices.Concat(m.healthy.queue, m.failing.queue)
	m.mu.Unlock()
	for _, s := range queued {
		s.renewSoon()
	}
}

func (s *Session) renewSoon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.current.Load()
	if l == nil || l.span == 0 || s.closing || s.state != Live {
		return
	}
	within := time.Duration(rand.Float64() * float64(min(jumpSpread, max(time.Until(l.end()), 0))))
	at := time.Now().Add(within)
	if l.renewal().Before(at) {
		return
	}
	l.rash = true
	l.lead = max(time.Duration(l.until.Load())-at.Sub(l.base), l.lead)
	s.m.schedule(s, at)
}
