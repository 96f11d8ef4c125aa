// Package freepbx is the driver "freepbx" for FreePBX 15, 16 and 17 with the PBX
// API module: GraphQL and REST. (Asterisk's manager interface over HTTP, which a
// FreePBX has as well, speaks another protocol: its driver is asterisk.)
//
// # What the vendor's source says
//
// An administrator makes an application under Connectivity, API, and gets a client
// id and a secret. POST /admin/api/api/token returns a bearer token, by OAuth 2
// client credentials, or, with a user's name and password besides, by the password
// grant, which brings a refresh token too. A token is valid for an hour, whatever
// is done with it, and until the administrator removes it. A refresh ends both
// tokens that it replaces. There is no logout, and no limit to the number of tokens.
// (github.com/FreePBX/api, branches release/15.0 of 2022, 16.0 of 2023 and 17.0 of
// 2024-03, and league/oauth2-server, which it uses, in releases 6.1.1 and 8.5.4.)
//
// The releases differ. 15 and 16 refuse a dead token with HTTP 401 and
// access_denied. So does REST in 17. GraphQL in 17 responds with HTTP 500, as it
// does when anything fails. So HTTP 500 is [pbx.ErrUnavailable] and ambiguous: Ping asks
// REST, and a session replaces a token that an administrator has removed. The request
// that found out is not repeated, not even if the token has expired: it may have been
// valid when the request came.
//
// # What it does not say
//
// Which release of the module a FreePBX 17 has: those before 17.0.8, of May 2026, do
// not check an application's secret (CVE-2026-44237), so that a login proves the client
// id, and no more. A login does not show the release.
//
// The module locks nobody out. The FreePBX distribution runs fail2ban and a
// firewall, whose numbers are not known, and which do not respond.
//
// # Details
//
// [pbx.Token].Details is the login's response without the tokens: token_type and
// expires_in.
package freepbx

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/oauth"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Name is what the driver is registered under.
const Name = "freepbx"

const (
	apiPath   = "/admin/api/api"
	tokenPath = apiPath + "/token"
	gqlPath   = apiPath + "/gql"
	usersPath = apiPath + "/rest/core/users"

	tokenLifetime   = time.Hour           // PT1H in the module's source
	refreshLifetime = 28 * 24 * time.Hour // P1M: the shortest month
)

// lockout: there is none in the module's source. The numbers of the distribution's
// fail2ban and firewall are not documented, so that a session assumes them.
var lockout = pbx.Lockout{}

// Config is the typed form of the driver's settings. Options of the embedded
// Config must be empty: they are for [pbx.Open].
//
// Username and Password are an application's client id and secret. With an
// Application, they are a user's.
type Config struct {
	pbx.Config

	// Scope is what the token is for, as in "gql:core rest:core". Empty: all that
	// the application may do.
	Scope string

	// ClientID and ClientSecret are the application through which a user logs in.
	// Empty: the application logs in itself. Set both or neither.
	ClientID     string
	ClientSecret pbx.Secret
}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "FreePBX (API module)",

		UserLabel: "Client ID", PasswordLabel: "Client secret",
		Setup: "In the web interface, under Connectivity, API: add a machine-to-machine application, and copy its client ID and client secret. A login at FreePBX 17 may not prove the secret: releases of the API module before 17.0.8 do not check it.",
		Docs:  "https://sangomakb.atlassian.net/wiki/spaces/FP/pages/10682545/API+User+Guide",

		Options: []pbx.Option{
			{Name: "scope", Label: "Scope", Kind: pbx.OptionString,
				Help: "What the token is for, as in gql:core rest:core. Without it, all that the application may do."},
			{Name: "client_id", Label: "Application's client ID", Kind: pbx.OptionString,
				Help: "For a login as a user of the PBX, whose name and password are the account: the application to log in through."},
			{Name: "client_secret", Label: "Application's client secret", Kind: pbx.OptionSecret,
				Help: "The secret of that application."},
		},
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			typed := Config{Scope: cfg.Options["scope"], ClientID: cfg.Options["client_id"], ClientSecret: cfg.Secrets["client_secret"]}
			cfg.Options, cfg.Secrets = nil, nil
			typed.Config = cfg
			return New(typed)
		},
	})
}

// PBX is a FreePBX as seen by one application, or by one user through it. It
// implements [pbx.Authenticator] and all the optional interfaces.
type PBX struct {
	wire  *wire.Client
	oauth *oauth.Client
	user  bool // a user logs in, and there are refresh tokens
}

// New opens a PBX. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg Config) (*PBX, error) {
	user := cfg.ClientID != ""
	switch {
	case user && cfg.ClientSecret.IsZero():
		return nil, wire.Misconfigured(Name, "client_secret", "ClientID (client_id) is set and ClientSecret (client_secret) is not: set both, or neither")
	case !user && !cfg.ClientSecret.IsZero():
		return nil, wire.Misconfigured(Name, "client_id", "ClientSecret (client_secret) is set and ClientID (client_id) is not: set both, or neither")
	case strings.ContainsAny(cfg.ClientID, "\r\n\x00"):
		return nil, wire.Misconfigured(Name, "client_id", "ClientID (client_id) has a line break or a NUL: was it read from a file? Remove it")
	case strings.ContainsAny(cfg.ClientSecret.Reveal(), "\r\n\x00"):
		return nil, wire.Misconfigured(Name, "client_secret", "ClientSecret (client_secret) has a line break or a NUL: was it read from a file? Remove it")
	case strings.Join(strings.Fields(cfg.Scope), " ") != cfg.Scope:
		return nil, wire.Misconfigured(Name, "scope", "Scope (scope) is a list of names with one blank between them, as in gql:core rest:core")
	}
	client, err := wire.New(wire.Endpoint{Driver: Name, NoOptions: true, APIPaths: []string{
		"/admin", "/admin/config.php", "/admin/api", apiPath, tokenPath, gqlPath, apiPath + "/rest",
	}}, cfg.Config)
	if err != nil {
		return nil, err
	}
	brand := oauth.Brand{TokenPath: tokenPath, Scope: cfg.Scope, Lifetime: tokenLifetime, RefreshLifetime: refreshLifetime}
	var app *oauth.Application
	if user {
		app = &oauth.Application{ID: cfg.ClientID, Secret: cfg.ClientSecret}
	}
	return &PBX{client, oauth.New(client, brand, app), user}, nil
}

// Login implements [pbx.Authenticator].
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) { return p.oauth.Login(ctx) }

// KeepAlive implements [pbx.Authenticator] by a refresh, which ends both tokens
// that it replaces. An application has no refresh token, and it returns
// [pbx.ErrNotSupported].
func (p *PBX) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	return p.oauth.KeepAlive(ctx, t)
}

// Logout implements [pbx.Authenticator]. There is no request for it: it sends
// nothing, and the token is valid until it expires or an administrator removes it.
func (p *PBX) Logout(context.Context, *pbx.Token) error { return nil }

// Ping implements [pbx.Pinger] with a query that every scope permits. Where GraphQL
// fails, REST is asked about the token.
func (p *PBX) Ping(ctx context.Context, t *pbx.Token) error {
	x, err := p.send(ctx, http.MethodPost, gqlPath, `{"query":"{__typename}"}`, t)
	if err != nil {
		return err
	}
	got := read(x.Response.Body)
	switch {
	case x.Response.Status == http.StatusInternalServerError:
		if second, err := p.send(ctx, http.MethodGet, usersPath, "", t); err == nil && read(second.Response.Body).refused() {
			return judge(second, t)
		}
	case x.OK() && !got.failed() && !got.answered:
		return x.Unexpected()
	}
	return judge(x, t)
}

func (p *PBX) send(ctx context.Context, method, path, body string, t *pbx.Token) (*wire.Exchange, error) {
	req := wire.Request{Op: pbx.OpPing, Method: method, Path: path, Header: http.Header{"Accept": {"application/json"}}}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
		req.Body = []byte(body)
	}
	oauth.Authorize(req.Header, t)
	return p.wire.Do(ctx, req)
}

// Authorize implements [pbx.Requester]: the token goes into the Authorization
// header.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error {
	oauth.Authorize(r.Header, t)
	return nil
}

// Inspect implements [pbx.Requester].
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	return judge(p.wire.Inspect(r, body, t), t)
}

// Transport implements [pbx.Requester].
func (p *PBX) Transport() http.RoundTripper { return p.wire.Transport() }

// Fingerprint implements [pbx.Fingerprinter].
func (p *PBX) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return p.oauth.Fingerprint(ctx, key)
}

// Traits implements [pbx.Describer].
func (p *PBX) Traits() pbx.Traits {
	traits := pbx.Traits{
		Driver: Name,
		URL:    p.wire.URL(), Account: p.wire.Account(), Lifetime: tokenLifetime,
		KeepAlive: pbx.KeepAliveNone, Logout: pbx.LogoutNone, Lockout: lockout,
		Unproven: !p.user, // releases for 17 before 17.0.8 do not check an application's secret
		// The login is a POST.
		Probe: p.wire.URL() + tokenPath,
	}
	if p.user {
		traits.KeepAlive = pbx.KeepAliveRefresh
	}
	return traits
}

// Format writes which PBX this is, whatever the verb, where fmt would write
// pointers.
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, "freepbx.PBX("+p.wire.URL()+")") }
