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
		Says:  "A whole answer that is not the brand's (a web page, nothing, other JSON) is ErrProtocol under HTTP 200.",
		Why:   "The URL is that of the web interface, or the driver that of another brand: trying again does not help, a person does.",
		check: foreignAnswers,
	},
	{
		ID:    "PROTOCOL-02",
		Says:  "An answer that breaks off is ErrUnavailable, and Sent is true.",
		Why:   "Half a success is none, and the login has happened all the same.",
		check: brokenAnswer,
	},
	{
		ID:    "PROTOCOL-03",
		Says:  "An answer of 16 MiB is ErrProtocol, and no more than 4 MiB of it are read.",
		Why:   "One PBX whose answer does not end must not take down the process that looks after all.",
		check: hugeAnswer,
	},
	{
		ID:    "PROTOCOL-04",
		Says:  "Every error is an *pbx.Error that names the driver and the operation.",
		Why:   "Of a line in a fleet's log, a person has to know whom to ask about what.",
		check: errorNames,
	},
}

func foreignAnswers(t *trial) error {
	for _, body := range []string{pbxsim.HTMLPage, "", "{}", "null", "[]", `"ok"`, "0", "OK", "\xff\xfe{\x00}\x00"} {
		t.sim.Fault(pbxsim.Fault{On: pbxsim.Login, Status: 200, Body: []byte(body)})
		err := noToken(t.auth.Login(context.Background()))
		if wrong := errors.Join(ofKind(err, pbx.ErrProtocol), sent(err, true)); wrong != nil {
			return at(fmt.Sprintf("the answer %.20q", body), wrong)
		}
	}
	return nil
}

func brokenAnswer(t *trial) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	for _, op := range t.operations(token) {
		t.sim.Fault(pbxsim.Fault{On: op.action, Truncate: true})
		err := op.run(context.Background())
		if wrong := errors.Join(ofKind(err, pbx.ErrUnavailable), sent(err, true)); wrong != nil {
			return at(op.name, wrong)
		}
	}
	return nil
}

func hugeAnswer(t *trial) error {
	const bound = 4 << 20
	t.sim.Fault(pbxsim.Fault{On: pbxsim.Login, Huge: 16 << 20})
	err := noToken(t.auth.Login(context.Background()))
	if read := t.tap.read.Load(); read > bound {
		return fmt.Errorf("%d MiB are read", read>>20)
	}
	return ofKind(err, pbx.ErrProtocol)
}

func errorNames(t *trial) error {
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
		if err := check(op, "no answer"); err != nil {
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
