package session

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pbxauth/pbx"
)

// Guard is a budget of wrong logins per PBX host. PBXs count them by the
// caller's IP, so one account's wrong password uses up the tries of all the
// others: every session that may reach the same PBX from this machine has to
// share a Guard. All do, unless [Options] say otherwise.
//
// A login counts if the PBX refused it, and also if it was sent and its answer
// never came, for which two minutes are added to its time. Two fewer than the
// vendor's limit are let through in one lockout window, the last of them only
// for a session that has hardly failed; the next waits until the oldest is out
// of it. Logins under way count until they are through. On a platform that many
// tenants share, one tenant's wrong passwords therefore hold up the logins of
// the others, for as long as the platform would lock all of them out.
//
// A host that says it has locked us out is left alone until its time, by logins
// and keep-alives. An application's own calls, and the logout of Close, do not
// ask.
//
// What it cannot promise: that a PBX which takes a dead token for a wrong
// password, if there is one, is not led to lock by the calls that were under way
// when it restarted; that other processes, or this one after a restart, know
// what was spent; that one PBX configured under two names is seen as one; and
// that a driver which knows of a lower limit than another at the same host is
// asked for it.
//
// The zero value is ready. Ports do not tell hosts apart, for one PBX answers
// on several.
type Guard struct {
	// Limit lowers the budget: at most so many failed logins per host and
	// window. 0, or a larger value than the default budget: that one. Set it
	// before the Guard is used.
	Limit int

	mu      sync.Mutex
	hosts   map[guardKey]*budget
	sweepAt int // hosts at which those in no trouble are looked for
}

// guardKey is a host, or a session whose host is not known.
type guardKey struct {
	host  string
	alone *visitor
}

type budget struct {
	window time.Duration
	spent  []time.Time // when failed logins counted, oldest first
	flying int         // logins under way
	calls  int         // requests under way, logins among them
	until  time.Time   // the end of the host's own lock
	cause  error       // of that lock

	// Who waits, first come first served. Keep-alives, which are of tokens in
	// use, go before logins.
	beats, logins line
}

// place is a visitor's in a line. A Guard's mutex guards it.
type place struct {
	ticket uint32 // of the question that waits; 0: none
	login  bool   // it stands in the line of logins
}

// processWide is the Guard of all sessions that are given none: the PBX sees
// one client, so there has to be one budget.
var processWide Guard

// What a PBX is assumed to tolerate where its limits are not known: what the
// brands that do document them say.
const (
	assumedAttempts = 5
	assumedWindow   = 10 * time.Minute
	safetyMargin    = 2
)

// limits returns what the visitor's host tolerates, less the margin.
func (g *Guard) limits(v *visitor) (attempts int, window time.Duration) {
	attempts, window = v.traits.Lockout.Attempts, v.traits.Lockout.Window
	if attempts <= 0 {
		attempts = assumedAttempts
	}
	if window <= 0 {
		window = assumedWindow
	}
	window = min(window, unlimited)
	attempts = max(attempts-safetyMargin, 1)
	if g.Limit > 0 {
		attempts = min(attempts, g.Limit)
	}
	return attempts, window
}

// key names the budget that the visitor draws on.
func (v *visitor) key() guardKey {
	if v.host == "" {
		return guardKey{alone: v}
	}
	return guardKey{host: v.host}
}

// of returns the budget of the visitor's host. g.mu is held.
func (g *Guard) of(v *visitor) (guardKey, *budget) {
	key := v.key()
	b := g.hosts[key]
	if b == nil {
		g.sweep()
		b = &budget{}
		if g.hosts == nil {
			g.hosts = map[guardKey]*budget{}
		}
		g.hosts[key] = b
	}
	return key, b
}

// sweep forgets the hosts whose trouble is over, now and then. g.mu is held.
func (g *Guard) sweep() {
	if len(g.hosts) < g.sweepAt {
		return
	}
	now := time.Now()
	maps.DeleteFunc(g.hosts, func(_ guardKey, b *budget) bool { return b.idle(now) })
	g.sweepAt = 2*len(g.hosts) + 64
}

// idle reports whether nothing has to be remembered.
func (b *budget) idle(now time.Time) bool {
	recent := len(b.spent) > 0 && now.Sub(b.spent[len(b.spent)-1]) <= b.window
	return b.calls == 0 && !recent && len(b.beats)+len(b.logins) == 0 && !b.until.After(now)
}

// ask asks to send one request: see gate.
func (g *Guard) ask(v *visitor, q question, now time.Time) answer {
	limit, window := g.limits(v)
	if q.failed && limit > 1 {
		limit-- // the last one is for sessions that have hardly failed
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	_, b := g.of(v)
	b.window = max(b.window, window)
	b.spent = slices.DeleteFunc(b.spent, func(at time.Time) bool { return now.Sub(at) > b.window })
	if b.until.After(now) {
		return answer{verdict: waitUntil, until: b.until, state: Locked, holder: LockedByPBX, err: b.cause}
	}
	login := q.op == pbx.OpLogin
	if login && len(b.spent) >= limit {
		oldest := b.spent[len(b.spent)-limit]
		until := oldest.Add(b.window + time.Millisecond)
		// The cause is not passed on: it may be another account's.
		return answer{verdict: waitUntil, until: until, state: Locked, holder: LockedByBudget, err: &pbx.Error{Op: q.op, Kind: pbx.ErrLocked, RetryAfter: until.Sub(now),
			Message: fmt.Sprintf("not sent: %d logins to %s failed in the last %s, and the PBX locks this machine out after a few more; correct the accounts that it rejects",
				len(b.spent), cmp.Or(v.host, "this PBX"), b.window)}}
	}
	if b.calls >= v.gate.perHost || (login && len(b.spent)+b.flying >= limit) {
		if v.ticket != 0 && v.login != login {
			b.remove(v)
		}
		if v.ticket == 0 {
			v.login = login
			if login {
				b.logins = append(b.logins, v)
			} else {
				b.beats = append(b.beats, v)
			}
		}
		v.ticket = max(v.ticket, q.ticket)
		return answer{verdict: waitEvent, state: Connecting}
	}
	if v.ticket != 0 {
		b.remove(v)
	}
	b.calls++
	if login {
		b.flying++
	}
	return answer{}
}

// settle says how a request that was let through ended.
func (g *Guard) settle(v *visitor, op pbx.Op, err error, now time.Time) (until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key, b := g.of(v)
	if op == pbx.OpLogin && mayHaveCounted(err) {
		b.spend(now, err)
	}
	if errors.Is(err, pbx.ErrLocked) {
		until = g.lock(v, b, err, now)
	}
	g.out(key, b, op, now)
	return until
}

func (g *Guard) refund(v *visitor, op pbx.Op) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key, b := g.of(v)
	g.out(key, b, op, time.Now())
}

// out ends a request. g.mu is held.
func (g *Guard) out(key guardKey, b *budget, op pbx.Op, now time.Time) {
	b.calls--
	if op == pbx.OpLogin {
		b.flying--
	}
	g.admit(b)
	if b.idle(now) {
		delete(g.hosts, key)
	}
}

// lateVerdict is how long after we gave up a PBX may still judge a login: one
// that is starting takes requests that it looks at minutes later.
const lateVerdict = 2 * time.Minute

// spend books a failed login, one without a response as if it were still to be
// judged.
func (b *budget) spend(at time.Time, err error) {
	var failure *pbx.Error
	if !errors.As(err, &failure) || (failure.Kind == pbx.ErrUnavailable && failure.HTTPStatus == 0) {
		at = at.Add(lateVerdict)
	}
	b.spent = append(b.spent, at)
	slices.SortFunc(b.spent, time.Time.Compare)
}

// admit lets those ask again for whom there is room: more would race for it.
// g.mu is held.
func (g *Guard) admit(b *budget) {
	calls := b.calls
	for len(b.beats) > 0 && calls < b.beats[0].gate.perHost {
		b.beats = b.beats.next()
		calls++
	}
	if len(b.logins) == 0 {
		return
	}
	limit, _ := g.limits(b.logins[0])
	free := limit - len(b.spent) - b.flying
	if b.flying == 0 {
		free = max(free, 1) // to be told until when there is none
	}
	for ; free > 0 && len(b.logins) > 0 && calls < b.logins[0].gate.perHost; free-- {
		b.logins = b.logins.next()
		calls++
	}
}

// line is who waits at a host, first come first served.
type line []*visitor

// next has the first ask again, and returns the others.
func (l line) next() line {
	v := l[0]
	v.ticket = 0
	v.gate.schedule.poke(v.job)
	return slices.Delete(l, 0, 1)
}

// passOn follows a turn in which the visitor sent nothing. It may have been
// called out of the line, and those behind it wait for a request to end.
func (g *Guard) passOn(v *visitor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b := g.hosts[v.key()]; b != nil && b.calls == 0 {
		g.admit(b)
	}
}

// withdraw takes a visitor out of the line.
func (g *Guard) withdraw(v *visitor, ticket uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.hosts[v.key()]
	if b == nil {
		return
	}
	if v.ticket != 0 && v.ticket <= ticket {
		b.remove(v)
	}
	if b.calls == 0 {
		g.admit(b)
	}
}

// remove takes v out of its line.
func (b *budget) remove(v *visitor) {
	v.ticket = 0
	own := func(other *visitor) bool { return other == v }
	b.beats, b.logins = slices.DeleteFunc(b.beats, own), slices.DeleteFunc(b.logins, own)
}

// leave forgets what is kept for the visitor alone.
func (g *Guard) leave(v *visitor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v.host == "" {
		delete(g.hosts, v.key())
	}
}

// lock notes that the host has locked this client, for the time that it said or
// else its usual one, and returns the end of it. g.mu is held.
func (g *Guard) lock(v *visitor, b *budget, cause error, now time.Time) time.Time {
	_, wait := g.limits(v)
	var failure *pbx.Error
	if errors.As(cause, &failure) && failure.RetryAfter > 0 {
		wait = min(failure.RetryAfter, longestPause)
	}
	if until := now.Add(wait); until.After(b.until) {
		b.until, b.cause = until, cause
	}
	return b.until
}
