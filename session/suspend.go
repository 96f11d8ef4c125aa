package session

import "time"

// Lifetimes are counted by the monotonic clock, which stands still while a
// machine is suspended: a token may then have expired at the PBX though hardly
// any time has passed here. The wall clock shows it by running ahead. A person
// may also have set it, so nothing is thrown away because of it. Tokens are
// renewed a little sooner, and that is all.

// bigJump: a wall clock that is so far ahead was not merely adjusted.
const bigJump = time.Minute

// wallClock notices when the wall clock runs ahead of the monotonic one.
type wallClock struct {
	wall func() time.Time
	mono time.Time // the last look, by both
	last time.Time
}

func newWallClock(wall func() time.Time) *wallClock {
	return &wallClock{wall: wall, mono: time.Now(), last: wall().Round(0)}
}

// jumped reports whether the wall clock has run ahead since the last look, and not
// by an adjustment.
func (c *wallClock) jumped() bool {
	now, wall := time.Now(), c.wall().Round(0)
	ahead := wall.Sub(c.last) - now.Sub(c.mono)
	c.mono, c.last = now, wall
	return ahead >= bigJump
}
