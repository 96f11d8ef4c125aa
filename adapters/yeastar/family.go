package yeastar

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// family is what differs between Yeastar's product lines, as data to be laid
// beside the vendor's pages.
type family struct {
	version string // the path segment
	life    time.Duration
	sliding bool
	lockout pbx.Lockout
	errnos  map[string]errno
}

// errno is one line of a vendor's error table.
type errno struct {
	kind    error
	meaning string
}

// sV1 is the S-Series with API v1.1.0
// (help.yeastar.com/en/s-series-developer: Login, Heartbeat, Error Code).
var sV1 = family{
	version: "v1.1.0",
	life:    30 * time.Minute,
	sliding: true,
	lockout: pbx.Lockout{Attempts: 5, Window: 10 * time.Minute},
	errnos: map[string]errno{
		"10002": {pbx.ErrProtocol, "XML is not supported"},
		"10003": {pbx.ErrProtocol, "no such request"},
		"10004": {pbx.ErrProtocol, "a required parameter is blank"},
		"20000": {pbx.ErrProtocol, "the request is not JSON"},
		"20001": {pbx.ErrProtocol, "the request is not a POST"},
		"20002": {pbx.ErrLocked, "too many failed logins: the PBX has locked this caller's IP; it can be unlocked in the PBX's web interface"},
		"20003": {pbx.ErrInvalidCredentials, "wrong user name or password: check the API account in the PBX's web interface"},
		"20004": {pbx.ErrTokenRejected, "no such token"},
		"20005": {pbx.ErrTokenRejected, "the token is blank"},
		"20006": {pbx.ErrTokenRejected, "the token has timed out"},
		"20007": {pbx.ErrProtocol, "the data is blank"},
		"20008": {pbx.ErrConfig, "wrong port: check event_port"},
		"20009": {pbx.ErrProtocol, "the request is blank"},
		"20010": {pbx.ErrUnavailable, "the PBX could not hand the request to its API process"},
		"20011": {nil, "the heartbeat could not be configured"}, // the token may still live
		"20015": {pbx.ErrForbidden, "this caller's IP is not allowed: add it to the API's list in the PBX's web interface"},
		"30001": {pbx.ErrUnavailable, "the PBX could not allocate memory"},
		// The vendor's table says this, its sample of a failed login shows this
		// code: on a login it may stand for a wrong password.
		"30003": {pbx.ErrUnavailable, "the PBX's API process is not running"},
	},
}

// success is the only word that means it. Pages of 2017 fail with "Failure",
// later ones with "Failed".
const success = "Success"

// envelope is in every answer.
type envelope struct {
	Status string `json:"status"`
	Errno  code   `json:"errno"`
}

// answer is that to the driver's own calls; only a login's has a token.
type answer struct {
	envelope
	Token string `json:"token"`
}

// code is an errno: a string in every sample, a number from some firmware.
type code string

// UnmarshalJSON accepts both, and leaves the code empty where the errno is no
// whole number: that is not the vendor's, and could quote any secret.
func (c *code) UnmarshalJSON(data []byte) error {
	text := string(data)
	_ = json.Unmarshal(data, &text) // a number stays as it is written
	if _, err := strconv.ParseInt(text, 10, 32); err == nil {
		*c = code(text)
	}
	return nil
}

// refusal makes the error for an envelope that does not say success. A code
// outside the table is kept and has no kind. Of the PBX's own words the code is
// all that is taken over.
func (p *PBX) refusal(req wire.Request, resp *wire.Response, e envelope) *pbx.Error {
	known, ok := p.family.errnos[string(e.Errno)]
	if !ok {
		known.meaning = "the PBX refuses for a reason that its vendor does not document"
	}
	failure := p.wire.Fail(req, resp, known.kind, string(e.Errno), known.meaning)
	if known.kind == pbx.ErrLocked && failure.RetryAfter == 0 {
		failure.RetryAfter = p.family.lockout.Window
	}
	return failure
}
