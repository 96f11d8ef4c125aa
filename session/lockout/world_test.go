package lockout_test

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/lockout"
)

// world plays processes of a CRM against fake PBXs, event by event, in virtual
// time. It is the engine that the ledger has in production, as short as it can
// be: it asks before each login, does what it is told, and reports outcomes.
type world struct {
	t      testing.TB
	now    time.Time
	events eventQueue
	serial int
	rng    *rand.Rand
	steps  int

	pbxs      map[string]*fakePBX // by URL; all at one host
	path      map[string]string   // what stands between us and the PBX: see arrive
	store     lockout.Host        // the one copy that lasts
	processes []*process
	sessions  []*session
	trace     []string // the newest lines, printed on failure
	latency   time.Duration
	noProbe   bool
	noGet     bool           // the PBX responds to a check with HTTP 500
	guard     int            // Guard.Limit
	judged    func(*session) // runs when the PBX has judged a login
}

type process struct {
	name     string
	number   int // incarnation
	booked   uint64
	local    *lockout.Local
	replica  *lockout.Replica
	wake     time.Time
	checks   map[string]time.Time // when a check is planned
	checking map[string]bool
	checked  int
	stopped  bool
}

type session struct {
	name     string
	url      string
	account  string
	password int
	process  *process
	token    int
	sent     time.Time // when the last login was
	issued   time.Time // as drivers say it: when the login was sent that brought the token
	flying   bool
	since    time.Time // since when it has waited
	live     time.Time // since when it has been live
	decision lockout.Decision
	logins   int
	worked   int // the newest password that a login of this session proved
	single   bool
	print    lockout.Fingerprint
	printed  int // the password of print
	limits   lockout.Limits
	removed  bool
}

type event struct {
	at     time.Time
	serial int
	do     func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].serial < q[j].serial
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(e any)   { *q = append(*q, e.(event)) }
func (q *eventQueue) Pop() any {
	e := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return e
}

const theURL = "https://pbx.example"

func newWorld(t testing.TB, m model) *world {
	w := &world{
		t: t, now: time.Date(2026, 3, 1, 9, 7, 13, 0, time.UTC), rng: rand.New(rand.NewPCG(1, 2)),
		pbxs: map[string]*fakePBX{theURL: newPBX(m)}, path: map[string]string{}, latency: 150 * time.Millisecond,
	}
	w.process("crm")
	return w
}

func (w *world) pbx() *fakePBX { return w.pbxs[theURL] }

func (w *world) process(name string) *process {
	p := &process{name: name}
	w.processes = append(w.processes, p)
	w.boot(p)
	return p
}

// boot starts a process anew: it knows what the store knows.
func (w *world) boot(p *process) {
	p.number++
	p.local = &lockout.Local{}
	p.replica = lockout.NewReplica(fmt.Sprintf("%s-%d", p.name, p.number))
	p.checks, p.checking = map[string]time.Time{}, map[string]bool{}
	p.wake = time.Time{}
	p.stopped = false
	for _, s := range w.sessions {
		if s.process == p {
			s.token, s.flying, s.since = 0, false, w.now
		}
	}
	w.pump(p)
}

// kill stops a process without a word; boot starts it again.
func (w *world) kill(p *process) {
	p.number++
	p.stopped = true
}

func (w *world) add(account string, password int) *session {
	s := &session{name: account, url: theURL, account: account, password: password, process: w.processes[0], since: w.now}
	w.sessions = append(w.sessions, s)
	w.after(0, func() { w.pump(s.process) })
	return s
}

// good adds n accounts whose passwords are right, and waits until all are live.
func (w *world) good(n int) []*session {
	var all []*session
	for i := range n {
		account := fmt.Sprintf("good-%d", i)
		w.pbx().passwords[account] = 1
		all = append(all, w.add(account, 1))
	}
	w.run(time.Minute)
	for _, s := range all {
		if s.token == 0 {
			w.fatalf("%s did not get live in a minute: %v", s.name, s.decision)
		}
	}
	return all
}

func (w *world) after(d time.Duration, do func()) {
	w.serial++
	heap.Push(&w.events, event{w.now.Add(d), w.serial, do})
}

// run lets d pass.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.events) > 0 && !w.events[0].at.After(end) {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		w.steps++
		e.do()
	}
	w.now = end
}

// until runs until all given sessions are live, and returns how long that took;
// it gives up after most.
func (w *world) until(most time.Duration, sessions []*session) time.Duration {
	start := w.now
	for w.now.Sub(start) < most {
		if w.allLive(sessions) {
			break
		}
		w.run(100 * time.Millisecond)
	}
	return w.now.Sub(start)
}

func (w *world) allLive(sessions []*session) bool {
	for _, s := range sessions {
		if !w.isLive(s) {
			return false
		}
	}
	return true
}

func (w *world) isLive(s *session) bool { return w.pbxs[s.url].tokens[s.token] == s.account }

func (w *world) logf(format string, args ...any) {
	line := w.now.Format("02 15:04:05.000 ") + fmt.Sprintf(format, args...)
	if len(w.trace) >= 120 {
		w.trace = w.trace[1:]
	}
	w.trace = append(w.trace, line)
}

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	status := w.store.Status(w.now, w.processes[0].local)
	w.t.Fatalf("%s\nmodel %v\nstatus %+v\n%s", fmt.Sprintf(format, args...), w.pbx().model, status, strings.Join(w.trace, "\n"))
}

func (w *world) login(s *session) lockout.Login {
	if s.printed != s.password {
		digest := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", s.url, s.account, s.password))
		s.print, s.printed = lockout.FingerprintOf(digest[:]), s.password
		s.limits = lockout.Resolve(w.pbxs[s.url].stated(), w.guard)
	}
	return lockout.Login{
		URL: s.url, Account: s.account, Fingerprint: s.print,
		Limits: s.limits, Waiting: s.since, NoProbe: w.noProbe,
	}
}

// load and save are a process's view of the store.
func (w *world) load(p *process) *lockout.Host {
	h := w.store.Clone()
	p.replica.Merge(w.now, &h)
	return &h
}

func (w *world) save(p *process, h *lockout.Host) {
	w.store = h.Clone()
	p.replica.Keep(h)
}

func (w *world) wakeAt(p *process, at time.Time) {
	if at.Before(w.now) {
		at = w.now
	}
	if !p.wake.IsZero() && !p.wake.After(at) && !p.wake.Before(w.now) {
		return
	}
	p.wake = at
	w.after(at.Sub(w.now), func() {
		if p.wake.Equal(at) {
			p.wake = time.Time{}
			w.pump(p)
		}
	})
}

func (w *world) wakeAll() {
	for _, p := range w.processes {
		w.wakeAt(p, w.now)
	}
}

// pump sends what may be sent, and plans when to look again.
// next returns which of the waiting logins goes now, as a queue of [lockout.Host.Rank] and
// first come, first served has it; -1: none does.
func next(h *lockout.Host, now time.Time, l *lockout.Local, waiting []lockout.Login) int {
	chosen := -1
	for i, g := range waiting {
		if h.Ask(now, l, g).Verdict != lockout.Go {
			continue
		}
		if chosen < 0 || cmp.Or(cmp.Compare(h.Rank(now, g), h.Rank(now, waiting[chosen])), g.Waiting.Compare(waiting[chosen].Waiting)) < 0 {
			chosen = i
		}
	}
	return chosen
}

func (w *world) pump(p *process) {
	if p.stopped {
		return
	}
	h := w.load(p)
	for {
		var waiting []*session
		var logins []lockout.Login
		for _, s := range w.sessions {
			if s.process == p && s.token == 0 && !s.flying && !s.removed {
				waiting = append(waiting, s)
				logins = append(logins, w.login(s))
			}
		}
		i := next(h, w.now, p.local, logins)
		if i >= 0 {
			d := h.Book(w.now, p.local, logins[i], w.id(p))
			if d.Verdict != lockout.Go {
				w.fatalf("it is the turn of %s, and Book says %v", waiting[i].name, d.Reason)
			}
			w.save(p, h)
			w.send(waiting[i], logins[i], d.Booking)
			continue
		}
		asked := false
		for i, s := range waiting {
			s.decision = h.Ask(w.now, p.local, logins[i])
			switch d := s.decision; {
			case d.Reason == lockout.NoEvidence:
				w.check(p, s.url)
			case !d.Until.IsZero():
				if !d.Until.After(w.now) {
					w.fatalf("%s has to wait until now: %v", s.name, d.Reason)
				}
				w.wakeAt(p, d.Until)
			}
			if s.decision.Reason == lockout.NoPlace && !asked && s.limits.Reset == pbx.ResetAddress {
				asked = true
				w.relogin(p, h, logins[i])
			}
		}
		return
	}
}

func (w *world) id(p *process) lockout.ID {
	p.booked++
	return lockout.ID{Process: fmt.Sprintf("%s-%d", p.name, p.number), Number: p.booked}
}

// relogin has a proven session log in anew, so that its success makes places.
func (w *world) relogin(p *process, h *lockout.Host, waiting lockout.Login) {
	var holders []lockout.Holder
	var sessions []*session
	for _, s := range w.sessions {
		if s.process == p && s.token != 0 && !s.flying {
			holders = append(holders, lockout.Holder{Login: w.login(s), Idle: true, Single: s.single})
			sessions = append(sessions, s)
		}
	}
	i, again := h.Relogin(w.now, p.local, waiting, holders)
	if i < 0 {
		if !again.IsZero() {
			w.wakeAt(p, again)
		}
		return
	}
	d := h.BookRelogin(w.now, p.local, holders[i].Login, w.id(p))
	switch {
	case d.Verdict == lockout.Go:
		w.save(p, h)
		w.logf("relogin of %s", sessions[i].name)
		w.send(sessions[i], holders[i].Login, d.Booking)
	case d.Reason == lockout.NoEvidence:
		w.check(p, sessions[i].url)
	case !d.Until.IsZero():
		w.wakeAt(p, d.Until)
	}
}

// check looks for evidence, a GET without credentials, when it is due.
func (w *world) check(p *process, url string) {
	due := p.local.NextCheck(url)
	if due.Before(w.now) {
		due = w.now
	}
	if planned, yes := p.checks[url]; yes && !due.Before(planned) || p.checking[url] {
		return
	}
	p.checks[url] = due
	number := p.number
	w.after(due.Sub(w.now), func() {
		if p.number != number || !p.checks[url].Equal(due) {
			return
		}
		delete(p.checks, url)
		p.checking[url] = true
		p.checked++
		sent := w.now
		status, latency := w.get(url)
		w.after(latency, func() {
			if p.number != number {
				return
			}
			p.checking[url] = false
			p.local.Checked(url, sent, w.now, lockout.Page{Status: status})
			w.wakeAt(p, w.now)
		})
	})
}

// get is the status of a GET without credentials, and how long it takes.
func (w *world) get(url string) (status int, latency time.Duration) {
	p := w.pbxs[url]
	if p.covers == "all" && p.scope == "address" && p.isLocked(w.now, "") {
		switch p.look {
		case "mute":
			return 0, 5 * time.Second
		case "reset":
			return 0, w.latency
		}
		return 403, w.latency
	}
	switch w.path[url] {
	case "refused", "reset", "reset after":
		return 0, w.latency
	case "mute":
		return 0, 5 * time.Second
	case "502":
		return 502, w.latency
	case "500":
		return 500, w.latency
	case "slow":
		return w.usual(), 3 * time.Second
	}
	return w.usual(), w.latency
}

// usual is the status of a check by a PBX that is up.
func (w *world) usual() int {
	if w.noGet {
		return 500
	}
	return 200
}

// send plays one login: what the path does to it, what the PBX makes of it, and
// what comes back when.
func (w *world) send(s *session, g lockout.Login, b lockout.Booking) {
	s.flying, s.sent = true, w.now
	s.logins++
	p := w.pbxs[s.url]
	number, boot, password := s.process.number, p.boot, s.password
	right := p.passwords[s.account] == password
	outcome := func(after time.Duration, o lockout.Outcome, token int) {
		if after > 10*time.Second {
			after, o, token = 10*time.Second, lockout.Outcome{Kind: lockout.Unclear}, 0
		}
		w.after(after, func() { w.settle(s, g, b, o, number, token) })
	}
	latency := w.latency/2 + time.Duration(w.rng.Int64N(int64(w.latency)))
	switch w.path[s.url] {
	case "refused":
		outcome(latency, lockout.Outcome{Kind: lockout.NotSent}, 0)
		return
	case "reset", "502", "500":
		outcome(latency, lockout.Outcome{Kind: lockout.Unclear}, 0)
		return
	case "mute":
		outcome(time.Hour, lockout.Outcome{}, 0)
		return
	}
	judged := latency / 2
	if w.path[s.url] == "slow" {
		judged = time.Duration(w.rng.Int64N(int64(125 * time.Second)))
	}
	lost := w.path[s.url] == "lost" || w.path[s.url] == "reset after" || w.path[s.url] == "sometimes lost" && w.rng.IntN(2) == 0
	quick := w.path[s.url] == "reset after"
	responded := false
	w.after(judged, func() {
		if p.boot != boot {
			return // the PBX was restarted meanwhile
		}
		if judged > 10*time.Second && right && p.passwords[s.account] != password {
			return // beyond what a client can know: it gave up, and then the password changed
		}
		r, token, left := p.login(w.now, s.account, password)
		w.logf("%s: %s sends password %d: the PBX says %d", s.process.name, s.name, password, r)
		if w.judged != nil {
			w.judged(s)
		}
		if judged > 10*time.Second {
			return
		}
		responded = true
		rest := latency - latency/2
		o := lockout.Outcome{Kind: lockout.Unclear}
		switch r {
		case accepted:
			o.Kind = lockout.Success
		case wrongPassword:
			o.Kind = lockout.Refused
		case statedLock:
			o = lockout.Outcome{Kind: lockout.Locked, RetryAfter: left}
		case noResponse:
			rest = time.Hour
		}
		if lost && r != noResponse {
			o, token, rest = lockout.Outcome{Kind: lockout.Unclear}, 0, time.Hour
			if quick {
				rest = latency
			}
		}
		if judged+rest > 10*time.Second {
			rest, o, token = 10*time.Second-judged, lockout.Outcome{Kind: lockout.Unclear}, 0
		}
		w.after(rest, func() { w.settle(s, g, b, o, number, token) })
	})
	w.after(10*time.Second, func() {
		if !responded {
			responded = true
			w.settle(s, g, b, lockout.Outcome{Kind: lockout.Unclear}, number, 0)
		}
	})
}

func (w *world) settle(s *session, g lockout.Login, b lockout.Booking, o lockout.Outcome, number, token int) {
	p := s.process
	if p.number != number {
		return // the process was killed meanwhile
	}
	s.flying = false
	h := w.load(p)
	h.Settle(w.now, p.local, g, b, o)
	w.save(p, h)
	w.logf("%s: %s: outcome %d", p.name, s.name, o.Kind)
	if o.Kind == lockout.Success {
		s.token, s.issued, s.live = token, s.sent, w.now
		s.worked = max(s.worked, s.password)
	} else if s.token == 0 {
		s.since = w.now
	}
	w.wakeAll()
}

// touch uses the session's token once, as a keep-alive does.
func (w *world) touch(s *session) {
	p := s.process
	if s.token == 0 || s.removed || p.stopped || w.path[s.url] != "" && w.path[s.url] != "lost" && w.path[s.url] != "sometimes lost" {
		return
	}
	if w.store.Suspect(s.url, s.issued) {
		w.drop(s)
		return
	}
	ok, responded := w.pbxs[s.url].use(w.now, s.account, s.token)
	switch {
	case ok:
		p.local.TokenAccepted(s.url, s.issued, w.now, w.now)
	case responded:
		h := w.load(p)
		until := h.TokenRefused(w.now, p.local, w.login(s), lockout.Refusal{ID: w.id(p), Issued: s.issued, Read: w.now})
		w.save(p, h)
		w.logf("%s: token refused", s.name)
		w.drop(s)
		for _, other := range w.sessions {
			if other.token != 0 && other.process == p && other.url == s.url && !other.issued.After(until) {
				w.drop(other)
			}
		}
	}
}

func (w *world) drop(s *session) {
	s.token, s.since = 0, w.now
	w.wakeAt(s.process, w.now)
}

// touchInTurn uses the tokens of one account after another, as requests do that follow
// one another: a request that is refused is sent again with the new token.
func (w *world) touchInTurn() {
	for _, s := range w.sessions {
		w.touch(s)
		w.run(time.Second)
		w.touch(s)
	}
}

// touchAll uses every token.
func (w *world) touchAll() {
	for _, s := range w.sessions {
		w.touch(s)
	}
}

// retry is a person's Retry.
func (w *world) retry(s *session) lockout.Decision {
	h := w.load(s.process)
	d := h.Retry(w.now, s.process.local, w.login(s))
	w.logf("%s: retry: %v", s.name, d.Reason)
	w.save(s.process, h)
	w.wakeAt(s.process, w.now)
	return d
}

// forgive is what a person does after unlocking the PBX.
func (w *world) forgive() {
	p := w.pbx()
	p.wrong = nil
	clear(p.locked)
	h := w.load(w.processes[0])
	h.Forgive(w.now)
	w.save(w.processes[0], h)
	w.wakeAll()
}

// correct gives a session other credentials.
func (w *world) correct(s *session, password int) {
	s.password, s.since = password, w.now
	w.wakeAt(s.process, w.now)
}

// wantCaused checks how many locks our own logins have caused.
func (w *world) wantNoLock() {
	w.t.Helper()
	for _, p := range w.pbxs {
		if p.caused > 0 {
			w.fatalf("our logins locked the PBX %d times", p.caused)
		}
	}
}

// wantBookings checks how many bookings stand.
func (w *world) wantBookings(n int) {
	w.t.Helper()
	if got := len(w.store.Status(w.now, w.processes[0].local).Bookings); got != n {
		w.fatalf("%d bookings stand, want %d", got, n)
	}
}

func (w *world) wantWrong(most int) {
	w.t.Helper()
	if p := w.pbx(); p.wrongLogins > most {
		w.fatalf("%d wrong logins, want at most %d", p.wrongLogins, most)
	}
}
