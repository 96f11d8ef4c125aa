package pbxsim

import (
	"slices"
	"strings"
	"time"
)

// A Token is one login of one account.
type Token struct {
	Value   string
	User    string
	Issued  time.Time
	Expires time.Time

	// Refresh trades the token for another, also when it has expired; empty
	// where the brand has no such thing.
	Refresh        string
	RefreshExpires time.Time

	spared bool // replaced by a refresh, and without a place of its own
}

// A Verdict is what becomes of a login or of a token.
type Verdict int

const (
	NotJudged Verdict = iota
	OK
	WrongPassword
	Locked
	UnknownToken
	ExpiredToken
	TooManyTokens
)

func (v Verdict) String() string {
	return [...]string{"not judged", "ok", "wrong password", "locked", "unknown token", "expired token", "too many tokens"}[v]
}

type account struct {
	password string
	earlier  []string // passwords
	tokens   map[string]*Token
	held     []time.Time // until when a token that a refresh ended keeps its place
}

func newAccount(password string) *account {
	return &account{password: password, tokens: make(map[string]*Token)}
}

// remembered is for how long, at least, an expired token is one that has expired.
// At some time after that it is unknown.
const remembered = 24 * time.Hour

// recognise records which password a login was made with, where it is one that
// the PBX has heard of. p.mu is held.
func (p *PBX) recognise(r *Request, a *account, check func(password string) bool) {
	candidates := p.opts.Guesses
	if a != nil {
		candidates = slices.Concat([]string{a.password}, a.earlier, candidates)
	}
	if i := slices.IndexFunc(candidates, check); i >= 0 {
		r.recognised(candidates[i])
	}
}

// issue makes a token of a user. p.mu is held.
func (p *PBX) issue(user string, now time.Time) Token {
	t := &Token{Value: p.unused(p.tokens), User: user, Issued: now, Expires: now.Add(p.opts.Lifetime)}
	p.tokens[t.Value] = t
	p.accounts[user].tokens[t.Value] = t
	if p.opts.RefreshLifetime > 0 {
		t.Refresh, t.RefreshExpires = p.unused(p.refresh), now.Add(p.opts.RefreshLifetime)
		p.refresh[t.Refresh] = t
	}
	return *t
}

// crowded reports whether all of the account's places are taken. p.mu is held.
func (p *PBX) crowded(a *account, now time.Time) bool {
	if p.opts.MaxTokens <= 0 {
		return false
	}
	a.held = slices.DeleteFunc(a.held, func(until time.Time) bool { return !now.Before(until) })
	taken := len(a.held)
	for _, t := range a.tokens {
		end := t.Expires
		if p.swept > 0 {
			end = end.Truncate(p.swept).Add(p.swept)
		}
		if now.Before(end) && !t.spared {
			taken++
		}
	}
	return taken >= p.opts.MaxTokens
}

// SetPassword changes an account's password, or makes the account. Tokens that
// were issued under the old password stay valid.
func (p *PBX) SetPassword(user, password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.accounts[user]; a != nil {
		a.earlier = append(a.earlier, a.password)
		a.password = password
		return
	}
	p.accounts[user] = newAccount(password)
}

// AddKey makes a key that can be used instead of a token: made by hand in the
// PBX's interface, it does not expire, survives a restart, and can be neither
// prolonged nor logged out. See [PBX.Revoke].
func (p *PBX) AddKey(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys[key] = true
}

// Tokens returns the live tokens of an account, the oldest first.
func (p *PBX) Tokens(user string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.accounts[user]
	if a == nil {
		return nil
	}
	now := time.Now()
	var live []*Token
	for _, t := range a.tokens {
		if now.Before(t.Expires) {
			live = append(live, t)
		}
	}
	slices.SortFunc(live, func(a, b *Token) int {
		if c := a.Issued.Compare(b.Issued); c != 0 {
			return c
		}
		return strings.Compare(a.Value, b.Value)
	})
	var values []string
	for _, t := range live {
		values = append(values, t.Value)
	}
	return values
}

// Restart forgets all tokens. Passwords, keys, locks, counts, faults and the
// log stay.
func (p *PBX) Restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.accounts {
		p.endAll(a)
		a.held = nil
	}
	for refresh, key := range p.grants {
		p.leave(refresh, key.user)
	}
	clear(p.grants)
}

// Revoke ends a token, or a key: from now on it is unknown.
func (p *PBX) Revoke(token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.keys, token)
	if t := p.tokens[token]; t != nil {
		p.end(t)
	}
}

// Expire lets a token time out now.
func (p *PBX) Expire(token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.tokens[token]; t != nil {
		t.Expires = time.Now()
	}
}

// find returns a live token, or counts the refusal. p.mu is held.
func (p *PBX) find(r *Request, token string) (*Token, Verdict) {
	now := time.Now()
	t := p.tokens[token]
	user := p.gone[token]
	if t != nil {
		user = t.User
	}
	if until, stopped := p.tokenUnderLock(r, user, now); stopped {
		return nil, p.underLock(r, user, until, UnknownToken)
	}
	switch {
	case t == nil:
		return nil, p.refuse(r, user, now, UnknownToken)
	case !now.Before(t.Expires):
		return nil, p.refuse(r, user, now, ExpiredToken)
	}
	return t, r.judge(user, OK)
}

// refuse counts a dead token of a user, or of nobody. p.mu is held.
func (p *PBX) refuse(r *Request, user string, now time.Time, v Verdict) Verdict {
	p.tally(user, func(c *Counts) { c.RefusedTokens++ })
	if p.lockouts.rules.DeadTokens {
		p.wrong(lockKey{r.From, user}, now)
	}
	return r.judge(user, v)
}

// unused returns a value that is not in known. p.mu is held.
func (p *PBX) unused(known map[string]*Token) string {
	for range 100 {
		if t := p.newToken(); known[t] == nil {
			return t
		}
	}
	panic("pbxsim: NewToken repeats itself")
}

// end forgets t. p.mu is held.
func (p *PBX) end(t *Token) {
	delete(p.tokens, t.Value)
	delete(p.refresh, t.Refresh)
	delete(p.accounts[t.User].tokens, t.Value)
	p.leave(t.Value, t.User)
	p.leave(t.Refresh, t.User)
}

// leave notes whose a token was that is no more. p.mu is held.
func (p *PBX) leave(token, user string) {
	if token == "" {
		return
	}
	if len(p.gone) >= maxGone {
		clear(p.gone)
	}
	p.gone[token] = user
}

const maxGone = 10_000 // tokens

// endAll forgets the tokens of a. p.mu is held.
func (p *PBX) endAll(a *account) {
	for _, t := range a.tokens {
		p.end(t)
	}
}

// sweep forgets what expired long ago, at a cost that is spread over many
// logins. p.mu is held.
func (p *PBX) sweep(now time.Time) {
	if len(p.tokens) < p.sweepAt {
		return
	}
	for _, t := range p.tokens {
		if now.Sub(t.Expires) > remembered && now.Sub(t.RefreshExpires) > remembered {
			p.end(t)
		}
	}
	p.sweepAt = 2*len(p.tokens) + 1000
}
