package conformance

import (
	"bytes"
	"context"
	"encoding/json"
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
		Says:  "Every error is an *pbx.Error that names the driver and the operation. The Traits name the driver too.",
		Why:   "A person who reads a line in a fleet's log, or a metric, has to know which brand to look at, and for what.",
		check: errorNames,
	},
	{
		ID:    "PROTOCOL-05",
		Says:  "A byte order mark, a NUL or blanks around a response, numbers as strings and strings as numbers change nothing: a success is one, and a refusal has the same kind as without them.",
		Why:   "Firmware differs in them. A refusal that cannot be read is sent again, and a success that cannot be read takes a place at the PBX each time.",
		check: readLeniently,
	},
	{
		ID:    "PROTOCOL-06",
		Says:  "A whole refusal in the brand's own words counts by its code under any HTTP status.",
		Why:   "Firmware changes the status and keeps the code. Judged by the status, a wrong password is sent again, and a dead token goes unnoticed.",
		needs: []precondition{proves, refusesInWords},
		check: refusalUnderAnyStatus,
	},
	{
		ID:    "PROTOCOL-07",
		Says:  "A whole JSON response whose announced length is one too large is understood.",
		Why:   "Firmware counts characters, or a line break that it does not send. Each login would take a place at the PBX and bring no token.",
		needs: []precondition{speaksJSON},
		check: wrongLength,
	},
	{
		ID:      "PROTOCOL-08",
		Says:    "A response with a header of 1 MiB is an error, over the driver's own connections.",
		Why:     "One response must not fill the memory of a process that serves thousands of PBXs.",
		overTLS: true,
		check:   hugeHeader,
	},
}

func wrongPasswordAt(sim *pbxsim.PBX) { sim.SetPassword(account, "another") }

// refusesInWords is for brands whose refusal has an envelope.
func refusesInWords(t *testbed) string {
	own, err := t.refusal(wrongPasswordAt)
	if err == nil && (len(own.Reply) == 0 || bytes.Contains(bytes.ToLower(own.Reply), []byte("<html"))) {
		return "the brand refuses a login by the HTTP status alone"
	}
	return ""
}

// refusalKinds are the kinds of the brand's refusals as it writes them, at a PBX
// of its own: of a wrong password, and of a request with a dead token, which is
// nil for a driver without [pbx.Requester]. login is nil if a wrong password is not
// refused.
func (t *testbed) refusalKinds() (login, request error, err error) {
	other, err := newTestbed(t.harness, Rule{})
	if err != nil {
		return nil, nil, err
	}
	defer other.end()
	token, err := other.login()
	if err != nil {
		return nil, nil, err
	}
	other.sim.Restart()
	if requester(other) == "" {
		request = errorKind(other.call(token))
	}
	if proves(t) != "" {
		return nil, request, nil
	}
	other.sim.SetPassword(account, "another")
	_, refused := other.auth.Login(context.Background())
	if wrong := ofKind(refused); wrong != nil {
		return nil, nil, at("a wrong password", wrong)
	}
	return errorKind(refused), request, nil
}

func speaksJSON(t *testbed) string {
	if own, err := t.refusal(wrongPasswordAt); err == nil && !json.Valid(own.Reply) {
		return "the brand's responses are not JSON"
	}
	return ""
}

// spellings of a response that firmware, or something on the way, may use.
var spellings = []struct {
	name string
	edit func(*pbxsim.Request, *pbxsim.Reply)
}{
	{"a byte order mark", pbxsim.WithBOM},
	{"a NUL at the end", pbxsim.WithNUL},
	{"blanks around it", pbxsim.WithBlanks},
	{"numbers as strings", pbxsim.NumbersQuoted},
	{"strings as numbers", pbxsim.StringsUnquoted},
}

func readLeniently(t *testbed) error {
	refused, dead, err := t.refusalKinds()
	if err != nil {
		return err
	}
	empty := map[pbxsim.Action]bool{}
	for _, action := range []pbxsim.Action{pbxsim.KeepAlive, pbxsim.Logout} {
		if empty[action], err = t.emptyResponse(action); err != nil {
			return err
		}
	}
	for _, spelling := range spellings {
		t.sim.Fault(pbxsim.Fault{Edit: spelling.edit, Times: -1})
		token, err := t.login()
		if err != nil {
			return at(spelling.name, err)
		}
		if !t.alive(token) {
			return fmt.Errorf("%s: the token is not one that the PBX issued", spelling.name)
		}
		for _, op := range t.operations(token)[1:] {
			if empty[op.action] {
				continue // around nothing, blanks are not a spelling of the brand's
			}
			if err := op.run(context.Background()); err != nil {
				return at(spelling.name+", a good "+op.name, err)
			}
		}
		t.sim.Restart()
		if dead != nil {
			if wrong := ofKind(t.call(token), dead); wrong != nil {
				return at(spelling.name+", a request with a dead token", wrong)
			}
		}
		if proves(t) == "" {
			t.sim.SetPassword(account, "another")
			if wrong := ofKind(noToken(t.auth.Login(context.Background())), refused); wrong != nil {
				return at(spelling.name+", a wrong password", wrong)
			}
			t.sim.SetPassword(account, password)
			t.sim.Unlock(clientAddress)
		}
		t.sim.ClearFaults()
	}
	return nil
}

func refusalUnderAnyStatus(t *testbed) error {
	refused, dead, err := t.refusalKinds()
	if err != nil {
		return err
	}
	token, err := t.login()
	if err != nil {
		return err
	}
	t.sim.SetPassword(account, "another")
	t.sim.Restart()
	for _, status := range []int{200, 400, 401, 403, 404, 500, 502} {
		where := fmt.Sprintf("under HTTP %d, ", status)
		under := pbxsim.Fault{On: pbxsim.Login, Edit: func(_ *pbxsim.Request, r *pbxsim.Reply) { r.Status = status }}
		t.sim.Fault(under)
		err := noToken(t.auth.Login(context.Background()))
		if wrong := ofKind(err, refused); wrong != nil {
			return at(where+"a wrong password", wrong)
		}
		t.sim.Unlock(clientAddress)
		if dead == nil {
			continue
		}
		under.On = ""
		t.sim.Fault(under)
		if wrong := ofKind(t.call(token), dead); wrong != nil {
			return at(where+"a request with a dead token", wrong)
		}
	}
	return nil
}

func wrongLength(t *testbed) error {
	t.sim.Fault(pbxsim.Fault{On: pbxsim.Login, LengthOff: 1})
	_, err := t.login()
	return err
}

func hugeHeader(t *testbed) error {
	auth, err := t.dialing(pbx.TLS{RootCAs: pool(t.server.Certificate())})
	if err != nil {
		return err
	}
	t.sim.Fault(pbxsim.Fault{On: pbxsim.Login, HeaderBytes: 1 << 20})
	return ofKind(noToken(auth.Login(context.Background())))
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
	if describer, ok := pbx.As[pbx.Describer](t.auth.Authenticator); ok && describer.Traits().Driver != t.harness.Driver {
		return fmt.Errorf("the Traits are of driver %q, want %q", describer.Traits().Driver, t.harness.Driver)
	}
	want := map[string]pbx.Op{"Login": pbx.OpLogin, "KeepAlive": pbx.OpKeepAlive, "Logout": pbx.OpLogout, "Ping": pbx.OpPing, "a request": pbx.OpRequest}
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
	for _, op := range t.uses(token) {
		t.sim.Fault(pbxsim.Fault{On: op.action, Status: 500})
		if err := check(op, "HTTP 500"); err != nil {
			return err
		}
	}
	operations := t.sending(token)
	for _, op := range operations {
		t.sim.Fault(pbxsim.Fault{On: op.action, Drop: pbxsim.DropBefore})
		if err := check(op, "no response"); err != nil {
			return err
		}
	}
	t.server.Close()
	for _, op := range operations {
		if err := check(op, "no connection"); err != nil {
			return err
		}
	}
	return nil
}
