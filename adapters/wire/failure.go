package wire

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
)

// StatusKind reads an HTTP status, for a brand that reports failures by it: nil
// for 2xx. 401 means the credentials on a login and the token on anything else, so
// ask it only about a response in the brand's own form. For any other, which a proxy
// may have sent, use [Exchange.Unexpected].
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
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		return pbx.ErrUnavailable
	}
	return pbx.ErrProtocol
}

// Fail makes the error for a response. meaning is the driver's reading of it and
// stays as it is: if a word were removed from a text that everybody knows, the gap
// would show the password. code and said are the PBX's own words, and are cleaned.
// A code that is neither a number nor a name is left out.
func (x *Exchange) Fail(kind error, code, meaning string, said ...string) *pbx.Error {
	if x.Request.NoProof && kind == pbx.ErrInvalidCredentials {
		kind = pbx.ErrProtocol // nothing was there to be judged
	}
	secrets := x.secrets()
	message := meaning
	if words := Clean(strings.Join(said, ", "), secrets...); words != "" {
		message = strings.TrimPrefix(meaning+"; the PBX says: "+words, "; ")
	}
	if kind == pbx.ErrInvalidCredentials {
		if blanks := x.client.account.blanks(); blanks != "" {
			message += "; " + blanks
		}
	}
	if n, err := strconv.Atoi(code); err != nil || n > 99999 || n < -99999 { // a short number is an error code and no secret
		code = Clean(code, secrets...)
		if len(code) > maxCode || strings.ContainsFunc(code, notOfCode) {
			code = "" // a text, which a program cannot compare
		}
	}
	return &pbx.Error{
		Driver: x.client.driver, Op: x.Request.Op, Kind: kind,
		Code:       code,
		HTTPStatus: x.Response.Status,
		Length:     x.length,
		Message:    message,
		RetryAfter: retryAfter(x.Response.Header),
		Sent:       !x.Request.NoProof,
	}
}

// Unsent makes the error for a request that was not sent, because it cannot succeed
// or there is none.
func (c *Client) Unsent(op pbx.Op, kind error, message string) *pbx.Error {
	return &pbx.Error{Driver: c.driver, Op: op, Kind: kind, Message: message}
}

// maxCode is how long a code may be, in bytes.
const maxCode = 64

// notOfCode reports whether no vendor's code has r.
func notOfCode(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
}

// Unexpected makes the error for a response that is not the brand's envelope, by
// its HTTP status:
//
//	401, 403, 407  ErrConfig   something in front of the PBX responded
//	408, 429, 5xx  ErrUnavailable
//	others         ErrProtocol
//
// HTTP 401 to an application's request with HEAD, whose response has no body, is
// ErrTokenRejected with Ambiguous, unless it asks for HTTP authentication. The message of
// the others names the address that was used.
func (x *Exchange) Unexpected() *pbx.Error {
	status := x.Response.Status
	advice := make([]string, 0, 4)
	say := func(format string, args ...any) { advice = append(advice, fmt.Sprintf(format, args...)) }
	kind, inFront := pbx.ErrProtocol, false
	if status/100 == 2 {
		say("the response is not what this driver's PBX sends: check the driver's name, and the URL's port and path")
	} else {
		say("HTTP status %d", status)
	}
	switch {
	case x.withoutBody() && status == http.StatusUnauthorized && x.Response.Header.Get("WWW-Authenticate") == "":
		failure := x.Fail(pbx.ErrTokenRejected, "", "the response to HEAD has no body: HTTP status 401 may mean the token")
		failure.Ambiguous = true
		return failure
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		kind, inFront = pbx.ErrConfig, true
		say("%s", x.inFront())
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		kind = pbx.ErrUnavailable
	}
	text := strings.ToLower(strings.TrimSpace(string(x.Response.Body[:min(len(x.Response.Body), 512)])))
	switch {
	case inFront:
	case len(x.Response.Body) == 0:
		say("the response is empty")
	case strings.HasPrefix(text, "<!doctype html"), strings.HasPrefix(text, "<html"), strings.Contains(text, "<head"):
		say("the response is a web page: is this the API's port, and is the API enabled on the PBX?")
	}
	return x.Fail(kind, "", strings.Join(advice, "; ")+"; the request went to "+x.Address())
}

// withoutBody reports whether a request of the application can have no response with a
// body, so that its refusal is neither the PBX's nor a proxy's by its form.
func (x *Exchange) withoutBody() bool {
	return x.Request.Op == pbx.OpRequest && x.Request.Method == http.MethodHead && len(x.Response.Body) == 0
}

// inFront says what refuses a request that the PBX has not seen. Brands with an
// envelope of their own do not refuse without it.
func (x *Exchange) inFront() string {
	status := x.Response.Status
	if status == http.StatusProxyAuthRequired {
		if proxy := x.client.sender.proxy(x.client.base); proxy != "" {
			return "the proxy " + proxy + " asks for a user name and password: put them into its URL (HTTPS_PROXY)"
		}
		return "a proxy asks for a user name and password"
	}
	if status == http.StatusForbidden {
		return "something in front of the PBX, or a page of its web server, forbids this: is this the API's address, and may this machine use it?"
	}
	if x.Response.Header.Get("WWW-Authenticate") == "" {
		return "the PBX's API does not respond so: something in front of it, or a page of its web server, does"
	}
	return "something in front of the PBX asks for HTTP authentication" + x.authScheme() + ": is this the API's port? It is not the PBX's user name and password that is missing"
}

// authScheme is what a WWW-Authenticate header asks for, as in " (Basic)".
func (x *Exchange) authScheme() string {
	scheme, _, _ := strings.Cut(x.Response.Header.Get("WWW-Authenticate"), " ")
	for _, known := range []string{"Basic", "Digest", "Bearer", "Negotiate", "NTLM"} {
		if strings.EqualFold(scheme, known) {
			return " (" + known + ")"
		}
	}
	return ""
}

// redirected names the URL to configure: where the PBX points, less the path
// that was asked for and any query.
func (x *Exchange) redirected(asked *url.URL, location string) *pbx.Error {
	const refusal = "the PBX redirects, which is not followed with credentials; "
	path := x.Request.Path
	failure := x.Fail(pbx.ErrConfig, "", "")
	failure.Setting = "URL"
	to, err := asked.Parse(location)
	if err != nil || to.Host == "" || (to.Scheme != "http" && to.Scheme != "https") {
		failure.Message = refusal + "configure the URL where its API responds; the request went to " + x.Address()
		return failure
	}
	base := url.URL{Scheme: to.Scheme, Host: to.Host, Path: strings.TrimSuffix(strings.TrimSuffix(to.Path, path), "/")}
	if !strings.HasSuffix(to.Path, path) { // a login page, say
		base.Path = strings.TrimSuffix(asked.Path, path)
	}
	switch {
	case to.Scheme == asked.Scheme && to.Host == asked.Host && strings.TrimSuffix(to.Path, "/") == strings.TrimSuffix(asked.Path, "/") && to.Path != asked.Path:
		failure.Message = refusal + "it points to the same path with a slash more or less at its end: the proxy in front of the PBX must pass paths on as they are; the request went to " + x.Address()
	case base.String() == x.client.base:
		failure.Message = refusal + "it points to another page of its own: is this the API's port, and is the API enabled on the PBX? The request went to " + x.Address()
	default:
		secrets := x.secrets()
		base.Path, base.Host = cleanPath(base.Path, secrets), cleanPath(base.Host, secrets)
		text, _ := url.PathUnescape(base.String()) // [redacted] is for people
		failure.Message = refusal + "if that is your PBX, configure the URL " + fold(text) + "; the request went to " + x.Address()
	}
	return failure
}

// retryAfter reads a Retry-After header, in seconds or as a date, capped. A date is by
// the clock of the PBX, which may differ from this machine's.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if value == "" {
		return 0
	}
	var wait time.Duration
	// A number out of range comes back as the greatest or the least.
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		wait = time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		now, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			now = time.Now()
		}
		wait = at.Sub(now)
	}
	return CapRetryAfter(wait)
}

// CapRetryAfter bounds a wait that a PBX asks for in its own words: 0 to 1 hour.
func CapRetryAfter(wait time.Duration) time.Duration { return min(max(wait, 0), maxRetryAfter) }
