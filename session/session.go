// Package session keeps one login per PBX alive and hands its token to whoever
// asks.
//
//	auth, err := pbx.Open("yeastar", cfg)
//	s := session.New(auth, nil)
//	defer s.Close(ctx)
//	resp, err := s.Client().Post(url, "application/json", body)
//
// # What it promises
//
//   - A refused password is not sent again. The session is then [Rejected], and
//     logs in only after [Session.Retry] or with other credentials (see
//     [pbx.Fingerprinter]); every caller gets the reason at once.
//   - All sessions of a process share a budget of wrong logins per PBX host, two
//     below the vendor's limit, so that no lockout is reached. [Guard] says what
//     it cannot promise.
//   - One login at a time, whoever asks. It belongs to the session: a caller
//     who gives up leaves, and does not cancel it for the others.
//   - A caller waits for a login under way, as long as its own context allows,
//     and for nothing else: between attempts it gets the last error at once.
//   - The token is renewed ahead of its end. While it lives, a failed renewal is
//     not the callers' problem.
//   - A token that the PBX refused is replaced once, however many holders report
//     it, and reports about older ones do nothing.
//
// # Logging
//
// [Options].Logger is a zerolog.Logger. It gets one line per change of state, at
// info or, where something went wrong, at warn, with the fields session, pbx,
// from, state and error; the first failure of a renewal is such a change, though
// the state remains. The routine of renewals is at debug. Nothing is logged
// per call. For log/slog, see the example of Options.
//
// # Use
//
// A [Session] is a handle: keep it, and ask it for the token each time one is
// needed. [Session.Token] costs two atomic loads and a look at the clock.
// [New] makes a session of its own, a [Manager] many that share their upkeep.
package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/rs/zerolog"
)

// ErrClosed is returned by a session that was closed.
var ErrClosed = errors.New("session: closed")

// State is where a session stands.
type State int

const (
	// Connecting: a login is under way or about to start; callers wait for it.
	Connecting State = iota
	// Live: there is a token, and the next renewal is planned. Whether the PBX
	// answers right now is not looked at.
	Live
	// Renewing: there is a token, and its renewal is under way or being
	// repeated.
	Renewing
	// Rejected: the PBX refused the credentials or the caller. There is no login
	// until Retry, or until there are other credentials. An old token may still
	// be alive.
	Rejected
	// Locked: the PBX has locked this machine out, or the budget of wrong logins
	// is spent and nothing was sent, as its error then says. There is no login
	// before the next attempt.
	Locked
	// Unavailable: the last attempt failed, for a reason that [Status].Err
	// gives and that may take a person to mend; the next one is scheduled.
	Unavailable
	// Closed: the session has ended.
	Closed
)

var stateNames = [...]string{"connecting", "live", "renewing", "rejected", "locked", "unavailable", "closed"}

// String returns the state's name in lower case.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return "unknown"
	}
	return stateNames[s]
}

// Status is a session at one moment.
type Status struct {
	State State
	Since time.Time
	// ExpiresAt is the end of the token at hand if nothing prolongs it, traffic
	// included. Zero: no token, or no known end.
	ExpiresAt time.Time
	// Next is when the session will call the PBX by itself. Zero: not at all.
	Next time.Time
	// Err is why the last attempt failed; nil after one that did not.
	Err error
	// Details is what came with the token: see [pbx.Token].
	Details json.RawMessage
}

// Error is what callers get while a session has no token for them.
type Error struct {
	Session string // its name in the Manager; empty outside
	State   State
	Since   time.Time
	Next    time.Time // the next attempt; zero: none by itself
	Err     error     // the driver's error, the context's, or ErrClosed
}

// Error tells the state, how long it will last, and why.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("session")
	if e.Session != "" {
		b.WriteString(" " + e.Session)
	}
	fmt.Fprintf(&b, ": %s since %s", e.State, e.Since.Format(time.RFC3339))
	switch {
	case e.State == Rejected:
		b.WriteString(", no login until Retry is called or the credentials change")
	case e.Next.After(e.Since):
		b.WriteString(", next attempt at " + e.Next.Format(time.RFC3339))
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause, so that errors.Is finds the driver's kind.
func (e *Error) Unwrap() error { return e.Err }

// Session is one account on one PBX, kept logged in. It is safe for concurrent
// use. Its first login starts when it is made.
type Session struct {
	name   string
	auth   pbx.Authenticator
	traits pbx.Traits
	host   string // of traits.URL
	m      *Manager

	current atomic.Pointer[life] // what Token hands out; nil: nothing
	stray   atomic.Int32         // calls that the driver has not returned from

	mu         sync.Mutex // guards what follows
	state      State
	since      time.Time
	err        error              // of the last attempt
	fails      int                // failed attempts in a row
	old        *pbx.Token         // the latest token, also when it is dead: a refresh may revive it
	issued     time.Time          // when the latest login's token was, by the driver
	loggedIn   time.Time          // when it came
	sent       []byte             // fingerprint of what the latest login sent
	refused    *pbx.Token         // reported by Reject during an attempt
	early      int                // tokens in a row that were refused when still fresh
	attempt    *attempt           // under way; nil: none
	cancelLook context.CancelFunc // of the latest look for new credentials
	changed    chan struct{}      // closed when callers should look again; nil: nobody waits
	slot       time.Time          // when the Manager admits the first login; zero: not asked
	done       chan struct{}      // closed at the end; nil: nobody asked
	noBeat     bool               // the brand has no keep-alive
	inLine     bool               // waits for the Guard to run it
	closing    bool
	ended      bool

	queued bool // stands in the Guard's line; guarded by the Guard's mutex

	place // in the Manager's queue; guarded by the Manager's mutex
}

// life is a token with its end as the session sees it. Times are counted from
// base by the monotonic clock, so that one atomic number can move.
type life struct {
	token *pbx.Token
	base  time.Time
	span  time.Duration // a full life; 0: no known end
	lead  time.Duration // how long before its end the token is renewed
	until atomic.Int64  // nanoseconds after base
	good  atomic.Bool   // the PBX took a call with it
	rash  bool          // it is renewed out of turn, together with others
}

func (l *life) alive() bool { return time.Since(l.base) < time.Duration(l.until.Load()) }

func (l *life) end() time.Time { return l.base.Add(time.Duration(l.until.Load())) }

// renewal is when the token should be renewed; zero: never.
func (l *life) renewal() time.Time {
	if l.span == 0 {
		return time.Time{}
	}
	return l.base.Add(max(time.Duration(l.until.Load())-l.lead, minRenewal))
}

// slide moves the end after traffic that the PBX accepted.
func (l *life) slide(sent time.Time) {
	until := int64(sent.Sub(l.base) + l.span)
	for old := l.until.Load(); until > old && !l.until.CompareAndSwap(old, until); old = l.until.Load() {
	}
}

const (
	// The mean renewal comes after 0.65 of a life, spread by a tenth of it:
	// three heartbeats an hour at 30 minutes, and time left for repeats.
	renewalShare  = 0.65
	renewalSpread = 0.1
	minRenewal    = time.Second // whatever the life: no storms

	firstBackoff = time.Second
	slowBackoff  = time.Minute
	maxBackoff   = 5 * time.Minute

	longestPause = 24 * time.Hour // whatever the driver says that the PBX asks for

	// A refresh token that the PBX has not served so long after the end of its
	// token is given up for a login. Until then the PBX may just be down.
	refreshPatience = time.Hour

	credentialLook = time.Minute // between two looks for new credentials

	// A token refused before this age is early. A few in a row are replaced at
	// once, for PBXs do restart; then two clients may be ending each other's
	// tokens, and the pace is cut down.
	earlyAge  = time.Minute
	freeEarly = 3
)

// New makes a session with an upkeep of its own and starts its login. Close it
// when it is no longer needed.
func New(auth pbx.Authenticator, opts *Options) *Session {
	m := NewManager(opts)
	m.alone = m.newSession("", auth)
	m.alone.start(nil)
	return m.alone
}

func (m *Manager) newSession(name string, auth pbx.Authenticator) *Session {
	s := &Session{name: name, auth: auth, m: m, since: time.Now()}
	s.place.index = -1
	if d, ok := pbx.As[pbx.Describer](auth); ok {
		_, s.err = s.guarded(context.Background(), pbx.OpOpen, func(context.Context) (*pbx.Token, error) {
			s.traits = d.Traits()
			return nil, nil
		})
		s.host = hostOf(s.traits.URL)
	}
	s.noBeat = s.traits.KeepAlive == pbx.KeepAliveNone
	return s
}

// start begins with a token that there is already, or with a login.
func (s *Session) start(t *pbx.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m.tally.states[Connecting].Add(1)
	if s.closing { // somebody found it by its name, and was quicker
		return
	}
	s.m.tell(s)
	if s.old = t; t != nil && sound(pbx.OpOpen, t) == nil {
		s.adopt(pbx.OpOpen, t)
		return
	}
	s.m.schedule(s, time.Now())
}

// Token returns the token to use now. It waits for a login under way, as long
// as ctx allows; where there is none it returns at once. Errors are *[Error].
// Do not keep the token: ask again for the next request.
func (s *Session) Token(ctx context.Context) (*pbx.Token, error) {
	if l := s.current.Load(); l != nil && l.alive() {
		return l.token, nil
	}
	return s.wait(ctx)
}

func (s *Session) wait(ctx context.Context) (*pbx.Token, error) {
	for {
		s.mu.Lock()
		if l := s.current.Load(); l != nil && l.alive() {
			s.mu.Unlock()
			return l.token, nil
		}
		if !s.soon() {
			defer s.mu.Unlock()
			return nil, s.failure(s.err)
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			return nil, s.failure(ctx.Err())
		}
	}
}

// soon reports whether an attempt is under way or due, so that it is worth
// waiting for.
func (s *Session) soon() bool {
	if s.closing || s.state == Rejected {
		return false
	}
	if s.attempt != nil || s.inLine || s.state == Connecting || s.state == Live { // live and yet no token: it has just ended
		return true
	}
	next := s.m.dueAt(s)
	return !next.IsZero() && time.Until(next) <= 0
}

// failure is what a caller gets for want of a token. s.mu is held.
func (s *Session) failure(cause error) error {
	if s.closing {
		return &Error{Session: s.name, State: Closed, Since: s.since, Err: ErrClosed}
	}
	return &Error{Session: s.name, State: s.state, Since: s.since, Next: s.next(), Err: cause}
}

// next is when the PBX is called again; zero: not by itself. s.mu is held.
func (s *Session) next() time.Time {
	if s.state == Rejected { // what is planned is a look at the settings
		return time.Time{}
	}
	return s.m.dueAt(s)
}

// Reject reports that the PBX refused t. The session then gets another; it does
// nothing if t is not the token at hand. Transport does this by itself.
func (s *Session) Reject(t *pbx.Token) {
	if t == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.current.Load()
	if l == nil || s.closing || !l.token.Value.Equal(t.Value) || !t.IssuedAt.IsZero() && t.IssuedAt.Before(s.issued) {
		return
	}
	if time.Since(s.loggedIn) <= earlyAge && s.early >= freeEarly && l.good.Load() {
		return // the PBX takes it elsewhere: it is the call, not the token
	}
	s.current.Store(nil)
	if s.attempt != nil {
		s.refused = l.token // what is under way must not revive it
	}
	if s.state == Rejected { // without its old token, it is still not to log in
		return
	}
	if s.early++; time.Since(s.loggedIn) > earlyAge {
		s.early = 0
	}
	if s.early <= freeEarly {
		s.become(Connecting, nil)
		s.m.schedule(s, time.Now())
		return
	}
	s.rest(Unavailable, &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrTokenRejected, Sent: true,
		Message: "the PBX keeps refusing tokens that it has just issued: does another client log in with the same account?"},
		time.Now().Add(backoff(s.early-freeEarly-1)))
}

// refuse latches the session: the PBX said of a call that not just the token but
// the credentials behind it are not good.
func (s *Session) refuse(t *pbx.Token, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.current.Load(); l == nil || s.closing || s.attempt != nil || !l.token.Value.Equal(t.Value) {
		return
	}
	s.current.Store(nil)
	s.old = nil
	s.setFails(s.fails + 1)
	s.rest(Rejected, err, s.nextLook())
}

// rest puts off what was planned, or ends it; whoever stands behind in the
// Guard's line goes first. s.mu is held.
func (s *Session) rest(state State, err error, next time.Time) {
	s.become(state, err)
	s.m.schedule(s, next)
	s.m.guard.withdraw(s)
}

// Retry makes a session that is rejected or unavailable try again now, after a
// person has mended the cause. The lockout budget still holds.
func (s *Session) Retry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.attempt != nil || s.state != Rejected && s.state != Unavailable {
		return
	}
	if l := s.current.Load(); l != nil && l.alive() {
		s.become(Renewing, nil)
	} else {
		s.become(Connecting, nil)
	}
	s.setFails(0)
	s.m.schedule(s, time.Now())
}

// setFails notes how many attempts in a row have failed, before the next one is
// planned. s.mu is held.
func (s *Session) setFails(n int) {
	s.fails = n
	s.m.mark(s, n > 0)
}

// Status tells where the session stands.
func (s *Session) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := Status{State: s.state, Since: s.since, Next: s.next(), Err: s.err}
	if l := s.current.Load(); l != nil {
		status.Details = l.token.Details
		if l.span != 0 {
			status.ExpiresAt = l.end()
		}
	}
	return status
}

// String tells the session's name, PBX and state.
func (s *Session) String() string {
	return strings.Join(slices.DeleteFunc([]string{"session", s.name, s.traits.URL, s.Status().State.String()},
		func(part string) bool { return part == "" }), " ")
}

// Format writes [Session.String] whatever the verb: fmt would read the fields
// while they change.
func (s *Session) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// become changes the state and wakes those who wait. s.mu is held.
func (s *Session) become(state State, err error) {
	if s.state != state {
		s.since = time.Now()
	}
	if trouble := err != nil && s.err == nil; s.state != state || trouble {
		s.m.moved(s, s.state, state)
		level := zerolog.InfoLevel
		switch {
		case trouble || state == Rejected || state == Locked || state == Unavailable:
			level = zerolog.WarnLevel
		case state == Renewing || (state == Live && s.err == nil && s.state == Renewing):
			level = zerolog.DebugLevel // the routine of every token
		}
		line := s.m.opts.Logger.WithLevel(level)
		if s.name != "" {
			line = line.Str("session", s.name)
		}
		if s.traits.URL != "" {
			line = line.Str("pbx", s.traits.URL)
		}
		line.Stringer("from", s.state).Stringer("state", state).AnErr("error", err).Msg("session state")
	}
	s.state, s.err = state, err
	s.wake()
}

func (s *Session) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// backoff doubles from a second to five minutes, spread so that sessions that
// failed together do not come back together.
func backoff(fails int) time.Duration {
	wait := maxBackoff
	if fails < 9 {
		wait = firstBackoff << fails
	}
	return spread(wait)
}

// spread varies a wait by a tenth either way.
func spread(wait time.Duration) time.Duration {
	return time.Duration(float64(wait) * (0.9 + 0.2*rand.Float64()))
}

// Name is the session's name in its Manager; empty for one made by New.
func (s *Session) Name() string { return s.name }

// URL is where requests to this PBX begin, as the driver tells it: scheme, host,
// port and base path, which the settings may have left out in part, and no slash
// at the end. Empty if the driver does not tell.
func (s *Session) URL() string { return s.traits.URL }

// Close stops the upkeep and logs out, within ctx and the call timeout, and
// returns what the logout returned. A login under way is waited for, so that
// its token does not outlive the session.
func (s *Session) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.m.opts.timeout())
	defer cancel()
	t, first := s.end(ctx)
	if !first {
		select {
		case <-s.Done():
			return nil
		case <-ctx.Done():
			s.hurry()
			return ctx.Err()
		}
	}
	var err error
	if t != nil && ctx.Err() != nil {
		err = &pbx.Error{Op: pbx.OpLogout, Kind: pbx.ErrUnavailable, Err: ctx.Err(), Message: "not sent: there was no time left"}
	} else if t != nil {
		_, err = s.call(ctx, pbx.OpLogout, func(ctx context.Context) (*pbx.Token, error) { return nil, s.auth.Logout(ctx, t) })
		s.m.count(pbx.OpLogout, err)
	}
	s.finish()
	return err
}

// Detach stops the upkeep and leaves the token alive at the PBX, for another
// process to go on with: see [Manager.Resume]. It returns that token; nil if
// there is none. A login under way is waited for, as long as ctx allows.
func (s *Session) Detach(ctx context.Context) *pbx.Token {
	t, first := s.end(ctx)
	if first {
		s.finish()
	}
	return t
}

// Done is closed when the session has ended, by Close or Detach.
func (s *Session) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
		if s.ended {
			close(s.done)
		}
	}
	return s.done
}

// end stops the upkeep and returns the living token, and whether this was the
// first call.
func (s *Session) end(ctx context.Context) (t *pbx.Token, first bool) {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return nil, false
	}
	s.closing = true
	if s.cancelLook != nil {
		s.cancelLook()
	}
	s.m.unschedule(s)
	s.wake()
	a := s.attempt
	s.mu.Unlock()
	if a != nil {
		select {
		case <-a.settled:
		case <-ctx.Done():
			a.cancel()
			<-a.settled // soon: neither driver nor hook is waited for any longer
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.current.Load()
	s.current.Store(nil)
	s.become(Closed, nil)
	s.m.unschedule(s)
	s.m.guard.withdraw(s)
	if l == nil || !l.alive() {
		return nil, true
	}
	return l.token, true
}

// hurry cuts short what the first Close or Detach waits for.
func (s *Session) hurry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attempt != nil {
		s.attempt.cancel()
	}
}

func (s *Session) finish() {
	s.m.forget(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.done != nil {
		close(s.done)
	}
}

// adopt puts a sound token that op returned into use. s.mu is held.
func (s *Session) adopt(op pbx.Op, t *pbx.Token) {
	now := time.Now()
	l := &life{token: t, base: now}
	remaining := time.Duration(unlimited)
	switch {
	case !t.ExpiresAt.IsZero():
		remaining = min(t.ExpiresAt.Sub(now), unlimited)
		l.span = remaining
		if !t.IssuedAt.IsZero() {
			l.span = min(max(t.ExpiresAt.Sub(t.IssuedAt), remaining), unlimited)
		}
	case s.traits.Lifetime > 0:
		remaining = min(s.traits.Lifetime, unlimited)
		l.span = remaining
	}
	l.until.Store(int64(remaining))
	share := renewalShare + renewalSpread*(rand.Float64()-0.5)
	if before := s.current.Load(); s.m.alone == nil && (before == nil || before.rash) {
		// Sessions that come to their tokens together, after a start or an
		// outage, must not be renewed together for ever.
		share = renewalShare * (0.1 + 0.9*rand.Float64())
	}
	l.lead = time.Duration(float64(min(l.span, remaining)) * (1 - share))
	if op == pbx.OpLogin || t.IssuedAt.Before(s.issued) {
		s.issued = t.IssuedAt
	}
	if op == pbx.OpLogin || s.old == nil || !s.old.Value.Equal(t.Value) {
		s.loggedIn = now
	}
	s.old = t
	s.setFails(0)
	s.current.Store(l)
	s.become(Live, nil)
	s.m.schedule(s, l.renewal())
}

// unlimited is a life without a known end: long, and far from overflow.
const unlimited = math.MaxInt64 / 4
