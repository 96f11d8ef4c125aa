// Package yeastarp is the driver "yeastar-p" for Yeastar's P-Series: Appliance,
// Software and Cloud Edition. (S-Series, K2, S1000 and Cloud PBX speak another
// protocol: their driver is yeastar.)
//
// # What the vendor says
//
// POST /openapi/v1.0/get_token takes the application's Client ID and Client
// Secret as user name and password, in plaintext, and returns an access token,
// which is valid for 30 minutes, and a refresh token, which is valid for 24
// hours. Every request carries the access token in its query, and a User-Agent.
// POST refresh_token exchanges the refresh token for another pair. GET del_token
// revokes an access token. A failure is HTTP 200 with an "errcode" other than 0.
//
// At most 8 access tokens of one application are valid at the same time: a ninth
// get_token fails until one has expired or was revoked. Five wrong logins in a row
// put the client's IP on the PBX's blocklist. For how long is not documented.
// (help.yeastar.com: p-series-appliance-edition, p-series-software-edition,
// p-series-cloud-edition, developer-guide.)
//
// # What this driver makes of it
//
// Config.Username is the Client ID and Config.Password the Client Secret, both
// from the PBX's web interface (Integrations, API), which also says which IPs
// may use them. Without a port the URL gets 8088, the factory's. A Cloud Edition
// and a Yeastar FQDN are on 443. A name below ras.yeastar.com or yeastarcloud.com gets
// that port. With any other it has to be written: https://pbx.example.com:443.
//
// A session (package session) refreshes, which needs the room of one token, and
// logs in if the PBX refuses the refresh token. Each program that logs in for
// itself takes one of the 8 places, and each token that is not logged out keeps
// its place for half an hour: share a session instead.
//
// A GET can change things on this PBX, so no GET is sent twice either. Ping is
// system/information, or the first extension where the firmware is too old for
// it.
//
// [pbx.Token].Details is nil: a login returns its tokens and nothing else.
package yeastarp

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

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

// lockout: after "5 consecutive" wrong logins "the IP address is blocked" (the
// pages of get_token and of 70004). How long a block lasts is not documented: an
// operator reports that a person has to remove it. Nothing says that a wrong login
// is forgotten by time. "Consecutive" does not say what a success resets,
// so nothing. Whether dead tokens count, and whether a
// block stops valid tokens, is not documented.
var lockout = pbx.Lockout{Attempts: 5, Memory: pbx.Forever}

// maxTokens is how many access tokens of an application are valid at once. The
// ninth get_token is refused with errcode 60002.
const maxTokens = 8

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "Yeastar P-Series",

		UserLabel: "Client ID", PasswordLabel: "Client Secret",
		DefaultPort: 8088, // 443 for a Cloud Edition and a Yeastar FQDN: see portOf
		Setup:       "In the web interface, under Integrations, API: enable the API, copy the Client ID and Client Secret, and permit this machine's IP address. It needs firmware 37.7.0.16 (P550, P560, P570) or 84.7.0.17 (Cloud Edition).",
		Docs:        "https://help.yeastar.com/en/p-series-appliance-edition/developer-guide/",

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
	client, err := wire.New(wire.Endpoint{
		Driver: Name, Port: portOf(cfg.URL), APIPaths: []string{"/openapi", apiPath, apiPath + "/get_token"}, NoOptions: true, Impossible: wire.NotUTF8,
	}, cfg)
	if err != nil {
		return nil, err
	}
	return &PBX{client}, nil
}

// hosted are the domains of Yeastar FQDNs and of the Cloud Edition, which are on 443.
var hosted = []string{".ras.yeastar.com", ".yeastarcloud.com"}

// portOf returns the port that an address has without one in it. 0: that of https.
func portOf(address string) int {
	if _, after, ok := strings.Cut(address, "://"); ok {
		address = after
	}
	host, _, _ := strings.Cut(strings.TrimSpace(address), "/")
	host, _, _ = strings.Cut(host, ":")
	for _, domain := range hosted {
		if strings.HasSuffix(strings.ToLower(host), domain) {
			return 0
		}
	}
	return 8088
}

type credentialsBody struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

type refreshBody struct {
	RefreshToken string `json:"refresh_token"`
}

// Login implements [pbx.Authenticator] by get_token. If 8 tokens are valid it
// fails with [pbx.ErrTooManySessions].
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) {
	account, err := p.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	body := credentialsBody{account.Username, account.Password.Reveal()}
	t, x, err := p.pair(ctx, request(pbx.OpLogin, http.MethodPost, "get_token", body))
	if err != nil {
		return nil, err
	}
	if t.Value.IsZero() {
		return nil, x.Fail(pbx.ErrProtocol, "", "the login succeeded and brought no token")
	}
	return t, nil // also without a refresh token: it has taken a place, and is valid
}

// KeepAlive implements [pbx.Authenticator] by refresh_token: the token that it
// returns is another, and so is its refresh token. Without a refresh token, and if
// the PBX refuses it, it fails with [pbx.ErrTokenRejected]: a login helps.
func (p *PBX) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	if t.Refresh.IsZero() {
		return nil, p.wire.Unsent(pbx.OpKeepAlive, pbx.ErrTokenRejected, "nothing was sent, because the refresh token is lost: log in again")
	}
	req := request(pbx.OpKeepAlive, http.MethodPost, "refresh_token", refreshBody{t.Refresh.Reveal()})
	req.Secrets = []pbx.Secret{t.Refresh, t.Value}
	fresh, x, err := p.pair(ctx, req)
	if err != nil {
		return nil, err
	}
	if fresh.Value.IsZero() || fresh.Refresh.IsZero() { // the old pair is all that is left
		return nil, x.Fail(pbx.ErrProtocol, "", "the refresh succeeded and did not bring both tokens")
	}
	return fresh, nil
}

// pair sends a request whose response is a pair of tokens, and returns what came
// of it.
func (p *PBX) pair(ctx context.Context, req wire.Request) (*pbx.Token, *wire.Exchange, error) {
	issued := time.Now()
	got, x, err := p.call(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	t := &pbx.Token{
		Value:     pbx.NewSecret(got.AccessToken),
		Refresh:   pbx.NewSecret(got.RefreshToken),
		IssuedAt:  issued,
		ExpiresAt: issued.Add(lifetime(got.AccessLifetime, accessLifetime, mostAccess)),
	}
	if !t.Refresh.IsZero() {
		t.RefreshExpiresAt = issued.Add(lifetime(got.RefreshLifetime, refreshLifetime, mostRefresh))
	}
	return t, x, nil
}

// Logout implements [pbx.Authenticator] by del_token, which makes room for
// another login.
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error {
	_, _, err := p.call(ctx, withToken(request(pbx.OpLogout, http.MethodGet, "del_token", nil), t))
	if failure, ok := err.(*pbx.Error); ok && failure.Kind == pbx.ErrTokenRejected {
		return nil // gone already
	}
	return err
}

// Ping implements [pbx.Pinger] with system/information. Firmware that does not
// have it is asked for the first extension.
func (p *PBX) Ping(ctx context.Context, t *pbx.Token) error {
	_, _, err := p.call(ctx, withToken(request(pbx.OpPing, http.MethodGet, "system/information", nil), t))
	if !missing(err) {
		return err
	}
	req := withToken(request(pbx.OpPing, http.MethodGet, "extension/list", nil), t)
	req.Query.Set("page", "1")
	req.Query.Set("page_size", "1")
	_, x, err := p.call(ctx, req)
	if missing(err) {
		return x.Fail(pbx.ErrNotSupported, noSuchInterface, "this firmware has neither system/information nor extension/list")
	}
	return err
}

// noSuchInterface is the errcode for a request that the firmware does not have.
const noSuchInterface = "10001"

func missing(err error) bool {
	failure, ok := err.(*pbx.Error)
	return ok && failure.Code == noSuchInterface
}

// Authorize implements [pbx.Requester]: the token goes into the query as
// access_token, instead of any that is there, and a request without a User-Agent
// gets one.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error {
	wire.SetQuery(r.URL, tokenName, t.Value.Reveal())
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", userAgent)
	}
	return nil
}

// Transport implements [pbx.Requester].
func (p *PBX) Transport() http.RoundTripper { return p.wire.Transport() }

// Inspect implements [pbx.Requester]. A response without an errcode, such as a
// recording, says nothing.
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	x := p.wire.Inspect(r, body, t)
	got := read(x.Response.Body)
	code, ok := got.Errcode.Int()
	if x.OK() && (!ok || code == inPart || code == processing) {
		return nil
	}
	return judge(x, got)
}

// Traits implements [pbx.Describer].
func (p *PBX) Traits() pbx.Traits {
	return pbx.Traits{
		Driver: Name,
		URL:    p.wire.URL(), Account: p.wire.Account(), Lifetime: accessLifetime,
		KeepAlive: pbx.KeepAliveRefresh, Logout: pbx.LogoutToken,
		Lockout: lockout, MaxTokens: maxTokens,
		// get_token is a POST. A GET is errcode 10001 or 10003.
		Probe: p.wire.URL() + apiPath + "/get_token",
	}
}

// Fingerprint implements [pbx.Fingerprinter].
func (p *PBX) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return p.wire.Fingerprint(ctx, key)
}

// Format writes which PBX this is, whatever the verb, where fmt would write
// pointers.
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, "yeastarp.PBX("+p.wire.URL()+")") }

// request makes a request. A nil body sends none.
func request(op pbx.Op, method, name string, body any) wire.Request {
	return wire.Request{Op: op, Method: method, Path: apiPath + "/" + name, Header: http.Header{"User-Agent": {userAgent}}, JSON: body}
}

func withToken(req wire.Request, t *pbx.Token) wire.Request {
	req.Query = url.Values{tokenName: {t.Value.Reveal()}}
	return req
}

// call sends req and proves the success. The exchange comes along with a refusal
// too.
func (p *PBX) call(ctx context.Context, req wire.Request) (response, *wire.Exchange, error) {
	x, err := p.wire.Do(ctx, req)
	if err != nil {
		return response{}, nil, err
	}
	got := read(x.Response.Body)
	if err := judge(x, got); err != nil {
		return response{}, x, err
	}
	return got, x, nil
}

// judge returns nil for a proven success. A refusal in a whole envelope counts,
// whatever the HTTP status says.
func judge(x *wire.Exchange, got response) error {
	code, ok := got.Errcode.Int()
	switch {
	case !ok:
		return lookalike.Advise(x.Unexpected(), x.Response.Body)
	case code == succeeded && x.OK():
		return nil
	case code == succeeded:
		return x.Unexpected()
	case code == inPart || code == processing:
		return x.Fail(pbx.ErrProtocol, strconv.Itoa(code), "the PBX reports a success that is not complete")
	}
	return refusal(x, got)
}
