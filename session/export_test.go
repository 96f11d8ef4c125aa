package session

import "time"

// NewManagerWithWall is NewManager with another wall clock, which a test can set
// ahead of the monotonic one as a suspended machine does.
func NewManagerWithWall(opts *Options, wall func() time.Time) *Manager {
	return newManager(opts, wall)
}
