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
	"github.com/pbxauth/pbx/session"
)

// Fleet keeps the PBXs of all customers logged in. A PBX has a key, which never
// changes, though people may rename it.
type Fleet struct {
	sessions *session.Manager
	observe  func(key string, auth pbx.Authenticator) pbx.Authenticator
}

// NewFleet makes an empty Fleet. observe wraps the driver of each PBX, to record
// its logins.
func NewFleet(opts session.Options, observe func(key string, auth pbx.Authenticator) pbx.Authenticator) *Fleet {
	return &Fleet{sessions: session.NewManager(&opts), observe: observe}
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
	if _, ok := f.sessions.Session(key); ok {
		return f.sessions.Replace(ctx, key, auth)
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
func (f *Fleet) Retry(key string) error {
	s, ok := f.sessions.Session(key)
	if !ok {
		return errNoSession
	}
	return s.Retry()
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

// Close logs all sessions out.
func (f *Fleet) Close(ctx context.Context) error { return f.sessions.Close(ctx) }
