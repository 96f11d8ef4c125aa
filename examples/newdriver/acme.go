package acme

import (
	"context"
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
	loginPath   = "/v1/session"
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
		Options: []pbx.Option{{Name: "tenant", Label: "Tenant", Kind: pbx.OptionString, Help: "The account's tenant on this PBX. Without it, the first."}},
		Open:    open,
	})
}

// acme is a PBX as seen by one account. It has all optional interfaces of pbx.
type acme struct {
	wire   *wire.Client
	tenant string
}

func open(cfg pbx.Config) (pbx.Authenticator, error) {
	client, err := wire.New(wire.Endpoint{Driver: Name, APIPaths: []string{"/v1", loginPath}, Impossible: wire.NotUTF8}, cfg)
	if err != nil {
		return nil, err
	}
	return &acme{wire: client, tenant: cfg.Options["tenant"]}, nil
}

// Format keeps fmt out of the connections, whatever the verb.
func (a *acme) Format(f fmt.State, _ rune) { io.WriteString(f, "acme("+a.wire.URL()+")") }

func (a *acme) Traits() pbx.Traits {
	return pbx.Traits{
		Driver: Name, URL: a.wire.URL(), Account: a.wire.Account(), Lifetime: 15 * time.Minute, KeepAlive: pbx.KeepAliveRefresh,
		Lockout: lockout, MaxTokens: 4, Probe: a.wire.URL() + loginPath, // a login is a POST
	}
}

func (a *acme) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return a.wire.Fingerprint(ctx, key)
}

func (a *acme) Login(ctx context.Context) (*pbx.Token, error) {
	account, err := a.wire.Credentials(ctx) // asked each time: a vault's may have changed
	if err != nil {
		return nil, err
	}
	body := map[string]string{"user": account.Username, "password": account.Password.Reveal(), "tenant": a.tenant}
	return a.pair(ctx, wire.Request{Op: pbx.OpLogin, Path: loginPath, JSON: body})
}

// KeepAlive is a refresh.
func (a *acme) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	body := map[string]string{"refresh": t.Refresh.Reveal()}
	return a.pair(ctx, wire.Request{Op: pbx.OpKeepAlive, Path: loginPath + "/refresh", JSON: body, Secrets: []pbx.Secret{t.Value, t.Refresh}})
}

func (a *acme) Logout(ctx context.Context, t *pbx.Token) error {
	_, _, err := a.call(ctx, withToken(pbx.OpLogout, http.MethodPost, loginPath+"/end", t))
	if failure, ok := err.(*pbx.Error); ok && failure.Kind == pbx.ErrTokenRejected {
		return nil // the token has already ended
	}
	return err
}

func (a *acme) Ping(ctx context.Context, t *pbx.Token) error {
	_, _, err := a.call(ctx, withToken(pbx.OpPing, http.MethodGet, "/v1/status", t))
	return err
}

func withToken(op pbx.Op, method, path string, t *pbx.Token) wire.Request {
	return wire.Request{Op: op, Method: method, Path: path, Header: http.Header{tokenHeader: {t.Value.Reveal()}}}
}

func (a *acme) Authorize(r *http.Request, t *pbx.Token) error {
	r.Header.Set(tokenHeader, t.Value.Reveal())
	return nil
}

func (a *acme) Transport() http.RoundTripper { return a.wire.Transport() }

// Inspect knows that a recording says nothing about the token.
func (a *acme) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	x := a.wire.Inspect(r, body, t)
	got := read(x.Response.Body)
	if x.OK() && got.Result == "" {
		return nil
	}
	return judge(x, got)
}

// response has the fields of all responses.
type response struct {
	Result     string      `json:"result"`
	Code       wire.Number `json:"code"`
	Access     string      `json:"access"`
	AccessTTL  wire.Number `json:"access_ttl"` // seconds
	Refresh    string      `json:"refresh"`
	RefreshTTL wire.Number `json:"refresh_ttl"`
}

func read(body []byte) (got response) {
	wire.ReadJSON(body, &got)
	return got
}

// pair sends a request whose response has a pair of tokens. A token's lifetime is
// counted from before the request, so that it never ends after the PBX's own.
func (a *acme) pair(ctx context.Context, req wire.Request) (*pbx.Token, error) {
	issued := time.Now()
	got, x, err := a.call(ctx, req)
	if err != nil {
		return nil, err
	}
	if got.Access == "" || got.Refresh == "" || got.AccessTTL.Value <= 0 || got.RefreshTTL.Value <= 0 {
		return nil, x.Fail(pbx.ErrProtocol, "", "the response says success and lacks a token or its lifetime")
	}
	t := &pbx.Token{
		Value:            pbx.NewSecret(got.Access),
		Refresh:          pbx.NewSecret(got.Refresh),
		IssuedAt:         issued,
		ExpiresAt:        issued.Add(time.Duration(got.AccessTTL.Value) * time.Second),
		RefreshExpiresAt: issued.Add(time.Duration(got.RefreshTTL.Value) * time.Second),
	}
	x.Hide(t.Value, t.Refresh) // the PBX may repeat them in another field
	t.Details = x.Details(x.Response.Body, "result", "access", "access_ttl", "refresh", "refresh_ttl")
	return t, nil
}

// call sends req and proves the success.
func (a *acme) call(ctx context.Context, req wire.Request) (response, *wire.Exchange, error) {
	x, err := a.wire.Do(ctx, req)
	if err != nil {
		return response{}, nil, err
	}
	got := read(x.Response.Body)
	return got, x, judge(x, got)
}

// judge returns nil for a proven success: the HTTP status, the envelope, the result.
// A refusal in a whole envelope counts, whatever the HTTP status says. Of the PBX's
// own words only the code is taken over.
func judge(x *wire.Exchange, got response) error {
	switch {
	case got.Result == success && x.OK():
		return nil
	case got.Result == "" || got.Result == success:
		return x.Unexpected()
	}
	code, _ := got.Code.Int()
	known := codes[code]
	failure := x.Fail(known.kind, strconv.Itoa(code), known.meaning)
	if known.kind == pbx.ErrLocked && failure.RetryAfter == 0 {
		failure.RetryAfter = lockout.Window
	}
	return failure
}
