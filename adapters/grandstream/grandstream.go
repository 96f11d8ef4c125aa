// Package grandstream is the driver "grandstream" for Grandstream's UCM62xx,
// UCM63xx and UCM6510, with their HTTPS API.
//
// # What the vendor says
//
// Everything is a POST of {"request":{"action":…}} to /api on the port of the
// web interface, 8089, and is answered by {"response":{…},"status":N} under HTTP
// 200. The action challenge answers a text for a user; the action login takes the
// MD5 of that text and the password, and answers a cookie. It is none of HTTP's:
// it goes into the body of every later request, as "cookie". A failure is a
// status below zero. (documentation.grandstream.com, HTTPS API.)
//
// API users are made in the web interface, which also has the list of addresses
// that may use the API, and bans an address for some minutes after a few failed
// logins: 5 minutes after 5, unless set otherwise.
//
// # What it does not say
//
// How long a cookie lives; ten minutes without a request, the web interface's
// own setting, is assumed, and [Config].TokenTTL overrules it. Which call keeps
// it alive; any authorized one is taken to, and [Config].KeepAliveAction says
// which is made. Whether there is a logout; one is sent, and whatever the PBX
// says to it is taken for an answer, since the cookie ends by itself. What
// becomes of a challenge when the next one is asked for; so one login at a time
// is under way.
//
// # An application's own requests
//
// The cookie is put into the body, so that Authorize needs to read it: a request
// whose body is not the API's envelope has no place for a cookie, and is
// [pbx.ErrNotSupported]. All other bytes stay as they are.
//
// [pbx.Token].Details is nil: a login answers a cookie and nothing else.
package grandstream

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Name is what the driver is registered under.
const Name = "grandstream"

const (
	usualLife      = 10 * time.Minute
	usualKeepAlive = "getSystemStatus"
)

// lockout is the web interface's default.
var lockout = pbx.Lockout{Attempts: 5, Window: 5 * time.Minute}

// Config is the typed form of the driver's settings. Options of the embedded
// Config must be empty: they are for [pbx.Open].
//
// Username and Password are those of the API's own user, often cdrapi. A URL
// without a port means 8089.
type Config struct {
	pbx.Config

	// TokenTTL is how long a cookie lives without a request. 0: ten minutes.
	TokenTTL time.Duration

	// KeepAliveAction is the call that keeps a cookie alive: one that the API's
	// user may make, that changes nothing and costs little. Empty:
	// getSystemStatus.
	KeepAliveAction string
}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "Grandstream UCM",
		Options: []pbx.Option{
			{Name: "token_ttl", Kind: pbx.OptionDuration, Default: usualLife.String(), Help: "life of a cookie without a request, as in 10m"},
			{Name: "keepalive_action", Kind: pbx.OptionString, Default: usualKeepAlive, Help: "call that keeps a cookie alive: cheap, without effect, and permitted to the API's user"},
		},
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			options := cfg.Options
			cfg.Options = nil
			typed := Config{Config: cfg, KeepAliveAction: options["keepalive_action"]}
			typed.TokenTTL, _ = time.ParseDuration(options["token_ttl"]) // checked by the registry
			return New(typed)
		},
	})
}

// PBX is a UCM as seen by one user of its API. It implements [pbx.Authenticator]
// and all the optional interfaces.
type PBX struct {
	wire      *wire.Client
	ttl       time.Duration
	keepAlive string
	login     chan struct{} // holds one element while a login is under way
}

// New opens a PBX. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg Config) (*PBX, error) {
	fault := func(format string, args ...any) error {
		return &pbx.Error{Driver: Name, Op: pbx.OpOpen, Kind: pbx.ErrConfig, Message: fmt.Sprintf(format, args...)}
	}
	if cfg.TokenTTL == 0 {
		cfg.TokenTTL = usualLife
	}
	if cfg.KeepAliveAction == "" {
		cfg.KeepAliveAction = usualKeepAlive
	}
	switch cfg.KeepAliveAction {
	case "challenge", "login", "logout":
		return nil, fault("KeepAliveAction (keepalive_action) %q is one of logging in: name one that reads something, as in %s", cfg.KeepAliveAction, usualKeepAlive)
	}
	switch {
	case len(cfg.Options) > 0:
		return nil, fault("Options are for pbx.Open: set the fields of grandstream.Config")
	case cfg.TokenTTL < 0:
		return nil, fault("TokenTTL %s is negative", cfg.TokenTTL)
	}
	client, err := wire.New(wire.Endpoint{Driver: Name, Port: 8089, APIPath: path}, cfg.Config)
	if err != nil {
		return nil, err
	}
	return &PBX{wire: client, ttl: cfg.TokenTTL, keepAlive: cfg.KeepAliveAction, login: make(chan struct{}, 1)}, nil
}

// fields are those of the driver's own requests.
type fields struct {
	Action  string `json:"action"`
	User    string `json:"user,omitempty"`
	Version string `json:"version,omitempty"`
	Token   string `json:"token,omitempty"`
	Cookie  string `json:"cookie,omitempty"`
}

// Login implements [pbx.Authenticator], in two requests: challenge and login. A
// second login waits for the first, as long as ctx allows.
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) {
	account, err := p.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	unsent := &pbx.Error{Driver: Name, Op: pbx.OpLogin}
	if !utf8.ValidString(account.Username) {
		unsent.Kind, unsent.Message = pbx.ErrConfig, "nothing was sent, for the user name is not UTF-8"
		return nil, unsent
	}
	select {
	case p.login <- struct{}{}:
		defer func() { <-p.login }()
	case <-ctx.Done():
		unsent.Kind, unsent.Message, unsent.Err = pbx.ErrUnavailable, "another login is under way", ctx.Err()
		return nil, unsent
	}

	x, err := p.call(ctx, pbx.OpLogin, fields{Action: "challenge", User: account.Username, Version: "1.0"}, account.Password)
	if err != nil {
		return nil, err
	}
	if x.Response.Challenge == "" {
		return nil, p.wire.Fail(x.req, x.resp, pbx.ErrProtocol, "", "the answer to challenge has no challenge")
	}
	sum := md5.Sum([]byte(x.Response.Challenge + account.Password.Reveal()))
	digest := pbx.NewSecret(hex.EncodeToString(sum[:]))
	issued := time.Now()
	x, err = p.call(ctx, pbx.OpLogin, fields{Action: "login", User: account.Username, Token: digest.Reveal()}, account.Password, digest)
	if err != nil {
		return nil, err
	}
	if x.Response.Cookie == "" {
		return nil, p.wire.Fail(x.req, x.resp, pbx.ErrProtocol, "", "the login succeeded and brought no cookie")
	}
	return &pbx.Token{Value: pbx.NewSecret(x.Response.Cookie), IssuedAt: issued, ExpiresAt: issued.Add(p.ttl)}, nil
}

// KeepAlive implements [pbx.Authenticator] with a call that does nothing else.
// The token stays the same.
func (p *PBX) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	issued := time.Now()
	if _, err := p.call(ctx, pbx.OpKeepAlive, fields{Action: p.keepAlive, Cookie: t.Value.Reveal()}, t.Value); err != nil {
		return nil, err
	}
	prolonged := *t
	prolonged.IssuedAt, prolonged.ExpiresAt = issued, issued.Add(p.ttl)
	return &prolonged, nil
}

// Logout implements [pbx.Authenticator]. The vendor documents no logout: where
// the PBX answers that it failed, the cookie is left to end by itself, and that
// is no error.
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error {
	x, err := p.call(ctx, pbx.OpLogout, fields{Action: "logout", Cookie: t.Value.Reveal()}, t.Value)
	if x.Status.known {
		return nil
	}
	return err
}

// Transport implements [pbx.Requester].
func (p *PBX) Transport() http.RoundTripper { return p.wire.Transport() }

// Fingerprint implements [pbx.Fingerprinter].
func (p *PBX) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return p.wire.Fingerprint(ctx, key)
}

// Inspect implements [pbx.Requester]. An answer without a status, such as a
// recording or a list of calls, says nothing.
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	x := exchange{
		req:  wire.Request{Op: pbx.OpRequest},
		resp: &wire.Response{Status: r.StatusCode, Header: r.Header, Body: body},
	}
	if wire.StatusKind(x.req.Op, r.StatusCode) != nil {
		return p.wire.Unexpected(x.req, x.resp)
	}
	if _ = json.Unmarshal(body, &x.answer); x.Status.code < 0 {
		return p.refusal(x)
	}
	return nil
}

// Traits implements [pbx.Describer].
func (p *PBX) Traits() pbx.Traits {
	return pbx.Traits{URL: p.wire.URL(), Lifetime: p.ttl, Sliding: true, KeepAlive: pbx.KeepAliveHeartbeat, Lockout: lockout}
}

// Format writes which PBX this is, whatever the verb, where fmt would write
// pointers.
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, "grandstream.PBX("+p.wire.URL()+")") }
