package lockout

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/pbxauth/pbx"
)

// Outcome is what a login came to, as far as lockouts are concerned.
type Outcome struct {
	Kind OutcomeKind
	// RetryAfter is how long the PBX wants to be left alone; 0: it does not say.
	RetryAfter time.Duration
	// Page is the response, if it was not the brand's: HTTP 401, 403 or 407 without its
	// words, a redirect, or a page. Something in front of the PBX may respond so to every
	// request. Zero: it was the brand's, or there was none.
	Page Page
}

// Page identifies a response that is not the brand's. Two look alike if they have the same
// status, and lengths that differ by one byte at most.
type Page struct {
	Status int // of HTTP
	Length int // of the body in bytes, at most [MaxPage]
}

// MaxPage is how much of a page counts.
const MaxPage = 64 << 10

// like reports whether what responded with p may have responded with k too. A login is a
// POST and a check a GET, and a page that repeats that word is a byte shorter.
func (p Page) like(k Page) bool {
	if refuses(p.Status) && refuses(k.Status) {
		return true
	}
	return p.Status == k.Status && max(p.Length, k.Length)-min(p.Length, k.Length) <= 1
}

// maxPages is how many pages of one URL are known. Several backends may have one each.
const maxPages = 4

// inFront is how many logins, one after another, got the same page. The zero inFront is of
// no page.
type inFront struct {
	page   Page
	logins int
	last   instant // when the newest of them ended
}

// note notes a login that got the page. If it was booked before the last one ended, it is
// one of several that met the same fault.
func (f *inFront) note(page Page, booked, now instant) {
	switch {
	case f.logins == 0, !page.like(f.page):
		f.logins = 1
	case booked > f.last:
		f.logins++
	}
	f.page, f.last = page, now
}

// pause is how long such responses to checks are no evidence after the newest of the
// logins. A page may be that of the PBX's web server, which checks get later as well.
func (f inFront) pause() time.Duration {
	first := 10 * time.Minute
	if refuses(f.page.Status) {
		first = time.Hour
	}
	return first << (3 * min(f.logins-1, 2))
}

// OutcomeKind is the kind of an [Outcome].
type OutcomeKind int

const (
	// Unclear: a proof may have reached the PBX, and its verdict is unknown. It
	// counts as a wrong login.
	Unclear OutcomeKind = iota
	// Success: the PBX accepted the credentials.
	Success
	// Refused: the PBX judged the credentials and refused them.
	Refused
	// Locked: the PBX refuses logins for a while, whatever the credentials.
	Locked
	// NotSent: the host could not be reached, or its challenge failed. No proof
	// left this machine.
	NotSent
	// TooManySessions: the PBX has no room for another token. It may or may not
	// have judged the credentials.
	TooManySessions
	// Throttled: HTTP 429 from something that is not the PBX's login.
	Throttled
	// NotJudged: the vendor documents that the PBX did not look at the credentials.
	// Of proven credentials it is no wrong login. Of others it is Unclear.
	NotJudged
	// Withdrawn: the login was given up on this side before anything was sent.
	// It says nothing about the host.
	Withdrawn
)

// Classify maps the error of a driver's Login to an outcome. Whatever is not
// known to be something else is [Unclear].
func Classify(err error) Outcome {
	if err == nil {
		return Outcome{Kind: Success}
	}
	var e *pbx.Error
	if !errors.As(err, &e) {
		return Outcome{Kind: Unclear}
	}
	o := Outcome{RetryAfter: max(e.RetryAfter, 0)}
	if mayBeInFront(e) {
		o.Page = Page{e.HTTPStatus, min(e.Length, MaxPage)}
	}
	switch {
	case errors.Is(e, pbx.ErrInvalidCredentials):
		o.Kind = Refused
	case errors.Is(e, pbx.ErrLocked):
		o.Kind = Locked
	case errors.Is(e, pbx.ErrTooManySessions):
		o.Kind = TooManySessions
	case e.HTTPStatus == http.StatusTooManyRequests && e.Code == "":
		o.Kind = Throttled
	case e.Sent && e.NotJudged:
		o.Kind = NotJudged
	case e.Sent:
		o.Kind = Unclear
	case o.Page != (Page{}): // at the challenge
		o.Kind = NotSent
	case errors.Is(e, pbx.ErrConfig), errors.Is(e, pbx.ErrNotSupported), errors.Is(e, context.Canceled):
		o.Kind = Withdrawn
	default:
		o.Kind = NotSent
	}
	return o
}

// mayBeInFront reports whether something in front of the PBX may have responded to a
// login. HTTP 404 to a challenge may also be that of a PBX that starts. A gateway's JSON
// may look like the brand's words, but an error code under HTTP 2xx is the brand's.
func mayBeInFront(e *pbx.Error) bool {
	switch {
	case errors.Is(e, pbx.ErrConfig):
		return refuses(e.HTTPStatus) || !e.Sent && e.HTTPStatus == http.StatusNotFound
	case e.HTTPStatus == 0, e.HTTPStatus/100 == 2 && e.Code != "":
		return false
	}
	return errors.Is(e, pbx.ErrProtocol) || e.Kind == nil && !refuses(e.HTTPStatus)
}

// Responds reports whether the HTTP status of a check shows that the PBX is up. 5xx may
// come from a proxy, or from a PBX that is starting, but 501 and 505 are about the
// request: a server that works has read it. 0 is no response.
func Responds(status int) bool {
	return 0 < status && status < http.StatusInternalServerError ||
		status == http.StatusNotImplemented || status == http.StatusHTTPVersionNotSupported
}

// refuses reports whether an HTTP status without the brand's own words may be that of
// something in front of the PBX, which refuses or redirects every request.
func refuses(status int) bool {
	return status/100 == 3 || status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusProxyAuthRequired
}
