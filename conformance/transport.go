package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var transportRules = []Rule{
	{
		ID:    "TRANSPORT-01",
		Says:  "HTTP 500, 502, 503 and 504 are ErrUnavailable, with the status in HTTPStatus.",
		Why:   "The failure passes. A session that takes it for a refusal gives up.",
		check: serverErrors,
	},
	{
		ID:    "TRANSPORT-02",
		Says:  "HTTP 429 is ErrLocked or ErrUnavailable.",
		Why:   "Both make the session wait. The status says nothing about the password.",
		check: tooManyRequests,
	},
	{
		ID:    "TRANSPORT-03",
		Says:  "Retry-After, in seconds or as a date, is returned in RetryAfter, at most an hour.",
		Why:   "A retry before that time is unwelcome, and a proxy with a wrong clock must not silence an office for a week.",
		check: retryAfter,
	},
	{
		ID:    "TRANSPORT-04",
		Says:  "A redirect is ErrConfig, and is not followed.",
		Why:   "A followed login becomes a GET without its body, and a token goes wherever the response points. Factory PBXs redirect http to https.",
		check: redirected,
	},
	{
		ID:    "TRANSPORT-05",
		Says:  "A refused connection is ErrUnavailable, and Sent is false.",
		Why:   "A login that was never sent cannot have counted as a wrong one, so a fleet may try again while its PBX starts.",
		check: refusedConnection,
	},
	{
		ID:    "TRANSPORT-06",
		Says:  "A lost response is ErrUnavailable, and Sent is true.",
		Why:   "The login may have been a wrong one, and its token may be valid.",
		check: lostResponse,
	},
	{
		ID:    "TRANSPORT-07",
		Says:  "HTTP 401, 403 and 407 without the brand's own words are ErrConfig on a login, and Sent says whether they respond to a proof of the password. On no operation or request are they ErrInvalidCredentials, and ErrTokenRejected at most if Ambiguous is set.",
		Why:   "A proxy in front asks for a password of its own and has never seen the PBX's. Taken for a wrong password, a minute of it stops a session until a person comes. Yet some firmware may refuse a wrong password in this way, and the session has to count what it cannot rule out.",
		check: somethingInFront,
	},
	{
		ID:    "TRANSPORT-08",
		Says:  "The error of a refused connection, of HTTP 404 and of a redirect names the address that was used. If that of HTTP 404 is ErrProtocol, it has the length of the body in Length.",
		Why:   "The address may differ from the configured one: the driver adds a port and a path. By the length, a session recognises a page of something in front of the PBX.",
		check: addressNamed,
	},
	{
		ID:    "TRANSPORT-09",
		Says:  "HTTP 101 to an operation is an error at once, and leaves no goroutine behind.",
		Why:   "After 101 the response has no end, and its reader waits past every deadline.",
		check: switchedProtocols,
	},
	{
		ID:    "TRANSPORT-10",
		Says:  "Requester.Transport sends a request as it is, once, and follows no redirect.",
		Why:   "A session repeats a request itself, at most once, and only if nothing was done.",
		needs: []precondition{requester},
		check: plainTransport,
	},
}

func plainTransport(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	send := func(where string) (status int, err error) {
		before := t.transport.requests.Load()
		resp, err := t.auth.Transport().RoundTrip(t.harness.Call(t.server.URL))
		if err == nil {
			status = resp.StatusCode
			resp.Body.Close()
		}
		if n := t.transport.requests.Load() - before; n != 1 {
			return 0, fmt.Errorf("%s: %d requests are sent, want 1", where, n)
		}
		return status, err
	}
	for where, fault := range map[string]pbxsim.Fault{
		"HTTP 503":                   {Status: 503, Header: http.Header{"Retry-After": {"1"}}},
		"HTTP 429":                   {Status: 429, Header: http.Header{"Retry-After": {"1"}}},
		"a redirect":                 {Status: 302, Header: http.Header{"Location": {t.server.URL + "/elsewhere"}}},
		"a redirect with its body":   {Status: 307, Header: http.Header{"Location": {t.server.URL + "/elsewhere"}}},
		"a redirect to another host": {Status: 302, Header: http.Header{"Location": {"https://pbx.example.com/"}}},
	} {
		t.sim.Fault(fault)
		if status, err := send(where); err != nil || status != fault.Status {
			return fmt.Errorf("%s: the application gets HTTP %d (error: %w)", where, status, err)
		}
	}
	served := t.sim.Counts().AppRequests
	if _, err := send("no token"); err != nil {
		return at("no token", err)
	}
	if t.sim.Counts().AppRequests != served || !t.alive(token) {
		return errors.New("a request without a token gets one")
	}
	return nil
}

// refusal is the brand's response to a login that why has it refuse, from a PBX of
// its own.
func (t *testbed) refusal(why func(*pbxsim.PBX)) (pbxsim.Record, error) {
	other, err := newTestbed(t.harness, Rule{})
	if err != nil {
		return pbxsim.Record{}, err
	}
	defer other.end()
	why(other.sim)
	other.auth.Login(context.Background())
	log := other.sim.Log()
	if len(log) == 0 {
		return pbxsim.Record{}, errors.New("a login sends nothing")
	}
	return log[len(log)-1], nil
}

// inFront are what something in front of the PBX responds, less the statuses with
// which the brand itself refuses a wrong password or a locked client, if it says no
// more than the status.
func (t *testbed) inFront() ([]pbxsim.Outage, error) {
	wrong, err := t.refusal(wrongPasswordAt)
	if err != nil {
		return nil, err
	}
	locked, err := t.refusal(func(sim *pbxsim.PBX) { sim.Lock(clientAddress) })
	if err != nil {
		return nil, err
	}
	var all []pbxsim.Outage
	for _, o := range []pbxsim.Outage{pbxsim.AsksForPassword, pbxsim.Forbidden, pbxsim.ProxyAsksForPassword} {
		if status := o.Fault().Status; !saysOnly(status, wrong) && !saysOnly(status, locked) {
			all = append(all, o)
		}
	}
	return all, nil
}

// saysOnly reports whether a response of the brand's is that HTTP status, without a
// JSON object that tells it from anyone else's.
func saysOnly(status int, own pbxsim.Record) bool {
	var words map[string]any
	return own.Status == status && json.Unmarshal(own.Reply, &words) != nil
}

func somethingInFront(t *testbed) error {
	outages, err := t.inFront()
	if err != nil {
		return err
	}
	token, err := t.login()
	if err != nil {
		return err
	}
	for _, o := range outages {
		t.sim.Down(o)
		before := t.count(pbxsim.Login)
		err := noToken(t.auth.Login(context.Background()))
		wrong := ofKind(err, pbx.ErrConfig)
		if wrong == nil && t.count(pbxsim.Login) == before {
			wrong = sent(err, false) // such as a request for a challenge
		}
		if wrong != nil {
			return at(fmt.Sprintf("what is in front %s, Login", o), wrong)
		}
		others := t.operations(token)[1:]
		if pinger(t) == "" {
			others = append(others, operation{"Ping", "", func(ctx context.Context) error { return t.auth.Ping(ctx, token) }})
		}
		for _, op := range others {
			if wrong := ofKind(op.run(context.Background())); wrong != nil {
				return at(fmt.Sprintf("what is in front %s, %s", o, op.name), wrong)
			}
		}
		if requester(t) == "" {
			others = append(others, operation{"a request", "", func(context.Context) error { return t.call(token) }})
		}
		for _, op := range others {
			err := op.run(context.Background())
			var failure *pbx.Error
			errors.As(err, &failure)
			if errors.Is(err, pbx.ErrInvalidCredentials) || errors.Is(err, pbx.ErrTokenRejected) && !failure.Ambiguous {
				return fmt.Errorf("what is in front %s, %s: it is taken for the PBX's verdict: %w", o, op.name, err)
			}
		}
		t.sim.Up()
		proof := o.Fault()
		proof.On, proof.Times = pbxsim.Login, 1
		t.sim.Fault(proof)
		if wrong := sent(noToken(t.auth.Login(context.Background())), true); wrong != nil {
			return at(fmt.Sprintf("what is in front %s when the password arrives, Login", o), wrong)
		}
	}
	return nil
}

func addressNamed(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	host := strings.TrimPrefix(t.server.URL, "http://")
	named := func(op operation, where string) error {
		err := op.run(context.Background())
		if wrong := ofKind(err); wrong != nil {
			return at(op.name+", "+where, wrong)
		}
		if !strings.Contains(err.Error(), host) {
			return fmt.Errorf("%s, %s: the error does not name %s: %w", op.name, where, host, err)
		}
		return nil
	}
	for _, op := range t.operations(token) {
		t.sim.Fault(pbxsim.Fault{On: op.action, Status: 404, Body: []byte(pbxsim.HTMLPage)})
		if err := named(op, "HTTP 404"); err != nil {
			return err
		}
		var failure *pbx.Error
		t.sim.Fault(pbxsim.Fault{On: op.action, Status: 404, Body: []byte(pbxsim.HTMLPage)})
		if errors.As(op.run(context.Background()), &failure); failure.Kind == pbx.ErrProtocol && failure.Length != len(pbxsim.HTMLPage) {
			return fmt.Errorf("%s, HTTP 404: Length is %d, and the body has %d bytes", op.name, failure.Length, len(pbxsim.HTMLPage))
		}
		t.sim.Fault(pbxsim.Fault{On: op.action, Status: 302, Header: http.Header{"Location": {"https://pbx.example.com/login"}}})
		if err := named(op, "a redirect"); err != nil {
			return err
		}
	}
	t.server.Close()
	for _, op := range t.operations(token) {
		if err := named(op, "no connection"); err != nil {
			return err
		}
	}
	return nil
}

func switchedProtocols(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	for _, op := range t.operations(token) {
		t.sim.Fault(pbxsim.Fault{On: op.action, Status: http.StatusSwitchingProtocols})
		ctx, cancel := context.WithTimeout(context.Background(), contextEnd)
		begun := time.Now()
		err := op.run(ctx)
		cancel()
		if took := time.Since(begun); took >= contextEnd {
			return fmt.Errorf("%s waits %s after HTTP 101", op.name, took)
		}
		if wrong := ofKind(err); wrong != nil {
			return at(op.name, wrong)
		}
	}
	return nil
}

func serverErrors(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	for _, status := range []int{500, 502, 503, 504} {
		for _, op := range t.operations(token) {
			where := fmt.Sprintf("HTTP %d on %s", status, op.name)
			t.sim.Fault(pbxsim.Fault{On: op.action, Status: status, Body: []byte(pbxsim.HTMLPage)})
			err := op.run(context.Background())
			if wrong := errors.Join(ofKind(err, pbx.ErrUnavailable), sent(err, true)); wrong != nil {
				return at(where, wrong)
			}
			var failure *pbx.Error
			if errors.As(err, &failure); failure.HTTPStatus != status {
				return fmt.Errorf("%s: HTTPStatus is %d", where, failure.HTTPStatus)
			}
		}
	}
	return nil
}

func tooManyRequests(t *testbed) error {
	t.sim.Fault(pbxsim.Fault{On: pbxsim.Login, Status: http.StatusTooManyRequests})
	return ofKind(noToken(t.auth.Login(context.Background())), pbx.ErrLocked, pbx.ErrUnavailable)
}

func retryAfter(t *testbed) error {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		for _, row := range []struct {
			header string
			want   time.Duration
		}{
			{"120", 2 * time.Minute},
			{time.Now().Add(3 * time.Minute).UTC().Format(http.TimeFormat), 3 * time.Minute},
			{"604800", time.Hour},
			{"99999999999999999999", 0}, // does not fit into a number: anything up to an hour is fine
			{"-5", 0},
			{"soon", 0},
		} {
			where := fmt.Sprintf("HTTP %d with Retry-After: %s", status, row.header)
			t.sim.Fault(pbxsim.Fault{On: pbxsim.Login, Status: status, Header: http.Header{"Retry-After": {row.header}}})
			err := noToken(t.auth.Login(context.Background()))
			var failure *pbx.Error
			if !errors.As(err, &failure) {
				return at(where, ofKind(err))
			}
			got := failure.RetryAfter
			if got < 0 || got > time.Hour || row.want != 0 && (got > row.want || got < row.want-time.Second) {
				return fmt.Errorf("%s: RetryAfter is %s, want %s", where, got, row.want)
			}
		}
	}
	return nil
}

func redirected(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	for _, op := range t.operations(token) {
		// As many requests, and to this path, without a redirect.
		before := t.transport.requests.Load()
		t.sim.Fault(pbxsim.Fault{On: op.action, Status: http.StatusNotFound})
		op.run(context.Background())
		usual := t.transport.requests.Load() - before
		log := t.sim.Log()
		https := strings.Replace(t.server.URL, "http:", "https:", 1)
		for _, location := range []string{t.server.URL + "/elsewhere", https + log[len(log)-1].Path, "https://pbx.example.com/login"} {
			for _, status := range []int{301, 302, 303, 307, 308} {
				before := t.transport.requests.Load()
				t.sim.Fault(pbxsim.Fault{On: op.action, Status: status, Header: http.Header{"Location": {location}}})
				err := op.run(context.Background())
				if t.transport.requests.Load()-before > usual {
					return fmt.Errorf("%s follows HTTP %d to %s", op.name, status, location)
				}
				if wrong := ofKind(err, pbx.ErrConfig); wrong != nil {
					return at(fmt.Sprintf("HTTP %d on %s", status, op.name), wrong)
				}
			}
		}
	}
	return nil
}

func refusedConnection(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	t.server.Close()
	for _, op := range t.operations(token) {
		err := op.run(context.Background())
		if wrong := errors.Join(ofKind(err, pbx.ErrUnavailable), sent(err, false)); wrong != nil {
			return at(op.name, wrong)
		}
	}
	return nil
}

func lostResponse(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	for _, drop := range []pbxsim.DropMode{pbxsim.DropBefore, pbxsim.DropAfter} {
		for _, op := range t.operations(token) {
			t.sim.Fault(pbxsim.Fault{On: op.action, Drop: drop})
			err := op.run(context.Background())
			if wrong := errors.Join(ofKind(err, pbx.ErrUnavailable), sent(err, true)); wrong != nil {
				return at(op.name, wrong)
			}
		}
	}
	return nil
}
