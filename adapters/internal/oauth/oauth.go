// Package oauth logs in by the token requests of OAuth 2 (RFC 6749): client
// credentials, a user's password, and refresh tokens. What differs by brand is a
// [Brand]. A driver adds the brand's own requests and failures.
//
// golang.org/x/oauth2 does not fit: its token source takes one context for all
// requests to come, and its errors hold the response's body.
package oauth

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

// Brand is what a brand's token endpoint wants and does.
type Brand struct {
	TokenPath string // below the PBX's URL
	Scope     string // to ask for; empty: what the application may do

	// Basic puts the application's id and secret into HTTP Basic authentication
	// instead of the form.
	Basic bool

	// Lifetime is that of a token if neither the token nor the response says one.
	Lifetime time.Duration

	// RefreshLifetime is that of a refresh token, which no response says. 0:
	// unknown.
	RefreshLifetime time.Duration

	// EmptyRefusal: the PBX refuses an application by HTTP 401 without words of its
	// own: see Silent. Any other 401 that asks for no password by HTTP may be the
	// PBX's too, so that the account counts as sent.
	EmptyRefusal bool
}

// Application is a client in the sense of OAuth: what logs in for a user.
type Application struct {
	ID     string
	Secret pbx.Secret
}

// Client logs in at one PBX. Its methods implement those of [pbx.Authenticator]
// and [pbx.Fingerprinter] with the same names.
type Client struct {
	wire  *wire.Client
	brand Brand
	app   *Application // nil: the account is the application's own
}

// New makes a Client. With an application, the account of w is a user's, and logs
// in by the password grant, which brings refresh tokens. nil: the account is an
// application's id and secret, and logs in by client credentials.
func New(w *wire.Client, brand Brand, app *Application) *Client { return &Client{w, brand, app} }

// Login sends the account once.
func (c *Client) Login(ctx context.Context) (*pbx.Token, error) {
	account, err := c.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	return c.LoginAs(ctx, account)
}

// LoginAs is Login with an account that the Credentials of the wire.Client returned.
func (c *Client) LoginAs(ctx context.Context, account pbx.Credentials) (*pbx.Token, error) {
	app := Application{account.Username, account.Password}
	form := url.Values{"grant_type": {"client_credentials"}}
	if c.app != nil {
		app = *c.app
		form = url.Values{"grant_type": {"password"}, "username": {account.Username}, "password": {account.Password.Reveal()}}
	}
	if c.brand.Scope != "" {
		form.Set("scope", c.brand.Scope)
	}
	t, _, err := c.token(ctx, wire.Request{Op: pbx.OpLogin}, app, form)
	return t, err
}

// KeepAlive exchanges the refresh token for another pair. Client credentials have
// none, and it returns [pbx.ErrNotSupported].
func (c *Client) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	switch {
	case c.app == nil:
		return nil, c.wire.Unsent(pbx.OpKeepAlive, pbx.ErrNotSupported, "no request extends a token: log in again before it expires")
	case t.Refresh.IsZero():
		return nil, c.wire.Unsent(pbx.OpKeepAlive, pbx.ErrTokenRejected, "nothing was sent, because the refresh token is lost: log in again")
	}
	req := wire.Request{Op: pbx.OpKeepAlive, Secrets: []pbx.Secret{t.Refresh, t.Value}}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {t.Refresh.Reveal()}}
	fresh, x, err := c.token(ctx, req, *c.app, form)
	if err == nil && fresh.Refresh.IsZero() {
		return nil, x.Fail(pbx.ErrProtocol, "", "the refresh succeeded and did not bring both tokens")
	}
	return fresh, err
}

// Fingerprint covers all that Login sends.
func (c *Client) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	account, err := c.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	if c.app == nil {
		return wire.Fingerprint(key, account.Username, account.Password), nil
	}
	of := wire.Fingerprint(key, c.app.ID, c.app.Secret)
	return wire.Fingerprint(key, account.Username+"\x00"+string(of), account.Password), nil
}

// token sends a token request and reads its response.
func (c *Client) token(ctx context.Context, req wire.Request, app Application, form url.Values) (*pbx.Token, *wire.Exchange, error) {
	req.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	req.Secrets = append(req.Secrets, app.Secret)
	if c.brand.Basic {
		req.Header.Set("Authorization", wire.Basic(pbx.Credentials{Username: app.ID, Password: app.Secret}))
	} else {
		form.Set("client_id", app.ID)
		form.Set("client_secret", app.Secret.Reveal())
	}
	req.Path, req.Body = c.brand.TokenPath, []byte(form.Encode())
	issued := time.Now()
	x, err := c.wire.Do(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	got := read(x.Response.Body)
	x.Hide(pbx.NewSecret(got.AccessToken), pbx.NewSecret(got.RefreshToken))
	switch {
	case got.Error != "" || !x.OK():
		return nil, nil, c.refusal(x, got)
	case got.AccessToken == "":
		return nil, nil, x.Unexpected()
	case !wire.FitsHeader(got.AccessToken):
		return nil, nil, x.Fail(pbx.ErrProtocol, "", "the request succeeded and brought no token that a header can carry")
	case got.TokenType != "" && !strings.EqualFold(string(got.TokenType), "bearer"):
		return nil, nil, x.Fail(pbx.ErrProtocol, "", "the token is not a bearer token")
	}
	t := &pbx.Token{
		Value: pbx.NewSecret(got.AccessToken), Refresh: pbx.NewSecret(got.RefreshToken),
		IssuedAt: issued, ExpiresAt: issued.Add(got.lifetime(c.brand.Lifetime)),
		Details: x.Details(x.Response.Body, "access_token", "refresh_token"),
	}
	if c.app == nil { // RFC 6749, 4.4.3: there should be none
		t.Refresh = pbx.Secret{}
	}
	if !t.Refresh.IsZero() && c.brand.RefreshLifetime > 0 {
		t.RefreshExpiresAt = issued.Add(c.brand.RefreshLifetime)
	}
	return t, x, nil
}

// Authorize puts a token into a request's Authorization header.
func Authorize(h http.Header, t *pbx.Token) { h.Set("Authorization", "Bearer "+t.Value.Reveal()) }

// Silent reports whether a response has no body, or one that only repeats the
// status, and does not ask for a user name and password by HTTP, as something in front
// of the PBX does. A body may repeat it as ASP.NET writes it (RFC 9457), or, of HTTP
// 401, as "unauthorized" with a description, which is no code of OAuth's: the page of
// 3CX has that. Gateways send the word without one.
func Silent(x *wire.Exchange) bool {
	if asksForPassword(x) {
		return false
	}
	var said struct {
		Title       wire.Text   `json:"title"`
		Status      wire.Number `json:"status"`
		Error       wire.Text   `json:"error"`
		Description wire.Text   `json:"error_description"`
	}
	if wire.ReadJSON(x.Response.Body, &said) {
		status, ok := said.Status.Int()
		return ok && status == x.Response.Status && said.Title != "" ||
			x.Response.Status == http.StatusUnauthorized && said.Error == "unauthorized" && said.Description != ""
	}
	return len(bytes.TrimSpace(x.Response.Body)) == 0
}

// asksForPassword reports whether a response wants HTTP authentication other than
// by a bearer token.
func asksForPassword(x *wire.Exchange) bool {
	for _, challenge := range x.Response.Header.Values("WWW-Authenticate") {
		scheme, _, _ := strings.Cut(strings.TrimSpace(challenge), " ")
		if !strings.EqualFold(scheme, "bearer") {
			return true
		}
	}
	return false
}
