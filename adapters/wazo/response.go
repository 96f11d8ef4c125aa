package wazo

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// response is what the driver reads of any response. All of it may be missing.
type response struct {
	Data tokenData

	// Of a failure of wazo-auth's own.
	StatusCode wire.Number

	// Of a request that a daemon refused.
	ErrorID string
	Reason  string // since release 22.05

	message   bool            // there is a message: a daemon's or the web framework's
	described bool            // there is a data object
	raw       json.RawMessage // it
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
		ErrorID    wire.Text       `json:"error_id"`
		Message    wire.Text       `json:"message"`
		Details    json.RawMessage `json:"details"`
	}
	wire.ReadJSON(body, &outer)
	r := response{StatusCode: outer.StatusCode, ErrorID: string(outer.ErrorID), message: outer.Message != ""}
	r.described = wire.ReadJSON(outer.Data, &r.Data)
	r.raw = outer.Data
	var details struct {
		Reason wire.Text `json:"reason"`
	}
	wire.ReadJSON(outer.Details, &details)
	r.Reason = string(details.Reason)
	return r
}

// enveloped reports whether the response is a failure of wazo-auth's own: it
// repeats the HTTP status. What stands in front of it does not.
func (r response) enveloped(status int) bool {
	code, ok := r.StatusCode.Int()
	return ok && code == status
}

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

// refusals are wazo-auth's own failures of a request for a token, by the HTTP
// status that they repeat.
var refusals = map[int]struct {
	kind    error
	setting string
	meaning string
}{
	http.StatusBadRequest:      {pbx.ErrConfig, "token_ttl", "the server refuses the request: check the token lifetime (token_ttl), which it may limit, and client_id"},
	http.StatusUnauthorized:    {pbx.ErrInvalidCredentials, "", "wrong user name or password, or the user is disabled"},
	http.StatusForbidden:       {pbx.ErrForbidden, "", "the server forbids this"},
	http.StatusTooManyRequests: {pbx.ErrTooManySessions, "", "the user has all the sessions that the server permits (100, unless configured otherwise): log out those that are not needed; expired ones count for up to a minute"},
}

// reasons are those of a daemon that refuses a request with HTTP 401.
var reasons = map[string]struct {
	kind    error
	meaning string
}{
	"not_found_or_expired":                 {pbx.ErrTokenRejected, "no such token, or it has expired"},
	"missing_permission_or_invalid_tenant": {pbx.ErrForbidden, "the user lacks a permission: check the policies of this account"},
}

// refusal makes the error for a response that is not 2xx. Of the server's own
// words it takes the names of errors and reasons only: the body of a 401 holds
// the token.
func refusal(x *wire.Exchange, got response) *pbx.Error {
	status, op := x.Response.Status, x.Request.Op
	switch {
	case got.enveloped(status) && (op == pbx.OpLogin || op == pbx.OpKeepAlive):
		known, ok := refusals[status]
		switch {
		case !ok:
			return x.Fail(wire.StatusKind(op, status), "", "the server refuses the request for a token")
		case known.kind == pbx.ErrInvalidCredentials && op == pbx.OpKeepAlive:
			return x.Fail(pbx.ErrTokenRejected, "", "the server refuses the refresh token")
		}
		failure := x.Fail(known.kind, "", known.meaning)
		failure.Setting = known.setting
		return failure
	case op == pbx.OpLogin && status >= 500 && got.message && got.ErrorID == "":
		return x.Fail(pbx.ErrUnavailable, "", "the server failed, which says nothing about the password: is its message broker up?")
	case status == http.StatusUnauthorized && got.ErrorID != "" && op != pbx.OpLogin:
		return unauthorized(x, got)
	case got.enveloped(status), status != http.StatusUnauthorized && (got.ErrorID != "" || got.message):
		return x.Fail(wire.StatusKind(op, status), got.ErrorID, "the server refuses the request")
	}
	return x.Unexpected() // also {"message":…} under 401, which gateways send
}

// unauthorized tells the meanings of a 401 apart.
func unauthorized(x *wire.Exchange, got response) *pbx.Error {
	known, ok := reasons[got.Reason]
	switch {
	case got.ErrorID == "unauthorized-tenant":
		return x.Fail(pbx.ErrForbidden, got.ErrorID, "the header Wazo-Tenant names no tenant of this user")
	case ok:
		return x.Fail(known.kind, got.Reason, known.meaning)
	}
	failure := x.Fail(pbx.ErrTokenRejected, got.ErrorID, "the token is dead, or the user lacks a permission: releases before 22.05 do not say which")
	failure.Ambiguous = true
	return failure
}
