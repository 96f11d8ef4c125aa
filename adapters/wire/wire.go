// Package wire is the one way in which drivers talk HTTP, third-party drivers
// included. It keeps the dangerous parts out of the drivers:
//
//   - Only a request that never left this machine is sent again. A login without
//     a response may have been counted as a wrong one.
//   - A redirect is never followed. It becomes an error that names the URL to
//     configure. If it were followed, a login would become a GET, and a token
//     would go wherever the response points.
//   - Every request of a driver has a deadline and a connection of its own, and
//     every response has a bound.
//   - Errors and log lines carry no query, no body and no secret, even if the PBX
//     sends one back.
//   - Memory for connections is shared by all PBXs that trust certificates in the
//     same way.
//
// A driver makes one [Client] per PBX with [New], sends with [Client.Do], and
// turns bad responses into errors with [Exchange.Fail] and
// [Exchange.Unexpected].
package wire

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/rs/zerolog"
)

// Endpoint is what a Client has to know of the driver that it works for.
type Endpoint struct {
	// Driver is the registered name, for errors and logs.
	Driver string
	// Port is used for an https URL without a port. 0: 443.
	Port int
	// PlainPort is used for an http URL without a port. 0: 80.
	PlainPort int
	// APIPaths are paths that people paste at the end of the URL and that the
	// driver adds itself, as in "/api" and "/api/v1/login". The longest that
	// fits is removed, once. Every other path stays.
	APIPaths []string
	// NoAccount lets the account be empty, for a driver that was given a key
	// instead. [Client.Credentials] must not be called then.
	NoAccount bool
	// NoUsername: the brand has a password without a user name. A user name is
	// an error.
	NoUsername bool
	// NoOptions makes Options and Secrets an error. It is for a driver that takes them
	// out of what [pbx.Open] gives it, and has fields of its own for them.
	NoOptions bool
	// Impossible returns which part of an account cannot be right at this brand,
	// "Username" or "Password", and why, as for a text that the login would change
	// on its way. It returns "" twice for any other account. The password is not
	// empty. New asks it about a fixed account, and [Client.Credentials] about what a
	// Credentials func returned. nil: every account is possible that has no line break
	// and no NUL, which are refused of all brands. See [NotUTF8] and
	// [NotBasic].
	Impossible func(pbx.Credentials) (setting, wrong string)
	// Greetings are how services that are not HTTP begin, if people take their
	// port for the brand's.
	Greetings []Greeting
}

// Greeting is how a service that is not HTTP begins to speak, and what a person
// has to do about it.
type Greeting struct {
	Prefix string // at least 5 bytes, as in "SSH-2"
	Advice string
}

// Client sends the requests of one driver to one PBX. It is safe for concurrent
// use.
type Client struct {
	driver    string
	greetings *[]Greeting // nil: none, as most brands have it; Clients are many
	base      string      // as URL returns it
	noPort    bool        // the configured URL has no port
	sender    *sender
	account   accountSource
	log       *zerolog.Logger
}

// silent is what most Clients log to. A Logger is large, and Clients are many.
var silent zerolog.Logger

// New checks what all drivers have in common: the URL, the account and the TLS
// settings. It sends nothing. Errors are of kind [pbx.ErrConfig].
func New(endpoint Endpoint, cfg pbx.Config) (*Client, error) {
	if endpoint.NoOptions && (len(cfg.Options) > 0 || len(cfg.Secrets) > 0) {
		return nil, Misconfigured(endpoint.Driver, "Options", "Options and Secrets are for pbx.Open: set the fields of the driver's own Config, if it has one")
	}
	c := &Client{driver: endpoint.Driver, log: &silent}
	if greetings := endpoint.Greetings; len(greetings) > 0 {
		c.greetings = &greetings
	}
	if logger := cfg.Logger; !reflect.ValueOf(logger).IsZero() {
		c.log = &logger
	}
	base, noPort, err := baseURL(cfg.URL, endpoint, cfg.AllowPlainHTTP)
	if err != nil {
		return nil, c.misconfigured(err)
	}
	c.base, c.noPort = strings.Clone(base.String()), noPort // String makes it with room to spare
	if !endpoint.NoAccount {
		if c.account, err = accountOf(cfg, endpoint); err != nil {
			return nil, c.misconfigured(err)
		}
	}
	if c.sender, err = senderFor(cfg); err != nil {
		return nil, c.misconfigured(err)
	}
	if base.Scheme == "http" && cfg.TLS.PinSHA256 != "" {
		return nil, c.misconfigured(wrong("TLS.PinSHA256", "TLS: PinSHA256 is set, and plain http has no certificate: use https, or leave the pin out"))
	}
	return c, nil
}

// URL is the PBX's address, normalised: scheme, host, port, base path, and no
// slash at the end.
func (c *Client) URL() string { return c.base }

// Transport sends an application's own requests over this PBX's connections. It
// adds no token and retries nothing.
func (c *Client) Transport() http.RoundTripper {
	if c.sender.custom != nil {
		return c.sender.custom
	}
	return c.sender
}

// host is that of the PBX, with its port.
func (c *Client) host() string {
	_, rest, _ := strings.Cut(c.base, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// settingError is something wrong with a setting.
type settingError struct{ setting, text string }

func (e *settingError) Error() string { return e.text }

func wrong(setting, text string) error { return &settingError{setting, text} }

func (c *Client) misconfigured(err error) error {
	setting := ""
	if e, ok := err.(*settingError); ok {
		setting = e.setting
	}
	return Misconfigured(c.driver, setting, "%s", err)
}

// Misconfigured makes the error for a setting that cannot work, for the function
// that opens a driver. setting is a field of [pbx.Config] or the name of an option.
func Misconfigured(driver, setting, format string, args ...any) error {
	return &pbx.Error{Driver: driver, Op: pbx.OpOpen, Kind: pbx.ErrConfig, Setting: setting, Message: fmt.Sprintf(format, args...)}
}
