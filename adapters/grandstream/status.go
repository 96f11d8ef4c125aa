package grandstream

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// path is the one that the API has.
const path = "/api"

// meaning is one line of the vendor's table: what a status means to a login, and
// to anything else.
type meaning struct {
	login, other error
	wait         time.Duration // after which to come back
	text         string
}

// statuses are those that say something about a login, a cookie or the PBX. -7 and
// -8 are "time-out" in the guide, and a dead cookie to the PBX's own web interface.
// -37 is "wrong account or password"; with a cookie it is about the cookie, and the
// login that follows judges the password.
var statuses = map[int]meaning{
	-1:   {pbx.ErrProtocol, pbx.ErrProtocol, 0, "invalid parameters; if it is a login's, the UCM may want its own URL in it: set login_url"},
	-5:   {pbx.ErrProtocol, pbx.ErrTokenRejected, 0, "the request has no cookie"},
	-6:   {pbx.ErrProtocol, pbx.ErrTokenRejected, 0, "no such cookie, or it has timed out"},
	-7:   {pbx.ErrUnavailable, pbx.ErrTokenRejected, 0, "the connection was closed"},
	-8:   {pbx.ErrUnavailable, pbx.ErrTokenRejected, 0, "time-out"},
	-9:   {pbx.ErrUnavailable, pbx.ErrUnavailable, 0, "the PBX failed"},
	-15:  {pbx.ErrProtocol, pbx.ErrProtocol, 0, "a parameter has a wrong value"},
	-19:  {pbx.ErrProtocol, pbx.ErrProtocol, 0, "this firmware does not have the request"},
	-24:  {pbx.ErrUnavailable, pbx.ErrUnavailable, 0, "the PBX could not use its data"},
	-25:  {pbx.ErrUnavailable, pbx.ErrUnavailable, 0, "the PBX could not use its data"},
	-26:  {pbx.ErrUnavailable, pbx.ErrUnavailable, 0, "the PBX could not use its data"},
	-37:  {pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, 0, "wrong user name or password: check the API's user in the PBX's web interface"},
	-45:  {pbx.ErrLocked, pbx.ErrUnavailable, 15 * time.Second, "too many requests, or others do the same at the moment"},
	-46:  {pbx.ErrLocked, pbx.ErrUnavailable, 15 * time.Second, "too many requests, or others do the same at the moment"},
	-47:  {pbx.ErrForbidden, pbx.ErrForbidden, 0, "no permission: check the API's list of permitted addresses, where an empty list permits nobody, and its user's rights, in the PBX's web interface"},
	-50:  {pbx.ErrProtocol, pbx.ErrProtocol, 0, "the request holds characters that are not permitted"},
	-57:  {pbx.ErrLocked, pbx.ErrUnavailable, time.Minute, "too many requests, or others do the same at the moment"},
	-68:  {pbx.ErrLocked, pbx.ErrLocked, lockout.Window, "too many failed logins: the PBX has banned this machine's address for a while; its web interface can lift that"},
	-70:  {pbx.ErrForbidden, pbx.ErrForbidden, 0, "the PBX forbids this user or address to log in: check the API's settings in its web interface"},
	-71:  {pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, 0, "no such user: check the API's user in the PBX's web interface"},
	-251: {pbx.ErrUnavailable, pbx.ErrUnavailable, 0, "the PBX is busy with another task"},
}

// notJudged are the statuses of a login whose proof was not looked at.
var notJudged = []int{-19, -47, -50, -251}

// response is what the driver needs of one. What is of another type stays empty.
type response struct {
	Status   wire.Number `json:"status"` // a number in every sample
	Response struct {
		Challenge wire.Text `json:"challenge"` // digits
		Cookie    string    `json:"cookie"`
	} `json:"response"`
}

// code is the status, if there is one.
func (r response) code() (int, bool) { return r.Status.Int() }

// read reads a response. A failure of the PBX's is below zero: under an HTTP status
// that is no success, any other number is that of a gateway, which repeats its HTTP
// status.
func read(x *wire.Exchange) response {
	var r response
	wire.ReadJSON(x.Response.Body, &r)
	if r.Status.Value > 0 && !x.OK() {
		r.Status = wire.Number{}
	}
	return r
}

// call sends an action and proves its success. The response comes along with a
// refusal too.
func (p *PBX) call(ctx context.Context, req wire.Request, f fields) (response, *wire.Exchange, error) {
	req.Path = path
	req.Header = http.Header{"Content-Type": {"application/json;charset=UTF-8"}}
	req.JSON = map[string]fields{"request": f}
	x, err := p.wire.Do(ctx, req)
	if err != nil {
		return response{}, nil, err
	}
	got := read(x)
	return got, x, judge(x, got)
}

// judge returns nil for a proven success. A refusal in a whole envelope counts,
// whatever the HTTP status says.
func judge(x *wire.Exchange, got response) error {
	code, ok := got.code()
	switch {
	case ok && code != 0:
		return refusal(x, code)
	case ok && x.OK():
		return nil
	}
	failure := x.Unexpected()
	if scheme := x.Response.Header.Get("WWW-Authenticate"); strings.HasPrefix(strings.ToLower(scheme), "digest") {
		failure.Message += "; the UCM's old API does so, on port 8443: configure the port of the web interface, usually 8089"
	}
	return failure
}

// refusal makes the error for a status that is not success. One outside the
// table is kept and has no kind. Of the PBX's own words the status is all that is
// taken over.
func refusal(x *wire.Exchange, code int) *pbx.Error {
	known, ok := statuses[code]
	if !ok {
		known.text = "the PBX refuses for a reason that says nothing about the login"
	}
	kind := known.other
	if x.Request.Op == pbx.OpLogin {
		kind = known.login
	}
	setting := ""
	if x.Request.NoProof && kind == pbx.ErrInvalidCredentials { // of the challenge: it has the user's name only
		kind, setting, known.text = pbx.ErrConfig, "Username", "the PBX gives this user no challenge: check the API's user in its web interface"
	}
	failure := x.Fail(kind, strconv.Itoa(code), known.text)
	failure.Setting = setting
	failure.NotJudged = x.Request.Op == pbx.OpLogin && slices.Contains(notJudged, code)
	if x.Request.Op == pbx.OpRequest && (code == -7 || code == -8) { // the PBX may have acted before its time-out
		failure.Kind, failure.Ambiguous = pbx.ErrUnavailable, true
	}
	if failure.RetryAfter == 0 {
		failure.RetryAfter = known.wait
	}
	return failure
}
