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

	// Requests of drivers that have ended, and those of them that failed.
	Logins, FailedLogins         uint64
	KeepAlives, FailedKeepAlives uint64
	Logouts, FailedLogouts       uint64
}

// Sessions is how many there are.
func (s Stats) Sessions() int {
	return s.Connecting + s.Live + s.Renewing + s.Rejected + s.Locked + s.Unavailable
}

// counters is what Stats is read from, so that reading costs the same whatever
// the size of the fleet.
type counters struct {
	states                      [Closed + 1]atomic.Int64
	logins, keepAlives, logouts [2]atomic.Uint64 // good, failed
}

func (c *counters) read() Stats {
	states := func(s State) int { return int(c.states[s].Load()) }
	both := func(c *[2]atomic.Uint64) (all, failed uint64) {
		failed = c[1].Load()
		return c[0].Load() + failed, failed
	}
	stats := Stats{
		Connecting: states(Connecting), Live: states(Live), Renewing: states(Renewing),
		Rejected: states(Rejected), Locked: states(Locked), Unavailable: states(Unavailable),
	}
	stats.Logins, stats.FailedLogins = both(&c.logins)
	stats.KeepAlives, stats.FailedKeepAlives = both(&c.keepAlives)
	stats.Logouts, stats.FailedLogouts = both(&c.logouts)
	return stats
}

// began notes a new session.
func (c *counters) began() { c.states[Connecting].Add(1) }

// moved notes a session's change of state.
func (c *counters) moved(from, to State) {
	if from != to {
		c.states[from].Add(-1)
		c.states[to].Add(1)
	}
}

// finished notes an operation that has ended.
func (c *counters) finished(op pbx.Op, err error) {
	var counter *[2]atomic.Uint64
	switch op {
	case pbx.OpLogin:
		counter = &c.logins
	case pbx.OpKeepAlive:
		counter = &c.keepAlives
	case pbx.OpLogout:
		counter = &c.logouts
	default:
		return
	}
	if err != nil {
		counter[1].Add(1)
		return
	}
	counter[0].Add(1)
}
