package session

import (
	"context"
	"errors"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/lockout"
	"github.com/rs/zerolog"
)

// gate is the one place where a session asks whether it may send something, and
// reports what came of it. One gate serves a Manager. It asks, in this order: is
// it the session's turn in a fleet that starts, is there room at the host, and
// may a login be sent without a lockout?
type gate struct {
	ctx      context.Context // ends with the Manager
	schedule *scheduler
	guard    *Guard
	perHost  int32
	journal  *journal
}

// visitor is a session's driver with its place at the gate.
type visitor struct {
	driver
	host *host
	own  fingerprint // of a driver that cannot say
	cell *tokenCell  // the session's part of the store; nil: it shares nothing

	// What follows is guarded by host.mu.
	waiter *waiter // nil: it does not wait
	flight *flight // its login under way
	member int32   // its index among the host's
	trying bool    // its token is on trial
}

// gate is that of the visitor's Manager.
func (v *visitor) gate() *gate { return v.owner.fleet.gate }

// poke has the visitor ask again.
func (v *visitor) poke() { v.gate().schedule.poke(&v.owner.job) }

// question is what a visitor wants to do.
type question struct {
	op      pbx.Op
	ticket  uint32
	print   fingerprint // of a login's credentials
	admit   bool        // it counts against the fleet's rate of logins
	relogin bool        // the login is to make room for others
	failed  bool        // the last attempt failed

	unclaimed bool // say only whether the login may go
}

// ask returns whether the visitor may go on. After pass, settle must follow, and
// after free nothing. After waitEvent and person, the visitor's job is poked when
// it should ask again.
func (g *gate) ask(v *visitor, q question) answer {
	if q.admit {
		if at, now := g.schedule.admission(&v.owner.job); !now {
			return answer{verdict: waitUntil, until: at, state: Connecting}
		}
	}
	if q.op == opLook { // nothing is sent
		return answer{}
	}
	a := v.host.ask(v, q)
	if a.verdict == pass && q.op == pbx.OpLogin {
		g.schedule.admitted(&v.owner.job)
	}
	return a
}

// settle reports how something ended that was let through and sent at that time.
func (g *gate) settle(v *visitor, op pbx.Op, err error, sent time.Time) {
	if op != opLook {
		v.host.settle(v, op, err, sent)
	}
}

// refund reports that something was let through that nobody will do.
func (g *gate) refund(v *visitor, op pbx.Op) {
	if op != opLook {
		v.host.refund(v, op)
	}
}

// withdraw takes the visitor out of the line, if it stands there with that
// ticket or an earlier one.
func (g *gate) withdraw(v *visitor, ticket uint32) { v.host.withdraw(v, ticket) }

// passOn follows a turn that the visitor did not use: somebody else may.
func (g *gate) passOn(v *visitor) { v.host.move() }

// leave forgets the visitor, whose session has ended.
func (g *gate) leave(v *visitor) { g.guard.leave(v) }

// refused reports that the PBX refused a living token of credentials with that
// fingerprint.
func (g *gate) refused(v *visitor, print fingerprint) { v.host.refused(v, print) }

// retry asks for a person's retry, and returns why it would do nothing.
func (g *gate) retry(v *visitor, print fingerprint) error {
	d, err := v.host.retry(v, print)
	switch {
	case err != nil:
		return err
	case d.Reason == lockout.None, d.Reason == lockout.NothingToRetry:
		return nil // the session's own pause may be cut short
	case d.Reason == lockout.NoEvidence, d.Reason == lockout.OneByOne, d.Reason == lockout.SameCredentials:
		return errors.New("not retried: " + d.Reason.String())
	}
	return v.host.explain(v, print, d)
}

// forgot writes that a host's ledger has dropped credentials.
func (g *gate) forgot(host string, n int) {
	g.journal.write(zerolog.WarnLevel, "credentials forgotten", func(e *zerolog.Event) {
		e.Str("host", host).Int("credentials", n).Str("reason", "there are too many accounts at this host")
	})
}
