package pbxsim

import "time"

// grantKey is whose grant it is, and for which client.
type grantKey struct{ user, client string }

// Grant returns the refresh token of a user and a client, and makes it if there is
// none. It is for a brand whose refresh tokens are not used up, do not expire, and
// do not depend on the token that they came with. A restart forgets them.
func (a *Accounts) Grant(user, client string) string {
	p := a.pbx
	p.mu.Lock()
	defer p.mu.Unlock()
	key := grantKey{user, client}
	for refresh, k := range p.grants {
		if k == key {
			return refresh
		}
	}
	refresh := p.newToken()
	p.grants[refresh] = key
	return refresh
}

// Redeem issues a token for the refresh token of a grant, which stays. The verdict
// is UnknownToken if it is another client's, and TooManyTokens if there is no room.
func (a *Accounts) Redeem(refresh, client string) (Token, Verdict) {
	p, r := a.pbx, a.request
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	key, known := p.grants[refresh]
	user := key.user
	if !known {
		user = p.gone[refresh]
	}
	if until, stopped := p.tokenUnderLock(r, user, now); stopped {
		return Token{}, p.underLock(r, user, until, UnknownToken)
	}
	if !known || key.client != client {
		return Token{}, p.refuse(r, user, now, UnknownToken)
	}
	if p.crowded(p.accounts[user], now) {
		return Token{}, r.judge(user, TooManyTokens)
	}
	return p.issue(user, now), r.judge(user, OK)
}

// Withdraw ends a grant. The tokens that it brought stay valid.
func (a *Accounts) Withdraw(user, client string) {
	p := a.pbx
	p.mu.Lock()
	defer p.mu.Unlock()
	for refresh, key := range p.grants {
		if key == (grantKey{user, client}) {
			delete(p.grants, refresh)
			p.leave(refresh, user)
		}
	}
}

// SetLifetime gives a live token the lifetime that its client has asked for, and
// returns it.
func (a *Accounts) SetLifetime(token string, lifetime time.Duration) Token {
	p := a.pbx
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tokens[token]
	if t == nil {
		return Token{}
	}
	t.Expires = t.Issued.Add(lifetime)
	return *t
}

// Token describes a live token. The zero Token: there is none.
func (a *Accounts) Token(value string) Token {
	p := a.pbx
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tokens[value]
	if t == nil || !time.Now().Before(t.Expires) {
		return Token{}
	}
	return *t
}
