package pbx

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/rs/zerolog"
)

// Config is what a driver needs to reach one PBX with one account. Opening sends
// nothing, so a settings form can be checked by opening it.
//
// A Config can be decoded from JSON: the fields have their own names there, in upper
// or lower case, as in "pinsha256". Other names, such as "pin_sha256", are ignored
// unless [json.Decoder.DisallowUnknownFields] is set. It cannot be encoded as JSON,
// which would lose the secrets. A program that stores settings keeps what a person has
// typed in a type of its own, with the secrets encrypted, and makes a Config of it to
// open the PBX.
//
// A Config prints itself without secrets, and so does a struct that embeds it
// and has no Format method of its own.
type Config struct {
	// URL is the PBX's address, as in https://pbx.example.com:8088. A missing
	// scheme means https. A missing port means the brand's own. The brand's API
	// path at the end is removed.
	URL string

	// Username and Password are the account of the PBX's API. It is often not
	// the account of its web interface.
	Username string
	Password Secret

	// Credentials, if set, is asked before each login instead of Username and
	// Password, which must then be empty: for a vault, or a password that may
	// change while the process runs. It must obey its context and be safe for
	// concurrent use.
	Credentials func(ctx context.Context) (Credentials, error)

	// TLS says how to trust the PBX's certificate.
	TLS TLS

	// AllowPlainHTTP permits http:// URLs. Anyone on the path can then read the
	// credentials. Loopback addresses do not need it.
	AllowPlainHTTP bool

	// Options are the driver's own settings by name, and Secrets those of kind
	// [OptionSecret]: see [Driver.Options].
	Options map[string]string
	Secrets map[string]Secret

	// Transport replaces the shared connections: for a proxy, or a test. It
	// decides about TLS, so TLS must then be empty.
	Transport http.RoundTripper

	// Logger receives debug lines about single requests: never a query, a body
	// or a secret. The zero value is silent. For log/slog, see [SlogLogger].
	Logger zerolog.Logger
}

// Credentials is an account at one moment.
type Credentials struct {
	Username string
	Password Secret
}

// TLS says how to trust a PBX's certificate. The zero value verifies it against
// the system's roots, as any https client does. Factory certificates are
// self-signed: name their CA file or pin their key. Do not switch verification
// off.
type TLS struct {
	// CAFile is a PEM file of the only authorities to trust.
	CAFile string
	// RootCAs is the same as a pool. Set one of the two.
	RootCAs *x509.CertPool

	// PinSHA256 is the base64 SHA-256 of the certificate's public key (SPKI),
	// as [Pin] returns it. The prefix "sha256/" is optional. The certificate
	// must have exactly this key. Without CAFile or RootCAs the pin alone
	// decides: names, dates and issuers are not checked, because a self-signed
	// factory certificate has none worth checking. With them, both must hold.
	PinSHA256 string

	// ServerName is the name to expect in the certificate, and to ask for, if it
	// is not the URL's host.
	ServerName string

	// MinVersion is a tls.VersionTLS… constant. 0: Go's default, TLS 1.2. Only
	// old firmware needs less.
	MinVersion uint16

	// InsecureSkipVerify accepts any certificate, and so anyone on the path.
	InsecureSkipVerify bool
}

// Pin returns the pin of a certificate's public key for [TLS].PinSHA256, as in
// "sha256/AAAA…=".
func Pin(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256/" + base64.StdEncoding.EncodeToString(sum[:])
}

// String names the PBX, the account and the options, without the options'
// values.
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
	names := append(slices.Collect(maps.Keys(c.Options)), slices.Collect(maps.Keys(c.Secrets))...)
	slices.Sort(names)
	return fmt.Sprintf("pbx.Config{URL: %q, Username: %q, Options: %q}", url, c.Username, names)
}

// Format writes [Config.String] for every verb. fmt does not ask it for a Config
// in an unexported field of another struct: keep one there by pointer.
func (c Config) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }
