package lockout

import (
	"time"

	"github.com/pbxauth/pbx"
)

// What is assumed of a PBX whose vendor does not say.
const (
	assumedAttempts = 5
	assumedWindow   = 10 * time.Minute
	assumedMemory   = 24 * time.Hour
)

const (
	loginTimeout = 10 * time.Second // a login's deadline, unless it states a shorter one
	overdue      = 5 * time.Second  // beyond the deadline: nothing will settle the login any more
	lateVerdict  = 2 * time.Minute  // how long a slow PBX may still judge a login whose client gave up
	granularity  = 2 * time.Second  // PBXs count in whole seconds
)

// Limits is what one login has to respect: the lockout that its driver states,
// with the unknown filled in.
type Limits struct {
	pbx.Lockout     // Attempts, Window and Memory are never 0
	most        int // places at most; 0: as many as Attempts allows
}

// Resolve fills in what the driver leaves unknown: 5 attempts, a lock of
// 10 minutes, a memory of 24 hours. most lowers the number of places; 0, or more
// than Attempts allows, changes nothing.
func Resolve(stated pbx.Lockout, most int) Limits {
	l := Limits{Lockout: stated, most: max(most, 0)}
	if l.Attempts <= 0 {
		l.Attempts = assumedAttempts
	}
	if l.Window <= 0 {
		l.Window = assumedWindow
	}
	if l.Memory <= 0 {
		l.Memory = assumedMemory
	}
	return l
}

// all is how many bookings may stand before even proven credentials wait.
func (l Limits) all() int { return l.places(1) }

// fresh is how many bookings may stand before new credentials wait. Where
// something at the host is proven, one place more is kept for it.
func (l Limits) fresh(anyProven bool) int {
	if anyProven {
		return l.places(3)
	}
	return l.places(2)
}

// several is the number of bookings below which logins need not go one by one.
func (l Limits) several() int { return max(1, l.Attempts-3) }

func (l Limits) places(spare int) int {
	if l.DeadTokens == pbx.DeadTokensCount && l.Attempts >= 4 {
		spare++
	}
	n := max(1, l.Attempts-spare)
	if l.most > 0 {
		n = min(n, l.most)
	}
	return n
}
