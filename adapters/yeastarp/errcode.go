package yeastarp

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
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

// errcodes is the vendor's table (developer-guide: Error Code & Error Message),
// as far as it concerns logins and tokens.
//
// It has no code for a dead refresh token. On refresh_token, whatever can be
// meant so is taken so: there is nothing else in that request to refuse, and the
// get_token that follows is judged by its own answer.
var errcodes = map[int]errcode{
	-1:    {nil, "failure", true}, // on get_token, see wrongCredentials
	-2:    {pbx.ErrUnavailable, "an internal error of the PBX", false},
	10001: {pbx.ErrProtocol, "no such interface", false},
	10002: {pbx.ErrProtocol, "this version of the API is no longer maintained", false},
	10003: {pbx.ErrProtocol, "this version of the API is not supported", false},
	10004: {pbx.ErrTokenRejected, "the token has expired", false},
	10005: {pbx.ErrForbidden, "access denied: check what the application may do, in the PBX's web interface", true},
	40001: {pbx.ErrProtocol, "a parameter is not well-formed", true},
	40002: {pbx.ErrProtocol, "a parameter is wrong", true},
	60002: {pbx.ErrTooManySessions, "8 tokens of this application are alive: one has to run out or be revoked", false},
	70004: {pbx.ErrLocked, "too many failed logins: the PBX has put this caller's IP on its blocklist; it can be taken off in the PBX's web interface", false},
	70087: {pbx.ErrForbidden, "this caller's IP is not allowed", false},
}

// Codes that are no failure: success, success in part, and under way. A login
// or a refresh succeeds with the first only.
const (
	succeeded  = 0
	inPart     = 1
	processing = 2
)

// answer is what the driver reads of any answer. All but the errcode may be
// missing.
type answer struct {
	Errcode       whole  `json:"errcode"`
	AccessToken   string `json:"access_token"`
	AccessLife    whole  `json:"access_token_expire_time"`
	RefreshToken  string `json:"refresh_token"`
	RefreshLife   whole  `json:"refresh_token_expire_time"`
	BlockedUntil  whole  `json:"block_expire_time"` // Unix seconds
	InvalidParams []struct {
		Field string `json:"field"`
	} `json:"invalid_param_list"`
}

// whole is a whole number, or none where something else stands.
type whole struct {
	n  int64
	ok bool
}

// UnmarshalJSON accepts everything, so that one odd field does not cost the
// others.
func (w *whole) UnmarshalJSON(data []byte) error {
	n, err := strconv.ParseInt(string(data), 10, 64)
	*w = whole{n, err == nil}
	return nil
}

// code is the errcode, if there is one that the vendor's type, an integer, can
// hold.
func (a answer) code() (int, bool) {
	return int(a.Errcode.n), a.Errcode.ok && a.Errcode.n == int64(int32(a.Errcode.n))
}

func read(body []byte) answer {
	var a answer
	_ = json.Unmarshal(body, &a) // what is of another type stays empty
	return a
}

// wrongCredentials tells the failure that has no code of its own:
// {"errcode":-1,…,"invalid_param_list":[{"field":"username or password",…}]}.
func (a answer) wrongCredentials() bool {
	for _, p := range a.InvalidParams {
		if field := strings.ToLower(p.Field); strings.Contains(field, "username") || strings.Contains(field, "password") {
			return true
		}
	}
	return false
}

// refusal makes the error for an answer that does not say success. A code
// outside the table is kept and has no kind. Of the PBX's own words the code is
// all that is taken over.
func (p *PBX) refusal(req wire.Request, resp *wire.Response, a answer) *pbx.Error {
	code, _ := a.code()
	known, ok := errcodes[code]
	if !ok {
		known = errcode{nil, "the PBX refuses for a reason that its vendor does not document", true}
	}
	switch {
	case req.Op == pbx.OpLogin && code == -1 && a.wrongCredentials():
		known.kind = pbx.ErrInvalidCredentials
		known.meaning = "wrong Client ID or Client Secret: check them in the PBX's web interface"
	case req.Op == pbx.OpKeepAlive && known.refused:
		known.kind = pbx.ErrTokenRejected
		known.meaning += "; on a refresh, the refresh token is taken to be dead"
	}
	failure := p.wire.Fail(req, resp, known.kind, strconv.Itoa(code), known.meaning)
	if known.kind == pbx.ErrLocked && failure.RetryAfter == 0 {
		failure.RetryAfter = a.blockedFor(resp.Header)
	}
	return failure
}

// blockedFor is how long the caller stays blocked, by the PBX's own clock where
// the answer tells it; 0: unknown.
func (a answer) blockedFor(h http.Header) time.Duration {
	if !a.BlockedUntil.ok {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(time.Unix(a.BlockedUntil.n, 0).Sub(now), 0), wire.MaxRetryAfter)
}
