// Package sseries speaks the login protocol that Yeastar's S-Series began with,
// in all its variants: the later product lines of Yeastar's, and OpenVox's UC,
// which descends from it. A brand's driver is its [Variant], which is data, its
// options, and its documents; this package is the rest.
//
//	POST /api/{version}/login          user name, MD5 of the password → token
//	POST /api/{version}/heartbeat      the same token, with a new expiry
//	POST /api/{version}/token/refresh  another token, and what refreshes it
//	POST /api/{version}/logout
//
// Every request but login and refresh carries the token in its query. Every
// response has HTTP status 200, a "status" and, unless that is "Success", the
// "errno".
package sseries

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/lookalike"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Settings are what a brand's Config comes to.
type Settings struct {
	pbx.Config

	PasswordIsMD5 bool
	APIVersion    string // instead of the variant's
	Format        Format
	Events        Events
	TokenTTL      time.Duration // 0: the variant's lifetime
}

// PBX is a PBX as seen by one API account.
type PBX struct {
	wire      *wire.Client
	variant   *Variant
	format    Format
	digested  bool
	ttl       time.Duration
	reporting atomic.Pointer[reporting]

	// insisted is what the PBX took when it refused an empty heartbeat, so that
	// not every heartbeat has to be sent twice.
	insisted atomic.Pointer[heartbeatBody]
}

var pathVersion = regexp.MustCompile(`^v[0-9]+(\.[0-9]+)*$`)

// New opens a PBX. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(v *Variant, s Settings) (*PBX, error) {
	fault := func(setting, format string, args ...any) (*PBX, error) {
		return nil, wire.Misconfigured(v.Driver, setting, format, args...)
	}
	setting, wrong := s.Events.check(v)
	switch {
	case wrong != "":
		return fault(setting, "%s", wrong)
	case s.TokenTTL != 0 && s.TokenTTL < time.Second:
		return fault("token_ttl", "TokenTTL (token_ttl) %s is negative, or less than a second: is its unit missing?", s.TokenTTL)
	case s.APIVersion != "" && !pathVersion.MatchString(s.APIVersion):
		return fault("api_version", "APIVersion (api_version) %q is not a version, as in %s", s.APIVersion, v.Version)
	case s.Format != "" && s.Format != JSON && s.Format != XML:
		return fault("format", "Format (format) %q is neither json nor xml", string(s.Format))
	}
	if s.APIVersion != "" {
		other := *v
		other.Version = s.APIVersion
		v = &other
	}
	p := &PBX{variant: v, format: s.Format, digested: s.PasswordIsMD5, ttl: s.TokenTTL}
	if p.format == "" {
		p.format = JSON
	}
	if p.ttl == 0 {
		p.ttl = v.Lifetime
	}
	api := "/api/" + v.Version
	var err error
	p.wire, err = wire.New(wire.Endpoint{
		Driver: v.Driver, Port: v.Port, PlainPort: v.Plain, APIPaths: []string{"/api", api, api + "/login"}, NoOptions: true, Impossible: p.impossible,
	}, s.Config)
	if err != nil {
		return nil, err
	}
	p.reporting.Store(s.Events.reporting(v))
	return p, nil
}

// SetEvents changes where event reports go, from the next heartbeat or login on.
func (p *PBX) SetEvents(e Events) error {
	if setting, wrong := e.check(p.variant); wrong != "" {
		return wire.Misconfigured(p.variant.Driver, setting, "%s", wrong)
	}
	p.reporting.Store(e.reporting(p.variant))
	return nil
}

// Login is [pbx.Authenticator]'s.
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) {
	account, err := p.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	body := p.reporting.Load().login
	body.Username, body.Password = account.Username, p.digest(account.Password)

	req := p.request(pbx.OpLogin, "login", nil)
	if p.variant.Typed {
		req.Query = url.Values{"type": {string(p.format)}}
	}
	p.write(&req, p.format, body)
	issued := time.Now()
	got, x, err := p.call(ctx, req)
	if err != nil {
		return nil, err
	}
	if got.Token == "" {
		return nil, x.Fail(pbx.ErrProtocol, "", "the login succeeded and brought no token")
	}
	t := &pbx.Token{Value: pbx.NewSecret(got.Token), IssuedAt: issued, ExpiresAt: issued.Add(p.ttl), Details: got.details()}
	if p.variant.Refresh || p.variant.KeepsRefresh {
		t.Refresh = pbx.NewSecret(got.RefreshToken)
	}
	return t, nil
}

// details is what a login of API v2 says beside its tokens: whether events are
// reported over "HTTP" or "TCP".
func (r response) details() json.RawMessage {
	if r.Transport != "HTTP" && r.Transport != "TCP" {
		return nil
	}
	return json.RawMessage(`{"transport":"` + r.Transport + `"}`)
}

var md5Hex = regexp.MustCompile(`^[0-9A-Fa-f]{32}$`)

// impossible implements [wire.Endpoint].Impossible.
func (p *PBX) impossible(account pbx.Credentials) (setting, wrong string) {
	switch {
	case !utf8.ValidString(account.Username): // it would arrive as another one, and be a wrong login
		return "Username", "the user name is not UTF-8"
	case p.format == XML && strings.ContainsFunc(account.Username, notXML):
		return "Username", "the user name holds control characters, which XML cannot carry"
	case p.digested && !md5Hex.MatchString(account.Password.Reveal()):
		return "Password", "the password has to be an MD5 digest (password_form is md5), and is not 32 hexadecimal digits"
	}
	return "", ""
}

// digest returns what is sent for a password.
func (p *PBX) digest(password pbx.Secret) string {
	if p.digested {
		return strings.ToLower(password.Reveal())
	}
	sum := md5.Sum([]byte(password.Reveal()))
	return hex.EncodeToString(sum[:])
}

// notXML are the characters that no XML document holds, escaped or not.
func notXML(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\uFFFE' || r == '\uFFFF'
}

// KeepAlive is [pbx.Authenticator]'s.
func (p *PBX) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	switch {
	case p.variant.Refresh && !t.Refresh.IsZero():
		return p.refresh(ctx, t)
	case p.variant.Heartbeat:
		return p.heartbeat(ctx, t)
	}
	return nil, p.wire.Unsent(pbx.OpKeepAlive, pbx.ErrNotSupported, "the login brought nothing to refresh the token with: log in again before it expires")
}

// refresh replaces both values at once. A response that lacks one is a failure:
// whatever it did at the PBX, the old pair is all that is left.
func (p *PBX) refresh(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	req := p.request(pbx.OpKeepAlive, "token/refresh", nil)
	req.Secrets = []pbx.Secret{t.Refresh, t.Value}
	p.write(&req, JSON, refreshBody{t.Refresh.Reveal()})
	issued := time.Now()
	got, x, err := p.call(ctx, req)
	if failure, ok := err.(*pbx.Error); ok && failure.Kind == nil {
		// The vendor lists no code for a dead refresh token. A refusal that
		// means nothing else means that, for there is nothing else in the
		// request; as an error without a kind it would be repeated without end.
		failure.Kind = pbx.ErrTokenRejected
	}
	if err != nil {
		return nil, err
	}
	if got.Token == "" || got.RefreshToken == "" {
		return nil, x.Fail(pbx.ErrProtocol, "", "the refresh succeeded and did not bring both tokens")
	}
	return &pbx.Token{
		Value: pbx.NewSecret(got.Token), Refresh: pbx.NewSecret(got.RefreshToken),
		IssuedAt: issued, ExpiresAt: issued.Add(p.ttl), Details: t.Details,
	}, nil
}

// heartbeat starts the lifetime of the same token anew.
func (p *PBX) heartbeat(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	beat := func(body heartbeatBody) (*wire.Exchange, time.Time, error) {
		req := p.request(pbx.OpKeepAlive, "heartbeat", t)
		p.write(&req, JSON, body)
		issued := time.Now()
		_, x, err := p.call(ctx, req)
		return x, issued, err
	}
	r := p.reporting.Load()
	body := r.beat
	if insisted := p.insisted.Load(); insisted != nil && !r.wanted {
		body = *insisted
	}
	x, issued, err := beat(body)
	if !r.wanted && wantsAddress(err) {
		// Some pages require ipaddr and port, others and the official sample do
		// not. Without an event option there are no events, so that none can go
		// astray by naming this end of the connection.
		if local, ok := x.Response.LocalAddr.(*net.TCPAddr); ok {
			body = heartbeatBody{IPAddr: local.IP.String(), Port: usualPort}
			if _, issued, err = beat(body); err == nil {
				p.insisted.Store(&body)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	prolonged := *t
	prolonged.IssuedAt, prolonged.ExpiresAt = issued, issued.Add(p.ttl)
	return &prolonged, nil
}

// wantsAddress recognises the two codes with which a PBX may ask for the fields
// that a heartbeat left out. They only ever come with a response.
func wantsAddress(err error) bool {
	failure, ok := err.(*pbx.Error)
	return ok && (failure.Code == "10004" || failure.Code == "20011")
}

// Logout is [pbx.Authenticator]'s.
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error {
	_, _, err := p.call(ctx, p.request(pbx.OpLogout, "logout", t))
	if failure, ok := err.(*pbx.Error); ok && failure.Kind == pbx.ErrTokenRejected {
		return nil // gone already
	}
	return err
}

// Ping is [pbx.Pinger]'s, for a brand with a harmless request.
func (p *PBX) Ping(ctx context.Context, t *pbx.Token) error {
	_, x, err := p.call(ctx, p.request(pbx.OpPing, p.variant.Harmless, t))
	if failure, ok := err.(*pbx.Error); ok && failure.Code == noSuchRequest {
		return x.Fail(pbx.ErrNotSupported, noSuchRequest, "this firmware does not have the request "+p.variant.Harmless)
	}
	return err
}

// noSuchRequest is the errno for a request that the firmware does not have.
const noSuchRequest = "10003"

// Authorize is [pbx.Requester]'s. The application knows how the body of its
// request is written, so a type of its own stays.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error {
	wire.SetQuery(r.URL, "token", t.Value.Reveal())
	if p.variant.Typed && !r.URL.Query().Has("type") {
		wire.SetQuery(r.URL, "type", string(p.format))
	}
	return nil
}

// Transport is [pbx.Requester]'s.
func (p *PBX) Transport() http.RoundTripper { return p.wire.Transport() }

// Inspect is [pbx.Requester]'s. A response without the envelope, such as a
// recording, says nothing.
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	x := p.wire.Inspect(r, body, t)
	got := p.variant.read(x.Response.Body)
	if x.OK() && got.Status == "" {
		return nil
	}
	return p.judge(x, got)
}

// judge returns nil for a proven success. A refusal in a whole envelope counts,
// whatever the HTTP status says. A status without an errno, under an HTTP status
// that is none of this brand's, is something else: gateways write {"status":"error"}.
func (p *PBX) judge(x *wire.Exchange, got response) error {
	switch {
	case got.Status == "":
		return lookalike.Advise(x.Unexpected(), x.Response.Body)
	case !x.OK() && (got.Status == success || got.code() == ""):
		return x.Unexpected()
	case got.Status != success:
		return p.variant.refusal(x, got)
	}
	return nil
}

// Traits is [pbx.Describer]'s.
func (p *PBX) Traits() pbx.Traits {
	traits := pbx.Traits{
		Driver: p.variant.Driver,
		URL:    p.wire.URL(), Account: p.wire.Account(), Lifetime: p.ttl, Sliding: p.variant.Sliding, Lockout: p.variant.Lockout,
		KeepAlive: pbx.KeepAliveHeartbeat, Logout: pbx.LogoutToken,
		// A GET is errno 20001, "not a POST", before anything is looked at.
		Probe: p.wire.URL() + "/api/" + p.variant.Version + "/login",
	}
	if p.variant.Refresh {
		traits.KeepAlive = pbx.KeepAliveRefresh
	}
	return traits
}

// Fingerprint is [pbx.Fingerprinter]'s.
func (p *PBX) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return p.wire.Fingerprint(ctx, key)
}

var (
	inJSON = http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	inXML  = http.Header{"Content-Type": {"application/xml; charset=utf-8"}}
)

// request makes a request of this variant, without a body.
func (p *PBX) request(op pbx.Op, name string, t *pbx.Token) wire.Request {
	req := wire.Request{
		Op:     op,
		Path:   "/api/" + p.variant.Version + "/" + name,
		Header: inJSON,
	}
	if t != nil {
		req.Query = url.Values{"token": {t.Value.Reveal()}}
	}
	return req
}

// write puts body into req. Structs of strings always marshal.
func (p *PBX) write(req *wire.Request, format Format, body any) {
	if format == JSON {
		req.Body, _ = json.Marshal(body)
		return
	}
	req.Header = inXML
	text, _ := xml.MarshalIndent(body, "", "    ")
	req.Body = append([]byte(`<?xml version="1.0" encoding="UTF-8" ?>`+"\n"), text...)
}

// call sends req and proves the success. The exchange comes along with a refusal
// too.
func (p *PBX) call(ctx context.Context, req wire.Request) (response, *wire.Exchange, error) {
	x, err := p.wire.Do(ctx, req)
	if err != nil {
		return response{}, nil, err
	}
	got := p.variant.read(x.Response.Body)
	if err := p.judge(x, got); err != nil {
		return response{}, x, err
	}
	return got, x, nil
}
