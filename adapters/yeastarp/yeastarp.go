// Package yeastarp is the driver "yeastar-p" for Yeastar's P-Series: Appliance,
// Software and Cloud Edition. (S-Series, K2, S1000 and Cloud PBX speak another
// protocol: their driver is yeastar.)
//
// # What the vendor says
//
// POST /openapi/v1.0/get_token takes the application's Client ID and Client
// Secret as user name and password, in clear, and answers an access token, which
// lives for 30 minutes, and a refresh token, which lives for 24 hours. Every
// call carries the access token in its query, and a User-Agent. POST
// refresh_token trades the refresh token for another pair; GET del_token revokes
// an access token. A failure is HTTP 200 with an "errcode" other than 0.
//
// At most 8 access tokens of one application live at once: a ninth get_token
// fails until one has run out or was revoked. Five wrong logins in a row put the
// caller's IP on the PBX's blocklist, nobody says for how long.
// (help.yeastar.com: p-series-appliance-edition, p-series-software-edition,
// p-series-cloud-edition, developer-guide.)
//
// # What this driver makes of it
//
// Config.Username is the Client ID and Config.Password the Client Secret, both
// from the PBX's web interface (Integrations, API), which also says which IPs
// may use them. Without a port the URL gets 8088, the factory's; a Cloud Edition
// and a Yeastar FQDN answer on 443, which is then to be written:
// https://office.example.yeastarcloud.com:443.
//
// A session (package session) refreshes, which takes up no more room than one
// token needs, and logs in where the PBX refuses the refresh token. Each program
// that logs in for itself takes one of the 8 places, and each token that is not
// logged out keeps it for half an hour: share a session instead.
//
// A GET can change things on this PBX; "it is only a GET" is no reason to send
// one twice.
//
// [pbx.Token].Details is nil: a login answers its tokens and nothing else.
package yeastarp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/lookalike"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Name is what the driver is registered under.
const Name = "yeastar-p"

const (
	apiPath   = "/openapi/v1.0"
	tokenName = "access_token" // in the query
	userAgent = "OpenAPI"      // the vendor's sample; some User-Agent is mandatory
)

// lockout: five wrong credentials in a row; the window is not documented.
var lockout = pbx.Lockout{Attempts: 5}

// maxTokens is how many access tokens of an application live at once.
const maxTokens = 8

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "Yeastar P-Series",
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			cfg.Options = nil // there are none
			return New(cfg)
		},
	})
}

// PBX is a P-Series PBX as seen by one application. It implements
// [pbx.Authenticator] and all the optional interfaces.
type PBX struct{ wire *wire.Client }

// New opens a PBX. It has no settings beyond the common ones, so Options must be
// empty. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg pbx.Config) (*PBX, error) {
	if len(cfg.Options) > 0 {
		return nil, &pbx.Error{Driver: Name, Op: pbx.OpOpen, Kind: pbx.ErrConfig, Message: "Options are given, and this driver has none"}
	}
	client, err := wire.New(wire.Endpoint{Driver: Name, Port: 8088, APIPath: "/openapi"}, cfg)
	if err != nil {
		return nil, err
	}
	return &PBX{client}, nil
}

type credentialsBody struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

type refreshBody struct {
	RefreshToken string `json:"refresh_token"`
}

// Login implements [pbx.Authenticator] by get_token. Where 8 tokens are alive it
// fails with [pbx.ErrTooManySessions].
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) {
	account, err := p.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	body := credentialsBody{account.Username, account.Password.Reveal()}
	if !utf8.ValidString(body.Username) || !utf8.ValidString(body.Password) {
		// JSON would carry another password, and that would be a wrong one.
		return nil, &pbx.Error{Driver: Name, Op: pbx.OpLogin, Kind: pbx.ErrConfig,
			Message: "nothing was sent, for the user name or the password is not UTF-8"}
	}
	req := request(pbx.OpLogin, http.MethodPost, "get_token", body)
	req.Secrets = []pbx.Secret{account.Password}
	t, resp, err := p.pair(ctx, req)
	if err != nil {
		return nil, err
	}
	if t.Value.IsZero() {
		return nil, p.wire.Fail(req, resp, pbx.ErrProtocol, "", "the login succeeded and brought no token")
	}
	return t, nil // also without a refresh token: it has taken a place, and lives
}

// KeepAlive implements [pbx.Authenticator] by refresh_token: the token that it
// returns is another, and so is its refresh token. Without one, and where the
// PBX refuses it, it fails with [pbx.ErrTokenRejected], which a login mends.
func (p *PBX) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	if t.Refresh.IsZero() {
		return nil, &pbx.Error{Driver: Name, Op: pbx.OpKeepAlive, Kind: pbx.ErrTokenRejected,
			Message: "nothing was sent, for the refresh token is lost: log in again"}
	}
	req := request(pbx.OpKeepAlive, http.MethodPost, "refresh_token", refreshBody{t.Refresh.Reveal()})
	req.Secrets = []pbx.Secret{t.Refresh, t.Value}
	fresh, resp, err := p.pair(ctx, req)
	if err != nil {
		return nil, err
	}
	if fresh.Value.IsZero() || fresh.Refresh.IsZero() { // the old pair is all that is left to go on with
		return nil, p.wire.Fail(req, resp, pbx.ErrProtocol, "", "the refresh succeeded and did not bring both tokens")
	}
	return fresh, nil
}

// pair sends what is answered by a pair of tokens, and returns what came of it.
func (p *PBX) pair(ctx context.Context, req wire.Request) (*pbx.Token, *wire.Response, error) {
	issued := time.Now()
	got, resp, err := p.call(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	t := &pbx.Token{
		Value:     pbx.NewSecret(got.AccessToken),
		Refresh:   pbx.NewSecret(got.RefreshToken),
		IssuedAt:  issued,
		ExpiresAt: issued.Add(life(got.AccessLife, accessLife, mostAccess)),
	}
	if !t.Refresh.IsZero() {
		t.RefreshExpiresAt = issued.Add(life(got.RefreshLife, refreshLife, mostRefresh))
	}
	return t, resp, nil
}

// Logout implements [pbx.Authenticator] by del_token, which makes room for
// another login.
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error {
	req := request(pbx.OpLogout, http.MethodGet, "del_token", nil)
	req.Query = url.Values{tokenName: {t.Value.Reveal()}}
	req.Secrets = []pbx.Secret{t.Value}
	_, _, err := p.call(ctx, req)
	if failure, ok := err.(*pbx.Error); ok && failure.Kind == pbx.ErrTokenRejected {
		return nil // gone already
	}
	return err
}

// Authorize implements [pbx.Requester]: the token goes into the query as
// access_token, in place of any that is there, and a request without a
// User-Agent gets one.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error {
	wire.SetQuery(r.URL, tokenName, t.Value.Reveal())
	if r.Header.Get("User-Agent") == "" {
		if r.Header == nil {
			r.Header = http.Header{}
		}
		r.Header.Set("User-Agent", userAgent)
	}
	return nil
}

// RoundTrip implements [http.RoundTripper] for requests of the application's
// own, over this PBX's connections. It adds nothing.
func (p *PBX) Transport() http.RoundTripper { return p.wire.Transport() }

// Inspect implements [pbx.Requester]. An answer without an errcode, such as a
// recording, says nothing.
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	req := wire.Request{Op: pbx.OpRequest}
	resp := &wire.Response{Status: r.StatusCode, Header: r.Header, Body: body}
	if kind := wire.StatusKind(req.Op, r.StatusCode); kind != nil {
		return p.wire.Unexpected(req, resp)
	}
	a := read(body)
	switch code, ok := a.code(); {
	case !ok, code == succeeded, code == inPart, code == processing:
		return nil
	}
	return p.refusal(req, resp, a)
}

// Traits implements [pbx.Describer].
func (p *PBX) Traits() pbx.Traits {
	return pbx.Traits{
		URL: p.wire.URL(), Lifetime: accessLife, KeepAlive: pbx.KeepAliveRefresh,
		Lockout: lockout, MaxTokens: maxTokens,
	}
}

// Fingerprint implements [pbx.Fingerprinter].
func (p *PBX) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return p.wire.Fingerprint(ctx, key)
}

// Format writes which PBX this is, whatever the verb, where fmt would write
// pointers.
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, "yeastarp.PBX("+p.wire.URL()+")") }

// request makes a call. A nil body sends none.
func request(op pbx.Op, method, name string, body any) wire.Request {
	req := wire.Request{Op: op, Method: method, Path: apiPath + "/" + name, Header: http.Header{"User-Agent": {userAgent}}}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Body, _ = json.Marshal(body) // structs of strings always marshal
	}
	return req
}

// call sends req and proves the success: HTTP status, envelope, errcode. The
// response comes along with a refusal too.
func (p *PBX) call(ctx context.Context, req wire.Request) (answer, *wire.Response, error) {
	resp, err := p.wire.Do(ctx, req)
	if err != nil {
		return answer{}, nil, err
	}
	a := read(resp.Body)
	code, ok := a.code()
	switch {
	case resp.Status != http.StatusOK || !ok:
		failure := p.wire.Unexpected(req, resp)
		if advice := lookalike.Advice(resp.Body); advice != "" && !ok {
			failure.Message = advice
		}
		return answer{}, resp, failure
	case code == inPart || code == processing:
		return answer{}, resp, p.wire.Fail(req, resp, pbx.ErrProtocol, fmt.Sprint(code), "the PBX reports a success that is not whole yet")
	case code != succeeded:
		return answer{}, resp, p.refusal(req, resp, a)
	}
	return a, resp, nil
}
