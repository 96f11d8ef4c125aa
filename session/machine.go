package session

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/internal/tokencell"
	"github.com/pbxauth/pbx/session/lockout"
	"github.com/pbxauth/pbx/session/store"
	"github.com/rs/zerolog"
)

// machine decides what a session does next. It is a value: step has no clock, no
// lock and no goroutine, and touches nothing but the machine and its lease. The
// Session carries out the plans that step returns.
//
// At most one thing is under way: a question to the gate or an operation of the
// driver. It has a ticket, and a result with another ticket is ignored.
type machine struct {
	rules rules

	phase     phase
	waiting   bool   // asking: the gate said to wait for an event
	again     bool   // asking: the event came before the gate's answer
	deadOld   bool   // old is a token that the PBX refused
	pingDue   bool   // the token is to be pinged
	noBeat    bool   // the brand has no keep-alive
	refreshed bool   // the token at hand came by a refresh
	rash      bool   // it is renewed out of turn, together with others
	noPing    bool   // the driver has no ping after all
	relogin   bool   // a login is due that makes room for others
	claimed   bool   // this attempt claims the token in the store
	seen      bool   // this attempt has looked at the credentials
	ticket    uint32 // of what is under way
	op        pbx.Op // that is asked for or called
	state     State
	holder    LockHolder
	heldUp    bool      // the gate's last answer was to wait
	since     time.Time // of state
	next      time.Time // when to wake the session, unless an operation is under way; zero: no plan
	err       error     // of the last attempt

	lease      *lease     // what Token hands out; nil: nothing
	old        *pbx.Token // the latest token, also a dead one: a refresh may revive it; ending: to be logged out
	issued     int64      // when the latest login's token was, by the driver: Unix nanoseconds
	generation uint32     // of the latest token
	dead       uint32     // the newest generation whose end was reported, or says nothing about other tokens
	print      fingerprint
	memory     *memory // of trouble; nil: there was none

	fails        uint16 // failed attempts in a row
	away         uint16 // failures of the store in a row: the PBX is not to blame
	early        uint16 // tokens in a row that were refused early
	badRefreshes uint16 // of these, the ones in a row that a refresh brought
}

// memory is what few sessions have to remember.
type memory struct {
	refused []fingerprint // credentials that requests found refused or forbidden, newest last
	unseen  bool          // a request found credentials refused that no look has seen
	retried time.Time     // a person's last Retry
	pinged  time.Time     // when a ping last found the token alive
}

// rules is what a machine knows of its driver.
type rules struct {
	lifetime  time.Duration
	refreshes bool // keep-alives exchange a refresh token
	prints    bool // it is a pbx.Fingerprinter
	pings     bool // it is a pbx.Pinger
	noBeat    bool // the brand has no keep-alive
	many      bool // the session is one of a Manager's many, whose renewals are spread
	shares    bool // the token is in a store that other processes use
	one       bool // the same, and the account has one token at a time
}

// fingerprint is the beginning of a keyed digest of credentials. Zero: unknown.
type fingerprint = lockout.Fingerprint

type phase uint8

const (
	resting phase = iota // until next
	asking               // the gate
	calling              // the driver
	ending               // the last operation is still under way
	ended
)

const mostRefused = 4

// event is something that has happened to a session.
type event struct {
	kind   eventKind
	ticket uint32 // of an answer or a result

	answer answer // answered

	token *pbx.Token  // finished, stored, invalidated
	print fingerprint // finished, of opLook
	err   error       // finished, condemned

	generation uint32 // invalidated, condemned: of the token that was refused
	ambiguous  bool   // invalidated: the refusal may concern the request
	unclear    bool   // invalidated: the response may be no refusal; only a ping can tell
	lost       bool   // invalidated: if it is one, other tokens may be lost too

	before time.Time // suspected: tokens issued until then are suspect
	read   time.Time // suspected: when the PBX's refusal of another token was read

	claim claimResult // finished: of opClaim or opPeek, or that the session was removed meanwhile

	rules rules // replaced
}

type eventKind uint8

const (
	begun       eventKind = iota // the session was made
	stored                       // the store has a token of another process instead
	woken                        // next has come, or the gate's event
	forgiven                     // a person has unlocked this client at the PBX
	noticed                      // the store reports that another process has written there
	answered                     // the gate said something
	finished                     // an operation has ended
	invalidated                  // the PBX refused the token
	condemned                    // the PBX refused the credentials behind the token
	suspected                    // the PBX has probably lost the tokens of some time
	relogin                      // a login of this session would make room for others
	retry                        // a person asks for another attempt
	jumped                       // this machine was suspended
	replaced                     // the driver was
	closing                      // the session is to end
	drained                      // nothing is under way any more
)

// question is what a session asks the gate: whether it may do op.
type question struct {
	op      pbx.Op
	ticket  uint32
	print   fingerprint // of a login's credentials
	admit   bool        // count it against the fleet's rate of logins
	relogin bool        // the login is to make room for others
	failed  bool        // the last attempt failed
	early   bool        // a login, and the token at hand is valid
	issued  time.Time   // of a keep-alive or ping: when its token was

	unclaimed bool // the token is not claimed yet: say only whether it may go
}

// answer is what the gate says about an operation.
type answer struct {
	verdict verdict
	until   time.Time // waitUntil: then; waitEvent, person: at the latest, zero: no limit
	state   State     // of a session without a token meanwhile
	holder  LockHolder
	err     error // the reason; nil: the session's turn has not come
	away    bool  // the reason is the store
	crowded bool  // another session may make room for the login

	checking bool // a check of the PBX is under way or due, which may lift the reason

	booking *lockout.Booking // of a login that is to be done
}

type verdict uint8

const (
	pass      verdict = iota // do it
	free                     // it may go, once the token is claimed
	waitUntil                // ask again at that time
	waitEvent                // ask again when woken
	person                   // nothing happens until a person acts, or until woken
)

// claimResult is what an attempt to claim the token came to.
type claimResult struct {
	verdict claimVerdict
	token   *pbx.Token // adopted
	until   time.Time  // occupied: ask again then
}

type claimVerdict uint8

const (
	claimed  claimVerdict = iota // go on: nobody else will
	adopted                      // another process was quicker: here is its token
	occupied                     // another process is at it
	gone                         // another process removed the session
	unshared                     // the store is away, and the operation needs no claim
)

// plan is what a session has to do after a step.
type plan struct {
	ask, call bool
	question             // of a call only op, ticket and print
	token     *pbx.Token // of a call
	take      bool       // call of opClaim: claim the token, do not only look
	refused   bool       // call of opClaim: the PBX refused the token at hand
	want      pbx.Op     // call of opClaim: what follows

	withdraw bool       // leave the gate's line, with ticket
	stale    bool       // the answer or result came too late
	cancel   bool       // nobody needs what is under way
	logout   *pbx.Token // nobody needs this token
	dead     *deadToken // the PBX refused this token before its expiry
	contest  bool       // report that another program may use the account
	refusal  error      // why a retry or close did nothing

	renewed bool          // another token takes a token's place, or it expired first
	left    time.Duration // renewed: the share of its lifetime that was left; whole: all
	adopted bool          // the token came from another process
	ended   bool          // another process removed the session

	change change
}

// deadToken is a token that the PBX has refused before its expiry.
type deadToken struct {
	token *pbx.Token
	read  time.Time   // when the refusal was
	print fingerprint // of its session's credentials
}

// change is a change of state, or a first failure, for logs and watchers.
type change struct {
	happened bool
	from, to State
	err      error
	reason   string
	level    zerolog.Level
}

// step takes in one event. chance is a random number from 0 to 1.
func (m *machine) step(now time.Time, e event, chance float64) (p plan) {
	if !m.living(now) { // else a response that comes late could revive it
		p.renewed = m.lease != nil && m.state != Rejected // too late
		m.lease, m.pingDue = nil, false
	}
	switch e.kind {
	case closing:
		m.close(now, &p)
		return p
	case drained:
		m.drain(&p)
		return p
	}
	if m.phase == ended {
		p.stale = e.kind == answered || e.kind == finished
		if e.kind == retry {
			p.refusal = ErrClosed
		}
		return p
	}
	if m.phase == ending {
		switch {
		case e.kind == retry:
			p.refusal = ErrClosed
		case e.kind == finished && e.ticket == m.ticket:
			m.finishLast(e)
		case e.kind == answered || e.kind == finished:
			p.stale = true
		}
		return p
	}
	switch e.kind {
	case begun:
		if m.phase == resting { // else a replacement was quicker
			m.rest(now)
		}
	case stored:
		m.store(now, e.token, chance, &p)
	case woken:
		m.wake(now, &p)
	case forgiven:
		if m.phase == resting && errors.Is(m.err, pbx.ErrLocked) {
			m.next = now
		}
	case noticed:
		m.peek(&p)
	case answered:
		if p.stale = m.phase != asking || m.waiting || e.ticket != m.ticket; !p.stale {
			m.heed(now, e.answer, chance, &p)
		}
	case finished:
		if p.stale = m.phase != calling || e.ticket != m.ticket; !p.stale {
			m.finish(now, e, chance, &p)
		}
	case invalidated:
		m.invalidate(now, e, chance, &p)
	case condemned:
		m.condemn(now, e, chance, &p)
	case suspected:
		m.suspect(now, e, &p)
	case relogin:
		m.makeRoom(now)
	case retry:
		p.refusal = m.retry(now, &p)
	case jumped:
		m.jump(now, chance)
	case replaced:
		m.replace(now, e.rules, &p)
	}
	return p
}

func (m *machine) failed() { m.fails = min(m.fails+1, math.MaxUint16-1) }

// living reports whether there is a token to hand out.
func (m *machine) living(now time.Time) bool { return m.lease.living(now) }

// rest plans the next waking; the zero time: none.
func (m *machine) rest(next time.Time) {
	m.phase, m.waiting, m.again, m.op = resting, false, false, ""
	m.claimed, m.seen = false, false
	m.next = next
}

// withdraw gives up a place in the gate's queue, and an answer that is under way.
func (m *machine) withdraw(p *plan) {
	if m.phase == asking {
		p.withdraw, p.ticket = true, m.ticket
		m.ticket++
	}
}

// become sets the state. Only trouble and changes are worth a line.
func (m *machine) become(now time.Time, state State, err error, reason string, p *plan) {
	trouble := err != nil && m.err == nil
	if m.state != state || trouble {
		c := change{happened: true, from: m.state, to: state, err: err, reason: reason, level: zerolog.InfoLevel}
		switch {
		case trouble || state == Rejected || state == Locked || state == Unavailable:
			c.level = zerolog.WarnLevel
		case state == Renewing, state == Live && m.err == nil && m.state == Renewing:
			c.level = zerolog.DebugLevel // the routine of every token
		}
		p.change = c
	}
	if m.state != state {
		m.since = now
	}
	m.state, m.err, m.holder = state, err, LockedByNobody
}

// wake starts what is due, if anything is.
func (m *machine) wake(now time.Time, p *plan) {
	switch m.phase {
	case asking:
		if !m.waiting {
			m.again = true // heeded with the gate's answer
			return
		}
		if late := !m.next.IsZero() && !now.Before(m.next); late {
			m.relogin = false // the others may have found room
		} else if op, _ := m.due(now); m.op == pbx.OpLogin && op == m.proof() && !m.isRefused(m.print) && !m.rules.shares {
			m.ask(m.op, p) // with the credentials that it has looked at
			return
		}
	case resting:
		if m.next.IsZero() || now.Before(m.next) {
			return
		}
	default:
		return
	}
	op, at := m.due(now)
	if op == "" {
		m.withdraw(p)
		m.rest(at)
		return
	}
	if op == pbx.OpLogin && m.isRefused(m.print) {
		m.withdraw(p)
		m.become(now, Rejected, m.refusal(), "the credentials were refused before", p)
		m.rest(time.Time{})
		return
	}
	if m.rules.shares && op != pbx.OpPing {
		m.claim(op, p)
		return
	}
	m.ask(op, p) // in a line, it keeps its place
}

// claim begins an attempt with a look at the store. Before a look at the
// credentials, and while the gate holds the session back, it only looks; the claim
// follows. A session that waits for a person then writes nothing.
func (m *machine) claim(op pbx.Op, p *plan) {
	m.withdraw(p)
	m.phase, m.waiting, m.again, m.op, m.next = calling, false, false, opClaim, time.Time{}
	m.ticket++
	p.call, p.op, p.ticket = true, opClaim, m.ticket
	p.take, p.refused = op != opLook && (m.seen || !m.heldBack()), m.deadOld && m.lease == nil
	p.want, m.claimed = op, p.take
}

// heldBack reports whether the gate's last answer was that a request may not be
// sent. A session that waits does not claim: other processes would look at what it
// writes, and those that wait too would write as well, again and again.
func (m *machine) heldBack() bool { return m.heldUp || m.state == Rejected || m.state == Locked }

// peeking reports whether a peek is under way.
func (m *machine) peeking() bool { return m.phase == calling && m.op == opPeek }

// peek looks at the store, unless something is under way that has done so.
func (m *machine) peek(p *plan) {
	if m.phase != resting || !m.rules.shares {
		return
	}
	m.phase, m.op = calling, opPeek // next is as before
	m.ticket++
	p.call, p.op, p.ticket = true, opPeek, m.ticket
}

// peeked follows a peek.
func (m *machine) peeked(now time.Time, e event, chance float64, p *plan) {
	if e.err == nil && (e.claim.verdict == adopted || e.claim.verdict == gone) {
		m.shared(now, e, chance, p)
		return
	}
	switch op, at := m.due(now); {
	case op == "":
		m.rest(at)
	case m.state == Live, m.pingDue, e.err == nil && m.away > 0:
		m.rest(now)
	default:
		m.rest(m.next)
	}
}

// shared follows a look at the store.
func (m *machine) shared(now time.Time, e event, chance float64, p *plan) {
	living := m.living(now)
	if e.err == nil {
		m.away = 0
	}
	switch {
	case e.err != nil:
		m.away = min(m.away+1, math.MaxUint16-1)
		why, err := notShared(e.err)
		switch {
		case m.state == Rejected: // without the store, too
		case living:
			m.become(now, Renewing, err, why, p)
		default:
			m.become(now, Unavailable, err, why, p)
		}
		m.rest(now.Add(min(backoff(int(m.away)-1, chance), spread(slowestShare, chance))))
		m.earlier(living)
		return
	case e.claim.verdict == gone:
		m.phase, p.ended = resting, true // nothing is under way any more
		m.close(now, p)
		m.old = nil // it was logged out
		return
	case e.claim.verdict == adopted:
		if m.deadOld { // refused because another process had replaced it: no sign of another program
			m.early, m.badRefreshes = max(m.early, 1)-1, max(m.badRefreshes, 1)-1
		}
		m.adopt(now, pbx.OpOpen, e.claim.token, chance, p)
		return
	case e.claim.verdict == occupied:
		if !living && m.state != Rejected {
			m.become(now, Connecting, m.err, "another process is logging in", p)
		}
		m.rest(now.Add(min(max(e.claim.until.Sub(now), firstShare), mostShare)))
		m.earlier(living)
		return
	}
	op, at := m.due(now)
	switch {
	case op == "":
		m.rest(at)
	case e.claim.verdict == unshared && op != pbx.OpKeepAlive: // the token was refused meanwhile
		m.rest(now.Add(firstShare))
	case op == pbx.OpLogin && m.isRefused(m.print):
		m.become(now, Rejected, m.refusal(), "the credentials were refused before", p)
		m.rest(time.Time{})
	case m.seen && op == m.proof():
		m.ask(pbx.OpLogin, p)
	default:
		m.claimed = m.claimed && op != opLook
		m.ask(op, p)
	}
}

const (
	firstShare   = 250 * time.Millisecond // between two looks at a token that another process renews
	mostShare    = 2 * time.Second        // the same, at most
	slowestShare = 10 * time.Second       // between two attempts to reach the store
)

// notShared is why the store did not allow an attempt: the reason, and the error.
func notShared(err error) (why string, failure error) {
	why, message := "the store does not respond", "the store that shares the token does not respond"
	if unreadable, ok := errors.AsType[*tokencell.UnreadableError](err); ok {
		why, message, err = "the token in the store cannot be read", unreadable.Reason, nil
	} else if errors.Is(err, store.ErrUnreadable) {
		why, message = "the token in the store cannot be read", "the token in the store cannot be read"
	}
	return why, &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, Err: err, Message: "not sent: " + message}
}

// due decides what to do now. If nothing is due, op is empty and at says when
// something will be.
func (m *machine) due(now time.Time) (op pbx.Op, at time.Time) {
	if m.living(now) {
		switch at := m.lease.renewal(); {
		case m.pingDue:
			return pbx.OpPing, time.Time{}
		case m.relogin:
			return m.proof(), time.Time{}
		case m.state == Rejected:
			return m.proof(), time.Time{}
		case m.state == Live && (at.IsZero() || now.Before(at)): // traffic extended it
			return "", at
		case m.noBeat:
			return m.proof(), time.Time{}
		}
		return pbx.OpKeepAlive, time.Time{}
	}
	if m.state != Rejected && m.refreshable(now) {
		return pbx.OpKeepAlive, time.Time{}
	}
	return m.proof(), time.Time{}
}

// proof is the operation that a login begins with.
func (m *machine) proof() pbx.Op {
	if m.rules.prints {
		return opLook
	}
	return pbx.OpLogin
}

// refreshable reports whether a refresh token outlived the token it came with.
func (m *machine) refreshable(now time.Time) bool {
	t := m.old
	return t != nil && !m.noBeat && m.rules.refreshes && !t.Refresh.IsZero() &&
		(t.RefreshExpiresAt.IsZero() || now.Before(t.RefreshExpiresAt))
}

// ask begins an operation with a question to the gate.
func (m *machine) ask(op pbx.Op, p *plan) {
	m.phase, m.waiting, m.again, m.op, m.next = asking, false, false, op, time.Time{}
	m.ticket++
	p.ask, p.op, p.ticket, p.print, p.relogin, p.failed = true, op, m.ticket, m.print, m.relogin, m.fails > 0
	p.early = op == pbx.OpLogin && m.lease != nil && !m.relogin
	if t := m.used(); t != nil {
		p.issued = t.IssuedAt
	}
	p.unclaimed = (op == pbx.OpLogin || op == pbx.OpKeepAlive) && m.rules.shares && !m.claimed
	// A renewal ahead of the expiry, and a look that may lead to nothing, do not
	// wait for a fleet that starts.
	p.admit = (op == pbx.OpLogin || op == opLook) && m.lease == nil && m.state != Rejected
}

// used is the token of a keep-alive or a ping.
func (m *machine) used() *pbx.Token {
	if m.lease != nil {
		return m.lease.token
	}
	return m.old
}

// heed follows the gate's answer.
func (m *machine) heed(now time.Time, a answer, chance float64, p *plan) {
	op, living := m.op, m.living(now)
	quiet := op == pbx.OpPing || op == opLook && m.stuck()
	if m.relogin {
		m.relogin, quiet = living, living // else the login is the session's own
	}
	if m.rules.shares && (op == pbx.OpLogin || op == pbx.OpKeepAlive) {
		m.heldUp = a.verdict != pass && a.verdict != free
	}
	if m.relogin && a.verdict == waitUntil { // nothing of this session's own depends on it
		m.relogin = false
		m.rest(m.lease.renewal())
		return
	}
	switch a.verdict {
	case pass:
		m.passed(now, living, quiet, p)
		return
	case free:
		m.seen = op == pbx.OpLogin
		m.claim(op, p)
		p.take, m.claimed = true, true
		return
	case waitUntil:
		if a.away {
			m.away = max(m.away, 1)
		}
		m.rest(a.until)
		m.earlier(living)
	default:
		if m.again {
			m.ask(op, p)
			return
		}
		m.claimed, m.seen = false, false
		m.waiting, m.next = true, a.until
		if m.rules.prints && op == pbx.OpLogin { // the credentials may change meanwhile
			look := longLook
			if a.verdict == person {
				look = credentialLook
			}
			m.earlierBy(now.Add(spread(look, chance)))
		}
		m.earlier(living)
	}
	if !quiet {
		m.wait(now, a, living, p)
	}
}

// wait sets the state of a session that waits for the gate.
func (m *machine) wait(now time.Time, a answer, living bool, p *plan) {
	switch {
	case a.state == Rejected:
		m.become(now, Rejected, m.ownWords(a), "the PBX refused these credentials before", p)
	case living && (a.err != nil || m.state == Rejected): // without an error, the refusal is gone
		m.become(now, Renewing, a.err, "the renewal waits", p)
	case living:
	case a.checking && !m.stuck(): // Token waits for the result
		m.become(now, Connecting, m.err, a.why(), p)
	default:
		m.become(now, a.state, m.ownWords(a), a.why(), p)
		m.holder = a.holder
	}
}

// passed follows the gate's permission: the operation begins. quiet: it changes no state.
func (m *machine) passed(now time.Time, living, quiet bool, p *plan) {
	op := m.op
	if !living && (op == pbx.OpPing || op == pbx.OpKeepAlive && !m.refreshable(now)) {
		p.stale = true // the token expired meanwhile
		m.rest(now)
		return
	}
	m.phase = calling
	p.call, p.op, p.ticket, p.print = true, op, m.ticket, m.print
	switch op {
	case pbx.OpPing:
		p.token, m.pingDue = m.lease.token, false
	case pbx.OpKeepAlive:
		if p.token = m.old; living {
			p.token = m.lease.token
		}
	}
	switch {
	case quiet:
	case living:
		m.become(now, Renewing, m.err, "renewal due", p)
	default:
		m.become(now, Connecting, m.err, m.why(op), p)
	}
}

// stuck reports whether the session has no token and waits. A look at the credentials
// leaves it in its state: mostly they are the old ones, and it goes on waiting.
func (m *machine) stuck() bool {
	return m.state == Rejected || m.state == Locked || m.state == Unavailable
}

// ownWords is the error of a session that waits: the PBX's own words, if the
// session has got them, say more than the gate can.
func (m *machine) ownWords(a answer) error {
	switch {
	case a.err == nil && m.holder == LockedByBudget:
		return nil
	case a.err == nil:
		return m.err
	case m.err != nil && m.state == a.state && a.holder != LockedByBudget && a.holder == m.holder:
		return m.err
	case m.err != nil && a.state == Unavailable && !errors.Is(m.err, pbx.ErrLocked) && !errors.Is(m.err, pbx.ErrTokenRejected):
		return m.err
	}
	return a.err
}

// why is the reason of a wait.
func (a answer) why() string {
	switch {
	case a.holder == LockedByPBX:
		return "the PBX has locked this client"
	case a.holder == LockedByBudget:
		return "one more wrong login could lock this client"
	case a.state == Unavailable:
		return "waiting until the PBX responds"
	}
	return "waiting for its turn"
}

// why is the reason of an attempt without a token.
func (m *machine) why(op pbx.Op) string {
	switch {
	case m.state == Rejected:
		return "the credentials have changed"
	case m.state == Live || m.state == Renewing:
		return "the token has expired"
	case op == pbx.OpKeepAlive:
		return "refresh due"
	}
	return "login due"
}

// earlier wakes the session at the expiry of a living token, if a wait is longer.
func (m *machine) earlier(living bool) {
	if living && m.lease.span != 0 {
		m.earlierBy(m.lease.end())
	}
}

func (m *machine) earlierBy(at time.Time) {
	if m.next.IsZero() || at.Before(m.next) {
		m.next = at
	}
}

// finish follows the result of an operation.
func (m *machine) finish(now time.Time, e event, chance float64, p *plan) {
	op := m.op
	switch op {
	case opClaim:
		m.shared(now, e, chance, p)
		return
	case opPeek:
		m.peeked(now, e, chance, p)
		return
	case opLook:
		m.looked(now, e, chance, p)
		return
	case pbx.OpPing:
		m.pinged(now, e, chance, p)
		return
	}
	if e.claim.verdict == gone { // the others have no use for the token
		m.shared(now, e, chance, p)
		return
	}
	err := e.err
	if err == nil && op == pbx.OpKeepAlive && m.deadOld && m.old != nil && e.token.Value.Equal(m.old.Value) {
		err = &pbx.Error{Op: op, Kind: pbx.ErrTokenRejected, Sent: true, Message: "the renewal brought the token that the PBX has refused"}
	}
	if err != nil {
		m.relogin = false
		m.fail(now, op, err, chance, p)
		return
	}
	if m.relogin && m.living(now) && !m.lease.token.Value.Equal(e.token.Value) {
		p.logout = m.lease.token
	}
	m.relogin = false
	m.adopt(now, op, e.token, chance, p)
}

// looked follows a look at the credentials.
func (m *machine) looked(now time.Time, e event, chance float64, p *plan) {
	if e.err == nil && m.memory != nil && m.memory.unseen {
		m.refuse(e.print)
		m.remember(func(r *memory) { r.unseen = false })
	}
	switch {
	case e.err == nil && !m.isRefused(e.print):
		m.print = e.print
		if m.rules.shares && !m.claimed && !m.heldBack() {
			m.seen = true
			m.claim(pbx.OpLogin, p)
			return
		}
		m.ask(pbx.OpLogin, p)
	case m.state == Rejected:
		m.rest(m.nextLook(now, chance))
	case e.err == nil:
		m.become(now, Rejected, m.refusal(), "the credentials were refused before", p)
		m.rest(m.nextLook(now, chance))
	default:
		m.relogin = false
		m.fail(now, opLook, notSent(e.err), chance, p)
	}
}

// refusal is why a rejected session sends nothing.
func (m *machine) refusal() error {
	if m.state == Rejected && m.err != nil {
		return m.err
	}
	return errRefusedBefore
}

var errRefusedBefore error = &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrInvalidCredentials,
	Message: "not sent: the PBX has refused these credentials before; correct them, or retry if they are right by now (Session.Retry)"}

// notSent turns the error of a look into that of a login that was not sent. The PBX
// has not judged the credentials.
func notSent(err error) error {
	if failure, ok := errors.AsType[*pbx.Error](err); ok {
		f := *failure
		f.Sent = false
		switch f.Kind {
		case pbx.ErrInvalidCredentials, pbx.ErrForbidden, pbx.ErrLocked, pbx.ErrTokenRejected:
			f.Kind = pbx.ErrConfig
		}
		return &f
	}
	return &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, Message: "not sent: the credentials are not available", Err: err}
}

func (m *machine) isRefused(print fingerprint) bool {
	return m.memory != nil && slices.Contains(m.memory.refused, print)
}

// remember makes room for trouble. Machines may be copied: a memory is replaced,
// not changed.
func (m *machine) remember(change func(*memory)) {
	var fresh memory
	if m.memory != nil {
		fresh = *m.memory
	}
	change(&fresh)
	m.memory = &fresh
}

// refuse remembers refused credentials. Where there are no fingerprints, it is
// whatever the driver holds.
func (m *machine) refuse(print fingerprint) {
	if m.isRefused(print) {
		return
	}
	m.remember(func(r *memory) {
		kept := r.refused[max(0, len(r.refused)-mostRefused+1):]
		r.refused = append(slices.Clone(kept), print)
	})
}

// nextLook is when a rejected session looks for new credentials; zero: never.
func (m *machine) nextLook(now time.Time, chance float64) time.Time {
	if !m.rules.prints {
		return time.Time{}
	}
	return now.Add(spread(credentialLook, chance))
}

// pinged follows a ping, which decides about a token that a response refused.
func (m *machine) pinged(now time.Time, e event, chance float64, p *plan) {
	switch {
	case errors.Is(e.err, pbx.ErrNotSupported):
		m.noPing = true
		fallthrough
	case errors.Is(e.err, pbx.ErrTokenRejected):
		m.rest(now)
		if m.lease != nil {
			m.give(now, chance, p)
		}
		return
	case errors.Is(e.err, pbx.ErrInvalidCredentials) && m.lease != nil:
		m.reject(now, e.err, chance, p)
		return
	case e.err == nil && m.lease != nil:
		m.lease.good.Store(true)
		m.remember(func(r *memory) { r.pinged = now })
	}
	switch {
	case m.state == Rejected:
		m.rest(m.nextLook(now, chance))
	case m.state == Live && m.lease != nil:
		m.rest(m.lease.renewal())
	default:
		m.rest(now)
	}
}

// fail decides what follows from a failed look, login or keep-alive. How long
// logins have to wait is the gate's to say, which knows what others have met.
func (m *machine) fail(now time.Time, op pbx.Op, err error, chance float64, p *plan) {
	failure, pause := pauseOf(err)
	living := m.living(now)

	switch {
	case op == pbx.OpKeepAlive && errors.Is(err, pbx.ErrNotSupported):
		m.noBeat = true
		m.rest(now)
		return

	case op == pbx.OpKeepAlive && errors.Is(err, pbx.ErrInvalidCredentials):
		// It carried credentials, such as an application's secret. A login would
		// send them again. The token may still be valid.
		m.old = nil
		m.condemned(now, err, chance, p)
		return

	case op == pbx.OpKeepAlive && errors.Is(err, pbx.ErrTokenRejected):
		// The token is dead, or the refresh token is: log in. If the token was reported
		// as refused before, the refusal of its refresh token is not reported as well.
		if t := m.used(); living || t != nil && !m.deadOld && m.refreshable(now) {
			p.dead = &deadToken{t, now, m.print}
		}
		m.lease, m.old, m.dead = nil, nil, m.generation
		m.become(now, Connecting, err, "the token cannot be renewed", p)
		m.rest(now)
		return

	case op == pbx.OpLogin && errors.Is(err, pbx.ErrInvalidCredentials):
		m.failed()
		m.become(now, Rejected, err, "the PBX refused the login", p)
		m.ask(op, p)
		return

	case op == pbx.OpLogin && errors.Is(err, pbx.ErrForbidden) && (failure == nil || failure.Sent && !failure.NotJudged):
		m.failed()
		m.refuse(m.print)
		m.become(now, Rejected, err, "the PBX refused the login", p)
		m.rest(m.nextLook(now, chance))
		return

	case op == pbx.OpLogin && errors.Is(err, pbx.ErrLocked):
		least := backoff(int(m.fails), chance) // however short the lock is
		m.failed()
		m.become(now, blocked(living), err, "the PBX has locked this client", p)
		m.holder = LockedByPBX
		if pause == 0 || pause >= least {
			m.ask(op, p)
			return
		}
		m.rest(now.Add(least))
		m.earlier(living)
		return
	}
	m.later(now, op, err, chance, p)
}

// later plans another attempt, after a failure that is no verdict on the credentials or
// the token.
func (m *machine) later(now time.Time, op pbx.Op, err error, chance float64, p *plan) {
	failure, pause := pauseOf(err)
	living := m.living(now)
	if op == pbx.OpKeepAlive && !living && m.old != nil {
		down := failure != nil && (!failure.Sent || errors.Is(err, pbx.ErrUnavailable) && now.Sub(m.old.ExpiresAt) < refreshPatience)
		if !down { // only a login is left
			m.old = nil
		}
	}
	wait := backoff(int(m.fails), chance)
	outcome := lockout.Classify(err)
	slow := outcome.Kind == lockout.Withdrawn || errors.Is(err, pbx.ErrConfig) || op == pbx.OpLogin && errors.Is(err, pbx.ErrForbidden) ||
		errors.Is(err, pbx.ErrNotSupported) || errors.Is(err, pbx.ErrLocked) || errors.Is(err, pbx.ErrTooManySessions)
	if !living && outcome.Page != (lockout.Page{}) {
		slow = false // it may go by itself, and the gate waits for that
	}
	if op == pbx.OpKeepAlive && !living && m.old == nil {
		wait = firstBackoff // a login follows, which the gate paces
	}
	m.failed()
	if slow && (pause == 0 || !errors.Is(err, pbx.ErrTooManySessions)) { // not fixed in a second
		wait = max(wait, spread(slowBackoff, chance))
	}
	switch {
	case living:
		m.become(now, Renewing, err, "the renewal failed", p)
	case errors.Is(err, pbx.ErrLocked):
		m.become(now, Locked, err, "the PBX has locked this client", p)
		m.holder = LockedByPBX
	default:
		m.become(now, Unavailable, err, "the attempt failed", p)
	}
	if op == pbx.OpLogin && !slow && pause == 0 {
		m.ask(op, p)
		return
	}
	if living { // try again before it is too late
		wait = min(wait, max(m.lease.end().Sub(now)/2, firstBackoff))
	}
	m.rest(now.Add(max(wait, pause)))
	m.earlier(living) // then it takes a login
}

// pauseOf returns the driver's error in err, which may be nil, and for how long the PBX
// asks to be left alone.
func pauseOf(err error) (failure *pbx.Error, pause time.Duration) {
	failure, ok := errors.AsType[*pbx.Error](err)
	if ok {
		pause = min(failure.RetryAfter, longestPause)
	}
	return failure, pause
}

// blocked is the state while the host must be left alone.
func blocked(living bool) State {
	if living {
		return Renewing
	}
	return Locked
}

// store takes the token that another process has brought instead of this one's.
func (m *machine) store(now time.Time, t *pbx.Token, chance float64, p *plan) {
	if m.phase == calling && m.op != opPeek || m.old != nil && m.old.Value.Equal(t.Value) || sound(pbx.OpOpen, t, now) != nil {
		return // what is under way brings another, or this one is dead
	}
	m.withdraw(p)
	if m.living(now) {
		p.logout, m.dead = m.lease.token, m.generation
	}
	m.adopt(now, pbx.OpOpen, t, chance, p)
}

// sound returns what is wrong with a token that a driver returned.
func sound(op pbx.Op, t *pbx.Token, now time.Time) error {
	fault := func(message string) error {
		return &pbx.Error{Op: op, Kind: pbx.ErrProtocol, Sent: true, Message: message}
	}
	switch {
	case t == nil || t.Value.IsZero():
		return fault("the driver reports success and returns no token")
	case !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt):
		return fault("the driver returned a token that has expired already: compare this machine's clock with the PBX's")
	}
	return nil
}

// adopt puts a sound token that op returned into use.
func (m *machine) adopt(now time.Time, op pbx.Op, t *pbx.Token, chance float64, p *plan) {
	another := op == pbx.OpLogin || m.old == nil || !m.old.Value.Equal(t.Value)
	base := now
	if another {
		if m.lease != nil { // its token served until its renewal: the next refusal is the first
			m.outlived(now, p)
			m.early, m.badRefreshes = 0, 0
		}
		if op != pbx.OpOpen { // it may have ended the token before
			m.dead = m.generation
		}
		m.generation++
		m.refreshed = op == pbx.OpKeepAlive
	} else if m.lease != nil {
		m.outlived(now, p)
		base = m.lease.base
	}
	p.adopted = op == pbx.OpOpen
	l := m.leaseOf(t, base, now, chance)
	if at := unixNano(t.IssuedAt); op == pbx.OpLogin || at < m.issued {
		m.issued = at
	}
	if op == pbx.OpLogin {
		m.badRefreshes = 0
		if m.memory != nil {
			m.remember(func(r *memory) { r.refused, r.unseen = nil, false })
		}
	}
	m.old, m.lease, m.rash, m.deadOld, m.heldUp = t, l, false, false, false
	m.fails, m.pingDue = 0, false
	m.become(now, Live, nil, brought(op), p)
	m.rest(l.renewal())
}

// leaseOf is the lease of the newest token, which came at base.
func (m *machine) leaseOf(t *pbx.Token, base, now time.Time, chance float64) *lease {
	l := &lease{token: t, base: base, generation: m.generation}
	var remaining time.Duration
	remaining, l.span = lifetime(t, m.rules.lifetime, now)
	l.until.Store(int64(now.Sub(base) + remaining))
	share := renewalShare + renewalSpread*(chance-0.5)
	if m.rules.many && (m.lease == nil || m.rash) {
		// Sessions that get their tokens together, after a start or an outage,
		// must not go on being renewed together.
		share = renewalShare * (0.1 + 0.9*chance)
	}
	l.lead = min(time.Duration(float64(min(l.span, remaining))*(1-share)), remaining-minRenewal)
	return l
}

// outlived notes how much of its lifetime the lease at hand has left at its
// renewal.
func (m *machine) outlived(now time.Time, p *plan) {
	if m.lease.span != 0 {
		p.renewed, p.left = true, time.Duration(float64(m.lease.end().Sub(now))/float64(m.lease.span)*float64(whole))
	}
}

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// brought is the reason of a new token.
func brought(op pbx.Op) string {
	switch op {
	case pbx.OpLogin:
		return "logged in"
	case pbx.OpKeepAlive:
		return "token renewed"
	}
	return "token of another process"
}

// invalidate follows a response that refused the token.
func (m *machine) invalidate(now time.Time, e event, chance float64, p *plan) {
	if !m.living(now) || m.lease.generation != e.generation {
		if e.lost && e.generation > m.dead { // another process has brought a token meanwhile
			m.dead, p.dead = e.generation, &deadToken{e.token, now, m.print}
		}
		return
	}
	trusts := !e.lost && m.trusts(now)
	if (e.ambiguous || trusts) && m.rules.pings && !m.noPing {
		if (m.phase == resting || m.peeking()) && !m.pingedLately(now) {
			m.pingDue = true
			m.next = now
		}
		return // what is under way will show it
	}
	if e.unclear || trusts {
		return
	}
	m.give(now, chance, p)
}

// suspect gives up a token that was issued no later than before, and its refresh token:
// the PBX has probably lost both, and dead tokens may count as wrong logins.
func (m *machine) suspect(now time.Time, e event, p *plan) {
	if m.rules.one && m.living(now) && !m.lease.base.Before(e.read) {
		return // it came from the store, and a login would end it, if it is good after all
	}
	if m.old != nil && !m.old.IssuedAt.After(e.before) {
		m.old = nil
	}
	if !m.living(now) || m.lease.token.IssuedAt.After(e.before) {
		return
	}
	m.lease, m.old, m.pingDue, m.deadOld, m.relogin = nil, nil, false, true, false
	m.dead = m.generation
	if m.state == Rejected {
		return
	}
	m.become(now, Connecting, nil, "the PBX refuses the tokens of that time", p)
	if m.phase == calling {
		m.next = now
		return
	}
	m.withdraw(p)
	m.rest(now)
}

// makeRoom plans a login with credentials that work, whose success resets the
// PBX's count of wrong logins.
func (m *machine) makeRoom(now time.Time) {
	if m.phase == resting && m.state == Live && m.living(now) && !m.pingDue {
		m.relogin, m.next = true, now
	}
}

// pingLasts is how long a ping speaks for its token.
const pingLasts = time.Second

func (m *machine) pingedLately(now time.Time) bool {
	return m.memory != nil && now.Sub(m.memory.pinged) < pingLasts && !m.memory.pinged.Before(m.lease.base)
}

// trusts reports whether the refusal of a token may be about the request: the PBX has
// accepted the token elsewhere, and it is too young to be replaced once more.
func (m *machine) trusts(now time.Time) bool {
	return m.lease.good.Load() && m.lease.early(now) && m.lease.age(now) < trusted(int(m.early))
}

// give gives the token up and plans another.
func (m *machine) give(now time.Time, chance float64, p *plan) {
	refreshed, early, served := m.refreshed, m.lease.early(now), m.lease.good.Load() && !m.trusts(now)
	m.dead, p.dead = m.generation, &deadToken{m.lease.token, now, m.print}
	m.lease, m.pingDue, m.deadOld, m.relogin = nil, false, true, false
	if m.state == Rejected { // without its old token, it is still not to log in
		return
	}
	m.early = min(m.early+1, math.MaxUint16-1)
	if !early {
		m.early, m.badRefreshes = 0, 0
	} else if refreshed {
		if m.badRefreshes++; m.badRefreshes >= mostBadRefreshes {
			m.old, m.badRefreshes = nil, 0
		}
	}
	p.contest = m.early == suspiciousEarly
	if m.phase == calling { // what is under way must not revive it
		m.become(now, Connecting, nil, "the PBX refused the token", p)
		m.next = now
		return
	}
	m.withdraw(p)
	if m.early <= freeEarly || served {
		m.become(now, Connecting, nil, "the PBX refused the token", p)
		m.rest(now)
		return
	}
	m.become(now, Unavailable, &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrTokenRejected, Sent: true,
		Message: "the PBX keeps refusing tokens that it has just issued: " + contested}, "the PBX refuses every token", p)
	m.rest(now.Add(backoff(int(m.early)-freeEarly-1, chance)))
}

const contested = "another program may log in with this account; give each program an account of its own"

// contested reports whether another program seems to use the account.
func (m *machine) contested(now time.Time) bool {
	return m.early >= suspiciousEarly && (m.lease == nil || m.lease.early(now))
}

// condemn follows a response that refused the credentials behind the token. A
// login that is under way decides instead.
func (m *machine) condemn(now time.Time, e event, chance float64, p *plan) {
	if !m.living(now) || m.lease.generation != e.generation || m.phase == calling {
		return
	}
	m.withdraw(p)
	m.reject(now, e.err, chance, p)
}

func (m *machine) reject(now time.Time, err error, chance float64, p *plan) {
	m.lease, m.old, m.pingDue, m.relogin = nil, nil, false, false
	m.condemned(now, err, chance, p)
}

// condemned notes that the PBX refused the credentials outside of a login.
func (m *machine) condemned(now time.Time, err error, chance float64, p *plan) {
	m.failed()
	if m.print != (fingerprint{}) || !m.rules.prints {
		m.refuse(m.print)
	} else {
		m.remember(func(r *memory) { r.unseen = true })
	}
	m.become(now, Rejected, err, "the PBX refused the credentials", p)
	m.rest(m.nextLook(now, chance))
}

// retriable returns why a person's retry would do nothing, as far as the machine
// knows. The gate is asked as well.
func (m *machine) retriable(now time.Time) error {
	look := (m.op == opLook || m.op == opClaim) && m.state == Rejected || m.peeking()
	switch {
	case m.phase >= ending:
		return ErrClosed
	case m.state == Live:
		return errors.New("not retried: the session has a token that works")
	case m.phase == calling && !look, m.state == Connecting && !m.waiting, m.state == Renewing && m.phase == asking && !m.waiting:
		return errors.New("not retried: an attempt is under way or due")
	case m.memory != nil && now.Sub(m.memory.retried) < retryPause:
		return errors.New("not retried: the last retry was " + now.Sub(m.memory.retried).Round(time.Second).String() + " ago, and one in " + retryPause.String() + " works")
	}
	return nil
}

// retry begins an attempt for a person, or says why not.
func (m *machine) retry(now time.Time, p *plan) error {
	if why := m.retriable(now); why != nil {
		return why
	}
	m.fails, m.relogin, m.heldUp = 0, false, false
	m.remember(func(r *memory) { *r = memory{retried: now} })
	state := Connecting
	if m.living(now) {
		state = Renewing
	}
	m.become(now, state, nil, "retry requested", p)
	if m.phase == calling { // a look decides what it leads to
		m.next = now
		return nil
	}
	m.withdraw(p)
	m.rest(now)
	return nil
}

// jump plans an early renewal after this machine was suspended: the monotonic
// clock stood still, and the token may be dead. Until then it is handed out.
func (m *machine) jump(now time.Time, chance float64) {
	if m.phase != resting || m.state != Live || !m.living(now) {
		return
	}
	at := now.Add(time.Duration(chance * float64(min(jumpSpread, m.lease.end().Sub(now)))))
	if m.lease.renewBy(at) {
		m.rash, m.next = true, at
	}
}

// replace begins anew with another driver.
func (m *machine) replace(now time.Time, r rules, p *plan) {
	m.withdraw(p)
	p.cancel = m.phase == calling
	if m.living(now) {
		p.logout = m.lease.token
	}
	fresh := machine{rules: r, ticket: m.ticket + 1, generation: m.generation, dead: m.generation, state: m.state, since: m.since, err: m.err,
		noBeat: r.noBeat}
	*m = fresh
	m.become(now, Connecting, nil, "the driver was replaced", p)
	m.rest(now)
}

// close begins the end. What is under way is waited for, so that its token is
// logged out too.
func (m *machine) close(now time.Time, p *plan) {
	if m.phase >= ending {
		p.refusal = ErrClosed
		return
	}
	m.withdraw(p)
	m.old, m.pingDue, m.relogin = nil, false, false
	if m.living(now) {
		m.old = m.lease.token
	}
	m.lease, m.next = nil, time.Time{}
	m.become(now, Closed, nil, "closed", p)
	if m.phase == calling {
		p.cancel = m.op == opLook || m.op == pbx.OpPing || m.op == opClaim || m.op == opPeek // they bring no token
		m.phase = ending
		return
	}
	m.phase, m.op = ended, ""
	m.ticket++
}

// finishLast takes the result of what was under way when the session was closed.
func (m *machine) finishLast(e event) {
	switch {
	case m.op != pbx.OpLogin && m.op != pbx.OpKeepAlive:
	case e.err == nil:
		m.old = e.token
	case m.op == pbx.OpKeepAlive && errors.Is(e.err, pbx.ErrTokenRejected):
		m.old = nil
	}
	m.phase, m.op = ended, ""
	m.ticket++
}

// drain hands out the token to be logged out, once.
func (m *machine) drain(p *plan) {
	if m.phase == ending { // it was not waited for
		m.phase, m.op = ended, ""
		m.ticket++
	}
	p.logout, m.old = m.old, nil
}

// soon reports whether an attempt is under way or due, so that it is worth
// waiting for.
func (m *machine) soon(now time.Time) bool {
	switch {
	case m.phase >= ending, m.state == Rejected:
		return false
	case m.phase == calling, m.state == Connecting, m.state == Live: // live and yet no token: it has just expired
		return true
	case m.phase == asking:
		return !m.waiting || m.state == Renewing
	}
	return !m.next.IsZero() && !now.Before(m.next)
}

// judged reports whether an attempt has had an outcome, or something holds
// attempts back.
func (m *machine) judged() bool {
	return m.state != Connecting || m.err != nil || m.generation > 0 || m.memory != nil
}

// pinging reports whether a ping is due or under way.
func (m *machine) pinging() bool {
	return m.pingDue || m.op == pbx.OpPing && (m.phase == asking || m.phase == calling)
}

// planned is when the PBX gets a request next; zero: not by itself, or now.
func (m *machine) planned() time.Time {
	switch {
	case m.state == Rejected: // what is planned is a look at the credentials
		return time.Time{}
	case m.phase == calling && !m.peeking():
		return time.Time{}
	}
	return m.next
}

// wakes is when to wake the session; zero: something is under way that ends by
// itself, or nothing is planned.
func (m *machine) wakes() time.Time {
	if m.phase == calling {
		return time.Time{}
	}
	return m.next
}
