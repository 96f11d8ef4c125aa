package main

import (
	"context"
	"strconv"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// driver is a login as a driver of this module, which says what a failure is.
type driver struct{ login login }

func (d driver) Login(ctx context.Context) (*pbx.Token, error) {
	value, err := d.login(ctx)
	if err != nil {
		return nil, &pbx.Error{Driver: "peer", Op: pbx.OpLogin, Kind: pbx.ErrInvalidCredentials, Sent: true, Err: err}
	}
	now := time.Now()
	return &pbx.Token{Value: pbx.NewSecret(value), IssuedAt: now, ExpiresAt: now.Add(tokenLife)}, nil
}

func (d driver) KeepAlive(_ context.Context, t *pbx.Token) (*pbx.Token, error) { return t, nil }

func (d driver) Logout(context.Context, *pbx.Token) error { return nil }

func openSession(login login) (asker, func()) {
	s := session.New(driver{login}, &session.Options{Guard: &session.Guard{}})
	return func(ctx context.Context) (string, func(), error) {
		t, err := s.Token(ctx)
		if err != nil {
			return "", nil, err
		}
		return t.Value.Reveal(), func() { s.Invalidate(t) }, nil
	}, func() { s.Close(context.Background()) }
}

func loopSession() (ask func(n int), done func()) {
	ctx := context.Background()
	s := session.New(driver{succeed}, &session.Options{Guard: &session.Guard{}})
	return func(n int) {
		for range n {
			if _, err := s.Token(ctx); err != nil {
				panic(err)
			}
		}
	}, func() { s.Close(ctx) }
}

func fillSession(n int) (done func()) {
	m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 1_000_000})
	for i := range n {
		if _, err := m.Add("customer-"+strconv.Itoa(i), driver{succeed}); err != nil {
			panic(err)
		}
	}
	for _, s := range m.All() {
		if _, err := s.Token(context.Background()); err != nil {
			panic(err)
		}
	}
	return func() { m.Close(context.Background()) }
}
