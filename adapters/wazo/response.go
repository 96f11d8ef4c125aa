package wazo

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// response is what the driver reads of any response. All of it may be missing.
type response struct {
	Data json.RawMessage `json:"data"`

	// wazo-auth's own failure.
	StatusCode wire.Number `json:"status_code"`
	Reason     []wire.Text `json:"reason"`

	// A failure of any daemon.
	ErrorID wire.Text       `json:"error_id"`
	Message wire.Text       `json:"message"` // also the web framework's
	Details json.RawMessage `json:"details"`

	token      tokenData
	hasData    bool
	details    struct{ Reason wire.Text } // since release 22.05
	hasDetails bool
}

type tokenData struct {
	Token        string `json:"token"`
	RefreshToken string `json:"refresh_token"`
	UTCIssuedAt  string `json:"utc_issued_at"`
	UTCExpiresAt string `json:"utc_expires_at"`
}

func read(body []byte) (r response) {
	wire.ReadJSON(body, &r)
	r.hasData = wire.ReadJSON(r.Data, &r.token)
	r.hasDetails = wire.ReadJSON(r.Details, &r.details)
	return r
}

// code is the status that wazo-auth repeats beside its reason, from 400 on. 0: this
// is no failure of its own. What stands in front of it has no such thing.
func (r response) code() int {
	if code, ok := r.StatusCode.Int(); ok && code >= 400 && code <= 599 && len(r.Reason) > 0 {
		return code
	}
	return 0
}

// refused reports whether a daemon refuses the token, or what it may do: with HTTP
// status 401, or with 403 and "forbidden".
func (r response) refused() bool {
	return r.hasDetails && (r.ErrorID == "unauthorized" || r.ErrorID == "unauthorized-tenant" || r.ErrorID == "forbidden")
}

// failed reports whether a response is no success, whatever its HTTP status.
func (r response) failed(x *wire.Exchange) bool { return !x.OK() || r.code() != 0 || r.refused() }

// lifetime is the difference of the two UTC times, of which neither clock has to
// be right; asked, if there is none that makes sense.
func (d tokenData) lifetime(asked time.Duration) time.Duration {
	const layout = "2006-01-02T15:04:05" // a fraction is read all the same
	from, err1 := time.Parse(layout, d.UTCIssuedAt)
	to, err2 := time.Parse(layout, d.UTCExpiresAt)
	if life := to.Sub(from); err1 == nil && err2 == nil && life >= minTTL && life <= maxTTL {
		return life
	}
	return asked
}

// meaning is the driver's reading of a failure.
type meaning struct {
	kind error
	text string
}

// refusals are wazo-auth's own failures of a login. Since release 24.08 a user has an
// authentication method, and another one is refused like a wrong password (CHANGELOG.md;
// http.py of plugins/http/tokens).
var refusals = map[int]meaning{
	400: {pbx.ErrConfig, "the server refuses the request: check the token lifetime (token_ttl), which it may limit, and client_id"},
	401: {pbx.ErrInvalidCredentials, "wrong user name or password, or the user is disabled, or has LDAP or SAML for its authentication method"},
	429: {pbx.ErrTooManySessions, "the user has all the sessions that the server permits (100, unless configured otherwise): log out those that are not needed; expired ones count for up to a minute"},
}

// refusalsOf are wazo-auth's own failures of all requests that it documents them for.
// Any other is read by its status alone.
var refusalsOf = map[pbx.Op]map[int]meaning{
	pbx.OpLogin:     refusals,
	pbx.OpKeepAlive: {400: refusals[400], 401: {pbx.ErrTokenRejected, "the server refuses the refresh token"}, 429: refusals[429]},
	pbx.OpPing:      {404: reasons["not_found_or_expired"]},
}

// sessionLeft is the least wait after a login that failed because of the message
// broker. The server has made the session before (new_token in services/token.py), and
// counts it until it expires. With a RetryAfter the waits of a session grow to 5 minutes.
const sessionLeft = 5 * time.Second

// starting are the error_ids of a daemon that wazo-auth cannot serve yet, whatever
// the HTTP status.
var starting = map[string]string{
	"authentication-server-unreachable": "wazo-auth does not respond to the other daemons",
	"top-tenant-not-initialized":        "the server is starting up",
}

// reasons are those of a daemon that refuses a request, by its details.reason or
// error_id.
var reasons = map[wire.Text]meaning{
	"not_found_or_expired":                 {pbx.ErrTokenRejected, "no such token, or it has expired"},
	"missing_permission_or_invalid_tenant": {pbx.ErrForbidden, "the user lacks a permission: check the policies of this account"},
	"forbidden":                            {pbx.ErrForbidden, "the user lacks a permission: check the policies of this account"},
	"unauthorized-tenant":                  {pbx.ErrForbidden, "the header Wazo-Tenant names no tenant of this user"},
}

// refusal makes the error for a response that has failed. Of the server's own
// words it takes the names of errors and reasons only: the body of a 401 holds the
// token.
func refusal(x *wire.Exchange, got response) *pbx.Error {
	status, op, id := x.Response.Status, x.Request.Op, string(got.ErrorID)
	switch said := id != "" || got.Message != ""; {
	case got.code() != 0:
		return ownRefusal(x, got.code())
	case got.refused() && op != pbx.OpLogin:
		return refusedRequest(x, got)
	case op == pbx.OpLogin && status >= 500 && said && id == "":
		failure := x.Fail(pbx.ErrUnavailable, "", "the server failed, which says nothing about the password: check that its message broker is up")
		failure.RetryAfter = max(failure.RetryAfter, sessionLeft)
		return failure
	case starting[id] != "":
		failure := x.Fail(pbx.ErrUnavailable, id, starting[id])
		failure.NotJudged = op == pbx.OpLogin
		return failure
	case op == pbx.OpLogin && status == http.StatusForbidden && said:
		return x.Fail(nil, id, "the server refuses the login for a reason that it does not document")
	case status >= 400 && status != http.StatusUnauthorized && said:
		return x.Fail(wire.StatusKind(op, status), id, "the server refuses the request")
	}
	return x.Unexpected() // also {"message":…} under 401, which gateways send
}

// ownRefusal makes the error for a failure of wazo-auth's own.
func ownRefusal(x *wire.Exchange, code int) *pbx.Error {
	known, ok := refusalsOf[x.Request.Op][code]
	if !ok {
		known = meaning{wire.StatusKind(x.Request.Op, code), "the server refuses the request"}
	}
	failure := x.Fail(known.kind, strconv.Itoa(code), known.text)
	if known.kind == pbx.ErrConfig {
		failure.Setting = "token_ttl"
		failure.NotJudged = x.Request.Op == pbx.OpLogin // the schema is checked first
	}
	return failure
}

// refusedRequest distinguishes the meanings of a daemon's 401 and 403.
func refusedRequest(x *wire.Exchange, got response) *pbx.Error {
	for _, name := range []wire.Text{got.ErrorID, got.details.Reason} {
		if known, ok := reasons[name]; ok {
			return x.Fail(known.kind, string(name), known.text)
		}
	}
	failure := x.Fail(pbx.ErrTokenRejected, string(got.ErrorID), "the token is dead, or the user lacks a permission: releases before 22.05 do not say which")
	failure.Ambiguous = true
	return failure
}
