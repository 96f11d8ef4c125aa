package acme

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

const (
	Name        = "acme" // the name in an application's settings
	tokenHeader = "X-Acme-Token"
	success     = "ok" // the only word that means it
)

// lockout is what the vendor documents. "In a row" does not say what resets the
// count, so nothing does.
var lockout = pbx.Lockout{Attempts: 5, Window: 15 * time.Minute, Memory: pbx.Forever}

// codes is the vendor's table of errors. A code that is not in it has no kind.
var codes = map[int]struct {
	kind    error
	meaning string
}{
	10: {pbx.ErrProtocol, "the PBX cannot read the request"},
	11: {pbx.ErrInvalidCredentials, "wrong user name or password"},
	12: {pbx.ErrLocked, "too many wrong logins: the PBX has locked this client's address"},
	13: {pbx.ErrTooManySessions, "the account has no room for another session"},
	21: {pbx.ErrTokenRejected, "no such token"},
	22: {pbx.ErrTokenRejected, "the token has expired"},
	30: {pbx.ErrForbidden, "the account has no permission for this"},
	50: {pbx.ErrUnavailable, "the PBX is starting"},
}

func init() {
	pbx.Register(pbx.Driver{
		Name:    Name,
		Title:   "Acme PBX (made up)",
		Setup:   "Switch the API on under System, API, and give the account the role operator.",
		Options: []pbx.Option{{Name: "tenant", Kind: pbx.OptionString, Help: "the account's tenant on this PBX. Without it, the first"}},
		Open:    open,
	})
}

// acme is a PBX as seen by one account.
type acme struct {
	wire   *wire.Client
	tenant string
}

func open(cfg pbx.Config) (pbx.Authenticator, error) {
	client, err := wire.New(wire.Endpoint{Driver: Name, APIPath: "/v1"}, cfg)
	if err != nil {
		return nil, err
	}
	return &acme{wire: client, tenant: cfg.Options["tenant"]}, nil
}

// Format prints the URL alone, whatever the verb.
func (a *acme) Format(f fmt.State, _ rune) { io.WriteString(f, "acme("+a.wire.URL()+")") }

// Traits implements [pbx.Describer].
func (a *acme) Traits() pbx.Traits {
	return pbx.Traits{URL: a.wire.URL(), Lifetime: 15 * time.Minute, KeepAlive: pbx.KeepAliveRefresh, Lockout: lockout, MaxTokens: 4}
}

// Fingerprint implements [pbx.Fingerprinter].
func (a *acme) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return a.wire.Fingerprint(ctx, key)
}

// Login implements [pbx.Authenticator].
func (a *acme) Login(ctx context.Context) (*pbx.Token, error) {
	account, err := a.wire.Credentials(ctx) // asked each time: a vault's may have changed
	if err != nil {
		return nil, err
	}
	body := encoded(map[string]string{"user": account.Username, "password": account.Password.Reveal(), "tenant": a.tenant})
	return a.pair(ctx, wire.Request{Op: pbx.OpLogin, Path: "/v1/session", Body: body, Secrets: []pbx.Secret{account.Password}})
}

// KeepAlive implements [pbx.Authenticator] with a refresh.
func (a *acme) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	body := encoded(map[string]string{"refresh": t.Refresh.Reveal()})
	return a.pair(ctx, wire.Request{Op: pbx.OpKeepAlive, Path: "/v1/session/refresh", Body: body, Secrets: []pbx.Secret{t.Value, t.Refresh}})
}

// Logout implements [pbx.Authenticator].
func (a *acme) Logout(ctx context.Context, t *pbx.Token) error {
	_, _, err := a.call(ctx, withToken(pbx.OpLogout, http.MethodPost, "/v1/session/end", t))
	if failure, ok := err.(*pbx.Error); ok && failure.Kind == pbx.ErrTokenRejected {
		return nil // the token has already ended
	}
	return err
}

// Ping implements [pbx.Pinger].
func (a *acme) Ping(ctx context.Context, t *pbx.Token) error {
	_, _, err := a.call(ctx, withToken(pbx.OpPing, http.MethodGet, "/v1/status", t))
	return err
}

func withToken(op pbx.Op, method, path string, t *pbx.Token) wire.Request {
	return wire.Request{Op: op, Method: method, Path: path, Header: http.Header{tokenHeader: {t.Value.Reveal()}}, Secrets: []pbx.Secret{t.Value, t.Refresh}}
}

// Authorize implements [pbx.Requester].
func (a *acme) Authorize(r *http.Request, t *pbx.Token) error {
	r.Header.Set(tokenHeader, t.Value.Reveal())
	return nil
}

// Transport implements [pbx.Requester].
func (a *acme) Transport() http.RoundTripper { return a.wire.Transport() }

// Inspect implements [pbx.Requester]. A response without the envelope, such as a
// recording, says nothing about the token.
func (a *acme) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	req, resp := wire.Request{Op: pbx.OpRequest}, &wire.Response{Status: r.StatusCode, Header: r.Header, Body: body}
	if wire.StatusKind(req.Op, r.StatusCode) != nil {
		return a.wire.Unexpected(req, resp)
	}
	var got envelope
	if json.Unmarshal(body, &got) != nil || got.Result == "" || got.Result == success {
		return nil
	}
	return a.refusal(req, resp, got)
}

// envelope has the fields of all responses.
type envelope struct {
	Result     string `json:"result"`
	Code       int    `json:"code"`
	Access     string `json:"access"`
	AccessTTL  int    `json:"access_ttl"` // seconds
	Refresh    string `json:"refresh"`
	RefreshTTL int    `json:"refresh_ttl"`
}

// pair sends a request for a pair of tokens. Their lifetimes are counted from
// before the request, so that they never end after the PBX's own.
func (a *acme) pair(ctx context.Context, req wire.Request) (*pbx.Token, error) {
	issued := time.Now()
	got, resp, err := a.call(ctx, req)
	if err != nil {
		return nil, err
	}
	if got.Access == "" || got.Refresh == "" || got.AccessTTL <= 0 || got.RefreshTTL <= 0 {
		return nil, a.wire.Fail(req, resp, pbx.ErrProtocol, "", "the response says success and lacks a token or its lifetime")
	}
	t := &pbx.Token{
		Value:            pbx.NewSecret(got.Access),
		Refresh:          pbx.NewSecret(got.Refresh),
		IssuedAt:         issued,
		ExpiresAt:        issued.Add(time.Duration(got.AccessTTL) * time.Second),
		RefreshExpiresAt: issued.Add(time.Duration(got.RefreshTTL) * time.Second),
	}
	t.Details = wire.Details(resp.Body, []string{"result", "access", "access_ttl", "refresh", "refresh_ttl"}, append(req.Secrets, t.Value, t.Refresh)...)
	return t, nil
}

// call sends req and proves the success: HTTP status, envelope, result.
func (a *acme) call(ctx context.Context, req wire.Request) (envelope, *wire.Response, error) {
	resp, err := a.wire.Do(ctx, req)
	if err != nil {
		return envelope{}, nil, err
	}
	var got envelope
	switch {
	case json.Unmarshal(resp.Body, &got) != nil, resp.Status != http.StatusOK, got.Result == "":
		return envelope{}, nil, a.wire.Unexpected(req, resp)
	case got.Result != success:
		return envelope{}, nil, a.refusal(req, resp, got)
	}
	return got, resp, nil
}

// refusal makes the error for a response that does not say success. It quotes
// only the code.
func (a *acme) refusal(req wire.Request, resp *wire.Response, got envelope) *pbx.Error {
	known := codes[got.Code]
	failure := a.wire.Fail(req, resp, known.kind, strconv.Itoa(got.Code), known.meaning)
	if known.kind == pbx.ErrLocked && failure.RetryAfter == 0 {
		failure.RetryAfter = lockout.Window
	}
	return failure
}

// encoded makes a JSON object. Passwords may have quotes in them.
func encoded(fields map[string]string) []byte {
	body, _ := json.Marshal(fields) // strings always marshal
	return body
}
