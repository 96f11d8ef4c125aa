package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	const elsewhere = "/elsewhere"
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, op := range t.operations(token) {
			t.sim.Fault(pbxsim.Fault{On: op.action, Status: status, Header: http.Header{"Location": {t.server.URL + elsewhere}}})
			err := op.run(context.Background())
			log := t.sim.Log()
			if log[len(log)-1].Path == elsewhere {
				return fmt.Errorf("%s follows HTTP %d", op.name, status)
			}
			if wrong := ofKind(err, pbx.ErrConfig); wrong != nil {
				return at(fmt.Sprintf("HTTP %d on %s", status, op.name), wrong)
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
