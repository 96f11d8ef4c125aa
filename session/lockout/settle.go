package lockout

import (
	"cmp"
	"slices"
	"time"

	"github.com/pbxauth/pbx"
)

// Bounds of a host.
const (
	maxRefused    = 500
	maxProven     = 2000
	maxDeadTokens = 64
)

// Settle notes what a booked login came to. It returns how many fingerprints
// were dropped because the host has too many, which is worth a line in the log.
func (h *Host) Settle(now time.Time, l *Local, g Login, b Booking, o Outcome) (dropped int) {
	t := at(now)
	h.clamp(t)
	h.expire(t)
	l.clamp(t, g.URL)
	i := slices.IndexFunc(h.bookings, func(k Booking) bool { return k.ID == b.ID })
	gone := t > b.expires() || slices.ContainsFunc(h.clearings, func(c clearing) bool { return c.covers(&b, t) })
	remove := func() {
		if i >= 0 {
			h.bookings = slices.Delete(h.bookings, i, i+1)
		}
	}
	settleAs := func(s state) {
		if g.Limits.None {
			remove()
			return
		}
		b.state, b.settled = s, t
		if i >= 0 {
			h.bookings[i] = b
		} else if !gone { // the store forgot it
			h.bookings = append(h.bookings, b)
		}
	}

	if c := h.credential(t, b.URL, b.Fingerprint); o.Kind == NotJudged && !c.isProven() {
		o.Kind = Unclear // the page may be wrong, and the password too
	}
	switch o.Kind {
	case Success:
		remove()
		dropped = h.success(t, l, g, b)
		l.endPause(b.URL, b.Account)
	case Refused:
		settleAs(refused)
		dropped = h.refuse(t, b)
		l.endPause(b.URL, b.Account)
	case Locked:
		remove()
		h.lockedBy(t, g, o.RetryAfter)
	case TooManySessions:
		remove()
		if o.RetryAfter > 0 {
			l.pause(b.URL, b.Account).until = t.add(min(o.RetryAfter, 24*time.Hour))
		}
	case NotJudged:
		remove()
		l.postpone(t, b.URL, b.Account, o.RetryAfter)
	case Throttled:
		remove()
		l.throttle(t, b.URL, b.Account, o.RetryAfter)
		return 0
	case Withdrawn:
		remove()
		return 0
	case NotSent:
		remove()
		l.bad(b.booked, t, b.URL, false, o.Page)
		h.noProbeFailed(t, l, g)
		return 0
	default:
		settleAs(unclear)
		h.row.note(b.booked, t, g.Limits.Window, o.Page)
		l.bad(b.booked, t, b.URL, true, o.Page)
		h.noProbeFailed(t, l, g)
		return 0
	}
	l.good(b.booked, t, b.URL, h.row.inFront)
	if h.row.count > 0 {
		h.row = row{last: t}
	}
	return dropped
}

// note notes an unclear outcome of a login that was booked at that time.
func (r *row) note(booked, now instant, window time.Duration, page Page) {
	switch {
	case r.count == 0, now > r.last.add(window+lastPlacePause): // no pause by their number is longer
		r.count, r.since = 1, now
	case booked > r.since: // not one of several that met the same fault
		r.count++
	}
	r.last = now
	if page != (Page{}) {
		r.inFront.note(page, booked, now)
	}
}

// noProbeFailed lets a login that is its own check move the schedule of checks.
func (h *Host) noProbeFailed(now instant, l *Local, g Login) {
	if g.NoProbe {
		l.Checked(g.URL, now.time(), now.time(), Page{})
	}
}

func (h *Host) success(now instant, l *Local, g Login, b Booking) (dropped int) {
	c := h.credential(now, b.URL, b.Fingerprint)
	known := c.isProven()
	if b.booked >= c.refused { // else it is late news
		c.proven = max(c.proven, b.booked, c.refused+1)
	}
	h.setCredential(c)
	l.lastSuccess = now

	// The credentials are right, so that what was unclear was no wrong login.
	h.bookings = slices.DeleteFunc(h.bookings, func(k Booking) bool {
		return k.URL == b.URL && k.Fingerprint == b.Fingerprint && k.booked <= b.booked && k.undecided(now)
	})
	if b.try {
		h.clear(clearing{kind: clearedTry, url: b.URL, print: b.Fingerprint, at: b.booked}, now)
	}
	switch g.Limits.Reset {
	case pbx.ResetAddress:
		h.clear(clearing{kind: clearedURL, url: b.URL, at: b.booked}, now)
	case pbx.ResetAccount:
		h.clear(clearing{kind: clearedAccount, url: b.URL, account: b.Account, at: b.booked}, now)
	}
	for i := range h.locks {
		if k := &h.locks[i]; k.since <= b.booked && k.holds(b.URL, b.Account) {
			k.until = min(k.until, now)
		}
	}
	h.lastSuccess = max(h.lastSuccess, b.booked)
	if !known {
		dropped = h.prune()
	}
	return dropped
}

func (h *Host) refuse(now instant, b Booking) (dropped int) {
	c := h.credential(now, b.URL, b.Fingerprint)
	if b.booked < c.proven {
		return 0 // late news: they have worked since
	}
	c.refused = max(b.booked, c.proven+1, c.retried)
	if b.try {
		c.tried = c.refused
	}
	h.setCredential(c)
	h.lastRefused = now
	return h.prune()
}

func (h *Host) lockedBy(now instant, g Login, after time.Duration) {
	window := g.Limits.Window
	if after <= 0 || after > window+time.Hour {
		after = window
	}
	k := lock{since: now, until: now.add(after), window: max(after, window)}
	if g.Limits.PerAccount {
		k.url, k.account = g.URL, g.Account
	}
	h.setLock(k)
}

// prune drops the oldest fingerprints beyond the bounds.
func (h *Host) prune() (dropped int) {
	if len(h.credentials) <= maxRefused {
		return 0
	}
	proven, others := 0, 0
	for i := range h.credentials {
		if h.credentials[i].isProven() {
			proven++
		} else {
			others++
		}
	}
	for ; proven > maxProven; proven-- {
		h.dropOldest(true)
		dropped++
	}
	for ; others > maxRefused; others-- {
		h.dropOldest(false)
		dropped++
	}
	return dropped
}

func (h *Host) dropOldest(proven bool) {
	oldest := -1
	for i := range h.credentials {
		if h.credentials[i].isProven() == proven && (oldest < 0 || h.credentials[i].newest() < h.credentials[oldest].newest()) {
			oldest = i
		}
	}
	h.credentials = slices.Delete(h.credentials, oldest, oldest+1)
}

// Retry is a person's wish to have a login tried again. It removes the refusal
// and skips the pauses, but removes no booking. Decision.Reason says why nothing was
// done: there is no place, the PBX has locked, the last retry was less than 10 s ago,
// or nothing holds the login back. [None] means that it was done. After None and after
// [NoEvidence], a check of the URL is due (see [Local.NextCheck]).
func (h *Host) Retry(now time.Time, l *Local, g Login) Decision {
	t := at(now)
	h.clamp(t)
	c := h.credential(t, g.URL, g.Fingerprint)
	justNow := func(last instant) Decision {
		return Decision{Verdict: Wait, Reason: RetriedJustNow, Until: last.add(retryInterval).time()}
	}
	if c.retried > 0 && t < c.retried.add(retryInterval) {
		return justNow(c.retried)
	}
	l.resume(g.URL, g.Account)
	before := h.Ask(now, l, g)
	old := c
	c.retried = max(t, c.refused+1)
	last := lastPlace(h.tally(t, g), g.Limits)
	switch before.Reason {
	case PasswordRefused, MayBeLocked, Pause:
	case NoEvidence:
		if h.barred(t, l, old, g.URL, last) || l.url(g.URL).goesUnchecked(t, c, last) {
			break // the person's wish decides, and not the next check
		}
		if !l.checkNow(t, g.URL) {
			return justNow(l.url(g.URL).asked)
		}
		return before
	default:
		before.Reason = cmp.Or(before.Reason, NothingToRetry)
		return before
	}
	h.setCredential(c)
	after := h.Ask(now, l, g)
	switch after.Reason {
	case NoPlace, LockedByPBX, AccountPaused, MayBeLocked:
		h.setCredential(old)
		return after
	}
	l.checkNow(t, g.URL)
	h.prune()
	return Decision{}
}

// Forgotten is what Forgive removed.
type Forgotten struct {
	Bookings []Use
	Locks    int
}

// Forgive forgets all wrong logins and locks of the host: a person has unlocked
// this client at the PBX. Refused credentials stay refused. Logins of the last
// two minutes without a verdict stay booked, because the PBX may still judge them.
func (h *Host) Forgive(now time.Time) Forgotten {
	t := at(now)
	h.clamp(t)
	h.expire(t)
	var f Forgotten
	c := clearing{kind: clearedHost, at: t}
	f.Bookings = h.uses(t, func(b *Booking) bool { return c.covers(b, t) })
	h.clear(c, t)
	for i := range h.locks {
		if k := &h.locks[i]; k.until > t {
			f.Locks++
			k.until = t
		}
	}
	h.row = row{last: t}
	h.forgiven = t
	return f
}

// TokenRefused notes that the PBX refused a token before its expiry. g is the login of
// the session that used the token. Where such requests count as wrong logins, the
// refusal is booked under its ID.
//
// If the token is suspect (see [Host.Suspect]), TokenRefused returns a time: all tokens
// of the URL that were issued until then are suspect. Otherwise it returns zero: dead
// tokens do not count, or nobody says whether they do and this is the first that was
// refused (see [Local.OneTokenAtATime]).
func (h *Host) TokenRefused(now time.Time, l *Local, g Login, r Refusal) (until time.Time) {
	t := at(now)
	h.clamp(t)
	l.clamp(t, g.URL)
	u := l.url(g.URL)
	switch {
	case g.Limits.None || g.Limits.DeadTokens == pbx.DeadTokensIgnored:
		u.care = care{}
		return time.Time{}
	case g.Limits.DeadTokens == pbx.DeadTokensCount:
		dead := 0
		for _, b := range h.bookings {
			if b.state == deadToken {
				dead++
			}
		}
		if dead < maxDeadTokens {
			h.bookings = append(h.bookings, Booking{
				ID: r.ID, URL: g.URL, Account: g.Account, Fingerprint: g.Fingerprint,
				state: deadToken, booked: t, settled: t, memory: g.Limits.Memory,
			})
		}
		return h.TokensLost(now, g.URL, r.Read)
	}
	dead := refusedToken{r.ID, r.Token, at(r.Issued), min(at(r.Read), t)}
	if !u.note(t, dead) {
		return time.Time{}
	}
	until = h.maybeLost(u, g.Limits, dead.issued, dead.read)
	u.care.own = u.care.doubted > 0
	return until
}

// maybeLost is TokenRefused where nobody says whether dead tokens count.
func (h *Host) maybeLost(u *urlState, limits Limits, issued, read instant) (until time.Time) {
	if !h.Suspect(u.url, issued.time()) { // else the other refusals said it
		before := u.care.refused(issued, read, limits.Memory)
		if before == 0 {
			return time.Time{}
		}
		h.setSuspect(suspect{u.url, before - 1})
	}
	for _, s := range h.suspects {
		if s.url == u.url {
			return (s.before + 1).time().Add(-1) // the end of that millisecond
		}
	}
	return time.Time{}
}

// TokensLost makes the tokens of the URL suspect that were issued before the PBX refused
// one, at that time, where such requests count as wrong logins. It returns until when
// these were issued. [Host.TokenRefused] does that too, and books the refusal.
func (h *Host) TokensLost(now time.Time, url string, read time.Time) (until time.Time) {
	h.setSuspect(suspect{url, min(at(read), at(now))})
	return read
}

// KeepSuspects makes the tokens suspect that are suspect in other: h may have been
// loaded from a store before they became so.
func (h *Host) KeepSuspects(now time.Time, other *Host) {
	for _, s := range other.suspects {
		h.setSuspect(suspect{s.url, min(s.before, at(now))})
	}
}

func (h *Host) setSuspect(s suspect) {
	for i := range h.suspects {
		if k := &h.suspects[i]; k.url == s.url {
			k.before = max(k.before, s.before)
			return
		}
	}
	h.suspects = append(h.suspects, s)
}

// TokenAccepted notes that the PBX accepted a token of url: when the token was
// issued, when the request was sent and when its response was read.
func (l *Local) TokenAccepted(url string, issued, sent, read time.Time) {
	l.url(url).care.accepted(at(issued), at(sent))
	l.Evidence(url, sent, read)
}

// OneTokenAtATime reports whether a token of url that was issued at that time must wait
// while another such token is in use: one was refused, nobody says whether that counts
// as a wrong login, and this one may be dead too.
func (l *Local) OneTokenAtATime(url string, issued, now time.Time) bool {
	return at(issued) < l.url(url).care.before(at(now))
}

// Careful returns a time: tokens that were issued before it, of at least one URL, have to
// be used one at a time (see [Local.OneTokenAtATime]). Zero: none have.
func (l *Local) Careful(now time.Time) time.Time {
	var before instant
	for i := range l.urls {
		before = max(before, l.urls[i].care.before(at(now)))
	}
	return before.time()
}

// Suspect reports whether a token of url that was issued at that time is probably dead:
// the PBX seems to have lost all tokens up to some moment, and this is one of them. Do
// not send it any more, not even in a logout.
func (h *Host) Suspect(url string, issued time.Time) bool {
	for _, s := range h.suspects {
		if s.url == url {
			return at(issued) <= s.before
		}
	}
	return false
}
