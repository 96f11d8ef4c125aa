package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/rs/zerolog"
)

func onHost(host string) pbx.Traits {
	return pbx.Traits{URL: "https://" + host, Lockout: pbx.Lockout{Attempts: 5, Window: 10 * time.Minute}}
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
		if took := time.Since(start); took > 3200*time.Millisecond { // two at a time, and the closed one may have had a turn
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
		{"атс.example", "АТС.example.", "%D0%B0%D1%82%D1%81.example:8088", "xn--80a8ac.example", "XN--80A8AC.example"},
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

func TestALimitThatIsSetAfterTheManagerWasMadeHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		m := session.NewManager(&session.Options{Guard: guard})
		defer m.Close(context.Background())
		guard.Limit = 1
		wrong := &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true)}
		mustAdd(t, m, "wrong", wrong)
		synctest.Wait()
		f := &fake{traits: onHost("pbx.test")}
		s := mustAdd(t, m, "right", f)
		synctest.Wait()
		wantState(t, s, session.Locked)
		wantCounts(t, f, 0, 0, 0)
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

func TestTheEndOfAnotherRequestDoesNotEndTheHostsLock(t *testing.T) {
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

func TestAnAddressThatCannotBeReadIsNoHost(t *testing.T) {
	during(t, &fake{life: time.Hour, traits: pbx.Traits{URL: "http://[::1"}}, func(t *testing.T, s *session.Session) { mustToken(t, s) })
}

func TestSessionsThatWaitForASpentBudgetReportIt(t *testing.T) {
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

// inARow are the traits of a PBX that never forgets a wrong login by time.
func inARow(host string) pbx.Traits {
	return pbx.Traits{URL: "https://" + host, Lockout: pbx.Lockout{Attempts: 5, Window: 10 * time.Minute, Memory: pbx.Forever}}
}

// statusOf is what a Guard knows of a host.
func statusOf(t *testing.T, guard *session.Guard, host string) session.HostStatus {
	t.Helper()
	for _, s := range guard.Hosts() {
		if s.Host == host {
			return s
		}
	}
	t.Fatalf("the Guard does not know %s: %+v", host, guard.Hosts())
	panic("unreachable")
}

func TestWrongPasswordsOfManyAccountsOnOneHostStayBelowItsLimit(t *testing.T) {
	for name, row := range map[string]struct {
		memory time.Duration
		later  int // wrong logins after 25 hours
	}{
		"the vendor does not say for how long they count": {0, 6},
		"they count in a row":                             {pbx.Forever, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := session.NewManager(&session.Options{Guard: &session.Guard{}})
				defer m.Close(context.Background())
				var fakes []*fake
				for i := range 20 {
					f := &fake{traits: onHost([]string{"PBX.test:8000", "pbx.test:8001"}[i%2]), login: fails(pbx.ErrInvalidCredentials, true), takes: time.Second}
					f.traits.Lockout.Memory = row.memory
					fakes = append(fakes, f)
					if _, err := m.Add(fmt.Sprint(i), f); err != nil {
						t.Fatal(err)
					}
				}
				for _, step := range []struct {
					after time.Duration
					sent  int
				}{{time.Minute, 3}, {23 * time.Hour, 3}, {2 * time.Hour, row.later}} {
					time.Sleep(step.after)
					sent := 0
					for _, f := range fakes {
						logins, _, _ := f.counts()
						sent += logins
					}
					if sent != step.sent {
						t.Fatalf("%s later: %d wrong logins, want %d", step.after, sent, step.sent)
					}
				}
			})
		})
	}
}

func TestForgiveTakesEachHostAsHostsNamesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		for _, host := range []string{"pbx.test", "192.0.2.7:8088", "[2001:db8::7]:8088", "[fe80::7%25eth0]"} {
			s := session.New(&fake{traits: inARow(host), login: fails(pbx.ErrInvalidCredentials, true)}, &session.Options{Guard: guard})
			defer s.Close(context.Background())
		}
		synctest.Wait()
		hosts := guard.Hosts()
		if len(hosts) != 4 {
			t.Fatalf("the Guard knows %+v", hosts)
		}
		for _, h := range hosts {
			if forgotten, err := guard.Forgive(t.Context(), h.Host); err != nil || len(forgotten.Bookings) != 1 {
				t.Errorf("Forgive(%q) returned %+v, %v", h.Host, forgotten, err)
			}
		}
	})
}

// No Guard.Forgive reaches it, so its error does not recommend one.
func TestTheBudgetOfADriverWithoutAURLBeginsAnewWithTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		f := &fake{traits: inARow(""), login: fails(pbx.ErrInvalidCredentials, true)}
		f.traits.URL = ""
		s := mustAdd(t, m, "7", f)
		var held error
		for held == nil {
			time.Sleep(10 * time.Second)
			held = s.Retry(t.Context())
		}
		wantKind(t, held, pbx.ErrLocked)
		if says := held.Error(); !strings.HasSuffix(says, "then make this session anew (Guard.Forgive needs a driver that states its URL)") || !strings.Contains(says, "of an account of this driver (refused, ") {
			t.Errorf("error is %q", says)
		}
		f.set(func() { f.login = nil })
		if err := m.Replace(t.Context(), "7", f); err != nil {
			t.Fatal(err)
		}
		mustToken(t, s)
	})
}

func TestASessionHeldBackByTheBudgetSaysWhoUsedThePlacesAndWhatToDo(t *testing.T) {
	for _, memory := range []time.Duration{time.Hour, pbx.Forever} {
		synctest.Test(t, func(t *testing.T) {
			guard := &session.Guard{}
			for i := range 3 {
				f := &fake{traits: inARow("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true)}
				f.traits.Account, f.traits.Lockout.Memory = fmt.Sprint("wrong-", i), memory
				s := session.New(f, &session.Options{Guard: guard})
				defer s.Close(context.Background())
				synctest.Wait()
			}
			held := &fake{traits: inARow("pbx.test"), life: 24 * time.Hour}
			held.traits.Lockout.Memory = memory
			s := session.New(held, &session.Options{Guard: guard})
			defer s.Close(context.Background())
			_, err := s.Token(t.Context())
			wantKind(t, err, pbx.ErrLocked)
			if errors.Is(err, pbx.ErrInvalidCredentials) {
				t.Fatalf("other accounts' wrong passwords are reported as this one's: %v", err)
			}
			for _, want := range []string{"pbx.test", "wrong-0 (refused, " + time.Now().Format(time.RFC3339) + ")", "wrong-1 (refused, ", "wrong-2 (refused, ", "Correct these accounts", `Guard.Forgive("pbx.test")`} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %q", want, err)
				}
			}
			if says := strings.Contains(err.Error(), "does not forget"); says != (memory == pbx.Forever) {
				t.Errorf("error is %q", err)
			}
			status := s.Status()
			if status.State != session.Locked || status.LockedBy != session.LockedByBudget || !strings.Contains(status.String(), "locked by the budget") {
				t.Fatalf("status is %v", status)
			}
			host := statusOf(t, guard, "pbx.test")
			if len(host.Bookings) != 3 || host.Refused != 3 || host.InFlight != 0 || !host.LockedUntil.IsZero() || len(host.Waiting) != 4 {
				t.Fatalf("the Guard says %+v", host)
			}
			wantCounts(t, held, 0, 0, 0)
			if memory != pbx.Forever {
				time.Sleep(memory + 10*time.Second)
				wantState(t, s, session.Live)
			}
		})
	}
}

func TestForgiveLetsThoseInWhoWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		guard := &session.Guard{}
		m := session.NewManager(&session.Options{Guard: guard, Logger: zerolog.New(&log)})
		defer m.Close(context.Background())
		var wrong []*fake
		for i := range 3 {
			f := &fake{traits: inARow("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true)}
			f.traits.Account = fmt.Sprint("wrong-", i)
			wrong = append(wrong, f)
			m.Add(f.traits.Account, f)
			synctest.Wait()
		}
		good, err := m.Add("good", &fake{traits: inARow("pbx.test"), life: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Hour)
		wantState(t, good, session.Locked)
		if _, err := guard.Forgive(t.Context(), "other.test"); err == nil || !strings.Contains(err.Error(), "pbx.test") {
			t.Errorf("Forgive of an unknown host: %v", err)
		}
		forgotten, err := guard.Forgive(t.Context(), "https://PBX.test:8088/api")
		if err != nil || len(forgotten.Bookings) != 3 {
			t.Fatalf("Forgive returned %+v, %v", forgotten, err)
		}
		synctest.Wait()
		mustToken(t, good)
		for _, f := range wrong {
			wantCounts(t, f, 1, 0, 0) // refused passwords are still not sent
		}
		m.Close(t.Context())
		if !strings.Contains(log.String(), `"host":"pbx.test","logins":3,"locks":0,"waiting":["good","wrong-0","wrong-1","wrong-2"]`) {
			t.Errorf("log:\n%s", log.String())
		}
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
		{"a login without a response", fails(pbx.ErrUnavailable, true), true},
		{"a response in other words than the brand's", answered(pbx.ErrProtocol, 200), true},
		{"unavailable, in the brand's own words", answered(pbx.ErrUnavailable, 200), true},
		{"an unknown code", answered(nil, 200), true},
		{"a gateway's time-out", answered(pbx.ErrUnavailable, 504), true},
		{"a web server without a backend", answered(pbx.ErrUnavailable, 503), true},
		{"not implemented", answered(pbx.ErrUnavailable, 501), true},
		{"a redirect", answered(pbx.ErrConfig, 302), true},
		{"a path that is not there", answered(pbx.ErrProtocol, 404), true},
		{"a method that is not allowed", answered(pbx.ErrProtocol, 405), true},
		{"too many requests, from something in front", answered(pbx.ErrUnavailable, 429), false},
		{"no room for another token", answered(pbx.ErrTooManySessions, 200), false},
		{"an error of a driver that says nothing", func(context.Context) (*pbx.Token, error) { return nil, errors.New("it broke") }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{traits: inARow("pbx.test"), login: row.login}
				guard := &session.Guard{}
				s := session.New(f, &session.Options{Guard: guard})
				defer s.Close(context.Background())
				time.Sleep(24 * time.Hour)
				logins, _, _ := f.counts()
				booked := len(statusOf(t, guard, "pbx.test").Bookings)
				if row.counts && (logins > 4 || booked != logins) {
					t.Fatalf("%d logins in a day, %d of them booked: the PBX locks after 5", logins, booked)
				}
				if !row.counts && (logins < 10 || booked > 0) {
					t.Fatalf("%d logins in a day, %d booked: they were counted", logins, booked)
				}
			})
		})
	}
}

func TestTheLockOfAHostStopsKeepAlivesOnlyWhereItCoversRequests(t *testing.T) {
	for _, covers := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			guard := &session.Guard{}
			traits := onHost("pbx.test")
			traits.Lockout.CoversRequests = covers
			live := &fake{traits: traits, life: 30 * time.Minute}
			s := session.New(live, &session.Options{Guard: guard})
			defer s.Close(context.Background())
			mustToken(t, s)
			time.Sleep(17 * time.Minute)
			out := &fake{traits: traits, login: fails(pbx.ErrLocked, true)}
			locked := session.New(out, &session.Options{Guard: guard})
			defer locked.Close(context.Background())
			time.Sleep(9 * time.Minute)
			out.set(func() { out.login = nil })
			mustToken(t, s)
			if !covers {
				wantCounts(t, live, 1, 1, 0)
				return
			}
			wantCounts(t, live, 1, 0, 0)
			wantState(t, s, session.Renewing)
			r, _ := http.NewRequest(http.MethodGet, "https://pbx.test/call", nil)
			if _, err := s.Transport(answering(200)).RoundTrip(r); !errors.Is(err, pbx.ErrLocked) {
				t.Errorf("a request under the lock: %v", err)
			}
			time.Sleep(2 * time.Minute)
			wantCounts(t, live, 1, 1, 0)
			wantState(t, s, session.Live)
		})
	}
}

func TestAGoodAccountDoesNotStandBehindWrongOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		f := &fake{traits: inARow("cloud.test"), life: time.Hour}
		good, err := m.Add("good", f)
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, good)
		for i := range 12 {
			wrong := &fake{traits: inARow("cloud.test"), login: fails(pbx.ErrInvalidCredentials, true)}
			if _, err := m.Add(fmt.Sprint(i), wrong); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 { // one fault each
			good.Invalidate(mustToken(t, good))
			time.Sleep(15 * time.Second)
			wantState(t, good, session.Live)
			time.Sleep(20 * time.Minute)
		}
	})
}

func TestABookingIsKeptForAsLongAsThePBXMayCountIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrUnavailable, true)}
		f.traits.Lockout.Memory = 10 * time.Minute
		guard := &session.Guard{Limit: 1}
		s := session.New(f, &session.Options{Guard: guard})
		defer s.Close(context.Background())
		time.Sleep(12 * time.Minute) // a late verdict comes within two minutes
		wantCounts(t, f, 1, 0, 0)
		time.Sleep(20 * time.Second)
		wantCounts(t, f, 2, 0, 0)
		time.Sleep(2 * time.Hour)
		if logins, _, _ := f.counts(); logins > 12 {
			t.Fatalf("%d logins", logins)
		}
	})
}

func TestALockFurtherOffThanTheVendorSaysIsCut(t *testing.T) {
	f := &fake{life: time.Hour, login: func(context.Context) (*pbx.Token, error) {
		return nil, &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrLocked, Sent: true, RetryAfter: 10 * 365 * 24 * time.Hour}
	}}
	during(t, f, func(t *testing.T, s *session.Session) {
		synctest.Wait()
		f.set(func() { f.login = nil })
		time.Sleep(9 * time.Minute)
		wantState(t, s, session.Locked)
		time.Sleep(2 * time.Minute)
		wantState(t, s, session.Live)
	})
}

func TestALockoutWindowWithoutEndIsALockout(t *testing.T) {
	f := &fake{login: fails(pbx.ErrUnavailable, true), traits: pbx.Traits{URL: "https://pbx.test", Lockout: pbx.Lockout{Attempts: 3, Window: math.MaxInt64}}}
	during(t, f, func(t *testing.T, s *session.Session) {
		time.Sleep(20 * time.Hour)
		if logins, _, _ := f.counts(); logins > 2 {
			t.Fatalf("%d logins", logins)
		}
	})
}

func TestHowManyNewAccountsMayBeWrong(t *testing.T) {
	for _, row := range []struct {
		name           string
		attempts, most int
	}{
		{"a generous brand", 8, 6},
		{"a brand that does not say", 0, 3},
		{"a brand with hardly any", 2, 1},
		{"a brand with one", 1, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				guard := &session.Guard{}
				sent := 0
				for range row.most + 3 {
					f := &fake{traits: pbx.Traits{URL: "https://pbx.test", Lockout: pbx.Lockout{Attempts: row.attempts, Memory: pbx.Forever}}, login: fails(pbx.ErrInvalidCredentials, true)}
					_, end := on(guard, f)
					defer end()
					time.Sleep(time.Hour)
					logins, _, _ := f.counts()
					sent += logins
				}
				if sent != row.most {
					t.Fatalf("%d logins were sent, want %d", sent, row.most)
				}
			})
		})
	}
}

func TestAGuardForgetsHostsOfWhichThereIsNothingToRemember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		for i := range 200 {
			s, end := on(guard, &fake{traits: onHost(fmt.Sprintf("pbx%d.test", i)), login: fails(pbx.ErrUnavailable, false)})
			s.Token(t.Context())
			end()
		}
		if n := len(guard.Hosts()); n > 0 {
			t.Errorf("%d of 200 hosts are remembered", n)
		}
	})
}
