// Package grandstream is the driver "grandstream" for Grandstream's UCM62xx,
// UCM63xx and UCM6510, with their HTTPS API.
//
// # What the vendor says
//
// Everything is a POST of {"request":{"action":…}} to /api on the port of the
// web interface, 8089. The response is {"response":{…},"status":N} under HTTP 200.
// The action challenge returns a text for a user. The action login takes the MD5
// of that text and the password, and returns a cookie. It is not one of HTTP's:
// it goes into the body of every later request, as "cookie". A failure is a
// status below zero. (documentation.grandstream.com, HTTPS API.)
//
// API users are made in the web interface, which also has the list of addresses
// that may use the API, and bans an address for some minutes after a few failed
// logins: 5 minutes after 5, unless set otherwise.
//
// # What it does not say
//
// How long a cookie is valid: ten minutes without a request, the web interface's
// own setting, are assumed, and [Config].TokenTTL overrules it. Which request
// keeps it alive: any authorized one is taken to, and [Config].KeepAliveAction
// says which is sent. Whether there is a logout: one is sent, and any status is
// taken for a success, since the cookie expires by itself. What becomes of a
// challenge when the next one is asked for: so one login at a time is under way.
// Whether a login needs a url: [Config].LoginURL sends one.
//
// # An application's own requests
//
// The cookie is put into the body, so that Authorize has to read it: a request
// whose body is not the API's envelope has no place for a cookie, and is
// [pbx.ErrNotSupported]. All other bytes stay as they are.
//
// [pbx.Token].Details is nil: a login returns a cookie and nothing else.
package grandstream

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/bodytoken"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Name is what the driver is registered under.
const Name = "grandstream"

const (
	usualLifetime  = 10 * time.Minute
	usualKeepAlive = "getSystemStatus"
)

// lockout is the web interface's default (UCM6200 manual: 5 tries, a ban of 5
// minutes by address). Whether the API shares it is not documented, nor a time
// after which a wrong login is forgotten, nor what a success clears: the cautious
// reading is stated.
var lockout = pbx.Lockout{Attempts: 5, Window: 5 * time.Minute, Memory: pbx.Forever}

// Config is the typed form of the driver's settings. Options of the embedded
// Config must be empty: they are for [pbx.Open].
//
// Username and Password are those of the API's own user, often cdrapi. A URL
// without a port means 8089.
type Config struct {
	pbx.Config

	// TokenTTL is how long a cookie is valid without a request. 0: ten minutes.
	TokenTTL time.Duration

	// KeepAliveAction is the action that keeps a cookie alive: one that the API's
	// user may send, that changes nothing and costs little. Empty:
	// getSystemStatus.
	KeepAliveAction string

	// LoginURL is what a login sends as its url, as in
	// https://pbx.example.com:8089/api, for a UCM that refuses a login without one
	// with status -1. Empty: none is sent.
	LoginURL string
}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "Grandstream UCM",

		UserLabel: "API user", PasswordLabel: "API password",
		DefaultPort: 8089,
		Setup:       "In the web interface, under Integrations, API Configuration, HTTPS API Settings (New): enable the API, set its user name and password, and permit this machine's IP address. An empty list permits nobody.",
		Docs:        "https://documentation.grandstream.com/knowledge-base/https-api/",

		Options: []pbx.Option{
			{Name: "token_ttl", Label: "Token lifetime", Kind: pbx.OptionDuration, Default: usualLifetime.String(),
				Help: "How long a cookie is valid without a request, as in 10m."},
			{Name: "keepalive_action", Label: "Keep-alive action", Kind: pbx.OptionString, Default: usualKeepAlive,
				Help: "The action that keeps a cookie alive. It must change nothing, cost little, and be permitted to the API's user."},
			{Name: "login_url", Label: "URL in the login", Kind: pbx.OptionString,
				Help: "What a login sends as its url, as in https://pbx.example.com:8089/api, for a UCM that refuses a login without one with status -1."},
		},
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			options := cfg.Options
			cfg.Options = nil
			typed := Config{Config: cfg, KeepAliveAction: options["keepalive_action"], LoginURL: options["login_url"]}
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
	loginURL  string
	login     chan struct{} // holds one element while a login is under way
}

// New opens a PBX. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg Config) (*PBX, error) {
	if cfg.TokenTTL == 0 {
		cfg.TokenTTL = usualLifetime
	}
	if cfg.KeepAliveAction == "" {
		cfg.KeepAliveAction = usualKeepAlive
	}
	switch cfg.KeepAliveAction {
	case "challenge", "login", "logout":
		return nil, wire.Misconfigured(Name, "keepalive_action", "KeepAliveAction (keepalive_action) %q is a part of logging in: name one that reads something, as in %s", cfg.KeepAliveAction, usualKeepAlive)
	}
	if !actions.MatchString(cfg.KeepAliveAction) {
		return nil, wire.Misconfigured(Name, "keepalive_action", "KeepAliveAction (keepalive_action) is one word, as in %s", usualKeepAlive)
	}
	if !utf8.ValidString(cfg.LoginURL) {
		return nil, wire.Misconfigured(Name, "login_url", "LoginURL (login_url) is not UTF-8, which JSON cannot carry")
	}
	if cfg.TokenTTL < time.Second {
		return nil, wire.Misconfigured(Name, "token_ttl", "TokenTTL (token_ttl) %s is negative, or less than a second: is its unit missing?", cfg.TokenTTL)
	}
	client, err := wire.New(wire.Endpoint{Driver: Name, Port: 8089, APIPaths: []string{path}, NoOptions: true, Impossible: impossible}, cfg.Config)
	if err != nil {
		return nil, err
	}
	return &PBX{wire: client, ttl: cfg.TokenTTL, keepAlive: cfg.KeepAliveAction, loginURL: cfg.LoginURL, login: make(chan struct{}, 1)}, nil
}

// actions matches the names of actions.
var actions = regexp.MustCompile(`^\w+$`)

// impossible implements [wire.Endpoint].Impossible. The password is only hashed.
func impossible(account pbx.Credentials) (setting, wrong string) {
	return wire.NotUTF8(pbx.Credentials{Username: account.Username})
}

// fields are those of the driver's own requests.
type fields struct {
	Action  string `json:"action"`
	User    string `json:"user,omitempty"`
	Version string `json:"version,omitempty"`
	Token   string `json:"token,omitempty"`
	URL     string `json:"url,omitempty"`
	Cookie  string `json:"cookie,omitempty"`
}

// Login implements [pbx.Authenticator], in two requests: challenge and login. A
// second login waits for the first, as long as ctx allows.
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) {
	account, err := p.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case p.login <- struct{}{}:
		defer func() { <-p.login }()
	case <-ctx.Done():
		failure := p.wire.Unsent(pbx.OpLogin, pbx.ErrUnavailable, "another login is under way")
		failure.Err = ctx.Err()
		return nil, failure
	}

	got, x, err := p.call(ctx, wire.Request{Op: pbx.OpLogin, NoProof: true}, fields{Action: "challenge", User: account.Username, Version: "1.0"})
	if err != nil {
		return nil, err
	}
	if got.Response.Challenge == "" {
		return nil, x.Fail(pbx.ErrProtocol, "", "the response to challenge has no challenge")
	}
	sum := md5.Sum([]byte(string(got.Response.Challenge) + account.Password.Reveal()))
	digest := pbx.NewSecret(hex.EncodeToString(sum[:]))
	issued := time.Now()
	got, x, err = p.call(ctx, wire.Request{Op: pbx.OpLogin, Secrets: []pbx.Secret{digest}}, fields{Action: "login", User: account.Username, Token: digest.Reveal(), URL: p.loginURL})
	if err != nil {
		return nil, err
	}
	if got.Response.Cookie == "" {
		return nil, x.Fail(pbx.ErrProtocol, "", "the login succeeded and brought no cookie")
	}
	return &pbx.Token{Value: pbx.NewSecret(got.Response.Cookie), IssuedAt: issued, ExpiresAt: issued.Add(p.ttl)}, nil
}

// withCookie sends an action with the token.
func (p *PBX) withCookie(ctx context.Context, op pbx.Op, action string, t *pbx.Token) (response, *wire.Exchange, error) {
	return p.call(ctx, wire.Request{Op: op, Secrets: []pbx.Secret{t.Value}}, fields{Action: action, Cookie: t.Value.Reveal()})
}

// KeepAlive implements [pbx.Authenticator] with a request that does nothing else.
// The token stays the same.
func (p *PBX) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	issued := time.Now()
	if _, _, err := p.withCookie(ctx, pbx.OpKeepAlive, p.keepAlive, t); err != nil {
		return nil, err
	}
	prolonged := *t
	prolonged.IssuedAt, prolonged.ExpiresAt = issued, issued.Add(p.ttl)
	return &prolonged, nil
}

// Logout implements [pbx.Authenticator]. The vendor documents no logout: if the
// PBX says that it failed, the cookie is left to expire, and that is no error.
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error {
	got, _, err := p.withCookie(ctx, pbx.OpLogout, "logout", t)
	if _, ok := got.code(); ok {
		return nil
	}
	return err
}

// Ping implements [pbx.Pinger] with the action of keep-alives.
func (p *PBX) Ping(ctx context.Context, t *pbx.Token) error {
	got, x, err := p.withCookie(ctx, pbx.OpPing, p.keepAlive, t)
	if code, _ := got.code(); code == unsupported {
		return x.Fail(pbx.ErrNotSupported, strconv.Itoa(code), "this firmware does not have "+p.keepAlive+": set keepalive_action")
	}
	return err
}

// unsupported is the status of an action that the firmware does not have.
const unsupported = -19

// place is where the vendor has the cookie.
var place = bodytoken.Place{Driver: Name, Object: "request", Field: "cookie", Form: `{"request":{"action":…}}`}

// Authorize implements [pbx.Requester]: the token goes into the body, as the
// "cookie" of its "request", instead of any that is there. The other bytes stay
// as they are. A body that is not {"request":{…}}, or is larger than 1 MiB, is an
// error of kind [pbx.ErrNotSupported], and r is not to be used.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error { return place.Put(r, t) }

// Transport implements [pbx.Requester].
func (p *PBX) Transport() http.RoundTripper { return p.wire.Transport() }

// Fingerprint implements [pbx.Fingerprinter].
func (p *PBX) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return p.wire.Fingerprint(ctx, key)
}

// Inspect implements [pbx.Requester]. A response without a status, such as a
// recording or a list of calls, says nothing.
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	x := p.wire.Inspect(r, body, t)
	got := read(x)
	if code, ok := got.code(); x.OK() && (!ok || code >= 0) {
		return nil
	}
	return judge(x, got)
}

// Traits implements [pbx.Describer].
func (p *PBX) Traits() pbx.Traits {
	return pbx.Traits{
		Driver: Name,
		URL:    p.wire.URL(), Account: p.wire.Account(), Lifetime: p.ttl, Sliding: true,
		KeepAlive: pbx.KeepAliveHeartbeat, Logout: pbx.LogoutToken, Lockout: lockout,
		// The API is POSTs with a body, so that a GET without one is no login.
		Probe: p.wire.URL() + path,
	}
}

// Format writes which PBX this is, whatever the verb, where fmt would write
// pointers.
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, "grandstream.PBX("+p.wire.URL()+")") }
