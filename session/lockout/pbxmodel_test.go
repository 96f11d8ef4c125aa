package lockout_test

import (
	"fmt"
	"time"

	"github.com/pbxauth/pbx"
)

// model is how one kind of PBX counts and locks. It is written from what vendors
// and fail2ban do, and knows nothing of the ledger.
type model struct {
	attempts   int           // weight of wrong logins that locks
	count      string        // "row": never forgotten; "sliding"; "aligned": in a window of the clock
	memory     time.Duration // of sliding and aligned
	scope      string        // "address", "account", "pair" of both
	reset      string        // what a success clears: "nothing", "account", "address"
	dead       bool          // dead tokens count
	restart    bool          // a restart of the PBX clears its counts
	prolong    bool          // a login while locked prolongs the lock
	double     bool          // one wrong login counts twice
	covers     string        // "logins", "all"
	look       string        // "stated", "mute", "reset", "wrong"
	window     time.Duration // of a lock
	understate bool          // the vendor says nothing where silence is honest
}

func (m model) String() string {
	return fmt.Sprintf("%d/%s/%v/%s/reset=%s/dead=%v/restart=%v/prolong=%v/double=%v/covers=%s/%s/%v/silent=%v",
		m.attempts, m.count, m.memory, m.scope, m.reset, m.dead, m.restart, m.prolong, m.double, m.covers, m.look, m.window, m.understate)
}

// stated is what an honest driver says about the model.
func (m model) stated() pbx.Lockout {
	l := pbx.Lockout{
		Attempts: m.attempts, Window: m.window, Memory: m.memory, PerAccount: m.scope != "address",
		LooksWrong: m.look == "wrong", CoversRequests: m.covers == "all",
		Reset:      map[string]pbx.LockoutReset{"nothing": pbx.ResetNothing, "account": pbx.ResetAccount, "address": pbx.ResetAddress}[m.reset],
		DeadTokens: pbx.DeadTokensIgnored,
	}
	if m.double {
		l.Attempts = (m.attempts + 1) / 2
	}
	if m.count == "row" {
		l.Memory = pbx.Forever
	}
	if m.dead {
		l.DeadTokens = pbx.DeadTokensCount
	}
	if m.understate {
		if l.Attempts == 5 {
			l.Attempts = 0
		}
		if l.Window == 10*time.Minute {
			l.Window = 0
		}
		if m.count != "row" && m.memory <= 24*time.Hour {
			l.Memory = 0
		}
		if l.Reset == pbx.ResetAccount {
			l.Reset = pbx.ResetNothing
		}
		if !m.dead {
			l.DeadTokens = pbx.DeadTokensUnknown
		}
	}
	return l
}

// fakePBX is one PBX of a model.
type fakePBX struct {
	model
	passwords map[string]int // the version of each account's password
	tokens    map[int]string // token → account
	wrong     []wrongLogin
	locked    map[string]time.Time
	lastToken int
	lockEnds  time.Time // of the last lock
	boot      int

	wrongLogins, deadTokens, restarts, lockedLogins int

	caused       int // locks that our logins caused
	causedByDead int // locks in which dead tokens had a part that no client can avoid
}

type wrongLogin struct {
	at      time.Time
	account string
	weight  int
	dead    bool // it was a dead token
}

type response int

const (
	accepted response = iota
	wrongPassword
	statedLock
	noResponse // the connection is open, and nothing comes
	connectionReset
)

func newPBX(m model) *fakePBX {
	return &fakePBX{model: m, passwords: map[string]int{}, tokens: map[int]string{}, locked: map[string]time.Time{}}
}

func (p *fakePBX) key(account string) string {
	if p.scope == "address" {
		return ""
	}
	return account
}

func (p *fakePBX) isLocked(now time.Time, account string) bool {
	return p.locked[p.key(account)].After(now)
}

// lock is what somebody else causes.
func (p *fakePBX) lock(now time.Time, account string) {
	p.lockEnds = now.Add(p.window)
	p.locked[p.key(account)] = p.lockEnds
}

func (p *fakePBX) lockedResponse() response {
	return map[string]response{"stated": statedLock, "mute": noResponse, "reset": connectionReset, "wrong": wrongPassword}[p.look]
}

// login is what the PBX makes of a login at the moment when it judges it.
func (p *fakePBX) login(now time.Time, account string, password int) (response, int, time.Duration) {
	if p.isLocked(now, account) {
		p.lockedLogins++
		if p.prolong {
			p.lock(now, account)
		}
		return p.lockedResponse(), 0, p.locked[p.key(account)].Sub(now)
	}
	if p.passwords[account] != password {
		p.wrongLogins++
		p.counts(now, account, false)
		return wrongPassword, 0, 0
	}
	kept := p.wrong[:0]
	for _, w := range p.wrong {
		if p.reset == "nothing" || p.reset == "account" && w.account != account {
			kept = append(kept, w)
		}
	}
	p.wrong = kept
	p.lastToken++
	p.tokens[p.lastToken] = account
	return accepted, p.lastToken, 0
}

// counts counts one wrong login, or one dead token.
func (p *fakePBX) counts(now time.Time, account string, dead bool) {
	weight := 1
	if p.double {
		weight = 2
	}
	p.wrong = append(p.wrong, wrongLogin{now, account, weight, dead})
	total, tokens := 0, 0
	for _, w := range p.wrong {
		switch {
		case p.key(w.account) != p.key(account):
		case p.count == "sliding" && now.Sub(w.at) > p.memory:
		case p.count == "aligned" && !w.at.Truncate(p.memory).Equal(now.Truncate(p.memory)):
		default:
			total += w.weight
			if w.dead {
				tokens++
			}
		}
	}
	if total < p.attempts {
		return
	}
	// One dead token at a time can be allowed for, if the limit is large enough.
	// A client cannot know that a token is dead before it is refused.
	if tokens >= 2 || tokens == 1 && p.attempts <= 3*weight {
		p.causedByDead++
	} else {
		p.caused++
	}
	p.lock(now, account)
	kept := p.wrong[:0]
	for _, w := range p.wrong {
		if p.key(w.account) != p.key(account) {
			kept = append(kept, w)
		}
	}
	p.wrong = kept
}

// use is a request with a token: whether it is accepted, and whether a response
// comes at all.
func (p *fakePBX) use(now time.Time, account string, token int) (ok, responded bool) {
	if p.covers == "all" && p.isLocked(now, account) {
		return false, false
	}
	if _, known := p.tokens[token]; known {
		return true, true
	}
	p.deadTokens++
	if p.dead {
		p.counts(now, account, true)
	}
	return false, true
}

// reboot ends every token.
func (p *fakePBX) reboot() {
	p.boot++
	p.restarts++
	clear(p.tokens)
	if p.restart {
		p.wrong = nil
	}
}
