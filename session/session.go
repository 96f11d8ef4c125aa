// Package session keeps one login per PBX alive and hands out its token.
//
//	auth, err := pbx.Open("yeastar", cfg)
//	s := session.New(auth, nil)
//	defer s.Close(ctx)
//	resp, err := s.Client().Post(url, "application/json", body)
//
// # Use
//
// A program with one PBX calls [New]. One with many makes a [Manager]: its
// sessions have names and share their upkeep.
//
//	m := session.NewManager(&session.Options{Logger: logger})
//	s, err := m.Add("customer-7", auth)       // the login starts
//	err = m.Ready(ctx)                        // each has a token, or a reason why not
//	resp, err := s.Do(request)                // with the token of the moment
//	err = m.Replace(ctx, "customer-7", other) // after a change of settings
//	err = m.Close(ctx)                        // logs out
//
// A [Session] is a handle: keep it, and ask it for the token each time one is
// needed. [Session.Token] costs two atomic loads and a look at the clock.
//
// # What it promises
//
//   - A refused password is not sent again. The session is then [Rejected], and
//     logs in only after [Session.Retry] or with other credentials (see
//     [pbx.Fingerprinter]). Token returns the reason at once.
//   - All sessions of a process share a budget of wrong logins per PBX host, so
//     that no lockout is reached: see [Guard]. Package lockout says what no client
//     can promise.
//   - While the PBX does not respond, it is checked without the password, and one
//     login follows when it responds.
//   - With [Options].Store, any number of processes behave towards a PBX like one,
//     and a restart needs no login.
//   - There is one login at a time, however many goroutines ask. It belongs to
//     the session: if the one that waits for it gives up, the others still get
//     the token.
//   - Token waits for a login that is under way or about to start, and for the check
//     of the PBX that the login waits for, as long as its context allows, and for
//     nothing else. Between attempts it returns the last error at once.
//   - The token is renewed before it expires. While it is valid, a failed renewal
//     is not the application's problem.
//   - A token that the PBX refused is replaced once, however many goroutines
//     report it. Reports about older tokens do nothing.
//
// # Logging
//
// [Options].Logger is a zerolog.Logger. It gets one line per change of state, at
// info or, if something went wrong, at warn, with the fields session, pbx, from,
// state, reason and error. The first failure of a renewal is such a change,
// though the state remains. The routine of renewals is at debug. Nothing is
// logged per request. A writer that blocks delays log lines and nothing else.
// For log/slog, see [pbx.SlogLogger].
//
// # Operation
//
// [Manager.Stats] counts sessions, operations and failures by driver, at a cost
// that does not depend on the size of the fleet: package prommetrics exports it to
// Prometheus. [Options].OnOp gets every operation of a driver. [Handler]
// serves a page of the sessions in trouble, and [Manager.Ready] says when a fleet
// has started.
package session

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/internal/tokencell"
	"github.com/pbxauth/pbx/session/lockout"
	"github.com/rs/zerolog"
)

// Session is one account on one PBX, kept logged in. It is safe for concurrent
// use. Its first login starts when it is made.
type Session struct {
	fleet   *fleet
	link    atomic.Pointer[link]  // changes with Manager.Replace
	current atomic.Pointer[lease] // what Token hands out; nil: nothing
	job     job                   // of the scheduler

	mu      sync.Mutex // guards what follows
	machine machine
	attempt *attempt      // under way; nil: none
	held    *attempt      // its login waits at the gate; nil: none
	changed chan struct{} // closed when those who wait should look again; nil: nobody waits
	done    chan struct{} // closed at the end; nil: nobody asked
}

// fleet is what the sessions of a Manager share.
type fleet struct {
	settings
	gate     gate
	families families // of the drivers
	many     bool
	changed  func(*Session) // notes it for watchers, and does not block
	ended    func(context.Context, *Session)

	background sync.WaitGroup // logouts that nobody waits for
}

// newSession makes a session that has not begun.
func newSession(name string, auth pbx.Authenticator, f *fleet) *Session {
	s := &Session{fleet: f}
	s.job = newJob(s)
	l, err := s.connect(name, auth)
	s.link.Store(l)
	r := l.rules(f.many)
	s.machine = machine{rules: r, since: time.Now(), err: err, noBeat: r.noBeat}
	f.gate.guard.join(l) // others at the host may report to it from now on
	return s
}

// connect makes a link to auth with its Traits. The error says that Traits
// panicked.
func (s *Session) connect(name string, auth pbx.Authenticator) (*link, error) {
	l := &link{visitor: visitor{job: &s.job, driver: driver{name: name, auth: auth}}}
	l.family = s.fleet.families.ofNobody() // the traits say which it is
	if _, prints := pbx.As[pbx.Fingerprinter](auth); !prints {
		crand.Read(l.own[:])
	}
	err := l.describe()
	l.family = s.fleet.families.of(l.traits.brand().Driver)
	if s.fleet.store != nil {
		l.cell = newTokenCell(&l.visitor)
	}
	return l, err
}

// begin starts with a login, or with the token in the store.
func (s *Session) begin() {
	s.mu.Lock()
	if s.machine.phase < ending { // else its end was noted
		s.fleet.changed(s)
	}
	s.mu.Unlock()
	s.deliver(event{kind: begun}, nil)
}

// deliver reports what has happened to the machine and publishes what follows. The
// rest of the plan is to be carried out without a lock. a is the attempt that
// the event comes from.
func (s *Session) deliver(e event, a *attempt) plan {
	_, _, p := s.deliverTo(e, a)
	return p
}

// deliverTo is deliver, and returns the driver that the plan is for, and the attempt:
// a new one, if an operation begins without a.
func (s *Session) deliverTo(e event, a *attempt) (*link, *attempt, plan) {
	s.mu.Lock()
	l := s.link.Load()
	p := s.step(e)
	if p.call {
		if a == nil {
			a = newAttempt()
		}
		s.attempt = a
	}
	switch {
	case a != nil && s.machine.waiting && s.machine.op == pbx.OpLogin:
		s.held = a
	case s.machine.phase != asking:
		s.held = nil
	}
	s.mu.Unlock()
	s.announce(l, p)
	return l, a, p
}

// takeBack returns the attempt that is held, to go on with it.
func (s *Session) takeBack() *attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		return nil
	}
	a := s.held.again()
	s.held = nil
	return a
}

// step is the part of deliver under s.mu: nothing in it blocks.
func (s *Session) step(e event) plan {
	m := &s.machine
	now := time.Now()
	p := m.step(now, e, rand.Float64())
	if s.current.Load() != m.lease {
		s.current.Store(m.lease)
	}
	s.fleet.schedule.set(&s.job, m.wakes(), m.fails+m.away > 0)
	if p.change.happened {
		s.link.Load().family.moved(p.change.from, p.change.to)
		s.fleet.changed(s)
	}
	if p.renewed {
		s.link.Load().family.left.observe(leftBounds[:], p.left)
	}
	if p.adopted {
		s.link.Load().family.adopted.Add(1)
	}
	if p.dead != nil {
		s.fleet.background.Add(1) // for suspectOthers, while a Close of the Manager still has this session to wait for
	}
	if p.cancel && s.attempt != nil {
		s.attempt.cancel()
	}
	if s.changed != nil && (e.kind == finished || p.change.happened || m.living(now) || !m.soon(now)) {
		close(s.changed)
		s.changed = nil
	}
	return p
}

// announce carries out the parts of a plan that are not the driver's. l is the driver
// that the plan is for: another one may have replaced it.
func (s *Session) announce(l *link, p plan) {
	if p.withdraw {
		l.host.withdraw(&l.visitor, p.ticket)
	}
	if p.dead != nil {
		l.family.refused.Add(1)
		s.suspectOthers(l, *p.dead)
	}
	if p.contest {
		s.log(zerolog.WarnLevel, "another program may log in with this account", func(e *zerolog.Event) {
			e.Str("reason", "the PBX refuses tokens soon after it has issued them")
		})
	}
	if p.change.happened && s.fleet.journal.enabled(p.change.level) {
		s.note(p.change)
	}
}

// note logs a change of state.
func (s *Session) note(c change) {
	s.log(c.level, "session state", func(e *zerolog.Event) {
		e.Stringer("from", c.from).Stringer("state", c.to).Str("reason", c.reason).AnErr("error", c.err)
	})
}

func (s *Session) log(level zerolog.Level, message string, fields func(*zerolog.Event)) {
	if !s.fleet.journal.enabled(level) {
		return
	}
	name, url := s.Name(), s.URL()
	s.fleet.journal.write(level, message, func(e *zerolog.Event) {
		if name != "" {
			e.Str("session", name)
		}
		if url != "" {
			e.Str("pbx", url)
		}
		fields(e)
	})
}

// run is the session's job: it does what is due, until nothing is.
func (s *Session) run() {
	l := s.link.Load()
	changed := l.cell != nil && l.cell.noticed.Swap(false)
	if changed {
		l.host.putBack(l.last)
	}
	if l.host.wasForgiven(&l.visitor) {
		s.deliver(event{kind: forgiven}, nil)
	}
	l, a, p := s.deliverTo(event{kind: woken}, nil) // the driver may have been replaced
	if changed && !p.ask && !p.call {
		l, a, p = s.deliverTo(event{kind: noticed}, nil)
	}
	if p.ask && p.op == pbx.OpLogin {
		a = s.takeBack()
	}
	sent := false
	claims := false
	if l.cell != nil {
		defer func() { s.tidy(l, claims) }()
	}
	for p.ask || p.call {
		if a == nil {
			a = newAttempt()
		}
		if p.ask {
			p = s.ask(l, a, p)
		} else {
			claims = claims || p.op == opClaim
			sent = sent || p.op != opLook && p.op != opClaim && p.op != opPeek
			p = s.call(l, a, p)
		}
	}
	if !sent {
		l.host.move() // it did not use its turn: another may
		if l.cell != nil {
			s.publish(l)
		}
	}
	if a == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attempt == a {
		s.attempt = nil
	}
	if a.settled != nil {
		close(a.settled)
	}
}

// tidy leaves the store as the others need it: without a claim, and with the token.
func (s *Session) tidy(l *link, claims bool) {
	ctx := l.last
	if claims {
		l.cell.release(ctx)
	}
	if !l.cell.owing() {
		return
	}
	other, owes := l.cell.owes(ctx)
	if other != nil {
		if p := s.deliver(event{kind: stored, token: other}, nil); p.logout != nil {
			s.logout(l, p.logout)
		}
	}
	if owes {
		s.fleet.schedule.pokeAt(&s.job, time.Now().Add(storePause))
	}
}

// publish writes what the store lacks about a token that works: its extended
// expiry, or the whole token, if the store has forgotten it.
func (s *Session) publish(l *link) {
	s.mu.Lock()
	var token *pbx.Token
	var ends time.Time
	if m := &s.machine; m.state == Live && m.living(time.Now()) {
		if token = m.lease.token; m.lease.span != 0 {
			ends = m.lease.end()
		}
	}
	s.mu.Unlock()
	if token != nil {
		l.cell.publish(l.last, token.Value, ends)
	}
}

// ask asks the gate. A turn that the session no longer wants goes back.
func (s *Session) ask(l *link, a *attempt, p plan) plan {
	g := &s.fleet.gate
	var said answer
	if err := l.hangs(p.op); err != nil {
		said = answer{verdict: waitUntil, until: time.Now().Add(slowBackoff), state: Unavailable, err: err}
	} else {
		said = g.ask(l, p.question)
	}
	if said.crowded {
		said = s.makeRoom(l, p.print, said)
	}
	a.booking = said.booking
	next := s.deliver(event{kind: answered, ticket: p.ticket, answer: said}, a)
	switch {
	case said.verdict == pass && next.stale:
		g.refund(l, p.op, said.booking)
	case next.stale:
		l.host.withdraw(&l.visitor, p.ticket)
	}
	return next
}

// contextOf returns the context of one operation of an attempt.
func (s *Session) contextOf(a *attempt, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(a.known, limit)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.stop = cancel; a.stopped {
		cancel()
	}
	return ctx, cancel
}

// call has the driver do something, and reports what came of it.
func (s *Session) call(l *link, a *attempt, p plan) plan {
	ctx, cancel := s.contextOf(a, l.limit(p.op))
	defer cancel()
	if p.op == opClaim || p.op == opPeek {
		found, err := s.claim(ctx, l, p)
		next := s.deliver(event{kind: finished, ticket: p.ticket, claim: found, err: err}, a)
		if next.ended {
			s.finishLater()
		}
		return next
	}
	r := s.perform(ctx, l, p)
	s.fleet.gate.settle(l, p.op, a.booking, p.token, r.err, r.sent)
	var found claimResult
	another := r.err == nil && r.token != nil && (p.token == nil || !p.token.Value.Equal(r.token.Value))
	if r.err == nil && r.token != nil && l.cell != nil {
		r.token, found.verdict = s.commit(l, p.op, r.token, another)
	}
	next := s.deliver(event{kind: finished, ticket: p.ticket, token: r.token, print: r.print, err: r.err, claim: found}, a)
	if next.stale {
		s.fleet.gate.guard.tidy(l.host) // the session may have left it meanwhile
	}
	switch {
	case next.ended:
		s.finishLater()
	case next.stale && another && l.cell == nil: // the driver was replaced or the session closed meanwhile; a shared token is the others' too
		s.logout(l, r.token)
	case next.logout != nil: // the login was to make room for others
		s.logout(l, next.logout)
	}
	return next
}

// commit writes the token that an operation brought into the store, and returns the one to
// use. gone: another process has removed the session, and there is none. another: it is
// not the token that the operation began with.
func (s *Session) commit(l *link, op pbx.Op, t *pbx.Token, another bool) (*pbx.Token, claimVerdict) {
	other, removed := l.cell.commit(l.last, t)
	switch {
	case removed:
		if another { // else it was logged out
			s.logout(l, t)
		}
		return nil, gone
	case other != nil: // another process was quicker
		l.family.adopted.Add(1)
		if op == pbx.OpLogin { // else others may use it still
			s.logout(l, t)
		}
		return other, claimed
	}
	return t, claimed
}

// perform has the driver do something that is not about the store.
func (s *Session) perform(ctx context.Context, l *link, p plan) result {
	var key []byte
	if p.op == opLook {
		var err error
		if key, err = s.fleet.gate.guard.common.printKey(ctx); err != nil {
			return result{sent: time.Now(), err: err}
		}
	}
	return l.perform(ctx, p.op, p.token, key)
}

// finishLater is finish, for a session that another process has removed.
func (s *Session) finishLater() {
	s.fleet.background.Go(func() {
		ctx, cancel := context.WithTimeout(s.fleet.last, s.fleet.timeout)
		defer cancel()
		s.finish(ctx)
	})
}

// claim looks into the store, and claims the token there. While the store is away,
// a heartbeat needs no claim, and a refresh none if this process wrote the token.
func (s *Session) claim(ctx context.Context, l *link, p plan) (claimResult, error) {
	found, err := l.cell.claim(ctx, tokencell.Need{Refused: p.refused}, p.want, l.limit(p.want), p.take)
	// A login would end the one token of an account, if it is good after all.
	if err == nil && found.verdict == adopted && !l.hasOneToken() && l.host.isSuspect(&l.visitor, found.token) {
		found, err = l.cell.claim(ctx, tokencell.Need{Refused: true}, p.want, l.limit(p.want), p.take)
	}
	if err == nil { // also where no login is due: it may have to be sealed with another key
		_, _ = s.fleet.gate.guard.common.printKey(ctx)
	}
	_, unreadable := errors.AsType[*tokencell.UnreadableError](err)
	if err == nil || p.want != pbx.OpKeepAlive || unreadable {
		return found, err
	}
	if l.traits.brand().KeepAlive == pbx.KeepAliveRefresh && !l.cell.wrote(l.last) {
		return found, err
	}
	return claimResult{verdict: unshared}, nil
}

// notice has the session look at the store soon, unless the change is its own.
func (s *Session) notice(key string) {
	c := s.link.Load().cell
	if c.key() != key || c.echoes() {
		return
	}
	s.look(noticePause)
}

// look has the session look at the store, after that time at the latest.
func (s *Session) look(after time.Duration) {
	s.link.Load().cell.noticed.Store(true)
	s.fleet.schedule.pokeAt(&s.job, time.Now().Add(after))
}

const noticePause = 20 * time.Millisecond // several notices within it lead to one look

// sessionOf is the session that a visitor belongs to.
func sessionOf(v *visitor) *Session { return v.job.runner.(*Session) }

// suspectOthers follows the refusal of a living token: the PBX may have dropped the tokens
// of other sessions too, which then give them up. Nothing waits for the store. The caller
// has added one to fleet.background.
func (s *Session) suspectOthers(l *link, died deadToken) {
	l.host.tell(l.host.refused(&l.visitor, died))
	book := func() {
		defer s.fleet.background.Done()
		l.host.bookDead(&l.visitor, died)
		l.host.share(l.last, l.host.tell)
	}
	if l.host.stored() {
		go book()
	} else {
		book()
	}
}

// tell tells sessions that their tokens are suspect.
func (h *host) tell(all []lost) {
	for _, k := range all {
		for _, v := range k.visitors {
			sessionOf(v).deliver(event{kind: suspected, before: k.until, read: k.read}, nil)
		}
		h.allTold()
	}
}

// reloginLasts is after what time a login that waits for a place asks again, if
// another session may make one.
const reloginLasts = 20 * time.Second

// makeRoom has another session log in anew, whose success makes room for a login
// with these credentials. It returns the answer with the time to ask again.
func (s *Session) makeRoom(l *link, print fingerprint, a answer) answer {
	_, worth := l.host.relogin(&l.visitor, print, nil)
	if !worth { // else it is too early, for any of them
		var holders []lockout.Holder
		var who []*Session
		for _, v := range l.host.visitors() {
			other := sessionOf(v)
			if print, idle, ok := other.holds(v); ok {
				holders = append(holders, lockout.Holder{Login: l.host.login(v, print, time.Time{}), Idle: idle, Single: v.traits.brand().MaxTokens == 1})
				who = append(who, other)
			}
		}
		var i int
		if i, worth = l.host.relogin(&l.visitor, print, holders); i >= 0 {
			who[i].deliver(event{kind: relogin}, nil)
		}
	}
	if again := time.Now().Add(reloginLasts); worth && (a.until.IsZero() || again.Before(a.until)) {
		a.until = again
	}
	return a
}

// holds reports whether the session could log in anew to make room for others, with
// which credentials, and whether its token was unused lately.
func (s *Session) holds(v *visitor) (print fingerprint, idle, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &s.machine
	if &s.link.Load().visitor != v || m.phase != resting || m.state != Live || !m.living(time.Now()) {
		return fingerprint{}, false, false
	}
	return m.print, !m.lease.good.Load(), m.print != (fingerprint{}) || !m.rules.prints
}

// logout logs a token out that nobody needs, in the background.
func (s *Session) logout(l *link, t *pbx.Token) {
	s.fleet.background.Go(func() {
		if !l.host.isSuspect(&l.visitor, t) {
			_ = s.logoutIfAlive(s.fleet.last, l, t)
		}
	})
}

// Token returns the token to use now. It waits, as long as ctx allows, for a login that
// is under way or about to start, also if the PBX is checked first. If there is none, it
// returns at once. Errors are *[Error]. Do not keep the token: ask again for the next
// request.
func (s *Session) Token(ctx context.Context) (*pbx.Token, error) {
	if l := s.current.Load(); l != nil && time.Since(l.base) < time.Duration(l.until.Load()) {
		return l.token, nil
	}
	l, err := s.wait(ctx)
	if err != nil {
		return nil, err
	}
	return l.token, nil
}

// lease is Token with what the session knows about it.
func (s *Session) lease(ctx context.Context) (*lease, error) {
	if l := s.current.Load(); l != nil && time.Since(l.base) < time.Duration(l.until.Load()) {
		return l, nil
	}
	return s.wait(ctx)
}

func (s *Session) wait(ctx context.Context) (*lease, error) {
	for counted := false; ; {
		s.mu.Lock()
		now := time.Now()
		if s.machine.living(now) {
			l := s.machine.lease
			s.mu.Unlock()
			return l, nil
		}
		if !s.machine.soon(now) {
			defer s.mu.Unlock()
			return nil, s.failure(s.machine.err)
		}
		changed := s.listen()
		s.mu.Unlock()
		if !counted {
			counted = true
			s.link.Load().family.waits.Add(1)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			return nil, s.failure(ctx.Err())
		}
	}
}

// listen returns a channel that is closed at the next change. s.mu is held.
func (s *Session) listen() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// failure is the error of somebody who got no token. s.mu is held.
func (s *Session) failure(cause error) error {
	m := &s.machine
	if m.state == Closed {
		return &Error{Session: s.Name(), State: Closed, Since: m.since, Err: ErrClosed}
	}
	return &Error{Session: s.Name(), State: m.state, Since: m.since, Next: m.planned(), Err: cause}
}

// Invalidate reports that the PBX refused t. The session then gets another token.
// It does nothing if t is not the token at hand or has expired. Transport does
// this by itself.
func (s *Session) Invalidate(t *pbx.Token) {
	l := s.current.Load()
	if t == nil || l == nil || l.token != t && !l.token.Value.Equal(t.Value) {
		return
	}
	if l.token != t && s.reissued(t) {
		return
	}
	s.deliver(event{kind: invalidated, generation: l.generation}, nil)
}

// reissued reports whether t is from before the latest login, whose token has the
// same value.
func (s *Session) reissued(t *pbx.Token) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !t.IssuedAt.IsZero() && t.IssuedAt.UnixNano() < s.machine.issued
}

// Retry makes a session that is rejected or unavailable try again now, after a
// person has fixed the cause. It also works for one that is locked because credentials
// that had worked were refused: see LooksWrong of [pbx.Lockout]. It ends the refusal of
// the credentials and skips pauses. The budget of wrong logins still holds. If the
// session waits until the PBX responds to a check without the password (see
// [Status].Check), Retry has it checked now, at most once in 10 seconds for each URL, and
// the login follows if it responds. Retry returns an *[Error] that says why it did
// nothing: there is nothing to retry, another login is in flight, logins are locked, or
// the last Retry was less than 10 seconds ago. With [Options].Store it waits for the
// store, as long as ctx allows.
func (s *Session) Retry(ctx context.Context) error {
	s.mu.Lock()
	refusal, print := s.machine.retriable(time.Now()), s.machine.print
	s.mu.Unlock()
	ctx, stop := s.fleet.during(ctx)
	defer stop()
	waits := false
	if l := s.link.Load(); refusal == nil && (print != (fingerprint{}) || l.own != (fingerprint{})) {
		waits, refusal = s.fleet.gate.retry(ctx, l, print)
	}
	if refusal == nil && !waits {
		refusal = s.deliver(event{kind: retry}, nil).refusal
	}
	if refusal == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure(refusal)
}

// Status returns where the session stands.
func (s *Session) Status() Status {
	l := s.link.Load()
	check, cell := l.host.checking(&l.visitor), l.cell
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &s.machine
	status := Status{State: m.state, Since: m.since, Next: m.planned(), Check: check, LockedBy: m.holder, Err: m.err}
	if m.contested(time.Now()) {
		status.Warning = contested
	}
	if l := m.lease; l != nil {
		status.Details = l.token.Details
		if l.span != 0 {
			status.ExpiresAt = l.end()
		}
		if cell != nil {
			status.Process = cell.broughtBy()
		}
	}
	return status
}

// String returns the session's name, PBX and state.
func (s *Session) String() string {
	return strings.Join(slices.DeleteFunc([]string{"session", s.Name(), s.URL(), s.Status().State.String()},
		func(part string) bool { return part == "" }), " ")
}

// Format writes [Session.String] whatever the verb: fmt would read the fields
// while they change.
func (s *Session) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// Name is the session's name in its Manager; empty for one made by New.
func (s *Session) Name() string { return s.link.Load().name }

// URL is where requests to this PBX begin, as the driver states it: scheme, host,
// port and base path, without a slash at the end. Empty if the driver does not
// say.
func (s *Session) URL() string { return s.link.Load().traits.URL }

// Close stops the upkeep and logs out, within ctx and [Options].Timeout, and
// returns what the logout returned. A login under way is waited for, so that
// its token is logged out too. If there is no time for that, an error says so. With
// [Options].Store, Close leaves the token to the other processes and to the next
// start: [Manager.Remove] logs out.
func (s *Session) Close(ctx context.Context) error { return s.shut(ctx, false) }

func (s *Session) shut(ctx context.Context, remove bool) error {
	ctx, cancel := context.WithTimeout(ctx, s.fleet.timeout)
	defer cancel()
	if !s.end() {
		select {
		case <-s.Done():
			return nil
		case <-ctx.Done():
			s.hurry()
			return ctx.Err()
		}
	}
	t, err := s.drain(ctx)
	err = cmp.Or(err, s.leave(ctx, t, remove))
	s.fleet.background.Done()
	s.finish(ctx)
	return err
}

// leave logs the session's token out, and removes the session from the store.
func (s *Session) leave(ctx context.Context, t *pbx.Token, remove bool) (err error) {
	ctx, stop := s.fleet.during(ctx)
	defer stop()
	l := s.link.Load()
	switch {
	case l.cell != nil && !remove: // it is the others' too
	case t == nil, l.host.isSuspect(&l.visitor, t): // nothing to log out
	default:
		err = s.logoutIfAlive(ctx, l, t)
	}
	if l.cell != nil && remove {
		if kept := l.cell.remove(ctx); kept != nil {
			err = errors.Join(err, fmt.Errorf("session: %q may go on in other processes and after a restart, because it is not removed from the store: %w", s.Name(), kept))
		}
	}
	return err
}

// logoutIfAlive logs a token out that the PBX may still have.
func (s *Session) logoutIfAlive(ctx context.Context, l *link, t *pbx.Token) error {
	alive := ctx.Err() == nil && s.alive(ctx, l, t)
	switch {
	case ctx.Err() != nil:
		return &pbx.Error{Op: pbx.OpLogout, Kind: pbx.ErrUnavailable, Err: ctx.Err(), Message: "not sent: there was no time left"}
	case !alive:
		return nil
	}
	return l.logout(ctx, t)
}

// alive reports whether a token may be sent in a logout. The response to a logout does
// not say whether the token was dead. Where dead tokens count as wrong logins, or nobody
// says whether they do, one token is pinged first. If it is dead, others may be too: see
// host.refused. A logout that sends nothing needs no ping. The verdict is noted even if
// ctx ends before it comes. Otherwise the next Close would send another dead token.
func (s *Session) alive(ctx context.Context, l *link, t *pbx.Token) bool {
	brand := l.traits.brand()
	counts := brand.Lockout.DeadTokens
	if counts == pbx.DeadTokensIgnored || brand.Lockout.None && counts == pbx.DeadTokensUnknown || brand.Logout == pbx.LogoutNone {
		return true
	}
	pinger, ok := pbx.As[pbx.Pinger](l.auth)
	if !ok {
		return counts == pbx.DeadTokensCount || !l.host.mayBeLost(&l.visitor, t)
	}
	done, sure, err := l.host.oneLogout(ctx, &l.visitor, t)
	if err != nil {
		return false
	}
	if l.host.isSuspect(&l.visitor, t) {
		done()
		return false
	}
	if sure {
		return true
	}
	alive := make(chan bool, 1)
	s.fleet.background.Go(func() {
		defer done()
		r := l.bounded(s.fleet.last, pbx.OpPing, func(ctx context.Context) result { return result{err: pinger.Ping(ctx, t)} })
		dead := errors.Is(r.err, pbx.ErrTokenRejected)
		switch {
		case dead:
			s.fleet.background.Add(1)
			s.suspectOthers(l, deadToken{token: t, read: time.Now()})
		case r.err == nil:
			l.host.alive(&l.visitor, t.IssuedAt, r.sent)
		}
		alive <- !dead
	})
	select {
	case is := <-alive:
		return is
	case <-ctx.Done():
		return false
	}
}

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
	}
	return s.done
}

// end stops the upkeep, and reports whether this was the first to do so. Then it has
// added one to fleet.background, for what leave does.
func (s *Session) end() (first bool) {
	s.mu.Lock()
	if s.machine.phase >= ending {
		s.mu.Unlock()
		return false
	}
	s.fleet.background.Add(1) // while a Close of the Manager still has this session to wait for
	s.mu.Unlock()
	if s.deliver(event{kind: closing}, nil).refusal != nil {
		s.fleet.background.Done()
		return false
	}
	return true
}

// drain waits for what is under way, and returns the living token. The error says that
// there was no time to wait for a login.
func (s *Session) drain(ctx context.Context) (t *pbx.Token, err error) {
	s.mu.Lock()
	var settled <-chan struct{}
	if s.attempt != nil && s.machine.phase == ending { // else it brings no token any more
		settled = s.attempt.wait()
	}
	login := s.machine.op == pbx.OpLogin && s.link.Load().cell == nil // else it is the others' too
	s.mu.Unlock()
	if settled != nil {
		select {
		case <-settled:
		case <-ctx.Done():
			s.hurry() // what it brings is dealt with in the background: see call
			if login {
				err = &pbx.Error{Op: pbx.OpLogout, Kind: pbx.ErrUnavailable, Err: ctx.Err(),
					Message: "there was no time to wait for the login under way: its token may stay valid until it expires"}
			}
		}
	}
	return s.deliver(event{kind: drained}, nil).logout, err
}

// hurry cuts short what the first Close waits for.
func (s *Session) hurry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attempt != nil {
		s.attempt.cancel()
	}
}

// finish forgets the session and wakes up what waits for its end.
func (s *Session) finish(ctx context.Context) {
	s.fleet.gate.guard.leave(s.link.Load())
	s.fleet.ended(ctx, s)
	s.fleet.flush(ctx.Done())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
	}
	close(s.done)
}

// jumped plans an early renewal: see machine.
func (s *Session) jumped() { s.deliver(event{kind: jumped}, nil) }

// replace changes the driver, and logs the old one's token out in the background.
func (s *Session) replace(auth pbx.Authenticator) error {
	fresh, _ := s.connect(s.Name(), auth)
	s.fleet.gate.guard.join(fresh)
	s.mu.Lock()
	if s.machine.phase >= ending {
		s.mu.Unlock()
		s.fleet.gate.guard.leave(fresh)
		return ErrClosed
	}
	s.fleet.background.Add(1) // while a Close of the Manager still has this session to wait for
	defer s.fleet.background.Done()
	s.current.Store(nil) // first, so that nobody sees the old token with the new driver
	old := s.link.Swap(fresh)
	old.family.gone(s.machine.state)
	fresh.family.joined(s.machine.state)
	p := s.step(event{kind: replaced, rules: fresh.rules(s.fleet.many)})
	s.mu.Unlock()
	if p.withdraw {
		old.host.withdraw(&old.visitor, p.ticket)
		p.withdraw = false
	}
	s.announce(fresh, p)
	if p.logout != nil && old.cell == nil { // else it is the others' too
		s.logout(old, p.logout)
	}
	s.fleet.gate.guard.leave(old)
	return nil
}
