package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/pbxauth/pbx"
)

// unanswered makes the error for a request without a response. net/http's own
// error is not passed on: its text holds the URL with its query.
func (x *Exchange) unanswered(p *passage, err error) *pbx.Error {
	c := x.client
	failure := &pbx.Error{Driver: c.driver, Op: x.Request.Op, Kind: pbx.ErrUnavailable, Sent: p.maySent() && !x.Request.NoProof}
	if fault, ok := c.misconfiguration(err); ok {
		failure.Kind, failure.Setting, failure.Message = pbx.ErrConfig, fault.setting, fault.advice
		failure.Sent = failure.Sent && !fault.unread
		return failure
	}
	failure.Err = cause(err, p, x.secrets())
	proxy := c.sender.proxy(c.base)
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "proxyconnect":
		failure.Message = "no connection to the proxy " + proxy
	case !p.maySent() && proxy != "" && !isContext(err):
		failure.Message = "the proxy " + proxy + " did not connect to " + c.host()
	case !p.maySent():
		failure.Message = "no connection to " + c.host() + c.portNote()
	case p.answered.Load():
		failure.Message = "a broken response from " + c.host()
	default:
		failure.Message = "no response from " + c.host()
	}
	return failure
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// cause is the innermost part of a network error that is still worth matching:
// a context's, or the system's own. p may be nil.
func cause(err error, p *passage, secrets []pbx.Secret) error {
	for _, known := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return known
		}
	}
	is := func(target error) bool { return errors.Is(err, target) }
	inner := err
	for inURL := (*url.Error)(nil); errors.As(inner, &inURL); {
		inner = inURL.Err
	}
	var op *net.OpError
	if errors.As(inner, &op) {
		return op // addresses and the system's reason, never the request
	}
	var dns *net.DNSError
	if errors.As(inner, &dns) {
		return dns
	}
	if p != nil && p.answered.Load() && !is(io.EOF) && !is(io.ErrUnexpectedEOF) {
		// net/http quotes what it cannot parse, and that may be a new token.
		return &cleaned{text: "malformed HTTP", is: is}
	}
	// Anything else may come from a RoundTripper that quotes the request.
	return &cleaned{text: Clean(inner.Error(), secrets...), is: is}
}

// cleaned keeps an error's identity and replaces its text. What is inside could
// be printed, so there is no Unwrap, and not even a field that holds it.
type cleaned struct {
	text string
	is   func(target error) bool
}

func (c *cleaned) Error() string        { return c.text }
func (c *cleaned) GoString() string     { return c.text }
func (c *cleaned) Is(target error) bool { return c.is(target) }

// networkFault is a failure that a person has to fix.
type networkFault struct {
	setting string
	advice  string
	unread  bool // what was sent cannot have been read
}

const speaksHTTPS = "this port speaks https, not plain http: begin the URL with https://"

// wantsCertificate is what a server wants that checks the clients' certificates. Within
// TLS 1.3 it says so after the request was sent, and reads none of it.
var wantsCertificate = networkFault{"Transport", "the server at this port asks for a client certificate that it trusts: set Transport to an http.Transport that has one in its TLSClientConfig", true}

// refusingPages are how web servers refuse a connection with HTTP status 400, before
// anything behind them sees the request.
var refusingPages = []struct {
	scheme, text string
	networkFault
}{
	{"http://", "Client sent an HTTP request to an HTTPS server", networkFault{"URL", speaksHTTPS, true}},    // Go
	{"http://", "The plain HTTP request was sent to HTTPS port", networkFault{"URL", speaksHTTPS, true}},     // nginx
	{"http://", "speaking plain HTTP to an SSL-enabled server port", networkFault{"URL", speaksHTTPS, true}}, // Apache
	{"https://", "<center>No required SSL certificate was sent</center>", wantsCertificate},                  // nginx
}

// refusedConnection reports whether the response is such a page.
func (x *Exchange) refusedConnection() (networkFault, bool) {
	for _, page := range refusingPages {
		if x.Response.Status == http.StatusBadRequest && strings.HasPrefix(x.client.base, page.scheme) && bytes.Contains(x.Response.Body, []byte(page.text)) {
			return page.networkFault, true
		}
	}
	return networkFault{}, false
}

// errorTexts are failures for which net/http and crypto/tls have no type.
var errorTexts = []struct {
	text string
	networkFault
}{
	{malformed + `HTTP response "\x15\x03`, networkFault{"URL", speaksHTTPS, true}}, // an alert of TLS
	{"Proxy Authentication Required", networkFault{"", "the proxy asks for a user name and password: put them into its URL (HTTPS_PROXY)", true}},
	{httpsProxy, networkFault{"TLS", "PinSHA256, ServerName and InsecureSkipVerify are for the PBX, and would hold for the https:// proxy too: name an http:// proxy (HTTPS_PROXY), or set Transport", true}},
	{"tls: protocol version not supported", oldTLS},
	{"tls: server selected unsupported protocol version", oldTLS},
	{"remote error: tls: handshake failure", noCipher},
	{"tls: no cipher suite supported by both", noCipher},
	{"tls: server chose an unconfigured cipher suite", noCipher},
	{"remote error: tls: certificate required", wantsCertificate},
	{"remote error: tls: bad certificate", wantsCertificate},
	{"remote error: tls: unknown certificate authority", wantsCertificate},
	{"remote error: tls: unrecognized name", networkFault{"TLS.ServerName", "the server at this port has no certificate for this name: check the URL's host, or set TLS.ServerName", false}},
	{"x509: negative serial number", networkFault{"TLS", "the PBX's certificate has a negative serial number, which Go refuses: give the PBX a new certificate, or start this program with GODEBUG=x509negativeserial=1", false}},
	{"bit keys are insecure", networkFault{"TLS", "the key of the PBX's certificate is too short, which Go refuses: give the PBX a new certificate, or start this program with GODEBUG=rsa1024min=0", false}},
	{speaksFirst, networkFault{"URL", "the server at this port speaks before it is asked, which no HTTP server does: check the URL's port", true}},
	{"first record does not look like a TLS handshake", networkFault{"URL", "this port does not speak https: check the URL's port", false}},
}

// httpsProxy is the text if the settings for the PBX's certificate would hold for a proxy.
const httpsProxy = "a proxy with https"

// malformed is how net/http begins to quote what it cannot parse.
const malformed = "malformed "

// speaksFirst is net/http's text if something arrives on a new connection before
// the request was sent.
const speaksFirst = "readLoopPeekFailLocked: %!w(<nil>)"

var (
	oldTLS   = networkFault{"TLS.MinVersion", "the PBX speaks no version of TLS that is allowed here: only for old firmware, set a lower TLS.MinVersion", false}
	noCipher = networkFault{"TLS", "the PBX and this program have no cipher suite in common: old firmware offers only RSA key exchange; update it, or start this program with GODEBUG=tlsrsakex=1; a server that asks for a client certificate may refuse in the same way, and needs a Transport that has one", false}
)

// Misconfiguration returns what a person has to fix if a connection failed for
// that reason: the setting at fault and what to do. It is for those who send
// requests over a driver's transport themselves.
func Misconfiguration(err error) (setting, advice string, ok bool) {
	fault, ok := misconfiguration(err)
	return fault.setting, fault.advice, ok
}

// misconfiguration recognises the failures that a person has to fix, the
// neighbours of this brand among them.
func (c *Client) misconfiguration(err error) (networkFault, bool) {
	text := err.Error()
	var greetings []Greeting
	if c.greetings != nil {
		greetings = *c.greetings
	}
	for _, g := range greetings {
		if record := (tls.RecordHeaderError{}); strings.Contains(text, g.quoted()) || errors.As(err, &record) && strings.HasPrefix(g.Prefix, string(record.RecordHeader[:])) {
			return networkFault{"URL", g.Advice, true}, true
		}
	}
	fault, ok := misconfiguration(err)
	if ok && len(greetings) > 0 && strings.Contains(text, speaksFirst) {
		fault.advice += "; perhaps " + greetings[0].Advice
	}
	if proxy := c.sender.proxy(c.base); proxy != "" {
		fault.advice = strings.NewReplacer("the proxy asks", "the proxy "+proxy+" asks", "the https:// proxy", "the https:// proxy "+proxy).Replace(fault.advice)
	}
	return fault, ok
}

func misconfiguration(err error) (networkFault, bool) {
	if errors.Is(err, http.ErrSchemeMismatch) {
		return networkFault{"URL", "this port speaks plain http, not https: configure the PBX's https port", false}, true
	}
	text := err.Error()
	quoted := strings.Contains(text, malformed) // what follows is the server's
	for _, known := range errorTexts {
		if strings.Contains(text, known.text) && (!quoted || strings.HasPrefix(known.text, malformed)) {
			return known.networkFault, true
		}
	}
	var pinned *pinError
	if errors.As(err, &pinned) {
		return networkFault{"TLS.PinSHA256", pinned.Error(), false}, true
	}
	return untrusted(err)
}

// quoted is how net/http quotes the greeting in its error.
func (g Greeting) quoted() string {
	_, after, ok := strings.Cut(g.Prefix, " ")
	if !ok {
		return `malformed HTTP response "` + g.Prefix
	}
	status, _, _ := strings.Cut(after, " ") // where the status code of a response is
	return `malformed HTTP status code "` + status
}

// untrusted says why a certificate was not accepted, and how it could be.
func untrusted(err error) (networkFault, bool) {
	var unverified *tls.CertificateVerificationError
	if !errors.As(err, &unverified) {
		return networkFault{}, false
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "proxyconnect" {
		return networkFault{"", "the certificate of the https:// proxy is not trusted: name an http:// proxy (HTTPS_PROXY), or add its authority to those of this machine, and to TLS.CAFile if that is set", false}, true
	}
	pin := ""
	if len(unverified.UnverifiedCertificates) > 0 {
		pin = pbx.Pin(unverified.UnverifiedCertificates[0])
	}
	fault := networkFault{setting: "TLS.PinSHA256", advice: "the PBX's certificate is not trusted"}
	own := "; if it is your PBX's own, set TLS.CAFile, or TLS.PinSHA256 to " + pin
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var algorithm x509.InsecureAlgorithmError
	switch {
	case errors.As(err, &host) && len(host.Certificate.DNSNames)+len(host.Certificate.IPAddresses) == 0:
		fault.advice = fmt.Sprintf("the PBX's certificate has only a common name (%s), which is no longer accepted", fold(host.Certificate.Subject.CommonName))
		own = "; if it is your PBX's own, set TLS.PinSHA256 to " + pin
	case errors.As(err, &host):
		fault.setting, fault.advice = "TLS.ServerName", "the PBX's certificate is for another name: set TLS.ServerName"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		fault.advice = "the PBX's certificate has expired or is not valid yet: check both clocks, or renew it"
	case errors.As(err, &algorithm):
		fault.advice = "the PBX's certificate is signed with an algorithm that is no longer safe"
		own = "; if it is your PBX's own, set TLS.PinSHA256 to " + pin
	}
	if pin != "" {
		fault.advice += own
	}
	return fault, true
}
