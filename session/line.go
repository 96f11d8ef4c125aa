package session

import (
	"slices"
	"time"

	"github.com/pbxauth/pbx/session/lockout"
)

// visitor is a session's driver with its place at a host.
type visitor struct {
	driver
	job *job        // its session's
	own fingerprint // of a driver that cannot say

	// What follows is guarded by host.mu.
	waiter   *waiter // nil: it does not wait
	member   int32   // its index among the host's
	trying   bool    // its token is on trial
	forgiven bool    // a person has unlocked this client at the PBX: its session is to learn of it
}

// poke has the visitor ask again.
func (v *visitor) poke() { v.schedule.poke(v.job) }

// printOr is the fingerprint of a login: the driver's own where it cannot say.
func (v *visitor) printOr(print fingerprint) fingerprint {
	if print == (fingerprint{}) {
		return v.own
	}
	return print
}

// line is the queue at a host. Keep-alives, which are of tokens in use, go before
// logins. Logins go in the order of the ledger's ranks, and within a rank first
// come, first served. A host's mutex guards it.
type line struct {
	beats   []*waiter
	ranks   []rank // of logins, by the ledger's rank; nil: none has waited
	parked  []*waiter
	waiting int // visitors with a waiter
}

// rank is the part of the queue with the logins of one rank.
type rank struct {
	logins   []*waiter
	kinds    map[kind]int // how many logins are of each
	anywhere map[kind]int // the same, by kind.anywhere
}

// kind is what logins of a rank have in common that wait for the same, so that a long
// queue need not be looked through.
type kind struct {
	limits  lockout.Limits
	url     string
	noProbe bool // they are their own checks
	refused bool // their credentials were, so that they have other places
	early   bool // their sessions have valid tokens, so that they have fewer places
}

// anywhere is what logins have in common that wait for another login, at whichever URL
// and whatever their places.
func (k kind) anywhere() kind {
	k.url, k.noProbe, k.refused = "", false, false
	return k
}

// waiter is a visitor that waits. It stands in the queue until it is called, and
// remains the visitor's until it goes or gives up.
type waiter struct {
	v      *visitor
	ticket uint32
	beat   bool
	issued time.Time // of a beat: when its token was
	unsure bool      // a beat that waits for evidence
	called bool      // out of the queue: it has been asked to come
	parked bool      // out of the queue: only its own time, or a person, can help

	hasError bool // its session has got one to show

	login  lockout.Login
	kind   kind
	reason lockout.Reason
	until  time.Time // when it asks again by itself, by the ledger's clock; zero: never
	rank   int
}

// called are visitors that are to ask again. They are poked without a lock.
type called []call

type call struct {
	v  *visitor
	at time.Time // zero: now
}

func (c called) poke() {
	for _, k := range c {
		if k.at.IsZero() {
			k.v.poke()
		} else {
			k.v.schedule.pokeAt(k.v.job, k.at)
		}
	}
}

// since is since when the visitor waits to log in.
func (l *line) since(v *visitor, now time.Time) time.Time {
	if w := v.waiter; w != nil && !w.beat {
		return w.login.Waiting
	}
	return now
}

func (l *line) isCalled(v *visitor) bool { return v.waiter != nil && v.waiter.called }

// addBeat puts a keep-alive into its line. unsure: it is to go when the PBX
// responds to a check.
func (l *line) addBeat(v *visitor, ticket uint32, issued time.Time, unsure bool) {
	if w := v.waiter; w != nil && w.beat && !w.called {
		w.ticket, w.issued = max(w.ticket, ticket), issued
		return
	}
	l.drop(v)
	l.waiting++
	v.waiter = &waiter{v: v, ticket: ticket, beat: true, issued: issued, unsure: unsure}
	l.beats = append(l.beats, v.waiter)
}

// add puts a login into the queue: at the place that it had, if it stood there.
func (l *line) add(v *visitor, ticket uint32, g lockout.Login, d lockout.Decision, place int, refused bool) {
	l.drop(v)
	w := &waiter{v: v, ticket: ticket, login: g, kind: kind{g.Limits, g.URL, g.NoProbe, refused, g.Early}, reason: d.Reason, until: d.Until, rank: place}
	switch d.Reason {
	case lockout.PasswordRefused, lockout.MayBeLocked, lockout.AccountPaused, lockout.SameCredentials:
		w.parked = true
	}
	v.waiter = w
	l.waiting++
	if w.parked {
		l.parked = append(l.parked, w)
		return
	}
	if l.ranks == nil {
		l.ranks = make([]rank, lockout.Ranks)
	}
	l.count(w, 1)
	q := l.ranks[place].logins
	i, _ := slices.BinarySearchFunc(q, g.Waiting, func(before *waiter, since time.Time) int {
		if before.login.Waiting.After(since) {
			return 1
		}
		return -1 // of two, the later comer is behind
	})
	l.ranks[place].logins = slices.Insert(q, i, w)
}

// drop takes the visitor out of the queue.
func (l *line) drop(v *visitor) {
	w := v.waiter
	if w == nil {
		return
	}
	v.waiter = nil
	l.waiting--
	l.remove(w)
}

// withdraw takes the visitor out of the queue, unless a newer question stands there.
func (l *line) withdraw(v *visitor, ticket uint32) {
	if !l.overtaken(v, ticket) {
		l.drop(v)
	}
}

// overtaken reports whether a newer question of the visitor's session stands in the
// queue. The session has then withdrawn the one with this ticket, and ignores its answer.
func (l *line) overtaken(v *visitor, ticket uint32) bool {
	return v.waiter != nil && v.waiter.ticket > ticket
}

func (l *line) remove(w *waiter) {
	if w.called {
		return
	}
	var q *[]*waiter
	switch {
	case w.beat:
		q = &l.beats
	case w.parked:
		q = &l.parked
	default:
		q = &l.ranks[w.rank].logins
		l.count(w, -1)
	}
	if i := slices.Index(*q, w); i >= 0 {
		*q = slices.Delete(*q, i, i+1)
	}
}

// count notes that a login has come into the queue, or left it.
func (l *line) count(w *waiter, n int) {
	r := &l.ranks[w.rank]
	if r.kinds == nil {
		r.kinds, r.anywhere = map[kind]int{}, map[kind]int{}
	}
	if r.kinds[w.kind] += n; r.kinds[w.kind] == 0 {
		delete(r.kinds, w.kind)
	}
	k := w.kind.anywhere()
	if r.anywhere[k] += n; r.anywhere[k] == 0 {
		delete(r.anywhere, k)
	}
}

// call takes a waiter out of the queue, which is then to be poked.
func (l *line) call(w *waiter) {
	l.remove(w)
	w.called = true
}

// callParked calls those of the parked for whom holds is true.
func (l *line) callParked(holds func(*waiter) bool) (next called) {
	for _, w := range slices.Clone(l.parked) {
		if holds(w) {
			l.call(w)
			next = append(next, call{v: w.v})
		}
	}
	return next
}

// callLogins calls those of the logins in the queue for which holds is true.
func (l *line) callLogins(holds func(*waiter) bool) (next called) {
	for _, r := range l.ranks {
		for _, w := range slices.Clone(r.logins) {
			if holds(w) {
				l.call(w)
				next = append(next, call{v: w.v})
			}
		}
	}
	return next
}

// callAll calls all that wait to log in.
func (l *line) callAll() called {
	all := func(*waiter) bool { return true }
	return append(l.callParked(all), l.callLogins(all)...)
}

// callSame calls the logins in the queue that have the same credentials: these have
// been refused.
func (l *line) callSame(g lockout.Login) called {
	return l.callLogins(func(w *waiter) bool { return w.login.Fingerprint == g.Fingerprint && w.login.URL == g.URL })
}

// callWithoutError calls the logins that wait for the URL to respond, and whose sessions
// have no error to show yet: they began to wait for something else, or for this check.
func (l *line) callWithoutError(url string) called {
	return l.callLogins(func(w *waiter) bool { return w.reason == lockout.NoEvidence && !w.hasError && w.login.URL == url })
}
