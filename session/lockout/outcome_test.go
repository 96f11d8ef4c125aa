package lockout_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/lockout"
)

func TestClassifyMapsDriverErrors(t *testing.T) {
	e := func(kind error, sent bool, status int, code string) error {
		return &pbx.Error{Driver: "x", Op: pbx.OpLogin, Kind: kind, Sent: sent, HTTPStatus: status, Code: code}
	}
	for _, c := range []struct {
		name string
		err  error
		want lockout.OutcomeKind
	}{
		{"no error", nil, lockout.Success},
		{"refused", e(pbx.ErrInvalidCredentials, true, 200, "20002"), lockout.Refused},
		{"refused, wrapped", fmt.Errorf("a wrapper: %w", e(pbx.ErrInvalidCredentials, true, 200, "")), lockout.Refused},
		{"refused by a driver that says it sent nothing", e(pbx.ErrInvalidCredentials, false, 200, ""), lockout.Refused},
		{"locked", e(pbx.ErrLocked, true, 200, "70004"), lockout.Locked},
		{"locked at the challenge", e(pbx.ErrLocked, false, 403, ""), lockout.Locked},
		{"locked, with HTTP 429", e(pbx.ErrLocked, true, 429, ""), lockout.Locked},
		{"too many sessions", e(pbx.ErrTooManySessions, true, 200, "7"), lockout.TooManySessions},
		{"429 of a proxy", e(pbx.ErrUnavailable, true, 429, ""), lockout.Throttled},
		{"429 of a proxy at the challenge", e(pbx.ErrUnavailable, false, 429, ""), lockout.Throttled},
		{"429 with the brand's code", e(pbx.ErrUnavailable, true, 429, "17"), lockout.Unclear},
		{"connection refused", e(pbx.ErrUnavailable, false, 0, ""), lockout.NotSent},
		{"502 at the challenge", e(pbx.ErrUnavailable, false, 502, ""), lockout.NotSent},
		{"no response", e(pbx.ErrUnavailable, true, 0, ""), lockout.Unclear},
		{"502", e(pbx.ErrUnavailable, true, 502, ""), lockout.Unclear},
		{"404 without the brand's envelope", e(pbx.ErrConfig, true, http.StatusNotFound, ""), lockout.Unclear},
		{"unreadable body", e(pbx.ErrProtocol, true, 200, ""), lockout.Unclear},
		{"unknown code", e(nil, true, 200, "30003"), lockout.Unclear},
		{"forbidden: the password may have been looked at first", e(pbx.ErrForbidden, true, 403, "5"), lockout.Unclear},
		{"a token error from a login", e(pbx.ErrTokenRejected, true, 401, ""), lockout.Unclear},
		{"a code that is no verdict", &pbx.Error{Kind: pbx.ErrUnavailable, Sent: true, NotJudged: true, HTTPStatus: 200, Code: "20010"}, lockout.NotJudged},
		{"a wrong password that is said to be no verdict", &pbx.Error{Kind: pbx.ErrInvalidCredentials, Sent: true, NotJudged: true}, lockout.Refused},
		{"401 of something in front", e(pbx.ErrConfig, true, 401, ""), lockout.Unclear},
		{"407 at the challenge", e(pbx.ErrConfig, false, 407, ""), lockout.NotSent},
		{"a redirect at the challenge", e(pbx.ErrConfig, false, 302, ""), lockout.NotSent},
		{"wrong settings", e(pbx.ErrConfig, false, 0, ""), lockout.Withdrawn},
		{"not supported", e(pbx.ErrNotSupported, false, 0, ""), lockout.Withdrawn},
		{"canceled before it was sent", &pbx.Error{Kind: pbx.ErrUnavailable, Err: context.Canceled}, lockout.Withdrawn},
		{"canceled after it was sent", &pbx.Error{Kind: pbx.ErrUnavailable, Sent: true, Err: context.Canceled}, lockout.Unclear},
		{"not a *pbx.Error", errors.New("a driver's panic"), lockout.Unclear},
	} {
		if got := lockout.Classify(c.err); got.Kind != c.want {
			t.Errorf("%s: got kind %d, want %d", c.name, got.Kind, c.want)
		}
	}
	for err, want := range map[*pbx.Error]lockout.Page{
		{Kind: pbx.ErrProtocol, Sent: true, HTTPStatus: 404, Length: 19}:            {Status: 404, Length: 19},
		{Kind: pbx.ErrProtocol, Sent: true, HTTPStatus: 200}:                        {Status: 200},
		{Kind: pbx.ErrProtocol, HTTPStatus: 200, Length: 1}:                         {Status: 200, Length: 1},
		{Kind: pbx.ErrProtocol, Sent: true, HTTPStatus: 200, Length: 1 << 20}:       {Status: 200, Length: lockout.MaxPage},
		{Kind: pbx.ErrProtocol, Sent: true, Length: 5}:                              {},
		{Kind: pbx.ErrConfig, Sent: true, HTTPStatus: 401, Length: 5}:               {Status: 401, Length: 5},
		{Kind: pbx.ErrConfig, Sent: true, HTTPStatus: 404, Length: 5}:               {}, // the driver knows what is wrong
		{Kind: pbx.ErrConfig, HTTPStatus: 404, Length: 5}:                           {Status: 404, Length: 5},
		{Kind: pbx.ErrConfig, HTTPStatus: 200, Length: 5}:                           {},
		{Sent: true, HTTPStatus: 404, Length: 5}:                                    {Status: 404, Length: 5},
		{Sent: true, HTTPStatus: 400, Code: "paused", Length: 5}:                    {Status: 400, Length: 5}, // of a gateway, perhaps
		{Sent: true, HTTPStatus: 200, Length: 5}:                                    {Status: 200, Length: 5},
		{Sent: true, HTTPStatus: 200, Code: "30003", Length: 5}:                     {}, // of the brand
		{Kind: pbx.ErrProtocol, Sent: true, HTTPStatus: 200, Code: "9", Length: 5}:  {},
		{Sent: true, HTTPStatus: 403, Length: 5}:                                    {}, // checks may get 401
		{Sent: true, Length: 5}:                                                     {},
		{Kind: pbx.ErrUnavailable, Sent: true, HTTPStatus: 502, Length: 5}:          {},
		{Kind: pbx.ErrInvalidCredentials, Sent: true, HTTPStatus: 401, Length: 100}: {},
	} {
		if got := lockout.Classify(err).Page; got != want {
			t.Errorf("%+v: the page is %+v, want %+v", err, got, want)
		}
	}
	err := &pbx.Error{Kind: pbx.ErrLocked, Sent: true, RetryAfter: time.Minute}
	if got := lockout.Classify(err).RetryAfter; got != time.Minute {
		t.Errorf("RetryAfter is %v, want 1m", got)
	}
}
