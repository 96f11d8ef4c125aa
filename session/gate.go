package session

import (
	"time"

	"github.com/pbxauth/pbx"
)

// gate is the one place where a session asks whether it may send something, and
// reports what came of it. One gate serves a Manager. It asks, in this order: is
// it the session's turn in a fleet that starts, is there room at the host, and
// may a login be sent without a lockout?
type gate struct {
	schedule *scheduler
	guard    *Guard
	perHost  int
}

// visitor is a session's driver with its place at the gate.
type visitor struct {
	driver
	gate *gate
	job  *job // poked when the visitor should ask again

	place // in a line of the Guard, and guarded by its mutex
}

// question is what a visitor wants to do.
type question struct {
	op     pbx.Op
	ticket uint32
	print  fingerprint // of a login's credentials
	admit  bool        // it counts against the fleet's rate of logins
	failed bool        // more than one attempt in a row has failed
}

// ask returns whether the visitor may go on. After pass, settle must follow.
// After waitEvent and person, the visitor's job is poked when it should ask
// again.
func (g *gate) ask(v *visitor, q question) answer {
	if q.admit {
		if at, now := g.schedule.admission(v.job); !now {
			return answer{verdict: waitUntil, until: at, state: Connecting}
		}
	}
	if q.op == opLook { // nothing is sent
		return answer{}
	}
	a := g.guard.ask(v, q, time.Now())
	if a.verdict == pass && q.op == pbx.OpLogin {
		g.schedule.admitted(v.job)
	}
	return a
}

// settle reports how something ended that was let through. Where the PBX has
// locked this client, it returns the end of the lock.
func (g *gate) settle(v *visitor, op pbx.Op, err error) (until time.Time) {
	if op == opLook {
		return time.Time{}
	}
	return g.guard.settle(v, op, err, time.Now())
}

// refund reports that something was let through that nobody will do.
func (g *gate) refund(v *visitor, op pbx.Op) {
	if op != opLook {
		g.guard.refund(v, op)
	}
}

// withdraw takes the visitor out of the line, if it stands there with that
// ticket or an earlier one.
func (g *gate) withdraw(v *visitor, ticket uint32) { g.guard.withdraw(v, ticket) }

// passOn follows a turn that the visitor did not use: somebody else may.
func (g *gate) passOn(v *visitor) { g.guard.passOn(v) }

// leave forgets the visitor, whose session has ended.
func (g *gate) leave(v *visitor) { g.guard.leave(v) }
