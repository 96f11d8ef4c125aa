package pbx

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/rs/zerolog"
)

// Config is what any driver needs to reach one PBX with one account. Opening
// sends nothing, so a settings form can be checked by opening it.
//
// It prints itself, secrets redacted, and so does whatever embeds it, unless that
// has a Format method of its own.
type Config struct {
	// URL is the PBX's address: https://pbx.example.com:8088. A missing scheme
	// means https, a missing port the brand's own where it has one, and a
	// pasted API path is cut off.
	URL string

	// Username and Password are the account of the PBX's API, which is often
	// not that of its web interface.
	Username string
	Password Secret

	// Credentials, if set, is asked before each login instead of Username and
	// Password, which must then be empty: for a vault, or a password that may
	// change while the process runs. It must obey its context and be safe for
	// concurrent use.
	Credentials func(ctx context.Context) (Credentials, error)

	// TLS says how to trust the PBX's certificate.
	TLS TLS

	// AllowPlainHTTP permits http:// URLs, over which anyone on the path reads
	// the credentials. Loopback addresses never need it.
	AllowPlainHTTP bool

	// Options are the driver's own, by name: see [Driver.Options].
	Options map[string]string

	// HTTPClient replaces the shared connections: for a proxy, or a test.
	// Redirects are not followed whatever it says, its cookie jar is not used,
	// and TLS must be empty, since its transport decides about TLS.
	HTTPClient *http.Client

	// Logger receives debug lines about single requests, never a query, a body
	// or a secret. The zero value is silent.
	Logger zerolog.Logger
}

// Credentials is an account at one moment.
type Credentials struct {
	Username string
	Password Secret
}

// TLS says how to trust a PBX's certificate. The zero value verifies it against
// the system's roots, as any https client does. Factory certificates are
// self-signed: give their CA file or pin their key rather than switching
// verification off.
type TLS struct {
	// CAFile is a PEM file of the only authorities to trust.
	CAFile string
	// RootCAs is the same as a pool. Set one of the two.
	RootCAs *x509.CertPool

	// PinSHA256 is the base64 SHA-256 of the certificate's public key (SPKI),
	// as in "sha256/AAAA…=", the prefix being optional. The certificate must
	// have exactly this key. Without CAFile or RootCAs the pin is the whole
	// trust: names, dates and issuers are not looked at, for a self-signed
	// factory certificate has none worth looking at. With them, both must hold.
	PinSHA256 string

	// ServerName is the name to expect in the certificate, and to ask for, when
	// it is not the URL's host.
	ServerName string

	// MinVersion is a tls.VersionTLS… constant. Zero is Go's default, TLS 1.2;
	// only old firmware needs less.
	MinVersion uint16

	// InsecureSkipVerify accepts any certificate, and so anyone on the path.
	InsecureSkipVerify bool
}

// String names the PBX and the account, and the options without their values,
// some of which are secret.
func (c Config) String() string {
	url, rest := c.URL, ""
	if i := strings.IndexAny(url, "?#"); i >= 0 {
		url, rest = url[:i], url[i:]
	}
	if strings.Contains(rest, "@") { // user:pass#word@host
		url = Redacted
	} else if i := strings.LastIndex(url, "@"); i >= 0 { // user:password@host
		url = Redacted + url[i:]
	}
	return fmt.Sprintf("pbx.Config{URL: %q, Username: %q, Options: %q}", url, c.Username, slices.Sorted(maps.Keys(c.Options)))
}

// Format writes [Config.String] whatever the verb. fmt does not ask it for a
// Config in an unexported field of another struct: keep one there by pointer.
func (c Config) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }
