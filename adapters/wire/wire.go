// Package wire is the one way in which drivers talk HTTP, third-party ones
// included. It exists so that no driver can get the dangerous parts wrong:
//
//   - Only what never left this machine is sent again. A login that was sent
//     and not answered may have been a wrong one.
//   - A redirect is never followed. It becomes an error that names the URL to
//     configure: followed, a login would become a GET, and a token would go to
//     wherever the answer points.
//   - Every request of a driver has a deadline, and every body a bound.
//   - Errors and log lines carry no query, no body and no secret, also when the
//     PBX sends one back.
//   - Connections, and the memory they cost, are shared by all PBXs that trust
//     certificates in the same way.
//
// A driver makes one [Client] per PBX with [New], sends with [Client.Do], and
// turns bad answers into errors with [Client.Fail], [Client.Unexpected] and
// [StatusKind].
package wire

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/pbxauth/pbx"
	"github.com/rs/zerolog"
)

const (
	// MaxBody is the most that is read of an answer, in bytes. The largest
	// login answer that any vendor documents is about 1 KB.
	MaxBody = 1 << 20

	// Timeout bounds a request whose context has no deadline.
	Timeout = 30 * time.Second

	// MaxRetryAfter caps what a PBX can ask for with Retry-After.
	MaxRetryAfter = time.Hour
)

// Endpoint is what a Client has to know of the driver it works for.
type Endpoint struct {
	// Driver is the registered name, for errors and logs.
	Driver string
	// Port is used for an https URL without one; 0: 443.
	Port int
	// PlainPort is used for an http URL without one; 0: 80.
	PlainPort int
	// APIPath is where the brand's API begins, as in "/api". It is cut off a
	// configured URL, with all that follows.
	APIPath string
	// NoAccount lets the account be empty, for a driver that was given a key
	// in its place. [Client.Credentials] is not to be called then.
	NoAccount bool
}

// Client sends the requests of one driver to one PBX. It is safe for concurrent
// use.
type Client struct {
	driver      string
	base        string // as URL returns it
	sender      *sender
	account     pbx.Credentials                                // if it is fixed
	credentials func(context.Context) (pbx.Credentials, error) // nil: it is
	log         *zerolog.Logger
}

// silent is what most Clients log to. A Logger is large, and Clients are many.
var silent zerolog.Logger

// New checks what all drivers have in common: the URL, the account and the TLS
// settings. It sends nothing. Errors are of kind [pbx.ErrConfig].
func New(endpoint Endpoint, cfg pbx.Config) (*Client, error) {
	c := &Client{driver: endpoint.Driver, log: &silent}
	if logger := cfg.Logger; !reflect.ValueOf(logger).IsZero() {
		c.log = &logger
	}
	base, err := baseURL(cfg.URL, endpoint, cfg.AllowPlainHTTP)
	if err != nil {
		return nil, c.misconfigured(err)
	}
	c.base = base.String()
	if !endpoint.NoAccount {
		if err := checkAccount(cfg); err != nil {
			return nil, c.misconfigured(err)
		}
		c.account, c.credentials = pbx.Credentials{Username: cfg.Username, Password: cfg.Password}, cfg.Credentials
	}
	if c.sender, err = senderFor(cfg); err != nil {
		return nil, c.misconfigured(err)
	}
	return c, nil
}

// URL is the PBX's address, normalised: scheme, host, port, base path, and no
// slash at the end.
func (c *Client) URL() string { return c.base }

// host is that of the PBX, with its port.
func (c *Client) host() string {
	_, rest, _ := strings.Cut(c.base, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// Transport sends an application's own requests over this PBX's connections. It
// adds no token and retries nothing.
func (c *Client) Transport() http.RoundTripper { return c.sender.transport }

// Credentials returns the account to log in with. Errors are *[pbx.Error] with
// Sent false.
func (c *Client) Credentials(ctx context.Context) (pbx.Credentials, error) {
	if c.credentials == nil {
		return c.account, nil
	}
	got, err := c.ask(ctx)
	if err != nil {
		return pbx.Credentials{}, err
	}
	if got.Username == "" || got.Password.IsZero() {
		return pbx.Credentials{}, &pbx.Error{Driver: c.driver, Op: pbx.OpLogin, Kind: pbx.ErrConfig,
			Message: "nothing was sent, for the Credentials func returned an empty user name or password"}
	}
	return got, nil
}

// Fingerprint implements [pbx.Fingerprinter] for a driver whose login sends
// Credentials.
func (c *Client) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	account, err := c.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	return Fingerprint(key, account.Username, account.Password), nil
}

// Fingerprint returns the HMAC-SHA256, under key, of a user name and its secret,
// for a driver whose login sends something else than [Client.Credentials].
func Fingerprint(key []byte, username string, secret pbx.Secret) []byte {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%d:%s%s", len(username), username, secret.Reveal())
	return mac.Sum(nil)
}

func (c *Client) ask(ctx context.Context) (pbx.Credentials, error) {
	got, err := pbx.AskCredentials(ctx, c, c.credentials)
	if err == nil {
		return got, nil
	}
	// Whatever the application's own func says is passed on, but for the error
	// of an http.Client: it quotes the URL, and the vault's token in it.
	if inURL := (*url.Error)(nil); errors.As(err, &inURL) {
		err = cause(err, nil, nil)
	}
	return pbx.Credentials{}, &pbx.Error{Driver: c.driver, Op: pbx.OpLogin, Kind: pbx.ErrUnavailable,
		Message: "nothing was sent, for the Credentials func failed", Err: err}
}

func checkAccount(cfg pbx.Config) error {
	switch {
	case cfg.Credentials != nil && (cfg.Username != "" || !cfg.Password.IsZero()):
		return errors.New("set either Credentials or Username and Password, not both")
	case cfg.Credentials != nil:
		return nil
	case cfg.Username == "":
		return errors.New("no user name: set Username to the PBX's API account")
	case cfg.Password.IsZero():
		return errors.New("no password: set Password to that of the PBX's API account")
	}
	return nil
}

func (c *Client) misconfigured(err error) error {
	return &pbx.Error{Driver: c.driver, Op: pbx.OpOpen, Kind: pbx.ErrConfig, Message: err.Error()}
}

// Request is one call of a PBX's API.
type Request struct {
	Op     pbx.Op
	Method string // empty: POST
	Path   string // below the base URL, as in "/api/v1.1.0/login"
	Query  url.Values
	Header http.Header
	Body   []byte // nil: none

	// Secrets are what this request carries and what could come back: password,
	// digest, tokens. They are cut out of every text taken from the answer.
	Secrets []pbx.Secret
}

// Response is an answer, read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   []byte

	// LocalAddr is this machine's end of the connection; nil if the transport
	// does not tell.
	LocalAddr net.Addr
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

type passageKey struct{}

// Do sends req and reads the answer, whatever its status, redirects excepted:
// they are errors of kind [pbx.ErrConfig]. Without a usable answer the error is
// of kind [pbx.ErrUnavailable], or ErrConfig where a setting is the cause. It
// is always an *[pbx.Error], and its Sent is exact about what never left.
func (c *Client) Do(ctx context.Context, req Request) (*Response, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, Timeout)
		defer cancel()
	}
	p := c.newPassage()
	if err := ctx.Err(); err != nil {
		p.seen.Store(true)
		return nil, c.unanswered(req, p, err)
	}
	ctx = httptrace.WithClientTrace(context.WithValue(ctx, passageKey{}, p), &p.trace)

	method := req.Method
	if method == "" {
		method = http.MethodPost
	}
	target := c.base + (&url.URL{Path: req.Path}).EscapedPath()
	if len(req.Query) > 0 {
		target += "?" + req.Query.Encode()
	}
	out, err := newRequest(ctx, method, target, req.Body)
	if err != nil {
		return nil, &pbx.Error{Driver: c.driver, Op: req.Op, Kind: pbx.ErrConfig, Message: "no request can be made for the URL " + c.URL()}
	}
	for name, values := range req.Header {
		out.Header[name] = values
	}

	start := time.Now()
	resp, err := c.sender.client.Do(out)
	line := c.log.Debug()
	if line.Enabled() { // cleaning costs more than the line
		line.Str("driver", c.driver).Str("op", string(req.Op)).Str("method", method).Str("host", out.URL.Host).
			Str("path", Clean(out.URL.Path, req.Secrets...)).Dur("took", time.Since(start))
	}
	if err != nil {
		failure := c.unanswered(req, p, err)
		line.Bool("sent", failure.Sent).Msg("no answer")
		return nil, failure
	}
	defer resp.Body.Close()
	line.Int("status", resp.StatusCode).Msg("answered")
	if p.location != "" {
		return nil, c.redirected(req, resp, out.URL, p.location)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	if err != nil {
		failure := c.unanswered(req, p, err)
		failure.Sent, failure.HTTPStatus = true, resp.StatusCode
		failure.Message = "the answer broke off"
		return nil, failure
	}
	answer := &Response{Status: resp.StatusCode, Header: resp.Header, Body: body}
	if local := p.local.Load(); local != nil {
		answer.LocalAddr = *local
	}
	if len(body) > MaxBody {
		return nil, c.Fail(req, answer, pbx.ErrProtocol, "", fmt.Sprintf("the answer is larger than %d KiB: is this the PBX's API?", MaxBody>>10))
	}
	return answer, nil
}

// newRequest makes a request that goes out once.
func newRequest(ctx context.Context, method, target string, body []byte) (*retryablehttp.Request, error) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		// net/http sends these again when a kept connection breaks, though the
		// PBX may have read them and a GET may delete something. It does not
		// where there is a body, be it empty, that it cannot get again.
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
