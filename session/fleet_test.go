package session_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// fleet adds n sessions over fakes that change applies to, on hosts of their own.
func fleet(t *testing.T, m *session.Manager, n int, change func(f *fake)) (fakes []*fake, sessions []*session.Session) {
	t.Helper()
	for i := range n {
		f := &fake{life: 30 * time.Minute, traits: onHost(fmt.Sprintf("pbx%d.test", i))}
		if change != nil {
			change(f)
		}
		s, err := m.Add(fmt.Sprint(i), f)
		if err != nil {
			t.Fatal(err)
		}
		fakes, sessions = append(fakes, f), append(sessions, s)
	}
	return fakes, sessions
}

func TestLoginsAfterAStartAreAdmittedAtTheSetRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 10})
		defer m.Close(context.Background())
		_, sessions := fleet(t, m, 100, nil)
		for _, row := range []struct {
			after time.Duration
			most  int
		}{{0, 10}, {time.Second, 20}, {4 * time.Second, 60}} {
			time.Sleep(row.after)
			synctest.Wait()
			if live := m.Stats().Live; live > row.most+1 {
				t.Errorf("%d sessions are live %s later, want no more than %d", live, row.after, row.most)
			}
		}
		for _, s := range sessions { // those who wait get theirs in time
			mustToken(t, s)
		}
	})
}

func TestSessionsThatLogInTogetherAreNotRenewedTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := *fleetSize
		if session.RaceDetector {
			n = min(n, 2000)
		}
		var mu sync.Mutex
		perMinute := map[int]int{}
		start := time.Now()
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: n})
		defer m.Close(context.Background())
		fleet(t, m, n, func(f *fake) {
			f.beat = func(_ context.Context, old *pbx.Token) (*pbx.Token, error) {
				mu.Lock()
				perMinute[int(time.Since(start)/time.Minute)]++
				mu.Unlock()
				return f.dated(old.Value.Reveal()), nil
			}
		})
		time.Sleep(5 * time.Hour)
		mu.Lock()
		defer mu.Unlock()
		sum, peak := 0, 0
		for minute := 30; minute < 300; minute++ {
			sum += perMinute[minute]
			peak = max(peak, perMinute[minute])
		}
		mean := float64(sum) / 270
		perHour := mean * 60 / float64(n)
		t.Logf("%d sessions: %.2f keep-alives per session-hour, in the worst minute %.2f times the mean", n, perHour, float64(peak)/mean)
		// Chance scatters a minute's count by the square root of its mean: the worst of 270
		// minutes lies three or four of these above it, however evenly the renewals are spread.
		most := 1.25*mean + 5*math.Sqrt(mean)
		if float64(peak) > most || perHour > 3.2 {
			t.Errorf("keep-alives per minute: mean %.0f, peak %d, want no more than %.0f; %.2f per session-hour", mean, peak, most, perHour)
		}
	})
}

func TestNoMoreCallsThanPerHostGoToOneHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, PerHost: 2})
		defer m.Close(context.Background())
		shared := &fake{life: 30 * time.Minute, traits: onHost("cloud.test"), takes: time.Second}
		for i := range 50 {
			if _, err := m.Add(fmt.Sprint(i), shared); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Hour)
		shared.set(func() {
			if shared.together != 2 {
				t.Errorf("%d calls at once", shared.together)
			}
		})
		if stats := m.Stats(); stats.Live+stats.Renewing != 50 || stats.FailedLogins+stats.FailedKeepAlives != 0 {
			t.Fatalf("stats %+v", stats)
		}
	})
}

// totals are the figures of the whole fleet.
func totals(s session.Stats) session.Stats {
	s.Drivers, s.Hosts = nil, session.HostStats{}
	return s
}

func TestStatsCountTheWholeFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		kinds := []error{nil, pbx.ErrInvalidCredentials, pbx.ErrLocked, pbx.ErrUnavailable}
		i := 0
		fleet(t, m, 40, func(f *fake) {
			if kind := kinds[i%4]; kind != nil {
				f.login, f.down = fails(kind, false), true
			}
			i++
		})
		synctest.Wait()
		got := totals(m.Stats())
		want := session.Stats{Live: 10, Rejected: 10, Locked: 10, Unavailable: 10, Logins: 40, FailedLogins: 30}
		if diff := cmp.Diff(want, got); diff != "" || got.Sessions() != 40 {
			t.Fatalf("stats (-want +got):\n%s", diff)
		}
		seen := 0
		for name, s := range m.All() {
			if s.Name() != name {
				t.Errorf("session %q is called %q", s.Name(), name)
			}
			seen++
		}
		if seen != 40 {
			t.Errorf("%d sessions in All", seen)
		}
		if err := m.Remove(t.Context(), "0"); err != nil {
			t.Fatal(err)
		}
		if err := m.Remove(t.Context(), "no such session"); err != nil {
			t.Fatal(err)
		}
		if n := m.Stats().Sessions(); n != 39 {
			t.Errorf("%d sessions after Remove", n)
		}
		m.Close(t.Context())
		if n := m.Stats().Sessions(); n != 0 {
			t.Errorf("%d sessions after Close", n)
		}
	})
}

func TestCloseLogsTheFleetOutWithinItsDeadlineAndNamesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Workers: 50})
		i := 0
		fakes, _ := fleet(t, m, 100, func(f *fake) {
			if i%10 == 0 { // these hang
				f.logout = func(ctx context.Context, _ *pbx.Token) error { <-ctx.Done(); return ctx.Err() }
			}
			i++
		})
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		err := m.Close(ctx)
		if took := time.Since(start); took > 5*time.Second {
			t.Fatalf("Close took %s", took)
		}
		for i, f := range fakes {
			if f.logouts != 1 {
				t.Errorf("session %d: %d logouts", i, f.logouts)
			}
		}
		for i := 0; i < 100; i += 10 {
			if !strings.Contains(err.Error(), fmt.Sprintf("session %d: ", i)) {
				t.Errorf("session %d is not named in %v", i, err)
			}
		}
		if n := strings.Count(err.Error(), "session "); n != 10 {
			t.Errorf("%d sessions are named", n)
		}
	})
}

func TestNewCredentialsEndTheRejection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &watching{fake: &fake{life: time.Hour, login: fails(pbx.ErrInvalidCredentials, true)}}
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		defer s.Close(context.Background())
		time.Sleep(10 * time.Hour)
		wantState(t, s, session.Rejected)
		wantCounts(t, f.fake, 1, 0, 0)
		f.set(func() { f.slow = true })
		for range 1000 { // also while it looks, nobody is kept waiting
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if _, err := s.Token(ctx); !errors.Is(err, pbx.ErrInvalidCredentials) {
				t.Fatalf("Token: %v", err)
			}
			cancel()
			time.Sleep(time.Second)
		}
		f.set(func() { f.slow = false })
		if f.looks < 60 {
			t.Fatalf("it looked for new credentials %d times in ten hours", f.looks)
		}
		f.set(func() { f.changed = true; f.login = nil })
		time.Sleep(2 * time.Minute)
		wantState(t, s, session.Live)
		wantCounts(t, f.fake, 2, 0, 0)
	})
}

// watching is a fake whose credentials can change.
type watching struct {
	*fake
	changed bool
	slow    bool
	looks   int
}

func (w *watching) Fingerprint(context.Context, []byte) ([]byte, error) {
	w.mu.Lock()
	slow := w.slow
	w.mu.Unlock()
	if slow {
		time.Sleep(20 * time.Second)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	if w.looks%3 == 0 && !w.changed {
		return nil, errors.New("the vault is sealed")
	}
	return fingerprint(w.changed, nil)
}

func TestAWatcherSeesTheNewestStateOfEverySession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		fakes, sessions := fleet(t, m, 20, nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		newest := map[string]session.State{}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for s, status := range m.Watch(ctx) {
				newest[s.Name()] = status.State
				time.Sleep(time.Second) // slow: it misses steps
			}
		}()
		time.Sleep(time.Minute)
		for i, s := range sessions {
			switch i % 3 {
			case 0:
				s.Close(t.Context())
			case 1:
				fakes[i].set(func() { fakes[i].login = fails(pbx.ErrInvalidCredentials, true) })
				s.Invalidate(mustToken(t, s))
			case 2:
				s.Invalidate(mustToken(t, s)) // live, connecting, live
			}
		}
		time.Sleep(time.Minute)
		cancel()
		<-ended
		for i := range sessions {
			want := []session.State{session.Closed, session.Rejected, session.Live}[i%3]
			if got := newest[fmt.Sprint(i)]; got != want {
				t.Errorf("session %d was last seen %s, want %s", i, got, want)
			}
		}
		m.Close(context.Background())
	})
}

func TestAWatcherSeesEachSessionEndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 { // to meet all the ways in which both can be at it
			m := session.NewManager(&session.Options{Guard: &session.Guard{}, Workers: 50})
			fleet(t, m, 50, nil)
			ctx, cancel := context.WithCancel(t.Context())
			ends := map[string]int{}
			watched := make(chan struct{})
			go func() {
				defer close(watched)
				for s, status := range m.Watch(ctx) {
					if status.State == session.Closed {
						ends[s.Name()]++
					}
				}
			}()
			m.Close(context.Background()) // some are still logging in
			synctest.Wait()
			cancel()
			<-watched
			for name, n := range ends {
				if n != 1 {
					t.Fatalf("session %s was seen to end %d times", name, n)
				}
			}
		}
	})
}

func TestLeavingTheWatchLoopEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		fleet(t, m, 3, nil)
		for range m.Watch(t.Context()) {
			break
		}
		m.Close(context.Background())
	})
}

func TestAfterASuspensionTokensAreRenewedSoonAndNotAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var ahead time.Duration // of the wall clock
		wall := func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(ahead)
		}
		jump := func(d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			ahead += d
		}
		m := session.NewManagerWithWall(&session.Options{Guard: &session.Guard{}, LoginRate: 1000}, wall)
		defer m.Close(context.Background())
		_, sessions := fleet(t, m, 300, func(f *fake) { f.life = 24 * time.Hour })
		time.Sleep(10 * time.Minute)
		before := m.Stats().KeepAlives
		for _, small := range []time.Duration{30 * time.Second, -365 * 24 * time.Hour} {
			jump(small) // an adjustment, and a clock set back: nothing happens
			time.Sleep(3 * time.Minute)
			if after := m.Stats().KeepAlives; after > before+5 {
				t.Fatalf("a wall clock off by %s caused %d keep-alives", small, after-before)
			}
		}
		jump(10 * time.Hour)
		last, peak := before, uint64(0)
		for range 180 {
			time.Sleep(time.Second)
			now := m.Stats().KeepAlives
			last, peak = now, max(peak, now-last)
		}
		stats := m.Stats()
		if all := last - before; all < 295 || all > 320 || stats.Live != 300 || stats.Logins != 300 {
			t.Fatalf("%d keep-alives, stats %+v", all, stats)
		}
		if peak > 30 {
			t.Errorf("%d keep-alives in one second", peak)
		}
		early := 0 // the next time they do not come within a few hours of each other
		for _, s := range sessions {
			if untilNext(s) < 10*time.Hour {
				early++
			}
		}
		if early < 100 {
			t.Errorf("%d of 300 renew again in the first ten hours", early)
		}
	})
}

func TestASlowVaultLeavesWorkersToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Workers: 4})
		for i := range 100 {
			m.Add(fmt.Sprint("rejected ", i), slowVault(&fake{login: fails(pbx.ErrInvalidCredentials, true), traits: onHost(fmt.Sprint("rejected", i, ".test"))}))
		}
		time.Sleep(10 * time.Minute) // each of them asks it about once a minute, in vain
		for i := range 20 {
			s, err := m.Add(fmt.Sprint(i), &fake{life: time.Hour, traits: onHost("pbx.test")})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			mustToken(t, s)
			if waited := time.Since(start); waited > time.Second {
				t.Errorf("a login waited for %s", waited)
			}
			time.Sleep(17 * time.Second)
		}
		m.Close(context.Background())
	})
}

// A PBX that is off and sends nothing holds a worker for as long as a request may
// take. Many such PBXs must cost the other sessions neither tokens nor time.
func TestPBXsThatDoNotRespondLeaveWorkersToTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Workers: 4, LoginRate: 10_000})
		fakes, sessions := fleet(t, m, 300, func(f *fake) { f.takes = 100 * time.Millisecond })
		time.Sleep(time.Minute)
		for _, f := range fakes[:200] {
			f.set(func() {
				f.login = func(ctx context.Context) (*pbx.Token, error) {
					<-ctx.Done()
					return nil, &pbx.Error{Kind: pbx.ErrUnavailable, Err: ctx.Err()}
				}
				f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
					return nil, &pbx.Error{Kind: pbx.ErrTokenRejected, Sent: true}
				}
			})
		}
		minutes := 4 * 60
		if session.RaceDetector {
			minutes = 60
		}
		for range minutes {
			time.Sleep(time.Minute)
			for i, s := range sessions[200:] {
				if _, err := s.Token(expired); err != nil {
					t.Fatalf("healthy session %d has no token: %v", i, err)
				}
			}
		}
		for _, s := range sessions[200:] {
			s.Invalidate(mustToken(t, s))
			start := time.Now()
			mustToken(t, s)
			if waited := time.Since(start); waited > time.Second {
				t.Errorf("a new token took %s", waited)
			}
			time.Sleep(10 * time.Second)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		m.Close(ctx)
	})
}

func TestRenewalsDoNotStandBehindTheStartOfAFleet(t *testing.T) {
	for name, kind := range map[string]pbx.KeepAliveKind{"keep-alives": pbx.KeepAliveHeartbeat, "logins ahead": pbx.KeepAliveNone} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 1})
				defer m.Close(context.Background())
				s, err := m.Add("steady", &fake{life: 20 * time.Second, traits: pbx.Traits{KeepAlive: kind}})
				if err != nil {
					t.Fatal(err)
				}
				mustToken(t, s)
				fleet(t, m, 300, nil)
				for range 600 {
					time.Sleep(100 * time.Millisecond)
					if _, err := s.Token(expired); err != nil {
						t.Fatalf("Token: %v", err)
					}
				}
			})
		})
	}
	t.Run("refreshes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 1})
			defer m.Close(context.Background())
			f := refreshing(nil)
			f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) { return f.dated("refreshed"), nil }
			s, err := m.Add("steady", f)
			if err != nil {
				t.Fatal(err)
			}
			token := mustToken(t, s)
			fleet(t, m, 300, nil)
			time.Sleep(10 * time.Second)
			s.Invalidate(token)
			synctest.Wait()
			wantState(t, s, session.Live)
			wantCounts(t, f, 1, 1, 0)
		})
	})
}

func TestAFleetThatLosesItsTokensLogsInAtTheSetRateToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 10})
		defer m.Close(context.Background())
		_, sessions := fleet(t, m, 100, func(f *fake) { f.life = 24 * time.Hour })
		time.Sleep(time.Minute)
		for _, s := range sessions {
			s.Invalidate(mustToken(t, s))
		}
		synctest.Wait()
		if stats := m.Stats(); stats.Live > 11 || stats.Connecting != 100-stats.Live {
			t.Errorf("at once: %+v", stats)
		}
		time.Sleep(10 * time.Second)
		if stats := m.Stats(); stats.Live != 100 {
			t.Errorf("ten seconds later: %+v", stats)
		}
	})
}

func TestASessionThatWaitsForItsPlaceInTheFleetsLoginsIsConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 1})
		defer m.Close(context.Background())
		fleet(t, m, 100, func(f *fake) { f.login = fails(pbx.ErrUnavailable, false) })
		time.Sleep(time.Minute)
		if stats := m.Stats(); stats.Unavailable > 5 || stats.Connecting < 95 {
			t.Errorf("stats %+v", stats)
		}
	})
}
