// Package yeastar is the driver "yeastar" for Yeastar's S-Series, with the API
// v1.1.0 in JSON.
//
// # What the vendor says
//
// POST /api/v1.1.0/login takes the user name and the lower-case hex MD5 of the
// password and answers a token, which every other call carries in its query.
// The token ends after 30 minutes without interaction: any call, any event
// report and any heartbeat set it back to its full life. Five wrong logins in a
// row lock the caller's IP for ten minutes. A failure is HTTP 200 with "status"
// other than "Success" and a number in "errno".
// (help.yeastar.com, s-series-developer: Login, Heartbeat, Logout, Error Code.)
//
// # What this driver makes of it
//
// The API has to be enabled in the PBX's web interface (Settings, PBX, General,
// API), which also says which IPs may use it, and has its own user name and
// password. The digest is as good as the password to whoever sees it, so the
// factory's https on port 8088 is the default.
//
// [pbx.Token].Details is nil: a login answers a token and nothing else.
package yeastar

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Name is what the driver is registered under.
const Name = "yeastar"

// Config is the typed form of the driver's settings. Options of the embedded
// Config must be empty: they are for [pbx.Open].
type Config struct {
	pbx.Config

	// EventPort is the port on which the application listens for the PBX's
	// event reports. The PBX insists on one; without it 8260, the vendor's
	// usual value, is sent, and who listens nowhere loses nothing.
	EventPort int
	// EventURL is where event reports go, EventURLTag says how to read it: "0"
	// a path below the caller's IP and EventPort, "1" an absolute address.
	// Without EventURL they go to the caller's IP.
	EventURL    string
	EventURLTag string
	// EventVersion is the format of the reports; "1.0.2" makes them well-formed
	// JSON.
	EventVersion string

	// TokenTTL is a token's life without interaction, for a PBX that does not
	// keep to the documented 30 minutes.
	TokenTTL time.Duration
}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "Yeastar S-Series",
		Options: []pbx.Option{
			{Name: "event_port", Kind: pbx.OptionPort, Help: "port on which you listen for event reports (8260 is sent without it)"},
			{Name: "event_url", Kind: pbx.OptionString, Help: "where event reports go; without it, to the caller's IP"},
			{Name: "event_urltag", Kind: pbx.OptionChoice, Choices: []string{"0", "1"}, Help: "event_url is 0: a path on the caller's IP, 1: absolute"},
			{Name: "event_version", Kind: pbx.OptionString, Help: "format of event reports; 1.0.2 is well-formed JSON"},
			{Name: "token_ttl", Kind: pbx.OptionDuration, Default: "30m", Help: "life of a token without interaction, as in 30m"},
		},
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			options := cfg.Options
			cfg.Options = nil
			typed := Config{Config: cfg, EventURL: options["event_url"], EventURLTag: options["event_urltag"], EventVersion: options["event_version"]}
			typed.EventPort, _ = strconv.Atoi(options["event_port"]) // checked by the registry; absent is 0
			typed.TokenTTL, _ = time.ParseDuration(options["token_ttl"])
			p, err := New(typed)
			if err != nil {
				return nil, err // and not p: a nil *PBX makes an Authenticator that is not nil
			}
			return p, nil
		},
	})
}

// PBX is a Yeastar PBX as seen by one API account. It implements
// [pbx.Authenticator] and all the optional interfaces.
type PBX struct {
	wire   *wire.Client
	family family
	ttl    time.Duration
	login  loginBody // less the account
	beat   heartbeatBody
	events bool // an event option is set

	// insisted is what this PBX took when it refused an empty heartbeat, so that
	// not every heartbeat has to be sent twice.
	insisted atomic.Pointer[heartbeatBody]
}

// New opens a PBX. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg Config) (*PBX, error) {
	fault := func(format string, args ...any) error {
		return &pbx.Error{Driver: Name, Op: pbx.OpOpen, Kind: pbx.ErrConfig, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(cfg.Options) > 0:
		return nil, fault("Options are for pbx.Open: set the fields of yeastar.Config")
	case cfg.EventPort < 0 || cfg.EventPort > 65535:
		return nil, fault("EventPort %d is not a port (1 to 65535)", cfg.EventPort)
	case cfg.EventURLTag != "" && cfg.EventURLTag != "0" && cfg.EventURLTag != "1":
		return nil, fault(`EventURLTag %q is neither "0" nor "1"`, cfg.EventURLTag)
	case cfg.EventURLTag != "" && cfg.EventURL == "":
		return nil, fault("EventURLTag (event_urltag) says how to read EventURL (event_url), which is not set")
	case cfg.TokenTTL < 0:
		return nil, fault("TokenTTL %s is negative", cfg.TokenTTL)
	}
	client, err := wire.New(wire.Brand{Driver: Name, Port: 8088, APIPath: "/api"}, cfg.Config)
	if err != nil {
		return nil, err
	}
	p := &PBX{wire: client, family: sV1, ttl: cfg.TokenTTL}
	if p.ttl == 0 {
		p.ttl = p.family.life
	}
	port := ""
	if cfg.EventPort != 0 {
		port = strconv.Itoa(cfg.EventPort)
	}
	p.beat = heartbeatBody{Port: port, URL: cfg.EventURL, URLTag: cfg.EventURLTag}
	p.events = p.beat != heartbeatBody{} || cfg.EventVersion != ""
	if port == "" {
		port = "8260"
	}
	p.login = loginBody{Port: port, Version: cfg.EventVersion, URL: cfg.EventURL, URLTag: cfg.EventURLTag}
	return p, nil
}

// loginBody has the fields of the vendor's login page, in its order.
type loginBody struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Port     string `json:"port"`
	Version  string `json:"version,omitempty"`
	URL      string `json:"url,omitempty"`
	URLTag   string `json:"urltag,omitempty"`
}

// heartbeatBody re-points the event reports, so only what was configured goes
// into it: a made-up address would send them astray.
type heartbeatBody struct {
	IPAddr string `json:"ipaddr,omitempty"`
	Port   string `json:"port,omitempty"`
	URL    string `json:"url,omitempty"`
	URLTag string `json:"urltag,omitempty"`
}

// Login implements [pbx.Authenticator].
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) {
	account, err := p.wire.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	sum := md5.Sum([]byte(account.Password.Reveal()))
	digest := pbx.NewSecret(hex.EncodeToString(sum[:]))
	body := p.login
	body.Username, body.Password = account.Username, digest.Reveal()

	req := p.request(pbx.OpLogin, "login", nil, body)
	req.Secrets = []pbx.Secret{account.Password, digest}
	issued := time.Now()
	got, resp, err := p.call(ctx, req)
	if err != nil {
		return nil, err
	}
	if got.Token == "" {
		return nil, p.wire.Fail(req, resp, pbx.ErrProtocol, "", "the login succeeded and brought no token")
	}
	return &pbx.Token{Value: pbx.NewSecret(got.Token), IssuedAt: issued, ExpiresAt: issued.Add(p.ttl)}, nil
}

// KeepAlive implements [pbx.Authenticator] with a heartbeat: the token stays
// the same and gets its full life back.
func (p *PBX) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	beat := func(body heartbeatBody) (*wire.Response, time.Time, error) {
		issued := time.Now()
		_, resp, err := p.call(ctx, p.request(pbx.OpKeepAlive, "heartbeat", t, body))
		return resp, issued, err
	}
	body := p.beat
	if insisted := p.insisted.Load(); insisted != nil {
		body = *insisted
	}
	resp, issued, err := beat(body)
	if !p.events && wantsAddress(err) {
		// The English pages require ipaddr and port, the Chinese one and the
		// official sample do not. Whoever set no event option gets no events,
		// so that none can go astray by naming this end of the connection.
		if host, _, splitErr := net.SplitHostPort(resp.LocalAddr); splitErr == nil {
			body = heartbeatBody{IPAddr: host, Port: p.login.Port}
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

// wantsAddress tells the two codes with which a PBX may ask for the fields that
// a heartbeat left out. They only ever come with an answer.
func wantsAddress(err error) bool {
	failure, ok := err.(*pbx.Error)
	return ok && (failure.Code == "10004" || failure.Code == "20011")
}

// Logout implements [pbx.Authenticator].
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error {
	_, _, err := p.call(ctx, p.request(pbx.OpLogout, "logout", t, nil))
	if failure, ok := err.(*pbx.Error); ok && failure.Kind == pbx.ErrTokenRejected {
		return nil // gone already
	}
	return err
}

// Authorize implements [pbx.Authorizer]: the token goes into the query, in place
// of any that is there. The other parameters stay as they are spelled.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error {
	var query []string
	for parameter := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(parameter, "=")
		if name, err := url.QueryUnescape(name); parameter != "" && (err != nil || name != "token") {
			query = append(query, parameter)
		}
	}
	r.URL.RawQuery = strings.Join(append(query, "token="+url.QueryEscape(t.Value.Reveal())), "&")
	return nil
}

// RoundTrip implements [http.RoundTripper] for requests of the application's
// own, over this PBX's connections. It adds no token.
func (p *PBX) RoundTrip(r *http.Request) (*http.Response, error) {
	return p.wire.Transport().RoundTrip(r)
}

// Inspect implements [pbx.Inspector]. An answer without the envelope, such as a
// recording, says nothing.
func (p *PBX) Inspect(r *http.Response, body []byte) error {
	req := wire.Request{Op: pbx.OpCall}
	resp := &wire.Response{Status: r.StatusCode, Header: r.Header, Body: body}
	if kind := wire.StatusKind(req.Op, r.StatusCode); kind != nil {
		return p.wire.Unexpected(req, resp)
	}
	var got envelope
	_ = json.Unmarshal(body, &got) // what is of another type stays empty
	if got.Status == "" || got.Status == success {
		return nil
	}
	return p.refusal(req, resp, got)
}

// Traits implements [pbx.Describer].
func (p *PBX) Traits() pbx.Traits {
	return pbx.Traits{
		URL:       p.wire.URL(),
		Lifetime:  p.ttl,
		Sliding:   p.family.sliding,
		KeepAlive: pbx.KeepAliveHeartbeat,
		Lockout:   p.family.lockout,
	}
}

// Format writes which PBX this is, whatever the verb: fmt would look into the
// connections, which are in use.
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, "yeastar.PBX("+p.wire.URL()+")") }

// request makes a call of this family. A nil body sends none.
func (p *PBX) request(op pbx.Op, name string, t *pbx.Token, body any) wire.Request {
	req := wire.Request{
		Op:     op,
		Path:   "/api/" + p.family.version + "/" + name,
		Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}},
	}
	if t != nil {
		req.Query = url.Values{"token": {t.Value.Reveal()}}
		req.Secrets = []pbx.Secret{t.Value}
	}
	if body != nil {
		req.Body, _ = json.Marshal(body) // structs of strings always marshal
	}
	return req
}

// call sends req and proves the success: HTTP status, envelope, status field.
// The response comes along with a refusal too.
func (p *PBX) call(ctx context.Context, req wire.Request) (answer, *wire.Response, error) {
	resp, err := p.wire.Do(ctx, req)
	if err != nil {
		return answer{}, nil, err
	}
	var a answer
	_ = json.Unmarshal(resp.Body, &a) // what is of another type stays empty
	if resp.Status != http.StatusOK || a.Status == "" {
		return answer{}, resp, p.wire.Unexpected(req, resp)
	}
	if a.Status != success {
		return answer{}, resp, p.refusal(req, resp, a.envelope)
	}
	return a, resp, nil
}
