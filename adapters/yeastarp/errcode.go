package yeastarp

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// errcode is one line of the vendor's table.
type errcode struct {
	kind    error
	meaning string
	refused bool // on refresh_token, it is the refresh token that is refused
}

// errcodes is the vendor's table (help.yeastar.com: developer-guide/
// error-code-and-error-message.html), as far as it concerns logins and tokens.
//
// It has no code for a dead refresh token. On refresh_token, whatever can be
// meant so is taken so: there is nothing else in that request to refuse, and the
// get_token that follows is judged by its own response.
var errcodes = map[int]errcode{
	-1:    {nil, "failure", true}, // on get_token, wrong credentials
	-2:    {pbx.ErrUnavailable, "an internal error of the PBX", false},
	10001: {pbx.ErrProtocol, "no such interface", false},
	10002: {pbx.ErrProtocol, "this version of the API is no longer maintained", false},
	10003: {pbx.ErrProtocol, "this version of the API is not supported", false},
	10004: {pbx.ErrTokenRejected, "the token has expired", false},
	10005: {pbx.ErrForbidden, "access denied: check what the application may do, in the PBX's web interface", true},
	10009: {pbx.ErrForbidden, "the operation failed: a feature is disabled, or a permission is missing", true},
	40001: {pbx.ErrProtocol, "a parameter is not well-formed", true},
	40002: {pbx.ErrProtocol, "a parameter is wrong", true},
	60002: {pbx.ErrTooManySessions, "8 tokens of this application are valid: one has to expire or be revoked", false},
	70004: {pbx.ErrLocked, "too many failed logins: the PBX has put this client's IP on its blocklist; remove it there in the PBX's web interface", false},
	70082: {pbx.ErrUnavailable, "the PBX is overloaded", false},
	70084: {pbx.ErrForbidden, "this action is forbidden", true},
	70087: {pbx.ErrForbidden, "this client's IP is not allowed: permit it in the PBX's web interface (Integrations, API)", false},
	70123: {pbx.ErrForbidden, "the API is disabled or not available: enable it in the PBX's web interface (Integrations, API)", false},
}

// notJudged are the codes of get_token after which the secret has not been looked
// at. Wrong credentials come as a wrong parameter (invalid_param_list), so that
// 40001 and 40002 may mean them too. 10005, 10009 and 70084 do not say what is
// forbidden.
var notJudged = []int{10001, 10002, 10003, 70082, 70087, 70123}

// Codes that are no failure: success, success in part, and under way. A login
// or a refresh succeeds with the first only.
const (
	succeeded  = 0
	inPart     = 1
	processing = 2
)

// response is what the driver reads of any response. All but the errcode may be
// missing.
type response struct {
	Errcode         wire.Number `json:"errcode"`
	AccessToken     string      `json:"access_token"`
	AccessLifetime  wire.Number `json:"access_token_expire_time"`
	RefreshToken    string      `json:"refresh_token"`
	RefreshLifetime wire.Number `json:"refresh_token_expire_time"`
	BlockedUntil    wire.Number `json:"block_expire_time"` // Unix seconds
}

func read(body []byte) response {
	var r response
	wire.ReadJSON(body, &r)
	return r
}

// refusal makes the error for a response that does not say success. A code
// outside the table is kept and has no kind. Of the PBX's own words the code is
// all that is taken over.
func refusal(x *wire.Exchange, r response) *pbx.Error {
	code, _ := r.Errcode.Int()
	known, ok := errcodes[code]
	if !ok {
		known = errcode{nil, "the PBX refuses for a reason that its vendor does not document", true}
	}
	switch {
	case x.Request.Op == pbx.OpLogin && code == -1:
		// With the field "username or password" in invalid_param_list, or without it.
		known.kind = pbx.ErrInvalidCredentials
		known.meaning = "wrong Client ID or Client Secret: check them in the PBX's web interface"
	case x.Request.Op == pbx.OpKeepAlive && known.refused:
		known.kind = pbx.ErrTokenRejected
		known.meaning += "; on a refresh, the refresh token is taken to be dead"
	case code == 60002 && x.Request.Op != pbx.OpLogin && x.Request.Op != pbx.OpKeepAlive:
		// "Creating operation fails as the existing quantity has reached the limit."
		known = errcode{nil, "the PBX has as many of these as it can have", false}
	}
	failure := x.Fail(known.kind, strconv.Itoa(code), known.meaning)
	failure.NotJudged = x.Request.Op == pbx.OpLogin && slices.Contains(notJudged, code)
	if known.kind == pbx.ErrLocked && failure.RetryAfter == 0 {
		failure.RetryAfter = r.blockedFor(x.Response.Header)
	}
	return failure
}

// blockedFor is how long the client stays blocked, by the PBX's own clock if the
// response has it. 0: unknown.
func (r response) blockedFor(h http.Header) time.Duration {
	if !r.BlockedUntil.Known {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return wire.CapRetryAfter(time.Unix(r.BlockedUntil.Value, 0).Sub(now))
}
