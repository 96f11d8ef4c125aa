package main

// This file is all that a CRM needs to know of the library. Copy it: the rest
// of this program is a settings page.

import (
	"context"
	"errors"
	"iter"
	"net/http"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters" // registers every driver
	"github.com/pbxauth/pbx/conformance/probe"
	"github.com/pbxauth/pbx/session"
)

// Fleet keeps the PBXs of all customers logged in. A PBX has a key, which never
// changes, though people may rename it.
type Fleet struct {
	sessions *session.Manager
	guard    *session.Guard // the budget of wrong logins of each host
	observe  func(key string, auth pbx.Authenticator) pbx.Authenticator
}

// NewFleet makes an empty Fleet. shared lets several processes share tokens and the
// budgets of wrong logins; nil: this process is alone. observe wraps the driver of
// each PBX, to record its logins.
func NewFleet(shared *session.Shared, observe func(key string, auth pbx.Authenticator) pbx.Authenticator) *Fleet {
	if shared != nil {
		return &Fleet{sessions: session.NewManager(&session.Options{Store: shared}), guard: shared.Guard(), observe: observe}
	}
	guard := &session.Guard{}
	return &Fleet{sessions: session.NewManager(&session.Options{Guard: guard}), guard: guard, observe: observe}
}

// Check returns what is wrong with the settings of a PBX, as an *pbx.Error that
// names the setting. It sends nothing.
func (f *Fleet) Check(driver string, cfg pbx.Config) error {
	_, err := pbx.Open(driver, cfg)
	return err
}

// Connect starts a PBX's session, or gives it changed settings. The login
// happens in the background: see Watch.
func (f *Fleet) Connect(ctx context.Context, key, driver string, cfg pbx.Config) error {
	auth, err := pbx.Open(driver, cfg)
	if err != nil {
		return err
	}
	auth = f.observe(key, auth)
	if s, ok := f.sessions.Session(key); ok {
		if err := f.sessions.Replace(ctx, key, auth); !errors.Is(err, session.ErrClosed) {
			return err
		}
		s.Close(ctx) // another process has removed it: it is ending
	}
	_, err = f.sessions.Add(key, auth)
	return err
}

// Disconnect logs a PBX's session out. Without a session it does nothing.
func (f *Fleet) Disconnect(ctx context.Context, key string) error {
	return f.sessions.Remove(ctx, key)
}

// Status returns how a session is. Without one it is closed.
func (f *Fleet) Status(key string) session.Status {
	if s, ok := f.sessions.Session(key); ok {
		return s.Status()
	}
	return session.Status{State: session.Closed}
}

// Watch yields every session, and from then on each one that changes, until ctx
// ends.
func (f *Fleet) Watch(ctx context.Context) iter.Seq2[*session.Session, session.Status] {
	return f.sessions.Watch(ctx)
}

var errNoSession = errors.New("there is no session: connect the PBX first")

// Retry tries again now, after a person has done something about the cause. Its
// error says why nothing was sent.
func (f *Fleet) Retry(ctx context.Context, key string) error {
	s, ok := f.sessions.Session(key)
	if !ok {
		return errNoSession
	}
	return s.Retry(ctx)
}

// Hosts returns whose wrong logins count at each host, what the PBX has locked,
// and which sessions wait.
func (f *Fleet) Hosts() []session.HostStatus { return f.guard.Hosts() }

// Forgive forgets the wrong logins and the lock of a host, after a person has
// unlocked this server at the PBX. Sessions that waited log in at once.
func (f *Fleet) Forgive(ctx context.Context, host string) error {
	_, err := f.guard.Forgive(ctx, host)
	return err
}

// Test logs in to a PBX once and out again, and reports each step. The login
// spends the same budget as those of the sessions, and a password that the PBX
// refused is not sent again.
func (f *Fleet) Test(ctx context.Context, driver string, cfg pbx.Config, onStep func(probe.Step)) *probe.Report {
	return probe.Run(ctx, probe.Options{Driver: driver, Config: cfg, Login: probe.Within(f.guard), OnStep: onStep})
}

var errOnlyLook = errors.New("only the certificate was looked at")

// Look is Test up to the certificate: no password is sent.
func (f *Fleet) Look(ctx context.Context, driver string, cfg pbx.Config) *probe.Report {
	return probe.Run(ctx, probe.Options{Driver: driver, Config: cfg, Login: func(context.Context, pbx.Authenticator) (*pbx.Token, error) { return nil, errOnlyLook }})
}

// Do sends a request of the CRM to a PBX, with the token where the brand wants
// it. The URL is a path of the PBX's API. A failure that the brand reports under
// HTTP 200 is an error too.
func (f *Fleet) Do(key string, r *http.Request) (*http.Response, error) {
	s, ok := f.sessions.Session(key)
	if !ok {
		return nil, errNoSession
	}
	return s.Do(r)
}

// Close ends all sessions. Those of a process that is alone log out. Shared tokens
// stay for the other processes and for the next start.
func (f *Fleet) Close(ctx context.Context) error { return f.sessions.Close(ctx) }
