package wire

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/internal/trace"
)

const (
	// MaxBody is the most that is read of a response, in bytes. The largest
	// login response that any vendor documents is about 1 KB.
	MaxBody = 1 << 20

	// maxHeader is the same for the head of a response.
	maxHeader = 64 << 10

	// timeout bounds a request whose context has no deadline.
	timeout = 30 * time.Second

	// maxRetryAfter caps what a PBX can ask for with Retry-After.
	maxRetryAfter = time.Hour
)

// Request is one request to a PBX's API.
type Request struct {
	Op     pbx.Op
	Method string // empty: POST
	Path   string // below the base URL, as in "/api/v1.1.0/login"
	Query  url.Values
	Header http.Header
	Body   []byte // nil: none

	// JSON becomes the Body, and Content-Type is application/json if Header has
	// none. nil: Body counts. It must be a value that json.Marshal accepts.
	JSON any

	// NoProof: the request is part of a login and carries no proof of the
	// password, like a request for a challenge. Errors then have Sent false, and
	// are never of kind [pbx.ErrInvalidCredentials].
	NoProof bool

	// Secrets are the tokens in the body, and what was computed from the
	// password, such as the response to a challenge. They are cut out of every
	// text that is taken from the response. So are, without being listed, what
	// [Client.Credentials] returned, its MD5, and the values in Query and Header.
	Secrets []pbx.Secret
}

// Response is a response that was read to its end.
type Response struct {
	Status int
	Header http.Header
	// Body is without a byte order mark and without NULs at its ends, which
	// firmware adds.
	Body []byte
	// LocalAddr is this machine's end of the connection. nil: the transport does
	// not say.
	LocalAddr net.Addr
}

// Exchange is a request and the response to it.
type Exchange struct {
	Request  Request
	Response Response

	client *Client
	token  *pbx.Token // of an application's request
	length int        // of the response's body as it was sent
}

// OK reports whether the HTTP status is 2xx, or 304 to a request of the
// application's, which asked whether something has changed.
func (x *Exchange) OK() bool {
	return x.Response.Status/100 == 2 || x.Response.Status == http.StatusNotModified && x.Request.Op == pbx.OpRequest
}

// Hide cuts more secrets out of the texts that are taken from the response, such
// as a new token in it.
func (x *Exchange) Hide(secrets ...pbx.Secret) {
	x.Request.Secrets = append(slices.Clip(x.Request.Secrets), secrets...)
}

// Inspect is the exchange that a [pbx.Requester] is asked about. Its token is
// cut out without being listed.
func (c *Client) Inspect(r *http.Response, body []byte, t *pbx.Token) *Exchange {
	x := &Exchange{client: c, token: t, length: len(body), Request: Request{Op: pbx.OpRequest}, Response: Response{Status: r.StatusCode, Header: r.Header, Body: trim(body)}}
	if r.Request != nil && r.Request.URL != nil {
		x.Request.Method, x.Request.Path = r.Request.Method, r.Request.URL.Path
	}
	return x
}

// minImplied is the least length, in bytes, of a value that is taken for a secret
// though nobody listed it. A shorter one, as in type=json, is no token, and would
// be found in every text.
const minImplied = 6

// secrets are all that must not show.
func (x *Exchange) secrets() []pbx.Secret {
	all := append(slices.Clone(x.Request.Secrets), x.client.account.secrets()...)
	if x.token != nil {
		all = append(all, x.token.Value, x.token.Refresh)
	}
	implied := func(value string) {
		if len(value) >= minImplied {
			all = append(all, pbx.NewSecret(value))
		}
	}
	for _, values := range x.Request.Query {
		for _, value := range values {
			implied(value)
		}
	}
	for name, values := range x.Request.Header {
		switch name {
		case "Accept", "Content-Type", "User-Agent":
			continue
		}
		for _, value := range values { // Bearer TOKEN, or NAME=TOKEN; NAME=TOKEN
			for part := range strings.FieldsFuncSeq(value, func(r rune) bool { return strings.ContainsRune(" ,;", r) }) {
				implied(part)
				if _, after, ok := strings.Cut(part, "="); ok {
					implied(after)
				}
			}
		}
	}
	return all
}

// passage follows one request on its way out.
type passage struct {
	client   *Client
	seen     atomic.Bool // the transport reports what it does
	sent     atomic.Bool // it had a connection to write to
	answered atomic.Bool // a first byte came back
	local    atomic.Pointer[net.Addr]
	trace    httptrace.ClientTrace // sets these

	location string // where a redirect points to
}

func (c *Client) newPassage() *passage {
	p := &passage{client: c}
	p.trace.GetConn = func(string) { p.seen.Store(true) }
	p.trace.GotConn = func(info httptrace.GotConnInfo) {
		p.sent.Store(true)
		local := info.Conn.LocalAddr()
		p.local.Store(&local)
	}
	p.trace.GotFirstResponseByte = func() { p.answered.Store(true) }
	return p
}

// maySent is true unless the request certainly never left: a transport that
// reports nothing gets no benefit of the doubt.
func (p *passage) maySent() bool { return p.sent.Load() || !p.seen.Load() }

// errSentOnce ends a request that net/http is about to send again.
var errSentOnce = errors.New("the server ended the request, and it is not sent again")

// ended returns err, or the error of ctx if err is the cause of its end. That is an error of
// somebody else, as of another member of an errgroup, and says nothing about this PBX.
func ended(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case cause == errSentOnce:
		return cause
	case cause != nil && errors.Is(err, cause):
		return ctx.Err()
	}
	return err
}

type passageKey struct{}

// anyHeader is for traces: each may hold a token or a password.
func anyHeader([]string) bool { return true }

// Do sends req and reads the response, whatever its status, except for a
// redirect, which is an error of kind [pbx.ErrConfig]. Without a usable response
// the error is of kind [pbx.ErrUnavailable], or ErrConfig if a setting is the
// cause. It is always an *[pbx.Error], and its Sent is exact about what never
// left.
func (c *Client) Do(ctx context.Context, req Request) (*Exchange, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	x := &Exchange{Request: req, client: c}
	p := c.newPassage()
	if err := ctx.Err(); err != nil {
		p.seen.Store(true)
		return nil, x.unanswered(p, err)
	}
	ctx, end := trace.Once(trace.Veil(ctx, anyHeader), errSentOnce)
	defer end(nil)
	ctx = httptrace.WithClientTrace(context.WithValue(ctx, passageKey{}, p), &p.trace)

	out, err := c.outgoing(ctx, req)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	resp, err := sendOnce.Do(out)
	line := c.log.Debug()
	if line.Enabled() { // finding secrets costs more than the line
		line.Str("driver", c.driver).Str("op", string(req.Op)).Str("method", out.Method).Str("host", out.URL.Host).
			Str("path", x.path()).Dur("took", time.Since(start))
	}
	if err != nil {
		failure := x.unanswered(p, ended(ctx, err))
		line.Bool("sent", failure.Sent).Msg("no response")
		return nil, failure
	}
	defer resp.Body.Close()
	line.Int("status", resp.StatusCode).Msg("response")
	x.Response = Response{Status: resp.StatusCode, Header: resp.Header}
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols: // its body does not end
		return nil, x.Fail(pbx.ErrProtocol, "", "the response switches to another protocol, which was not requested: check that the URL is that of the PBX's API")
	case p.location != "":
		return nil, x.redirected(out.URL, p.location)
	}
	if local := p.local.Load(); local != nil {
		x.Response.LocalAddr = *local
	}
	got, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	x.Response.Body, x.length = trim(got), len(got)
	switch {
	case err != nil && !whole(x.Response.Body):
		failure := x.unanswered(p, ended(ctx, err))
		failure.Sent, failure.HTTPStatus = !req.NoProof, resp.StatusCode
		failure.Message = "the response of " + c.host() + " broke off"
		return nil, failure
	case len(got) > MaxBody:
		x.Response.Body = nil
		return nil, x.Fail(pbx.ErrProtocol, "", fmt.Sprintf("the response is larger than %d KiB: is this the PBX's API?", MaxBody>>10))
	}
	if fault, refused := x.refusedConnection(); refused {
		failure := x.Fail(pbx.ErrConfig, "", fault.advice)
		failure.Setting, failure.Sent = fault.setting, false
		return nil, failure
	}
	return x, nil
}

// outgoing makes the HTTP request of req.
func (c *Client) outgoing(ctx context.Context, req Request) (*retryablehttp.Request, error) {
	body := req.Body
	if req.JSON != nil {
		var err error
		if body, err = json.Marshal(req.JSON); err != nil { // the error may quote a password
			return nil, &pbx.Error{Driver: c.driver, Op: req.Op, Kind: pbx.ErrProtocol, Message: "the driver's request cannot be written as JSON"}
		}
	}
	target := c.base + (&url.URL{Path: req.Path}).EscapedPath()
	if len(req.Query) > 0 {
		target += "?" + req.Query.Encode()
	}
	out, err := newRequest(ctx, cmp.Or(req.Method, http.MethodPost), target, body)
	if err != nil {
		return nil, &pbx.Error{Driver: c.driver, Op: req.Op, Kind: pbx.ErrConfig, Setting: "URL", Message: "no request can be made for the URL " + c.URL()}
	}
	// net/http gives the bytes after a response to the next request on the same
	// connection, and logs them if none comes. They may hold a token.
	out.Close = true
	if req.JSON != nil {
		out.Header.Set("Content-Type", "application/json")
	}
	for name, values := range req.Header {
		out.Header[name] = values
	}
	return out, nil
}

// newRequest makes a request that goes out once.
func newRequest(ctx context.Context, method, target string, body []byte) (*retryablehttp.Request, error) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		// net/http sends these again when a kept connection breaks, though the
		// PBX may have read them and a GET may delete something. It does not
		// where there is a body, even an empty one, that it cannot get again.
		r, err := retryablehttp.NewRequestWithContext(ctx, method, target, append([]byte{}, body...))
		if err == nil {
			r.GetBody = nil
		}
		return r, err
	}
	if len(body) == 0 { // a nil []byte goes out chunked, which small servers cannot read
		return retryablehttp.NewRequestWithContext(ctx, method, target, nil)
	}
	return retryablehttp.NewRequestWithContext(ctx, method, target, body)
}

// trim removes what firmware adds at the ends of a body: a byte order mark, and
// NULs with the blanks outside of them. Other blanks may belong to the envelope.
func trim(body []byte) []byte {
	const blanks = " \t\r\n\x00"
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	leading := body[:len(body)-len(bytes.TrimLeft(body, blanks))]
	body = body[bytes.LastIndexByte(leading, 0)+1:]
	end := len(bytes.TrimRight(body, blanks))
	if at := bytes.IndexByte(body[end:], 0); at >= 0 {
		body = body[:end+at]
	}
	return body
}

// whole reports whether body is a complete JSON object or XML document. Its
// announced length was wrong then: no beginning of one is complete.
func whole(body []byte) bool {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || len(body) > MaxBody {
		return false
	}
	switch body[0] {
	case '{':
		return json.Valid(body)
	case '<':
		d := xml.NewDecoder(bytes.NewReader(body))
		root := false
		for {
			token, err := d.Token()
			if err != nil {
				return err == io.EOF && root
			}
			if _, ok := token.(xml.StartElement); ok {
				root = true
			}
		}
	}
	return false
}
