package session

import (
	"time"

	"github.com/pbxauth/pbx"
	"github.com/rs/zerolog"
)

// Options are for [New] and [NewManager]. nil means the defaults.
type Options struct {
	// Timeout bounds every request of a driver. 0: 30 s. Logins and keep-alives
	// get 10 s at most.
	Timeout time.Duration

	// Workers is how many requests of drivers are under way at once over all
	// sessions of a Manager. Those whose last attempt failed get half. 0: 64.
	Workers int

	// Guard is the lockout budget. nil: the one that all sessions of this
	// process share. A separate one is for PBXs that see another client address,
	// as through a proxy, and for tests.
	Guard *Guard

	// PerHost is how many requests of drivers are under way at once to one PBX
	// host. 0: 4.
	PerHost int

	// LoginRate is how many sessions of a Manager may log in per second when
	// many do at once, as after a start. As many again may go first. 0: 100.
	LoginRate int

	// OnToken is called with every new or extended token before it is handed
	// out: to store it for [Manager.Resume], or to count. It must return soon,
	// because Token waits, and must not wait for the session itself: not for
	// Token, and not for Close. A token that the PBX refuses meanwhile is
	// announced and never handed out.
	//
	// Deprecated: a store will keep tokens between processes, with the identity
	// of the PBX and the account checked.
	OnToken func(*Session, *pbx.Token)

	// Logger gets a line per change of a session's state, with the fields
	// session, pbx, from, state, reason and error. The zero value is silent.
	// Routine renewals are at debug level. Lines are written by a goroutine of
	// the Manager, in their order.
	Logger zerolog.Logger
}

// resolved returns the options with the defaults filled in.
func (o *Options) resolved() Options {
	var r Options
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
	if r.Guard == nil {
		r.Guard = &processWide
	}
	return r
}
