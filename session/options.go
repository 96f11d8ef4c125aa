package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
)

// Options are for [New] and [NewManager]. nil means the defaults.
type Options struct {
	// Timeout bounds every request of a driver. 0: 30 s. Logins and keep-alives
	// get 10 s at most.
	Timeout time.Duration

	// Workers is how many requests of drivers are under way at once over all
	// sessions of a Manager. Sessions whose last attempt failed get at most half
	// of them. 0: 64.
	Workers int

	// Guard is the lockout budget. nil: the one that all sessions of this
	// process share. A separate one is for PBXs that see another client address,
	// as through a proxy, and for tests.
	Guard *Guard

	// PerHost is how many requests of drivers are under way at once to one PBX
	// host, at most 32,767. 0: 4.
	PerHost int

	// LoginRate is how many sessions of a Manager may log in per second when many
	// do at once, as after a start. A second's worth of them may go at once. 0:
	// 100.
	LoginRate int

	// Store shares tokens and the lockout budget with other processes, and keeps
	// them over restarts. nil: each process is alone. Guard must then be nil, for
	// the Store has one, and [New] cannot be used, because a shared session needs
	// a name. The Store's timeout must be below Timeout.
	Store *Shared

	// OnOp is called with every operation of a driver after it has ended: see [OpInfo].
	// It runs on a goroutine of the Manager, one operation at a time in their order,
	// outside all locks. While it blocks, sessions go on: up to 10,000 operations
	// wait for it, and the number of those beyond is logged. A panic in it is logged,
	// without its value. Close waits for it as long as its context allows, so OnOp
	// must not close the Manager or one of its sessions. nil: it is not called.
	OnOp func(OpInfo)

	// Logger gets a line per change of a session's state, with the fields
	// session, pbx, from, state, reason and error. The zero value is silent.
	// Routine renewals are at debug level. Lines are written by a goroutine of
	// the Manager. Of two changes at the same moment, either may be first.
	Logger zerolog.Logger
}

// resolved returns the options with the defaults filled in. The error says which
// contradict each other or are negative.
func (o *Options) resolved() (r Options, err error) {
	if o != nil {
		r = *o
	}
	if r.Timeout <= 0 {
		r.Timeout = 30 * time.Second
	}
	if r.Workers <= 0 {
		r.Workers = 64
	}
	if r.PerHost <= 0 {
		r.PerHost = 4
	}
	if r.LoginRate <= 0 {
		r.LoginRate = 100
	}
	switch {
	case o != nil && (o.Timeout < 0 || min(o.Workers, o.PerHost, o.LoginRate) < 0):
		err = errors.New("session: Timeout, Workers, PerHost and LoginRate of Options cannot be negative: leave out what should have its default")
	case r.Store != nil && r.Guard != nil:
		err = errors.New("session: Options.Guard and Options.Store are both set: the Store has a Guard, leave Options.Guard nil")
	case r.Store != nil && r.Store.guard == nil:
		err = errors.New("session: Options.Store has no store: make it with NewShared")
	case r.Store != nil && r.Store.backing.timeout >= r.Timeout:
		err = fmt.Errorf("session: the Timeout of Options.Store (%s) must be below Options.Timeout (%s)", r.Store.backing.timeout, r.Timeout)
	}
	if r.Store != nil {
		r.Guard = r.Store.guard
	}
	if r.Guard == nil {
		r.Guard = &processWide
	}
	return r, err
}
