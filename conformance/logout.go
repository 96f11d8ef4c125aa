package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var logoutRules = []Rule{
	{
		ID:    "LOGOUT-01",
		Says:  "Logout ends the token at the PBX.",
		Why:   "A token that was only forgotten can still be used by who finds it, and takes one of the few places that some PBXs have.",
		check: logoutEnds,
	},
	{
		ID:    "LOGOUT-02",
		Says:  "Logout of a token that the PBX does not know, or no longer, is nil.",
		Why:   "What was wanted is the case; after a restart, every session of a fleet would report an error.",
		check: logoutAgain,
	},
	{
		ID:    "LOGOUT-03",
		Says:  "A logout that was not proven to succeed is an error, also if it did not reach the PBX.",
		Why:   "The token may live on.",
		check: failedLogout,
	},
	{
		ID:    "LOGOUT-04",
		Says:  "A logout is one request and no login, also of a token that has run out.",
		Why:   "Clients have logged in to log out: it cost a place, and with a changed password a wrong login.",
		check: plainLogout,
	},
}

func logoutEnds(t *trial) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	if err := t.auth.Logout(context.Background(), token); err != nil {
		return fmt.Errorf("a good logout fails: %w", err)
	}
	if t.alive(token) {
		return errors.New("the token lives on at the PBX")
	}
	return nil
}

func logoutAgain(t *trial) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	for _, which := range []string{"the first logout", "the second logout"} {
		if err := t.auth.Logout(context.Background(), token); err != nil {
			return at(which, err)
		}
	}
	if token, err = t.login(); err != nil {
		return err
	}
	t.sim.Restart()
	return at("after a restart", t.auth.Logout(context.Background(), token))
}

func failedLogout(t *trial) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	for _, trouble := range unproven {
		trouble.fault.On = pbxsim.Logout
		t.sim.Fault(trouble.fault)
		err := ofKind(t.auth.Logout(context.Background(), token))
		t.sim.ClearFaults()
		if err != nil {
			return at("Logout answered with "+trouble.name, err)
		}
	}
	t.server.Close()
	err = t.auth.Logout(context.Background(), token)
	return at("while the PBX is down", errors.Join(ofKind(err, pbx.ErrUnavailable), sent(err, false)))
}

func plainLogout(t *trial) error {
	for name, age := range map[string]time.Duration{"a living token": 0, "one that has run out": t.life() + time.Second, "one of two days ago": 48 * time.Hour} {
		token, err := t.login()
		if err != nil {
			return err
		}
		time.Sleep(age)
		before := t.sim.Counts()
		if err := t.auth.Logout(context.Background(), token); err != nil {
			return fmt.Errorf("Logout of %s returns an error, want nil: %w", name, err)
		}
		after := t.sim.Counts()
		if after.Logins != before.Logins {
			return fmt.Errorf("%s: the logout logs in", name)
		}
		if after.Requests != before.Requests+1 {
			return fmt.Errorf("%s: the logout is %d requests", name, after.Requests-before.Requests)
		}
	}
	return nil
}
