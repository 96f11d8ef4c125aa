package grandstream

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
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

// statuses are those that say something about a login or a cookie.
var statuses = map[int]meaning{
	-1:  {pbx.ErrProtocol, nil, 0, "invalid parameters"},
	-5:  {pbx.ErrProtocol, pbx.ErrTokenRejected, 0, "the request has no cookie"},
	-6:  {pbx.ErrProtocol, pbx.ErrTokenRejected, 0, "no such cookie, or it has timed out"},
	-8:  {pbx.ErrUnavailable, pbx.ErrUnavailable, 0, "the PBX timed out"}, // and may have acted
	-37: {pbx.ErrInvalidCredentials, pbx.ErrInvalidCredentials, 0, "wrong user name or password: check the API's user in the PBX's web interface"},
	-45: {pbx.ErrLocked, pbx.ErrUnavailable, 15 * time.Second, "too many requests, or others do the same at the moment"},
	-46: {pbx.ErrLocked, pbx.ErrUnavailable, 15 * time.Second, "too many requests, or others do the same at the moment"},
	-47: {pbx.ErrForbidden, pbx.ErrForbidden, 0, "no permission: check the API's list of permitted addresses, and its user's rights, in the PBX's web interface"},
	-57: {pbx.ErrLocked, pbx.ErrUnavailable, time.Minute, "too many requests, or others do the same at the moment"},
	-68: {pbx.ErrLocked, pbx.ErrLocked, lockout.Window, "too many failed logins: the PBX has banned this machine's address for a while; its web interface can lift that"},
	-70: {pbx.ErrForbidden, pbx.ErrForbidden, 0, "the PBX forbids this user or address to log in: check the API's settings in its web interface"},
	-71: {pbx.ErrInvalidCredentials, pbx.ErrInvalidCredentials, 0, "no such user: check the API's user in the PBX's web interface"},
}

// status is a number. Nobody has seen it in a string, which is taken as well.
type status struct {
	code  int
	known bool
}

// UnmarshalJSON leaves the status unknown where it is no whole number: that is
// not the vendor's, and could quote any secret.
func (s *status) UnmarshalJSON(data []byte) error {
	text := string(data)
	_ = json.Unmarshal(data, &text) // a number stays as it is written
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		*s = status{int(n), true}
	}
	return nil
}

// answer is what the driver needs of one. What is of another type stays empty.
type answer struct {
	Status   status `json:"status"`
	Response struct {
		Challenge string `json:"challenge"`
		Cookie    string `json:"cookie"`
	} `json:"response"`
}

// exchange is a request and its answer.
type exchange struct {
	req  wire.Request
	resp *wire.Response
	answer
}

// call sends an action and proves its success: HTTP status, envelope, status.
// The exchange comes along with a refusal too.
func (p *PBX) call(ctx context.Context, op pbx.Op, f fields, secrets ...pbx.Secret) (exchange, error) {
	x := exchange{req: wire.Request{
		Op:      op,
		Path:    path,
		Header:  http.Header{"Content-Type": {"application/json;charset=UTF-8"}},
		Secrets: secrets,
	}}
	x.req.Body, _ = json.Marshal(map[string]fields{"request": f}) // strings always marshal
	var err error
	if x.resp, err = p.wire.Do(ctx, x.req); err != nil {
		return exchange{}, err
	}
	_ = json.Unmarshal(x.resp.Body, &x.answer)
	switch {
	case x.resp.Status != http.StatusOK || !x.Status.known:
		return exchange{}, p.wire.Unexpected(x.req, x.resp)
	case x.Status.code != 0:
		return x, p.refusal(x)
	}
	return x, nil
}

// refusal makes the error for a status that is not success. One outside the
// table is kept and has no kind. Of the PBX's own words the status is all that is
// taken over.
func (p *PBX) refusal(x exchange) *pbx.Error {
	known, ok := statuses[x.Status.code]
	if !ok {
		known.text = "the PBX refuses for a reason that says nothing about the login"
	}
	kind := known.other
	if x.req.Op == pbx.OpLogin {
		kind = known.login
	}
	failure := p.wire.Fail(x.req, x.resp, kind, strconv.Itoa(x.Status.code), known.text)
	if failure.RetryAfter == 0 {
		failure.RetryAfter = known.wait
	}
	return failure
}
