package session

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/lockout"
)

// host is one host of a Guard: its ledger, the sessions there, and those that wait.
//
// Most hosts of a fleet are in no trouble most of the time. Of these only the
// credentials that work are kept, and the rest is made anew when it is needed.
type host struct {
	guard *Guard
	name  string        // empty: the unknown host of one session
	alert atomic.Uint32 // trouble: requests with tokens have to ask and report, see look

	forgotten atomic.Bool // the store may have lost the ledger

	mu      sync.Mutex // guards what follows
	calls   int32      // requests of drivers under way
	members []*visitor
	proof   lockout.Proof // while there are no books
	*books                // nil: there is no trouble
}

// books are what is known of a host. host.mu guards them.
type books struct {
	cell   *cell // nil: the ledger is in memory only
	ledger lockout.Host
	local  lockout.Local
	offset time.Duration // from the Guard's clock to the store's
	line   line
	passes time.Time                // of the ledger, as look has noted it
	trial  map[string]chan struct{} // by URL: a token is on trial; closed at its end
	checks map[string]*check        // by URL
}

// lock locks the host and opens its books.
func (h *host) lock() {
	h.mu.Lock()
	if h.books == nil {
		h.books = &books{ledger: h.proof.Host()}
		if g := h.guard; g.cells != nil && h.name != "" {
			h.cell = g.cells.of(h.name, g.process)
			h.cell.replica.Keep(&h.ledger) // the store may have forgotten it meanwhile
		}
	}
}

// unlock closes the books if they hold nothing, and unlocks the host.
func (h *host) unlock() {
	if h.calls == 0 && h.line.waiting == 0 && len(h.trial)+len(h.checks) == 0 && h.alert.Load() == 0 && h.local.Quiet(h.now()) && !h.cell.busy() {
		if proof, ok := h.ledger.Proof(h.now()); ok {
			h.proof, h.books = proof, nil
		}
	}
	h.mu.Unlock()
}

// now is the time of the ledger.
func (h *host) now() time.Time { return h.guard.now().Add(h.offset) }

// here is a time of the ledger by this process's clock.
func (h *host) here(t, now time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.Now().Add(t.Sub(now))
}

// login is the visitor's login with credentials of that fingerprint.
func (v *visitor) login(print fingerprint, waiting time.Time) lockout.Login {
	return lockout.Login{
		URL: v.traits.URL, Account: v.traits.Account, Fingerprint: v.printOr(print),
		Limits: lockout.Resolve(v.traits.brand().Lockout, v.host.guard.Limit), Timeout: v.limit(pbx.OpLogin), Waiting: waiting,
		NoProbe: !v.probes(),
	}
}

// probes reports whether the PBX can be checked without a login.
func (v *visitor) probes() bool {
	_, reaches := pbx.As[pbx.Requester](v.auth)
	return reaches && v.host.name != ""
}

// printOr is the fingerprint of a login: the driver's own where it cannot say.
func (v *visitor) printOr(print fingerprint) fingerprint {
	if print == (fingerprint{}) {
		return v.own
	}
	return print
}

func (h *host) join(v *visitor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v.member = int32(len(h.members))
	h.members = append(h.members, v)
	if h.books != nil {
		h.look()
	}
}

func (h *host) leave(v *visitor) {
	h.lock()
	defer h.unlock()
	h.line.drop(v)
	if i := int(v.member); i < len(h.members) && h.members[i] == v {
		last := len(h.members) - 1
		h.members[i] = h.members[last]
		h.members[i].member = v.member
		h.members[last] = nil
		h.members = h.members[:last]
		h.look()
	}
	for url, c := range h.checks {
		if c.by == v {
			c.by = nil // the next visitor that waits goes on
			delete(h.checks, url)
		}
	}
}

// forgettable reports whether no session is at the host and nothing about it has to be
// remembered.
func (h *host) forgettable() bool {
	h.lock()
	defer h.unlock()
	return len(h.members) == 0 && h.guard.cells == nil && h.ledger.Idle(h.now())
}

// ask asks for a request of the driver: see gate.
func (h *host) ask(v *visitor, q question) answer {
	if q.op != pbx.OpLogin {
		return h.askWithToken(v, q)
	}
	h.lock()
	now := h.now()
	g := v.login(q.print, h.line.since(v, now))
	if h.calls >= v.gate().perHost {
		a := h.wait(v, q, g, lockout.Decision{Verdict: lockout.WaitEvent, Reason: lockout.OneByOne, Until: now.Add(turnLasts)}, now)
		h.unlock()
		return a
	}
	if !q.relogin && !h.line.isCalled(v) {
		if better := h.better(now, g); better != nil {
			a := h.wait(v, q, g, lockout.Decision{Verdict: lockout.WaitEvent, Reason: lockout.OneByOne, Until: now.Add(turnLasts)}, now)
			h.line.call(better)
			h.unlock()
			better.v.poke()
			return a
		}
	}
	h.calls++ // until it is clear that it does not go
	h.unlock()

	d, err := h.book(v, g, q)

	h.lock()
	now = h.now()
	if err == nil && d.Verdict == lockout.Go {
		said := free
		if q.unclaimed {
			h.calls--
		} else {
			v.flight, said = &flight{g, d.Booking}, pass
		}
		h.line.drop(v)
		h.look()
		next := h.advance(now)
		h.unlock()
		next.poke()
		return answer{verdict: said}
	}
	h.calls--
	if err != nil {
		h.line.drop(v)
		h.unlock()
		return answer{verdict: waitUntil, until: time.Now().Add(storePause), state: Unavailable, err: err, away: true}
	}
	if q.relogin && d.Reason != lockout.NoEvidence {
		h.line.drop(v)
		h.unlock()
		return answer{verdict: waitUntil, until: time.Now(), state: Connecting}
	}
	a := h.wait(v, q, g, d, now)
	h.unlock()
	if q.relogin { // it is the others that wait for it
		return answer{verdict: waitEvent, until: time.Now().Add(turnLasts), state: Connecting}
	}
	if d.Reason == lockout.NoPlace && g.Limits.Reset == pbx.ResetAddress && h.relogin(v, g) {
		if again := time.Now().Add(reloginLasts); a.until.IsZero() || again.Before(a.until) {
			a.until = again
		}
	}
	return a
}

// reloginLasts is after what time a login that waits for a place asks again, if
// another session may make one.
const reloginLasts = 20 * time.Second

// turnLasts bounds how long a visitor waits for one that goes before it.
const turnLasts = 15 * time.Second

// wait puts the visitor into the queue. h.mu is held.
func (h *host) wait(v *visitor, q question, g lockout.Login, d lockout.Decision, now time.Time) answer {
	h.line.add(v, q.ticket, g, d, h.ledger.Rank(now, g))
	if d.Reason == lockout.NoEvidence {
		h.check(v, now)
	}
	return h.answer(g, d, now)
}

// book books a login, in the store too. One that is not claimed is only decided.
func (h *host) book(v *visitor, g lockout.Login, q question) (d lockout.Decision, err error) {
	id := h.guard.id()
	err = h.change(func(now time.Time, ledger *lockout.Host) bool {
		switch {
		case q.unclaimed:
			d = ledger.Ask(now, &h.local, g)
			return false
		case q.relogin:
			d = ledger.BookRelogin(now, &h.local, g, id)
		default:
			d = ledger.Book(now, &h.local, g, id)
		}
		return d.Verdict == lockout.Go
	})
	if err == nil && d.Reason == lockout.NoPlace {
		h.lock()
		d.Used = h.ledger.Ask(h.now(), &h.local, g).Used
		h.unlock()
	}
	return d, err
}

// askWithToken asks for a keep-alive or a ping.
func (h *host) askWithToken(v *visitor, q question) answer {
	h.mu.Lock()
	if h.books == nil && h.calls < v.gate().perHost && !q.failed { // nothing is wrong
		h.calls++
		h.mu.Unlock()
		return answer{}
	}
	h.mu.Unlock()
	h.lock()
	defer h.unlock()
	now := h.now()
	if until := h.coveredUntil(v, now); !until.IsZero() {
		h.line.drop(v)
		return answer{verdict: waitUntil, until: h.here(until, now), state: Locked, holder: LockedByPBX, err: lockedByPBX(pbx.OpKeepAlive, until.Sub(now))}
	}
	if q.failed && v.probes() && !h.local.Responds(v.traits.URL, now) {
		h.line.addBeat(v, q.ticket, true)
		h.check(v, now)
		return answer{verdict: waitEvent, state: Unavailable}
	}
	if h.calls >= v.gate().perHost || h.trial[v.traits.URL] != nil && h.local.OneTokenAtATime(v.traits.URL) {
		h.line.addBeat(v, q.ticket, false)
		return answer{verdict: waitEvent, state: Connecting}
	}
	h.line.drop(v)
	h.calls++
	if h.local.OneTokenAtATime(v.traits.URL) {
		h.try(v.traits.URL)
		v.trying = true
	}
	return answer{}
}

// coveredUntil is the end of a lock that stops the visitor's token; zero: there
// is none. h.mu is held.
func (h *host) coveredUntil(v *visitor, now time.Time) time.Time {
	if !v.traits.brand().Lockout.CoversRequests {
		return time.Time{}
	}
	if until := h.ledger.LockedUntil(now, v.traits.URL, v.traits.Account); until.After(now) {
		return until
	}
	return time.Time{}
}

// settle reports how a request of a driver ended that was sent at that time.
func (h *host) settle(v *visitor, op pbx.Op, err error, sent time.Time) {
	h.mu.Lock()
	if h.books == nil && err == nil && op != pbx.OpLogin {
		h.calls--
		h.mu.Unlock()
		return
	}
	h.mu.Unlock()
	var dropped int
	switch {
	case op == pbx.OpLogin:
		f := v.flight
		v.flight = nil
		dropped = h.settled(f.login, f.booking, lockout.Classify(err))
	case lockout.Classify(err).Kind == lockout.Locked:
		h.settled(v.login(fingerprint{}, time.Time{}), lockout.Booking{URL: v.traits.URL, Account: v.traits.Account}, lockout.Classify(err))
	}
	h.lock()
	now := h.now()
	h.calls--
	if op != pbx.OpLogin {
		if err == nil && h.alert.Load() != 0 {
			h.local.TokenAccepted(v.traits.URL, now.Add(-time.Since(sent)), now)
		}
		if v.trying {
			v.trying = false
			h.tried(v.traits.URL)
		}
	}
	h.look()
	next := h.advance(now)
	h.unlock()
	next.poke()
	if dropped > 0 {
		v.gate().forgot(h.name, dropped)
	}
}

// settled settles a booking and calls the visitors that the outcome concerns.
func (h *host) settled(g lockout.Login, b lockout.Booking, o lockout.Outcome) (dropped int) {
	h.apply(func(now time.Time, ledger *lockout.Host) {
		dropped = ledger.Settle(now, &h.local, g, b, o)
	})
	h.lock()
	next := h.line.callParked(func(w *waiter) bool {
		return w.reason == lockout.SameCredentials && w.login.Fingerprint == g.Fingerprint ||
			o.Kind == lockout.Success && g.Limits.LooksWrong && (w.reason == lockout.MayBeLocked || w.reason == lockout.PasswordRefused)
	})
	h.unlock()
	next.poke()
	return dropped
}

// refund reports that a request was let through and not sent.
func (h *host) refund(v *visitor, op pbx.Op) {
	h.settle(v, op, errWithdrawn, time.Now())
	h.guard.tidy(h) // its session may have ended meanwhile
}

// errWithdrawn is the outcome of what was not sent after all.
var errWithdrawn error = &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrNotSupported, Message: "not sent: the session no longer needs it"}

// withdraw takes the visitor out of the queue.
func (h *host) withdraw(v *visitor, ticket uint32) {
	h.lock()
	if w := v.waiter; w != nil && w.ticket <= ticket {
		h.line.drop(v)
	}
	h.unlock()
	h.move()
}

// move calls the visitors that may go: one left the queue, or did not use its turn.
func (h *host) move() {
	h.mu.Lock()
	quiet := h.books == nil
	h.mu.Unlock()
	if quiet {
		return
	}
	h.lock()
	next := h.advance(h.now())
	h.unlock()
	next.poke()
}

// retry asks for a person's retry, and returns why it would do nothing.
func (h *host) retry(v *visitor, print fingerprint) (d lockout.Decision, err error) {
	g := v.login(print, time.Time{})
	err = h.change(func(now time.Time, ledger *lockout.Host) bool {
		d = ledger.Retry(now, &h.local, g)
		return d.Reason == lockout.None
	})
	return d, err
}

// explain is the error of a decision, for the one whose login it is.
func (h *host) explain(v *visitor, print fingerprint, d lockout.Decision) error {
	h.lock()
	defer h.unlock()
	return h.answer(v.login(print, time.Time{}), d, h.now()).err
}

func (h *host) forgive(ctx context.Context) (forgotten lockout.Forgotten, err error) {
	err = h.changeWithin(ctx, func(now time.Time, ledger *lockout.Host) bool {
		forgotten = ledger.Forgive(now)
		return true
	})
	if err != nil {
		return lockout.Forgotten{}, err
	}
	h.lock()
	h.look()
	next := h.line.callAll()
	h.unlock()
	next.poke()
	return forgotten, nil
}

// refused reports that the PBX refused a living token. Where that makes others
// suspect, their sessions give them up.
func (h *host) refused(v *visitor, print fingerprint) {
	g := v.login(print, time.Time{})
	id := h.guard.id()
	h.apply(func(now time.Time, ledger *lockout.Host) { ledger.TokenRefused(now, &h.local, g, id) })
	h.lock()
	h.look()
	now := h.now()
	var others []*visitor
	if h.ledger.Suspect(g.URL, now) {
		for _, m := range h.members {
			if m.traits.URL == g.URL {
				others = append(others, m)
			}
		}
	}
	h.unlock()
	before := h.here(now, now)
	for _, m := range others {
		m.owner.deliver(event{kind: suspected, before: before}, nil)
	}
}

// isSuspect reports whether a token is not to be sent any more.
func (h *host) isSuspect(v *visitor, t *pbx.Token) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.books == nil {
		return false
	}
	issued := t.IssuedAt
	if !issued.IsZero() {
		issued = h.now().Add(-time.Since(issued))
	}
	return h.ledger.Suspect(v.traits.URL, issued)
}

// use waits until the visitor's token may be used in a request, and returns what
// to report afterwards. It costs nothing while nothing is wrong at the host.
func (h *host) use(ctx context.Context, v *visitor) (done func(), err error) {
	if h.alert.Load() == 0 {
		return func() {}, nil
	}
	for {
		h.lock()
		now := h.now()
		if until := h.coveredUntil(v, now); !until.IsZero() {
			h.unlock()
			return nil, lockedByPBX(pbx.OpRequest, until.Sub(now))
		}
		if !h.local.OneTokenAtATime(v.traits.URL) {
			h.unlock()
			return func() {}, nil
		}
		busy := h.trial[v.traits.URL]
		if busy == nil {
			h.try(v.traits.URL)
			h.unlock()
			return func() {
				h.lock()
				h.tried(v.traits.URL)
				next := h.advance(h.now())
				h.unlock()
				next.poke()
			}, nil
		}
		h.unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// try and tried begin and end the trial of a token. h.mu is held.
func (h *host) try(url string) {
	if h.trial == nil {
		h.trial = map[string]chan struct{}{}
	}
	h.trial[url] = make(chan struct{})
}

func (h *host) tried(url string) {
	if c := h.trial[url]; c != nil {
		close(c)
		delete(h.trial, url)
	}
}

// oneLogout waits until no other logout to the URL asks for its token.
func (h *host) oneLogout(ctx context.Context, url string) (done func(), err error) {
	for {
		h.lock()
		busy := h.trial[url]
		if busy == nil {
			h.try(url)
			h.unlock()
			return func() {
				h.lock()
				defer h.unlock()
				h.tried(url)
			}, nil
		}
		h.unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// accepted reports that the PBX accepted a token in a request.
func (h *host) accepted(v *visitor, sent time.Time) {
	if h.alert.Load() == 0 {
		return
	}
	h.lock()
	now := h.now()
	h.local.TokenAccepted(v.traits.URL, now.Add(-time.Since(sent)), now)
	h.look()
	next := h.advance(now)
	h.unlock()
	next.poke()
}

// look notes what is wrong at the host. While anything is, requests with tokens
// have to ask and report. h.mu is held.
func (h *host) look() {
	var what trouble
	var passes time.Time
	if now := h.now(); len(h.members) > 0 {
		what, passes = h.trouble(now), h.ledger.Passes(now)
	}
	if what != trouble(h.alert.Load()) || !passes.Equal(h.passes) {
		h.passes = passes
		h.alert.Store(uint32(what))
		h.guard.troubled.note(h, what, h.here(passes, h.now()))
	}
}

// lookAgain follows trouble that has passed by time alone.
func (h *host) lookAgain() {
	h.lock()
	defer h.unlock()
	h.look()
}

func (h *host) trouble(now time.Time) (what trouble) {
	if !h.local.InDoubt().IsZero() {
		what |= inDoubt
	}
	if h.ledger.Counts(now) {
		what |= wrongLogins
	}
	if h.ledger.Locked(now) {
		what |= lockedOut
	}
	if h.ledger.Trouble(now) || h.local.Careful() {
		what |= careful
	}
	return what
}

// relogin has a session log in anew whose success makes room for the visitor's
// login. It reports whether that is worth asking again for.
func (h *host) relogin(v *visitor, g lockout.Login) bool {
	h.lock()
	members := slices.Clone(h.members)
	h.unlock()
	var holders []lockout.Holder
	var who []*visitor
	for _, m := range members {
		if print, idle, ok := m.owner.holds(m); ok {
			holders = append(holders, lockout.Holder{Login: m.login(print, time.Time{}), Idle: idle, Single: m.traits.brand().MaxTokens == 1})
			who = append(who, m)
		}
	}
	h.lock()
	i, again := h.ledger.Relogin(h.now(), &h.local, g, holders)
	h.unlock()
	if i >= 0 {
		who[i].owner.deliver(event{kind: relogin}, nil)
	}
	return i >= 0 || !again.IsZero()
}

func (h *host) status() HostStatus {
	h.lock()
	defer h.unlock()
	now := h.now()
	s := HostStatus{Host: h.name, Status: h.ledger.Status(now, &h.local)}
	for _, c := range h.checks {
		if at := h.nextCheck(c.url, now); s.Checking.IsZero() || at.Before(s.Checking) {
			s.Checking = at
		}
	}
	for _, m := range h.members {
		if w := m.waiter; w != nil && !w.beat {
			s.Waiting = append(s.Waiting, Waiting{Session: m.owner.name, URL: m.traits.URL, Account: m.traits.Account, Reason: w.reason, Until: h.here(w.until, now)})
		}
	}
	slices.SortFunc(s.Waiting, func(a, b Waiting) int {
		switch {
		case a.Session < b.Session:
			return -1
		case a.Session > b.Session:
			return 1
		}
		return 0
	})
	return s
}

// checking is when the visitor's PBX is checked next, if its login waits for that.
func (h *host) checking(v *visitor) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.books == nil || v.waiter == nil || h.checks[v.traits.URL] == nil {
		return time.Time{}
	}
	return h.nextCheck(v.traits.URL, h.now())
}

// journals are those of the Managers with sessions at the host.
func (h *host) journals() []*journal {
	h.lock()
	defer h.unlock()
	var all []*journal
	for _, m := range h.members {
		if !slices.Contains(all, m.journal) {
			all = append(all, m.journal)
		}
	}
	return all
}
