package lockout

import (
	"slices"
	"strings"
	"time"
)

// Local is what one process has seen of a host itself, and does not share:
// whether the host is in doubt, and which of its URLs respond. The zero Local has
// seen nothing.
type Local struct {
	doubt       instant // since when the host is in doubt; 0: it is not
	lastBad     instant // the newest outcome that was unclear or not sent
	lastUnclear instant
	lastSuccess instant
	urls        []urlState // ordered by URL: a host may have thousands
	pauses      map[account]*accountPause
}

// urlState is the evidence about one Traits.URL.
type urlState struct {
	url      string
	sent     instant // when the newest request was sent that got a usable response
	evidence instant // when that response was read
	checks   int     // of this outage
	since    instant // when the first of them was sent
	checked  instant // when the newest of them ended
	asked    instant // when a person last asked for another
	owed     bool    // that one was not sent yet
	care     care
	refused  []refusedToken // lately
	shown    Page           // the check that is the evidence; zero: it is none
	inFront  []inFront      // since the last verdict, the newest pages last
	own      Page           // what checks get as well though the PBX is up; zero: nothing is known

	got     Page    // by the newest check; zero: no response
	slow    bool    // that response took longer than a check may take at first
	failing instant // since when checks get 5xx, and none shows that the PBX is up; 0: they do not
	tries   int     // logins that were sent all the same after that long, and got no verdict
	tried   instant // when the newest login without a verdict ended, while checks failed
	usual   int     // the status 5xx that checks get though the PBX is up; 0: none is known
}

// account is one at one Traits.URL.
type account struct{ url, name string }

// accountPause is what HTTP 429 or too many sessions asked for, or what follows
// logins that the PBX did not judge.
type accountPause struct {
	throttled int
	postponed instant // when the PBX first did not judge a login
	until     instant
}

func (l *Local) url(url string) *urlState {
	i, known := slices.BinarySearchFunc(l.urls, url, func(u urlState, url string) int { return strings.Compare(u.url, url) })
	if !known {
		l.urls = slices.Insert(l.urls, i, urlState{url: url})
	}
	return &l.urls[i]
}

// clamp takes times in the future for now, as far as they matter at the URL.
func (l *Local) clamp(now instant, url string) {
	l.doubt, l.lastBad, l.lastUnclear = min(l.doubt, now), min(l.lastBad, now), min(l.lastUnclear, now)
	l.lastSuccess = min(l.lastSuccess, now)
	u := l.url(url)
	u.sent, u.evidence, u.since, u.checked = min(u.sent, now), min(u.evidence, now), min(u.since, now), min(u.checked, now)
	u.asked, u.failing, u.tried = min(u.asked, now), min(u.failing, now), min(u.tried, now)
	for i := range u.inFront {
		u.inFront[i].last = min(u.inFront[i].last, now)
	}
	c := &u.care
	c.doubted, c.oldest, c.since = min(c.doubted, now), min(c.oldest, now), min(c.since, now)
	c.until = min(c.until, now.add(assumedMemory+granularity))
}

// Shift moves all times by the difference to another clock. This process has seen them
// by its own clock, which the other one does not change.
func (l *Local) Shift(by time.Duration) {
	ms := instant(by / time.Millisecond)
	shift(ms, &l.doubt, &l.lastBad, &l.lastUnclear, &l.lastSuccess)
	for i := range l.urls {
		u := &l.urls[i]
		shift(ms, &u.sent, &u.evidence, &u.since, &u.checked, &u.asked, &u.failing, &u.tried)
		for i := range u.inFront {
			shift(ms, &u.inFront[i].last)
		}
		u.care.shift(ms)
		for i := range u.refused {
			shift(ms, &u.refused[i].issued, &u.refused[i].read)
		}
	}
	for _, p := range l.pauses {
		shift(ms, &p.postponed, &p.until)
	}
}

// shift moves times. Never stays never.
func shift(by instant, times ...*instant) {
	for _, t := range times {
		if *t > 0 {
			*t = max(*t+by, 1)
		}
	}
}

// bad notes an outcome at url, of a login booked at that time, that leaves the host in
// doubt. page is what something in front of the PBX may have responded with.
func (l *Local) bad(booked, now instant, url string, sent bool, page Page) {
	if l.doubt == 0 {
		l.doubt = now
		for i := range l.urls {
			l.urls[i].checks = 0
		}
	}
	l.lastBad = now
	u := l.url(url)
	if page != (Page{}) {
		u.met(page, booked, now)
	}
	if u.fails(booked) {
		if u.failsLong(booked) {
			u.tries++
		}
		u.tried = now
	}
	if sent {
		l.lastUnclear = now
	}
	for i := range l.urls {
		l.urls[i].evidence = 0 // it is older than what has just been seen
	}
}

// met notes that a login, booked at that time, got a page.
func (u *urlState) met(page Page, booked, now instant) {
	var newest inFront
	var others []inFront
	for _, f := range u.inFront {
		if page.like(f.page) {
			newest = f
		} else {
			others = append(others, f)
		}
	}
	newest.note(page, booked, now)
	u.inFront = append(others[max(0, len(others)-maxPages+1):], newest)
}

// good notes a verdict on a login that was sent at one time and judged at another:
// the host works. others are the logins of all processes that something in front of the
// PBX responded to.
func (l *Local) good(sent, now instant, url string, others inFront) {
	l.doubt = 0
	l.url(url).judged(sent, others)
	for i := range l.urls {
		l.urls[i].checks = 0
	}
	l.Evidence(url, sent.time(), now.time())
}

// Evidence notes a response that this process has read from url: a token was
// accepted, a login was judged, or a check without credentials got a status that shows
// that the PBX is up. A response to a request that was sent before the newest bad
// outcome proves nothing.
func (l *Local) Evidence(url string, sent, read time.Time) {
	if at(sent) >= l.lastBad {
		u := l.url(url)
		u.sent, u.evidence, u.shown = at(sent), max(u.evidence, at(read)), Page{}
	}
}

// Checked notes a check of url, a GET without credentials: when it was sent, when
// it ended, and its response, zero without one. It returns whether the check is
// evidence: see [Responds]. A status 5xx is too, if it is known from when the PBX was up.
func (l *Local) Checked(url string, sent, ended time.Time, page Page) bool {
	u, status := l.url(url), page.Status
	shows := Responds(status) || status > 0 && status == u.usual
	early := u.owed && u.checks > 0 && at(sent) < u.checked.add(u.interval())
	if u.stale(at(sent)) { // nobody waited for evidence in between: this is another outage
		u.checks, u.failing = 0, 0
	}
	if shows && !page.like(u.got) { // a login that cannot go at once needs another check soon
		u.checks = 0
	}
	if shows || !early { // it is one of the schedule
		if u.checks == 0 {
			u.since = at(sent)
		}
		u.checks++
		u.checked = at(ended)
	}
	u.got, u.owed = page, u.owed && at(sent) < u.asked
	u.slow = status > 0 && ended.Sub(sent) > checkTimeout
	switch {
	case Responds(status):
		u.failing, u.tries, u.usual = 0, 0, 0
	case status > 0 && u.failing == 0:
		u.failing = at(sent)
	}
	if !shows {
		return false
	}
	l.Evidence(url, sent, ended)
	u.shown = page
	return true
}

// stale reports whether the newest check is so old at t that nobody has waited for
// evidence since.
func (u *urlState) stale(t instant) bool { return t > u.checked.add(2*u.interval()+30*time.Second) }

// fails reports whether the newest check at t got 5xx, and none of this outage showed
// that the PBX is up.
func (u *urlState) fails(t instant) bool { return u.failing > 0 && u.got.Status > 0 && !u.stale(t) }

// failsLong reports whether checks have failed for so long at t that they may fail at a
// PBX that is up, too.
func (u *urlState) failsLong(t instant) bool {
	return u.fails(t) && t >= max(u.failing, u.tried).add(failingPause<<min(3*u.tries, 6))
}

// FailsLong reports whether checks of url have got 5xx for so long that a login goes all
// the same, if it does not take the last place.
func (l *Local) FailsLong(url string, now time.Time) bool { return l.url(url).failsLong(at(now)) }

// judged notes a verdict on a login that was sent at that time. If it was sent right
// after a check that had failed for long, or got the page that logins had got, such a
// check says nothing about the PBX.
func (u *urlState) judged(sent instant, others inFront) {
	if u.checked <= sent && sent <= u.checked.add(evidenceLasts) {
		if u.failsLong(sent) {
			u.usual = u.got.Status
		}
		if slices.ContainsFunc(append(u.inFront, others), func(f inFront) bool { return f.page.like(u.shown) }) {
			u.own = u.shown
		}
	}
	u.tries, u.inFront = 0, nil
}

// checkNow makes a check of url due, because a person asks for it. It reports whether
// one is: another is not due for 10 s.
func (l *Local) checkNow(now instant, url string) bool {
	u := l.url(url)
	if !u.owed && (u.asked == 0 || now >= u.asked.add(retryInterval)) {
		u.asked, u.owed = now, true
	}
	return u.owed
}

// The schedule of checks: at once, after 1, 2 and 4 seconds more, then every
// 5 seconds or 1 % of the time since the first. It begins anew when the PBX responds, or
// responds in another way.
const (
	checkAfterUnclear = time.Second
	slowestCheck      = 5 * time.Minute
	checkTimeout      = 5 * time.Second
	slowAfter         = 10 * time.Minute
	evidenceLasts     = 2 * time.Second
)

// NextCheck is when url should be checked next, while a login waits for
// evidence about it. Ask again after each outcome: it may have become earlier.
func (l *Local) NextCheck(url string) time.Time {
	u := l.url(url)
	var next instant
	if l.lastUnclear > 0 {
		next = l.lastUnclear.add(checkAfterUnclear)
	}
	if u.checks > 0 && !u.owed {
		next = max(next, u.checked.add(u.interval()))
	}
	return next.time()
}

// CheckTimeout is how long the next check of url may take: 5 seconds, or as long as a
// login, 10 seconds, when checks have gone on for ten minutes, or when the newest response
// took longer than 5 seconds. A PBX may be that slow.
func (l *Local) CheckTimeout(url string) time.Duration {
	if u := l.url(url); u.slow || u.checks > 0 && u.checked >= u.since.add(slowAfter) {
		return loginTimeout
	}
	return checkTimeout
}

// interval is the time between the last check and the next.
func (u *urlState) interval() time.Duration {
	if u.checks <= 3 {
		return time.Second << max(u.checks-1, 0)
	}
	return min(max(5*time.Second, u.checked.sub(u.since)/100), slowestCheck)
}

// hasEvidence reports whether the URL responded just now, to a request sent
// after the bad outcome of whichever process was the last.
func (l *Local) hasEvidence(now, bad instant, url string) bool {
	u := l.url(url)
	return u.evidence > 0 && now <= u.evidence.add(evidenceLasts) && u.sent >= bad
}

// Responds reports whether this process has read a response from url just now.
func (l *Local) Responds(url string, now time.Time) bool {
	return l.hasEvidence(at(now), 0, url)
}

// throttle notes HTTP 429: a pause of after, or of 5 seconds, doubled each time.
func (l *Local) throttle(now instant, url, account string, after time.Duration) {
	p := l.pause(url, account)
	wait := min(5*time.Second<<min(p.throttled, 10), 5*time.Minute)
	if after > 0 {
		wait = min(after, 24*time.Hour)
	}
	p.throttled++
	p.until = max(p.until, now.add(wait))
}

// postpone notes a login that the PBX did not judge: a pause of after, or of 5
// seconds or 1 % of the time since the first of them, whichever is longer.
func (l *Local) postpone(now instant, url, account string, after time.Duration) {
	p := l.pause(url, account)
	if p.postponed == 0 {
		p.postponed = now
	}
	wait := min(max(5*time.Second, now.sub(p.postponed)/100), slowestCheck)
	if after > 0 {
		wait = min(after, 24*time.Hour)
	}
	p.until = max(p.until, now.add(wait))
}

// resume ends the pause after logins that the PBX did not judge: a person may have
// seen to that.
func (l *Local) resume(url, name string) {
	if p := l.pauses[account{url, name}]; p != nil && p.postponed > 0 {
		l.endPause(url, name)
	}
}

func (l *Local) pause(url, name string) *accountPause {
	a := account{url, name}
	if l.pauses[a] == nil {
		if l.pauses == nil {
			l.pauses = map[account]*accountPause{}
		}
		l.pauses[a] = &accountPause{}
	}
	return l.pauses[a]
}

func (l *Local) endPause(url, name string) { delete(l.pauses, account{url, name}) }

func (l *Local) paused(now instant, url, name string) (instant, bool) {
	p := l.pauses[account{url, name}]
	if p == nil {
		return 0, false
	}
	p.until = min(p.until, now.add(24*time.Hour)) // the clock may have been set back
	return p.until, p.until > now
}

// InDoubt is since when it is unclear whether the host works; zero: it is not.
func (l *Local) InDoubt() time.Time { return l.doubt.time() }
