package session_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

func onHost(host string) pbx.Traits {
	return pbx.Traits{URL: "https://" + host, Lockout: pbx.Lockout{Attempts: 5, Window: 10 * time.Minute}}
}

func TestWrongPasswordsOfManyAccountsOnOneHostStayBelowItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		var fakes []*fake
		for i := range 20 {
			f := &fake{traits: onHost([]string{"PBX.test:8000", "pbx.test:8001"}[i%2]), login: fails(pbx.ErrInvalidCredentials, true), takes: time.Second}
			fakes = append(fakes, f)
			if _, err := m.Add(fmt.Sprint(i), f); err != nil {
				t.Fatal(err)
			}
		}
		sent := func() (n int) {
			for _, f := range fakes {
				logins, _, _ := f.counts()
				n += logins
			}
			return n
		}
		time.Sleep(time.Minute)
		if sent() != 3 {
			t.Fatalf("%d wrong logins in the first minute, want 3: two below the limit of 5", sent())
		}
		time.Sleep(9 * time.Minute)
		if sent() != 3 {
			t.Fatalf("%d wrong logins in the first window", sent())
		}
		time.Sleep(time.Minute)
		if sent() != 6 {
			t.Fatalf("%d wrong logins after the window, want 6", sent())
		}
	})
}

func TestASessionHeldBackByTheBudgetSaysWhyAndUntilWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		for range 3 {
			s := session.New(&fake{traits: onHost("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true)}, &session.Options{Guard: guard})
			defer s.Close(context.Background())
		}
		synctest.Wait()
		held := &fake{traits: onHost("pbx.test"), life: time.Hour}
		s := session.New(held, &session.Options{Guard: guard})
		defer s.Close(context.Background())
		_, err := s.Token(t.Context())
		wantKind(t, err, pbx.ErrLocked)
		if errors.Is(err, pbx.ErrInvalidCredentials) {
			t.Fatalf("other accounts' wrong passwords are told as this one's: %v", err)
		}
		var state *session.Error
		if !errors.As(err, &state) || state.State != session.Locked {
			t.Fatalf("error is %v", err)
		}
		if wait := time.Until(state.Next); wait < 9*time.Minute || wait > 11*time.Minute {
			t.Fatalf("next attempt in %s", wait)
		}
		wantCounts(t, held, 0, 0, 0)
		time.Sleep(11 * time.Minute)
		wantState(t, s, session.Live)
	})
}

func TestWhatCountsAgainstTheBudget(t *testing.T) {
	answered := func(kind error, status int) func(context.Context) (*pbx.Token, error) {
		return func(context.Context) (*pbx.Token, error) {
			return nil, &pbx.Error{Driver: "fake", Op: pbx.OpLogin, Kind: kind, Sent: true, HTTPStatus: status}
		}
	}
	for _, row := range []struct {
		name   string
		login  func(context.Context) (*pbx.Token, error)
		counts bool
	}{
		{"a login that never left", fails(pbx.ErrUnavailable, false), false},
		{"a login without an answer", fails(pbx.ErrUnavailable, true), true},
		{"an answer in other words than the brand's", answered(pbx.ErrProtocol, 200), true},
		{"unavailable, in the brand's own words", answered(pbx.ErrUnavailable, 200), true},
		{"an unknown code", answered(nil, 200), true},
		{"a gateway's time-out", answered(pbx.ErrUnavailable, 504), true},
		{"a web server that has nobody to ask", answered(pbx.ErrUnavailable, 503), false},
		{"a redirect", answered(pbx.ErrConfig, 302), false},
		{"a path that is not there", answered(pbx.ErrProtocol, 404), false},
		{"no room for another token", answered(pbx.ErrTooManySessions, 200), false},
		{"an error of a driver that says nothing", func(context.Context) (*pbx.Token, error) { return nil, errors.New("it broke") }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{traits: onHost("pbx.test"), login: row.login}
				guard := &session.Guard{}
				s := session.New(f, &session.Options{Guard: guard})
				defer s.Close(context.Background())
				time.Sleep(10 * time.Minute)
				logins, _, _ := f.counts()
				if row.counts && logins != 2 { // the third place is for a session that has not failed
					t.Fatalf("%d logins in ten minutes, want 2", logins)
				}
				if !row.counts && logins < 4 {
					t.Fatalf("%d logins in ten minutes: they were counted", logins)
				}
			})
		})
	}
}

func TestALockedHostIsLeftAloneByAllItsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		locked := &fake{traits: onHost("pbx.test")}
		locked.login = func(context.Context) (*pbx.Token, error) {
			return nil, &pbx.Error{Driver: "fake", Op: pbx.OpLogin, Kind: pbx.ErrLocked, RetryAfter: 7 * time.Minute, Sent: true}
		}
		first := session.New(locked, &session.Options{Guard: guard})
		defer first.Close(context.Background())
		synctest.Wait()
		wantState(t, first, session.Locked)

		other := &fake{traits: onHost("pbx.test"), life: time.Hour}
		second := session.New(other, &session.Options{Guard: guard})
		defer second.Close(context.Background())
		_, err := second.Token(t.Context())
		wantKind(t, err, pbx.ErrLocked)
		locked.set(func() { locked.login = nil; locked.life = time.Hour })
		time.Sleep(7*time.Minute - time.Second)
		wantCounts(t, locked, 1, 0, 0)
		wantCounts(t, other, 0, 0, 0)
		time.Sleep(2 * time.Second)
		wantState(t, first, session.Live)
		wantState(t, second, session.Live)
	})
}

func TestAKeepAliveWaitsForTheLockOfItsHostToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		live := &fake{traits: onHost("pbx.test"), life: 30 * time.Minute}
		s := session.New(live, &session.Options{Guard: guard})
		defer s.Close(context.Background())
		mustToken(t, s)
		time.Sleep(17 * time.Minute)
		out := &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrLocked, true)}
		locked := session.New(out, &session.Options{Guard: guard})
		defer locked.Close(context.Background())
		time.Sleep(9 * time.Minute)
		out.set(func() { out.login = nil })
		wantCounts(t, live, 1, 0, 0)
		mustToken(t, s) // it lives on
		wantState(t, s, session.Renewing)
		time.Sleep(2 * time.Minute)
		wantCounts(t, live, 1, 1, 0)
		wantState(t, s, session.Live)
	})
}

func TestGoodLoginsToOneHostAreNotHeldUpForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		start := time.Now()
		var sessions []*session.Session
		for i := range 60 {
			s, err := m.Add(fmt.Sprint(i), &fake{traits: onHost("cloud.test"), life: time.Hour, takes: 100 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			sessions = append(sessions, s)
		}
		if err := sessions[7].Close(t.Context()); err != nil { // perhaps while it stands in line
			t.Fatal(err)
		}
		for i, s := range sessions {
			if i != 7 {
				mustToken(t, s)
			}
		}
		if took := time.Since(start); took > 3*time.Second { // three at a time
			t.Fatalf("it took %s", took)
		}
	})
}

func TestEverySessionThatWaitsForItsHostGetsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3000
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 1_000_000})
		defer m.Close(context.Background())
		for i := range n {
			if _, err := m.Add(fmt.Sprint(i), &fake{traits: onHost("cloud.test"), life: 24 * time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if stats := m.Stats(); stats.Live != n {
			t.Fatalf("a minute later: %+v", stats)
		}
	})
}

func TestAHostIsOneHoweverItIsSpelled(t *testing.T) {
	for _, spellings := range [][]string{
		{"pbx.test", "PBX.test:8088", "pbx.test.:443"},
		{"[::1]", "[0:0::1]:8088"},
		{"192.0.2.7", "[::ffff:192.0.2.7]"},
	} {
		synctest.Test(t, func(t *testing.T) {
			guard := &session.Guard{}
			sent := 0
			for i := range 12 {
				f := &fake{traits: onHost(spellings[i%len(spellings)]), login: fails(pbx.ErrInvalidCredentials, true)}
				s := session.New(f, &session.Options{Guard: guard})
				synctest.Wait()
				s.Close(t.Context())
				logins, _, _ := f.counts()
				sent += logins
			}
			if sent != 3 {
				t.Errorf("%q: %d wrong logins", spellings, sent)
			}
		})
	}
}

func TestALowerLimitOfOnesOwnHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{Limit: 1}
		for range 3 {
			s := session.New(&fake{traits: onHost("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true)}, &session.Options{Guard: guard})
			defer s.Close(context.Background())
		}
		synctest.Wait()
		f := &fake{traits: onHost("pbx.test")}
		s := session.New(f, &session.Options{Guard: guard})
		defer s.Close(context.Background())
		synctest.Wait()
		wantState(t, s, session.Locked)
		wantCounts(t, f, 0, 0, 0)
	})
}

func TestAnUnansweredLoginIsBookedAsOneThatIsStillToBeJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrUnavailable, true)}
		guard := &session.Guard{Limit: 1}
		s := session.New(f, &session.Options{Guard: guard})
		defer s.Close(context.Background())
		time.Sleep(11*time.Minute + 50*time.Second)
		wantCounts(t, f, 1, 0, 0)
		time.Sleep(20 * time.Second)
		wantCounts(t, f, 2, 0, 0)
	})
}

func TestAGoodSessionIsNotStarvedByFailingOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		for i := range 5 {
			if _, err := m.Add(fmt.Sprint(i), &fake{traits: onHost("cloud.test"), login: fails(nil, true)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Hour)
		s, err := m.Add("good", &fake{traits: onHost("cloud.test"), life: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Minute)
		wantState(t, s, session.Live)
	})
}

func TestALockThatEndsSoonIsNotTriedEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{traits: onHost("pbx.test")}
		f.login = func(context.Context) (*pbx.Token, error) {
			return nil, &pbx.Error{Driver: "fake", Op: pbx.OpLogin, Kind: pbx.ErrLocked, HTTPStatus: 429, RetryAfter: time.Second, Sent: true}
		}
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		defer s.Close(context.Background())
		time.Sleep(time.Hour)
		if logins, _, _ := f.counts(); logins > 30 {
			t.Fatalf("%d logins in an hour", logins)
		}
	})
}

func TestSessionsOfUnknownHostsHaveBudgetsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		for range 4 {
			s := session.New(&fake{login: fails(pbx.ErrInvalidCredentials, true)}, &session.Options{Guard: guard})
			defer s.Close(context.Background())
		}
		f := &fake{life: time.Hour}
		s := session.New(f, &session.Options{Guard: guard})
		defer s.Close(context.Background())
		mustToken(t, s)
	})
}

func TestAGuardForgetsSessionsThatHaveEnded(t *testing.T) {
	guard := &session.Guard{}
	var ended []weak.Pointer[session.Session]
	for _, kind := range []error{nil, pbx.ErrInvalidCredentials, pbx.ErrLocked, pbx.ErrUnavailable} {
		f := &fake{life: time.Hour}
		if kind != nil {
			f.login = fails(kind, true)
		}
		s := session.New(f, &session.Options{Guard: guard})
		s.Token(t.Context())
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		ended = append(ended, weak.Make(s))
	}
	runtime.GC()
	for i, s := range ended {
		if s.Value() != nil {
			t.Errorf("session %d is still in memory", i)
		}
	}
	runtime.KeepAlive(guard)
}

// "For ever" is how a vendor may put it, and a driver then too.
func TestALockoutWindowForEverIsOne(t *testing.T) {
	f := &fake{login: fails(pbx.ErrUnavailable, true), traits: pbx.Traits{URL: "https://pbx.test", Lockout: pbx.Lockout{Attempts: 3, Window: math.MaxInt64}}}
	during(t, f, func(t *testing.T, s *session.Session) {
		time.Sleep(24 * time.Hour)
		wantCounts(t, f, 1, 0, 0)
		wantState(t, s, session.Locked)
	})
}

func TestALockIsBelievedForADayAtMost(t *testing.T) {
	f := &fake{life: time.Hour, login: func(context.Context) (*pbx.Token, error) {
		return nil, &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrLocked, Sent: true, RetryAfter: 10 * 365 * 24 * time.Hour}
	}}
	during(t, f, func(t *testing.T, s *session.Session) {
		synctest.Wait()
		f.set(func() { f.login = nil })
		time.Sleep(23 * time.Hour)
		wantState(t, s, session.Locked)
		time.Sleep(2 * time.Hour)
		wantState(t, s, session.Live)
	})
}

func TestTheBudgetIsTwoBelowTheBrandsLimitInTheBrandsWindow(t *testing.T) {
	for _, row := range []struct {
		name     string
		attempts int
		window   time.Duration
		budget   int
		held     time.Duration
	}{
		{"a generous brand", 8, 30 * time.Minute, 6, 30 * time.Minute},
		{"a brand that does not say", 0, 0, 3, 10 * time.Minute},
		{"a brand with hardly any", 2, 5 * time.Minute, 1, 5 * time.Minute},
		{"a brand with one", 1, 20 * time.Minute, 1, 20 * time.Minute},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				guard := &session.Guard{}
				sent := 0
				for range row.budget {
					f := &fake{traits: pbx.Traits{URL: "https://pbx.test", Lockout: pbx.Lockout{Attempts: row.attempts, Window: row.window}}, login: fails(pbx.ErrInvalidCredentials, true)}
					_, end := on(guard, f)
					defer end()
					synctest.Wait()
					logins, _, _ := f.counts()
					sent += logins
				}
				if sent != row.budget {
					t.Fatalf("%d logins were sent, want %d", sent, row.budget)
				}
				f := &fake{traits: pbx.Traits{URL: "https://pbx.test", Lockout: pbx.Lockout{Attempts: row.attempts, Window: row.window}}}
				s, end := on(guard, f)
				defer end()
				_, err := s.Token(t.Context())
				wantKind(t, err, pbx.ErrLocked)
				var cause *pbx.Error
				if !errors.As(err, &cause) || cause.Op != pbx.OpLogin {
					t.Errorf("error is %v", err)
				} else {
					if cause.RetryAfter/time.Second*time.Second != row.held || untilNext(s) != cause.RetryAfter {
						t.Errorf("it is held for %s and %s", cause.RetryAfter, untilNext(s))
					}
				}
				wantCounts(t, f, 0, 0, 0)
				time.Sleep(row.held + time.Second)
				wantCounts(t, f, 1, 0, 0)
			})
		})
	}
}

func TestALimitAboveTheDefaultIsTheDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{Limit: 100}
		sent := 0
		for range 10 {
			f := &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true)}
			_, end := on(guard, f)
			defer end()
			synctest.Wait()
			logins, _, _ := f.counts()
			sent += logins
		}
		if sent != 3 {
			t.Fatalf("%d wrong logins", sent)
		}
	})
}

func TestALimitOfOneHoldsHoweverOftenALoginFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrUnavailable, true)}
		_, end := on(&session.Guard{Limit: 1}, f)
		defer end()
		time.Sleep(2*time.Hour + time.Minute) // every twelve minutes
		wantCounts(t, f, 11, 0, 0)
	})
}

func TestTheLastPlaceIsForASessionThatHasFailedOnceAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrUnavailable, true)}
		_, end := on(&session.Guard{Limit: 2}, f)
		defer end()
		time.Sleep(time.Minute)
		wantCounts(t, f, 2, 0, 0) // at 0 and 8 s, booked two minutes later
		time.Sleep(11*time.Minute + 4*time.Second)
		wantCounts(t, f, 2, 0, 0) // the first is out of the window, and the place it leaves is another's
		time.Sleep(time.Minute)
		wantCounts(t, f, 3, 0, 0)
	})
}

func TestTheLongestWindowOfAHostsSessionsHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		traits := func(window time.Duration) pbx.Traits {
			return pbx.Traits{URL: "https://pbx.test", Lockout: pbx.Lockout{Attempts: 3, Window: window}}
		}
		_, end := on(guard, &fake{traits: traits(30 * time.Minute), login: fails(pbx.ErrInvalidCredentials, true)})
		defer end()
		synctest.Wait()
		f := &fake{traits: traits(5 * time.Minute)}
		s, end := on(guard, f)
		defer end()
		synctest.Wait()
		wantWait(t, untilNext(s), 30*time.Minute)
		time.Sleep(25 * time.Minute)
		wantCounts(t, f, 0, 0, 0)
	})
}

func TestASpentBudgetDoesNotHoldBackKeepAlives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		f := &fake{traits: onHost("pbx.test"), life: 30 * time.Minute}
		s, end := on(guard, f)
		defer end()
		time.Sleep(17 * time.Minute)
		for range 3 {
			_, end := on(guard, &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true)})
			defer end()
		}
		time.Sleep(5 * time.Minute)
		wantCounts(t, f, 1, 1, 0)
		wantState(t, s, session.Live)
	})
}

func TestTheEndOfAnotherCallDoesNotEndTheHostsLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		f := &fake{traits: onHost("pbx.test"), life: 30 * time.Minute}
		s, end := on(guard, f)
		defer end()
		mustToken(t, s)
		f.set(func() { f.takes = 10 * time.Second })
		time.Sleep(untilNext(s) + time.Second) // its keep-alive is under way
		_, end = on(guard, &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrLocked, true)})
		defer end()
		time.Sleep(time.Minute)
		wantCounts(t, f, 1, 1, 0)
		late := &fake{traits: onHost("pbx.test")}
		s, end = on(guard, late)
		defer end()
		synctest.Wait()
		wantState(t, s, session.Locked)
		wantCounts(t, late, 0, 0, 0)
	})
}

func TestAShorterLockDoesNotShortenALongerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		for i, wait := range []time.Duration{30 * time.Minute, 5 * time.Minute} {
			_, end := on(guard, &fake{traits: onHost("pbx.test"), takes: time.Duration(i+1) * time.Second, login: func(context.Context) (*pbx.Token, error) {
				return nil, &pbx.Error{Driver: "fake", Op: pbx.OpLogin, Kind: pbx.ErrLocked, RetryAfter: wait, Sent: true}
			}})
			defer end()
		}
		time.Sleep(10 * time.Minute)
		f := &fake{traits: onHost("pbx.test")}
		s, end := on(guard, f)
		defer end()
		synctest.Wait()
		wantWait(t, untilNext(s), 20*time.Minute)
		wantCounts(t, f, 0, 0, 0)
	})
}

func TestAFailedLoginIsBookedWhenItWasAnswered(t *testing.T) {
	for name, err := range map[string]*pbx.Error{
		"by a gateway": {Kind: pbx.ErrUnavailable, HTTPStatus: 504},
		"by the PBX":   {Kind: pbx.ErrProtocol, HTTPStatus: 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{traits: onHost("pbx.test")}
				f.login = func(context.Context) (*pbx.Token, error) {
					return nil, &pbx.Error{Driver: "fake", Op: pbx.OpLogin, Kind: err.Kind, HTTPStatus: err.HTTPStatus, Sent: true}
				}
				_, end := on(&session.Guard{Limit: 1}, f)
				defer end()
				time.Sleep(10*time.Minute + time.Second)
				wantCounts(t, f, 2, 0, 0)
			})
		})
	}
}

func TestTheOldestFailureMakesRoomFirstInWhateverOrderTheyWereBooked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{Limit: 2}
		for _, kind := range []error{pbx.ErrUnavailable, pbx.ErrInvalidCredentials} { // the first is booked as of two minutes later
			_, end := on(guard, &fake{traits: onHost("pbx.test"), login: fails(kind, true)})
			synctest.Wait()
			end()
		}
		s, end := on(guard, &fake{traits: onHost("pbx.test")})
		defer end()
		synctest.Wait()
		wantWait(t, untilNext(s), 10*time.Minute)
	})
}

func TestAnAddressThatCannotBeReadIsNoHost(t *testing.T) {
	during(t, &fake{life: time.Hour, traits: pbx.Traits{URL: "http://[::1"}}, func(t *testing.T, s *session.Session) { mustToken(t, s) })
}

func TestAGuardForgetsHostsThatAreInNoTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		known := func() int { return reflect.ValueOf(guard).Elem().FieldByName("hosts").Len() }
		for i := range 2000 {
			s, end := on(guard, &fake{traits: onHost(fmt.Sprintf("pbx%d.test", i)), login: fails(pbx.ErrInvalidCredentials, true)})
			s.Token(t.Context())
			end()
			time.Sleep(5 * time.Second)
		}
		synctest.Wait()
		if n := known(); n > 1000 { // 120 of them failed in the last window
			t.Errorf("%d of 2000 hosts are remembered", n)
		}
		synctest.Wait()
		before := known()
		s, end := on(guard, &fake{traits: onHost("good.test"), life: time.Hour})
		mustToken(t, s)
		synctest.Wait()
		if n := known(); n > before {
			t.Errorf("a host whose login was good is remembered")
		}
		end()
	})
}

func TestThoseInLineForASpentBudgetAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		for i := range 20 {
			f := &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true), takes: time.Second}
			if _, err := m.Add(fmt.Sprint(i), f); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if stats := m.Stats(); stats.Rejected != 3 || stats.Locked != 17 {
			t.Fatalf("stats %+v", stats)
		}
	})
}
