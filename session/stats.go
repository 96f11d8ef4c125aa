package session

import (
	"time"

	"github.com/pbxauth/pbx"
)

// Stats is a Manager's fleet at one moment, and what it has done since its
// start. Its size depends on the number of drivers, not of sessions.
type Stats struct {
	// Sessions by state.
	Connecting, Live, Renewing, Rejected, Locked, Unavailable int

	// Requests of drivers that have ended, and those of them that failed.
	Logins, FailedLogins         uint64
	KeepAlives, FailedKeepAlives uint64
	Logouts, FailedLogouts       uint64

	// Drivers are the fleet's drivers in the order of their names. Those beyond a
	// hundred, and those with a name that cannot be registered, are counted
	// together, as "other".
	Drivers []DriverStats
	// Hosts are the hosts of the Manager's [Guard], which Managers may share.
	Hosts HostStats
	// Store is what this process did with [Options].Store. Without one it is zero.
	Store StoreStats
}

// Sessions is how many there are.
func (s Stats) Sessions() int {
	return s.Connecting + s.Live + s.Renewing + s.Rejected + s.Locked + s.Unavailable
}

// DriverStats are the sessions of one driver.
type DriverStats struct {
	Driver     string             // its registered name; empty: of the drivers that state none
	Sessions   map[State]int      // all states but Closed
	Operations map[pbx.Op]OpStats // by [OpInfo].Op: all of them
	// LifetimeLeft is which share of a token's lifetime was left when another token
	// came, from 0 to 1. 0: the token had expired first.
	LifetimeLeft Histogram
	// Waits is how many requests had to wait for a token.
	Waits uint64
	// RefusedTokens is how many tokens the PBX refused before they expired.
	RefusedTokens uint64
	// AdoptedTokens is how many tokens came from other processes or from before a
	// restart, through [Options].Store.
	AdoptedTokens uint64
}

// OpStats is one operation of one driver.
type OpStats struct {
	Duration Histogram // in seconds; its Count is how many have ended
	// Failures counts the failed ones by kind, which is the text of a sentinel such
	// as [pbx.ErrLocked], or "other". All kinds are there.
	Failures map[string]uint64
}

// Failed is how many have failed.
func (o OpStats) Failed() (n uint64) {
	for _, count := range o.Failures {
		n += count
	}
	return n
}

// Histogram counts values in fixed buckets.
type Histogram struct {
	Count   uint64
	Sum     float64
	Buckets []Bucket // in ascending order
}

// Bucket counts the values that are at most Most, those of the buckets before it
// included.
type Bucket struct {
	Most  float64
	Count uint64
}

// HostStats counts PBX hosts that have sessions and are in trouble. A host may
// count several times, except in InTrouble.
type HostStats struct {
	InTrouble   int // for any of the reasons below
	InDoubt     int // the last login got no verdict, and nothing has proven since that the PBX works
	WrongLogins int // the PBX may count at least one wrong login, so that a lockout is nearer
	Locked      int // the PBX has locked this client, or an account
}

// StoreStats is what a process did with its store.
type StoreStats struct {
	Operations uint64    // that have ended
	Errors     uint64    // those of them that failed
	AwaySince  time.Time // the first failure since the last success; zero: the store responds
}
