package conformance

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"github.com/pbxauth/pbx"
)

// driver is the Authenticator on trial. It hears what that says, catches its
// panics, and frees it where it does not return. It has all the optional
// interfaces, with what their documents say happens without them.
type driver struct {
	pbx.Authenticator
	trial *trial
}

// patience is how long, in virtual time, a call of the driver may take.
const patience = time.Hour

func (d *driver) Login(ctx context.Context) (*pbx.Token, error) {
	return d.supervise("Login", func() (*pbx.Token, error) { return d.Authenticator.Login(ctx) })
}

func (d *driver) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	return d.supervise("KeepAlive", func() (*pbx.Token, error) { return d.Authenticator.KeepAlive(ctx, t) })
}

func (d *driver) Logout(ctx context.Context, t *pbx.Token) error {
	_, err := d.supervise("Logout", func() (*pbx.Token, error) { return nil, d.Authenticator.Logout(ctx, t) })
	return err
}

func (d *driver) supervise(name string, call func() (*pbx.Token, error)) (*pbx.Token, error) {
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
			d.trial.ear.hear("a panic in "+name, v)
			if _, ours := v.(runtime.Error); !ours {
				v = fmt.Sprintf("%T", v) // may hold a secret
			}
			d.trial.fault("%s panics: %v", name, v)
			err = fmt.Errorf("%s panics", name)
		}()
		token, err = call()
	}()
	watch := time.NewTimer(patience)
	defer watch.Stop()
	select {
	case <-returned:
	case <-watch.C:
		d.trial.fault("%s does not return within %s", name, patience)
		d.trial.server.Close() // which ends what it waits for
		<-returned
	}
	d.trial.ear.hear("an error of "+name, err)
	if token != nil {
		d.trial.ear.plant("token", token.Value.Reveal())
		d.trial.ear.plant("refresh token", token.Refresh.Reveal())
		d.trial.ear.hear("a token", token)
		d.trial.ear.hear("a token", *token)
		d.trial.ear.hear("a token's Details", string(token.Details))
	}
	return token, err
}

func (d *driver) Authorize(r *http.Request, t *pbx.Token) error {
	a, ok := pbx.As[pbx.Requester](d.Authenticator)
	if !ok {
		return &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrNotSupported}
	}
	err := a.Authorize(r, t)
	d.trial.ear.hear("an error of Authorize", err)
	return err
}

func (d *driver) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	i, ok := pbx.As[pbx.Requester](d.Authenticator)
	if !ok {
		if r.StatusCode == http.StatusUnauthorized {
			return &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrTokenRejected, Sent: true}
		}
		return nil
	}
	err := i.Inspect(r, body, t)
	d.trial.ear.hear("an error of Inspect", err)
	return err
}

func (d *driver) Traits() pbx.Traits {
	if describer, ok := pbx.As[pbx.Describer](d.Authenticator); ok {
		return describer.Traits()
	}
	return pbx.Traits{}
}

// Fingerprint is the same for all credentials of a driver that has none, and so
// a session with a wrong password waits for a person either way.
func (d *driver) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	f, ok := pbx.As[pbx.Fingerprinter](d.Authenticator)
	if !ok {
		return []byte("unknown"), nil
	}
	print, err := f.Fingerprint(ctx, key)
	d.trial.ear.hear("an error of Fingerprint", err)
	return print, err
}

// Transport is the driver's own connections, or else those that it was given.
func (d *driver) Transport() http.RoundTripper {
	if own, ok := pbx.As[pbx.Requester](d.Authenticator); ok {
		return own.Transport()
	}
	return d.trial.tap
}

// keepAlive is the kind in the driver's Traits. One that does not tell is tried,
// at a PBX of its own, as a session would.
func (d *driver) keepAlive() pbx.KeepAliveKind {
	kind := d.Traits().KeepAlive
	if kind != pbx.KeepAliveUnknown {
		return kind
	}
	t, err := newTrial(d.trial.harness, Rule{})
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
