package mikopbx

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// response is what the driver needs of one. What is of another type stays empty.
type response struct {
	Result json.RawMessage `json:"result"` // true or false, or this is not the API's envelope
	Data   json.RawMessage `json:"data"`

	tokens struct {
		AccessToken string      `json:"accessToken"`
		ExpiresIn   wire.Number `json:"expiresIn"`
	}
}

func read(body []byte) response {
	var r response
	if wire.ReadJSON(body, &r) {
		wire.ReadJSON(r.Data, &r.tokens) // no object in a failure
	}
	return r
}

func (r response) succeeded() bool { return string(r.Result) == "true" }
func (r response) failed() bool    { return string(r.Result) == "false" }

// do sends a request and proves its success: the HTTP status and the envelope's
// result. The response and the exchange come along with no error.
func (p *PBX) do(ctx context.Context, req wire.Request) (response, *wire.Exchange, error) {
	x, err := p.wire.Do(ctx, req)
	if err != nil {
		return response{}, nil, err
	}
	got := read(x.Response.Body)
	x.Hide(pbx.NewSecret(got.tokens.AccessToken), refreshToken(x.Response.Header))
	if !x.OK() || !got.succeeded() {
		return response{}, nil, p.judge(x, got)
	}
	return got, x, nil
}

// judge makes the error for a response that is no success. nginx refuses a request
// without a valid token with a text of its own.
func (p *PBX) judge(x *wire.Exchange, got response) *pbx.Error {
	if !got.succeeded() && !got.failed() {
		text := bytes.TrimSpace(x.Response.Body)
		if x.Response.Status == http.StatusForbidden && bytes.HasPrefix(text, []byte("The user isn't authenticated")) && x.Request.Op != pbx.OpLogin {
			return p.judgeKey(x.Fail(pbx.ErrTokenRejected, "", "the token is not valid"))
		}
		return x.Unexpected()
	}
	known := meaningOf(x.Request.Op, x.Response.Status)
	failure := x.Fail(known.kind, "", known.text)
	// The queue was full, so that no worker has seen the login. Or it was right.
	failure.NotJudged = x.Request.Op == pbx.OpLogin && (x.Response.Status == http.StatusServiceUnavailable || x.Response.Status == http.StatusUnprocessableEntity)
	if x.Response.Status == http.StatusTooManyRequests && failure.RetryAfter == 0 {
		failure.RetryAfter = untilNextWindow(x.Response.Header)
	}
	return p.judgeKey(failure)
}

// keyRights is what a good key may lack.
const keyRights = "; or the key has no right to read " + pingPath + ", or not from this machine's address: the PBX does not say which"

// judgeKey makes the refusal of a token that of the key, if there is one. The PBX
// refuses what a key has no right to, by its path or its address, as it refuses a key
// that it does not know: HTTP 401 (TokenValidationService.php and denyAccess in
// AuthenticationMiddleware.php). So a request of the application leaves it to a ping.
func (p *PBX) judgeKey(failure *pbx.Error) *pbx.Error {
	switch {
	case p.key.IsZero() || failure.Kind != pbx.ErrTokenRejected:
	case failure.Op == pbx.OpRequest:
		failure.Ambiguous = true
		failure.Message = "the PBX does not know the key, or the key has no right to this request"
	default:
		p.key.Judge(failure)
		failure.Message += keyRights
	}
	return failure
}

// meaning is the driver's reading of a response.
type meaning struct {
	kind error
	text string
}

// others is any request that meanings does not have by itself.
const others pbx.Op = ""

// meanings are read by the request and the HTTP status. The package's doc has them
// in one table.
var meanings = map[pbx.Op]map[int]meaning{
	pbx.OpLogin: {
		http.StatusUnauthorized:    {pbx.ErrInvalidCredentials, "wrong login or password"},
		http.StatusForbidden:       {nil, "the PBX refuses the login for a reason that it does not document"},
		http.StatusTooManyRequests: {pbx.ErrLocked, "too many wrong logins from this machine's address"},
		// LoginAction.php: auth_TokenSaveFailed, the only failure without a status of its own.
		http.StatusUnprocessableEntity: {pbx.ErrUnavailable, "the PBX could not store the refresh token"},
	},
	pbx.OpPing: {
		// AuthenticationMiddleware.php: denyAccessNotFound, once the token is found good.
		http.StatusNotFound: {pbx.ErrForbidden, "the role of this account does not know the extensions: change it in the web interface"},
	},
	pbx.OpKeepAlive: {
		http.StatusUnauthorized: {pbx.ErrTokenRejected, "the refresh token is unknown or has expired"},
	},
	others: {
		http.StatusBadRequest:      {pbx.ErrUnavailable, "a worker of the PBX has not responded in time, or has failed"},
		http.StatusUnauthorized:    {pbx.ErrTokenRejected, "the token is not valid"},
		http.StatusForbidden:       {pbx.ErrForbidden, "the role of this account, or the key, has no right to this: change it in the web interface"},
		http.StatusRequestTimeout:  {pbx.ErrUnavailable, "the PBX cannot respond now"},
		http.StatusTooManyRequests: {pbx.ErrUnavailable, "too many requests from this machine's address"},
	},
}

func meaningOf(op pbx.Op, status int) meaning {
	for _, request := range []pbx.Op{op, others} {
		if known, ok := meanings[request][status]; ok {
			return known
		}
	}
	if status >= 500 {
		return meaning{pbx.ErrUnavailable, "the PBX cannot respond now"}
	}
	return meaning{nil, "the PBX refuses the request for a reason that says nothing about the login"}
}

// untilNextWindow is how long the PBX's counters hold: to the next multiple of 300 s
// of its own clock. Without a Date it may be the whole window.
func untilNextWindow(h http.Header) time.Duration {
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return window
	}
	return window - now.Sub(now.Truncate(window))
}
