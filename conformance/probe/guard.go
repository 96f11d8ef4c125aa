package probe

import (
	"context"
	"errors"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// Within returns an [Options].Login that spends the budget of guard, and is refused where
// guard refuses a session's login. nil: the budget that all sessions of the
// process share.
func Within(guard *session.Guard) func(ctx context.Context, auth pbx.Authenticator) (*pbx.Token, error) {
	return func(ctx context.Context, auth pbx.Authenticator) (*pbx.Token, error) {
		s := session.New(loginOnly{auth}, &session.Options{Guard: guard})
		defer s.Close(context.WithoutCancel(ctx)) // sends nothing
		return result(s.Token(ctx))
	}
}

// Forced returns an [Options].Login for a person who insists: if guard refuses the
// login, it forgives the host its wrong logins and sends credentials that were
// refused before. guard must be set.
func Forced(guard *session.Guard) func(ctx context.Context, auth pbx.Authenticator) (*pbx.Token, error) {
	return func(ctx context.Context, auth pbx.Authenticator) (*pbx.Token, error) {
		s := session.New(loginOnly{auth}, &session.Options{Guard: guard})
		defer s.Close(context.WithoutCancel(ctx))
		token, err := result(s.Token(ctx))
		if !HeldBack(err) {
			return token, err
		}
		if _, err := guard.Forgive(ctx, s.URL()); err != nil {
			return nil, err
		}
		s.Retry(ctx) // not needed if it was only the budget: Token says whether it did anything
		return result(s.Token(ctx))
	}
}

// HeldBack reports whether a login with this error was not sent, because an
// earlier one was refused or may have counted as a wrong one.
func HeldBack(err error) bool {
	var failure *pbx.Error
	return errors.As(err, &failure) && !failure.Sent && (failure.Kind == pbx.ErrLocked || failure.Kind == pbx.ErrInvalidCredentials)
}

// result makes the driver's error of a session's.
func result(token *pbx.Token, err error) (*pbx.Token, error) {
	var failure *pbx.Error
	var held *session.Error
	switch {
	case errors.As(err, &failure):
		return nil, failure
	case errors.As(err, &held) && held.State == session.Locked:
		return nil, &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrLocked, Message: "not sent: " + held.Error()}
	case err != nil:
		return nil, err
	}
	return token, nil
}

// loginOnly keeps the session that logs in from using the token.
type loginOnly struct{ pbx.Authenticator }

func (loginOnly) KeepAlive(context.Context, *pbx.Token) (*pbx.Token, error) {
	return nil, &pbx.Error{Op: pbx.OpKeepAlive, Kind: pbx.ErrNotSupported}
}

func (loginOnly) Logout(context.Context, *pbx.Token) error { return nil }

func (l loginOnly) Unwrap() pbx.Authenticator { return l.Authenticator }
