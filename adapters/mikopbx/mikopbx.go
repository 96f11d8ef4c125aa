// Package mikopbx is the driver "mikopbx" for MikoPBX from 2025 on, with its REST API
// v3. Older versions have another API and are not supported.
//
// # What the source says
//
// The API is at /pbxcore/api/v3/ on the port of the web interface. POST auth:login
// takes login and password and returns a JWT, which is valid for 900 s and goes
// into "Authorization: Bearer", and a refresh token in the cookie refreshToken,
// which is valid for 30 days. POST auth:refresh brings another JWT for the cookie,
// and as a rule no other cookie. POST auth:logout ends the refresh token. The JWT
// stays valid until it expires. API keys, made in the web interface, go into the
// same header. (github.com/mikopbx/Core, src/PBXCoreREST, as of 2026-04-13.)
//
// # Failures
//
// They are read by the HTTP status, because texts are in the PBX's language:
//
//	status   a login                a refresh         another request
//	400      unavailable            unavailable       unavailable
//	401      invalid credentials    token rejected    token rejected, or no right of a key
//	403      no kind                forbidden         forbidden
//	429      locked                 unavailable       unavailable
//	408, 5xx unavailable            unavailable       unavailable
//	422      unavailable            no kind           no kind
//	others   no kind                no kind           no kind
//
// A 400 is that of a worker of the PBX that has not responded in 30 s, or has
// failed. After a login it leaves open whether the PBX has counted a wrong one. A
// 403 of nginx, with the plain text that the user is not authenticated, is token
// rejected. Of the PBX's own words none are taken over.
//
// A 422 to a login with the right password: the PBX could not store the refresh token.
//
// A 401 to a request with a key does not say whether the PBX knows the key: the response
// is the same if the key has no right to the path, or not from this address. Inspect sets
// Ambiguous, and a session sends the request of Ping before it gives the key up.
//
// A 429 ends with the window of 300 s in which the PBX counts. RetryAfter says when,
// by the clock of the PBX.
//
// # Passwords that the PBX changes
//
// Before it compares a login or a password, the PBX removes the blanks at both ends, or,
// if the text begins with "http" in upper or lower case, the characters that no URL has
// (sanitizeData in BaseController.php). It does the same when a password is set in the
// web interface, so that each works as it was typed. One that was set elsewhere may never
// be right. Tags stay: the filter for them does nothing from PHP 8.1 on
// (StringValLegacy.zep in github.com/phalcon/cphalcon), and the PBX has PHP 8.3
// (composer.json).
//
// # What it does not say
//
// Whether a refresh will bring another refresh token: the source has it switched
// off, and one that comes is used.
//
// # Details
//
// [pbx.Token].Details is the data of the login's response without the token, as in
//
//	{"expiresIn":900,"login":"admin","tokenType":"Bearer"}
package mikopbx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/statickey"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Name is what the driver is registered under.
const Name = "mikopbx"

const (
	apiPath     = "/pbxcore/api/v3"
	loginPath   = apiPath + "/auth:login"
	refreshPath = apiPath + "/auth:refresh"
	logoutPath  = apiPath + "/auth:logout"
	pingPath    = apiPath + "/extensions"

	cookieName = "refreshToken"

	lifetime        = 900 * time.Second   // of a JWT: JWTHelper.php
	mostLifetime    = 24 * time.Hour      // what is beyond is a misprint, as of milliseconds
	refreshLifetime = 30 * 24 * time.Hour // of a refresh token: JWTHelper.php
	window          = 300 * time.Second   // of the counters: LoginAction.php, RefreshAction.php
)

// lockout: ten wrong logins of an address in a window of 300 s, and a good login
// resets nothing (LoginAction.php). fail2ban counts the same logins, 20 of them in
// 600 s, and bans the address for 600 s (Fail2BanRules.php, factory settings). Memory
// and Window are those of fail2ban, so that both are obeyed. Neither counts a request
// with a dead token: the filter wants "Wrong password" at the end of a line
// (Fail2BanConf.php), which AuthenticationMiddleware.php does not write.
var lockout = pbx.Lockout{Attempts: 10, Window: 10 * time.Minute, Memory: 10 * time.Minute, DeadTokens: pbx.DeadTokensIgnored}

// Config is the typed form of the driver's settings. Options and Secrets of the
// embedded Config must be empty: they are for [pbx.Open].
type Config struct {
	pbx.Config

	// Key is an API key, made in the web interface. It replaces an account:
	// Username, Password and Credentials must be empty. Login then sends the request
	// of Ping with it, and returns the key as a token that does not expire. The key needs
	// the right to read the extensions for that. A refused key is
	// [pbx.ErrInvalidCredentials]. A new key needs a new PBX.
	Key pbx.Secret
}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "MikoPBX",

		UserLabel: "Login", PasswordLabel: "Password",
		AccountOptional: true, // with a key
		Setup:           "The account is one of the web interface. An API key is made there too, under the API keys, and may be bound to addresses and paths. It needs the right to read the extensions.",
		Docs:            "https://docs.mikopbx.com/mikopbx/english",

		Options: []pbx.Option{
			{Name: statickey.Option, Label: "API key", Kind: pbx.OptionSecret,
				Help: "A key made in the web interface, instead of a login and password."},
		},
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			key := cfg.Secrets[statickey.Option]
			cfg.Options, cfg.Secrets = nil, nil
			return New(Config{Config: cfg, Key: key})
		},
	})
}

// PBX is a MikoPBX as seen by one account, or through one key. It implements
// [pbx.Authenticator] and all the optional interfaces. It is safe for concurrent
// use.
type PBX struct {
	wire *wire.Client
	key  statickey.Key
}

// New opens a PBX. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg Config) (*PBX, error) {
	key, err := statickey.New(Name, cfg.Key, cfg.Config)
	if err != nil {
		return nil, err
	}
	client, err := wire.New(wire.Endpoint{
		Driver: Name, APIPaths: []string{apiPath, loginPath},
		NoAccount: !key.IsZero(), NoOptions: true, Impossible: wire.NotUTF8,
	}, cfg.Config)
	if err != nil {
		return nil, err
	}
	return &PBX{wire: client, key: key}, nil
}

// Format writes which PBX this is, whatever the verb, where fmt would write
// pointers.
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, "mikopbx.PBX("+p.wire.URL()+")") }

// loginFields are those of a login. rememberMe has the cookie say when it expires.
type loginFields struct {
	Login      string `json:"login"`
	Password   string `json:"password"`
	RememberMe bool   `json:"rememberMe"`
}

// Login implements [pbx.Authenticator]. With a key it makes no login request: it
// proves the key with [PBX.Ping], and returns it.
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) {
	if !p.key.IsZero() {
		return p.key.Login(ctx, p.Ping)
	}
	account, err := p.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	issued := time.Now()
	body := loginFields{account.Username, account.Password.Reveal(), true}
	got, x, err := p.do(ctx, wire.Request{Op: pbx.OpLogin, Path: loginPath, JSON: body})
	if err != nil {
		return nil, err
	}
	t := &pbx.Token{IssuedAt: issued, Details: x.Details(got.Data, "accessToken")}
	return renewed(x, got, t)
}

// renewed puts the tokens of a login or a refresh into t.
func renewed(x *wire.Exchange, got response, t *pbx.Token) (*pbx.Token, error) {
	switch {
	case got.tokens.AccessToken == "":
		return nil, x.Fail(pbx.ErrProtocol, "", "the request succeeded and brought no accessToken")
	case !wire.FitsHeader(got.tokens.AccessToken):
		return nil, x.Fail(pbx.ErrProtocol, "", "the accessToken holds blanks or other characters that no header can carry")
	}
	t.Value = pbx.NewSecret(got.tokens.AccessToken)
	life := lifetime
	if seconds, ok := got.tokens.ExpiresIn.Int(); ok && seconds > 0 && seconds <= int(mostLifetime/time.Second) {
		life = time.Duration(seconds) * time.Second
	}
	t.ExpiresAt = t.IssuedAt.Add(life)
	// The same one, set anew, has its old expiry: a refresh does not extend it.
	if refresh := refreshToken(x.Response.Header); !refresh.IsZero() && !refresh.Equal(t.Refresh) {
		t.Refresh, t.RefreshExpiresAt = refresh, t.IssuedAt.Add(refreshLifetime)
	}
	return t, nil
}

// refreshToken is the cookie of a response as it must be handed back: byte for byte.
// The last one counts, and one that is only deleted does not. The zero Secret: there
// is none.
func refreshToken(h http.Header) (refresh pbx.Secret) {
	for _, line := range h["Set-Cookie"] {
		cookie, ok := wire.Cookie(http.Header{"Set-Cookie": {line}}, cookieName)
		switch {
		case !ok || cookie.Value == "" || isDeleted(cookie):
		case cookie.Quoted:
			refresh = pbx.NewSecret(`"` + cookie.Value + `"`)
		default:
			refresh = pbx.NewSecret(cookie.Value)
		}
	}
	return refresh
}

// isDeleted reports whether a cookie has expired by any clock: PHP deletes one by an
// expiry at the beginning of 1970. The PBX's clock may be wrong by years.
func isDeleted(c *http.Cookie) bool {
	return c.MaxAge < 0 || !c.Expires.IsZero() && c.Expires.Unix() < 24*60*60
}

// KeepAlive implements [pbx.Authenticator] with a refresh. The refresh token stays
// as it is, unless the response brings another. A key needs no refresh and is
// returned as it is.
func (p *PBX) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	switch {
	case !p.key.IsZero():
		return p.key.Token(), nil
	case t.Refresh.IsZero():
		return nil, p.wire.Unsent(pbx.OpKeepAlive, pbx.ErrTokenRejected, "nothing was sent: the token came without a refresh token")
	}
	issued := time.Now()
	req := wire.Request{Op: pbx.OpKeepAlive, Path: refreshPath, Header: http.Header{}, JSON: struct{}{}, Secrets: []pbx.Secret{t.Value}}
	wire.SetCookie(req.Header, cookieName, t.Refresh.Reveal())
	got, x, err := p.do(ctx, req)
	if err != nil {
		return nil, err
	}
	next := *t
	next.IssuedAt = issued
	return renewed(x, got, &next)
}

// Logout implements [pbx.Authenticator]. It ends the refresh token. If the access
// token has expired, the PBX refuses the request, and the refresh token stays valid
// until it expires. That is no error. With a key it sends nothing.
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error {
	if !p.key.IsZero() {
		return nil
	}
	req := wire.Request{Op: pbx.OpLogout, Path: logoutPath, Header: bearer(t), JSON: struct{}{}}
	if !t.Refresh.IsZero() {
		wire.SetCookie(req.Header, cookieName, t.Refresh.Reveal())
	}
	_, _, err := p.do(ctx, req)
	if errors.Is(err, pbx.ErrTokenRejected) {
		return nil
	}
	return err
}

// Ping implements [pbx.Pinger] with a list of one extension. A role without the
// right to it is refused with [pbx.ErrForbidden], a key without it like an unknown one.
func (p *PBX) Ping(ctx context.Context, t *pbx.Token) error {
	_, _, err := p.do(ctx, wire.Request{Op: pbx.OpPing, Method: http.MethodGet, Path: pingPath, Query: url.Values{"limit": {"1"}}, Header: bearer(t)})
	return err
}

// bearer is the header with the token, in the only spelling that the PBX reads.
func bearer(t *pbx.Token) http.Header {
	return http.Header{"Authorization": {"Bearer " + t.Value.Reveal()}}
}

// Authorize implements [pbx.Requester]: the token goes into the header
// Authorization.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error {
	r.Header.Set("Authorization", "Bearer "+t.Value.Reveal())
	return nil
}

// Inspect implements [pbx.Requester]. A response that is not the API's, such as a
// recording, is judged by its HTTP status.
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	x := p.key.Inspect(p.wire, r, body, t)
	got := read(x.Response.Body)
	if x.OK() && !got.failed() {
		return nil
	}
	return p.judge(x, got)
}

// Transport implements [pbx.Requester].
func (p *PBX) Transport() http.RoundTripper { return p.wire.Transport() }

// Fingerprint implements [pbx.Fingerprinter].
func (p *PBX) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return p.key.Fingerprint(ctx, p.wire, key)
}

// Traits implements [pbx.Describer].
func (p *PBX) Traits() pbx.Traits {
	traits := pbx.Traits{
		Driver: Name,
		URL:    p.wire.URL(), Account: p.wire.Account(), Lifetime: lifetime,
		KeepAlive: pbx.KeepAliveRefresh, Logout: pbx.LogoutRefresh, Lockout: lockout,
		// It needs no token, and a GET has no login and password to be counted.
		Probe: p.wire.URL() + loginPath,
	}
	p.key.Apply(&traits)
	return traits
}
