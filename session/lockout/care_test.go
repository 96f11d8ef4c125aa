package lockout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
)

// TestEveryOrderOfDeadTokens plays all orders of up to seven events with the tokens of
// four accounts at a PBX whose vendor does not say whether dead tokens count, and
// counts how many of them are sent. States in which the same happened in the same order
// are visited once.
func TestEveryOrderOfDeadTokens(t *testing.T) { exploreTokens(t, 1, 7) }

// TestEveryOrderOfDeadTokensInTwoProcesses plays them in two processes that share the
// tokens, and tell each other what was refused.
func TestEveryOrderOfDeadTokensInTwoProcesses(t *testing.T) { exploreTokens(t, 2, 5) }

func exploreTokens(t *testing.T, processes, depth int) {
	if testing.Short() || raceBuild {
		depth -= 2
	}
	x := &tokenExplorer{t: t, processes: processes, login: Login{URL: "https://pbx.example", Limits: Resolve(pbx.Lockout{}, 0)}, seen: map[string]int{}}
	start := &tokensPlayed{now: at(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC))}
	for i := range start.tokens {
		start.now += 1000
		start.tokens[i] = playedToken{issued: start.now, alive: true}
	}
	x.visit(start, depth)
	t.Logf("%d states of up to %d events", len(x.seen), depth)
}

// tokensPlayed is one state: the ledger, and beside it what has happened at the PBX.
type tokensPlayed struct {
	at [2]struct { // each process
		host  Host
		local Local
	}
	now    instant
	tokens [4]playedToken
	late   int // the account with a request of the first process whose response is slow, from 1; 0: none
	sent   instant

	refused   instant // when the newest refusal was read
	ended     int     // how often a restart, or a person, ended tokens
	restarted bool
	days      int // how often a day has passed
	dead      int // dead tokens that were sent
	did       []string
}

type playedToken struct {
	issued   instant
	alive    bool
	accepted [2]instant // when each process sent the newest request that was accepted
}

type tokenExplorer struct {
	t         *testing.T
	processes int
	login     Login
	seen      map[string]int
}

func (x *tokenExplorer) visit(p *tokensPlayed, depth int) {
	if x.t.Failed() {
		return
	}
	key := p.order()
	if known, yes := x.seen[key]; yes && known >= depth {
		return
	}
	x.seen[key] = depth
	if depth == 0 {
		return
	}
	try := func(what string, do func(c *tokensPlayed)) {
		c := *p
		for i := range c.at {
			c.at[i].host = p.at[i].host.Clone()
			c.at[i].local.urls = slices.Clone(p.at[i].local.urls)
			for k := range c.at[i].local.urls {
				u := &c.at[i].local.urls[k]
				u.refused = slices.Clone(u.refused)
			}
		}
		c.did = append(slices.Clone(p.did), what)
		c.now += 1000
		do(&c)
		x.check(&c)
		x.visit(&c, depth-1)
	}
	try("the PBX restarts", func(c *tokensPlayed) {
		c.ended, c.restarted = c.ended+1, true
		for i := range c.tokens {
			c.tokens[i].alive = false
		}
	})
	try("a day passes", func(c *tokensPlayed) { c.days++; c.now += 25 * 3600 * 1000 })
	if p.late > 0 {
		try("the slow response comes", func(c *tokensPlayed) {
			k := &c.tokens[c.late-1]
			c.at[0].local.TokenAccepted(x.login.URL, k.issued.time(), c.sent.time(), c.now.time())
			k.accepted[0] = max(k.accepted[0], c.sent)
			c.late = 0
		})
	}
	for i := range p.tokens {
		name := string(rune('a' + i))
		for who := range x.processes {
			try(fmt.Sprint("the token of ", name, " is used by process ", who), func(c *tokensPlayed) { x.use(c, who, i) })
		}
		try(name+" logs in anew", func(c *tokensPlayed) { c.tokens[i] = playedToken{issued: c.now, alive: true}; c.drop(i) })
		if p.tokens[i].alive {
			try("the token of "+name+" is revoked", func(c *tokensPlayed) { c.ended++; c.tokens[i].alive = false })
			if p.late == 0 {
				try("the token of "+name+" is used, and the response is slow", func(c *tokensPlayed) { c.late, c.sent = i+1, c.now })
			}
		}
	}
}

// drop forgets a request with the token that the account had before.
func (p *tokensPlayed) drop(i int) {
	if p.late == i+1 {
		p.late = 0
	}
}

func (x *tokenExplorer) use(p *tokensPlayed, who, i int) {
	k := &p.tokens[i]
	read := p.now + 10
	if k.alive {
		p.at[who].local.TokenAccepted(x.login.URL, k.issued.time(), p.now.time(), read.time())
		k.accepted[who] = p.now
		return
	}
	p.dead++
	newer := k.issued > p.refused
	g := x.login
	g.Account = string(rune('a' + i))
	r := Refusal{ID: ID{"p", uint64(p.dead)}, URL: g.URL, Token: Fingerprint{byte(p.dead)}, Issued: k.issued.time(), Read: read.time()}
	*k = playedToken{issued: read + 10, alive: true}
	p.drop(i)
	x.lose(p, who, p.at[who].host.TokenRefused(read.time(), &p.at[who].local, g, r), read, newer)
	r.First = !p.at[who].host.Suspect(g.URL, r.Issued)
	if other := 1 - who; other < x.processes {
		x.lose(p, other, p.at[other].host.Hear(read.time(), &p.at[other].local, g.Limits, r), read, newer)
	}
	p.refused = read
}

// lose replaces the tokens that are suspect for a process.
func (x *tokenExplorer) lose(p *tokensPlayed, who int, until time.Time, read instant, newer bool) {
	for i := range p.tokens {
		k := &p.tokens[i]
		if k.issued.time().After(until) {
			continue
		}
		if k.alive && p.ended < 2 && !p.restarted {
			x.fail(p, "account %c gives up a token that works, though only one has been revoked", 'a'+i)
		}
		if k.alive && newer {
			x.fail(p, "account %c gives up a token that works, because one was refused that is newer than the refusal before", 'a'+i)
		}
		if k.alive && k.accepted[who] > p.refused {
			x.fail(p, "account %c gives up a token that was accepted after the refusal before", 'a'+i)
		}
		*k = playedToken{issued: read + 10, alive: true}
		p.drop(i)
	}
}

func (x *tokenExplorer) check(p *tokensPlayed) {
	if most := 2*p.ended + p.days; p.dead > most {
		x.fail(p, "%d dead tokens were sent, want at most %d", p.dead, most)
	}
	for who := range x.processes {
		x.checkCare(p, who)
	}
}

func (x *tokenExplorer) checkCare(p *tokensPlayed, who int) {
	local := &p.at[who].local
	careful := local.Careful(p.now.time())
	for i, k := range p.tokens {
		one := local.OneTokenAtATime(x.login.URL, k.issued.time(), p.now.time())
		switch {
		case one && k.issued >= p.refused:
			x.fail(p, "account %c has to wait with a token that is newer than the refusal", 'a'+i)
		case one && k.accepted[who] > p.refused:
			x.fail(p, "account %c has to wait with a token that was accepted after the refusal", 'a'+i)
		case one != k.issued.time().Before(careful):
			x.fail(p, "OneTokenAtATime says %v of account %c, and Careful says %v", one, 'a'+i, careful)
		case p.at[who].host.Suspect(x.login.URL, k.issued.time()):
			x.fail(p, "account %c has a token that is suspect", 'a'+i)
		}
	}
	if p.now-p.refused > 24*3600*1000+2000 && !careful.IsZero() {
		x.fail(p, "the care has not ended a day after the refusal")
	}
}

func (x *tokenExplorer) fail(p *tokensPlayed, format string, args ...any) {
	x.t.Errorf("%s\nafter %s\ncare %+v", fmt.Sprintf(format, args...), strings.Join(p.did, "; "), p.at)
}

// order is equal for states in which the same happened in the same order. Accounts
// have no names in it.
func (p *tokensPlayed) order() string {
	instants := []instant{0, p.refused, p.sent}
	key := []byte{byte(p.ended), byte(p.days), byte(p.dead), byte(b2i(p.restarted))}
	for i := range p.at {
		var u urlState
		if urls := p.at[i].local.urls; len(urls) > 0 {
			u = urls[0]
		}
		c := &u.care
		instants = append(instants, c.doubted, c.oldest, c.since)
		for _, s := range p.at[i].host.suspects {
			instants = append(instants, s.before)
		}
		key = append(key, byte(b2i(c.own)), byte(b2i(p.now > c.until)), byte(len(p.at[i].host.suspects)))
	}
	tokens := p.tokens
	late := instant(0)
	if p.late > 0 {
		late = tokens[p.late-1].issued
	}
	slices.SortFunc(tokens[:], func(a, b playedToken) int { return cmp.Compare(a.issued, b.issued) })
	for _, k := range tokens {
		instants = append(instants, k.issued, k.accepted[0], k.accepted[1])
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(instants)))
	for _, at := range append(instants, late) {
		i, _ := slices.BinarySearch(sorted, at)
		key = append(key, byte(i))
	}
	for _, k := range tokens {
		key = append(key, byte(b2i(k.alive)))
	}
	return string(key)
}
