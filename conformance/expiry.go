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
