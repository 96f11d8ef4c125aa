package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
)

// redirected names the URL to configure: where the PBX points, less the path
// that was asked for and any query.
func (c *Client) redirected(req Request, resp *http.Response, asked *url.URL, location string) *pbx.Error {
	const refusal = "the PBX redirects, which is not followed with credentials; "
	failure := c.Fail(req, &Response{Status: resp.StatusCode, Header: resp.Header}, pbx.ErrConfig, "", refusal+"configure the URL where its API answers")
	to, err := asked.Parse(location)
	if err != nil || to.Host == "" || (to.Scheme != "http" && to.Scheme != "https") {
		return failure
	}
	base := url.URL{Scheme: to.Scheme, Host: to.Host, Path: strings.TrimSuffix(strings.TrimSuffix(to.Path, req.Path), "/")}
	if !strings.HasSuffix(to.Path, req.Path) { // a login page, say
		base.Path = strings.TrimSuffix(asked.Path, req.Path)
	}
	failure.Message = refusal + "if that is your PBX, configure the URL " + Clean(base.String(), req.Secrets...)
	if base.String() == c.base {
		failure.Message = refusal + "it points to another page of its own: is this the API's port, and is the API enabled on the PBX?"
	}
	return failure
}

// StatusKind reads an HTTP status, for where the brand's own envelope says no
// more: nil for 2xx. 401 means the credentials on a login and the token on
// anything else.
func StatusKind(op pbx.Op, status int) error {
	switch {
	case status/100 == 2:
		return nil
	case status == http.StatusUnauthorized && op == pbx.OpLogin:
		return pbx.ErrInvalidCredentials
	case status == http.StatusUnauthorized:
		return pbx.ErrTokenRejected
	case status == http.StatusForbidden:
		return pbx.ErrForbidden
	case status == http.StatusTooManyRequests:
		return pbx.ErrLocked
	case status == http.StatusRequestTimeout, status >= 500:
		return pbx.ErrUnavailable
	}
	return pbx.ErrProtocol
}

// Fail makes the error for an answer. meaning is the driver's reading of it, and
// stays as it is: a word missing from a text that everybody knows would tell the
// password. code and said are the PBX's own words, and are cleaned.
func (c *Client) Fail(req Request, resp *Response, kind error, code, meaning string, said ...string) *pbx.Error {
	message := meaning
	if words := Clean(strings.Join(said, ", "), req.Secrets...); words != "" {
		message = strings.TrimPrefix(meaning+"; the PBX says: "+words, "; ")
	}
	return &pbx.Error{
		Driver: c.driver, Op: req.Op, Kind: kind,
		Code:       Clean(code, req.Secrets...),
		HTTPStatus: resp.Status,
		Message:    message,
		RetryAfter: retryAfter(resp.Header),
		Sent:       true,
	}
}

// Unexpected makes the error for an answer that is not the brand's envelope: by
// its HTTP status where that tells, else of kind [pbx.ErrProtocol] with the
// likely cause.
func (c *Client) Unexpected(req Request, resp *Response) *pbx.Error {
	kind, message := StatusKind(req.Op, resp.Status), fmt.Sprintf("HTTP status %d", resp.Status)
	if kind == nil {
		kind, message = pbx.ErrProtocol, "the answer is not what this driver's PBX sends: check the driver's name, and the URL's port and path"
	}
	text := strings.ToLower(strings.TrimSpace(string(resp.Body[:min(len(resp.Body), 512)])))
	switch {
	case len(resp.Body) == 0:
		message += "; the answer is empty"
	case strings.HasPrefix(text, "<!doctype html"), strings.HasPrefix(text, "<html"), strings.Contains(text, "<head"):
		message += "; the answer is a web page: is this the API's port, and is the API enabled on the PBX?"
	}
	return c.Fail(req, resp, kind, "", message)
}

// retryAfter reads a Retry-After header, in seconds or as a date, capped.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if value == "" {
		return 0
	}
	var wait time.Duration
	// A number out of range comes back as the greatest or the least.
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		wait = time.Duration(min(max(seconds, 0), int64(MaxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = time.Until(at)
	}
	return min(max(wait, 0), MaxRetryAfter)
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
		advice += "; if it is your PBX's own, set TLS.CAFile, or TLS.PinSHA256 to " + pbx.Pin(unverified.UnverifiedCertificates[0])
	}
	return advice
}
