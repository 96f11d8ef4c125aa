package conformance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"time"

	"github.com/pbxauth/pbx"
)

// observedDriver is the driver under test. It checks what the driver says for
// leaks, recovers its panics, and unblocks it if it does not return. It has all
// optional interfaces and does what their docs say about a driver without them.
type observedDriver struct {
	pbx.Authenticator
	bed *testbed
}

// patience is how long, in virtual time, an operation may take.
const patience = time.Hour

func (d *observedDriver) Login(ctx context.Context) (*pbx.Token, error) {
	return d.supervise("Login", func() (*pbx.Token, error) { return d.Authenticator.Login(ctx) })
}

func (d *observedDriver) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	return d.supervise("KeepAlive", func() (*pbx.Token, error) { return d.Authenticator.KeepAlive(ctx, t) })
}

func (d *observedDriver) Logout(ctx context.Context, t *pbx.Token) error {
	_, err := d.supervise("Logout", func() (*pbx.Token, error) { return nil, d.Authenticator.Logout(ctx, t) })
	return err
}

func (d *observedDriver) supervise(name string, call func() (*pbx.Token, error)) (*pbx.Token, error) {
	var token *pbx.Token
	var err error
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			d.bed.observe("a panic in "+name, v)
			if _, ours := v.(runtime.Error); !ours {
				v = fmt.Sprintf("%T", v) // may hold a secret
			}
			d.bed.fault("%s panics: %v%s", name, v, panicPlace())
			err = fmt.Errorf("%s panics", name)
		}()
		token, err = call()
	}()
	watch := time.NewTimer(patience)
	defer watch.Stop()
	select {
	case <-returned:
	case <-watch.C:
		d.bed.fault("%s does not return within %s", name, patience)
		d.bed.server.Close() // so that it returns
		<-returned
	}
	d.bed.observe("an error of "+name, err)
	if token != nil {
		d.bed.leaks.Plant("token", token.Value.Reveal())
		d.bed.leaks.Plant("refresh token", token.Refresh.Reveal())
		d.bed.observe("a token", token)
		d.bed.observe("a token", *token)
		d.bed.leaks.Text("a token's Details", string(token.Details))
	}
	return token, err
}

func (d *observedDriver) Authorize(r *http.Request, t *pbx.Token) error {
	a, ok := pbx.As[pbx.Requester](d.Authenticator)
	if !ok {
		return &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrNotSupported}
	}
	err := a.Authorize(r, t)
	d.bed.observe("an error of Authorize", err)
	return err
}

func (d *observedDriver) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	i, ok := pbx.As[pbx.Requester](d.Authenticator)
	if !ok {
		if r.StatusCode == http.StatusUnauthorized {
			return &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrTokenRejected, Sent: true}
		}
		return nil
	}
	seen := *r
	seen.Body = untouchable{d.bed}
	err := i.Inspect(&seen, body, t)
	d.bed.observe("an error of Inspect", err)
	return err
}

// untouchable is the body that Inspect may not read: what it takes of it, the
// application misses.
type untouchable struct{ bed *testbed }

func (u untouchable) Read([]byte) (int, error) {
	u.bed.fault("Inspect reads Response.Body, which is the application's: the beginning is in its second parameter")
	return 0, io.EOF
}

func (u untouchable) Close() error {
	u.bed.fault("Inspect closes Response.Body, which is the application's")
	return nil
}

func (d *observedDriver) Traits() pbx.Traits {
	if describer, ok := pbx.As[pbx.Describer](d.Authenticator); ok {
		return describer.Traits()
	}
	return pbx.Traits{}
}

// Ping is not supported by a driver without one.
func (d *observedDriver) Ping(ctx context.Context, t *pbx.Token) error {
	p, ok := pbx.As[pbx.Pinger](d.Authenticator)
	if !ok {
		return &pbx.Error{Op: pbx.OpPing, Kind: pbx.ErrNotSupported}
	}
	_, err := d.supervise("Ping", func() (*pbx.Token, error) { return nil, p.Ping(ctx, t) })
	return err
}

// Fingerprint is the same for all credentials of a driver without one, so that a
// session with a wrong password waits for a person either way.
func (d *observedDriver) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	f, ok := pbx.As[pbx.Fingerprinter](d.Authenticator)
	if !ok {
		return []byte("unknown"), nil
	}
	print, err := f.Fingerprint(ctx, key)
	d.bed.observe("an error of Fingerprint", err)
	d.bed.leaks.Text("a fingerprint", string(print))
	return print, err
}

// Transport is the driver's own, or else the one that it was given.
func (d *observedDriver) Transport() http.RoundTripper {
	if own, ok := pbx.As[pbx.Requester](d.Authenticator); ok {
		return own.Transport()
	}
	return d.bed.transport
}

// keepAlive is the kind in the driver's Traits. If that is unknown, KeepAlive is
// tried at a PBX of its own.
func (d *observedDriver) keepAlive() pbx.KeepAliveKind {
	kind := d.Traits().KeepAlive
	if kind != pbx.KeepAliveUnknown {
		return kind
	}
	t, err := newTestbed(d.bed.harness, Rule{})
	if err != nil {
		return kind
	}
	defer t.end()
	token, err := t.login()
	if err != nil {
		return kind
	}
	if _, err := t.auth.KeepAlive(context.Background(), token); errorKind(err) == pbx.ErrNotSupported {
		return pbx.KeepAliveNone
	}
	return kind
}
