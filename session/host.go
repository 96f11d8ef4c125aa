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

// common is what the hosts of a Guard have in common.
type common struct {
	cells    *cells    // nil: the ledgers are in memory
	key      []byte    // of fingerprints; nil: cells.printKey
	limit    *int      // Guard.Limit
	process  string    // the incarnation that bookings are named after
	start    time.Time // of the clock
	booked   atomic.Uint64
	troubled troubled[*host]
}

// now is the time of the ledgers: the wall clock as it was at first, and
// monotonic time since. Setting the clock moves nothing.
func (c *common) now() time.Time { return c.start.Add(time.Since(c.start)).Round(0) }

// printKey returns the key of fingerprints.
func (c *common) printKey(ctx context.Context) ([]byte, error) {
	if c.key != nil {
		return c.key, nil
	}
	return c.cells.printKey.read(ctx)
}

// knownPrintKey is printKey without the store; nil: it is not known yet.
func (c *common) knownPrintKey() []byte {
	if c.key != nil || c.cells == nil {
		return c.key
	}
	if known := c.cells.printKey.known.Load(); known != nil {
		return *known
	}
	return nil
}

// id names a booking.
func (c *common) id() lockout.ID {
	return lockout.ID{Process: c.process, Number: c.booked.Add(1)}
}

// trouble counts the hosts that are in trouble. A host where nothing happens does
// not note that its trouble has passed.
func (c *common) trouble() HostStats {
	for _, h := range c.troubled.passed(time.Now()) {
		h.lookAgain()
	}
	return c.troubled.counts()
}

// host is one host of a Guard: its ledger, the sessions there, and those that wait.
//
// Most hosts of a fleet are in no trouble most of the time. Of these only the
// credentials that work are kept, and the rest is made anew when it is needed.
type host struct {
	common *common
	name   string // empty: the unknown host of one session

	// alert is what requests with tokens read without the lock: the trouble in its
	// lowest byte, and in the other bytes a time in microseconds since common.start.
	// Tokens that were issued before it may be lost. See look.
	alert atomic.Uint64

	notices atomic.Int32 // of refused tokens that nobody has looked at yet

	mu        sync.Mutex // guards what follows
	forgotten bool       // the store may have lost the ledger
	calls     int16      // requests of drivers under way
	members   []*visitor
	proof     lockout.Proof // while there are no books
	*books                  // nil: there is no trouble
}

// books are what is known of a host. host.mu guards them.
type books struct {
	cell   *cell // nil: the ledger is in memory only
	ledger lockout.Host
	local  lockout.Local
	offset time.Duration // from the Guard's clock to the store's
	line   line
	passes time.Time                // of the ledger, as look has noted it
	life   map[string]life          // by URL
	trial  map[string]chan struct{} // by URL: a token is on trial; closed at its end
	told   chan struct{}            // sessions are told that their tokens are suspect; closed when all know; nil: all do
	tells  int                      // how many tell them
	checks map[string]*check        // by URL
	news   []lockout.Refusal        // that the store does not have yet, by the Guard's clock
}

// life is a token that the PBX has accepted: no token that was issued since is
// lost.
type life struct{ issued, sent time.Time }

// check looks whether one URL of a host responds, without credentials, for as
// long as logins wait for that. It is a job of the Manager of a visitor that
// waits, and runs over that visitor's connections. If it fails, or the visitor leaves,
// the next one that waits makes another.
type check struct {
	host *host
	url  string
	job  job

	by         *visitor // guarded by host.mu, as is what follows; nil: it is over
	busy       bool     // one is under way
	failed     bool     // some still wait after the last one, whatever it got
	handedOver bool     // from one visitor to another
}

// lock locks the host and opens its books.
func (h *host) lock() {
	h.mu.Lock()
	if h.books == nil {
		h.books = &books{ledger: h.proof.Host()}
		if c := h.common; h.stored() {
			h.cell = c.cells.of(h.name, c.process)
			h.cell.replica.Keep(&h.ledger) // the store may have forgotten it meanwhile
		}
	}
}

// unlock closes the books if they hold nothing, and unlocks the host.
func (h *host) unlock() {
	if h.calls == 0 && h.line.waiting == 0 && len(h.trial)+len(h.checks) == 0 && h.alert.Load() == 0 && !h.cell.busy() {
		now := h.now()
		if proof, ok := h.ledger.Proof(now); ok && h.local.Quiet(now) {
			h.proof, h.books = proof, nil
		}
	}
	h.mu.Unlock()
}

// stored reports whether the ledger is in a store.
func (h *host) stored() bool { return h.common.cells != nil && h.name != "" }

// now is the time of the ledger.
func (h *host) now() time.Time { return h.common.now().Add(h.offset) }

// here is a time of the ledger by this process's clock.
func (h *host) here(t, now time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.Now().Add(t.Sub(now))
}

// login is the visitor's login with credentials of that fingerprint.
func (h *host) login(v *visitor, print fingerprint, waiting time.Time) lockout.Login {
	return lockout.Login{
		URL: v.traits.URL, Account: v.traits.Account, Fingerprint: v.printOr(print),
		Limits: lockout.Resolve(v.traits.brand().Lockout, *h.common.limit), Timeout: v.limit(pbx.OpLogin), Waiting: waiting,
		NoProbe: !h.probes(v),
	}
}

// probes reports whether the PBX can be checked without a login.
func (h *host) probes(v *visitor) bool {
	_, reaches := pbx.As[pbx.Requester](v.auth)
	return reaches && h.name != ""
}

func (h *host) join(v *visitor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v.member = int32(len(h.members))
	h.members = append(h.members, v)
	if h.books != nil {
		h.look(h.now())
	}
}

// has reports whether the visitor has joined and not left. h.mu is held.
func (h *host) has(v *visitor) bool {
	i := int(v.member)
	return i < len(h.members) && h.members[i] == v
}

func (h *host) leave(v *visitor) {
	h.lock()
	defer h.unlock()
	h.line.drop(v)
	if h.has(v) {
		i, last := v.member, len(h.members)-1
		h.members[i] = h.members[last]
		h.members[i].member = v.member
		h.members[last] = nil
		h.members = h.members[:last]
		h.look(h.now())
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
	return len(h.members) == 0 && h.common.cells == nil && h.ledger.Idle(h.now())
}

// asks reports whether a request with a token that was issued at that time has to ask
// and report.
func (h *host) asks(issued time.Time) bool {
	switch alert := h.alert.Load(); trouble(alert) {
	case 0:
		return false
	case doubtful:
		return time.Since(h.common.start)-time.Since(issued) < time.Duration(alert>>8)*time.Microsecond
	}
	return true
}

// issued is when a token was issued, by the ledger's clock.
func (h *host) issued(at, now time.Time) time.Time {
	if at.IsZero() {
		return at
	}
	return now.Add(-time.Since(at))
}

// isUntold reports whether a token is suspect, and its session may not know yet. h.mu is
// held.
func (h *host) isUntold(url string, issued, now time.Time) bool {
	return h.told != nil && h.ledger.Suspect(url, h.issued(issued, now))
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

// look notes what is wrong at the host. While anything is, requests with tokens
// have to ask and report. h.mu is held.
func (h *host) look(now time.Time) {
	var what trouble
	var passes time.Time
	if len(h.members) > 0 {
		what, passes = h.trouble(now), h.ledger.Passes(now)
	}
	var doubted int64 // in nanoseconds since common.start
	if before := h.local.Careful(now); !before.IsZero() {
		what |= doubtful
		doubted = max(int64(before.Add(-h.offset).Sub(h.common.start.Round(0))), 0)
	}
	if h.tells > 0 {
		what |= careful
	}
	old := h.alert.Swap(uint64((doubted+999)/1000)<<8 | uint64(what))
	if what != trouble(old) || !passes.Equal(h.passes) {
		h.passes = passes
		h.common.troubled.note(h, what, h.here(passes, now))
	}
}

// lookAgain follows what the ledger has learned, or trouble that has passed by time alone.
func (h *host) lookAgain() {
	h.lock()
	defer h.unlock()
	h.look(h.now())
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
	if h.ledger.Trouble(now) {
		what |= careful
	}
	return what
}

// checking is when the visitor's PBX is checked next, if its login waits for that.
func (h *host) checking(v *visitor) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.books == nil || v.waiter == nil || h.checks[v.traits.URL] == nil {
		return time.Time{}
	}
	now := h.now()
	if w := v.waiter; !w.unsure && (w.beat || h.ledger.Ask(now, &h.local, w.login).Reason != lockout.NoEvidence) {
		return time.Time{}
	}
	return h.nextCheck(v.traits.URL, now)
}

// visitors are those of the sessions at the host.
func (h *host) visitors() []*visitor {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.members)
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

// nextCheck is when to check the URL next, by this process's clock. h.mu is held.
func (h *host) nextCheck(url string, now time.Time) time.Time {
	at := h.local.NextCheck(url)
	if at.Before(now) {
		at = now
	}
	return h.here(at, now)
}
