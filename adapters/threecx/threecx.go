// Package threecx is the driver "3cx" for 3CX, version 20, with its API clients:
// XAPI and the Call Control API.
//
// # What the vendor says
//
// POST /connect/token with a client id and its key, as OAuth 2 client credentials,
// returns a bearer token for /xapi/v1 and /callcontrol. API clients are made in
// the web client's Admin Console, under Integrations, API, and need the Enterprise
// licence. Only one access token can be active at a time. (The vendor's tutorial,
// github.com/3cx/xapi-tutorial: auth.ts, README.md, CLAUDE.md, swagger.yaml.)
//
// A token is valid for 60 minutes. A wrong key is refused with HTTP 401, the error
// "unauthorized" and a description, which is also that of the 401 to a request without a
// valid token. (www.3cx.cn/docs/configuration-rest-api-endpoints and
// call-control-api-endpoints.)
//
// The page's sample of a login has an expires_in of 60, as some releases have, and
// others have 3600. So the driver reads the token itself, which is a JWT: its exp less
// its iat.
//
// # What it does not say
//
// Whether a second login ends the first token or is refused: the first is taken to
// be so. So give each program an API client of its own, and run it as one process
// or with a shared store: two that use the same client id end each other's tokens
// again and again. A renewal ends the token of requests that are under way, too.
// They are refused, and Session.Client sends them once more.
//
// How else a wrong key is refused: HTTP 401 without a body has been seen on the wire,
// and the tutorial expects an OAuth error. A 401 without a body or with one that repeats
// the status, as "unauthorized" does, and the error invalid_request are taken for
// those of a second login while a token of this driver's own, of the same key, is
// active and has not been refused. After a 401 the driver asks about it with the request
// of Ping, and only a refusal of the token shows that it is lost. The next login is then
// due when that token expires, and if that is refused too, it is taken for a wrong key.
// Until then the 401 has no kind, so that it counts as a login that may have been wrong.
// Without such a token the 401 is that of a wrong key, and invalid_request may be.
//
// Whether wrong keys bring this client's address onto the PBX's list of blocked
// ones. Nor does it document a logout.
//
// # Details
//
// [pbx.Token].Details is the login's response without the token: token_type,
// expires_in, and refresh_token, which is null.
package threecx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/oauth"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Name is what the driver is registered under.
const Name = "3cx"

const (
	tokenPath  = "/connect/token"
	xapi       = "/xapi/v1"
	statusPath = xapi + "/SystemStatus"
)

// brand: 60 s is the shortest lifetime that was ever read out of a response, and
// assumed if neither the token nor the response says one. A shorter one would be
// a login every moment.
var brand = oauth.Brand{TokenPath: tokenPath, Lifetime: shortest, EmptyRefusal: true}

// lockout: the PBX has settings against guessed passwords and a list of blocked
// addresses (swagger.yaml: HackAuthRequests, HackBlacklistDuration). Whether wrong
// API logins count, the numbers, and what a blocked client gets, are not
// documented: it may be the HTTP 401 of a wrong key.
var lockout = pbx.Lockout{LooksWrong: true}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "3CX",

		UserLabel: "Client ID", PasswordLabel: "API key",
		Setup: "In the web client's Admin Console, under Integrations, API: add an API client, switch XAPI access on, select its department and role, and copy the key, which is shown once. It needs version 20 and the Enterprise licence. Self-hosted systems often listen on port 5001. Use the API client for this program only.",
		Docs:  "https://www.3cx.com/docs/configuration-rest-api/",

		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			cfg.Options = nil // there are none
			return New(cfg)
		},
	})
}

// PBX is a 3CX PBX as seen by one API client. It implements [pbx.Authenticator]
// and all the optional interfaces.
type PBX struct {
	wire   *wire.Client
	oauth  *oauth.Client
	active atomic.Pointer[active] // nil: there was none
}

// active is the token that the latest login brought.
type active struct {
	token   pbx.Secret
	until   time.Time
	account pbx.Credentials // that brought it

	dead  atomic.Bool // the PBX has refused it
	asked atomic.Bool // a login was refused while it was active
}

// left is how long the token may still be active.
func (a *active) left() time.Duration {
	if a.dead.Load() {
		return 0
	}
	return max(time.Until(a.until), 0)
}

// activeOf is the token that account has brought; nil if there is none.
func (p *PBX) activeOf(account pbx.Credentials) *active {
	a := p.active.Load()
	if a == nil || a.account.Username != account.Username || !a.account.Password.Equal(account.Password) {
		return nil
	}
	return a
}

// noted returns err, which is about t, and takes note if t is dead.
func (p *PBX) noted(err error, t *pbx.Token) error {
	if a := p.active.Load(); a != nil && errors.Is(err, pbx.ErrTokenRejected) && t != nil && t.Value.Equal(a.token) {
		a.dead.Store(true)
	}
	return err
}

// refuses asks the PBX about a token. Only a refusal shows that it is not active.
func (p *PBX) refuses(ctx context.Context, a *active) bool {
	return errors.Is(p.Ping(ctx, &pbx.Token{Value: a.token}), pbx.ErrTokenRejected)
}

// New opens a PBX. It has no settings beyond the common ones, so Options must be
// empty. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg pbx.Config) (*PBX, error) {
	client, err := wire.New(wire.Endpoint{Driver: Name, NoOptions: true, APIPaths: []string{"/connect", tokenPath, "/xapi", xapi, "/callcontrol"}}, cfg)
	if err != nil {
		return nil, err
	}
	return &PBX{wire: client, oauth: oauth.New(client, brand, nil)}, nil
}

// Login implements [pbx.Authenticator]. It ends the token of the login before.
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) {
	account, err := p.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	t, err := p.oauth.LoginAs(ctx, account)
	if err != nil {
		a := p.activeOf(account)
		if bare(err) && a != nil && a.left() > 0 && p.refuses(ctx, a) {
			a = nil // the PBX has lost the token, so that the 401 is not about a second one
		}
		return nil, explained(err, a)
	}
	if t.ExpiresAt.Sub(t.IssuedAt) < shortest {
		t.ExpiresAt = t.IssuedAt.Add(shortest)
	}
	p.active.Store(&active{token: t.Value, until: t.ExpiresAt, account: account})
	return t, nil
}

// KeepAlive implements [pbx.Authenticator]: there is no request for it, and it
// returns [pbx.ErrNotSupported].
func (p *PBX) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	return p.oauth.KeepAlive(ctx, t)
}

// Logout implements [pbx.Authenticator]. There is no request for it: it sends
// nothing, and the token is valid until it expires or the next login.
func (p *PBX) Logout(context.Context, *pbx.Token) error { return nil }

// Ping implements [pbx.Pinger] with the system's status.
func (p *PBX) Ping(ctx context.Context, t *pbx.Token) error {
	req := wire.Request{Op: pbx.OpPing, Method: http.MethodGet, Path: statusPath, Header: http.Header{}}
	oauth.Authorize(req.Header, t)
	x, err := p.wire.Do(ctx, req)
	if err != nil {
		return err
	}
	if x.OK() && !wire.ReadJSON(x.Response.Body, new(struct{})) {
		return x.Unexpected()
	}
	return p.noted(judge(x), t)
}

// Authorize implements [pbx.Requester]: the token goes into the Authorization
// header.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error {
	oauth.Authorize(r.Header, t)
	return nil
}

// Inspect implements [pbx.Requester], by the HTTP status.
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	return p.noted(judge(p.wire.Inspect(r, body, t)), t)
}

// Transport implements [pbx.Requester].
func (p *PBX) Transport() http.RoundTripper { return p.wire.Transport() }

// Fingerprint implements [pbx.Fingerprinter].
func (p *PBX) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return p.oauth.Fingerprint(ctx, key)
}

// Traits implements [pbx.Describer].
func (p *PBX) Traits() pbx.Traits {
	return pbx.Traits{
		Driver: Name,
		URL:    p.wire.URL(), Account: p.wire.Account(),
		KeepAlive: pbx.KeepAliveNone, Logout: pbx.LogoutNone, Lockout: lockout,
		MaxTokens: 1, NewestWins: true, // the vendor's README: only one access token can be active at a time
		// The login is a POST. A GET is HTTP 405.
		Probe: p.wire.URL() + tokenPath,
	}
}

// Format writes which PBX this is, whatever the verb, where fmt would write
// pointers.
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, "threecx.PBX("+p.wire.URL()+")") }
