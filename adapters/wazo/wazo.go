// Package wazo is the driver "wazo" for the Wazo Platform, with the API of its
// authentication daemon, wazo-auth. (The other daemons, as confd and calld, take
// the same token.)
//
// # What the vendor says
//
// POST /api/auth/0.1/token with HTTP Basic authentication returns a token, which
// goes into the header X-Auth-Token of every request. The client chooses its
// lifetime, from 1 s to 10 years, 2 h by default. Requests do not extend it.
// DELETE /api/auth/0.1/token/TOKEN ends it, also if it is dead already, and GET
// of the same URL says whether it is alive. A login with a client_id brings a
// refresh token besides, which does not expire, and is not replaced when it is
// used. A user has at most 100 sessions, unless the server's configuration says
// otherwise. Nobody is locked out. (github.com/wazo-platform/wazo-auth: its
// OpenAPI text, and its source.)
//
// HTTP 401 to a request has three meanings: the token is dead, or the user lacks
// the permission, or the header Wazo-Tenant names a foreign tenant. The body says
// which, since release 22.05. Before, Ping finds out whether the token is alive,
// so that a missing permission does not cost a login: each login is a session,
// and the hundred-and-first is refused. The daemons' library of 2026 has HTTP 403 for a
// missing permission. (github.com/wazo-platform/xivo-lib-python, git 5318d23:
// xivo/http_exceptions.py.)
//
// # What this driver makes of it
//
// It asks for a lifetime of [Config].TokenTTL and takes the difference of the two
// UTC times in the response. Old releases lack these; there the token has the
// lifetime that was asked for. The other two times are in the server's own zone,
// and are not read.
//
// Without [Config].ClientID a session logs in again before the token expires.
// With it, a session refreshes. Logout then also deletes the refresh token, which
// needs the permission auth.users.me.tokens.CLIENT_ID.delete, with _ for each dot of the
// CLIENT_ID (auth_verifier.py). All programs that log in with the same user and client_id
// have the same refresh token: give each a client_id of its own.
//
// To choose a tenant, an application sets the header Wazo-Tenant.
//
// # Details
//
// [pbx.Token].Details is the "data" of the login's response without the tokens:
// auth_id, acl, metadata with the user's uuid and tenant_uuid, session_uuid,
// remote_addr, user_agent, and the four times. Releases differ in the fields.
package wazo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Name is what the driver is registered under.
const Name = "wazo"

const (
	apiPath   = "/api/auth/0.1"
	tokenPath = apiPath + "/token"

	defaultTTL = 2 * time.Hour             // the server's default
	minTTL     = time.Second               // wazo-auth's schema
	maxTTL     = 10 * 365 * 24 * time.Hour // since 23.17

	// maxSessions is max_user_concurrent_sessions in the server's config.py, for
	// users of the purposes user and external_api. Those of the purpose internal
	// have no limit.
	maxSessions = 100
)

// lockout: 40 wrong logins in a row, and then the right one, at a server of
// release 26.04: HTTP 200 at once. Its source has no lockout. Each wrong login is
// logged with its address, for a fail2ban of the operator's own.
var lockout = pbx.Lockout{None: true}

// Config is the typed form of the driver's settings. Options of the embedded
// Config must be empty: they are for [pbx.Open].
//
// Username is a user's name, or an e-mail address that the user has confirmed.
type Config struct {
	pbx.Config

	// TokenTTL is the lifetime to ask for, in whole seconds, from 1 s to 10 years.
	// 0: 2 h. A token that is not logged out counts as a session until it expires.
	TokenTTL time.Duration

	// ClientID makes a session refresh its token instead of logging in again, under
	// this name. Empty: it logs in again.
	ClientID string
}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "Wazo Platform",

		UserLabel: "User name", PasswordLabel: "Password",
		Setup: "The API is always on, on the port of the web interface. Use an account of its own, with the purpose external_api and a policy that permits what the application does: wazo-auth-cli user create --purpose external_api, then wazo-auth-cli user add --policy.",
		Docs:  "https://wazo-platform.org/documentation/api/authentication.html",

		Options: []pbx.Option{
			{Name: "token_ttl", Label: "Token lifetime", Kind: pbx.OptionDuration, Default: defaultTTL.String(),
				Help: "The lifetime to ask for, from 1s to 87600h."},
			{Name: "client_id", Label: "Client id", Kind: pbx.OptionString,
				Help: "A name for this program, under which the server keeps a refresh token. Without it, the program logs in again before the token expires."},
		},
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			options := cfg.Options
			cfg.Options = nil
			typed := Config{Config: cfg, ClientID: options["client_id"]}
			typed.TokenTTL, _ = time.ParseDuration(options["token_ttl"]) // checked by the registry
			return New(typed)
		},
	})
}

// PBX is a Wazo server as seen by one user. It implements [pbx.Authenticator] and
// all the optional interfaces.
type PBX struct {
	wire     *wire.Client
	ttl      time.Duration
	clientID string
}

// New opens a PBX. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg Config) (*PBX, error) {
	if cfg.TokenTTL == 0 {
		cfg.TokenTTL = defaultTTL
	}
	switch {
	case cfg.TokenTTL < minTTL || cfg.TokenTTL > maxTTL:
		return nil, wire.Misconfigured(Name, "token_ttl", "TokenTTL (token_ttl) %s is not from 1s to 87600h, which is what the server permits", cfg.TokenTTL)
	case !plain.MatchString(cfg.ClientID):
		return nil, wire.Misconfigured(Name, "client_id", "ClientID (client_id) may have letters, digits, and the characters - _ and . only, because it becomes a part of a URL")
	}
	client, err := wire.New(wire.Endpoint{
		Driver: Name, APIPaths: []string{"/api", "/api/auth", apiPath, tokenPath}, NoOptions: true, Impossible: wire.NotBasic,
	}, cfg.Config)
	if err != nil {
		return nil, err
	}
	return &PBX{wire: client, ttl: cfg.TokenTTL.Truncate(time.Second), clientID: cfg.ClientID}, nil
}

// plain matches what can be a segment of a path as it is, and the empty string.
var plain = regexp.MustCompile(`^([\w.-]*[\w-][\w.-]*)?$`)

// tokenRequest is the body of a login and of a refresh.
type tokenRequest struct {
	Expiration   int64  `json:"expiration"` // in seconds
	AccessType   string `json:"access_type,omitempty"`
	ClientID     string `json:"client_id,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
}

// Login implements [pbx.Authenticator]. If the user has all the sessions that the
// server permits, it fails with [pbx.ErrTooManySessions].
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) {
	account, err := p.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	body := tokenRequest{Expiration: int64(p.ttl / time.Second)}
	if p.clientID != "" {
		body.AccessType, body.ClientID = "offline", p.clientID
	}
	return p.newToken(ctx, wire.Request{Op: pbx.OpLogin, JSON: body, Header: http.Header{"Authorization": {wire.Basic(account)}}})
}

// KeepAlive implements [pbx.Authenticator] with the refresh token. Without a
// ClientID there is none, and it returns [pbx.ErrNotSupported].
func (p *PBX) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	switch {
	case p.clientID == "":
		return nil, p.wire.Unsent(pbx.OpKeepAlive, pbx.ErrNotSupported, "no request extends a token: log in again before it expires, or set ClientID (client_id)")
	case t.Refresh.IsZero(): // it was issued before the ClientID was set
		return nil, p.wire.Unsent(pbx.OpKeepAlive, pbx.ErrTokenRejected, "nothing was sent, because there is no refresh token: log in again")
	}
	body := tokenRequest{Expiration: int64(p.ttl / time.Second), ClientID: p.clientID, RefreshToken: t.Refresh.Reveal()}
	fresh, err := p.newToken(ctx, wire.Request{Op: pbx.OpKeepAlive, JSON: body, Secrets: []pbx.Secret{t.Refresh, t.Value}})
	if err == nil && fresh.Refresh.IsZero() {
		fresh.Refresh = t.Refresh // which is not used up
	}
	return fresh, err
}

// newToken sends a request for a token.
func (p *PBX) newToken(ctx context.Context, req wire.Request) (*pbx.Token, error) {
	req.Path = tokenPath
	issued := time.Now()
	got, x, err := p.do(ctx, req)
	switch {
	case err != nil:
		return nil, err
	case got.token.Token == "" || !plain.MatchString(got.token.Token):
		return nil, x.Fail(pbx.ErrProtocol, "", "the request succeeded and brought no token that a header and a URL can carry")
	case req.Op == pbx.OpLogin && p.clientID != "" && got.token.RefreshToken == "":
		return nil, x.Fail(pbx.ErrProtocol, "", "the login succeeded and brought no refresh token, though one was asked for")
	}
	return &pbx.Token{
		Value: pbx.NewSecret(got.token.Token), Refresh: pbx.NewSecret(got.token.RefreshToken),
		IssuedAt: issued, ExpiresAt: issued.Add(got.token.lifetime(p.ttl)),
		Details: x.Details(got.Data, "token", "refresh_token"),
	}, nil
}

// do sends a request and proves its success: there is data.
func (p *PBX) do(ctx context.Context, req wire.Request) (response, *wire.Exchange, error) {
	x, err := p.wire.Do(ctx, req)
	if err != nil {
		return response{}, nil, err
	}
	got := read(x.Response.Body)
	x.Hide(pbx.NewSecret(got.token.Token), pbx.NewSecret(got.token.RefreshToken))
	switch {
	case got.failed(x):
		return response{}, nil, refusal(x, got)
	case !got.hasData:
		return response{}, nil, x.Unexpected()
	}
	return got, x, nil
}

// Logout implements [pbx.Authenticator]. With a ClientID it first deletes the
// refresh token, which takes a living token and a request of its own.
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error {
	var notDeleted *pbx.Error
	if p.clientID != "" {
		x, err := p.wire.Do(ctx, wire.Request{
			Op: pbx.OpLogout, Method: http.MethodDelete, Path: apiPath + "/users/me/tokens/" + p.clientID,
			Header: http.Header{tokenHeader: {t.Value.Reveal()}}, Secrets: []pbx.Secret{t.Value, t.Refresh},
		})
		if err != nil {
			return err
		}
		notDeleted = p.refreshTokenLeft(ctx, x, t)
	}
	if err := p.ofToken(ctx, pbx.OpLogout, http.MethodDelete, t); err != nil || notDeleted == nil {
		return err
	}
	return notDeleted
}

// refreshTokenLeft returns nil if the refresh token is deleted, or cannot be because
// the token is dead.
func (p *PBX) refreshTokenLeft(ctx context.Context, x *wire.Exchange, t *pbx.Token) *pbx.Error {
	got := read(x.Response.Body)
	switch {
	case x.Response.Status == http.StatusNoContent:
		return nil
	case !got.failed(x):
		return x.Unexpected()
	case got.code() == http.StatusNotFound, x.Response.Status == http.StatusNotFound && got.ErrorID != "":
		return nil // another program with the same client_id was faster
	}
	failure := refusal(x, got)
	if failure.Kind == pbx.ErrTokenRejected && (!failure.Ambiguous || errors.Is(p.Ping(ctx, t), pbx.ErrTokenRejected)) {
		return nil
	}
	return failure
}

// Ping implements [pbx.Pinger]. It needs no permission.
func (p *PBX) Ping(ctx context.Context, t *pbx.Token) error {
	return p.ofToken(ctx, pbx.OpPing, http.MethodGet, t)
}

// ofToken sends a request that has the token in its path and needs no other
// authorization.
func (p *PBX) ofToken(ctx context.Context, op pbx.Op, method string, t *pbx.Token) error {
	_, _, err := p.do(ctx, wire.Request{Op: op, Method: method, Path: tokenPath + "/" + t.Value.Reveal(), Secrets: []pbx.Secret{t.Value, t.Refresh}})
	return err
}

const tokenHeader = "X-Auth-Token"

// Authorize implements [pbx.Requester]: the token goes into the header
// X-Auth-Token, the only place that the server has for it.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error {
	r.Header.Set(tokenHeader, t.Value.Reveal())
	return nil
}

// Inspect implements [pbx.Requester], by the server's own words and the HTTP
// status.
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	x := p.wire.Inspect(r, body, t)
	got := read(x.Response.Body)
	if !got.failed(x) {
		return nil
	}
	return refusal(x, got)
}

// Transport implements [pbx.Requester].
func (p *PBX) Transport() http.RoundTripper { return p.wire.Transport() }

// Fingerprint implements [pbx.Fingerprinter].
func (p *PBX) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return p.wire.Fingerprint(ctx, key)
}

// Traits implements [pbx.Describer].
func (p *PBX) Traits() pbx.Traits {
	traits := pbx.Traits{
		Driver: Name,
		URL:    p.wire.URL(), Account: p.wire.Account(), Lifetime: p.ttl,
		KeepAlive: pbx.KeepAliveNone, Logout: pbx.LogoutToken, Lockout: lockout, MaxTokens: maxSessions,
		// The login is a POST. A GET is HTTP 405.
		Probe: p.wire.URL() + tokenPath,
	}
	if p.clientID != "" {
		traits.KeepAlive = pbx.KeepAliveRefresh
	}
	return traits
}

// Format writes which PBX this is, whatever the verb, where fmt would write
// pointers.
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, "wazo.PBX("+p.wire.URL()+")") }
