package conformance

import (
	"context"
	"errors"
	"fmt"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var protocolRules = []Rule{
	{
		ID:    "PROTOCOL-01",
		Says:  "A whole response that is not the brand's (a web page, nothing, other JSON) is ErrProtocol under HTTP 200.",
		Why:   "The URL is that of the web interface, or the driver is that of another brand. Trying again does not help, a person has to act.",
		check: foreignResponses,
	},
	{
		ID:    "PROTOCOL-02",
		Says:  "A truncated response is ErrUnavailable, and Sent is true.",
		Why:   "Half a success proves nothing, and the login has happened all the same.",
		check: truncatedResponses,
	},
	{
		ID:    "PROTOCOL-03",
		Says:  "A response of 16 MiB is ErrProtocol, and no more than 4 MiB of it are read.",
		Why:   "One PBX whose response does not end must not take down the process that serves all of them.",
		check: hugeResponse,
	},
	{
		ID:    "PROTOCOL-04",
		Says:  "Every error is an *pbx.Error that names the driver and the operation.",
		Why:   "A person who reads a line in a fleet's log has to know which PBX to look at, and for what.",
		check: errorNames,
	},
}

func foreignResponses(t *testbed) error {
	for _, body := range []string{pbxsim.HTMLPage, "", "{}", "null", "[]", `"ok"`, "0", "OK", "\xff\xfe{\x00}\x00"} {
		t.sim.Fault(pbxsim.Fault{On: pbxsim.Login, Status: 200, Body: []byte(body)})
		err := noToken(t.auth.Login(context.Background()))
		if wrong := errors.Join(ofKind(err, pbx.ErrProtocol), sent(err, true)); wrong != nil {
			return at(fmt.Sprintf("the response %.20q", body), wrong)
		}
	}
	return nil
}

func truncatedResponses(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	for _, op := range t.operations(token) {
		empty, err := t.emptyResponse(op.action)
		if err != nil {
			return err
		}
		if empty {
			continue // half of nothing is whole
		}
		t.sim.Fault(pbxsim.Fault{On: op.action, Truncate: true})
		err = op.run(context.Background())
		if wrong := errors.Join(ofKind(err, pbx.ErrUnavailable), sent(err, true)); wrong != nil {
			return at(op.name, wrong)
		}
	}
	return nil
}

func hugeResponse(t *testbed) error {
	const bound = 4 << 20
	t.sim.Fault(pbxsim.Fault{On: pbxsim.Login, Huge: 16 << 20})
	err := noToken(t.auth.Login(context.Background()))
	if read := t.transport.bytesRead.Load(); read > bound {
		return fmt.Errorf("%d MiB are read", read>>20)
	}
	return ofKind(err, pbx.ErrProtocol)
}

func errorNames(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	want := map[string]pbx.Op{"Login": pbx.OpLogin, "KeepAlive": pbx.OpKeepAlive, "Logout": pbx.OpLogout}
	check := func(op operation, where string) error {
		err := op.run(context.Background())
		if wrong := ofKind(err); wrong != nil {
			return at(op.name+", "+where, wrong)
		}
		var failure *pbx.Error
		errors.As(err, &failure)
		if failure.Driver != t.harness.Driver || failure.Op != want[op.name] {
			return fmt.Errorf("%s, %s: the error is of driver %q and operation %q, want %q and %q",
				op.name, where, failure.Driver, failure.Op, t.harness.Driver, want[op.name])
		}
		return nil
	}
	for _, op := range t.operations(token) {
		t.sim.Fault(pbxsim.Fault{On: op.action, Status: 500})
		if err := check(op, "HTTP 500"); err != nil {
			return err
		}
		t.sim.Fault(pbxsim.Fault{On: op.action, Drop: pbxsim.DropBefore})
		if err := check(op, "no response"); err != nil {
			return err
		}
	}
	t.server.Close()
	for _, op := range t.operations(token) {
		if err := check(op, "no connection"); err != nil {
			return err
		}
	}
	return nil
}
