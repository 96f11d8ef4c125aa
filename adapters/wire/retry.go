package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/pbxauth/pbx"
)

// sender sends for all Clients that share a transport.
type sender struct {
	transport http.RoundTripper
	client    *retryablehttp.Client
}

func newSender(transport http.RoundTripper, timeout time.Duration) *sender {
	return &sender{transport, &retryablehttp.Client{
		HTTPClient:   &http.Client{Transport: direct{transport}, Timeout: timeout},
		RetryMax:     2,
		RetryWaitMin: 250 * time.Millisecond,
		RetryWaitMax: 2 * time.Second,
		CheckRetry:   checkRetry,
		Backoff:      backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}}
}

// senderFor finds or makes what sends for cfg.
func senderFor(cfg pbx.Config) (*sender, error) {
	switch {
	case cfg.HTTPClient == nil:
		return shared(cfg.TLS)
	case cfg.TLS != pbx.TLS{}:
		return nil, errors.New("TLS and HTTPClient are both set: the client's own transport decides about TLS, so set it there")
	case cfg.HTTPClient.Transport == nil:
		return newSender(http.DefaultTransport, cfg.HTTPClient.Timeout), nil
	}
	return newSender(cfg.HTTPClient.Transport, cfg.HTTPClient.Timeout), nil
}

// direct takes a request to the PBX and nowhere else. http.Client gets to see
// neither a Location, which it would follow, or quote where it cannot read it,
// nor CloseIdleConnections, which retryablehttp calls after every failure: it
// would close the idle connections of all other PBXs.
type direct struct{ http.RoundTripper }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.RoundTripper.RoundTrip(r)
	if err == nil && resp != nil && resp.StatusCode/100 == 3 {
		if p, ok := r.Context().Value(passageKey{}).(*passage); ok {
			p.location = resp.Header.Get("Location")
		}
		resp.Header.Del("Location")
	}
	return resp, err
}

// checkRetry replaces retryablehttp's policy, which sends a POST again after a
// 500, a 429 or a lost answer: here nothing is sent again that may have arrived.
func checkRetry(ctx context.Context, _ *http.Response, err error) (bool, error) {
	if err == nil {
		return false, nil
	}
	p, ok := ctx.Value(passageKey{}).(*passage)
	if !ok || p.maySent() || ctx.Err() != nil || misconfiguration(err) != "" {
		return false, nil
	}
	p.client.log.Debug().Str("driver", p.client.driver).Str("host", p.client.host()).Msg("not connected, trying again")
	return true, nil
}

// backoff doubles. It does not read the answer: there is none.
func backoff(least, most time.Duration, attempt int, _ *http.Response) time.Duration {
	return min(least<<attempt, most)
}

// unanswered makes the error for a request that got no answer. net/http's own error
// is not passed on: its text holds the URL with its query.
func (c *Client) unanswered(req Request, p *passage, err error) *pbx.Error {
	failure := &pbx.Error{Driver: c.driver, Op: req.Op, Kind: pbx.ErrUnavailable, Sent: p.maySent()}
	if advice := misconfiguration(err); advice != "" {
		failure.Kind, failure.Message = pbx.ErrConfig, advice
		return failure
	}
	switch {
	case !failure.Sent:
		failure.Message = "no connection to " + c.host()
	case p.answered.Load():
		failure.Message = "a broken answer from " + c.host()
	default:
		failure.Message = "no answer from " + c.host()
	}
	failure.Err = cause(err, p, req.Secrets)
	return failure
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

// misconfiguration recognises the failures that a person has to mend, and says
// how; "" for all others.
func misconfiguration(err error) string {
	if errors.Is(err, http.ErrSchemeMismatch) {
		return "this port speaks plain http, not https: configure the PBX's https port"
	}
	// crypto/tls has no type for this: the server's alert, or its choice.
	if text := err.Error(); strings.Contains(text, "tls: protocol version not supported") || strings.Contains(text, "tls: server selected unsupported protocol version") {
		return "the PBX speaks no version of TLS that is allowed here: only for old firmware, set a lower TLS.MinVersion"
	}
	var pinned *pinError
	if errors.As(err, &pinned) {
		return pinned.Error()
	}
	var unverified *tls.CertificateVerificationError
	if !errors.As(err, &unverified) {
		return ""
	}
	advice := "the PBX's certificate is not trusted"
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &host):
		advice = "the PBX's certificate is for another name: set TLS.ServerName"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		advice = "the PBX's certificate has expired or is not valid yet: check both clocks, or renew it"
	}
	if len(unverified.UnverifiedCertificates) > 0 {
		advice += "; if it is your PBX's own, set TLS.CAFile, or TLS.PinSHA256 to " + Pin(unverified.UnverifiedCertificates[0])
	}
	return advice
}
