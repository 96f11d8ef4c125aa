package session_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// In the tests in this file, a store's clock is set back by a day, as that of
// store.Files is if somebody corrects the machine's. What happened before is then in
// the future.

const aDayBack = -24 * time.Hour

func TestALoginWithoutAResponseDoesNotHoldUpOthersUntilAClockThatWasSetBackCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		f, drivers := newShared(2, 30*time.Minute)
		one := shares(t, faults.Process("one"), "one")
		s := mustAdd(t, one, "7", drivers[0])
		token := mustToken(t, s)
		f.set(func() { f.login, f.down = fails(pbx.ErrUnavailable, true), true })
		s.Invalidate(token)
		time.Sleep(time.Minute)
		one.Close(t.Context())
		faults.Jump(aDayBack)
		f.set(func() { f.login, f.down = nil, false })
		two := shares(t, faults.Process("two"), "two")
		defer two.Close(context.Background())
		s = mustAdd(t, two, "7", drivers[1])
		time.Sleep(15 * time.Second)
		wantState(t, s, session.Live)
	})
}

func TestRetryWorksAfterTheClockWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		f, d := newWrong("night")
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", d)
		time.Sleep(time.Minute)
		if err := s.Retry(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		wantCounts(t, f, 2, 0, 0)
		faults.Jump(aDayBack)
		f.set(func() { d.(*printed).wrong = false }) // a person corrects it
		time.Sleep(5 * time.Minute)
		if err := s.Retry(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		wantState(t, s, session.Live)
	})
}

func TestTheTryAfterALockIsNotPutOffUntilAClockThatWasSetBackCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		f, drivers := newShared(1, 30*time.Minute)
		f.traits.Lockout = pbx.Lockout{LooksWrong: true, Window: 10 * time.Minute}
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		token := mustToken(t, s)
		time.Sleep(time.Minute)
		f.set(func() { f.login = fails(pbx.ErrInvalidCredentials, true) }) // somebody else has had the PBX lock
		s.Invalidate(token)
		time.Sleep(time.Minute)
		faults.Jump(aDayBack)
		f.set(func() { f.login = nil })
		time.Sleep(20 * time.Minute)
		wantState(t, s, session.Live)
	})
}

func TestAClaimIsNotHeldUntilAClockThatWasSetBackCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		f, _ := newShared(0, 30*time.Minute)
		f.login = func(ctx context.Context) (*pbx.Token, error) {
			faults.Cut("one") // the process is killed: its claim stays
			<-ctx.Done()
			return nil, ctx.Err()
		}
		one, two := shares(t, faults.Process("one"), "one"), shares(t, faults.Process("two"), "two")
		defer one.Close(context.Background())
		defer two.Close(context.Background())
		mustAdd(t, one, "7", f)
		time.Sleep(time.Second)
		faults.Jump(aDayBack)
		f.set(func() { f.login = nil })
		s := mustAdd(t, two, "7", f)
		time.Sleep(time.Minute)
		wantState(t, s, session.Live)
	})
}

func TestATokenIsNotValidForLongerBecauseTheClockWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lifetime = 30 * time.Minute
		faults := (&store.Memory{}).Faults()
		f, drivers := newShared(2, lifetime)
		one, two := shares(t, faults.Process("one"), "one"), shares(t, faults.Process("two"), "two")
		defer one.Close(context.Background())
		defer two.Close(context.Background())
		mustToken(t, mustAdd(t, one, "7", drivers[0]))
		faults.Jump(aDayBack)
		s := mustAdd(t, two, "7", drivers[1])
		token := mustToken(t, s)
		for name, end := range map[string]time.Time{"token": token.ExpiresAt, "session": s.Status().ExpiresAt} {
			if left := time.Until(end); left > lifetime {
				t.Errorf("the %s expires in %s", name, left)
			}
		}
		wantCounts(t, f, 1, 0, 0)
	})
}

func TestAPauseOfAnAccountIsNotLongerBecauseTheClockWasSetBack(t *testing.T) {
	for name, says := range map[string]*pbx.Error{
		"HTTP 429":   {Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, Sent: true, HTTPStatus: http.StatusTooManyRequests},
		"not judged": {Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, Sent: true, NotJudged: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			faults := (&store.Memory{}).Faults()
			f, drivers := newShared(1, 30*time.Minute)
			m := shares(t, faults.Process("one"), "one")
			defer m.Close(context.Background())
			s := mustAdd(t, m, "7", drivers[0])
			token := mustToken(t, s)
			time.Sleep(time.Minute)
			f.set(func() { f.login = func(context.Context) (*pbx.Token, error) { return nil, says } })
			s.Invalidate(token)
			time.Sleep(time.Second)
			faults.Jump(aDayBack)
			f.set(func() { f.login = nil })
			time.Sleep(time.Minute)
			if got := s.Status(); got.State != session.Live {
				t.Errorf("%s: %v", name, got)
			}
		})
	}
}
