package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var expiryRules = []Rule{
	{
		ID:    "EXPIRY-01",
		Says:  "IssuedAt is not after the login's arrival at the PBX, and ExpiresAt, if set, is not after the PBX's own end of the token, however late the answer.",
		Why:   "Sessions renew by these times; an end that is counted from the answer comes after the PBX's.",
		check: tokenTimes,
	},
	{
		ID:    "EXPIRY-02",
		Says:  "Of a call with a token that has run out, Inspect says ErrTokenRejected.",
		Why:   "Clocks differ and PBXs change their minds, so the refusal is what counts.",
		needs: []need{authorizer},
		check: expiredCall,
	},
	{
		ID:    "EXPIRY-03",
		Says:  "Traits.Lifetime, if set, is not longer than the PBX lets a token live.",
		Why:   "It is what a session goes by where the login tells no end.",
		check: lifetimeTraits,
	},
	{
		ID:    "EXPIRY-04",
		Says:  "A token that ran out two days ago is ErrTokenRejected as well, by a call and by a keep-alive.",
		Why:   "PBXs forget what has run out, and then have another code for it, which clients did not know on Monday morning.",
		needs: []need{authorizer},
		check: longExpired,
	},
	{
		ID:    "EXPIRY-05",
		Says:  "RefreshExpiresAt, if set, is not after the PBX's own end of the refresh token, however late the answer, and of a refreshed pair too.",
		Why:   "A session goes by it when it decides between a refresh and a login.",
		needs: []need{refresh},
		check: refreshTimes,
	},
	{
		ID:    "EXPIRY-06",
		Says:  "KeepAlive with a refresh token that has run out is ErrTokenRejected.",
		Why:   "Only a login mends it; any other kind makes the session try the refresh again, for ever.",
		needs: []need{refresh},
		check: expiredRefresh,
	},
}

func tokenTimes(t *trial) error {
	for _, delay := range []time.Duration{0, 20 * time.Second} {
		t.sim.Fault(pbxsim.Fault{On: pbxsim.Login, Delay: delay, Times: -1})
		token, err := t.login()
		t.sim.ClearFaults()
		if err != nil {
			return err
		}
		log := t.sim.Log()
		arrived := log[len(log)-1].At
		end := arrived.Add(t.life())
		where := fmt.Sprintf("answered after %s", delay)
		switch {
		case token.IssuedAt.IsZero():
			return at(where, fmt.Errorf("IssuedAt is not set"))
		case token.IssuedAt.After(arrived):
			return at(where, fmt.Errorf("IssuedAt is %s after the login arrived at the PBX", token.IssuedAt.Sub(arrived)))
		case arrived.Sub(token.IssuedAt) > time.Minute:
			return at(where, fmt.Errorf("IssuedAt is %s before the login arrived at the PBX", arrived.Sub(token.IssuedAt)))
		case token.ExpiresAt.IsZero():
			continue
		case token.ExpiresAt.After(end):
			return at(where, fmt.Errorf("ExpiresAt is %s after the PBX's own end of the token", token.ExpiresAt.Sub(end)))
		case !token.ExpiresAt.After(time.Now()):
			return at(where, fmt.Errorf("ExpiresAt is past already"))
		}
	}
	return nil
}

func expiredCall(t *trial) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	time.Sleep(t.life() + time.Second)
	if err := ofKind(t.call(token), pbx.ErrTokenRejected); err != nil {
		return err
	}
	return at("a login afterwards", noToken(t.auth.Login(context.Background())))
}

func lifetimeTraits(t *trial) error {
	if claimed := t.auth.Traits().Lifetime; claimed > t.life() {
		return fmt.Errorf("Traits says that a token lives for %s, and it lives for %s", claimed, t.life())
	}
	return nil
}

func longExpired(t *trial) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	time.Sleep(t.life() + 48*time.Hour)
	t.sim.Revoke(token.Value.Reveal()) // for it has forgotten by now
	if err := ofKind(t.call(token), pbx.ErrTokenRejected); err != nil {
		return at("a call", err)
	}
	if t.auth.keepAlive() == pbx.KeepAliveNone {
		return nil
	}
	return at("a keep-alive", ofKind(noToken(t.auth.KeepAlive(context.Background(), token)), pbx.ErrTokenRejected))
}

// refreshLife is how long the PBX lets a refresh token live.
func (t *trial) refreshLife() time.Duration { return t.sim.Dialect().Defaults().RefreshLifetime }

func refreshTimes(t *trial) error {
	check := func(token *pbx.Token) error {
		log := t.sim.Log()
		end := log[len(log)-1].At.Add(t.refreshLife())
		if token.RefreshExpiresAt.After(end) {
			return fmt.Errorf("RefreshExpiresAt is %s after the PBX's own end of the refresh token", token.RefreshExpiresAt.Sub(end))
		}
		return nil
	}
	t.sim.Fault(pbxsim.Fault{Delay: 20 * time.Second, Times: -1})
	token, err := t.login()
	if err != nil {
		return err
	}
	if err := check(token); err != nil {
		return at("after the login", err)
	}
	if token, err = t.refreshed(token); err != nil {
		return err
	}
	return at("after a refresh", check(token))
}

func expiredRefresh(t *trial) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	time.Sleep(t.refreshLife() + time.Second)
	return ofKind(noToken(t.auth.KeepAlive(context.Background(), token)), pbx.ErrTokenRejected)
}
