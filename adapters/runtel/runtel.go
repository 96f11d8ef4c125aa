// Package runtel is the driver "runtel" for the Runtel cloud PBX and the brands
// it is resold under, at any host name and base path.
//
// # What the vendor says
//
// Everything is a POST of {"action","obj","action_id","params"} to /api/. The
// response has the same fields, and "code", "notifies" and "body". The action auth
// on the obj User takes login and password in plaintext and returns a token, which
// goes into "Authorization: Bearer" from then on, and exp, a time without a zone
// at which it expires. Too many failed logins block the host that they come from.
// (doc-cp.runtel.ru/api/api_auth.html.)
//
// # What it does not say
//
// No failing response is documented. This driver reads the envelope's code as an
// HTTP status, and the HTTP status itself if the code says success.
// Config.Classify can overrule it:
//
//	                a login                    anything else
//	401             invalid credentials        token rejected
//	403             invalid credentials        forbidden
//	429             locked                     locked
//	408, 5xx        unavailable                unavailable
//	other 4xx       invalid credentials        no kind
//	other codes     no kind                    no kind
//
// Without an envelope, a 403 is a configuration error, and so is a 401 that asks for
// HTTP authentication by a password: something in front of the platform responded. A 403
// to a login is read as in the table if a GET without credentials, which the driver then
// sends, is not refused as well. Any other 401 is read as in the table, and one to a
// request of the application's is Ambiguous. A 408, 429 or 5xx is unavailable, and
// anything else an unexpected response.
//
// A login that an envelope refused with any 4xx except 408 and 429 is a wrong one, and so
// is one that brought neither a token nor a user. Repeating a wrong login gets the whole
// host blocked, for all its tenants, and they cannot unblock it themselves.
//
// Nor is it documented in which zone exp is, or any request that extends a token.
// A session logs in again before the token expires, and does not depend on whether
// the platform ends the old one at once. How exp is read is documented at
// [Config].ExpZone, and what was made of one login's exp is in its
// [pbx.Token].Details.
//
// # Details
//
// [pbx.Token].Details is the body of the login's response without the token, and
// with one field of the driver's own:
//
//	"exp_assumed": {
//	  "zone": "Europe/Moscow",
//	  "life": "1h0m0s",
//	  "unsure": true,
//	  "candidates": {"UTC": "4h0m0s", "Europe/Prague": "2h0m0s", "Europe/Moscow": "1h0m0s"}
//	}
//
// zone is the one that exp was read in, or the offset it came with. It is missing
// if no zone mattered. life is the lifetime that the token was given, as
// [time.ParseDuration] reads it. It is missing if no expiry is known, and then the
// token is used until the platform refuses it. unsure is true if this was a guess:
// ExpZone is not set, or exp cannot be read or makes no sense, or the response had
// no Date to measure it by. candidates has the lifetime under each zone that was
// guessed among, to help with setting ExpZone or TokenTTL. [Account] reads the
// rest into a typed value.
//
// # Time zones
//
// UTC and Europe/Moscow always work. Any other zone is looked up on the machine.
// If that has no zone database, as in an empty container, a program has to bring
// one: import time/tzdata in its main package, or build with -tags timetzdata. (This
// package does not: time/tzdata is not for libraries, as its own doc says.) Without
// one, New refuses an ExpZone that it cannot find, and the login's own zone is left
// out of the guess.
package runtel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/statickey"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Name is what the driver is registered under.
const Name = "runtel"

// apiPath is the only one, with its slash.
const apiPath = "/api/"

// lockout: "blocking of the host after failed logins" is all that the vendor says
// (doc-cp.runtel.ru/api/api_auth.html). The limits are the operator's and unknown,
// so that a session assumes them. The response to a blocked client is not
// documented either, and a 403 may be one: it is taken to look like a wrong
// password.
var lockout = pbx.Lockout{LooksWrong: true}

// PBX is a Runtel platform as seen by one user, or through one key. It
// implements [pbx.Authenticator] and all the optional interfaces. It is safe for
// concurrent use.
type PBX struct {
	wire     *wire.Client
	key      statickey.Key
	clock    clock
	classify func(Failure) error

	// rejected is set from a rejected login to the next good one, for the
	// wording of a time-out; nothing is decided by it.
	rejected atomic.Bool
}

// New opens a platform. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg Config) (*PBX, error) {
	clock, err := cfg.clock()
	if err != nil {
		return nil, err
	}
	key, err := statickey.New(Name, cfg.Key, cfg.Config)
	if err != nil {
		return nil, err
	}
	client, err := wire.New(wire.Endpoint{
		Driver: Name, APIPaths: []string{"/api"},
		NoAccount: !key.IsZero(), NoOptions: true, Impossible: wire.NotUTF8,
	}, cfg.Config)
	if err != nil {
		return nil, err
	}
	return &PBX{wire: client, key: key, clock: clock, classify: cfg.Classify}, nil
}

// String names the platform.
func (p *PBX) String() string { return "runtel at " + p.wire.URL() }

// Format writes [PBX.String] whatever the verb: fmt would go into the fields,
// and the connections behind them.
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, p.String()) }

// Login implements [pbx.Authenticator]. With a key it makes no login request: it
// proves the key with [PBX.Ping], and returns it.
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) {
	if !p.key.IsZero() {
		return p.key.Login(ctx, p.prove)
	}
	t, err := p.login(ctx)
	switch {
	case err == nil:
		p.rejected.Store(false)
	case errors.Is(err, pbx.ErrInvalidCredentials), errors.Is(err, pbx.ErrLocked):
		p.rejected.Store(true)
	}
	return t, err
}

// loginParams are the params of auth. The domain is a part of the login, as in
// an e-mail address, and no parameter of its own.
type loginParams struct {
	Login    string `json:"login"`
	Password string `json:"password"`
}

func (p *PBX) login(ctx context.Context) (*pbx.Token, error) {
	account, err := p.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	params := loginParams{account.Username, account.Password.Reveal()}
	issued := time.Now()
	x, err := p.call(ctx, wire.Request{Op: pbx.OpLogin}, user, "auth", params)
	if err != nil {
		return nil, err
	}
	switch {
	case x.login.nobody: // a refusal that nobody has seen: it is counted, and not repeated
		return nil, p.classified(x, x.fail(pbx.ErrInvalidCredentials, "the login brought no token, most likely for a wrong login or password, or for a user who may not use the API"))
	case x.login.token == "":
		return nil, p.classified(x, x.fail(pbx.ErrProtocol, "the login succeeded and brought no token that is a text"))
	}
	if !wire.FitsHeader(x.login.token) {
		return nil, p.classified(x, x.fail(pbx.ErrProtocol, "the token holds blanks or other characters that no header can carry"))
	}
	now, told := serverTime(x.Response.Header, issued)
	assumed := p.clock.read(x.login.exp, x.login.tz, now, told)
	t := &pbx.Token{
		Value:    pbx.NewSecret(x.login.token),
		IssuedAt: issued,
		Details:  x.details(assumed),
	}
	if assumed.lifetime > 0 {
		t.ExpiresAt = issued.Add(assumed.lifetime)
	}
	return t, nil
}

// loginBody is what the driver itself needs of a login's response.
type loginBody struct {
	token, exp, tz string
	nobody         bool // there is neither a token nor a user
}

// parseLogin reads the body of a response, whatever it is. A token that is not a
// string is none.
func parseLogin(body json.RawMessage) loginBody {
	var fields struct {
		Token json.RawMessage `json:"token"`
		Exp   json.RawMessage `json:"exp"`
		TZ    json.RawMessage `json:"tz"`
		User  json.RawMessage `json:"user_id"`
	}
	if isNull(body) {
		return loginBody{nobody: true}
	}
	if json.Unmarshal(body, &fields) != nil {
		return loginBody{}
	}
	b := loginBody{exp: text(fields.Exp), tz: text(fields.TZ)}
	json.Unmarshal(fields.Token, &b.token)
	b.nobody = isNull(fields.User) && (isNull(fields.Token) || string(fields.Token) == `""`)
	return b
}

// KeepAlive implements [pbx.Authenticator]: there is no request for it, and
// it returns [pbx.ErrNotSupported]. A key needs none and is returned as it is.
// Nothing is sent either way.
func (p *PBX) KeepAlive(context.Context, *pbx.Token) (*pbx.Token, error) {
	if !p.key.IsZero() {
		return p.key.Token(), nil
	}
	return nil, p.wire.Unsent(pbx.OpKeepAlive, pbx.ErrNotSupported, "no request extends a token: log in again before it expires")
}

// Logout implements [pbx.Authenticator]. Whether the platform ends this token
// only, or all of the user's, is not documented. With a key it sends nothing.
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error {
	if !p.key.IsZero() {
		return nil
	}
	_, err := p.call(ctx, bearing(pbx.OpLogout, t), user, "logout", struct{}{})
	if errors.Is(err, pbx.ErrTokenRejected) {
		return nil // gone already
	}
	return err
}

// user is the obj of logins and logouts.
const user = "User"

// bearing is a request with the token.
func bearing(op pbx.Op, t *pbx.Token) wire.Request {
	req := wire.Request{Op: op, Header: http.Header{}}
	bear(req.Header, t)
	return req
}

// Ping implements [pbx.Pinger] with a list of the domain's users, which the vendor
// documents for all objects (api_info.html). Users of the operator kind have to
// name a domain and are refused, which says nothing about the token.
func (p *PBX) Ping(ctx context.Context, t *pbx.Token) error {
	_, err := p.call(ctx, bearing(pbx.OpPing, t), "DomainUser", "list", struct{}{})
	return err
}

// prove is Ping for a key. A request that is refused for another reason than the
// key, as to users of the operator kind, does not speak against it.
func (p *PBX) prove(ctx context.Context, t *pbx.Token) error {
	err := p.Ping(ctx, t)
	var failure *pbx.Error
	if errors.As(err, &failure) && (failure.Kind == nil || failure.Kind == pbx.ErrForbidden) {
		return nil
	}
	return err
}

// Transport implements [pbx.Requester].
func (p *PBX) Transport() http.RoundTripper { return p.wire.Transport() }

// Fingerprint implements [pbx.Fingerprinter].
func (p *PBX) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return p.key.Fingerprint(ctx, p.wire, key)
}

// Traits implements [pbx.Describer]. Whether requests start a token's lifetime
// anew is not documented: it is taken as fixed. A key does not expire, so that a
// session has nothing to renew.
func (p *PBX) Traits() pbx.Traits {
	traits := pbx.Traits{
		Driver: Name,
		URL:    p.wire.URL(), Account: p.wire.Account(), Lifetime: p.clock.ttl,
		KeepAlive: pbx.KeepAliveNone, Logout: pbx.LogoutToken, Lockout: lockout,
		// Everything is a POST with a body, so that a GET without one is no login.
		Probe: p.wire.URL() + apiPath,
	}
	p.key.Apply(&traits)
	return traits
}
