package session

import "time"

// NewManagerWithWall is NewManager with another wall clock, which a test can set
// ahead of the monotonic one as a suspended machine does.
func NewManagerWithWall(opts *Options, wall func() time.Time) *Manager {
	return newManager(opts, wall)
}

// Standing is how many sessions stand in line for a host at which no call is
// under way.
func (g *Guard) Standing() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, b := range g.hosts {
		if b.calls == 0 {
			n += len(b.beats) + len(b.logins)
		}
	}
	return n
}
