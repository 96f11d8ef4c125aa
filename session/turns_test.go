package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// A session's connections may be at fault, such as one with a wrong certificate.
// It must not be the only one that looks whether the PBX responds.
func TestASessionWhoseConnectionsFailKeepsNobodyElseFromLoggingIn(t *testing.T) {
	for _, worked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m := session.NewManager(&session.Options{Guard: &session.Guard{}})
			defer m.Close(context.Background())
			bad := &fake{traits: onHost("pbx.test")}
			fail := func() { bad.down, bad.login = true, fails(pbx.ErrUnavailable, false) }
			if !worked {
				fail()
			}
			s := mustAdd(t, m, "1", bad)
			if worked {
				token := mustToken(t, s)
				bad.set(fail)
				s.Invalidate(token)
			}
			time.Sleep(time.Minute)
			good := mustAdd(t, m, "2", &fake{traits: onHost("pbx.test")})
			time.Sleep(30 * time.Second)
			wantState(t, good, session.Live)
		})
	}
}

// The last try of credentials that a lock may have refused has more places than
// new credentials. It must not stand behind one that waits for a place.
func TestATryAfterALockDoesNotStandBehindNewCredentialsWithoutAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		traits := onHost("pbx.test")
		traits.Lockout.LooksWrong = true
		f := &fake{traits: traits}
		s := mustAdd(t, m, "1", f)
		token := mustToken(t, s)
		mustAdd(t, m, "2", &fake{traits: traits, login: fails(pbx.ErrInvalidCredentials, true)})
		mustAdd(t, m, "3", &fake{traits: traits, login: fails(pbx.ErrInvalidCredentials, true)})
		time.Sleep(10 * time.Second)
		fresh := mustAdd(t, m, "4", &fake{traits: traits})
		time.Sleep(10 * time.Second)
		wantState(t, fresh, session.Locked)
		f.set(func() { f.login = fails(pbx.ErrInvalidCredentials, true) })
		s.Invalidate(token)
		time.Sleep(10 * time.Second)
		f.set(func() { f.login = nil })
		time.Sleep(11 * time.Minute)
		wantState(t, s, session.Live)
	})
}

func TestSessionsWithTheSameRefusedCredentialsAllLearnOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		mustAdd(t, m, "1", &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true)})
		time.Sleep(10 * time.Second)
		var drivers []*looking
		for _, name := range []string{"2", "3"} {
			d := &looking{fake: &fake{traits: onHost("pbx.test"), down: true, login: fails(pbx.ErrInvalidCredentials, true)},
				look: func(context.Context, int32) (bool, error) { return false, nil }}
			drivers = append(drivers, d)
			mustAdd(t, m, name, d)
		}
		time.Sleep(10 * time.Second)
		for _, d := range drivers {
			d.set(func() { d.down = false })
		}
		time.Sleep(10 * time.Second)
		for _, name := range []string{"2", "3"} {
			s, _ := m.Session(name)
			wantState(t, s, session.Rejected)
		}
	})
}

func TestTheErrorOfALockedSessionIsOfThoseWhoLockedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		traits := onHost("pbx.test")
		traits.Lockout.Attempts, traits.Lockout.Window, traits.Lockout.Memory = 4, time.Hour, 30*time.Minute
		works := &fake{traits: traits}
		worked := mustAdd(t, m, "1", works)
		token := mustToken(t, worked)
		mustAdd(t, m, "2", &fake{traits: traits, login: fails(pbx.ErrInvalidCredentials, true)})
		time.Sleep(10 * time.Second)
		s := mustAdd(t, m, "3", &fake{traits: traits})
		time.Sleep(10 * time.Second)
		if status := s.Status(); status.LockedBy != session.LockedByBudget {
			t.Fatal(status)
		}
		works.set(func() { works.login = fails(pbx.ErrLocked, true) })
		worked.Invalidate(token)
		time.Sleep(40 * time.Minute)
		if status := s.Status(); status.LockedBy != session.LockedByPBX || !strings.Contains(status.Err.Error(), "the PBX has locked this client") {
			t.Error(status)
		}
	})
}

func TestTheErrorOfAnUnavailableSessionIsNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		m := session.NewManager(&session.Options{Guard: guard})
		defer m.Close(context.Background())
		works := &fake{traits: onHost("pbx.test")}
		worked := mustAdd(t, m, "1", works)
		token := mustToken(t, worked)
		for _, name := range []string{"2", "3"} {
			mustAdd(t, m, name, &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true)})
		}
		time.Sleep(10 * time.Second)
		s := mustAdd(t, m, "4", &fake{traits: onHost("pbx.test"), down: true})
		time.Sleep(10 * time.Second)
		wantState(t, s, session.Locked)
		works.set(func() { works.login = fails(pbx.ErrUnavailable, true) })
		worked.Invalidate(token)
		time.Sleep(500 * time.Millisecond)
		works.set(func() { works.down = true })
		time.Sleep(10 * time.Second)
		if _, err := guard.Forgive(t.Context(), "pbx.test"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		wantState(t, s, session.Unavailable)
		if err := s.Status().Err; errors.Is(err, pbx.ErrLocked) {
			t.Error(err)
		}
	})
}

// Renewals ahead of time leave the last places, and wait. A session without a token that
// comes after them does not wait behind them.
func TestASessionWithoutATokenDoesNotWaitBehindRenewalsAheadOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		var fakes []*fake
		var sessions []*session.Session
		for i := range 7 {
			f := &fake{traits: onHost("pbx.test"), life: time.Hour}
			if f.traits.KeepAlive = pbx.KeepAliveNone; i == 6 {
				f.life = 100 * time.Hour
			}
			fakes = append(fakes, f)
			sessions = append(sessions, mustAdd(t, m, fmt.Sprint(i), f))
			mustToken(t, sessions[i])
		}
		for _, f := range fakes { // what renews a token ahead of time may be a wrong login
			f.set(func() { f.login = fails(nil, true) })
		}
		for ahead := 0; ahead < 4; {
			time.Sleep(time.Second)
			ahead = 0
			for _, s := range sessions {
				if s.Status().State == session.Renewing {
					ahead++
				}
			}
		}
		logins := 0
		for _, f := range fakes {
			n, _, _ := f.counts()
			logins += n - 1
			f.set(func() { f.login = nil })
		}
		if logins != 2 {
			t.Errorf("%d logins ahead of time, want 2", logins)
		}
		time.Sleep(time.Minute)
		last := sessions[6]
		last.Invalidate(mustToken(t, last))
		time.Sleep(5 * time.Second) // the PBX is checked first
		wantState(t, last, session.Live)
	})
}
