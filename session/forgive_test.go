package session_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

func TestForgiveAlsoWakesRefreshesThatTheLockHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		m := session.NewManager(&session.Options{Guard: guard})
		defer m.Close(context.Background())
		f := refresher("pbx.test")
		f.traits.Lockout = pbx.Lockout{Attempts: 5, Window: 3 * time.Hour, CoversRequests: true}
		s := mustAdd(t, m, "7", f.keeping(func(context.Context, *pbx.Token) (*pbx.Token, error) {
			next := f.token()
			next.Refresh = pbx.NewSecret("refresh-" + next.Value.Reveal())
			return next, nil
		}))
		mustToken(t, s)
		locked := &fake{traits: f.traits, login: fails(pbx.ErrLocked, true)}
		mustAdd(t, m, "8", locked)
		time.Sleep(time.Hour)
		wantState(t, s, session.Locked)
		locked.set(func() { locked.login = nil })
		if _, err := guard.Forgive(t.Context(), "pbx.test"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		wantState(t, s, session.Live)
	})
}

func TestForgiveAlsoWakesSessionsWhoseKeepAliveMetTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		m := session.NewManager(&session.Options{Guard: guard})
		defer m.Close(context.Background())
		f := refresher("pbx.test")
		f.traits.Lockout = pbx.Lockout{Attempts: 5, Window: 3 * time.Hour}
		locked := true
		s := mustAdd(t, m, "7", f.keeping(func(context.Context, *pbx.Token) (*pbx.Token, error) {
			if locked {
				return nil, &pbx.Error{Op: pbx.OpKeepAlive, Kind: pbx.ErrLocked, Sent: true, RetryAfter: 3 * time.Hour}
			}
			next := f.token()
			next.Refresh = pbx.NewSecret("refresh-" + next.Value.Reveal())
			return next, nil
		}))
		mustToken(t, s)
		time.Sleep(time.Hour)
		wantState(t, s, session.Locked)
		locked = false
		if _, err := guard.Forgive(t.Context(), "pbx.test"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		wantState(t, s, session.Live)
	})
}

func TestForgiveAlsoWakesSessionsThatMetShortLocksAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		f := &fake{traits: onHost("pbx.test"), login: func(context.Context) (*pbx.Token, error) {
			return nil, &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrLocked, Sent: true, RetryAfter: time.Second}
		}}
		s, end := on(guard, f)
		defer end()
		time.Sleep(time.Hour)
		for untilNext(s) < time.Minute {
			time.Sleep(10 * time.Second)
		}
		f.set(func() { f.login = nil })
		if _, err := guard.Forgive(t.Context(), "pbx.test"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		wantState(t, s, session.Live)
	})
}
