package asterisk

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// path is where the raw form of the interface is, below the prefix.
const path = "/rawman"

// block is the first one of an answer: "Name: value" in every line up to the
// first empty one. Events may follow it, and begin with FullyBooted.
type block map[string]string

// parseBlock returns nil unless body begins with a whole block that answers an
// action. Of a name that comes twice the first value stays: an ActionID comes
// back as it was sent, line breaks included, and could forge what follows it.
func parseBlock(body []byte) block {
	b := block{}
	for line := range bytes.Lines(body) {
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" && len(b) > 0 {
			return b
		}
		name, value, _ := strings.Cut(text, ":")
		if len(b) == 0 && name != "Response" {
			return nil
		}
		if _, twice := b[name]; !twice {
			b[name] = strings.TrimSpace(value)
		}
	}
	return nil
}

// exchange is a request and its answer.
type exchange struct {
	req   wire.Request
	resp  *wire.Response
	block block
	sent  pbx.Secret // the session's id that went with the request
	given pbx.Secret // the one that the answer sets
	life  time.Duration
}

// read makes an exchange of an answer. What it says about the session is cut out
// of all texts.
func read(req wire.Request, resp *wire.Response, sent pbx.Secret) exchange {
	x := exchange{req: req, resp: resp, block: parseBlock(resp.Body), sent: sent}
	x.given, x.life = setCookie(resp.Header)
	x.req.Secrets = append(x.req.Secrets, x.sent, x.given)
	return x
}

// call sends an action within a session, or without one if id is empty. An
// answer that is refused, or is none of Asterisk's, becomes an error; that it is
// the right one is for the caller to prove.
func (p *PBX) call(ctx context.Context, op pbx.Op, id pbx.Secret, params url.Values, secrets ...pbx.Secret) (exchange, error) {
	req := wire.Request{
		Op:      op,
		Path:    p.prefix + path,
		Header:  http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		Body:    []byte(params.Encode()), // and not a query, which proxies log
		Secrets: append(secrets, id),
	}
	if !id.IsZero() {
		req.Header.Set("Cookie", cookie(id))
	}
	resp, err := p.wire.Do(ctx, req)
	if err != nil {
		return exchange{}, err
	}
	x := read(req, resp, id)
	if resp.Status != http.StatusOK {
		return exchange{}, p.page(x)
	}
	if x.block == nil {
		return exchange{}, p.wire.Unexpected(x.req, resp)
	}
	if x.block["Response"] == "Error" {
		return exchange{}, p.refusal(x)
	}
	return x, nil
}

// refusal is what a message of Asterisk's means.
type refusal struct {
	kind   error
	advice string
}

// refusals are the messages under "Response: Error" that say something about the
// login or the session, as main/manager.c writes them.
var refusals = map[string]refusal{
	"Authentication failed":     {pbx.ErrInvalidCredentials, "wrong user name or secret, or manager.conf denies the user this machine's address"},
	"Login Already In Use":      {pbx.ErrTooManySessions, "the user is logged in already, and manager.conf allows it one session only (allowmultiplelogin=no)"},
	"Permission denied":         {pbx.ErrForbidden, "manager.conf does not permit the user this action (write=)"},
	"Asterisk is shutting down": {pbx.ErrUnavailable, "Asterisk is shutting down"},
}

// refusal makes the error for an answer that says "Response: Error". What an
// action itself has to complain about has no kind.
func (p *PBX) refusal(x exchange) *pbx.Error {
	known, ok := refusals[x.block["Message"]]
	switch {
	case !ok:
		return p.wire.Fail(x.req, x.resp, nil, "", "Asterisk refuses", x.block["Message"])
	case known.kind == pbx.ErrForbidden && p.gone(x):
		known = refusal{pbx.ErrTokenRejected, "the session has ended"}
	}
	failure := p.wire.Fail(x.req, x.resp, known.kind, "", known.advice)
	if known.kind == pbx.ErrTooManySessions && failure.RetryAfter == 0 {
		failure.RetryAfter = x.life // the other session's, if nobody uses it
	}
	return failure
}

// gone tells, of a "Permission denied", that there is no session any more: it is
// the answer to a Ping, which needs no permission, or it gives another id than
// was sent.
func (p *PBX) gone(x exchange) bool {
	if x.req.Op == pbx.OpKeepAlive {
		return true
	}
	return !x.sent.IsZero() && !x.given.IsZero() && !strings.EqualFold(x.sent.Reveal(), x.given.Reveal())
}

// page makes the error for an answer of Asterisk's HTTP server, or of one before
// it: any HTTP status but 200.
func (p *PBX) page(x exchange) *pbx.Error {
	switch x.resp.Status {
	case http.StatusNotFound:
		return p.wire.Fail(x.req, x.resp, pbx.ErrConfig, "", "there is no "+p.prefix+path+" at this URL: manager.conf needs enabled=yes and webenabled=yes, "+
			"and the option prefix must be that of http.conf")
	case http.StatusForbidden:
		return p.wire.Fail(x.req, x.resp, pbx.ErrForbidden, "", "Asterisk's ACL denies this machine's address")
	}
	return p.wire.Unexpected(x.req, x.resp)
}

// unproven makes the error for a whole answer that is not the success it should
// be.
func (p *PBX) unproven(x exchange, message string) *pbx.Error {
	return p.wire.Fail(x.req, x.resp, pbx.ErrProtocol, "", message)
}
