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
	*settings
	guard *Guard
}

// ask returns whether the link's session may go on. After pass, settle must follow,
// and after free nothing. After waitEvent and person, the session's job is poked
// when it should ask again.
func (g *gate) ask(l *link, q question) answer {
	if q.admit {
		if at, now := g.schedule.admission(l.job); !now {
			return answer{verdict: waitUntil, until: at, state: Connecting}
		}
	}
	if q.op == opLook { // nothing is sent
		return answer{}
	}
	a := l.host.ask(&l.visitor, q)
	if a.verdict == pass && q.op == pbx.OpLogin {
		g.schedule.admitted(l.job)
	}
	return a
}

// settle reports how a request that was let through, and sent at that time, ended.
// b is the booking of a login, and t the token of another operation.
func (g *gate) settle(l *link, op pbx.Op, b *lockout.Booking, t *pbx.Token, err error, sent time.Time) {
	if op == opLook {
		return
	}
	if dropped := l.host.settle(&l.visitor, op, b, t, err, sent); dropped > 0 {
		g.journal.write(zerolog.WarnLevel, "credentials forgotten", func(e *zerolog.Event) {
			e.Str("host", l.host.name).Int("credentials", dropped).Str("reason", "there are too many accounts at this host")
		})
	}
}

// refund reports that a request that was let through will not be sent.
func (g *gate) refund(l *link, op pbx.Op, b *lockout.Booking) {
	if op != opLook {
		g.settle(l, op, b, nil, errWithdrawn, time.Now())
		g.guard.tidy(l.host) // the session may have ended meanwhile
	}
}

// errWithdrawn is the outcome of a login that was not sent after all.
var errWithdrawn error = &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrNotSupported, Message: "not sent: the session no longer needs it"}

// retry asks for a person's retry, and returns why it would do nothing. waits: there is
// nothing more to do, because the session goes on by itself when a check succeeds.
func (g *gate) retry(ctx context.Context, l *link, print fingerprint) (waits bool, err error) {
	d, waits, err := l.host.retry(ctx, &l.visitor, print)
	switch {
	case err != nil:
		return false, err
	case d.Reason == lockout.None, d.Reason == lockout.NothingToRetry, d.Reason == lockout.NoEvidence:
		return waits, nil // the session's own pause may be cut short
	case d.Reason == lockout.OneByOne, d.Reason == lockout.SameCredentials:
		return false, errors.New("not retried: " + d.Reason.String())
	}
	return false, l.host.explain(&l.visitor, print, d)
}
