package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/internal/trace"
)

// Client returns an http.Client for the PBX's API: every request carries the
// token of the moment. If the PBX refused the token before it did anything, the
// request is repeated once with another token. The Client follows no redirects.
//
// A request whose context has no deadline gets [Options].Timeout, counted from the
// end of its upload, for its response to begin: for the first 64 KB of it, or all of
// a shorter one, unless its type says that it is a recording or a stream.
func (s *Session) Client() *http.Client {
	return &http.Client{
		Transport:     s.Transport(nil),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Transport returns a RoundTripper that authorizes requests and sends them over
// base. If base is nil, it uses the driver's own connections, with the TLS
// settings that it was opened with, or [http.DefaultTransport] for a driver
// without any.
//
// The token goes to the PBX only. A request to another origin than that of
// [Session.URL] is an error of kind [pbx.ErrConfig], also after a redirect. The
// request's Host is always that of its URL.
//
// If the PBX refuses the token, the session replaces it. If the PBX refused it before
// it did anything ([pbx.ErrTokenRejected]), the request is repeated, once and only if
// its body can be read again (GetBody). Nothing else is repeated, because the PBX may
// have acted.
//
// If the session has no token, RoundTrip returns the error of [Session.Token].
// For drivers without [pbx.Requester] it returns an error of kind
// [pbx.ErrNotSupported]. Errors of base are returned as they are, unless they
// quote the token. The session's state does not follow from them. Other failures
// that the brand reports in the body are in the response: [Session.Do] returns
// them as errors.
//
// An instrumented RoundTripper, such as one that records URLs, belongs around the
// Transport and not into base: some brands have the token in the URL.
func (s *Session) Transport(base http.RoundTripper) http.RoundTripper {
	return &transport{session: s, base: base}
}

// Do sends a request to the PBX as [Session.Client] does. A URL without a host,
// as in "/api/v1.1.0/extension/list", is resolved on [Session.URL]. If the brand
// reports a failure in the response's body, often under HTTP status 200, Do
// returns it as a [*pbx.Error] together with the response, whose body is whole.
// If there is no token, the error is that of [Session.Token]. If the connection
// fails, it is net/http's own, such as a *net.OpError, and of no kind.
// Close the body of every response that is not nil.
func (s *Session) Do(r *http.Request) (*http.Response, error) {
	whole, err := s.resolve(r)
	if err != nil {
		if r != nil {
			closeBody(r)
		}
		return nil, err
	}
	t := &transport{session: s}
	resp, verdict, err := t.exchange(whole)
	if err != nil {
		return nil, err
	}
	return resp, verdict
}

// refuse returns the error for a request that cannot be sent as it is.
func refuse(why string) error {
	return &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrConfig, Message: "not sent: " + why}
}

var errNoURL = refuse("the request has no URL: use http.NewRequestWithContext")

// resolve returns r with a whole URL. It leaves r's body alone.
func (s *Session) resolve(r *http.Request) (*http.Request, error) {
	if r == nil || r.URL == nil {
		return nil, errNoURL
	}
	if r.URL.Host != "" || r.URL.Opaque != "" {
		return r, nil
	}
	base, err := url.Parse(s.URL())
	if err != nil || base.Host == "" {
		return nil, refuse("the driver does not say where the PBX is: use a URL with a host")
	}
	if base.Path == "" {
		base.Path = "/" // else JoinPath returns a relative path
	}
	whole := *r.URL
	whole.Scheme, whole.Host = base.Scheme, base.Host
	joined := base.JoinPath(r.URL.EscapedPath())
	whole.Path, whole.RawPath = joined.Path, joined.RawPath
	r = r.WithContext(r.Context()) // and not Clone, as in exchange
	r.URL = &whole
	return r, nil
}

// Authorize puts the token of the moment into r, for requests that something
// else sends, such as a WebSocket dialer. It waits for a login under way as
// [Session.Token] does. A URL without a host is resolved on [Session.URL], with
// its scheme. A request to any other origin is an error and is left unchanged.
// Schemes ws and wss count as http and https.
func (s *Session) Authorize(ctx context.Context, r *http.Request) error {
	whole, err := s.resolve(r)
	if err != nil {
		return err
	}
	check := whole.Clone(ctx)
	check.URL.Scheme = strings.Replace(check.URL.Scheme, "ws", "http", 1)
	ready, err := s.prepare(ctx, check)
	if err != nil {
		return err
	}
	r.URL, r.Host = whole.URL, whole.URL.Host // as in send
	if r.Header == nil {
		r.Header = http.Header{}
	}
	return ready.link.authorize(ready.requester, r, ready.lease.token)
}

// prepare waits for a token for r, and returns it with its driver. A driver may be
// replaced during the wait: the token of the new one is not for the PBX of the old
// one.
func (s *Session) prepare(ctx context.Context, r *http.Request) (*exchange, error) {
	for {
		l := s.link.Load()
		requester, err := l.requester()
		if err == nil {
			err = checkOrigin(r, l.traits.URL)
		}
		if err != nil {
			return nil, err
		}
		held, err := s.lease(ctx)
		if err != nil {
			return nil, err
		}
		if s.link.Load() == l {
			return &exchange{session: s, link: l, requester: requester, lease: held}, nil
		}
	}
}

// authorize and inspect keep a driver's panic from the application.
func (d *driver) authorize(by pbx.Requester, r *http.Request, t *pbx.Token) (err error) {
	defer d.recovered(pbx.OpRequest, &err)
	err = by.Authorize(r, t)
	tryOut(err)
	return err
}

func (d *driver) inspect(by pbx.Requester, resp *http.Response, head []byte, t *pbx.Token) (err error) {
	defer d.recovered(pbx.OpRequest, &err)
	err = by.Inspect(resp, head, t)
	tryOut(err)
	return err
}

// requester is the driver's part in requests.
func (d *driver) requester() (pbx.Requester, error) {
	if r, ok := pbx.As[pbx.Requester](d.auth); ok {
		return r, nil
	}
	return nil, &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrNotSupported,
		Message: "the driver does not say where a request carries the token: use Token and put it there"}
}

type transport struct {
	session *Session
	base    http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil {
		closeBody(r)
		return nil, errNoURL
	}
	resp, _, err := t.exchange(r)
	return resp, err
}

// CloseIdleConnections closes those of base, for [http.Client.CloseIdleConnections].
// The driver's own are shared with other PBXs, and stay.
func (t *transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// exchange sends r, and once more if the PBX refused the token before it did
// anything. verdict is the failure that the brand reports in the response.
func (t *transport) exchange(r *http.Request) (resp *http.Response, verdict, err error) {
	e, used, err := t.begin(r)
	if err != nil {
		closeBody(r)
		return nil, nil, err
	}
	resp, verdict, err = e.send(r, t.over(e))
	refused := errors.Is(verdict, pbx.ErrTokenRejected)
	if err != nil || !refused && !isAmbiguous(verdict) {
		used()
		return resp, verdict, err
	}
	read := time.Now()
	e.judge(verdict)
	used() // a ping needs its turn too
	if !t.session.gaveUp(r.Context(), e.lease) || !refused || r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return resp, verdict, nil
	}
	again := r.WithContext(r.Context()) // and not Clone: the body fills in r's trailer
	if r.GetBody != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return resp, verdict, nil
		}
	}
	resp.Body.Close()
	if e, used, err = t.begin(again); err != nil {
		closeBody(again)
		return nil, nil, err
	}
	resp, verdict, err = e.send(again, t.over(e))
	// A second refusal may be about the request and not the token, and is then not
	// reported. The token of another process may be older than the first one.
	if e.lease.token.IssuedAt.Before(read) {
		e.judge(verdict)
	}
	used()
	if resp != nil {
		resp.Request = r
	}
	return resp, verdict, err
}

// begin waits until r may be sent with the session's token. used is to be called
// when its verdict is there.
func (t *transport) begin(r *http.Request) (e *exchange, used func(), err error) {
	s, ctx := t.session, r.Context()
	for {
		if e, err = s.prepare(ctx, r); err != nil { // before its turn, which a refresh may need
			return nil, nil, err
		}
		if used, err = e.link.host.use(ctx, &e.link.visitor, e.lease.token.IssuedAt); err != nil {
			return nil, nil, err
		}
		if s.current.Load() == e.lease && s.link.Load() == e.link && e.lease.living(time.Now()) {
			return e, used, nil
		}
		used()
	}
}

// over is what an exchange is sent over.
func (t *transport) over(e *exchange) http.RoundTripper {
	if t.base != nil {
		return t.base
	}
	if base := e.requester.Transport(); base != nil {
		return base
	}
	return http.DefaultTransport
}

func isAmbiguous(verdict error) bool {
	failure, ok := errors.AsType[*pbx.Error](verdict)
	return ok && failure.Ambiguous
}

// gaveUp reports whether there is or will be another token than that of l, which the
// PBX has refused. A ping decides about an ambiguous refusal, and gaveUp waits for
// the ping as long as ctx allows.
func (s *Session) gaveUp(ctx context.Context, l *lease) bool {
	ctx, cancel := context.WithTimeout(ctx, s.fleet.timeout)
	defer cancel()
	for {
		s.mu.Lock()
		m := &s.machine
		same := m.lease != nil && m.lease.generation == l.generation
		if !same || !m.pinging() {
			s.mu.Unlock()
			return !same
		}
		changed := s.listen()
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// exchange is one request of the application and its response.
type exchange struct {
	session   *Session
	link      *link
	requester pbx.Requester
	lease     *lease

	url   url.URL // of the authorized request
	sent  time.Time
	limit limit
	body  body
}

// send makes one authorized request and reads the PBX's verdict on the token.
func (e *exchange) send(r *http.Request, base http.RoundTripper) (resp *http.Response, verdict, err error) {
	ctx, cancel := r.Context(), func() {}
	if _, has := ctx.Deadline(); !has {
		ctx, cancel = context.WithCancel(ctx)
		e.limit.begin(e.link.timeout, cancel)
	}
	seen := ctx
	if httptrace.ContextClientTrace(ctx) != nil {
		seen = trace.Veil(ctx, e.showsToken)
	}
	authorized := r.WithContext(seen)
	authorized.Host = r.URL.Host // a proxy goes by it
	e.url, authorized.Header = *r.URL, r.Header.Clone()
	if authorized.URL = &e.url; authorized.Header == nil {
		authorized.Header = http.Header{}
	}
	if err := e.link.authorize(e.requester, authorized, e.lease.token); err != nil {
		closeBody(authorized) // a driver that has read the body has closed it
		e.limit.stop()
		cancel()
		return nil, nil, err
	}
	e.follow(authorized)
	authorized, end := sendOnce(authorized)
	if end != nil {
		last := cancel
		cancel = func() { last(); end(nil) }
	}
	e.sent = time.Now()
	resp, err = base.RoundTrip(authorized)
	if err == nil && resp == nil { // a careless base
		err = errNeither
	}
	if err != nil {
		if !e.limit.stop() {
			err = errNoResponse
		} else if context.Cause(authorized.Context()) == errSentOnce {
			err = errSentOnce
		}
		cancel()
		return nil, nil, e.clean(err)
	}
	if resp.Body == nil { // another careless one
		resp.Body = http.NoBody
	}
	e.body = body{rest: resp.Body, cancel: cancel, of: e, in: resp}
	resp.Request = authorized // for Inspect
	head, inspected := e.body.peek(resp)
	if resp.StatusCode != http.StatusSwitchingProtocols { // what follows that is not HTTP
		verdict = e.link.inspect(e.requester, resp, head, e.lease.token)
		if !inspected {
			seen := *resp
			e.body.late = &seen
		}
	}
	resp.Body = &e.body
	if w, ok := e.body.rest.(io.Writer); ok { // a WebSocket
		resp.Body = struct {
			*body
			io.Writer
		}{&e.body, w}
	}
	if !e.limit.stop() { // the beginning broke off
		resp.Body.Close()
		return nil, nil, errNoResponse
	}
	// All of these would show the token to those who print the response.
	resp.Request = r
	e.strip(resp.Header)
	e.strip(resp.Trailer)
	if quotes(resp.Status, e.lease.token.Value.Reveal()) {
		resp.Status = strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode)
	}
	switch {
	case errors.Is(verdict, pbx.ErrInvalidCredentials): // a key that was withdrawn, say
		e.judge(verdict)
	case verdict == nil && inspected && e.body.err == nil && r.Method != http.MethodHead && resp.StatusCode/100 == 2 && !isWebPage(head):
		e.accepted()
	}
	return resp, verdict, nil
}

// accepted notes that the PBX accepted the request and its token.
func (e *exchange) accepted() {
	if now := e.session.current.Load(); now != nil && now.generation == e.lease.generation {
		now.accept(e.sent, e.link.traits.brand().Sliding)
	}
	e.link.host.accepted(&e.link.visitor, e.lease.token.IssuedAt, e.sent)
}

// look judges late: by the first bytes of a body that peek left alone.
func (e *exchange) look(resp *http.Response, head []byte) {
	e.judge(e.link.inspect(e.requester, resp, head, e.lease.token))
}

// judge reports to the session what a response says about the token, or about the
// credentials behind it.
func (e *exchange) judge(verdict error) {
	refused, ambiguous := errors.Is(verdict, pbx.ErrTokenRejected), isAmbiguous(verdict)
	switch {
	case errors.Is(verdict, pbx.ErrInvalidCredentials):
		e.session.deliver(event{kind: condemned, generation: e.lease.generation, err: verdict}, nil)
	case refused || ambiguous:
		lost := e.link.host.mayBeLost(&e.link.visitor, e.lease.token)
		if lost { // a ping may count as well
			refused, ambiguous = true, false
		}
		lost = lost && !e.link.hasOneToken() // else a login may have ended it
		e.session.deliver(event{kind: invalidated, generation: e.lease.generation, ambiguous: ambiguous, unclear: !refused, lost: lost, token: e.lease.token}, nil)
	}
}

// errNoResponse ends a request that has no deadline of its own.
var errNoResponse error = &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrUnavailable, Sent: true, Err: context.DeadlineExceeded,
	Message: "the PBX does not respond; the request had no deadline of its own"}

// errSentOnce ends a request that net/http is about to send again.
var errSentOnce error = &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrUnavailable, Sent: true,
	Message: "the server ended the request without a response, and it is not sent again"}

// errNeither is for a RoundTripper that returns neither a response nor an error.
var errNeither error = &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrUnavailable, Sent: true,
	Message: "the RoundTripper below the session returned neither a response nor an error"}

// body is a response's body, of which the beginning may have been read.
type body struct {
	head   bytes.Buffer
	bound  io.LimitedReader // of head
	rest   io.ReadCloser
	err    error // met on the way: for the application to meet where it is
	cancel context.CancelFunc
	of     *exchange
	in     *http.Response // whose trailer comes at the end
	late   *http.Response // whose first bytes are looked at when they come; nil: they were
}

// peek reads the beginning of a response that may hold an envelope, and reports
// whether it says anything about the token. Media and event streams are left
// alone, because their first bytes may be long in coming, unless the response
// says that it is short: then it may be a refusal with a wrong type.
func (b *body) peek(resp *http.Response) (head []byte, inspected bool) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, false
	}
	if isMedia(resp.Header.Get("Content-Type")) && (resp.ContentLength <= 0 || resp.ContentLength > maxPeek) {
		return nil, false
	}
	b.head = *bytes.NewBuffer(make([]byte, 0, min(max(resp.ContentLength, 0), maxPeek)+bytes.MinRead))
	b.bound = io.LimitedReader{R: b.rest, N: maxPeek}
	_, b.err = b.head.ReadFrom(&b.bound)
	head, readable := decode(resp.Header.Get("Content-Encoding"), b.head.Bytes())
	return head, readable
}

func (b *body) Read(p []byte) (n int, err error) {
	switch {
	case b.head.Len() > 0:
		return b.head.Read(p)
	case b.err != nil:
		return 0, b.of.clean(b.err)
	}
	n, err = b.rest.Read(p)
	switch {
	case err == io.EOF:
		b.of.strip(b.in.Trailer)
	case err != nil:
		err = b.of.clean(err)
	}
	if b.late != nil && n > 0 {
		b.of.look(b.late, p[:n])
		b.late = nil
	}
	return n, err
}

func (b *body) Close() error {
	defer b.cancel()
	return b.rest.Close()
}

// limit gives a request without a deadline the session's timeout for the
// response to begin. How long its body may take is the application's to say. The
// zero limit never ends anything.
type limit struct {
	mu      sync.Mutex // guards what follows
	timeout time.Duration
	timer   *time.Timer
	stopped bool
}

func (l *limit) begin(timeout time.Duration, end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timeout, l.timer = timeout, time.AfterFunc(timeout, end)
}

// stop reports whether the response began in time.
func (l *limit) stop() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	return l.timer == nil || l.timer.Stop()
}

// progress begins the time anew.
func (l *limit) progress() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped && l.timer != nil && l.timer.Stop() {
		l.timer.Reset(l.timeout)
	}
}

// follow lets an upload take its time, as long as it goes on, and closes its body
// when the request ends: net/http waits for a Read that is under way, whatever the
// context. A body in memory does not block.
func (e *exchange) follow(r *http.Request) {
	stream := r.GetBody == nil
	if r.Body == nil || r.Body == http.NoBody || !stream && e.limit.timer == nil {
		return
	}
	u := &upload{ReadCloser: r.Body, ctx: r.Context(), limit: &e.limit}
	r.Body = u
	if stream {
		u.forget = context.AfterFunc(u.ctx, func() { u.end() })
	}
}

type upload struct {
	io.ReadCloser
	ctx    context.Context // of its request
	limit  *limit
	closed atomic.Bool
	forget func() bool // that Close follows the end of the context; nil: it does not
}

// Read reads on, or reports why its request has ended, and not that the body is closed.
func (u *upload) Read(p []byte) (int, error) {
	u.limit.progress()
	n, err := u.ReadCloser.Read(p)
	if err != nil && err != io.EOF && u.ctx.Err() != nil {
		err = context.Cause(u.ctx)
	}
	return n, err
}

func (u *upload) Close() error {
	if u.forget != nil {
		u.forget()
	}
	return u.end()
}

// end closes the body once.
func (u *upload) end() error {
	if u.closed.Swap(true) {
		return nil
	}
	return u.ReadCloser.Close()
}

// sendOnce keeps net/http from sending a request again when a kept connection
// breaks: the PBX may have read it, and a GET may delete something. net/http
// repeats requests without a body, or whose body can be had again, if their
// method or a header says that they are idempotent. Over HTTP/2 it repeats any
// without a body: then the context ends with errSentOnce. The function, unless it is nil,
// has to be called when the response is done with.
func sendOnce(r *http.Request) (*http.Request, context.CancelCauseFunc) {
	r.GetBody = nil
	for _, name := range [...]string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := r.Header[name]; ok { // net/http knows this spelling only
			delete(r.Header, name)
			r.Header[strings.ToLower(name)] = values
		}
	}
	if r.Body != nil && r.Body != http.NoBody {
		return r, nil
	}
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		r.Body = empty{}
		return r, nil
	}
	ctx, end := trace.Once(r.Context(), errSentOnce)
	return r.WithContext(ctx), end
}

// empty is a body without a byte that is not http.NoBody.
type empty struct{}

func (empty) Read([]byte) (int, error) { return 0, io.EOF }
func (empty) Close() error             { return nil }

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

// strip cuts the token out of a response's header or trailer, for those who print it. A
// redirect loses the query that it stands in, other values go.
func (e *exchange) strip(h http.Header) {
	token := e.lease.token.Value.Reveal()
	for name, values := range h {
		kept := values[:0]
		for _, value := range values {
			if name == "Location" {
				value = stripLocation(value, token)
			} else if quotes(value, token) {
				value = ""
			}
			if value != "" {
				kept = append(kept, value)
			}
		}
		switch {
		case len(kept) == 0 && len(values) > 0 && values[0] != "":
			delete(h, name)
		case len(kept) != len(values):
			h[name] = kept
		}
	}
}

func stripLocation(location, token string) string {
	if _, err := url.Parse(location); err != nil { // http.Client would quote it
		return ""
	}
	if !quotes(location, token) {
		return location
	}
	bare, _, _ := strings.Cut(location, "?")
	bare, _, _ = strings.Cut(bare, "#")
	if quotes(bare, token) {
		return ""
	}
	return bare
}

// showsToken reports whether values of a header quote the token.
func (e *exchange) showsToken(values []string) bool {
	return slices.ContainsFunc(values, func(value string) bool { return quotes(value, e.lease.token.Value.Reveal()) })
}

// clean hides an error whose text holds the token, as that of a foreign
// RoundTripper may.
func (e *exchange) clean(err error) error {
	if !quotes(err.Error(), e.lease.token.Value.Reveal()) {
		return err
	}
	return &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrUnavailable, Sent: true, Message: "no response (the reason is not shown, because it quotes the token)"}
}

// quotes reports whether a text holds a secret in any spelling: other case,
// percent signs, Go's or JSON's escapes, once or twice over.
func quotes(text, secret string) bool {
	if secret == "" || len(text) < len(secret) {
		return false
	}
	if strings.Contains(text, secret) {
		return true
	}
	want := strings.ToLower(secret)
	for range 3 {
		if strings.Contains(strings.ToLower(text), want) || strings.Contains(strings.ToLower(strings.ReplaceAll(text, "+", " ")), want) {
			return true
		}
		plain := unescape(text)
		if plain == text {
			return false
		}
		text = plain
	}
	return false
}

// unescape undoes %2B, \x2b, \u002b, \/ and &#43;, wherever they stand.
func unescape(text string) string {
	if !strings.ContainsAny(text, `%\&`) {
		return text
	}
	var b strings.Builder
	for text != "" {
		code, width := escape(text)
		if width == 0 {
			code, width = text[0], 1
		}
		b.WriteByte(code)
		text = text[width:]
	}
	return b.String()
}

// escape reads the escape that text begins with, if there is one: the character
// that it stands for and its length.
func escape(text string) (code byte, width int) {
	for prefix, digits := range map[string]int{"%": 2, `\x`: 2, `\u`: 4} {
		if end := len(prefix) + digits; strings.HasPrefix(text, prefix) && len(text) >= end {
			if n, err := strconv.ParseUint(text[len(prefix):end], 16, 7); err == nil {
				return byte(n), end
			}
		}
	}
	if strings.HasPrefix(text, "&#") {
		number, _, found := strings.Cut(text[2:min(len(text), 9)], ";")
		base, digits := 10, number
		if hex := strings.TrimLeft(number, "xX"); hex != number {
			base, digits = 16, hex
		}
		if n, err := strconv.ParseUint(digits, base, 7); found && err == nil {
			return byte(n), len("&#;") + len(number)
		}
	}
	if text[0] == '\\' && len(text) > 1 {
		return text[1], 2
	}
	return 0, 0
}
