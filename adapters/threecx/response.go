package threecx

import (
	"net/http"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/oauth"
	"github.com/pbxauth/pbx/adapters/wire"
)

// shortest is the least lifetime that is believed: see brand.
const shortest = time.Minute

// explained adds to a failed login what only this brand can mean by it. a is the
// token that the same key has brought, or nil.
func explained(err error, a *active) error {
	failure, ok := err.(*pbx.Error)
	switch {
	case ok && failure.HTTPStatus == http.StatusNotFound:
		failure.Message += "; version 20 has this path, and older ones do not"
	case ok && (failure.Code == "invalid_request" || bare(err)):
		// The request is well-formed. What is wrong with it is not documented, so
		// that it counts as a wrong key, unless a token of the same key is active.
		// That has to expire first: a key that was changed meanwhile would be sent
		// again and again, and count as a wrong one at the PBX only.
		if a == nil && failure.Code == "" {
			break
		}
		failure.Message = "the PBX refuses the login: the key may be wrong, or another token of this client ID is active; use the API client for this program only"
		if a == nil {
			break
		}
		if left := a.left(); left > 0 {
			a.asked.Store(true)
			failure.Kind = pbx.ErrTooManySessions
			if failure.Code == "" {
				failure.Kind = nil // it counts as a wrong login, until one succeeds
			}
			failure.RetryAfter = wire.CapRetryAfter(max(left, failure.RetryAfter))
		} else if a.asked.Load() { // with and without a token: it is the key
			failure.Kind = pbx.ErrInvalidCredentials
		}
	}
	return err
}

// bare reports whether a login was refused by HTTP 401 without words of the PBX's
// own. It is that of a wrong key, and may be that of a second login.
func bare(err error) bool {
	failure, ok := err.(*pbx.Error)
	return ok && failure.Kind == pbx.ErrInvalidCredentials && failure.Code == ""
}

// errorBody is an error of XAPI.
type errorBody struct {
	Error *struct {
		Code    wire.Text `json:"code"`
		Message wire.Text `json:"message"`
	} `json:"error"`
}

// judge returns nil for a success of XAPI or the Call Control API. A dead token
// gets HTTP 401 without a body. Of the PBX's own words the code is all that is
// taken over.
func judge(x *wire.Exchange) error {
	if x.OK() {
		return nil
	}
	var body errorBody
	wire.ReadJSON(x.Response.Body, &body)
	own := body.Error != nil && (body.Error.Code != "" || body.Error.Message != "")
	empty := oauth.Silent(x)
	code := ""
	if own {
		code = string(body.Error.Code)
	}
	switch status := x.Response.Status; {
	case !own && !empty:
		return x.Unexpected()
	case status == http.StatusUnauthorized:
		return x.Fail(pbx.ErrTokenRejected, code, "the token has expired, or a later login with this client id has ended it")
	case status == http.StatusForbidden:
		return x.Fail(pbx.ErrForbidden, code, "the API client's role is too low for this: select another one in the Admin Console, as System Owner for the call history")
	case own:
		kind := wire.StatusKind(x.Request.Op, status)
		if kind == pbx.ErrProtocol { // a wrong value, or a record that is not there: a matter of the application
			kind = nil
		}
		return x.Fail(kind, code, "the PBX refuses the request")
	}
	return x.Unexpected()
}
