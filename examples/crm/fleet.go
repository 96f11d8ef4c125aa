package main

// This file is all that a CRM needs to know of the library. Copy it: the rest
// of this program is a settings page.

import (
	"context"
	"fmt"
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
func NewFleet(opts *session.Options, observe func(key string, auth pbx.Authenticator) pbx.Authenticator) *Fleet {
	return &Fleet{sessions: session.NewManager(opts), observe: observe}
}

// Check says which setting is wrong, as an *pbx.Error. It sends nothing.
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
	if err := f.Disconnect(ctx, key); err != nil {
		return err
	}
	_, err = f.sessions.Add(key, f.observe(key, auth))
	return err
}

// Disconnect logs a PBX's session out. Without a session it does nothing.
func (f *Fleet) Disconnect(ctx context.Context, key string) error {
	return f.sessions.Remove(ctx, key)
}

// Session finds a PBX's session; nil if there is none.
func (f *Fleet) Session(key string) (*session.Session, bool) { return f.sessions.Session(key) }

// Status returns how a session is. It reports false if there is none.
func (f *Fleet) Status(key string) (session.Status, bool) {
	s, ok := f.sessions.Session(key)
	if !ok {
		return session.Status{State: session.Closed}, false
	}
	return s.Status(), true
}

// Watch yields every session, and from then on each one that changes, until ctx
// ends.
func (f *Fleet) Watch(ctx context.Context) iter.Seq2[*session.Session, session.Status] {
	return f.sessions.Watch(ctx)
}

// Retry tries again now, after a person has done something about the cause. Its
// error says why nothing was sent.
func (f *Fleet) Retry(key string) error {
	s, ok := f.sessions.Session(key)
	if !ok {
		return fmt.Errorf("there is no session: connect the PBX first")
	}
	s.Retry()
	return nil
}

// Do sends a request of the CRM to a PBX, with the token where the brand wants
// it. The URL is a path of the PBX's API. A failure that the brand reports under
// HTTP 200 is an error too.
func (f *Fleet) Do(key string, r *http.Request) (*http.Response, error) {
	s, ok := f.sessions.Session(key)
	if !ok {
		return nil, fmt.Errorf("there is no session: connect the PBX first")
	}
	return s.Client().Do(r)
}

// Close logs all sessions out.
func (f *Fleet) Close(ctx context.Context) error { return f.sessions.Close(ctx) }
