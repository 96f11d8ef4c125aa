package session_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// named are the traits of a driver that says its name.
func named(driver, host string) pbx.Traits {
	t := onHost(host)
	t.Driver = driver
	return t
}

// statsOf are those of one driver.
func statsOf(t *testing.T, m *session.Manager, driver string) session.DriverStats {
	t.Helper()
	for _, d := range m.Stats().Drivers {
		if d.Driver == driver {
			return d
		}
	}
	t.Fatalf("there are no stats of driver %q", driver)
	return session.DriverStats{}
}

// failures are those that have happened.
func failures(o session.OpStats) map[string]uint64 {
	got := map[string]uint64{}
	for kind, n := range o.Failures {
		if n > 0 {
			got[kind] = n
		}
	}
	return got
}

func TestStatsCountByDriverOperationAndKindOfFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		for name, f := range map[string]*fake{
			"good":     {traits: named("a", "a1.test"), life: time.Hour, takes: 40 * time.Millisecond},
			"refused":  {traits: named("a", "a2.test"), login: fails(pbx.ErrInvalidCredentials, true)},
			"locked":   {traits: named("a", "a3.test"), login: fails(pbx.ErrLocked, true)},
			"no kind":  {traits: named("b", "b1.test"), login: fails(nil, true), down: true},
			"plain":    {traits: named("b", "b2.test"), down: true, login: func(context.Context) (*pbx.Token, error) { return nil, errors.New("broken") }},
			"no token": {traits: named("b", "b3.test"), down: true, login: func(context.Context) (*pbx.Token, error) { return nil, nil }},
			"unnamed":  {life: time.Hour},
		} {
			mustAdd(t, m, name, f)
		}
		time.Sleep(3 * time.Second)
		stats := m.Stats()
		if len(stats.Drivers) != 3 || stats.Drivers[0].Driver != "" || stats.Drivers[1].Driver != "a" || stats.Drivers[2].Driver != "b" {
			t.Fatalf("drivers %+v", stats.Drivers)
		}
		a, b := stats.Drivers[1], stats.Drivers[2]
		login := a.Operations[pbx.OpLogin]
		if diff := cmp.Diff(map[string]uint64{"invalid credentials": 1, "locked out": 1}, failures(login)); diff != "" || login.Failed() != 2 {
			t.Errorf("failures of a's logins (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]uint64{"other": 2, "unexpected response": 1}, failures(b.Operations[pbx.OpLogin])); diff != "" {
			t.Errorf("failures of b's logins (-want +got):\n%s", diff)
		}
		if login.Duration.Count != 3 || login.Duration.Sum != 0.04 {
			t.Errorf("%d logins of a took %g s, want 3 and 0.04 s", login.Duration.Count, login.Duration.Sum)
		}
		for _, bucket := range login.Duration.Buckets {
			if want := uint64(2); bucket.Most < 0.04 && bucket.Count != want {
				t.Errorf("%d logins of at most %g s, want %d", bucket.Count, bucket.Most, want)
			} else if bucket.Most > 0.04 && bucket.Count != 3 {
				t.Errorf("%d logins of at most %g s, want 3", bucket.Count, bucket.Most)
			}
		}
		if a.Sessions[session.Live] != 1 || a.Sessions[session.Rejected] != 1 || a.Sessions[session.Locked] != 1 || b.Sessions[session.Unavailable] != 3 {
			t.Errorf("sessions of a: %v, of b: %v", a.Sessions, b.Sessions)
		}
		checks := b.Operations["check"]
		if n := failures(checks)["unavailable"]; n == 0 || n != checks.Duration.Count {
			t.Errorf("%d of %d checks failed", n, checks.Duration.Count)
		}
		if want := (session.HostStats{InTrouble: 5, InDoubt: 3, WrongLogins: 4, Locked: 1}); stats.Hosts != want {
			t.Errorf("hosts %+v, want %+v", stats.Hosts, want)
		}
	})
}

func TestAReplacedDriverTakesItsSessionToItsOwnFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		mustAdd(t, m, "7", &fake{traits: named("old", "pbx.test"), life: time.Hour})
		synctest.Wait()
		if err := m.Replace(t.Context(), "7", &fake{traits: named("new", "pbx.test"), life: time.Hour}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for driver, want := range map[string]int{"old": 0, "new": 1} {
			for state, n := range statsOf(t, m, driver).Sessions {
				if state == session.Live && n != want || state != session.Live && n != 0 {
					t.Errorf("driver %s has %d sessions that are %s", driver, n, state)
				}
			}
		}
	})
}

func TestDriversBeyondAHundredAreCountedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 10_000})
		defer m.Close(context.Background())
		for i := range 150 {
			mustAdd(t, m, fmt.Sprint(i), &fake{traits: named(fmt.Sprint("driver-", i), "pbx.test"), life: time.Hour})
		}
		if n := len(m.Stats().Drivers); n != 101 {
			t.Errorf("%d drivers", n)
		}
		mustAdd(t, m, "odd", &fake{traits: named("https://pbx.test/?token=7", "pbx.test")})
		if n := statsOf(t, m, "other").Sessions; n[session.Connecting]+n[session.Live] != 51 {
			t.Errorf("others: %v", n)
		}
		if n := m.Stats().Sessions(); n != 151 {
			t.Errorf("%d sessions", n)
		}
	})
}

func TestASessionThatChangesIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 10_000})
		defer m.Close(context.Background())
		for i := range 50 {
			mustAdd(t, m, fmt.Sprint(i), &fake{traits: named("a", "pbx.test"), life: time.Minute})
			for range 50 { // while those before are logging in
				if n := m.Stats().Sessions(); n != i+1 {
					t.Fatalf("%d sessions, not %d", n, i+1)
				}
			}
		}
	})
}

func TestStatsSayHowMuchOfALifetimeWasLeftAtARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		f := &fake{traits: named("a", "pbx.test"), life: time.Hour}
		s := mustAdd(t, m, "7", f)
		time.Sleep(24 * time.Hour)
		left := statsOf(t, m, "a").LifetimeLeft
		if mean := left.Sum / float64(left.Count); left.Count < 24 || mean < 0.25 || mean > 0.5 {
			t.Errorf("%d renewals, of which the mean had %.2f of the lifetime left", left.Count, mean)
		}
		if late := left.Buckets[2]; late.Most != 0.05 || late.Count != 0 {
			t.Errorf("late ones: %+v", late)
		}

		f.set(func() { f.down, f.login = true, fails(pbx.ErrUnavailable, false) })
		f.set(func() {
			f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
				return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, false)
			}
		})
		time.Sleep(3 * time.Hour)
		wantState(t, s, session.Unavailable)
		if expired := statsOf(t, m, "a").LifetimeLeft.Buckets[0]; expired.Most != 0 || expired.Count != 1 {
			t.Errorf("expired tokens: %+v", expired)
		}
	})
}

func TestStatsCountRequestsThatWaitAndTokensThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", &fake{traits: named("a", "pbx.test"), life: time.Hour, takes: time.Second})
		for range 3 {
			go s.Token(context.Background())
		}
		time.Sleep(2 * time.Second)
		s.Invalidate(mustToken(t, s))
		time.Sleep(2 * time.Second)
		mustToken(t, s)
		if a := statsOf(t, m, "a"); a.Waits != 3 || a.RefusedTokens != 1 {
			t.Errorf("%d waits and %d refused tokens, want 3 and 1", a.Waits, a.RefusedTokens)
		}
	})
}

func TestStatsFollowAHostIntoTroubleAndOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		good := &fake{traits: onHost("pbx.test"), life: 10 * time.Minute}
		mustAdd(t, m, "good", good)
		mustAdd(t, m, "wrong", &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true)})
		time.Sleep(time.Second)
		want := session.HostStats{InTrouble: 1, WrongLogins: 1}
		if got := m.Stats().Hosts; got != want {
			t.Errorf("after a wrong login: %+v, want %+v", got, want)
		}
		if hosts := m.HostsInTrouble(5); len(hosts) != 1 || hosts[0].Host != "pbx.test" || len(hosts[0].Bookings) != 1 {
			t.Errorf("hosts in trouble: %+v", hosts)
		}
		time.Sleep(25 * time.Hour) // the PBX has forgotten it
		if got := m.Stats().Hosts; got != (session.HostStats{}) {
			t.Errorf("after a day: %+v", got)
		}
		if hosts := m.HostsInTrouble(5); len(hosts) != 0 {
			t.Errorf("hosts in trouble: %+v", hosts)
		}
	})
}

func TestAHostWithoutSessionsIsNotInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		m := session.NewManager(&session.Options{Guard: guard})
		defer m.Close(context.Background())
		wrong := &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true)}
		mustAdd(t, m, "wrong", wrong)
		mustAdd(t, m, "nowhere", &fake{login: fails(pbx.ErrInvalidCredentials, true)})
		synctest.Wait()
		if n := m.Stats().Hosts.WrongLogins; n != 2 {
			t.Fatalf("%d hosts", n)
		}
		m.Remove(t.Context(), "wrong")
		m.Remove(t.Context(), "nowhere")
		if got := m.Stats().Hosts; got != (session.HostStats{}) {
			t.Errorf("%+v", got)
		}
		mustAdd(t, m, "wrong", wrong) // the Guard has not forgotten
		if n := m.Stats().Hosts.WrongLogins; n != 1 {
			t.Errorf("%d hosts", n)
		}
	})
}

func TestTheWorstHostsComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		for host, kind := range map[string]error{"unsure.test": pbx.ErrUnavailable, "wrong.test": pbx.ErrInvalidCredentials, "locked.test": pbx.ErrLocked} {
			mustAdd(t, m, host, &fake{traits: onHost(host), login: fails(kind, kind != pbx.ErrUnavailable), down: true})
		}
		time.Sleep(time.Second)
		for most, want := range map[int]string{-1: "", 0: "", 1: "locked.test ", 2: "locked.test wrong.test ", 9: "locked.test wrong.test unsure.test "} {
			got := ""
			for _, h := range m.HostsInTrouble(most) {
				got += h.Host + " "
			}
			if got != want {
				t.Errorf("at most %d: %q, want %q", most, got, want)
			}
		}
	})
}

func TestStatsOfAStoreSayWhatItDidAndSinceWhenItIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := new(store.Memory).Faults()
		first, second := shares(t, faults.Process("one"), "crm-1"), shares(t, faults.Process("two"), "crm-2")
		defer second.Close(context.Background())
		_, drivers := newShared(2, time.Hour)
		mustToken(t, mustAdd(t, first, "7", drivers[0]))
		first.Close(t.Context())
		mustToken(t, mustAdd(t, second, "7", drivers[1]))
		stats := second.Stats()
		if n := stats.Drivers[0].AdoptedTokens; n != 1 || stats.Logins != 0 {
			t.Errorf("%d adopted tokens and %d logins", n, stats.Logins)
		}
		if stats.Store.Operations == 0 || stats.Store.Errors != 0 || !stats.Store.AwaySince.IsZero() {
			t.Errorf("store %+v", stats.Store)
		}
		faults.Cut("two")
		time.Sleep(time.Hour) // some heartbeats
		cut := time.Now()
		stats = second.Stats()
		if stats.Store.Errors == 0 || stats.Store.AwaySince.IsZero() || cut.Sub(stats.Store.AwaySince) < time.Minute {
			t.Errorf("store %+v", stats.Store)
		}
		faults.Rejoin("two")
		time.Sleep(time.Hour)
		if away := second.Stats().Store.AwaySince; !away.IsZero() {
			t.Errorf("the store responds, but is away since %s", away)
		}
	})
}

// A session whose password was refused sends nothing, so that nothing happens at
// its host any more.
func TestTroubleThatPassesByTimeIsNotCountedAnyLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		for name, memory := range map[string]time.Duration{"a": 10 * time.Minute, "b": time.Hour, "c": pbx.Forever} {
			traits := named("brand", name+".test")
			traits.Lockout = pbx.Lockout{Attempts: 5, Window: 10 * time.Minute, Memory: memory}
			mustAdd(t, m, name, &fake{traits: traits, login: fails(pbx.ErrInvalidCredentials, true)})
		}
		began := time.Now()
		for _, want := range []struct {
			after time.Duration
			hosts int
		}{{10 * time.Minute, 3}, {11 * time.Minute, 2}, {60 * time.Minute, 2}, {61 * time.Minute, 1}, {30 * 24 * time.Hour, 1}} {
			time.Sleep(time.Until(began.Add(want.after)))
			if got := m.Stats().Hosts; got != (session.HostStats{InTrouble: want.hosts, WrongLogins: want.hosts}) {
				t.Errorf("after %s: %+v, want %d with wrong logins", want.after, got, want.hosts)
			}
			if got := len(m.HostsInTrouble(10)); got != want.hosts {
				t.Errorf("after %s: %d hosts in trouble, want %d", want.after, got, want.hosts)
			}
		}
	})
}
