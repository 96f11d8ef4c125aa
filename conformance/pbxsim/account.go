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
}

// A Verdict is what becomes of a login or of a token.
type Verdict int

const (
	OK Verdict = iota
	WrongPassword
	Locked
	UnknownToken
	ExpiredToken
)

func (v Verdict) String() string {
	return [...]string{"ok", "wrong password", "locked", "unknown token", "expired token"}[v]
}

type account struct {
	password string
	tokens   map[string]*Token
}

func newAccount(password string) *account {
	return &account{password: password, tokens: make(map[string]*Token)}
}

// A token that has expired is forgotten a day later: from then on it is unknown.
const remembered = 24 * time.Hour

// Login asks for a token. check is given the account's password in clear, and
// tells whether the request proves that it knows it. The verdict is OK,
// WrongPassword (also for an account that does not exist), or Locked, whatever
// the password, while r's caller is locked.
func (p *PBX) Login(r *Request, user string, check func(password string) bool) (Token, Verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if _, locked := p.locked(r.Caller, now); locked {
		p.counts.LockedLogins++
		return Token{}, Locked
	}
	a := p.accounts[user]
	if a == nil || !check(a.password) {
		p.counts.WrongLogins++
		p.countWrong(r.Caller, now)
		return Token{}, WrongPassword
	}
	p.counts.GoodLogins++
	if !p.opts.SuccessKeepsCount {
		delete(p.callers, r.Caller)
	}
	if p.opts.SecondLoginKills {
		p.endAll(a)
	}
	p.sweep(now)
	t := &Token{Value: p.unusedToken(), User: user, Issued: now, Expires: now.Add(p.opts.Life)}
	p.tokens[t.Value] = t
	a.tokens[t.Value] = t
	return *t, OK
}

// Use spends a token, or a key, on an API call. Where the dialect's tokens are
// sliding, it starts the token's life anew.
func (p *PBX) Use(r *Request, token string) Verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys[token] {
		p.counts.Calls++
		return OK
	}
	t, v := p.find(r, token)
	if v != OK {
		return v
	}
	p.counts.Calls++
	if p.sliding {
		t.Expires = time.Now().Add(p.opts.Life)
	}
	return OK
}

// KeepAlive starts a token's life anew.
func (p *PBX) KeepAlive(r *Request, token string) Verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, v := p.find(r, token)
	if v == OK {
		t.Expires = time.Now().Add(p.opts.Life)
	}
	return v
}

// Logout ends a token.
func (p *PBX) Logout(r *Request, token string) Verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, v := p.find(r, token)
	if v != OK {
		return v
	}
	if p.opts.LogoutEndsAll {
		p.endAll(p.accounts[t.User])
	} else {
		p.end(t)
	}
	return OK
}

// SetPassword changes an account's password, or makes the account. Tokens that
// were issued under the old password live on.
func (p *PBX) SetPassword(user, password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.accounts[user]; a != nil {
		a.password = password
		return
	}
	p.accounts[user] = newAccount(password)
}

// AddKey makes a key that can be used in place of a token: made by hand in the
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
	clear(p.tokens)
	for _, a := range p.accounts {
		clear(a.tokens)
	}
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

// find returns a live token, or counts the refusal. The caller holds p.mu.
func (p *PBX) find(r *Request, token string) (*Token, Verdict) {
	now := time.Now()
	t := p.tokens[token]
	switch {
	case t == nil:
		p.counts.RefusedTokens++
		if p.opts.WrongTokenCounts {
			p.countWrong(r.Caller, now)
		}
		return nil, UnknownToken
	case !now.Before(t.Expires):
		p.counts.RefusedTokens++
		return nil, ExpiredToken
	}
	return t, OK
}

// unusedToken returns a token that p does not know. The caller holds p.mu.
func (p *PBX) unusedToken() string {
	for range 100 {
		if t := p.newToken(); p.tokens[t] == nil {
			return t
		}
	}
	panic("pbxsim: NewToken repeats itself")
}

// end forgets t. The caller holds p.mu.
func (p *PBX) end(t *Token) {
	delete(p.tokens, t.Value)
	delete(p.accounts[t.User].tokens, t.Value)
}

// endAll forgets the tokens of a. The caller holds p.mu.
func (p *PBX) endAll(a *account) {
	for _, t := range a.tokens {
		p.end(t)
	}
}

// sweep forgets what expired long ago, at a cost that is spread over many
// logins. The caller holds p.mu.
func (p *PBX) sweep(now time.Time) {
	if len(p.tokens) < p.sweepAt {
		return
	}
	for _, t := range p.tokens {
		if now.Sub(t.Expires) > remembered {
			p.end(t)
		}
	}
	p.sweepAt = 2*len(p.tokens) + 1000
}
