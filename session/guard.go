package session

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
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
	alone *Session
}

type budget struct {
	window time.Duration
	spent  []time.Time // when failed logins counted, oldest first
	flying int         // logins under way
	calls  int         // calls under way, logins among them
	until  time.Time   // the end of the host's own lock
	cause  error       // of that lock

	// Who waits, first come first served. Keep-alives, which are of tokens in
	// use, go before logins.
	beats, logins []*Session
}

// processWide is the Guard of all sessions that are given none: the PBX sees
// one caller, so there has to be one budget.
var processWide Guard

// What a PBX is assumed to tolerate where its limits are not known: what the
// brands that do document them say.
const (
	assumedAttempts = 5
	assumedWindow   = 10 * time.Minute
	safetyMargin    = 2
)

type guardVerdict int

const (
	guardOpen guardVerdict = iota
	guardBusy
	guardLocked
)

// limits returns what the session's host tolerates, less the margin.
func (g *Guard) limits(s *Session) (attempts int, window time.Duration) {
	attempts, window = s.traits.Lockout.Attempts, s.traits.Lockout.Window
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

// guardKey names the budget that the session draws on.
func (s *Session) guardKey() guardKey {
	if s.host == "" {
		return guardKey{alone: s}
	}
	return guardKey{host: s.host}
}

// hostOf is the host of a PBX's URL; empty if it has none.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String()
	}
	return host
}

// of returns the budget of the session's host. g.mu is held.
func (g *Guard) of(s *Session) (guardKey, *budget) {
	key := s.guardKey()
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

// enter asks to make one call. After guardOpen, leave must follow; after
// guardBusy the session is run again when there is room; after guardLocked it
// may ask again at the time returned.
func (g *Guard) enter(s *Session, op pbx.Op) (guardVerdict, time.Time, error) {
	limit, window := g.limits(s)
	if s.fails > 1 && limit > 1 {
		limit-- // the last one is for sessions that have hardly failed, lest the others take every place
	}
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	_, b := g.of(s)
	b.window = max(b.window, window)
	b.spent = slices.DeleteFunc(b.spent, func(at time.Time) bool { return now.Sub(at) > b.window })
	if b.until.After(now) {
		return guardLocked, b.until, b.cause
	}
	login := op == pbx.OpLogin
	if login && len(b.spent) >= limit {
		oldest := b.spent[len(b.spent)-limit]
		until := oldest.Add(b.window + time.Millisecond)
		// The cause is not passed on: it may be another account's.
		return guardLocked, until, &pbx.Error{Op: op, Kind: pbx.ErrLocked, RetryAfter: until.Sub(now),
			Message: fmt.Sprintf("not sent: %d logins to %s failed in the last %s, and the PBX locks this machine out after a few more; correct the accounts that it rejects",
				len(b.spent), cmp.Or(s.host, "this PBX"), b.window)}
	}
	if b.calls >= s.m.opts.PerHost || (login && len(b.spent)+b.flying >= limit) {
		if !s.queued {
			s.queued = true
			if login {
				b.logins = append(b.logins, s)
			} else {
				b.beats = append(b.beats, s)
			}
		}
		return guardBusy, time.Time{}, nil
	}
	b.calls++
	if login {
		b.flying++
	}
	return guardOpen, time.Time{}, nil
}

// leave says how a call that was let in ended.
func (g *Guard) leave(s *Session, op pbx.Op, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key, b := g.of(s)
	b.calls--
	if op == pbx.OpLogin {
		b.flying--
		if mayHaveCounted(err) {
			b.spend(time.Now(), err)
		}
	}
	g.admit(b, s.m.opts.PerHost)
	if b.idle(time.Now()) {
		delete(g.hosts, key)
	}
}

// lateVerdict is how long after we gave up a PBX may still judge a login: one
// that is starting takes requests that it looks at minutes later.
const lateVerdict = 2 * time.Minute

// spend books a failed login, an unanswered one as if it were still to be judged.
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
func (g *Guard) admit(b *budget, perHost int) {
	room := max(perHost-b.calls, 0)
	beats := min(room, len(b.beats))
	logins := min(room-beats, len(b.logins))
	if logins > 0 {
		limit, _ := g.limits(b.logins[0])
		free := limit - len(b.spent) - b.flying
		if b.flying == 0 {
			free = max(free, 1) // to be told until when there is none
		}
		logins = min(logins, max(free, 0))
	}
	b.beats = call(b.beats, beats)
	b.logins = call(b.logins, logins)
}

// call has the first n of a line run, and returns the others.
func call(line []*Session, n int) []*Session {
	for _, s := range line[:n] {
		s.queued = false
		s.m.schedule(s, time.Now())
	}
	return slices.Delete(line, 0, n)
}

// pass follows a turn in which the session made no call. It may have been called
// out of the line, and those behind it wait for somebody to leave.
func (g *Guard) pass(s *Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b := g.hosts[s.guardKey()]; b != nil && b.calls == 0 {
		g.admit(b, s.m.opts.PerHost)
	}
}

// withdraw takes a session that will not make its call out of the line. What is
// kept for it alone is forgotten with it. s.mu is held.
func (g *Guard) withdraw(s *Session) {
	s.inLine = false
	g.mu.Lock()
	key := s.guardKey()
	if b := g.hosts[key]; b != nil && s.queued {
		s.queued = false
		own := func(other *Session) bool { return other == s }
		b.beats, b.logins = slices.DeleteFunc(b.beats, own), slices.DeleteFunc(b.logins, own)
	}
	if s.closing && key.alone == s {
		delete(g.hosts, key)
	}
	g.mu.Unlock()
	g.pass(s)
}

// lock notes that the host has locked this machine out, for the time that it
// said or else its usual one, and returns the end of it.
func (g *Guard) lock(s *Session, wait time.Duration, cause error) time.Time {
	if _, window := g.limits(s); wait <= 0 {
		wait = window
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	_, b := g.of(s)
	if until := time.Now().Add(wait); until.After(b.until) {
		b.until, b.cause = until, cause
	}
	return b.until
}

// mayHaveCounted reports whether the PBX may have taken a failed login for a
// wrong one.
func mayHaveCounted(err error) bool {
	var failure *pbx.Error
	if err == nil || !errors.As(err, &failure) {
		return err != nil
	}
	if !failure.Sent {
		return false
	}
	switch failure.Kind {
	case pbx.ErrInvalidCredentials:
		return true
	case pbx.ErrTooManySessions, pbx.ErrLocked, pbx.ErrNotSupported: // it looked, and found something else
		return false
	}
	switch status := failure.HTTPStatus; {
	case status/100 == 3, // redirected instead
		status == http.StatusNotFound, status == http.StatusMethodNotAllowed,
		status == http.StatusNotImplemented, status == http.StatusServiceUnavailable:
		return false
	}
	return true
}
