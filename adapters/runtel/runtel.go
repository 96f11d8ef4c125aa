// Package runtel is the driver "runtel" for the Runtel cloud PBX and the brands
// it is resold under.
//
// # What the vendor says
//
// Everything is a POST of {"action","obj","action_id","params"} to /api/ and is
// answered by the same with "code", "notifies" and "body". The action auth on
// the obj User takes login and password in clear and answers a token, which
// goes into "Authorization: Bearer" from then on, and exp, a time without a
// zone at which it ends. Too many failed logins block the host that they come
// from. (doc-cp.runtel.ru/api/api_auth.html.)
//
// # What it does not say
//
// No failing answer is documented, nor is the zone of exp, nor any call that
// prolongs a token. So this driver reads HTTP's status and the envelope's code
// as the same thing, whichever is worse, and takes the earliest end that exp
// can mean: in UTC, in the account's own zone, or in Moscow's. A session logs in
// again before it.
//
// [pbx.Token].Details is the body of the login's answer without the token: user,
// domain, role, permissions, time zone, version.
package runtel

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Name is what the driver is registered under.
const Name = "runtel"

// Config is the typed form of the driver's settings. Options of the embedded
// Config must be empty: they are for [pbx.Open].
type Config struct {
	pbx.Config

	// TokenTTL is a token's life where the operator of the platform has told
	// it. It overrides what exp is taken to mean.
	TokenTTL time.Duration
}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "Runtel cloud PBX",
		Options: []pbx.Option{
			{Name: "token_ttl", Kind: pbx.OptionDuration, Help: "life of a token as set on the platform, as in 4h; without it, exp is read with caution"},
		},
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			options := cfg.Options
			cfg.Options = nil
			typed := Config{Config: cfg}
			typed.TokenTTL, _ = time.ParseDuration(options["token_ttl"]) // checked by the registry; absent is 0
			return New(typed)
		},
	})
}

// lockout is an assumption, for the platform's limits are not documented: that
// of the other brands.
var lockout = pbx.Lockout{Attempts: 5, Window: 10 * time.Minute}

// PBX is a Runtel platform as seen by one user. It implements
// [pbx.Authenticator] and all the optional interfaces.
type PBX struct {
	http.RoundTripper // requests of the application's own, over this PBX's connections

	wire *wire.Client
	ttl  time.Duration
}

// New opens a platform. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg Config) (*PBX, error) {
	fault := func(message string) error {
		return &pbx.Error{Driver: Name, Op: pbx.OpOpen, Kind: pbx.ErrConfig, Message: message}
	}
	if len(cfg.Options) > 0 {
		return nil, fault("Options are for pbx.Open: set the fields of runtel.Config")
	}
	if cfg.TokenTTL < 0 {
		return nil, fault(fmt.Sprintf("TokenTTL %s is negative", cfg.TokenTTL))
	}
	client, err := wire.New(wire.Brand{Driver: Name, APIPath: "/api"}, cfg.Config)
	if err != nil {
		return nil, err
	}
	return &PBX{RoundTripper: client.Transport(), wire: client, ttl: cfg.TokenTTL}, nil
}

// Login implements [pbx.Authenticator].
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) {
	account, err := p.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	issued := time.Now()
	req, answer, resp, err := p.call(ctx, pbx.OpLogin, "auth", nil, account.Password, map[string]string{
		"login": account.Username, "password": account.Password.Reveal(),
	})
	if err != nil {
		return nil, err
	}
	var body struct {
		Token string          `json:"token"`
		Exp   json.RawMessage `json:"exp"`
		TZ    json.RawMessage `json:"tz"`
	}
	// The body may be null or lack the token, and still the code is 200.
	if json.Unmarshal(answer.Body, &body) != nil || body.Token == "" {
		return nil, p.wire.Fail(req, resp, pbx.ErrProtocol, "", "the login succeeded and brought no token")
	}
	if strings.ContainsFunc(body.Token, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, p.wire.Fail(req, resp, pbx.ErrProtocol, "", "the token holds blanks or control characters, which no header can carry")
	}
	token := pbx.NewSecret(body.Token)
	t := &pbx.Token{
		Value:    token,
		IssuedAt: issued,
		Details:  wire.Details(answer.Body, []string{"token"}, account.Password, token),
	}
	life := p.ttl
	if life == 0 {
		life = lifeLeft(text(body.Exp), serverTime(resp.Header, issued), text(body.TZ))
	}
	if life > 0 {
		t.ExpiresAt = issued.Add(life)
	}
	return t, nil
}

// KeepAlive implements [pbx.Authenticator]: there is no call for it.
func (p *PBX) KeepAlive(context.Context, *pbx.Token) (*pbx.Token, error) {
	return nil, &pbx.Error{Driver: Name, Op: pbx.OpKeepAlive, Kind: pbx.ErrNotSupported,
		Message: "no call prolongs a token: log in again before its end"}
}

// Logout implements [pbx.Authenticator].
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error {
	_, _, _, err := p.call(ctx, pbx.OpLogout, "logout", t, pbx.Secret{}, map[string]string{})
	if failure, ok := err.(*pbx.Error); ok && failure.Kind == pbx.ErrTokenRejected {
		return nil // gone already
	}
	return err
}

// Authorize implements [pbx.Authorizer]: the token goes into the Authorization
// header.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error {
	r.Header.Set("Authorization", "Bearer "+t.Value.Reveal())
	return nil
}

// Inspect implements [pbx.Inspector]. An answer without the envelope, such as a
// recording, is judged by its HTTP status.
func (p *PBX) Inspect(r *http.Response, body []byte) error {
	req := wire.Request{Op: pbx.OpCall}
	resp := &wire.Response{Status: r.StatusCode, Header: r.Header, Body: body}
	answer, ok := parseEnvelope(body)
	if !ok {
		if wire.StatusKind(req.Op, r.StatusCode) == nil {
			return nil
		}
		return p.wire.Unexpected(req, resp)
	}
	if failure := p.refusal(req, resp, answer); failure != nil {
		return failure
	}
	return nil
}

// Traits implements [pbx.Describer]. Whether calls slide the life is not
// documented; it is taken as fixed.
func (p *PBX) Traits() pbx.Traits {
	return pbx.Traits{URL: p.wire.URL(), Lifetime: p.ttl, KeepAlive: pbx.KeepAliveNone, Lockout: lockout}
}

// call sends one action on the obj User and proves the success: HTTP status,
// envelope, echo, code.
func (p *PBX) call(ctx context.Context, op pbx.Op, action string, t *pbx.Token, password pbx.Secret, params any) (wire.Request, envelope, *wire.Response, error) {
	id := rand.Text()
	body, _ := json.Marshal(request{Action: action, Obj: "User", ActionID: id, Params: params}) // strings always marshal
	req := wire.Request{
		Op: op, Path: "/api/", Body: body,
		Header:  http.Header{"Content-Type": {"application/json"}},
		Secrets: []pbx.Secret{password},
	}
	if t != nil {
		req.Header.Set("Authorization", "Bearer "+t.Value.Reveal())
		req.Secrets = append(req.Secrets, t.Value)
	}
	resp, err := p.wire.Do(ctx, req)
	if err != nil {
		return req, envelope{}, nil, err
	}
	answer, ok := parseEnvelope(resp.Body)
	if !ok {
		return req, envelope{}, resp, p.reworded(p.wire.Unexpected(req, resp))
	}
	if failure := p.refusal(req, resp, answer); failure != nil {
		return req, envelope{}, resp, failure
	}
	if echo := text(answer.ActionID); echo != id {
		return req, envelope{}, resp, p.wire.Fail(req, resp, pbx.ErrProtocol, "", "the answer is to another request: its action_id is "+strconv.Quote(echo))
	}
	return req, answer, resp, nil
}

// text reads a JSON string, or a number as it is written; "" for anything else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

// serverTime is the platform's own clock, by its Date header; this machine's
// where there is none.
func serverTime(h http.Header, local time.Time) time.Time {
	if at, err := http.ParseTime(h.Get("Date")); err == nil {
		return at
	}
	return local
}

func isNull(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || string(raw) == "null"
}
