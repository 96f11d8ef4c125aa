package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
)

// maxPeek is how much of an answer is read to see whether the PBX refused the
// token. Refusals are a few hundred bytes.
const maxPeek = 64 << 10

// Client returns an http.Client for the PBX's API: every request carries the
// token of the moment, and one whose token was refused is repeated once with
// another. It follows no redirects. A request whose context has no deadline gets
// [Options].Timeout for its answer to begin: for the first 64 KB of it, or
// all of a shorter one, unless its type says that it is a recording or a stream.
func (s *Session) Client() *http.Client {
	return &http.Client{
		Transport:     s.Transport(nil),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Transport returns a RoundTripper that authorizes requests and sends them over
// base; nil is the driver's own connections, with the TLS settings that it was
// opened with, or [http.DefaultTransport] for a driver without one.
//
// A request to another host than the PBX's goes out without a token. One to the
// same host with another scheme or port is an error of kind [pbx.ErrConfig]:
// build requests on [Session.URL].
//
// If the PBX refuses the token, the session renews it and the request is
// repeated, once and only if its body can be had again (GetBody). Nothing else
// is repeated: the PBX may have acted.
//
// Where the session has no token, RoundTrip returns the error of
// [Session.Token]. For drivers without [pbx.Requester] it returns an error of
// kind [pbx.ErrNotSupported]. Errors of base come through as they are, unless
// they quote the token; the session's state does not follow from them. So do the
// PBX's other refusals, which many brands send under HTTP 200: the driver's
// [pbx.Requester] reads those too.
func (s *Session) Transport(base http.RoundTripper) http.RoundTripper {
	t := &transport{session: s, base: base}
	if t.base == nil {
		if own, ok := pbx.As[pbx.Requester](s.auth); ok && own.Transport() != nil {
			t.base = own.Transport()
		} else {
			t.base = http.DefaultTransport
		}
	}
	t.origin, _ = url.Parse(s.traits.URL)
	return t
}

type transport struct {
	session *Session
	base    http.RoundTripper
	origin  *url.URL
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.foreign(r) {
		if followed := r.Response != nil; !followed && strings.EqualFold(r.URL.Hostname(), hostOf(t.session.URL())) {
			closeBody(r)
			return nil, &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrConfig,
				Message: "not sent: the request goes to " + r.URL.Scheme + "://" + r.URL.Host + ", and this session's PBX is " + t.session.URL() + ": build it on Session.URL"}
		}
		return t.base.RoundTrip(r)
	}
	token, err := t.session.Token(r.Context())
	if err != nil {
		closeBody(r)
		return nil, err
	}
	resp, refused, err := t.send(r, token)
	if !refused {
		return resp, err
	}
	t.session.Reject(token)
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return resp, nil
	}
	again := r.Clone(r.Context())
	if r.GetBody != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return resp, nil
		}
	}
	resp.Body.Close()
	if token, err = t.session.Token(r.Context()); err != nil {
		closeBody(again)
		return nil, err
	}
	// A second refusal may be about the call and not the token: nobody is told.
	resp, _, err = t.send(again, token)
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}

// foreign reports whether r goes somewhere else than to the PBX. Where the
// driver does not tell the PBX's address, only a redirect can lead astray: the
// client then says which answer it follows.
func (t *transport) foreign(r *http.Request) bool {
	origin := t.origin
	switch {
	case t.session.URL() == "":
		first := r
		for first.Response != nil && first.Response.Request != nil {
			first = first.Response.Request
		}
		origin = first.URL
	case t.session.host == "": // that is no address: rather nobody gets the token than anybody
		return true
	}
	return r.URL.Scheme != origin.Scheme || port(r.URL) != port(origin) || !strings.EqualFold(r.URL.Hostname(), origin.Hostname())
}

func port(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "http":
		return "80"
	case u.Scheme == "https":
		return "443"
	}
	return ""
}

// send makes one authorized request and reads the PBX's verdict on the token.
func (t *transport) send(r *http.Request, token *pbx.Token) (resp *http.Response, refused bool, err error) {
	authorizer, ok := pbx.As[pbx.Requester](t.session.auth)
	if !ok {
		closeBody(r)
		return nil, false, &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrNotSupported,
			Message: "the driver does not say where a request carries the token: use Token and put it there"}
	}
	ctx, timer, cancel := t.bound(r.Context())
	authorized := r.Clone(ctx)
	if err := t.authorize(authorizer, authorized, token); err != nil {
		closeBody(r)
		stop(timer)
		cancel()
		return nil, false, err
	}
	sendOnce(authorized)
	sent := time.Now()
	resp, err = t.base.RoundTrip(authorized)
	if err != nil {
		if !stop(timer) {
			err = errNoAnswer
		}
		cancel()
		return nil, false, withoutToken(err, token)
	}
	if resp.Body == nil { // a careless base
		resp.Body = http.NoBody
	}
	answer := &body{rest: resp.Body, cancel: cancel}
	resp.Request = authorized // for Inspect
	var verdict error
	var head []byte
	if inspector, ok := pbx.As[pbx.Requester](t.session.auth); ok {
		head = answer.peek(resp)
		verdict = t.inspect(inspector, resp, head, token)
	} else if resp.StatusCode == http.StatusUnauthorized {
		verdict = pbx.ErrTokenRejected
	}
	resp.Body = answer
	if w, ok := answer.rest.(io.Writer); ok { // a WebSocket
		resp.Body = struct {
			*body
			io.Writer
		}{answer, w}
	}
	if !stop(timer) { // the beginning broke off
		resp.Body.Close()
		return nil, false, errNoAnswer
	}
	// Both would show the token to whoever prints the answer.
	resp.Request = r
	stripLocation(resp, token)
	if verdict == nil && resp.Header.Get("Content-Encoding") == "" { // else Inspect could not read it
		t.session.accepted(token, sent, resp, head)
	}
	if errors.Is(verdict, pbx.ErrInvalidCredentials) { // a key that was withdrawn, say
		t.session.refuse(token, verdict)
	}
	return resp, errors.Is(verdict, pbx.ErrTokenRejected), nil
}

// errNoAnswer ends a request that nobody else would.
var errNoAnswer error = &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrUnavailable, Sent: true, Err: context.DeadlineExceeded,
	Message: "the PBX does not answer; the request had no deadline of its own"}

// bound gives a request without a deadline the session's call timeout for the
// answer to begin. How long its body may take is the application's to say.
// cancel is to be called when it has been read.
func (t *transport) bound(r context.Context) (ctx context.Context, timer *time.Timer, cancel context.CancelFunc) {
	if _, has := r.Deadline(); has {
		return r, nil, func() {}
	}
	ctx, cancel = context.WithCancel(r)
	return ctx, time.AfterFunc(t.session.m.opts.timeout(), cancel), cancel
}

// stop reports whether the answer began in time.
func stop(timer *time.Timer) bool { return timer == nil || timer.Stop() }

// body is an answer's body, of which the beginning may have been read.
type body struct {
	head   bytes.Buffer
	bound  io.LimitedReader // of head
	rest   io.ReadCloser
	err    error // met on the way: for the application to meet where it is
	cancel context.CancelFunc
}

// peek reads the beginning of an answer that may hold an envelope. Recordings
// and event streams are left alone: their first bytes may be long in coming.
func (b *body) peek(resp *http.Response) []byte {
	media, _, _ := strings.Cut(strings.ToLower(resp.Header.Get("Content-Type")), ";")
	switch kind, of, _ := strings.Cut(strings.TrimSpace(media), "/"); {
	case kind == "audio", kind == "video", kind == "image", kind == "multipart",
		strings.Contains(of, "stream"), strings.Contains(of, "ndjson"), strings.Contains(of, "grpc"),
		resp.StatusCode == http.StatusSwitchingProtocols:
		return nil
	}
	b.head = *bytes.NewBuffer(make([]byte, 0, min(max(resp.ContentLength, 0), maxPeek)+bytes.MinRead))
	b.bound = io.LimitedReader{R: b.rest, N: maxPeek}
	_, b.err = b.head.ReadFrom(&b.bound)
	return b.head.Bytes()
}

func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.head.Len() > 0:
		return b.head.Read(p)
	case b.err != nil:
		return 0, b.err
	}
	return b.rest.Read(p)
}

func (b *body) Close() error {
	defer b.cancel()
	return b.rest.Close()
}

// authorize keeps a driver's panic from the application, as inspect does.
func (t *transport) authorize(a pbx.Requester, r *http.Request, token *pbx.Token) (err error) {
	defer t.session.contain(&err)
	return a.Authorize(r, token)
}

func (t *transport) inspect(i pbx.Requester, resp *http.Response, head []byte, token *pbx.Token) (err error) {
	defer t.session.contain(&err)
	return i.Inspect(resp, head, token)
}

// contain is to be deferred around a driver's code.
func (s *Session) contain(err *error) {
	if v := recover(); v != nil {
		*err = s.panicked(pbx.OpRequest, v)
	}
}

// sendOnce keeps net/http from sending a request without a body again when a
// kept connection breaks: the PBX may have read it, and a GET may delete
// something. A body that cannot be had again, be it empty, does that.
func sendOnce(r *http.Request) {
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		if r.Body == nil || r.Body == http.NoBody {
			r.Body, r.GetBody = empty{}, nil
		}
	}
}

// empty is a body without a byte that is not http.NoBody.
type empty struct{}

func (empty) Read([]byte) (int, error) { return 0, io.EOF }
func (empty) Close() error             { return nil }

// accepted notes that the PBX answered a call with token, and not with a web
// page, which says nothing about tokens.
func (s *Session) accepted(token *pbx.Token, sent time.Time, resp *http.Response, head []byte) {
	l := s.current.Load()
	if l == nil || resp.StatusCode/100 != 2 || !l.token.Value.Equal(token.Value) {
		return
	}
	if begins(head, "<!doctype html") || begins(head, "<html") {
		return
	}
	l.good.Store(true)
	if s.traits.Sliding && l.span != 0 {
		l.slide(sent)
	}
}

// begins reports whether a body begins with start, in whatever case.
func begins(body []byte, start string) bool {
	body = bytes.TrimSpace(body[:min(len(body), 64)])
	return len(body) >= len(start) && strings.EqualFold(string(body[:len(start)]), start)
}

// stripLocation cuts the token out of a redirect that quotes it, in whatever
// spelling: with the query that it stands in.
func stripLocation(resp *http.Response, token *pbx.Token) {
	location := resp.Header.Get("Location")
	if location == "" {
		return
	}
	if _, err := url.Parse(location); err != nil { // http.Client would quote it
		resp.Header.Del("Location")
		return
	}
	value := token.Value.Reveal()
	quotes := func(s string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(value)) }
	byQuery, _ := url.QueryUnescape(location)
	byPath, _ := url.PathUnescape(location)
	if !quotes(location) && !quotes(byQuery) && !quotes(byPath) {
		return
	}
	bare, _, _ := strings.Cut(location, "?")
	bare, _, _ = strings.Cut(bare, "#")
	if plain, err := url.PathUnescape(bare); err != nil || quotes(plain) {
		resp.Header.Del("Location")
		return
	}
	resp.Header.Set("Location", bare)
}

// withoutToken hides an error whose text holds the token, as that of a foreign
// RoundTripper may. net/http's own do not.
func withoutToken(err error, token *pbx.Token) error {
	value := token.Value.Reveal()
	if text := err.Error(); strings.Contains(text, value) || strings.Contains(text, url.QueryEscape(value)) {
		return &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrUnavailable, Sent: true, Message: "no answer (the reason is not shown: it quotes the token)"}
	}
	return err
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}
