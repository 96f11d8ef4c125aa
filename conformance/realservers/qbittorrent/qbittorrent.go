// Package qbittorrent is a driver for the Web API of qBittorrent. qBittorrent is
// no PBX. It is a server that everybody can install whose login works like that
// of a PBX: a form with a password, a cookie as token, an idle lifetime, and a
// ban of the client's address. So it can judge what the simulators cannot.
//
// The driver is written as a third party writes one: outside of the library's
// module, and not registered by package adapters.
//
// The facts are those of qBittorrent 4.5.2 on the wire, and of
// https://github.com/qbittorrent/qBittorrent/wiki/WebUI-API-(qBittorrent-4.1).
package qbittorrent

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Name is what the driver is registered under.
const Name = "qbittorrent"

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "qBittorrent (Web API)",
		Setup: "Options, Web UI: switch the Web User Interface on and set its user name and password.",
		Docs:  "https://github.com/qbittorrent/qBittorrent/wiki",
		Options: []pbx.Option{
			{Name: "session-timeout", Label: "Session timeout", Kind: pbx.OptionDuration, Default: "1h",
				Help: "Session timeout of the Web UI: no response states it."},
			{Name: "ban-duration", Label: "Ban duration", Kind: pbx.OptionDuration, Default: "1h",
				Help: "How long the Web UI bans a client after consecutive failures: no response states it."},
			{Name: "failures", Label: "Failures", Kind: pbx.OptionInt, Default: "5",
				Help: "After how many consecutive failures the Web UI bans a client."},
		},
		Open: open,
	})
}

// WebUI is one qBittorrent as seen by one account. It implements
// [pbx.Authenticator] and all optional interfaces.
type WebUI struct {
	wire     *wire.Client
	account  string
	lifetime time.Duration
	lockout  pbx.Lockout
}

func open(cfg pbx.Config) (pbx.Authenticator, error) {
	options := cfg.Options
	cfg.Options = nil
	client, err := wire.New(wire.Endpoint{Driver: Name, Port: 8080, PlainPort: 8080, APIPaths: []string{"/api/v2"}}, cfg)
	if err != nil {
		return nil, err
	}
	w := &WebUI{wire: client, account: cfg.Username}
	// The registry has checked the options.
	w.lifetime, _ = time.ParseDuration(options["session-timeout"])
	w.lockout = pbx.Lockout{
		// A wrong login is never forgotten by time. A good login clears those
		// of the address. A ban concerns logins only.
		Memory:     pbx.Forever,
		Reset:      pbx.ResetAddress,
		DeadTokens: pbx.DeadTokensIgnored,
	}
	w.lockout.Window, _ = time.ParseDuration(options["ban-duration"])
	fmt.Sscan(options["failures"], &w.lockout.Attempts)
	return w, nil
}

// Traits implements [pbx.Describer].
func (w *WebUI) Traits() pbx.Traits {
	return pbx.Traits{
		Driver:    Name,
		URL:       w.wire.URL(),
		Account:   w.account,
		Lifetime:  w.lifetime,
		Sliding:   true,
		KeepAlive: pbx.KeepAliveHeartbeat,
		Lockout:   w.lockout,
		// 403 without a cookie, which is no failed login.
		Probe: w.wire.URL() + versionPath,
	}
}

const versionPath = "/api/v2/app/webapiVersion"

// Login implements [pbx.Authenticator]. It sends no cookie: with that of a live
// session, qBittorrent accepts any password.
func (w *WebUI) Login(ctx context.Context) (*pbx.Token, error) {
	account, err := w.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	issued := time.Now()
	form := url.Values{"username": {account.Username}, "password": {account.Password.Reveal()}}
	req := wire.Request{
		Op: pbx.OpLogin, Path: "/api/v2/auth/login",
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		Body:   []byte(form.Encode()),
	}
	x, err := w.wire.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	resp := x.Response
	switch text := string(resp.Body); {
	case resp.Status == http.StatusForbidden && strings.Contains(text, "banned"):
		return nil, x.Fail(pbx.ErrLocked, "", "too many wrong logins from this address: wait, or restart qBittorrent")
	case resp.Status == http.StatusOK && text == "Fails.":
		return nil, x.Fail(pbx.ErrInvalidCredentials, "", "wrong user name or password of the Web UI")
	case foreign(resp.Status, resp.Body):
		failure := w.foreign(x)
		failure.Sent = false // it has not looked at the password
		return nil, failure
	case resp.Status != http.StatusOK || text != "Ok.":
		return nil, x.Unexpected()
	}
	sid, ok := wire.Cookie(resp.Header, "SID")
	if !ok || sid.Value == "" {
		return nil, x.Fail(pbx.ErrProtocol, "", "the login succeeded without the cookie SID")
	}
	return &pbx.Token{Value: pbx.NewSecret(sid.Value), IssuedAt: issued, ExpiresAt: issued.Add(w.lifetime)}, nil
}

// KeepAlive implements [pbx.Authenticator]: every request extends the session.
func (w *WebUI) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	issued := time.Now()
	if err := w.askVersion(ctx, pbx.OpKeepAlive, t); err != nil {
		return nil, err
	}
	extended := *t
	extended.IssuedAt, extended.ExpiresAt = issued, issued.Add(w.lifetime)
	return &extended, nil
}

// Ping implements [pbx.Pinger].
func (w *WebUI) Ping(ctx context.Context, t *pbx.Token) error {
	return w.askVersion(ctx, pbx.OpPing, t)
}

func (w *WebUI) askVersion(ctx context.Context, op pbx.Op, t *pbx.Token) error {
	x, err := w.wire.Do(ctx, with(t, wire.Request{Op: op, Method: http.MethodGet, Path: versionPath}))
	if err != nil {
		return err
	}
	resp := x.Response
	switch {
	case dead(resp.Status, resp.Body):
		return x.Fail(pbx.ErrTokenRejected, "", "the session has expired")
	case foreign(resp.Status, resp.Body):
		return w.foreign(x)
	case resp.Status != http.StatusOK || len(resp.Body) == 0 || len(resp.Body) > 20 || strings.Trim(string(resp.Body), "0123456789.") != "":
		return x.Unexpected()
	}
	return nil
}

// Logout implements [pbx.Authenticator].
func (w *WebUI) Logout(ctx context.Context, t *pbx.Token) error {
	x, err := w.wire.Do(ctx, with(t, wire.Request{Op: pbx.OpLogout, Path: "/api/v2/auth/logout"}))
	if err != nil {
		return err
	}
	resp := x.Response
	switch {
	case dead(resp.Status, resp.Body):
		return nil
	case resp.Status != http.StatusOK || len(resp.Body) > 0:
		return x.Unexpected()
	}
	return nil
}

func with(t *pbx.Token, req wire.Request) wire.Request {
	req.Header = http.Header{}
	wire.SetCookie(req.Header, "SID", t.Value.Reveal())
	return req
}

// dead reports whether a response says that there is no such session.
func dead(status int, body []byte) bool {
	return status == http.StatusForbidden && string(body) == "Forbidden"
}

// foreign reports whether qBittorrent refused the request's Host, Origin or
// Referer. It does so before anything else.
func foreign(status int, body []byte) bool {
	return status == http.StatusUnauthorized && string(body) == "Unauthorized"
}

func (w *WebUI) foreign(x *wire.Exchange) *pbx.Error {
	failure := x.Fail(pbx.ErrConfig, "", "qBittorrent does not serve this host and port: check the URL, or the Host that a proxy sends")
	failure.Setting = "URL"
	return failure
}

// Authorize implements [pbx.Requester].
func (w *WebUI) Authorize(r *http.Request, t *pbx.Token) error {
	wire.SetCookie(r.Header, "SID", t.Value.Reveal())
	return nil
}

// Inspect implements [pbx.Requester].
func (w *WebUI) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	x := w.wire.Inspect(r, body, t)
	switch {
	case dead(x.Response.Status, x.Response.Body):
		return x.Fail(pbx.ErrTokenRejected, "", "the session has expired")
	case foreign(x.Response.Status, x.Response.Body):
		return x.Fail(pbx.ErrForbidden, "", "qBittorrent refuses the Host, Origin or Referer of this request")
	case r.StatusCode >= 400:
		return x.Unexpected()
	}
	return nil
}

// Transport implements [pbx.Requester].
func (w *WebUI) Transport() http.RoundTripper { return w.wire.Transport() }

// Fingerprint implements [pbx.Fingerprinter].
func (w *WebUI) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return w.wire.Fingerprint(ctx, key)
}

// Format writes which server this is, whatever the verb.
func (w *WebUI) Format(f fmt.State, _ rune) {
	io.WriteString(f, "qbittorrent.WebUI("+w.wire.URL()+")")
}
