package lockout

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"sort"
	"strings"
	"time"
)

// Host is what is known about the logins to one host: which of them count
// against the PBX's limit, which credentials were refused or accepted, and what
// the PBX has locked. It is a value that processes share through a store: see
// [Replica]. The zero Host has seen nothing.
//
// A host is a name or address without a port. Its methods change nothing but
// the Host and the [Local] that they are given.
type Host struct {
	bookings    []Booking
	credentials []credential // ordered by URL, then fingerprint
	locks       []lock
	clearings   []clearing // the newest 64
	suspects    []suspect
	row         row

	lastSuccess instant // when the newest accepted login was booked
	lastRefused instant // when the newest refusal was read
	lastRelogin instant
	forgiven    instant
}

// Fingerprint is the beginning of a keyed digest of credentials. It is not a
// secret, and equal for equal credentials under one key.
type Fingerprint [8]byte

// FingerprintOf cuts a keyed digest (HMAC-SHA256) to a Fingerprint.
func FingerprintOf(digest []byte) Fingerprint {
	var f Fingerprint
	copy(f[:], digest)
	return f
}

// ID names a booking: the incarnation of a process, and a number in it.
type ID struct {
	Process string
	Number  uint64
}

// Booking is a login (or a dead token) that has to be counted, because the PBX
// may have counted it.
type Booking struct {
	ID          ID
	URL         string
	Account     string
	Fingerprint Fingerprint

	state   state
	booked  instant
	settled instant       // 0 while in flight
	timeout time.Duration // of the login
	memory  time.Duration // how long the PBX counts it
	try     bool          // the one try of refused credentials: see LooksWrong
}

type state uint8

const (
	inFlight state = iota
	unclear
	refused
	deadToken
)

func (s state) String() string {
	return [...]string{"in flight", "unclear", "refused", "dead token"}[s]
}

// deadline is when a booking in flight is taken for unclear: its process was
// stopped, or killed.
func (b *Booking) deadline() instant { return b.booked.add(b.timeout + overdue) }

// flying reports whether the login may still be settled.
func (b *Booking) flying(now instant) bool { return b.state == inFlight && now <= b.deadline() }

// undecided reports whether the PBX's verdict is unknown and will stay so.
func (b *Booking) undecided(now instant) bool {
	return b.state == unclear || b.state == inFlight && now > b.deadline()
}

// ended is when an undecided login became unclear.
func (b *Booking) ended() instant {
	if b.state == inFlight {
		return b.deadline()
	}
	return b.settled
}

// expires is when the PBX has certainly forgotten the login.
func (b *Booking) expires() instant {
	memory := b.memory
	if memory < math.MaxInt64-granularity {
		memory += granularity
	}
	switch b.state {
	case refused, deadToken:
		return b.settled.add(memory)
	}
	return b.judged().add(memory)
}

// judged is when the PBX has judged an undecided login, if it does at all.
func (b *Booking) judged() instant { return max(b.deadline(), b.settled).add(lateVerdict) }

// credential is what is known of one fingerprint at one URL. Its times are
// those at which the logins were booked, so that they order what the PBX saw,
// not what arrived late.
type credential struct {
	url     string
	print   Fingerprint
	proven  instant // the last success
	refused instant // the last refusal
	retried instant // a person asked for another try
	tried   instant // the refusal that used up the one try of LooksWrong
}

func (c *credential) isProven() bool  { return c.proven > c.refused }
func (c *credential) isRefused() bool { return c.refused > c.proven && c.refused >= c.retried }

func (c *credential) newest() instant { return max(c.proven, c.refused, c.retried) }

// justWorked is how recently refused credentials must have worked for the refusal to be
// taken for a lock, at a PBX whose lock looks like a wrong password. A session logs in
// once in its token's lifetime, which is four hours at the longest of such PBXs.
const justWorked = 6 * time.Hour

// mayBeLock reports whether the refusal may have been a lock that looks like a
// wrong password: the credentials had worked shortly before.
func (c *credential) mayBeLock() bool {
	return c.isRefused() && c.proven > 0 && c.refused.sub(c.proven) <= justWorked
}

// lock is a lock that the PBX stated.
type lock struct {
	url, account string // both empty: the whole host
	since, until instant
	window       time.Duration
}

// holds reports whether the lock is that of the whole host, or of the account.
func (l *lock) holds(url, account string) bool {
	return l.url == "" && l.account == "" || l.url == url && l.account == account
}

// clearing is an event that removed bookings. It is kept, so that a process
// that saw the bookings before does not put them back.
type clearing struct {
	kind    clearingKind
	url     string
	account string
	print   Fingerprint
	at      instant // what the PBX had counted before is gone
}

type clearingKind uint8

const (
	clearedHost    clearingKind = iota // a person unlocked the PBX
	clearedURL                         // a success resets the address
	clearedAccount                     // a success resets the account
	clearedTry                         // the one try of LooksWrong succeeded: it was a lock
)

const maxClearings = 64

// covers reports whether b had been counted for certain when c took place.
func (c *clearing) covers(b *Booking, now instant) bool {
	switch c.kind {
	case clearedHost:
	case clearedURL:
		if b.URL != c.url {
			return false
		}
	case clearedAccount:
		if b.URL != c.url || b.Account != c.account {
			return false
		}
	case clearedTry:
		return b.state == refused && b.URL == c.url && b.Fingerprint == c.print && b.settled <= c.at
	}
	if b.undecided(now) {
		// A slow PBX may judge it after c, and count it anew.
		return b.judged() <= c.at
	}
	return b.state != inFlight && b.settled <= c.at
}

// suspect says that tokens of one URL issued before an instant are probably dead.
type suspect struct {
	url    string
	before instant
}

// row is a row of unclear outcomes without a verdict between them.
type row struct {
	count   int
	since   instant // of the first
	last    instant // of the newest, or of the verdict that ended the row
	inFront inFront // since the last verdict, even if the row began anew
}

// clamp takes times in the future for now, because a clock was set back, and reports
// whether there were any.
func (h *Host) clamp(now instant) (ahead bool) {
	clamp := func(times ...*instant) {
		for _, t := range times {
			ahead = ahead || *t > now
			*t = min(*t, now)
		}
	}
	for i := range h.bookings {
		b := &h.bookings[i]
		clamp(&b.booked, &b.settled)
	}
	for i := range h.locks {
		l := &h.locks[i]
		clamp(&l.since)
		if l.until > now.add(l.window+time.Hour) {
			l.until, ahead = now.add(l.window), true
		}
	}
	for i := range h.clearings {
		clamp(&h.clearings[i].at)
	}
	for i := range h.suspects {
		clamp(&h.suspects[i].before)
	}
	clamp(&h.row.since, &h.row.last, &h.row.inFront.last, &h.lastSuccess, &h.lastRefused, &h.lastRelogin, &h.forgiven)
	return ahead
}

// clampCredentials is clamp for the credentials, of which there may be many.
func (h *Host) clampCredentials(now instant) (ahead bool) {
	for i, c := range h.credentials {
		h.credentials[i] = c.clamped(now)
		ahead = ahead || h.credentials[i] != c
	}
	return ahead
}

// clamped is c without times in the future, and with the same verdict.
func (c credential) clamped(now instant) credential {
	switch {
	case c.isProven():
		c.proven = min(c.proven, now)
		c.refused = min(c.refused, c.proven-1)
		c.retried = min(c.retried, now)
	case c.isRefused():
		c.refused = min(c.refused, now)
		c.proven = max(min(c.proven, c.refused-1), 0)
		c.retried = min(c.retried, c.refused)
	default:
		c.retried = min(c.retried, now)
		c.refused = min(c.refused, c.retried-1)
		c.proven = min(c.proven, c.refused)
	}
	c.refused, c.proven, c.retried = max(c.refused, 0), max(c.proven, 0), max(c.retried, 0)
	c.tried = min(c.tried, now)
	return c
}

func compareCredentials(a, b *credential) int {
	if order := strings.Compare(a.url, b.url); order != 0 {
		return order
	}
	return bytes.Compare(a.print[:], b.print[:])
}

// place returns where the credential stands in the order, or would stand.
func (h *Host) place(c *credential) (int, bool) {
	return sort.Find(len(h.credentials), func(i int) int { return compareCredentials(c, &h.credentials[i]) })
}

// credential returns what is known of the fingerprint: nothing, if it is new.
func (h *Host) credential(now instant, url string, print Fingerprint) credential {
	key := credential{url: url, print: print}
	i, found := h.place(&key)
	if !found {
		return key
	}
	return h.credentials[i].clamped(now)
}

func (h *Host) setCredential(c credential) {
	i, found := h.place(&c)
	if found {
		h.credentials[i] = c
	} else {
		h.credentials = slices.Insert(h.credentials, i, c)
	}
}

// anyProven reports whether some credentials at the host work.
func (h *Host) anyProven() bool {
	for i := range h.credentials {
		if h.credentials[i].isProven() {
			return true
		}
	}
	return false
}

// expire removes the bookings that the PBX has forgotten, and locks that are over. A
// lock that ended sooner than the PBX stated stays until then, because another process
// may not know.
func (h *Host) expire(now instant) {
	h.bookings = slices.DeleteFunc(h.bookings, func(b Booking) bool { return now > b.expires() })
	h.locks = slices.DeleteFunc(h.locks, func(l lock) bool { return now > max(l.until, l.since.add(l.window)) })
}

// clear removes what c covers, and remembers c if that was anything.
func (h *Host) clear(c clearing, now instant) {
	before := len(h.bookings)
	h.bookings = slices.DeleteFunc(h.bookings, func(b Booking) bool { return c.covers(&b, now) })
	if len(h.bookings) < before || c.kind == clearedHost {
		h.remember(c)
	}
}

func (h *Host) remember(c clearing) {
	for i, known := range h.clearings {
		known.at = c.at
		if known == c {
			h.clearings[i].at = max(h.clearings[i].at, c.at)
			return
		}
	}
	h.clearings = append(h.clearings, c)
	if len(h.clearings) > maxClearings {
		oldest := slices.MinFunc(h.clearings, func(a, b clearing) int { return cmp.Compare(a.at, b.at) })
		h.clearings = slices.DeleteFunc(h.clearings, func(k clearing) bool { return k == oldest })
	}
}

// locked returns the lock that holds the account, if there is one.
func (h *Host) locked(now instant, url, account string) (lock, bool) {
	var found lock
	for _, l := range h.locks {
		if l.holds(url, account) && l.until > now && l.until > found.until {
			found = l
		}
	}
	return found, found.until > 0
}

func (h *Host) setLock(l lock) {
	i := slices.IndexFunc(h.locks, func(k lock) bool { return k.url == l.url && k.account == l.account })
	if i < 0 {
		h.locks = append(h.locks, l)
		return
	}
	k := &h.locks[i]
	if l.since > k.since || l.since == k.since && l.until < k.until {
		*k = l
	}
}
