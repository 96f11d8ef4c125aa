// Package openvox is the driver "openvox" for OpenVox's UC series IPPBX.
//
// # What the vendor says
//
// The API has a port of its own, 9011. POST /api/v0.0.1/login takes the user
// name and the lower-case hex MD5 of the password and returns a token, which
// every other request carries in its query. The token expires after 30 minutes
// without interaction. A heartbeat starts its lifetime anew. Five wrong logins in
// a row lock the client's IP for ten minutes. A failure is HTTP 200 with "status"
// other than "Success" and a number in "errno".
//
// "type" in the query says whether bodies are JSON or XML, the response's too.
// Logins and all requests but heartbeat and logout have it.
// (help.openvox.cn, uc-series-ippbx, api-documentation, api-authentication.)
//
// # What this driver makes of it
//
// The API descends from that of Yeastar's S-Series (driver yeastar), and shares
// its code here. The vendor prints no table of errors, so the codes are read as
// there, and one that is unknown stays what it is.
//
// The vendor's samples have XML under a JSON header, and in response to JSON. So
// a response is read by its first byte, whatever was asked for. A heartbeat, which
// cannot say its type, is JSON as in the vendor's sample.
//
// XML is read strictly: with a document type or an entity of its own, elements
// nested more than 32 deep, or a field that is there twice, it is not a response
// of this brand.
//
// The vendor documents no request that surely changes nothing, so that there is no
// Ping.
//
// [pbx.Token].Details is nil: a login returns a token and nothing else.
package openvox

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
const Name = "openvox"

// uc is the UC series, to be laid beside the vendor's pages. Some samples print
// v1.1.0 for the version, all endpoint lines v0.0.1.
var uc = &sseries.Variant{
	Driver: Name, Port: 9011, Plain: 9011, Version: "v0.0.1",
	Lifetime: 30 * time.Minute, Sliding: true,
	Lockout:       lockout,
	Heartbeat:     true,
	NumericURLTag: true, // in the JSON sample of the login; that of the heartbeat has a string
	Typed:         true,
	Errnos:        errnos,
}

// lockout: "5 consecutive wrong passwords: the application's IP is locked for 10
// minutes" (api-authentication). Nothing says that a wrong login is forgotten by
// time. "Consecutive" does not say what a success resets, so nothing is stated. Whether
// dead tokens count, and whether a lock stops valid tokens, is not documented.
var lockout = pbx.Lockout{Attempts: 5, Window: 10 * time.Minute, Memory: pbx.Forever}

// errnos is an assumption, because the vendor's own table was not found: it is
// that of the API from which this one descends. 30003 stands in this vendor's sample of a
// failed login too.
var errnos = map[string]sseries.Errno{
	"10002": {Kind: pbx.ErrProtocol, Meaning: "the format of the request is not supported: try the other one (format)"},
	"10003": {Kind: pbx.ErrProtocol, Meaning: "no such request: check the option api_version"},
	"10004": {Kind: pbx.ErrProtocol, Meaning: "a required parameter is blank; if it is a heartbeat's, set event_ipaddr and event_port"},
	"10025": {Kind: pbx.ErrUnavailable, Meaning: "the configuration was applied too often: wait"},
	"10032": {Meaning: "wrong password"}, // in which context is not documented
	"20000": {Kind: pbx.ErrProtocol, Meaning: "the request is not in the format that was announced"},
	"20001": {Kind: pbx.ErrProtocol, Meaning: "the request is not a POST"},
	"20002": {Kind: pbx.ErrLocked, Meaning: "too many failed logins: the PBX has locked this client's IP"},
	"20003": {Kind: pbx.ErrInvalidCredentials, Meaning: "wrong user name or password: check the API account in the PBX's web interface"},
	"20004": {Kind: pbx.ErrTokenRejected, Meaning: "no such token"},
	"20005": {Kind: pbx.ErrTokenRejected, Meaning: "the token is blank"},
	"20006": {Kind: pbx.ErrTokenRejected, Meaning: "the token has timed out"},
	"20007": {Kind: pbx.ErrProtocol, Meaning: "the data is blank"},
	"20008": {Kind: pbx.ErrConfig, Meaning: "wrong port: check event_port", Setting: "event_port"},
	"20009": {Kind: pbx.ErrProtocol, Meaning: "the request is blank"},
	"20010": {Kind: pbx.ErrUnavailable, Meaning: "the PBX could not hand the request to its API process"},
	"20011": {Meaning: "the heartbeat could not be configured"}, // the token may still live
	"20015": {Kind: pbx.ErrForbidden, Meaning: "this client's IP is not allowed"},
	"30001": {Kind: pbx.ErrUnavailable, Meaning: "the PBX could not allocate memory"},
	"30003": {Kind: pbx.ErrUnavailable, Meaning: "the PBX's API process is not running, or the login was wrong"},
}

// Format is how bodies are written.
type Format string

const (
	JSON Format = "json"
	XML  Format = "xml"
)

// Config is the typed form of the driver's settings. Options of the embedded
// Config must be empty: they are for [pbx.Open].
type Config struct {
	pbx.Config

	// Format is how the driver writes bodies, and asks for responses. Empty:
	// [JSON]. Authorize announces it for the application's own requests too.
	Format Format

	// APIVersion is the version in the API's paths if it is not v0.0.1.
	APIVersion string

	// PasswordIsMD5 says that Password, and what Credentials return, is the MD5
	// digest in hexadecimal and not the password. It is never guessed: a
	// password may well look like a digest.
	PasswordIsMD5 bool

	// Events says where the PBX sends its event reports.
	Events Events

	// TokenTTL is a token's lifetime without interaction, for a PBX that does
	// not keep to the documented 30 minutes.
	TokenTTL time.Duration
}

// Events says where the PBX sends its event reports, and in which form. An
// application that takes none leaves it empty. A login carries Port, URL, URLTag
// and Version, a heartbeat IPAddr, Port, URL and URLTag.
type Events struct {
	// Port is the port on which the application listens. A login has to name
	// one; without Port, it is the 8260 of the vendor's samples.
	Port int
	// URL is where event reports go, URLTag says how to read it: "0" a path
	// below the client's IP and Port, "1" an absolute address. Without URL they
	// go to the client's IP.
	URL    string
	URLTag string
	// IPAddr is the IP address that listens, if it is not the client's.
	// Only heartbeats carry it.
	IPAddr string
	// Version is the format of the reports; "1.0.2" makes them well-formed
	// JSON.
	Version string
}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "OpenVox UC series",

		UserLabel: "API user", PasswordLabel: "API password",
		DefaultPort: 9011,
		Setup:       "Enable the API in the web interface and set its user name and password there. It has a port of its own, usually 9011.",
		Docs:        "https://help.openvox.cn/docs/uc-series-ippbx/api-documentation/",

		Options: sseries.Options(
			pbx.Option{Name: "format", Label: "Format", Kind: pbx.OptionChoice, Default: string(JSON),
				Choices: []pbx.Choice{{Value: string(JSON), Label: "JSON"}, {Value: string(XML), Label: "XML"}},
				Help:    "How requests are written, and in which format responses are asked for."},
		),
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			settings := sseries.Read(cfg)
			settings.Format = sseries.Format(cfg.Options["format"])
			return open(settings)
		},
	})
}

// PBX is an OpenVox PBX as seen by one API account. It implements
// [pbx.Authenticator] and the optional interfaces except [pbx.Pinger].
type PBX struct{ protocol *sseries.PBX }

// New opens a PBX. It sends nothing; errors are of kind [pbx.ErrConfig].
func New(cfg Config) (*PBX, error) {
	return open(sseries.Settings{
		Config:        cfg.Config,
		APIVersion:    cfg.APIVersion,
		PasswordIsMD5: cfg.PasswordIsMD5,
		Format:        sseries.Format(cfg.Format),
		Events:        sseries.Events(cfg.Events),
		TokenTTL:      cfg.TokenTTL,
	})
}

func open(settings sseries.Settings) (*PBX, error) {
	protocol, err := sseries.New(uc, settings)
	if err != nil {
		return nil, err
	}
	return &PBX{protocol}, nil
}

// SetEvents changes where event reports go while the PBX is in use. The next
// heartbeat carries the change. A session sends none while it is busy: to change
// it at once, call KeepAlive.
//
// With empty Events, heartbeats leave reports where they go.
func (p *PBX) SetEvents(e Events) error { return p.protocol.SetEvents(sseries.Events(e)) }

// Login implements [pbx.Authenticator].
func (p *PBX) Login(ctx context.Context) (*pbx.Token, error) { return p.protocol.Login(ctx) }

// KeepAlive implements [pbx.Authenticator] with a heartbeat: the token stays
// the same, and its lifetime starts anew.
func (p *PBX) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	return p.protocol.KeepAlive(ctx, t)
}

// Logout implements [pbx.Authenticator].
func (p *PBX) Logout(ctx context.Context, t *pbx.Token) error { return p.protocol.Logout(ctx, t) }

// Authorize implements [pbx.Requester]: the token goes into the query, instead
// of any that is there, and so does the type, unless the request says its own.
// The other parameters stay as they are spelled.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error { return p.protocol.Authorize(r, t) }

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
func (p *PBX) Format(f fmt.State, _ rune) { io.WriteString(f, "openvox.PBX("+p.Traits().URL+")") }
