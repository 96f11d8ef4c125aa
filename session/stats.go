package session

import (
	"sync/atomic"

	"github.com/pbxauth/pbx"
)

// Stats is a Manager's fleet at one moment, and what it has done since its
// start.
type Stats struct {
	// Sessions by state.
	Connecting, Live, Renewing, Rejected, Locked, Unavailable int

	// Calls of drivers that have ended, and those of them that failed.
	Logins, FailedLogins         uint64
	KeepAlives, FailedKeepAlives uint64
	Logouts, FailedLogouts       uint64
}

// Sessions is how many there are.
func (s Stats) Sessions() int {
	return s.Connecting + s.Live + s.Renewing + s.Rejected + s.Locked + s.Unavailable
}

// tally is what Stats is read from: nothing is counted when it is asked for.
type tally struct {
	states                      [Closed + 1]atomic.Int64
	logins, keepAlives, logouts [2]atomic.Uint64 // good, failed
}

// Stats costs the same whatever the size of the fleet. Its figures are read one
// after the other, so that a session may be missed between two states.
func (m *Manager) Stats() Stats {
	states := func(s State) int { return int(m.tally.states[s].Load()) }
	both := func(c *[2]atomic.Uint64) (all, failed uint64) {
		failed = c[1].Load()
		return c[0].Load() + failed, failed
	}
	stats := Stats{
		Connecting: states(Connecting), Live: states(Live), Renewing: states(Renewing),
		Rejected: states(Rejected), Locked: states(Locked), Unavailable: states(Unavailable),
	}
	stats.Logins, stats.FailedLogins = both(&m.tally.logins)
	stats.KeepAlives, stats.FailedKeepAlives = both(&m.tally.keepAlives)
	stats.Logouts, stats.FailedLogouts = both(&m.tally.logouts)
	return stats
}

// count notes a call that has ended.
func (m *Manager) count(op pbx.Op, err error) {
	counter := &m.tally.keepAlives
	switch op {
	case pbx.OpLogin:
		counter = &m.tally.logins
	case pbx.OpLogout:
		counter = &m.tally.logouts
	}
	if err != nil {
		counter[1].Add(1)
		return
	}
	counter[0].Add(1)
}

// moved notes a session's change of state. s.mu is held.
func (m *Manager) moved(s *Session, from, to State) {
	m.tally.states[from].Add(-1)
	m.tally.states[to].Add(1)
	m.tell(s)
}
