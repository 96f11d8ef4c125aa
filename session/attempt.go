package session

import (
	"context"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/lockout"
)

// attempt is a run of the driver on the session's behalf: perhaps a look at the
// credentials and the login with them.
//
// It sends the credentials that it has looked at. While its login waits at the
// gate, the attempt is held, to go on with the same credentials.
type attempt struct {
	known   context.Context  // remembers the credentials: see pbx.WithAttempt
	booking *lockout.Booking // of its login; nil: it may not send one

	// What follows is guarded by the session's mutex.
	stop    context.CancelFunc // of its operation; nil: there was none
	stopped bool               // nobody needs what is under way
	settled chan struct{}      // closed when its outcome is in the session's state; nil: nobody waits for it
}

func newAttempt() *attempt { return &attempt{known: pbx.WithAttempt(context.Background())} }

// again is the attempt when it goes on after a wait.
func (a *attempt) again() *attempt { return &attempt{known: a.known} }

// cancel ends the operation under way.
func (a *attempt) cancel() {
	a.stopped = true
	if a.stop != nil {
		a.stop()
	}
}

// wait returns a channel that is closed when the attempt, which is under way, has
// ended.
func (a *attempt) wait() <-chan struct{} {
	if a.settled == nil {
		a.settled = make(chan struct{})
	}
	return a.settled
}
