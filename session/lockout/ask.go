package lockout

import (
	"cmp"
	"slices"
	"time"

	"github.com/pbxauth/pbx"
)

// Login is a login that somebody wants to send.
type Login struct {
	URL         string // Traits.URL
	Account     string // Traits.Account
	Fingerprint Fingerprint
	Limits      Limits
	Timeout     time.Duration // its deadline; 0: 10 s
	Waiting     time.Time     // since when it waits

	// Early: the session has a token that is still valid. The login leaves the last
	// places to sessions without one.
	Early bool

	// NoProbe: the driver has no URL or no transport to check, so that the
	// login itself is the check.
	NoProbe bool
}

// Verdict is what a login may do.
type Verdict int

const (
	// Go: send it. It is booked.
	Go Verdict = iota
	// Wait until Decision.Until, then ask again.
	Wait
	// WaitEvent: ask again after the event that the reason names: another login
	// is settled, or evidence arrives. At Decision.Until at the latest, if set.
	WaitEvent
	// WaitPerson: nothing happens until a person acts.
	WaitPerson
)

// Reason is why a login waits.
type Reason int

const (
	// None: the login goes.
	None Reason = iota
	// PasswordRefused: the PBX refused these credentials, at Decision.Since.
	PasswordRefused
	// MayBeLocked: a refusal of credentials that worked shortly before may have
	// been a lock. One more try follows when the lock has ended.
	MayBeLocked
	// SameCredentials: a login with the same credentials is in flight.
	SameCredentials
	// LockedByPBX: the PBX locked the host or the account, at Decision.Since.
	LockedByPBX
	// AccountPaused: the PBX, or a proxy, asked this account to wait.
	AccountPaused
	// NoPlace: so many logins have gone wrong that one more could lock. See
	// Decision.Used.
	NoPlace
	// OneByOne: another login to the host is in flight.
	OneByOne
	// Pause: the last logins had no clear outcome.
	Pause
	// NoEvidence: the URL has to respond to a check without credentials first.
	// Local.NextCheck says when.
	NoEvidence
	// RetriedJustNow: a person asked for another try less than 10 s ago.
	RetriedJustNow
	// NothingToRetry: no refusal and no pause holds the login back.
	NothingToRetry
)

var reasons = [...]string{
	None:            "go",
	PasswordRefused: "the PBX refused the password",
	MayBeLocked:     "the PBX may have locked this client",
	SameCredentials: "a login with the same credentials is in flight",
	LockedByPBX:     "the PBX locked this client",
	AccountPaused:   "the PBX asked this account to wait",
	NoPlace:         "one more wrong login could lock this client",
	OneByOne:        "another login to this host is in flight",
	Pause:           "the last logins had no clear outcome",
	NoEvidence:      "checking without the password whether the PBX responds",
	RetriedJustNow:  "a retry was requested less than 10 seconds ago",
	NothingToRetry:  "nothing holds the login back",
}

func (r Reason) String() string { return reasons[r] }

// Decision is what a login may do, and why.
type Decision struct {
	Verdict Verdict
	Reason  Reason
	Until   time.Time // zero: not known
	Since   time.Time // of the refusal or the lock
	Booking Booking   // of a login that goes; hand it to Host.Settle
	Used    []Use     // from Ask and Retry with NoPlace: who uses them, oldest first
}

// Use is one booking, for people to read.
type Use struct {
	URL     string
	Account string
	What    string // "in flight", "unclear", "refused", "dead token"
	Since   time.Time
}

const retryInterval = 10 * time.Second

const (
	pauseAfterOne  = time.Second
	pauseAfterMore = 30 * time.Second
	longestPause   = 150 * time.Second // a lock that only logins meet costs no more than three minutes after it
	lastPlacePause = time.Minute       // beyond the window
	failingPause   = time.Hour         // until a login goes though checks fail; then 8 hours, then 64 each
	abandonedPause = 24 * time.Hour    // new credentials with two logins that nobody settled
)

// tally is what the bookings of the host mean for one login.
type tally struct {
	counted    int // against the login's limit: of the host, or of the account
	inFlight   int // at the host
	sameFlying bool
	next       instant // when the first login in flight is overdue
	unclear    int     // unclear bookings that use a place
	own        int     // unclear bookings of the same credentials
	ownLast    instant // when the newest of them became unclear
	abandoned  int     // of these, those that nobody settled
}

func (h *Host) tally(now instant, g Login) tally {
	var n tally
	for i := range h.bookings {
		b := &h.bookings[i]
		if now > b.expires() {
			continue
		}
		same := b.URL == g.URL && b.Fingerprint == g.Fingerprint && b.state != deadToken
		if b.flying(now) {
			n.inFlight++
			if n.next == 0 || b.deadline() < n.next {
				n.next = b.deadline()
			}
			n.sameFlying = n.sameFlying || same
		} else if same && b.undecided(now) {
			n.own++
			n.ownLast = max(n.ownLast, b.ended())
			if b.state == inFlight {
				n.abandoned++
			}
		}
		if counts(b, g) {
			n.counted++
			if b.undecided(now) {
				n.unclear++
			}
		}
	}
	return n
}

// counts reports whether b uses a place that g could book.
func counts(b *Booking, g Login) bool {
	return !g.Limits.None && (!g.Limits.PerAccount || b.URL == g.URL && b.Account == g.Account)
}

// Ask says whether the login may be sent now. It changes nothing.
func (h *Host) Ask(now time.Time, l *Local, g Login) Decision {
	d, _ := h.ask(at(now), l, g)
	if d.Reason == NoPlace {
		d.Used = h.uses(at(now), func(b *Booking) bool { return counts(b, g) })
	}
	return d
}

// uses lists the bookings that are counted.
func (h *Host) uses(now instant, counted func(*Booking) bool) []Use {
	var uses []Use
	for i := range h.bookings {
		if b := &h.bookings[i]; counted(b) && now <= b.expires() {
			uses = append(uses, Use{URL: b.URL, Account: b.Account, What: b.what(now), Since: b.booked.time()})
		}
	}
	slices.SortStableFunc(uses, func(a, b Use) int { return a.Since.Compare(b.Since) })
	return uses
}

// Book asks, and books the login if it may go. id has never been used before.
// The login may be sent once the Host is stored, and has to be settled.
func (h *Host) Book(now time.Time, l *Local, g Login, id ID) Decision {
	t := at(now)
	h.clamp(t)
	h.expire(t)
	d, try := h.ask(t, l, g)
	if d.Verdict != Go {
		return d
	}
	d.Booking = Booking{
		ID: id, URL: g.URL, Account: g.Account, Fingerprint: g.Fingerprint,
		booked: t, timeout: cmp.Or(g.Timeout, loginTimeout), memory: g.Limits.Memory, try: try,
	}
	h.bookings = append(h.bookings, d.Booking)
	return d
}

func (h *Host) ask(now instant, l *Local, g Login) (d Decision, try bool) {
	wait := func(v Verdict, r Reason, until instant) (Decision, bool) {
		return Decision{Verdict: v, Reason: r, Until: until.time()}, false
	}
	l.clamp(now, g.URL)
	c := h.credential(now, g.URL, g.Fingerprint)
	n := h.tally(now, g)

	if c.isRefused() {
		when, may := h.tryAt(c, g.Limits)
		if !may {
			return Decision{Verdict: WaitPerson, Reason: PasswordRefused, Since: c.refused.time()}, false
		}
		if now < when {
			return Decision{Verdict: Wait, Reason: MayBeLocked, Until: when.time(), Since: c.refused.time()}, false
		}
		try = true
	}
	if n.sameFlying {
		return wait(WaitEvent, SameCredentials, n.next+1)
	}
	if k, yes := h.locked(now, g.URL, g.Account); yes {
		return Decision{Verdict: Wait, Reason: LockedByPBX, Until: k.until.time(), Since: k.since.time()}, false
	}
	if until := h.looksLocked(g.Limits); now < until {
		return wait(Wait, MayBeLocked, until)
	}
	if until, yes := l.paused(now, g.URL, g.Account); yes {
		return wait(Wait, AccountPaused, until)
	}

	places := g.Limits.fresh(h.anyProven())
	if c.isProven() || n.own > 0 || try {
		places = g.Limits.all()
	}
	if g.Early { // unclear logins may be other early ones: the next login must not wait for the last place
		places = min(places, g.Limits.fresh(n.unclear > 0))
	}
	if n.counted >= places {
		return h.noPlace(now, g, n, places), false
	}

	together := g.Limits.None && l.doubt == 0 || h.healthy(now, l) && n.counted < g.Limits.several() && !try
	if n.inFlight > 0 && !together {
		return wait(WaitEvent, OneByOne, n.next+1)
	}
	if until := h.pauseUntil(c, n, g.Limits); now < until {
		return wait(Wait, Pause, until)
	}
	if l.doubt > 0 || h.row.count > 0 || n.counted > 0 {
		switch last := lastPlace(n, g.Limits); {
		case g.NoProbe:
			if next := at(l.NextCheck(g.URL)); now < next {
				return wait(Wait, Pause, next)
			}
		case !l.hasEvidence(now, h.unclearSince(), g.URL) && !l.url(g.URL).goesUnchecked(now, c, last),
			h.barred(now, l, c, g.URL, last):
			return wait(WaitEvent, NoEvidence, 0)
		}
	}
	return Decision{Verdict: Go}, try
}

// tryAt is when refused credentials may be tried once more, if at all.
func (h *Host) tryAt(c credential, limits Limits) (instant, bool) {
	if !limits.LooksWrong || !c.mayBeLock() || c.tried > c.proven {
		return 0, false
	}
	if h.forgiven >= h.lastRefused {
		return 0, true
	}
	return max(h.lastRefused, c.refused).add(limits.Window + time.Second), true
}

// looksLocked is until when the host is taken to be locked, because two
// different credentials that worked shortly before were refused.
func (h *Host) looksLocked(limits Limits) instant {
	if !limits.LooksWrong || limits.PerAccount || h.lastRefused <= h.forgiven {
		return 0
	}
	different := 0
	for _, c := range h.credentials {
		if c.mayBeLock() && c.refused > h.lastSuccess {
			different++
		}
	}
	if different < 2 {
		return 0
	}
	return h.lastRefused.add(limits.Window + time.Second)
}

// healthy reports whether logins at the host succeed just now.
func (h *Host) healthy(now instant, l *Local) bool {
	return l.doubt == 0 && l.lastSuccess > l.lastUnclear && h.row.count == 0 && now <= l.lastSuccess.add(10*time.Second)
}

// barred reports whether what responded to logins since the last verdict may still be in
// front of the PBX: a request without credentials gets the same response. A PBX may do
// that of itself, so that the login is tried again all the same, ever more rarely, or when
// a person asks for it. For the last place, which no outage may use, a person has to.
func (h *Host) barred(now instant, l *Local, c credential, url string, lastPlace bool) bool {
	u := l.url(url)
	bars := func(f inFront) bool {
		return f.logins > 0 && f.page.like(u.shown) && c.retried <= f.last && (lastPlace || now < f.last.add(f.pause()))
	}
	return u.shown != u.own && (slices.ContainsFunc(u.inFront, bars) || bars(h.row.inFront))
}

// InFront reports whether what responded to logins may still be in front of the PBX at
// url, so that none goes for which no person has asked.
func (h *Host) InFront(now time.Time, l *Local, url string) bool {
	var asked credential // the newest for which a person has
	for _, c := range h.credentials {
		if c.url == url {
			asked.retried = max(asked.retried, c.retried)
		}
	}
	return h.barred(at(now), l, asked, url, false)
}

// goesUnchecked reports whether a login goes though checks fail: they have failed for
// long, and just now too. For the last place, which no outage may use, a person has to ask
// for it as well.
func (u *urlState) goesUnchecked(now instant, c credential, lastPlace bool) bool {
	if !u.failsLong(now) {
		return false
	}
	if lastPlace {
		return c.retried > max(u.failing, u.tried)
	}
	return now <= u.checked.add(evidenceLasts)
}

// lastPlace reports whether a login would take the last place.
func lastPlace(n tally, limits Limits) bool { return n.counted+1 >= limits.all() && !limits.None }

// unclearSince is the newest unclear outcome that no verdict has followed, in
// whichever process.
func (h *Host) unclearSince() instant {
	if h.row.count == 0 {
		return 0
	}
	return h.row.last
}

// pauseUntil is how long the last unclear outcomes hold the login back. A
// person's retry skips what was unclear before it.
func (h *Host) pauseUntil(c credential, n tally, limits Limits) instant {
	lastPlace := lastPlace(n, limits)
	pause := func(count int, last instant) instant {
		switch {
		case count == 0 || c.retried >= last:
			return 0
		case count == 1:
			return last.add(pauseAfterOne)
		case lastPlace:
			return last.add(limits.Window + lastPlacePause)
		case limits.None: // no place bounds their number, and each may leave a session in the PBX
			return last.add(min(pauseAfterMore<<min(count-2, 3), longestPause))
		}
		return last.add(pauseAfterMore)
	}
	until := pause(n.own, n.ownLast)
	if limits.PerAccount {
		lastPlace = false // what other accounts met is no lock of this one
	}
	until = max(until, pause(h.row.count, h.row.last))
	if n.abandoned >= 2 && !c.isProven() && c.retried < n.ownLast {
		until = max(until, n.ownLast.add(abandonedPause))
	}
	return until
}

// noPlace says what a login without a place waits for.
func (h *Host) noPlace(now instant, g Login, n tally, places int) Decision {
	d := Decision{Verdict: WaitPerson, Reason: NoPlace}
	ends := make([]instant, 0, 8)
	flying := false
	for i := range h.bookings {
		b := &h.bookings[i]
		if end := b.expires(); counts(b, g) && now <= end {
			ends = append(ends, end)
			flying = flying || b.flying(now)
		}
	}
	slices.Sort(ends)
	switch end := ends[len(ends)-places]; {
	case flying:
		d.Verdict, d.Until = WaitEvent, (n.next + 1).time()
	case end < forever:
		d.Verdict, d.Until = Wait, (end + 1).time()
	}
	return d
}

func (b *Booking) what(now instant) string {
	if b.undecided(now) {
		return unclear.String()
	}
	return b.state.String()
}

// Ranks is the number of ranks.
const Ranks = 6

// Rank is the login's place among those that wait, from 0 to Ranks − 1. Lower ranks
// go first: proven credentials before new ones and before those that were refused and
// get one more try. Among these, credentials with one unclear login go first, those
// with more go last. Within a rank, the login that has waited longest goes first.
func (h *Host) Rank(now time.Time, g Login) int { return h.rank(at(now), g) }

func (h *Host) rank(now instant, g Login) int {
	rank := 0
	c := h.credential(now, g.URL, g.Fingerprint)
	if !c.isProven() {
		rank = 3
	}
	switch n := h.tally(now, g); {
	case n.own == 0:
		rank++
	case n.own > 1:
		rank += 2
	}
	return rank
}

// Refused reports whether the PBX has refused the login's credentials. If such a
// login goes all the same, it has the places of proven credentials.
func (h *Host) Refused(now time.Time, g Login) bool {
	c := h.credential(at(now), g.URL, g.Fingerprint)
	return c.isRefused()
}

// Holder is a session that holds a token and could log in anew.
type Holder struct {
	Login  Login
	Idle   bool // nobody uses its token just now
	Single bool // the brand allows one session for each account
}

const reloginInterval = 20 * time.Second

// Relogin returns which holder should log in anew, because its success resets
// the PBX's count and so makes places for waiting, a login with new credentials.
// It returns -1 if none should now, and when to ask again. That time is zero if
// only another event can change it.
func (h *Host) Relogin(now time.Time, l *Local, waiting Login, holders []Holder) (int, time.Time) {
	t := at(now)
	n := h.tally(t, waiting)
	c := h.credential(t, waiting.URL, waiting.Fingerprint)
	switch {
	case waiting.Limits.Reset != pbx.ResetAddress, waiting.Limits.PerAccount,
		c.isProven(), c.isRefused(),
		n.counted < waiting.Limits.fresh(h.anyProven()), n.counted > waiting.Limits.several(),
		l.doubt > 0, n.inFlight > 0:
		return -1, time.Time{}
	}
	if again := h.lastRelogin.add(reloginInterval); h.lastRelogin > 0 && t < again {
		return -1, again.time()
	}
	best, bestRank := -1, 0
	for i, k := range holders {
		known := h.credential(t, k.Login.URL, k.Login.Fingerprint)
		helps := slices.ContainsFunc(h.bookings, func(b Booking) bool { return b.URL == k.Login.URL && b.state != inFlight })
		if !known.isProven() || !helps || k.Login.Limits.Reset != pbx.ResetAddress {
			continue
		}
		rank := 1
		if k.Idle {
			rank++
		}
		if !k.Single {
			rank += 2
		}
		if rank > bestRank {
			best, bestRank = i, rank
		}
	}
	return best, time.Time{}
}

// BookRelogin books the login of a holder that Relogin chose.
func (h *Host) BookRelogin(now time.Time, l *Local, g Login, id ID) Decision {
	d := h.Book(now, l, g, id)
	if d.Verdict == Go {
		h.lastRelogin = at(now)
	}
	return d
}
