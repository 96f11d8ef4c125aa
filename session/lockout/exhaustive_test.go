package lockout

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
)

var exhaustiveEvents = flag.Int("exhaustive.events", 0, "events in each order (default 7 for the first set of limits, 5 for the others; 5 with -short or -race)")

// TestEveryOrderOfSevenEvents plays all orders of up to seven events with three
// credentials, and checks each state against a second account of what the PBX
// may have counted, which is kept beside it and written without the ledger's
// code. States whose instants differ only within a magnitude are visited once, and
// so are states that differ only in which credential is which: see key.
func TestEveryOrderOfSevenEvents(t *testing.T) {
	most := *exhaustiveEvents
	if testing.Short() || raceBuild {
		most = 5
	}
	row := pbx.Lockout{Attempts: 5, Window: 10 * time.Minute, Memory: pbx.Forever, DeadTokens: pbx.DeadTokensIgnored}
	vary := func(change func(*pbx.Lockout)) pbx.Lockout {
		l := row
		change(&l)
		return l
	}
	total := 0
	for i, c := range []struct {
		name   string
		limits pbx.Lockout
		proven int // of the three credentials, so many have worked before
	}{
		{"three in a row", vary(func(l *pbx.Lockout) { l.Attempts = 3 }), 2},
		{"in a row, nothing resets", row, 1},
		{"in a row, nothing resets, nothing proven", row, 0},
		{"a success resets the address", vary(func(l *pbx.Lockout) { l.Attempts, l.Reset = 4, pbx.ResetAddress }), 1},
		{"a success resets the account", vary(func(l *pbx.Lockout) { l.Reset = pbx.ResetAccount }), 1},
		{"per account, remembered for an hour", vary(func(l *pbx.Lockout) { l.Attempts, l.PerAccount, l.Memory = 3, true, time.Hour }), 1},
	} {
		depth := most
		if depth == 0 {
			depth = 5
			if i < 1 {
				depth = 7
			}
		}
		states := explore(t, c.name, Resolve(c.limits, 0), c.proven, depth)
		t.Logf("%s: %d states of up to %d events", c.name, states, depth)
		total += states
	}
	t.Logf("%d states in all", total)
}

const credentialsPlayed = 3

// played is one state: the ledger, and beside it what the PBX may have counted.
type played struct {
	host    Host
	local   Local
	now     instant
	flights [credentialsPlayed]Booking // ID.Number 0: no login in flight
	number  uint64

	counted []countedLogin
	refused [credentialsPlayed]bool // and not retried since
	retried [credentialsPlayed]instant
	proven  [credentialsPlayed]bool // the last verdict was a success
	doubt   bool
	bad     instant // the last unclear outcome, if no verdict has followed
	trail   trail
}

// trail is the event that led to a state, and those before it.
type trail struct {
	before *trail // nil: this is the beginning
	what   event
}

// event is what happens, and to which credential; −1: to none.
type event struct {
	what string
	who  int
}

// countedLogin is a login that the PBX may have counted.
type countedLogin struct {
	who            int
	booked         instant
	settled        instant
	verdict        bool // it was refused; else nobody knows
	flying         bool
	number         uint64
	judgedAtLatest instant
}

func (p *played) flying(i int) bool { return p.flights[i].ID.Number != 0 }

// copyTo makes c a copy that shares nothing with p. It uses c's own arrays again.
func (p *played) copyTo(c *played) {
	host, urls, counted := c.host, c.local.urls, c.counted
	*c = *p
	c.host = host
	p.host.copyTo(&c.host)
	c.local.urls = append(urls[:0], p.local.urls...)
	c.local.pauses = nil
	for a, pause := range p.local.pauses {
		*c.local.pause(a.url, a.name) = *pause
	}
	c.counted = append(counted[:0], p.counted...)
}

type explorer struct {
	t      testing.TB
	name   string
	limits Limits
	logins [credentialsPlayed]Login
	seen   map[uint64]int8
	seed   maphash.Seed
	failed bool
	states int

	next   []played // by depth: the state that is tried
	probed played   // the copy that check changes
}

func explore(t testing.TB, name string, limits Limits, proven, depth int) int {
	x := &explorer{t: t, name: name, limits: limits, seen: map[uint64]int8{}, seed: maphash.MakeSeed(), next: make([]played, depth)}
	for i := range x.logins {
		x.logins[i] = Login{URL: "https://pbx.example", Account: string(rune('a' + i)), Fingerprint: Fingerprint{byte(i + 1)}, Limits: limits}
	}
	start := &played{now: at(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC))}
	for i := range proven {
		x.begin(start, i)
		start.now += 500
		x.end(start, i, Success)
		start.now += 60_000
	}
	x.visit(start, depth)
	return x.states
}

func (x *explorer) fail(p *played, format string, args ...any) {
	if x.failed {
		return
	}
	x.failed = true
	var steps []string
	for s := &p.trail; s.before != nil; s = s.before {
		step := s.what.what
		if who := s.what.who; who >= 0 {
			step = x.logins[who].Account + " " + step
		}
		steps = append(steps, step)
	}
	slices.Reverse(steps)
	state, _ := p.host.MarshalJSON()
	x.t.Errorf("%s: %s\nafter %s\n%s", x.name, fmt.Sprintf(format, args...), strings.Join(steps, "; "), state)
}

// The words for outcomes.
var (
	loggedIn = map[OutcomeKind]string{Success: "logs in: accepted", Refused: "logs in: refused", Unclear: "logs in: unclear", NotSent: "logs in: not sent"}
	settled  = map[OutcomeKind]string{Success: "is accepted", Refused: "is refused", Unclear: "is unclear"}
)

func (x *explorer) visit(p *played, depth int) {
	if x.failed {
		return
	}
	key := x.key(p)
	if known, yes := x.seen[key]; yes && int(known) >= depth {
		return
	} else if !yes {
		x.states++
		x.check(p)
	}
	x.seen[key] = int8(depth)
	if depth == 0 {
		return
	}
	try := func(what event, do func(c *played) bool) bool {
		c := &x.next[depth-1]
		p.copyTo(c)
		c.trail = trail{&p.trail, what}
		possible := do(c)
		if possible {
			x.visit(c, depth-1)
		}
		return possible
	}
	login := func(i int, kind OutcomeKind) bool {
		return try(event{loggedIn[kind], i}, func(c *played) bool {
			if !x.begin(c, i) {
				return false
			}
			c.now += 500
			x.end(c, i, kind)
			return true
		})
	}
	notSent := false // by one is as good as by another
	for i := range credentialsPlayed {
		if p.flying(i) {
			for _, kind := range []OutcomeKind{Success, Refused, Unclear} {
				try(event{settled[kind], i}, func(c *played) bool { c.now += 1000; x.end(c, i, kind); return true })
			}
			continue
		}
		if login(i, Success) {
			login(i, Refused)
			login(i, Unclear)
			notSent = notSent || login(i, NotSent)
			try(event{"logs in: in flight", i}, func(c *played) bool { return x.begin(c, i) })
		}
		if p.refused[i] {
			try(event{"is retried", i}, func(c *played) bool {
				if c.host.Retry(c.now.time(), &c.local, x.logins[i]).Reason != None {
					return false
				}
				c.refused[i] = false
				c.retried[i] = c.now
				return true
			})
		}
	}
	try(event{"31 s pass", -1}, func(c *played) bool { c.now += 31_000; return true })
	try(event{"12 min pass", -1}, func(c *played) bool { c.now += 12 * 60_000; return true })
	if x.limits.Memory < pbx.Forever {
		try(event{"63 min pass", -1}, func(c *played) bool { c.now += 63 * 60_000; return true })
	}
	try(event{"the process is killed", -1}, func(c *played) bool {
		clear(c.flights[:])
		c.local, c.doubt = Local{}, false
		return true
	})
	try(event{"forgiven", -1}, func(c *played) bool {
		c.host.Forgive(c.now.time())
		c.bad = 0 // a person has looked
		x.forget(c, func(k countedLogin) bool { return true }, c.now)
		return true
	})
}

// forget removes what the PBX had counted for certain before an instant.
func (x *explorer) forget(p *played, of func(countedLogin) bool, before instant) {
	p.counted = slices.DeleteFunc(p.counted, func(k countedLogin) bool {
		return of(k) && (k.verdict && k.settled <= before || !k.verdict && (!k.flying || p.now > k.judgedAtLatest-120_000) && k.judgedAtLatest <= before)
	})
}

// age drops what the PBX has forgotten for certain.
func (x *explorer) age(p *played) {
	if x.limits.Memory == pbx.Forever {
		return
	}
	memory := instant(x.limits.Memory/time.Millisecond) + 2000
	p.counted = slices.DeleteFunc(p.counted, func(k countedLogin) bool {
		if k.verdict {
			return p.now > k.settled+memory
		}
		return p.now > k.judgedAtLatest+memory
	})
}

// places is how many logins count for one credential.
func (x *explorer) places(p *played, who int) (all, own int, flying bool) {
	x.age(p)
	for _, k := range p.counted {
		if k.who == who && k.flying && p.now <= k.booked+15_000 {
			flying = true
		}
		if k.who == who && !k.verdict && !(k.flying && p.now <= k.booked+15_000) {
			own++
		}
		if !x.limits.PerAccount || k.who == who {
			all++
		}
	}
	return all, own, flying
}

// begin asks, with evidence if it is asked for, and books. It checks that the
// login was allowed to go.
func (x *explorer) begin(p *played, i int) bool {
	g := x.logins[i]
	now := p.now.time()
	all, own, flying := x.places(p, i)
	d := p.host.Ask(now, &p.local, g)
	if d.Reason == NoEvidence {
		if all == 0 && !p.doubt && p.host.row.count == 0 {
			x.fail(p, "%s needs evidence, though nothing is in doubt and no place is used", g.Account)
		}
		p.local.Checked(g.URL, now, now, Page{Status: 500})
		if d := p.host.Ask(now, &p.local, g); d.Verdict == Go {
			x.fail(p, "%s may go after a check that got HTTP 500", g.Account)
		}
		p.local.Checked(g.URL, now, now, Page{Status: 401})
	} else if d.Verdict == Go && p.doubt && p.local.url(g.URL).evidence == 0 {
		x.fail(p, "%s may go without evidence", g.Account)
	}
	p.number++
	d = p.host.Book(now, &p.local, g, ID{"p", p.number})
	if d.Verdict != Go {
		return false
	}
	n := x.limits.Attempts
	anyProven := p.proven != [credentialsPlayed]bool{}
	limit := max(1, n-2)
	if anyProven {
		limit = max(1, n-3)
	}
	if p.proven[i] || own > 0 {
		limit = max(1, n-1)
	}
	switch {
	case p.refused[i]:
		x.fail(p, "%s may go, though its password was refused", g.Account)
	case flying:
		x.fail(p, "%s may go beside another login with its credentials", g.Account)
	case all >= limit:
		x.fail(p, "%s may go as login %d of %d", g.Account, all+1, limit)
	case p.bad > 0 && p.now < p.bad+1000 && p.retried[i] < p.bad: // a person's retry skips pauses
		x.fail(p, "%s may go %d ms after an unclear outcome", g.Account, p.now-p.bad)
	}
	p.flights[i] = d.Booking
	p.counted = append(p.counted, countedLogin{who: i, booked: p.now, flying: true, number: p.number, judgedAtLatest: p.now + 135_000})
	return true
}

func (x *explorer) end(p *played, i int, kind OutcomeKind) {
	b := p.flights[i]
	p.flights[i] = Booking{}
	p.host.Settle(p.now.time(), &p.local, x.logins[i], b, Outcome{Kind: kind})
	x.age(p)
	at := slices.IndexFunc(p.counted, func(k countedLogin) bool { return k.number == b.ID.Number })
	switch kind {
	case Refused, Unclear:
		k := countedLogin{who: i, booked: b.booked, number: b.ID.Number}
		if at >= 0 {
			p.counted = slices.Delete(p.counted, at, at+1)
		}
		k.settled, k.verdict, k.judgedAtLatest = p.now, kind == Refused, max(p.now, b.booked+15_000)+120_000
		if kind == Unclear {
			k.judgedAtLatest = max(b.booked+15_000, p.now) + 120_000
		}
		if at >= 0 {
			p.counted = append(p.counted, k)
		}
	case Success, NotSent:
		if at >= 0 {
			p.counted = slices.Delete(p.counted, at, at+1)
		}
	}
	switch kind {
	case Refused:
		p.refused[i], p.proven[i], p.doubt, p.bad = true, false, false, 0
	case NotSent:
		p.doubt = true
	case Unclear:
		p.doubt, p.bad = true, p.now
	case Success:
		p.refused[i], p.proven[i], p.doubt, p.bad = false, true, false, 0
		p.counted = slices.DeleteFunc(p.counted, func(k countedLogin) bool { return k.who == i && !k.verdict && k.booked <= b.booked })
		switch x.limits.Reset {
		case pbx.ResetAddress:
			x.forget(p, func(countedLogin) bool { return true }, b.booked)
		case pbx.ResetAccount:
			x.forget(p, func(k countedLogin) bool { return k.who == i }, b.booked)
		}
	}
}

// check is what holds in every state.
func (x *explorer) check(p *played) {
	x.age(p)
	c := &x.probed
	p.copyTo(c)
	c.host.expire(c.now)
	if got := len(c.host.bookings); got != len(p.counted) {
		x.fail(p, "%d bookings stand, and the PBX may have counted %d logins", got, len(p.counted))
	}
	for i, g := range x.logins {
		if all, _, _ := x.places(p, i); all > max(1, x.limits.Attempts-1) {
			x.fail(p, "%d logins count, and %d lock", all, x.limits.Attempts)
		}
		d := c.host.Ask(c.now.time(), &c.local, g)
		switch {
		case d.Verdict == Wait && !d.Until.After(c.now.time()):
			x.fail(p, "%s waits until now: %v", g.Account, d.Reason)
		case d.Verdict == WaitEvent && d.Reason != NoEvidence && d.Until.IsZero():
			x.fail(p, "%s waits for an event that may never come: %v", g.Account, d.Reason)
		case d.Reason == PasswordRefused != p.refused[i]:
			x.fail(p, "%s: %v, refused %v", g.Account, d.Reason, p.refused[i])
		case d.Verdict == Wait:
			if again := c.host.Ask(d.Until, &c.local, g); again.Reason == d.Reason && !again.Until.After(d.Until) {
				x.fail(p, "%s waits for %v, and then again", g.Account, d.Reason)
			}
		}
	}
	if x.states%97 == 0 {
		data, err := json.Marshal(&c.host)
		var back Host
		if err == nil {
			err = json.Unmarshal(data, &back)
		}
		if again, _ := json.Marshal(&back); err != nil || string(again) != string(data) {
			x.fail(p, "does not survive encoding: %v", err)
		}
	}
}

// magnitudes are the ages at which a rule changes its mind, in milliseconds.
var magnitudes = [...]instant{0, 500, 1000, 2000, 10_000, 15_000, 30_000, 135_000, 660_000, 3_602_000, 3_737_000}

// key is equal for states that differ only within a magnitude, or only in the names
// of the credentials. The ledger and the model compare fingerprints and accounts with
// each other and with nothing else, and all three logins have one URL and the same
// limits. So what can follow on a state follows on the renamed one too, with the names
// changed, and it is enough to visit one of them. What is known of each credential is
// written down without its name, with the places of its bookings in the list, and the
// three texts are sorted: equal sorted texts are states that a renaming turns into
// each other.
func (x *explorer) key(p *played) uint64 {
	var buffers [credentialsPlayed][96]byte
	var of [credentialsPlayed][]byte
	for i := range of {
		of[i] = buffers[i][:0]
	}
	age := func(t instant) byte {
		if t == 0 {
			return 255
		}
		i, _ := slices.BinarySearch(magnitudes[:], p.now-t)
		return byte(i)
	}
	for place, b := range p.host.bookings {
		i := b.Fingerprint[0] - 1
		of[i] = append(of[i], 'b', byte(place), byte(b.state), age(b.booked), age(b.settled), byte(b2i(p.flights[i].ID == b.ID)))
	}
	for _, c := range p.host.credentials {
		i := c.print[0] - 1
		of[i] = append(of[i], 'c', age(c.proven), age(c.refused), age(c.retried), byte(b2i(c.isProven())+2*b2i(c.isRefused())))
	}
	var all [4 * 96]byte
	rest := all[:0]
	for place, c := range p.host.clearings {
		switch c.kind {
		case clearedAccount:
			i := c.account[0] - 'a'
			of[i] = append(of[i], 'a', byte(place), age(c.at))
		case clearedTry:
			i := c.print[0] - 1
			of[i] = append(of[i], 't', byte(place), age(c.at))
		default:
			rest = append(rest, byte(place), byte(c.kind), age(c.at))
		}
	}
	rest = append(rest, '|', byte(min(p.host.row.count, 3)), byte(min(p.host.row.inFront.logins, 3)), age(p.host.row.since), age(p.host.row.last))
	l := &p.local
	rest = append(rest, age(l.doubt), age(l.lastBad), age(l.lastUnclear), age(l.lastSuccess))
	for _, u := range l.urls {
		rest = append(rest, age(u.evidence), byte(min(u.checks, 4)))
	}
	slices.SortFunc(of[:], bytes.Compare)
	for _, text := range of {
		rest = append(append(rest, '|'), text...)
	}
	return maphash.Bytes(x.seed, rest)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
