package session

import (
	"context"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/lockout"
)

// ask asks for a request of the driver: see gate.
func (h *host) ask(v *visitor, q question) answer {
	if q.op != pbx.OpLogin {
		return h.askWithToken(v, q)
	}
	h.lock()
	if h.line.overtaken(v, q.ticket) {
		h.unlock()
		return answer{verdict: waitEvent}
	}
	now := h.now()
	g := h.login(v, q.print, h.line.since(v, now))
	g.Early = q.early
	if h.calls >= v.perHost {
		a := h.waitForTurn(v, q, g, now)
		h.unlock()
		return a
	}
	if !q.relogin && !h.line.isCalled(v) {
		if better := h.better(now, g); better != nil && better.v != v { // it may stand in a rank that is no longer its own
			a := h.waitForTurn(v, q, g, now)
			h.line.call(better)
			h.unlock()
			better.v.poke()
			return a
		}
	}
	h.calls++ // until it is clear that it does not go
	h.unlock()
	d, err := h.book(v, g, q)
	return h.booked(v, q, g, d, err)
}

// booked says what follows from the decision about a login, or from the error of the
// store.
func (h *host) booked(v *visitor, q question, g lockout.Login, d lockout.Decision, err error) answer {
	h.lock()
	now := h.now()
	h.calls--
	if err == nil && d.Verdict == lockout.Go {
		said := answer{verdict: free}
		if !q.unclaimed {
			h.calls++
			said = answer{verdict: pass, booking: &d.Booking}
		}
		h.line.withdraw(v, q.ticket)
		h.look(now)
		h.unlockAndAdvance(now)
		return said
	}
	if h.line.overtaken(v, q.ticket) {
		h.unlock()
		return answer{verdict: waitEvent}
	}
	if err != nil {
		h.line.drop(v)
		a := answer{state: Unavailable, err: err}
		if d := h.ledger.Ask(now, &h.local, g); d.Reason == lockout.PasswordRefused { // known without the store
			a = h.answer(g, d, now)
		}
		h.unlock()
		a.verdict, a.until, a.away = waitUntil, time.Now().Add(storePause), true
		return a
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
	a.crowded = d.Reason == lockout.NoPlace && g.Limits.Reset == pbx.ResetAddress && !g.Early
	return a
}

// turnLasts bounds how long a visitor waits for one that goes before it.
const turnLasts = 15 * time.Second

// waitForTurn puts the visitor into the queue until others have gone. h.mu is held.
func (h *host) waitForTurn(v *visitor, q question, g lockout.Login, now time.Time) answer {
	return h.wait(v, q, g, lockout.Decision{Verdict: lockout.WaitEvent, Reason: lockout.OneByOne, Until: now.Add(turnLasts)}, now)
}

// wait puts the visitor into the queue. h.mu is held.
func (h *host) wait(v *visitor, q question, g lockout.Login, d lockout.Decision, now time.Time) answer {
	h.line.add(v, q.ticket, g, d, h.ledger.Rank(now, g), h.ledger.Refused(now, g))
	if d.Reason == lockout.NoEvidence {
		h.check(v, now)
	}
	a := h.answer(g, d, now)
	v.waiter.hasError = a.err != nil && !a.checking
	return a
}

// book books a login, in the store too. One that is not claimed is only decided.
func (h *host) book(v *visitor, g lockout.Login, q question) (d lockout.Decision, err error) {
	var id lockout.ID
	if !q.unclaimed {
		id = h.common.id()
	}
	err = h.change(v.last, func(now time.Time, ledger *lockout.Host) bool {
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
	if h.books == nil && h.calls < v.perHost && !q.failed { // nothing is wrong
		defer h.mu.Unlock()
		if q.unclaimed {
			return answer{verdict: free}
		}
		h.calls++
		return answer{}
	}
	h.mu.Unlock()
	h.lock()
	defer h.unlock()
	if h.line.overtaken(v, q.ticket) {
		return answer{verdict: waitEvent}
	}
	now := h.now()
	if until := h.coveredUntil(v, now); !until.IsZero() {
		h.line.addBeat(v, q.ticket, q.issued, false) // the lock may end sooner
		return answer{verdict: waitEvent, until: h.here(until, now), state: Locked, holder: LockedByPBX, err: lockedByPBX(pbx.OpKeepAlive, until.Sub(now))}
	}
	if q.failed && h.probes(v) && !h.local.Responds(v.traits.URL, now) {
		h.line.addBeat(v, q.ticket, q.issued, true)
		h.check(v, now)
		return answer{verdict: waitEvent, state: Unavailable}
	}
	oneAtATime := h.local.OneTokenAtATime(v.traits.URL, h.issued(q.issued, now), now)
	if h.calls >= v.perHost || h.trial[v.traits.URL] != nil && oneAtATime || h.isUntold(v.traits.URL, q.issued, now) {
		h.line.addBeat(v, q.ticket, q.issued, false)
		return answer{verdict: waitEvent, state: Connecting}
	}
	h.line.drop(v)
	if q.unclaimed {
		return answer{verdict: free}
	}
	h.calls++
	if oneAtATime {
		h.try(v.traits.URL)
		v.trying = true
	}
	return answer{}
}

// settle reports how a driver's request, sent at that time, ended. b is the booking
// of a login, and t the token of another operation. settle returns how many
// credentials the ledger had to forget.
func (h *host) settle(v *visitor, op pbx.Op, b *lockout.Booking, t *pbx.Token, err error, sent time.Time) (dropped int) {
	h.mu.Lock()
	if h.books == nil && err == nil && op != pbx.OpLogin {
		h.calls--
		h.mu.Unlock()
		return 0
	}
	h.mu.Unlock()
	switch {
	case op == pbx.OpLogin:
		dropped = h.settled(v, h.login(v, b.Fingerprint, time.Time{}), *b, lockout.Classify(err))
	case lockout.Classify(err).Kind == lockout.Locked:
		h.settled(v, h.login(v, fingerprint{}, time.Time{}), lockout.Booking{URL: v.traits.URL, Account: v.traits.Account}, lockout.Classify(err))
	}
	h.lock()
	now := h.now()
	h.calls--
	if op != pbx.OpLogin {
		refreshed := op == pbx.OpKeepAlive && v.traits.brand().KeepAlive == pbx.KeepAliveRefresh
		switch at := now.Add(-time.Since(sent)); {
		case err != nil || h.alert.Load() == 0:
		case refreshed: // its refresh token may outlive what ends the token that came with it
			h.local.Evidence(v.traits.URL, at, now)
		default:
			h.local.TokenAccepted(v.traits.URL, h.issued(t.IssuedAt, now), at, now)
		}
		if v.trying {
			v.trying = false
			h.tried(v.traits.URL)
		}
	}
	h.look(now)
	h.unlockAndAdvance(now)
	return dropped
}

// settled settles a booking and calls the visitors that the outcome concerns.
func (h *host) settled(v *visitor, g lockout.Login, b lockout.Booking, o lockout.Outcome) (dropped int) {
	h.apply(v.last, func(now time.Time, ledger *lockout.Host) {
		dropped = ledger.Settle(now, &h.local, g, b, o)
	})
	h.lock()
	next := h.line.callParked(func(w *waiter) bool {
		return w.reason == lockout.SameCredentials && w.login.Fingerprint == g.Fingerprint ||
			o.Kind == lockout.Success && g.Limits.LooksWrong && (w.reason == lockout.MayBeLocked || w.reason == lockout.PasswordRefused)
	})
	if o.Kind == lockout.Refused {
		next = append(next, h.line.callSame(g)...)
	}
	h.unlock()
	next.poke()
	return dropped
}

// withdraw takes the visitor out of the queue.
func (h *host) withdraw(v *visitor, ticket uint32) {
	h.lock()
	h.line.withdraw(v, ticket)
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
	h.unlockAndAdvance(h.now())
}

// retry asks for a person's retry, and returns why it would do nothing. waits: the
// visitor stands in the queue, and goes as soon as its URL responds to a check.
func (h *host) retry(ctx context.Context, v *visitor, print fingerprint) (d lockout.Decision, waits bool, err error) {
	g := h.login(v, print, time.Time{})
	err = h.change(ctx, func(now time.Time, ledger *lockout.Host) bool {
		d = ledger.Retry(now, &h.local, g)
		return d.Reason == lockout.None
	})
	h.lock()
	defer h.unlock()
	now := h.now()
	if waits = d.Reason == lockout.NoEvidence && v.lacksEvidence(); waits {
		h.check(v, now)
	}
	if c := h.checks[g.URL]; c != nil {
		c.by.schedule.pokeAt(&c.job, h.nextCheck(g.URL, now)) // it may have become due
	}
	return d, waits, err
}

// explain is the error of a decision, for the one whose login it is.
func (h *host) explain(v *visitor, print fingerprint, d lockout.Decision) error {
	h.lock()
	defer h.unlock()
	return h.answer(h.login(v, print, time.Time{}), d, h.now()).err
}

func (h *host) forgive(ctx context.Context) (forgotten lockout.Forgotten, err error) {
	err = h.change(ctx, func(now time.Time, ledger *lockout.Host) bool {
		forgotten = ledger.Forgive(now)
		return true
	})
	if err != nil {
		return lockout.Forgotten{}, err
	}
	h.lock()
	now := h.now()
	h.look(now)
	next := append(h.line.callAll(), h.advance(now)...)
	for _, v := range h.members { // a lock may have a session pause that stands in no queue
		v.forgiven = true
		next = append(next, call{v: v})
	}
	h.unlock()
	next.poke()
	return forgotten, nil
}

// wasForgiven reports, once, whether a person has unlocked the client since the last
// time.
func (h *host) wasForgiven(v *visitor) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := v.forgiven
	v.forgiven = false
	return was
}

// relogin chooses whose login makes room for the visitor's, by its index; -1:
// nobody's does now. worth: it is worth asking again soon.
func (h *host) relogin(v *visitor, print fingerprint, holders []lockout.Holder) (i int, worth bool) {
	h.lock()
	defer h.unlock()
	now := h.now()
	i, again := h.ledger.Relogin(now, &h.local, h.login(v, print, h.line.since(v, now)), holders)
	return i, i >= 0 || !again.IsZero()
}
