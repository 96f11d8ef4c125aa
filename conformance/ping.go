package conformance

import (
	"context"
	"errors"
	"fmt"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var pingRules = []Rule{
	{
		ID:    "PING-01",
		Says:  "Ping of a valid token is nil, sends the token, and is no login or logout. It may be the request of the keep-alive.",
		Why:   "A session sends it to find out whether a token is dead. A wrong error costs a login.",
		needs: []precondition{pinger},
		check: goodPing,
	},
	{
		ID:    "PING-02",
		Says:  "Ping of an expired or revoked token is ErrTokenRejected.",
		Why:   "The session would keep a dead token.",
		needs: []precondition{pinger},
		check: deadPing,
	},
	{
		ID:    "PING-03",
		Says:  "A Ping that got no usable response is an error, and never ErrTokenRejected.",
		Why:   "A PBX that is starting would get a login, and one behind a broken proxy would get many.",
		needs: []precondition{pinger},
		check: unprovenPing,
	},
}

func goodPing(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	before := t.sim.Counts()
	if err := t.auth.Ping(context.Background(), token); err != nil {
		return err
	}
	after := t.sim.Counts()
	if after.AppRequests+after.KeepAlives == before.AppRequests+before.KeepAlives || after.Logins != before.Logins || after.Logouts != before.Logouts {
		return errors.New("it sends no request with the token, or a login or logout")
	}
	return nil
}

func deadPing(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	t.sim.Revoke(token.Value.Reveal())
	return ofKind(t.auth.Ping(context.Background(), token), pbx.ErrTokenRejected)
}

func unprovenPing(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	before := t.sim.Counts()
	if err := t.auth.Ping(context.Background(), token); err != nil {
		return at("a good Ping", err)
	}
	action := pbxsim.AppRequest
	if t.sim.Counts().KeepAlives != before.KeepAlives {
		action = pbxsim.KeepAlive
	}
	log := t.sim.Log()
	empty := len(log[len(log)-1].Reply) == 0
	for name, fault := range map[string]pbxsim.Fault{
		"HTTP 404":        {Status: 404},
		"HTTP 500":        {Status: 500},
		"HTTP 503":        {Status: 503, Body: []byte(pbxsim.HTMLPage)},
		"a web page":      {Status: 200, Body: []byte(pbxsim.HTMLPage)},
		"half a response": {Truncate: true},
		"no response":     {Drop: pbxsim.DropBefore},
	} {
		if fault.Truncate && empty {
			continue // half of nothing is whole
		}
		fault.On = action
		t.sim.Fault(fault)
		err := t.auth.Ping(context.Background(), token)
		t.sim.ClearFaults()
		if wrong := ofKind(err); wrong != nil {
			return at(name, wrong)
		}
		if errors.Is(err, pbx.ErrTokenRejected) {
			return fmt.Errorf("%s is taken for a refused token: %w", name, err)
		}
	}
	return nil
}
