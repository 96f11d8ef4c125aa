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

// apiPaths are all of its forms that know the cookie.
var apiPaths = []string{path, "/mxml", "/manager"}

// block is the first one of a response: "Name: value" in every line up to the
// first empty one. Events may follow it, and begin with FullyBooted.
type block map[string]string

// parseBlock returns nil unless body begins with a whole block that responds to
// an action. Of a name that comes twice the first value stays: an ActionID comes
// back as it was sent, line breaks included, and could forge what follows it.
func parseBlock(body []byte) block {
	b := block{}
	for line := range bytes.Lines(bytes.TrimLeft(body, " \t\r\n")) {
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" && len(b) > 0 {
			return b
		}
		name, value, _ := strings.Cut(text, ":")
		if len(b) == 0 && name != "Response" {
			return nil
		}
		if _, twice := b[name]; !twice {
			b[name] = strings.Trim(value, " \t") // Asterisk puts one space there
		}
	}
	return nil
}

// exchange is a request and its response.
type exchange struct {
	*wire.Exchange
	block    block
	sent     pbx.Secret // the session's id that went with the request
	given    pbx.Secret // the one that the response sets
	lifetime time.Duration
}

func (p *PBX) exchange(x *wire.Exchange, sent pbx.Secret) exchange {
	e := exchange{Exchange: x, block: parseBlock(x.Response.Body), sent: sent}
	e.given, e.lifetime = setCookie(x.Response.Header)
	x.Hide(e.sent, e.given)
	return e
}

// replaced reports whether the response sets another id than was sent: the
// session that was sent has ended.
func (x exchange) replaced() bool {
	return !x.sent.IsZero() && !x.given.IsZero() && !strings.EqualFold(x.sent.Reveal(), x.given.Reveal())
}

// call sends an action within a session, or without one if id is empty. A
// refusal, and a response that is not Asterisk's, becomes an error. That it is the
// right response is for the client to prove.
func (p *PBX) call(ctx context.Context, req wire.Request, id pbx.Secret, params url.Values) (exchange, error) {
	req.Path = p.prefix + path
	req.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	req.Body = []byte(params.Encode()) // and not a query, which proxies log
	if !id.IsZero() {
		wire.SetCookie(req.Header, cookieName, id.Reveal())
	}
	answered, err := p.wire.Do(ctx, req)
	if err != nil {
		return exchange{}, err
	}
	x := p.exchange(answered, id)
	if err := p.judge(x); err != nil {
		return exchange{}, err
	}
	return x, nil
}

// judge returns nil for a block that is not an error. A refusal in a whole block
// counts, whatever the HTTP status says.
func (p *PBX) judge(x exchange) error {
	switch {
	case x.block["Response"] == "Error":
		return p.refusal(x)
	case !x.OK():
		return p.page(x)
	case x.replaced() && x.Request.Op != pbx.OpLogin:
		return x.Fail(pbx.ErrTokenRejected, "", "the session has ended")
	case x.block == nil:
		return x.Unexpected()
	}
	p.worked.Store(true)
	return nil
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

// refusal makes the error for a response that says "Response: Error". What an
// action itself has to complain about has no kind.
func (p *PBX) refusal(x exchange) *pbx.Error {
	known, ok := refusals[x.block["Message"]]
	switch {
	case x.Request.Op == pbx.OpLogin && known.kind == pbx.ErrInvalidCredentials && x.replaced():
		// A session that is not logged in lasts 5 s. Without it the challenge is
		// gone too, and the secret was not judged. To fail2ban it is a wrong login
		// all the same: Asterisk logs it as one.
		known = refusal{pbx.ErrUnavailable, "the challenge had expired before the login arrived"}
	case x.Request.Op != pbx.OpLogin && (x.replaced() || known.kind == pbx.ErrForbidden && p.needsNoPermission(x)):
		known = refusal{pbx.ErrTokenRejected, "the session has ended"}
	case !ok, x.Request.Op != pbx.OpLogin && known.kind == pbx.ErrInvalidCredentials,
		x.Request.Op == pbx.OpLogin && known.kind == pbx.ErrForbidden: // no action needs less permission than a login
		return x.Fail(nil, "", "Asterisk refuses", x.block["Message"])
	}
	failure := x.Fail(known.kind, "", known.advice)
	failure.NotJudged = x.Request.Op == pbx.OpLogin && x.block["Message"] == "Asterisk is shutting down"
	if known.kind == pbx.ErrTooManySessions && failure.RetryAfter == 0 {
		failure.RetryAfter = x.lifetime + sweepsLate // the other session's, if nobody uses it
	}
	return failure
}

// needsNoPermission reports whether a request was a Ping: where that is denied,
// there is no session.
func (p *PBX) needsNoPermission(x exchange) bool {
	return x.Request.Op == pbx.OpKeepAlive || x.Request.Op == pbx.OpPing
}

// page makes the error for a page of Asterisk's HTTP server, or of one in front of
// it: any HTTP status but 200.
func (p *PBX) page(x exchange) *pbx.Error {
	switch status := x.Response.Status; {
	case status == http.StatusNotFound && (p.worked.Load() || x.Request.Op != pbx.OpLogin):
		// HTTP is up before the manager, for some 100 ms of each start.
		return x.Fail(pbx.ErrUnavailable, "", "Asterisk is starting: its manager interface at "+x.Address()+" is not up")
	case status == http.StatusNotFound:
		failure := x.Unexpected()
		failure.Kind = pbx.ErrConfig
		failure.Message += "; Asterisk needs enabled=yes and webenabled=yes in manager.conf, and the option prefix must be that of http.conf"
		return failure
	case status == http.StatusServiceUnavailable && bytes.Contains(x.Response.Body, []byte("Shutdown in progress")):
		failure := x.Fail(pbx.ErrUnavailable, "", refusals["Asterisk is shutting down"].advice)
		failure.NotJudged = x.Request.Op == pbx.OpLogin // its web server says so: main/http.c
		return failure
	case status == http.StatusForbidden && bytes.Contains(x.Response.Body, []byte("Access denied by ACL")):
		failure := x.Fail(pbx.ErrForbidden, "", "Asterisk's ACL denies this machine's address")
		failure.NotJudged = x.Request.Op == pbx.OpLogin // its web server does so, before the manager
		return failure
	}
	return x.Unexpected()
}

// unproven makes the error for a whole response that is not the success it should
// be.
func (x exchange) unproven(message string) *pbx.Error { return x.Fail(pbx.ErrProtocol, "", message) }
