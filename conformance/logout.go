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
		Says:  "Logout ends the token and its refresh token at the PBX, or the refresh token alone if Traits says LogoutRefresh.",
		Why:   "A token that was only forgotten can still be used by anyone who finds it, and takes one of the few places that some PBXs have.",
		needs: []precondition{logout},
		check: logoutEnds,
	},
	{
		ID:    "LOGOUT-02",
		Says:  "Logout of a token that the PBX does not know is nil.",
		Why:   "The goal is reached. Otherwise every session of a fleet would report an error after a restart.",
		needs: []precondition{logout},
		check: logoutAgain,
	},
	{
		ID:    "LOGOUT-03",
		Says:  "A logout that was not proven to succeed is an error, also if it did not reach the PBX.",
		Why:   "The token may still be valid.",
		needs: []precondition{logout},
		check: failedLogout,
	},
	{
		ID:    "LOGOUT-04",
		Says:  "A logout is one request and no login, also for an expired token.",
		Why:   "Clients have logged in to log out. It cost a place, and with a changed password a wrong login.",
		needs: []precondition{logout},
		check: plainLogout,
	},
	{
		ID:    "LOGOUT-05",
		Says:  "If the brand has no logout, Logout is nil, and nothing is sent.",
		Why:   "Session.Close logs out whatever the brand. An invented request may be an error on some firmware.",
		needs: []precondition{noLogout},
		check: unsupportedLogout,
	},
}

func logoutEnds(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	if err := t.auth.Logout(context.Background(), token); err != nil {
		return fmt.Errorf("a good logout fails: %w", err)
	}
	return t.ended(token)
}

// ended returns an error unless a logout of token has ended what Traits.Logout says.
func (t *testbed) ended(token *pbx.Token) error {
	switch alive, refreshOnly := t.alive(token), t.auth.Traits().Logout == pbx.LogoutRefresh; {
	case alive && !refreshOnly:
		return errors.New("the token is still valid at the PBX")
	case !alive && refreshOnly:
		return errors.New("the token is no longer valid at the PBX, Traits.Logout says LogoutRefresh")
	case !refreshOnly && t.auth.keepAlive() != pbx.KeepAliveRefresh:
		return nil
	}
	_, err := t.auth.KeepAlive(context.Background(), token)
	return at("a refresh after the logout", ofKind(err, pbx.ErrTokenRejected))
}

func unsupportedLogout(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	before := t.transport.requests.Load()
	if err := t.auth.Logout(context.Background(), token); err != nil {
		return err
	}
	if t.transport.requests.Load() != before {
		return errors.New("a request is sent")
	}
	return nil
}

func logoutAgain(t *testbed) error {
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

func failedLogout(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	failures, err := t.failuresOf(pbxsim.Logout)
	if err != nil {
		return err
	}
	for _, failure := range failures {
		t.sim.Fault(failure.fault)
		err := ofKind(t.auth.Logout(context.Background(), token))
		t.sim.ClearFaults()
		if err != nil {
			return at("the response to Logout is "+failure.name, err)
		}
	}
	t.server.Close()
	err = t.auth.Logout(context.Background(), token)
	return at("while the PBX is down", errors.Join(ofKind(err, pbx.ErrUnavailable), sent(err, false)))
}

func plainLogout(t *testbed) error {
	for name, age := range map[string]time.Duration{"a valid token": 0, "an expired one": t.tokenLifetime() + time.Second, "one of two days ago": 48 * time.Hour} {
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
