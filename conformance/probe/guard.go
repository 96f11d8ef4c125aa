package probe

import (
	"context"
	"errors"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// Within returns an [Options].Login that spends the budget of guard, and is
// refused where guard refuses a session's login. nil: the budget that all
// sessions of the process share.
func Within(guard *session.Guard) func(ctx context.Context, auth pbx.Authenticator) (*pbx.Token, error) {
	return func(ctx context.Context, auth pbx.Authenticator) (*pbx.Token, error) {
		s := session.New(loginOnly{auth}, &session.Options{Guard: guard})
		defer s.Close(context.WithoutCancel(ctx)) // sends nothing
		token, err := s.Token(ctx)
		var failure *pbx.Error
		var held *session.Error
		switch {
		case errors.As(err, &failure):
			return nil, failure
		case errors.As(err, &held) && held.State == session.Locked:
			return nil, &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrLocked, Message: "nothing was sent: " + held.Error()}
		case err != nil:
			return nil, err
		}
		return token, nil
	}
}

// loginOnly keeps the session that logs in from using the token.
type loginOnly struct{ pbx.Authenticator }

func (loginOnly) KeepAlive(context.Context, *pbx.Token) (*pbx.Token, error) {
	return nil, &pbx.Error{Op: pbx.OpKeepAlive, Kind: pbx.ErrNotSupported}
}

func (loginOnly) Logout(context.Context, *pbx.Token) error { return nil }

func (l loginOnly) Unwrap() pbx.Authenticator { return l.Authenticator }
