package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
)

// recorder wraps a driver and writes down what the session does with it. The
// driver's optional interfaces stay visible through Unwrap.
type recorder struct {
	auth   pbx.Authenticator
	record func(event)
	newest atomic.Pointer[pbx.Token] // that it brought
}

// recording returns auth with a recorder around it.
func recording(auth pbx.Authenticator, record func(event)) pbx.Authenticator {
	r := &recorder{auth: auth, record: record}
	if requester, ok := pbx.As[pbx.Requester](auth); ok {
		checked := ""
		if d, ok := pbx.As[pbx.Describer](auth); ok {
			checked = cmp.Or(d.Traits().Probe, d.Traits().URL)
		}
		return &requestRecorder{r, requester, checked}
	}
	return r
}

func (r *recorder) Unwrap() pbx.Authenticator { return r.auth }

func (r *recorder) Login(ctx context.Context) (*pbx.Token, error) {
	return r.watch(sentLogin, "Login", func() (*pbx.Token, error) { return r.auth.Login(ctx) })
}

func (r *recorder) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	return r.watch(sentKeepAlive, "Keep-alive", func() (*pbx.Token, error) { return r.auth.KeepAlive(ctx, t) })
}

func (r *recorder) Logout(ctx context.Context, t *pbx.Token) error {
	_, err := r.watch(sentLogout, "Logout", func() (*pbx.Token, error) { return nil, r.auth.Logout(ctx, t) })
	return err
}

func (r *recorder) watch(kind eventKind, label string, send func() (*pbx.Token, error)) (*pbx.Token, error) {
	start := time.Now()
	t, err := send()
	if errors.Is(err, pbx.ErrNotSupported) {
		return t, err // nothing was sent
	}
	e := event{At: start, Kind: kind, Label: label, Took: time.Since(start)}
	switch {
	case err != nil:
		e.Failed, e.Wrong, e.Dead, e.Result = true, errors.Is(err, pbx.ErrInvalidCredentials), errors.Is(err, pbx.ErrTokenRejected), inBrief(err)
	case t == nil:
		e.Result = fmt.Sprintf("Accepted in %d ms.", e.Took.Milliseconds())
	default:
		r.newest.Store(t)
		e.Result, e.Expires = fmt.Sprintf("Accepted in %d ms.", e.Took.Milliseconds()), t.ExpiresAt
		if !t.ExpiresAt.IsZero() {
			e.Result += " Token valid until " + exact(t.ExpiresAt, start) + "."
		}
	}
	r.record(e)
	return t, err
}

// requestRecorder also sees what the PBX says of tokens in the application's own
// requests.
type requestRecorder struct {
	*recorder
	pbx.Requester
	checked string // the URL that a session gets to see whether the PBX responds
}

// Transport also sees those checks.
func (r *requestRecorder) Transport() http.RoundTripper {
	base := r.Requester.Transport()
	if base == nil {
		base = http.DefaultTransport
	}
	return checkRecorder{base, r}
}

type checkRecorder struct {
	http.RoundTripper
	to *requestRecorder
}

func (c checkRecorder) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	resp, err := c.RoundTripper.RoundTrip(r)
	if r.Method == http.MethodGet && r.Close && r.URL.String() == c.to.checked {
		e := event{At: start, Kind: sentCheck, Label: "Check", Took: time.Since(start), Result: "Without the password: no response."}
		if err == nil {
			e.Result = "Without the password: " + resp.Status + "."
		}
		c.to.record(e)
	}
	return resp, err
}

func (r *requestRecorder) Inspect(resp *http.Response, body []byte, t *pbx.Token) error {
	err := r.Requester.Inspect(resp, body, t)
	if newest := r.newest.Load(); newest != nil && t != nil && !t.Value.Equal(newest.Value) && t.IssuedAt.Before(newest.IssuedAt) {
		return err // of a token that is no longer used: the request is sent again
	}
	if errors.Is(err, pbx.ErrTokenRejected) {
		r.record(event{At: time.Now(), Kind: tokenRefused, Label: "Token refused", Failed: true, Result: explain(err) + " The session logs in, and the request is sent again."})
	}
	return err
}
