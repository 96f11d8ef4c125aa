// Package yeastar is the driver "yeastar" for Yeastar's S-Series, K2, S1000 and
// Cloud PBX. (The P-Series speaks another protocol: its driver is yeastar-p.)
//
// # What the vendor says
//
// POST /api/{version}/login takes the user name and the lower-case hex MD5 of
// the password and returns a token, which every other request carries in its
// query. Five wrong logins in a row lock the client's IP for ten minutes. A failure is
// HTTP 200 with "status" other than "Success" and a number in "errno".
//
//	family     PBX                   version  port  lifetime of a token  kept alive by
//	s-v1       S-Series, K2, S1000   v1.1.0   8088  30 min, any request  heartbeat
//	           with API v1                          starts it anew
//	s-v2       the same with API v2  v2.0.0   8088  30 min               heartbeat
//	cloud-v1   Cloud PBX, API v1     v1.1.0    443  30 min               refresh
//	cloud-v2   Cloud PBX, API v2     v2.0.0    443  30 min               refresh, or heartbeat
//	                                                                     without a refresh token
//
// (help.yeastar.com: s-series-developer, s-series-developer-v2,
// cloudpbx-developer, cloudpbx-developer-v2, and those of the K2 and S1000.)
//
// # What this driver makes of it
//
// The API has to be enabled in the PBX's web interface (Settings, PBX, General,
// API), which also says which IPs may use it, and has its own user name and
// password. The digest is as good as the password to anyone who sees it, so
// the factory's https on port 8088 is the default.
//
// A heartbeat also re-points the PBX's event reports, so it carries what is set in
// [Events] and nothing else. A refresh replaces both values at once. If its
// response lacks one, the old pair stays.
//
// [pbx.Token].Details is {"transport":"HTTP"} or {"transport":"TCP"} after a
// login of API v2, which says how events are reported, and nil otherwise.
package yeastar

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/sseries"
)

// Name is what the driver is registered under.
const Name = "yeastar"

// Config is the typed form of the driver's settings. Options of the embedded
// Config must be empty: they are for [pbx.Open].
type Config struct {
	pbx.Config

	// Family is the PBX's product line and API. Empty: [SV1].
	Family Family

	// APIVersion is the version in the API's paths, as in "v1.0.0", if it is not
	// the family's: old firmware has v1.0.0 and v1.0.1.
	APIVersion string

	// PasswordIsMD5 says that Password, and what Credentials return, is the MD5
	// digest in hexadecimal and not the password. It is never guessed: a
	// password may well look like a digest.
	PasswordIsMD5 bool

	// Events says where the PBX sends its event reports.
	Events Events

	// TokenTTL is a token's lifetime without a keep-alive, for a PBX that does
	// not keep to the documented 30 minutes.
	TokenTTL time.Duration
}

// Events says where the PBX sends its event reports, and in which form. An
// application that takes none leaves it empty.
//
//	           login                          heartbeat
//	s-v1       port, version, url, urltag     ipaddr, port, url, urltag
//	s-v2       port, version, url, urltag     ipaddr, port, version, url, urltag
//	cloud-v1   port, version, url, urltag     there is none
//	cloud-v2   port, version, url, urltag     as s-v2, if there is one
type Events struct {
	// Port is the port on which the application listens. A login has to name
	// one; without Port, it is the vendor's usual 8260.
	Port int
	// URL is where event reports go, URLTag says how to read it: "0" a path
	// below the client's IP and Port, "1" an absolute address. Without URL they
	// go to the client's IP.
	URL    string
	URLTag string
	// IPAddr is the IP address that listens, if it is not the client's.
	// Only heartbeats carry it.
	IPAddr string
	// Version is the format of the reports. "1.0.2" makes those of API v1
	// well-formed JSON; API v2 has "2.0.0".
	Version string
}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "Yeastar S-Series, K2, S1000, Cloud PBX",

		UserLabel: "API user", PasswordLabel: "API password",
		DefaultPort: 8088, // 443 for the Cloud PBX
		Setup:       "In the web interface, under Settings, PBX, General, API: enable the API, set its user name and password, and permit this machine's IP address. The S20, S412 and S412 Lite have no API.",
		Docs:        "https://help.yeastar.com/en/s-series-developer/",

		Options: sseries.Options(
			pbx.Option{Name: "family", Label: "Product line", Kind: pbx.OptionChoice, Choices: familyChoices, Default: string(SV1),
				Help: "The PBX's product line and the version of its API. The web interface shows the model. API v2 needs firmware 30.13.0.30 (S-Series) or 81.13.0.30 (Cloud PBX)."},
		),
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			return open(Family(cfg.Options["family"]), sseries.Read(cfg))
		},
	})
}

// PBX is a Yeastar PBX as seen by one API account. It implements
// [pbx.Authenticator] and all the optional interfaces.
type PBX struct{ protocol *sseries.PBX }

// New opens a PBX. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg Config) (*PBX, error) {
	return open(cfg.Family, sseries.Settings{
		Config:        cfg.Config,
		APIVersion:    cfg.APIVersion,
		PasswordIsMD5: cfg.PasswordIsMD5,
		Events:        sseries.Events(cfg.Events),
		TokenTTL:      cfg.TokenTTL,
	})
}

func open(f Family, settings sseries.Settings) (*PBX, error) {
	variant, err := f.variant()
	if err != nil {
		return nil, err
	}
	protocol, err := sseries.New(variant, settings)
	if err != nil {
		return nil, err
	}
	return &PBX{protocol}, nil
}

// SetEvents changes where event reports go while the PBX is in use. The next
// heartbeat carries the change, or the next login if there are no heartbeats. A
// session sends none while it is busy: to change it at once, call KeepAlive.
//
// With empty Events, heartbeats leave reports where they go.
func (p *PBX) SetEvents(e Events) error { return p.protocol.SetEvents(sseries.Events(e)) }

// Login implements [pbx.Authenticator].
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) { return p.protocol.Login(ctx) }

// KeepAlive implements [pbx.Authenticator]. With a heartbeat the token stays the
// same, and its lifetime starts anew. A refresh returns another token, with
// another refresh token. A Cloud PBX whose login brought no refresh token and that has
// no heartbeat either has nothing to keep a token alive with: that is
// [pbx.ErrNotSupported].
func (p *PBX) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	return p.protocol.KeepAlive(ctx, t)
}

// Logout implements [pbx.Authenticator].
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error { return p.protocol.Logout(ctx, t) }

// Authorize implements [pbx.Requester]: the token goes into the query, instead
// of any that is there. The other parameters stay as they are spelled.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error { return p.protocol.Authorize(r, t) }

// Ping implements [pbx.Pinger] with deviceinfo/query.
func (p *PBX) Ping(ctx context.Context, t *pbx.Token) error { return p.protocol.Ping(ctx, t) }

// Transport implements [pbx.Requester].
func (p *PBX) Transport() http.RoundTripper { return p.protocol.Transport() }

// Inspect implements [pbx.Requester]. A response without the envelope, such as
// a recording, says nothing.
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	return p.protocol.Inspect(r, body, t)
}

// Traits implements [pbx.Describer].
func (p *PBX) Traits() pbx.Traits { return p.protocol.Traits() }

// Fingerprint implements [pbx.Fingerprinter].
func (p *PBX) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	return p.protocol.Fingerprint(ctx, key)
}

// Format writes which PBX this is, whatever the verb, where fmt would write
// pointers.
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, "yeastar.PBX("+p.Traits().URL+")") }
