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
	Data tokenData
	raw  json.RawMessage // the data; nil: there is none

	// Code is wazo-auth's own failure: the status that it repeats beside its
	// reason, from 400 on. 0: none. What stands in front of it has no such thing.
	Code int

	// Of a failure of any daemon.
	ErrorID string
	Message bool // there is one: a daemon's or the web framework's
	Refused bool // the daemon refuses the token, or what it may do
	Reason  string
}

type tokenData struct {
	Token        string `json:"token"`
	RefreshToken string `json:"refresh_token"`
	UTCIssuedAt  string `json:"utc_issued_at"`
	UTCExpiresAt string `json:"utc_expires_at"`
}

func read(body []byte) response {
	var outer struct {
		Data       json.RawMessage `json:"data"`
		StatusCode wire.Number     `json:"status_code"`
		Reason     []wire.Text     `json:"reason"`
		ErrorID    wire.Text       `json:"error_id"`
		Message    wire.Text       `json:"message"`
		Details    json.RawMessage `json:"details"`
	}
	wire.ReadJSON(body, &outer)
	r := response{ErrorID: string(outer.ErrorID), Message: outer.Message != ""}
	if wire.ReadJSON(outer.Data, &r.Data) {
		r.raw = outer.Data
	}
	if code, ok := outer.StatusCode.Int(); ok && code >= 400 && code <= 599 && len(outer.Reason) > 0 {
		r.Code = code
	}
	var details struct {
		Reason wire.Text `json:"reason"` // since release 22.05
	}
	if wire.ReadJSON(outer.Details, &details) {
		r.Refused, r.Reason = r.ErrorID == unauthorized || r.ErrorID == foreignTenant, string(details.Reason)
	}
	return r
}

// The error_id of a request that a daemon refuses with HTTP 401.
const (
	unauthorized  = "unauthorized"
	foreignTenant = "unauthorized-tenant"
)

// failed reports whether a response is no success, whatever its HTTP status.
func (r response) failed(x *wire.Exchange) bool { return !x.OK() || r.Code != 0 || r.Refused }

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

// refusals are wazo-auth's own failures of a request for a token.
var refusals = map[int]struct {
	kind    error
	setting string
	meaning string
}{
	400: {pbx.ErrConfig, "token_ttl", "the server refuses the request: check the token lifetime (token_ttl), which it may limit, and client_id"},
	401: {pbx.ErrInvalidCredentials, "", "wrong user name or password, or the user is disabled"},
	429: {pbx.ErrTooManySessions, "", "the user has all the sessions that the server permits (100, unless configured otherwise): log out those that are not needed; expired ones count for up to a minute"},
}

// starting are the error_ids of a daemon that wazo-auth cannot serve yet, whatever
// the HTTP status.
var starting = map[string]string{
	"authentication-server-unreachable": "wazo-auth does not respond to the other daemons",
	"top-tenant-not-initialized":        "the server is starting up",
}

// reasons are those of a daemon that refuses a request.
var reasons = map[string]struct {
	kind    error
	meaning string
}{
	"not_found_or_expired":                 {pbx.ErrTokenRejected, "no such token, or it has expired"},
	"missing_permission_or_invalid_tenant": {pbx.ErrForbidden, "the user lacks a permission: check the policies of this account"},
}

// refusal makes the error for a response that has failed. Of the server's own
// words it takes the names of errors and reasons only: the body of a 401 holds the
// token.
func refusal(x *wire.Exchange, got response) *pbx.Error {
	status, op := x.Response.Status, x.Request.Op
	switch {
	case got.Code != 0:
		return ownRefusal(x, got.Code)
	case got.Refused && op != pbx.OpLogin:
		return refusedRequest(x, got)
	case op == pbx.OpLogin && status >= 500 && got.Message && got.ErrorID == "":
		return x.Fail(pbx.ErrUnavailable, "", "the server failed, which says nothing about the password: check that its message broker is up")
	case starting[got.ErrorID] != "":
		failure := x.Fail(pbx.ErrUnavailable, got.ErrorID, starting[got.ErrorID])
		failure.NotJudged = op == pbx.OpLogin
		return failure
	case op == pbx.OpLogin && status == http.StatusForbidden && (got.ErrorID != "" || got.Message):
		return x.Fail(nil, got.ErrorID, "the server refuses the login for a reason that it does not document")
	case status >= 400 && status != http.StatusUnauthorized && (got.ErrorID != "" || got.Message):
		return x.Fail(wire.StatusKind(op, status), got.ErrorID, "the server refuses the request")
	}
	return x.Unexpected() // also {"message":…} under 401, which gateways send
}

// ownRefusal makes the error for a failure of wazo-auth's own.
func ownRefusal(x *wire.Exchange, code int) *pbx.Error {
	op, text := x.Request.Op, strconv.Itoa(code)
	known, ok := refusals[code]
	switch {
	case op == pbx.OpPing && code == http.StatusNotFound:
		return x.Fail(pbx.ErrTokenRejected, text, "no such token, or it has expired")
	case !ok || op != pbx.OpLogin && op != pbx.OpKeepAlive:
		return x.Fail(wire.StatusKind(op, code), text, "the server refuses the request")
	case op == pbx.OpKeepAlive && known.kind == pbx.ErrInvalidCredentials:
		return x.Fail(pbx.ErrTokenRejected, text, "the server refuses the refresh token")
	}
	failure := x.Fail(known.kind, text, known.meaning)
	failure.Setting = known.setting
	failure.NotJudged = op == pbx.OpLogin && code == http.StatusBadRequest // the schema is checked first
	return failure
}

// refusedRequest distinguishes the meanings of a daemon's 401.
func refusedRequest(x *wire.Exchange, got response) *pbx.Error {
	known, ok := reasons[got.Reason]
	switch {
	case got.ErrorID == foreignTenant:
		return x.Fail(pbx.ErrForbidden, got.ErrorID, "the header Wazo-Tenant names no tenant of this user")
	case ok:
		return x.Fail(known.kind, got.Reason, known.meaning)
	}
	failure := x.Fail(pbx.ErrTokenRejected, got.ErrorID, "the token is dead, or the user lacks a permission: releases before 22.05 do not say which")
	failure.Ambiguous = true
	return failure
}
