package pbxsim

import (
	"net/http"
	"time"
)

// Accounts is what a [Dialect] sees of a PBX while it serves one request:
// logins, tokens, and nothing of what a test controls.
type Accounts struct {
	pbx     *PBX
	request *Request
}

// Login asks for a token. check is given the account's password in plaintext, and
// reports whether the request proves that its client knows it. check may be asked
// about other passwords as well, for [Record].Password. The verdict is OK,
// WrongPassword (also for an account that does not exist), TooManyTokens, or
// Locked, whatever the password.
func (a *Accounts) Login(user string, check func(password string) bool) (Token, Verdict) {
	p := a.pbx
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.login(a.request, user, check)
}

// LoginByPassword is [Accounts.Login] for a brand whose logins name no user, such
// as one with a key for each account. check is given the passwords of all
// accounts. Where none proves right, the login is one without a user name.
func (a *Accounts) LoginByPassword(check func(password string) bool) (Token, Verdict) {
	p := a.pbx
	p.mu.Lock()
	defer p.mu.Unlock()
	user := ""
	for name, account := range p.accounts {
		if check(account.password) {
			user = name
			break
		}
	}
	return p.login(a.request, user, check)
}

// login is Login. p.mu is held.
func (p *PBX) login(r *Request, user string, check func(password string) bool) (Token, Verdict) {
	now := time.Now()
	who := lockKey{r.From, user}
	a := p.accounts[user]
	if until, locked := p.lockouts.lockedUntil(who, now); locked {
		p.recognise(r, a, check)
		p.loginUnderLock(who, now)
		return Token{}, p.underLock(r, user, until, WrongPassword)
	}
	if a == nil || !check(a.password) {
		p.recognise(r, a, check)
		p.tally(user, func(c *Counts) { c.WrongLogins++ })
		p.wrong(who, now)
		return Token{}, r.judge(user, WrongPassword)
	}
	r.recognised(a.password)
	p.lockouts.succeeded(who)
	if p.opts.SecondLoginKills {
		p.endAll(a)
		a.held = nil
	}
	p.sweep(now)
	if p.crowded(a, now) {
		p.tally(user, func(c *Counts) { c.CrowdedLogins++ })
		return Token{}, r.judge(user, TooManyTokens)
	}
	p.tally(user, func(c *Counts) { c.GoodLogins++ })
	return p.issue(user, now), r.judge(user, OK)
}

// Use judges the token, or the key, of a request of the application's. Where the
// dialect's tokens are sliding, it starts the token's lifetime anew.
func (a *Accounts) Use(token string) Verdict {
	p, r := a.pbx, a.request
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys[token] {
		if until, stopped := p.tokenUnderLock(r, "", time.Now()); stopped {
			return p.underLock(r, "", until, UnknownToken)
		}
		p.counts.AppRequests++
		return r.judge("", OK)
	}
	t, v := p.find(r, token)
	if v != OK {
		return v
	}
	p.tally(t.User, func(c *Counts) { c.AppRequests++ })
	if p.sliding {
		t.Expires = time.Now().Add(p.opts.Lifetime)
	}
	return OK
}

// KeepAlive starts a token's lifetime anew.
func (a *Accounts) KeepAlive(token string) Verdict {
	p, r := a.pbx, a.request
	p.mu.Lock()
	defer p.mu.Unlock()
	t, v := p.find(r, token)
	if v == OK {
		t.Expires = time.Now().Add(p.opts.Lifetime)
	}
	return v
}

// Logout ends a token, and the refresh token that it came with.
func (a *Accounts) Logout(token string) Verdict {
	p, r := a.pbx, a.request
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

// Refresh trades a refresh token, and the token that it came with, for another
// pair. It does not look whether there is room for a token more: of that, only
// logins are documented to fail.
func (a *Accounts) Refresh(refresh string) (Token, Verdict) {
	p, r := a.pbx, a.request
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	old := p.refresh[refresh]
	user := p.gone[refresh]
	if old != nil {
		user = old.User
	}
	if until, stopped := p.tokenUnderLock(r, user, now); stopped {
		return Token{}, p.underLock(r, user, until, UnknownToken)
	}
	switch {
	case old == nil:
		return Token{}, p.refuse(r, user, now, UnknownToken)
	case !now.Before(old.RefreshExpires):
		return Token{}, p.refuse(r, user, now, ExpiredToken)
	}
	r.judge(user, OK)
	p.leave(old.Refresh, user)
	delete(p.refresh, old.Refresh)
	old.Refresh = ""
	account := p.accounts[old.User]
	if p.opts.RefreshSparesOld {
		old.spared = !p.opts.RefreshHoldsPlace
	} else {
		if p.opts.RefreshHoldsPlace {
			account.held = append(account.held, old.Expires)
		}
		p.end(old)
	}
	p.sweep(now)
	return p.issue(old.User, now), OK
}

// Tokens returns the live tokens of an account, the oldest first. A brand whose logins
// beyond a limit end the oldest token has no MaxTokens: its dialect logs that one out
// after a good login.
func (a *Accounts) Tokens(user string) []string { return a.pbx.Tokens(user) }

// Locked reports whether a lock would refuse a login with a user name, for a brand
// that says so before the login. It is false for a lock that looks like a wrong
// password. It counts as no login.
func (a *Accounts) Locked(user string) bool {
	p, r := a.pbx, a.request
	p.mu.Lock()
	defer p.mu.Unlock()
	until, locked := p.lockouts.lockedUntil(lockKey{r.From, user}, time.Now())
	return locked && p.underLock(r, user, until, OK) == Locked
}

// Respond returns what Options.Respond says to a request of the application's. A
// dialect asks when it has accepted the token, and before it responds itself.
// Without a Content-Type of its own, the reply gets the given one.
func (a *Accounts) Respond(contentType string) (Reply, bool) {
	if a.pbx.opts.Respond == nil {
		return Reply{}, false
	}
	reply := a.pbx.opts.Respond(a.request)
	if reply == nil {
		return Reply{}, false
	}
	own := *reply
	if own.Header = own.Header.Clone(); own.Header == nil {
		own.Header = http.Header{}
	}
	if own.Header.Get("Content-Type") == "" {
		own.Header.Set("Content-Type", contentType)
	}
	return own, true
}
