package session

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/internal/thorough"
)

var machineStates = flag.Int("machine-states", 0, "stop TestEveryReachableState after so many states of each kind; 0: visit all, or fewer with -short and under the race detector")

// The exhaustive test visits every state that a machine can reach, for several
// kinds of drivers, and checks each sentence of machine.go's contract at every
// step. Instants are reduced to their order and magnitude: two states are one if
// they differ only in how far an instant lies in the future or the past within
// the same class.

// driverKind is a kind of driver, as far as a machine can tell.
type driverKind struct {
	name      string
	rules     rules
	lifetime  time.Duration // of tokens; 0: nobody says
	refresh   bool          // tokens have a refresh token
	sliding   bool          // traffic extends them
	ambiguous bool          // refusals may concern the request
	changing  bool          // the credentials may change
}

var driverKinds = []driverKind{
	{name: "no keep-alive", rules: rules{noBeat: true, many: true}, lifetime: 30 * time.Minute},
	{name: "heartbeat with ping", rules: rules{pings: true}, lifetime: 30 * time.Minute, sliding: true, ambiguous: true},
	{name: "refresh with fingerprint", rules: rules{refreshes: true, prints: true, many: true}, lifetime: 30 * time.Minute, refresh: true},
	{name: "heartbeat with fingerprint, one minute", rules: rules{prints: true}, lifetime: time.Minute, changing: true},
	{name: "heartbeat, unknown lifetime", rules: rules{}, lifetime: 0},
	{name: "shared heartbeat", rules: rules{shares: true}, lifetime: 30 * time.Minute},
	{name: "shared, with fingerprint and no keep-alive", rules: rules{shares: true, one: true, prints: true, noBeat: true}, lifetime: time.Hour},
}

// world is a machine with what the test has to know about its past.
type world struct {
	m   machine
	now time.Time
	own *lease // for copyTo

	dead      uint32 // the newest generation that was refused and given up
	oldTicket bool   // there are results with an old ticket about
	// sentSince is the credentials that the PBX refused since a person's last
	// retry: bit 0 for one pair, bit 1 for another.
	refused   uint8
	condemned uint8 // the same, of refusals in requests
	claim     bool  // the claim on the token in the store
	only      bool  // the last look at the store did not claim
	beat      bool  // it was for a keep-alive
	printed   uint8 // what the look of this attempt saw: 0 nothing, 1, 2
	standing  bool  // in the gate's line
}

var (
	printA = fingerprint{1}
	printB = fingerprint{2}
)

func printBit(p fingerprint) uint8 {
	switch p {
	case printA:
		return 1
	case printB:
		return 2
	}
	return 0
}

// exchanged has bit 0 where bits has bit 1, and the other way round.
func exchanged(bits uint8) uint8 { return bits&1<<1 | bits>>1&1 }

// copyTo makes c a copy that shares nothing with w that step may change. It uses c's
// own lease again.
func (w *world) copyTo(c *world) {
	l := c.own
	*c = *w
	c.own = l
	from := w.m.lease
	if from == nil {
		return
	}
	if l == nil {
		l = new(lease)
		c.own = l
	}
	l.token, l.generation, l.base, l.span, l.lead = from.token, from.generation, from.base, from.span, from.lead
	l.until.Store(from.until.Load())
	l.good.Store(from.good.Load())
	c.m.lease = l
}

// sent is the credentials that a login would send.
func (k *driverKind) sent(w *world) uint8 {
	if !k.rules.prints {
		return 1
	}
	return w.printed
}

// key is the state, with instants reduced to classes.
type key [20]byte

// hash is that of the state's key. Where the credentials may change, two states are
// one if they differ only in which credentials are which.
func (k *driverKind) hash(w *world, all bool) uint64 {
	id := w.key(all)
	if !k.changing {
		return id.hash()
	}
	return min(id.hash(), id.renamed().hash())
}

// hash mixes the bytes well enough for a few million of them.
func (k key) hash() uint64 {
	a, b := binary.LittleEndian.Uint64(k[:]), binary.LittleEndian.Uint64(k[8:])
	c := uint64(binary.LittleEndian.Uint32(k[16:]))
	high, low := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd6e8feb86659fd93)
	high, low = bits.Mul64(high^low^c, 0xa0761d6478bd642f)
	high, low = bits.Mul64(high^low^a, b^0xe7037ed1a0b428db)
	return high ^ low
}

// hashes is a set of the hashes of states, with open addressing.
type hashes struct {
	slots []uint64 // a power of two of them, at least half of them 0
	n     int
}

// add reports whether a hash was not in the set.
func (h *hashes) add(id uint64) bool {
	id = max(id, 1)
	if 2*h.n >= len(h.slots) {
		bigger := make([]uint64, max(1024, 4*len(h.slots)))
		for _, old := range h.slots {
			if old != 0 {
				*slot(bigger, old) = old
			}
		}
		h.slots = bigger
	}
	at := slot(h.slots, id)
	if *at == id {
		return false
	}
	*at = id
	h.n++
	return true
}

// slot is where a hash is, or where it belongs.
func slot(slots []uint64, id uint64) *uint64 {
	i := id
	for {
		at := &slots[i&uint64(len(slots)-1)]
		if *at == id || *at == 0 {
			return at
		}
		i++
	}
}

// class is the order and magnitude of a time from now.
func class(d time.Duration) byte {
	switch {
	case d <= 0:
		return 0
	case d <= 30*time.Second:
		return 1
	}
	return 2
}

func classAt(at, now time.Time) byte {
	if at.IsZero() {
		return 9
	}
	return class(at.Sub(now))
}

func flagsOf(flags ...bool) (b byte) {
	for i, f := range flags {
		if f {
			b |= 1 << i
		}
	}
	return b
}

// The bytes of a key that say which credentials are meant.
const (
	keyRefused = iota
	keyMemory
	keyPrint
	keyCredentials
)

// renamed is the key of the same state with the credentials exchanged.
func (k key) renamed() key {
	for i := range keyCredentials {
		k[i] = exchanged(k[i]&0xf) | exchanged(k[i]>>4)<<4
	}
	return k
}

// key has everything that step looks at. Unless all is set, it leaves out what step does
// not look at before it is replaced, or looks at and decides the same in either case.
func (w *world) key(all bool) (k key) {
	m := &w.m
	k[4], k[5] = byte(m.phase), byte(m.state) // err and holder are only shown
	switch m.op {
	case pbx.OpLogin:
		k[6] = 1
	case pbx.OpKeepAlive:
		k[6] = 2
	case opLook:
		k[6] = 3
	case pbx.OpPing:
		k[6] = 4
	case opClaim:
		k[6] = 5
	case opPeek:
		k[6] = 6
	}
	l, t := m.lease, m.old
	if !all && m.phase >= ending { // nothing is asked or sent any more
		k[8] = flagsOf(t != nil, false, w.oldTicket)
		return k
	}
	k[7] = flagsOf(m.waiting, m.again, m.deadOld, m.pingDue, m.noBeat, m.noPing, m.refreshed && m.early > 0, m.rash && m.rules.many && (all || l != nil))
	k[8] = flagsOf(t != nil, l != nil, w.oldTicket, w.standing, m.relogin, w.claim, w.only, w.beat)
	k[9] = flagsOf(m.claimed, m.seen, m.away > 0, m.fails > 0)
	k[10] = byte(min(m.early, freeEarly+1)) | byte(m.badRefreshes)<<4
	if all || m.phase != calling || m.peeking() {
		k[11] = classAt(m.next, w.now)
	}
	k[keyRefused] = w.refused
	if m.op == pbx.OpLogin {
		k[keyRefused] |= w.printed << 4
	}
	if m.memory != nil {
		for _, p := range m.memory.refused {
			k[keyMemory] |= printBit(p)
		}
		k[12] = flagsOf(!m.memory.retried.IsZero() && w.now.Sub(m.memory.retried) < retryPause, m.memory.unseen)
	}
	k[keyPrint] = printBit(m.print) | w.condemned<<4
	if l != nil {
		age, until := w.now.Sub(l.base), time.Duration(l.until.Load())
		// After few early refusals, or of a token that is not young, a refusal counts
		// whether or not the PBX has accepted the token before.
		doubtful := all || m.early >= freeEarly && l.early(w.now)
		k[13] = class(until - age)
		if all || m.state == Live || m.relogin { // other states renew at once, or never
			k[14] = 9
			if l.span != 0 {
				k[14] = class(until - l.lead - age)
			}
		}
		k[15] = flagsOf(doubtful && l.good.Load(), m.pingedLately(w.now), l.span == 0, w.dead == l.generation)
		switch {
		case !l.early(w.now):
			k[16] = 3
		case age > trusted(int(m.early)):
			k[16] = 2
		case age > 0:
			k[16] = 1
		}
	}
	// Only a keep-alive makes something of when the old token expires. Without a token,
	// one is sent to refresh it, or is under way.
	if t != nil && (all || l != nil || m.rules.shares || m.rules.refreshes || m.op == pbx.OpKeepAlive) {
		if l != nil && l.token != t {
			k[17] = 1
		}
		if !t.ExpiresAt.IsZero() {
			switch since := w.now.Sub(t.ExpiresAt); {
			case since < 0:
				k[18] = 1
			case since < refreshPatience:
				k[18] = 2
			default:
				k[18] = 3
			}
		}
	}
	return k
}

// move is something that can happen to the world.
type move struct {
	name string
	e    event
	wait time.Duration // time passes first
	do   func(*world)  // something outside of step
}

func failure(kind error, sent bool, after time.Duration) error {
	return &pbx.Error{Op: pbx.OpLogin, Kind: kind, Sent: sent, RetryAfter: after}
}

var (
	errRefused     = failure(pbx.ErrInvalidCredentials, true, 0)
	errDead        = failure(pbx.ErrTokenRejected, true, 0)
	errLocked      = failure(pbx.ErrLocked, true, 10*time.Minute)
	errDown        = failure(pbx.ErrUnavailable, false, 0)
	errMute        = failure(pbx.ErrUnavailable, true, 0)
	errBusy        = failure(pbx.ErrUnavailable, true, 10*time.Minute)
	errConfig      = failure(pbx.ErrConfig, false, 0)
	errUnsupported = failure(pbx.ErrNotSupported, false, 0)
)

// freshNames are the values of new tokens: one is never that of the token before.
var freshNames = [...]string{"token-0", "token-1", "token-2", "token-3"}

// verdictNames are the moves in which the gate answers.
var verdictNames = func() (names [person + 1][Closed + 1]string) {
	for v, name := range [...]string{"pass", "free", "wait until", "wait for an event", "a person"} {
		for s := range names[v] {
			names[v][s] = "gate: " + name + ", " + State(s).String()
		}
	}
	return names
}()

func (k *driverKind) token(now time.Time, value string) *pbx.Token {
	t := &pbx.Token{Value: pbx.NewSecret(value), IssuedAt: now}
	if k.lifetime > 0 {
		t.ExpiresAt = now.Add(k.lifetime)
	}
	if k.refresh {
		t.Refresh = pbx.NewSecret("refresh")
	}
	return t
}

// moves adds all that can happen in a state to moves.
func (k *driverKind) moves(w *world, moves []move) []move {
	m := &w.m
	moves = append(moves,
		move{name: "woken", e: event{kind: woken}},
		move{name: "forgiven", e: event{kind: forgiven}},
		move{name: "retry", e: event{kind: retry}},
		move{name: "jumped", e: event{kind: jumped}},
		move{name: "closing", e: event{kind: closing}})
	if m.phase >= ending {
		moves = append(moves, move{name: "drained", e: event{kind: drained}})
	} else {
		r := k.rules
		moves = append(moves, move{name: "replaced", e: event{kind: replaced, rules: r}})
	}
	// Time passes until something is due, or for a while.
	moves = append(moves,
		move{name: "after 10 s", wait: 10 * time.Second, e: event{kind: woken}},
		move{name: "after 20 min", wait: 20 * time.Minute, e: event{kind: woken}})
	if !m.next.IsZero() && m.next.After(w.now) {
		moves = append(moves, move{name: "at next", wait: m.next.Sub(w.now), e: event{kind: woken}})
	}
	if l := m.lease; l != nil {
		moves = append(moves,
			move{name: "invalidated", e: event{kind: invalidated, generation: l.generation}},
			move{name: "invalidated, of an earlier token", e: event{kind: invalidated, generation: l.generation - 1}},
			move{name: "perhaps not invalidated", e: event{kind: invalidated, generation: l.generation, ambiguous: true, unclear: true}},
			move{name: "condemned", e: event{kind: condemned, generation: l.generation, err: errRefused}},
			move{name: "suspected", e: event{kind: suspected, before: w.now, read: w.now}},
			move{name: "suspected, if older", e: event{kind: suspected, before: w.now.Add(-10 * time.Minute), read: w.now}},
			move{name: "relogin", e: event{kind: relogin}},
			move{name: "accepted", do: func(w *world) { w.m.lease.accept(w.now, k.sliding) }})
		if k.ambiguous {
			moves = append(moves, move{name: "invalidated, perhaps", e: event{kind: invalidated, generation: l.generation, ambiguous: true}})
		}
	}
	if m.phase == resting || m.phase == asking {
		moves = append(moves, move{name: "stored", e: event{kind: stored, token: k.token(w.now, "stored")}})
	}
	if k.rules.shares {
		moves = append(moves, move{name: "noticed", e: event{kind: noticed}})
	}
	if w.oldTicket {
		moves = append(moves,
			move{name: "stale answer", e: event{kind: answered, ticket: m.ticket - 1}},
			move{name: "stale result", e: event{kind: finished, ticket: m.ticket - 1, token: k.token(w.now, "stale")}},
			move{name: "stale failure", e: event{kind: finished, ticket: m.ticket - 1, err: errRefused}})
	}
	if m.phase == asking && !m.waiting {
		goOn := answer{verdict: pass}
		if k.rules.shares && m.op == pbx.OpLogin && !m.claimed {
			goOn.verdict = free // as the gate says it to a login without a claim
		}
		answers := []answer{
			goOn,
			{verdict: waitUntil, until: w.now.Add(10 * time.Minute), state: Locked, holder: LockedByBudget, err: failure(pbx.ErrLocked, false, 0)},
			{verdict: waitUntil, until: w.now.Add(time.Second), state: Connecting},
			{verdict: waitEvent, state: Connecting},
			{verdict: person, state: Locked, holder: LockedByBudget, err: failure(pbx.ErrLocked, false, 0)},
			{verdict: person, state: Rejected, err: errRefused},
			{verdict: waitEvent, state: Unavailable, until: w.now.Add(time.Second), err: failure(pbx.ErrUnavailable, false, 0)},
		}
		if k.rules.shares {
			answers = append(answers, answer{verdict: waitUntil, until: w.now.Add(5 * time.Second), state: Unavailable, err: errMute, away: true})
		}
		if m.op == pbx.OpLogin && w.refused&k.sent(w) != 0 { // what the gate knows
			answers = []answer{
				{verdict: person, state: Rejected, err: errRefused},
				{verdict: waitEvent, until: w.now.Add(10 * time.Minute), state: Locked, holder: LockedByPBX, err: failure(pbx.ErrLocked, false, 0)},
			}
			if k.rules.shares {
				answers = append(answers, answer{verdict: waitUntil, until: w.now.Add(5 * time.Second), state: Rejected, err: errRefused, away: true})
			}
		}
		if m.op == pbx.OpLogin {
			answers = append(answers, answer{verdict: waitEvent, state: Unavailable, err: failure(pbx.ErrUnavailable, false, 0), checking: true})
		}
		for _, a := range answers {
			name := verdictNames[a.verdict][a.state]
			if a.checking {
				name += ", checked"
			}
			moves = append(moves, move{name: name, e: event{kind: answered, ticket: m.ticket, answer: a}})
		}
	}
	if m.phase == calling || m.phase == ending {
		result := func(name string, e event) {
			e.kind, e.ticket = finished, m.ticket
			moves = append(moves, move{name: name, e: e})
		}
		switch m.op {
		case opClaim:
			result("claimed", event{claim: claimResult{verdict: claimed}})
			result("adopted", event{claim: claimResult{verdict: adopted, token: k.token(w.now, freshNames[m.generation%4])}})
			result("occupied", event{claim: claimResult{verdict: occupied, until: w.now.Add(10 * time.Second)}})
			result("gone", event{claim: claimResult{verdict: gone}})
			result("store away", event{err: errMute})
			if w.beat {
				result("unshared", event{claim: claimResult{verdict: unshared}})
			}
		case opPeek:
			result("nothing new", event{claim: claimResult{verdict: claimed}})
			result("adopted", event{claim: claimResult{verdict: adopted, token: k.token(w.now, freshNames[m.generation%4])}})
			result("gone", event{claim: claimResult{verdict: gone}})
			result("store away", event{err: errMute})
		case opLook:
			result("one", event{print: printA})
			if k.changing {
				result("another", event{print: printB})
			}
			result("fails", event{err: errConfig})
		case pbx.OpPing:
			result("alive", event{})
			result("dead", event{err: errDead})
			result("mute", event{err: errMute})
			result("unsupported", event{err: errUnsupported})
			result("refused", event{err: errRefused})
		case pbx.OpKeepAlive:
			same := "none"
			if m.old != nil {
				same = m.old.Value.Reveal()
			}
			result("extends", event{token: k.token(w.now, same)})
			if k.rules.refreshes {
				result("works", event{token: k.token(w.now, freshNames[m.generation%4])})
			}
			result("dead", event{err: errDead})
			result("down", event{err: errDown})
			result("mute", event{err: errMute})
			result("unsupported", event{err: errUnsupported})
			result("locked", event{err: errLocked})
		case pbx.OpLogin:
			result("works", event{token: k.token(w.now, freshNames[m.generation%4])})
			result("refused", event{err: errRefused})
			result("down", event{err: errDown})
			result("busy", event{err: errBusy})
			result("locked", event{err: errLocked})
		}
	}
	return moves
}

// step makes w the world after a move and returns what is wrong with the move: the
// sentence that it breaks.
func (k *driverKind) step(before, w *world, mv *move, chance float64) string {
	before.copyTo(w)
	if mv.wait != 0 {
		w.now = w.now.Add(mv.wait)
	}
	if mv.do != nil {
		mv.do(w)
		return k.invariant(w)
	}
	was := w.m // after the time has passed
	expired := was.lease != nil && !was.lease.living(w.now)
	p := w.m.step(w.now, mv.e, chance)
	m := &w.m

	// "At most one thing is under way", and each has a ticket of its own.
	if p.ask && p.call {
		return "at most one thing is under way"
	}
	if p.ask || p.call {
		if (was.phase == calling || was.phase == asking && !was.waiting) && mv.e.kind != finished && mv.e.kind != answered {
			return "at most one thing is under way"
		}
		if p.ask && p.ticket == was.ticket || p.ticket != m.ticket {
			return "every question has a ticket of its own"
		}
	}
	switch {
	case p.ask:
		w.standing = false
	case mv.e.kind == answered && mv.e.answer.verdict >= waitEvent && !p.stale:
		w.standing = true
	case p.withdraw:
		w.standing = false
	}
	if w.standing && m.phase != asking {
		return "who no longer waits leaves the line"
	}
	if m.ticket != was.ticket {
		w.oldTicket = true
	}

	// "A result with an old ticket changes nothing."
	if (mv.e.kind == answered || mv.e.kind == finished) && mv.e.ticket != was.ticket {
		if !p.stale || p.ask || p.call || p.withdraw || p.change.happened || !sameMachine(&was, m) {
			return "a result with an old ticket changes nothing"
		}
	}
	// "Nothing happens after the end."
	if was.phase == ended && (p.ask || p.call || p.change.happened || m.phase != ended || m.lease != nil || !m.next.IsZero()) {
		return "nothing happens after the end"
	}
	if mv.e.kind == closing && (m.phase < ending || m.state != Closed || m.lease != nil) {
		return "nothing happens after the end"
	}

	// "A report about an expired token, or an earlier one, changes no plan."
	if mv.e.kind == invalidated || mv.e.kind == condemned {
		if expired || was.lease == nil || was.lease.generation != mv.e.generation {
			if !m.next.Equal(was.next) || m.phase != was.phase || m.ticket != was.ticket || m.state != was.state || p.ask || p.call || p.withdraw {
				return "a report about an expired token changes no plan"
			}
		} else if m.lease == nil {
			w.dead = max(w.dead, mv.e.generation)
		} else if mv.e.kind == condemned && was.phase != calling {
			return "condemned credentials end their token"
		}
		if mv.e.ambiguous && was.lease != nil && m.lease == nil && (!was.noPing || mv.e.unclear) {
			return "an ambiguous refusal is decided by a ping"
		}
	}
	// "An invalidated token is never published again", except by a login that
	// got the same value anew, which is another generation.
	if m.lease != nil && was.lease == nil && m.lease.generation <= w.dead {
		return "an invalidated token is never published again"
	}
	if mv.e.kind == finished && !p.stale && was.op == pbx.OpPing && mv.e.err == errDead && m.lease != nil {
		return "an invalidated token is never published again"
	}

	// "A refused token is reported."
	if mv.e.kind == invalidated && was.lease != nil && !expired && (m.lease == nil) != (p.dead != nil) {
		return "a refused token is reported"
	}

	// "With a store, nothing logs in without the claim."
	if mv.e.kind == finished && !p.stale && was.op == opClaim && mv.e.err == nil && mv.e.claim.verdict == claimed {
		w.claim = true
	}
	if p.call && p.op == opClaim {
		w.claim = false
		w.only, w.beat = !p.take, p.want == pbx.OpKeepAlive
	}
	if p.call && p.op == pbx.OpLogin && k.rules.shares && (!w.claim || w.only) {
		return "with a store, nothing logs in without the claim"
	}
	if p.ask && p.op == pbx.OpLogin && k.rules.shares && p.unclaimed == (w.claim && !w.only) {
		return "with a store, nothing logs in without the claim"
	}
	if m.phase == resting || m.waiting {
		w.claim = false
	}

	// "A suspect token is given up", unless it came after the refusal and a login would
	// end it.
	if mv.e.kind == suspected && was.lease != nil && !expired {
		switch late := k.rules.one && !was.lease.base.Before(mv.e.read); {
		case late && m.lease == nil:
			return "an account's one token that came after the refusal is kept"
		case !late && !was.lease.token.IssuedAt.After(mv.e.before) && (m.lease != nil || m.old != nil):
			return "a suspect token is given up"
		}
	}
	// "Making room for others takes no token away."
	if was.relogin && !expired && mv.e.kind == answered && m.lease != was.lease {
		return "making room for others takes no token away"
	}

	// P2: "A refused password is not sent again until a person acts or the
	// credentials change." The gate knows what logins were refused; the machine,
	// what requests were.
	if mv.e.kind == retry && p.refusal == nil || mv.e.kind == replaced {
		w.refused, w.condemned = 0, 0
	}
	if mv.e.kind == finished && !p.stale && was.phase == calling {
		switch was.op {
		case opLook:
			w.printed = printBit(mv.e.print)
		case pbx.OpLogin:
			if mv.e.err == errRefused {
				w.refused |= k.sent(w)
			} else if mv.e.err == nil {
				w.refused, w.condemned = 0, 0
			}
		}
	}
	if (mv.e.kind == condemned || mv.e.kind == finished && was.op == pbx.OpPing) && mv.e.err == errRefused && !p.stale && was.lease != nil && m.lease == nil && m.state == Rejected {
		w.condemned |= k.sent(w)
		if k.rules.prints {
			w.condemned |= printBit(was.print)
		}
	}
	if p.ask && p.op == pbx.OpLogin && k.rules.prints && (p.print == (fingerprint{}) || printBit(p.print) != w.printed) {
		return "a login is sent with the credentials that were looked at"
	}
	if p.call && p.op == pbx.OpLogin {
		sent := k.sent(w)
		if (w.refused|w.condemned)&sent != 0 {
			return "a refused password is not sent again"
		}
		if k.rules.prints && sent == 0 {
			return "a login is sent with the credentials that were looked at"
		}
	}
	if p.call && p.op == opLook {
		w.printed = 0
	}

	// A person's retry either plans an attempt or says why not.
	if mv.e.kind == retry && (p.refusal == nil) == (m.state == was.state && sameMachine(&was, m)) {
		return "a retry does something or says why not"
	}
	if mv.e.kind == retry && p.refusal == nil && was.memory != nil && !was.memory.retried.IsZero() && w.now.Sub(was.memory.retried) < retryPause {
		return "a retry works at most once in ten seconds"
	}
	// A token that nobody hands out any more is logged out, or was dead.
	if mv.e.kind == replaced && was.lease != nil && !expired && p.logout != was.lease.token {
		return "a replaced driver's token is logged out"
	}
	if mv.e.kind == drained && was.phase != ended && m.phase != ended {
		return "nothing happens after the end"
	}
	return k.invariant(w)
}

// sameMachine compares what a step could have changed.
func sameMachine(a, b *machine) bool {
	return a.phase == b.phase && a.waiting == b.waiting && a.again == b.again && a.deadOld == b.deadOld && a.pingDue == b.pingDue &&
		a.ticket == b.ticket && a.op == b.op && a.state == b.state && a.next.Equal(b.next) && a.err == b.err && a.lease == b.lease &&
		a.old == b.old && a.fails == b.fails && a.away == b.away && a.early == b.early && a.memory == b.memory && a.generation == b.generation
}

// invariant returns the sentence that a state breaks.
func (k *driverKind) invariant(w *world) string {
	m := &w.m
	if m.living(w.now) && m.state != Live && m.state != Renewing && m.state != Rejected {
		return "only Live, Renewing and Rejected hold a living token"
	}
	if m.phase == ended || m.phase == ending {
		if m.state != Closed || !m.next.IsZero() || m.lease != nil {
			return "nothing happens after the end"
		}
		return ""
	}
	if m.state == Closed {
		return "nothing happens after the end"
	}
	// "No session is forgotten: something is under way or planned, or a person
	// is needed, or the token never expires."
	switch {
	case m.phase == calling, m.phase == asking && !m.waiting, !m.next.IsZero():
	case w.standing:
	case m.state == Rejected && !k.rules.prints:
	case m.lease != nil && m.lease.span == 0 && m.state == Live:
	default:
		return "no session is forgotten"
	}
	if m.holder != LockedByNobody && m.state != Locked && m.state != Renewing {
		return "only a locked session names who holds the lock"
	}
	if m.waiting && m.phase != asking {
		return "a phase has no leftovers of another"
	}
	return ""
}

// TestEveryReachableState leaves nothing out of the keys of states with PBX_TESTS=all,
// and visits nearly twice as many: should a change of the machine make something matter
// that the shorter key leaves out.
func TestEveryReachableState(t *testing.T) {
	limit := *machineStates
	switch {
	case limit > 0:
	case raceDetector: // there is one goroutine
		limit = 1_000
	case testing.Short():
		limit = 5_000
	}
	all := thorough.Tests()
	for _, k := range driverKinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			states, transitions, fault := explore(&k, limit, all)
			t.Logf("%d states, %d transitions", states, transitions)
			if fault != "" {
				t.Error(fault)
			}
		})
	}
}

// explore visits the states of a kind, breadth first, and returns the first
// fault with the way to it. With all, states differ if any byte of their keys does.
func explore(k *driverKind, limit int, all bool) (states, transitions int, fault string) {
	type node struct {
		parent int32
		move   string
	}
	made := world{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	made.m = machine{rules: k.rules, since: made.now, noBeat: k.rules.noBeat}
	var start, next world
	k.step(&made, &start, &move{e: event{kind: begun}}, 0.5)
	nodes := []node{{parent: -1, move: "begun"}}
	var seen hashes
	seen.add(k.hash(&start, all))
	this, following := []world{start}, []world(nil) // worlds at the same distance from the start
	first := 0                                      // the node of this[0]
	var moves []move
	for len(this) > 0 {
		for i := range this {
			if limit > 0 && first+i >= limit {
				return len(nodes), transitions, ""
			}
			w := &this[i]
			moves = k.moves(w, moves[:0])
			for j := range moves {
				mv := &moves[j]
				broken := k.step(w, &next, mv, 0.5)
				transitions++
				if broken != "" {
					way := []string{mv.name}
					for j := int32(first + i); j >= 0; j = nodes[j].parent {
						way = append(way, nodes[j].move)
					}
					slices.Reverse(way)
					return len(nodes), transitions, broken + "\n\tafter: " + strings.Join(way, " · ") + fmt.Sprintf("\n\tstate %+v", next.m.state)
				}
				if !seen.add(k.hash(&next, all)) {
					continue
				}
				nodes = append(nodes, node{int32(first + i), mv.name})
				following = append(following, next)
				next.own = nil
			}
		}
		first += len(this)
		clear(this)
		this, following = following, this[:0]
	}
	return len(nodes), transitions, ""
}

// Another goroutine may replace the driver before the session has begun.
func TestABeginningThatComesLateDisturbsNoLogin(t *testing.T) {
	now := time.Now()
	m := machine{since: now}
	m.step(now, event{kind: replaced}, 0.5)
	asked := m.step(now, event{kind: woken}, 0.5)
	m.step(now, event{kind: begun}, 0.5)
	if p := m.step(now, event{kind: answered, ticket: asked.ticket}, 0.5); !asked.ask || !p.call || p.op != pbx.OpLogin {
		t.Errorf("asked %v, then %+v, want a login", asked.ask, p)
	}
}
