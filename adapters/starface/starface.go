// Package starface is the driver "starface" for STARFACE telephone systems, from
// version 6.4.2.12 on: appliance, virtual machine and cloud.
//
// # What the vendor says
//
// The REST API is at /rest on the port of the web interface. Every request has
// the headers Content-Type: application/json and X-Version: 2. A login has two
// steps. GET /rest/login returns the type of login and a nonce. POST /rest/login
// returns both, with a secret made of the user's login ID, the nonce and the
// password, and brings a token, which is valid for 4 hours and goes into the
// header authToken. DELETE /rest/login ends it. (knowledge.starface.de,
// REST-Schnittstelle; the OpenAPI file 6.7.0.22 and the Java client in
// github.com/STARFACEGmbH/rest-examples.)
//
// The secret is a SHA-512 digest, and with an Active Directory the password
// itself. The response to the first step says which. Over plain http this driver
// does not send the password, because anyone on the path could ask for it.
//
// # Failures
//
//	status   of a login             of another request
//	400      invalid credentials    no kind
//	401      invalid credentials    token rejected, or forbidden
//	403      configuration          forbidden
//	404      unexpected response    no kind
//	429, 5xx unavailable            unavailable
//
// A request that only an administrator may send is refused with 401 or 403,
// depending on the request, so that a 401 does not say whether the token is dead.
// Inspect reports it as [pbx.ErrTokenRejected] with Ambiguous set, and a session
// sends GET /rest/users/me, which every user may, before it gives the token up.
//
// # What it does not say
//
// Whether use extends a token: it is taken as fixed, and a session logs in again
// before it expires. How long a nonce can be used, how often, and whether the next
// one voids it: each login asks for its own, and one login at a time is under way.
// Whether wrong logins at the API lock the user, or the address like those at the web
// interface, and what the response is then.
//
// [pbx.Token].Details is nil: a login returns a token and nothing else.
package starface

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Name is what the driver is registered under.
const Name = "starface"

const (
	loginPath = "/rest/login"
	mePath    = "/rest/users/me"

	lifetime = 4 * time.Hour // of a token: wiki, since 6.4.2.12
)

// lockout: too many wrong logins at the web interface put the client's IPv4 address on a
// blacklist for 10 minutes, and the PBX ignores all its packets
// (knowledge.starface.de/display/SWD/Black-+und+Whitelist+konfigurieren). After how many,
// the vendor does not say, nor whether one at the API counts. It may: the user is that of
// the web interface. The only response to a failed login that is documented is 400.
var lockout = pbx.Lockout{Window: 10 * time.Minute, LooksWrong: true}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "STARFACE",

		UserLabel: "Login ID", PasswordLabel: "Password",
		Setup: "The account is a user of the STARFACE, with its login ID, as in 0001, and the password of the web interface. Requests that change settings need a user with administrator rights.",
		Docs:  "https://knowledge.starface.de/display/SWD/REST+-+Schnittstelle",

		Open: func(cfg pbx.Config) (pbx.Authenticator, error) { return New(cfg) },
	})
}

// PBX is a STARFACE as seen by one user. It implements [pbx.Authenticator] and all
// the optional interfaces. It is safe for concurrent use.
type PBX struct {
	wire  *wire.Client
	login chan struct{} // holds one element while a login is under way
}

// New opens a PBX. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg pbx.Config) (*PBX, error) {
	client, err := wire.New(wire.Endpoint{Driver: Name, APIPaths: []string{"/rest", loginPath}, NoOptions: true, Impossible: impossible}, cfg)
	if err != nil {
		return nil, err
	}
	return &PBX{wire: client, login: make(chan struct{}, 1)}, nil
}

// impossible implements [wire.Endpoint].Impossible. The password is only hashed.
func impossible(account pbx.Credentials) (setting, wrong string) {
	return wire.NotUTF8(pbx.Credentials{Username: account.Username})
}

// Format writes which PBX this is, whatever the verb, where fmt would write
// pointers.
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, "starface.PBX("+p.wire.URL()+")") }

// loginObject goes both ways: without the secret, and back with it.
type loginObject struct {
	LoginType string `json:"loginType"`
	Nonce     string `json:"nonce"`
	Secret    string `json:"secret"`
}

// Login implements [pbx.Authenticator], in two requests. A second login waits for
// the first, as long as ctx allows.
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

	proof, secrets, err := p.prove(ctx, account)
	if err != nil {
		return nil, err
	}
	issued := time.Now()
	x, err := p.wire.Do(ctx, wire.Request{Op: pbx.OpLogin, Path: loginPath, Header: headers(), JSON: proof, Secrets: secrets})
	if err != nil {
		return nil, err
	}
	var got struct {
		Token string `json:"token"`
	}
	isObject := wire.ReadJSON(x.Response.Body, &got)
	x.Hide(pbx.NewSecret(got.Token))
	switch {
	case !x.OK():
		return nil, judgeLogin(x)
	case !isObject:
		return nil, x.Unexpected()
	case got.Token == "":
		return nil, x.Fail(pbx.ErrProtocol, "", "the login succeeded and brought no token")
	case !wire.FitsHeader(got.Token):
		return nil, x.Fail(pbx.ErrProtocol, "", "the token holds blanks or other characters that no header can carry")
	}
	return &pbx.Token{Value: pbx.NewSecret(got.Token), IssuedAt: issued, ExpiresAt: issued.Add(lifetime)}, nil
}

// prove asks for a nonce and returns the object that proves the password with it.
func (p *PBX) prove(ctx context.Context, account pbx.Credentials) (*loginObject, []pbx.Secret, error) {
	x, err := p.wire.Do(ctx, wire.Request{Op: pbx.OpLogin, Method: http.MethodGet, Path: loginPath, Header: headers(), NoProof: true})
	if err != nil {
		return nil, nil, err
	}
	var object loginObject
	if !x.OK() || !wire.ReadJSON(x.Response.Body, &object) {
		return nil, nil, x.Unexpected()
	}
	if object.Nonce == "" {
		return nil, nil, x.Fail(pbx.ErrProtocol, "", "the response to GET "+loginPath+" has no nonce")
	}
	id, password := account.Username, account.Password.Reveal()
	secret := ""
	// The wiki writes ActiveDirectory, the OpenAPI file ACTIVE_DIRECTORY.
	switch strings.ToLower(strings.ReplaceAll(object.LoginType, "_", "")) {
	case "internal":
		secret = hash(id + object.Nonce + hash(password))
		object.Secret = id + ":" + secret
	case "activedirectory":
		if p.wire.PlainHTTP() {
			failure := x.Fail(pbx.ErrConfig, "", "the PBX asks for the password itself, as of an Active Directory, which is not sent over plain http: set an https URL")
			failure.Setting = "URL"
			return nil, nil, failure
		}
		secret = base64.StdEncoding.EncodeToString([]byte(id + object.Nonce + password))
		object.Secret = secret
	default:
		return nil, nil, x.Fail(pbx.ErrProtocol, "", "the PBX wants a type of login that this driver does not know", object.LoginType)
	}
	return &object, []pbx.Secret{pbx.NewSecret(secret)}, nil
}

func hash(text string) string {
	sum := sha512.Sum512([]byte(text))
	return hex.EncodeToString(sum[:])
}

// headers are those of every request.
func headers() http.Header {
	return http.Header{"Content-Type": {"application/json"}, "X-Version": {"2"}}
}

// withToken sends a request with the token.
func (p *PBX) withToken(ctx context.Context, op pbx.Op, method, path string, t *pbx.Token) (*wire.Exchange, error) {
	req := wire.Request{Op: op, Method: method, Path: path, Header: headers()}
	req.Header.Set("authToken", t.Value.Reveal())
	return p.wire.Do(ctx, req)
}

// KeepAlive implements [pbx.Authenticator]: there is no request for it. It returns
// [pbx.ErrNotSupported] and sends nothing.
func (p *PBX) KeepAlive(context.Context, *pbx.Token) (*pbx.Token, error) {
	return nil, p.wire.Unsent(pbx.OpKeepAlive, pbx.ErrNotSupported, "no request extends a token: log in again before it expires")
}

// Logout implements [pbx.Authenticator].
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error {
	x, err := p.withToken(ctx, pbx.OpLogout, http.MethodDelete, loginPath, t)
	switch {
	case err != nil:
		return err
	case x.OK() && len(bytes.TrimSpace(x.Response.Body)) == 0: // 204 in the OpenAPI file
		return nil
	case x.OK():
		return x.Unexpected()
	}
	if failure := judge(x); failure.Kind != pbx.ErrTokenRejected {
		return failure
	}
	return nil // the token is dead already
}

// Ping implements [pbx.Pinger] with GET /rest/users/me, which any user may send.
func (p *PBX) Ping(ctx context.Context, t *pbx.Token) error {
	x, err := p.withToken(ctx, pbx.OpPing, http.MethodGet, mePath, t)
	if err != nil {
		return err
	}
	var me struct {
		ID    wire.Text `json:"id"`
		Login wire.Text `json:"login"`
	}
	switch {
	case !x.OK():
		return judge(x)
	case !wire.ReadJSON(x.Response.Body, &me) || me.ID == "" && me.Login == "":
		return x.Unexpected()
	}
	return nil
}

// Authorize implements [pbx.Requester]: the token goes into the header authToken.
// Content-Type and X-Version are set as well, where the request has none.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error {
	r.Header.Set("authToken", t.Value.Reveal())
	for name, value := range headers() {
		if r.Header.Get(name) == "" {
			r.Header[name] = value
		}
	}
	return nil
}

// Inspect implements [pbx.Requester]. A response is judged by its HTTP status.
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	x := p.wire.Inspect(r, body, t)
	if x.OK() {
		return nil
	}
	failure := judge(x)
	failure.Ambiguous = failure.Kind == pbx.ErrTokenRejected && !strings.HasSuffix(x.Request.Path, mePath)
	return failure
}

// Transport implements [pbx.Requester].
func (p *PBX) Transport() http.RoundTripper { return p.wire.Transport() }

// Fingerprint implements [pbx.Fingerprinter].
func (p *PBX) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return p.wire.Fingerprint(ctx, key)
}

// Traits implements [pbx.Describer].
func (p *PBX) Traits() pbx.Traits {
	return pbx.Traits{
		Driver: Name,
		URL:    p.wire.URL(), Account: p.wire.Account(), Lifetime: lifetime,
		KeepAlive: pbx.KeepAliveNone, Logout: pbx.LogoutToken, Lockout: lockout,
		Probe: p.wire.URL() + loginPath, // it returns a nonce, and counts as no login
	}
}
