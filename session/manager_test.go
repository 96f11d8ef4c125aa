package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/internal/thorough"
	"github.com/pbxauth/pbx/session"
	"github.com/rs/zerolog"
)

func TestAManagerKeepsManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		var fakes []*fake
		for i := range 100 {
			f := &fake{life: 30 * time.Minute}
			fakes = append(fakes, f)
			if _, err := m.Add(fmt.Sprint(i), f); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Hour)
		for i, f := range fakes {
			s, ok := m.Session(fmt.Sprint(i))
			if !ok {
				t.Fatalf("session %d is not found", i)
			}
			mustToken(t, s)
			if logins, beats, _ := f.counts(); logins != 1 || beats < 25 || beats > 33 {
				t.Fatalf("%d logins and %d keep-alives in ten hours", logins, beats)
			}
		}
		if err := m.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, f := range fakes {
			wantCounts(t, f, 1, f.beats, 1)
		}
		if _, ok := m.Session("0"); ok {
			t.Fatal("a closed session is still found")
		}
		_, err := m.Add("late", &fake{})
		wantKind(t, err, session.ErrClosed)
	})
}

func TestNoMoreCallsThanWorkersAreUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Workers: 4})
		defer m.Close(context.Background())
		f := &fake{life: time.Hour, takes: time.Second}
		for i := range 40 {
			if _, err := m.Add(fmt.Sprint(i), f); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		for i := range 40 {
			s, _ := m.Session(fmt.Sprint(i))
			mustToken(t, s)
		}
		if took := time.Since(start); took != 10*time.Second || f.together != 4 {
			t.Fatalf("%d at once, in %s", f.together, took)
		}
	})
}

func TestANameIsTakenOnlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		s, err := m.Add("crm-7", &fake{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Add("crm-7", &fake{}); err == nil || !strings.Contains(err.Error(), `"crm-7" is taken`) {
			t.Fatalf("error is %v", err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Add("crm-7", &fake{}); err != nil {
			t.Fatalf("the name of a closed session is not free: %v", err)
		}
	})
}

func TestCloseReportsWhoCouldNotBeLoggedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		bad := &fake{life: time.Hour, logout: func(context.Context, *pbx.Token) error {
			return &pbx.Error{Driver: "fake", Op: pbx.OpLogout, Kind: pbx.ErrUnavailable}
		}}
		for name, f := range map[string]*fake{"good": {life: time.Hour}, "bad": bad} {
			s, err := m.Add(name, f)
			if err != nil {
				t.Fatal(err)
			}
			mustToken(t, s)
		}
		err := m.Close(t.Context())
		if !errors.Is(err, pbx.ErrUnavailable) || err.Error() != "session bad: fake: logout: unavailable" {
			t.Fatalf("error is %v", err)
		}
	})
}

func TestOneLogLinePerChangeOfStateAndNoneForTheRoutine(t *testing.T) {
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Logger: zerolog.New(&log).Level(zerolog.InfoLevel)})
		f := &fake{life: 30 * time.Minute, traits: onHost("pbx.test")}
		s, err := m.Add("crm-7", f)
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, s)
		time.Sleep(10 * time.Hour) // some thirty keep-alives
		refuse := fails(pbx.ErrInvalidCredentials, true)
		f.set(func() {
			f.login = func(ctx context.Context) (*pbx.Token, error) {
				time.Sleep(time.Second) // lines of one moment have no order
				return refuse(ctx)
			}
		})
		s.Invalidate(mustToken(t, s))
		s.Token(t.Context())
		time.Sleep(time.Second)
		m.Close(t.Context())
	})
	var got []string
	for line := range strings.Lines(log.String()) {
		var fields struct{ Level, Session, PBX, From, State, Error string }
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		if fields.Session != "crm-7" || fields.PBX != "https://pbx.test" {
			t.Errorf("line %s", line)
		}
		got = append(got, fields.Level+" "+fields.From+" "+fields.State+" "+fields.Error)
	}
	want := []string{
		"info connecting live ",
		"info live connecting ",
		"warn connecting rejected fake: login: invalid credentials: as told",
		"info rejected closed ",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("lines\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Otherwise the first to hear of it would be a goroutine that gets no token.
func TestARenewalThatBeginsToFailIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Logger: zerolog.New(&logged).Level(zerolog.WarnLevel)})
		defer m.Close(context.Background())
		f := &fake{life: 30 * time.Minute, traits: onHost("pbx.test")}
		s, err := m.Add("7", f)
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, s)
		told := 0
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for _, status := range m.Watch(ctx) {
				if status.State == session.Renewing && status.Err != nil { // once, or twice if it is looked at in between
					told++
				}
			}
		}()
		f.set(func() {
			f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
				return nil, &pbx.Error{Op: pbx.OpKeepAlive, Kind: pbx.ErrUnavailable, Sent: true}
			}
		})
		time.Sleep(time.Until(s.Status().ExpiresAt) - time.Minute)
		cancel()
		synctest.Wait()
		mustToken(t, s)
		if _, beats, _ := f.counts(); beats < 3 || told < 1 || told > 2 || strings.Count(logged.String(), "\n") != 1 {
			t.Errorf("%d keep-alives failed, the watcher was told %d times, logged:\n%s", beats, told, logged.String())
		}
	})
}

func TestTheDefaultsAreThoseOfTheirDescription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		together := &fake{takes: 2 * time.Second}
		toOne := &fake{takes: 2 * time.Second, traits: pbx.Traits{URL: "https://pbx.test", Lockout: pbx.Lockout{Attempts: 100}}}
		for i := range 10 {
			m.Add(fmt.Sprint("to one ", i), toOne)
		}
		for i := range 190 {
			m.Add(fmt.Sprint(i), together)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if toOne.together != 4 {
			t.Errorf("%d calls at once to one host", toOne.together)
		}
		if together.together != 64 {
			t.Errorf("%d calls at once", together.together)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		fleet(t, m, 300, nil)
		synctest.Wait()
		for range 2 {
			before := m.Stats().Live
			time.Sleep(time.Second)
			synctest.Wait()
			if n := m.Stats().Live - before; before < 100 || before > 201 || n > 100 || n < 98 {
				t.Errorf("%d logins at once or before, %d in a second", before, n)
			}
		}
	})
}

func TestOptionsOfOneAreHeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for i, opts := range []session.Options{{Workers: 1}, {PerHost: 1}, {LoginRate: 1}} {
			opts.Guard = &session.Guard{}
			m := session.NewManager(&opts)
			f := &fake{traits: pbx.Traits{URL: "https://pbx.test", Lockout: pbx.Lockout{Attempts: 100}}}
			f.login = func(context.Context) (*pbx.Token, error) { time.Sleep(time.Second); return f.token(), nil }
			for j := range 10 {
				m.Add(fmt.Sprint(j), f)
			}
			time.Sleep(5500 * time.Millisecond)
			if logins, _, _ := f.counts(); logins != []int{6, 6, 7}[i] {
				t.Errorf("%+v: %d logins in five seconds", opts, logins)
			}
			m.Close(t.Context())
		}
	})
}

func TestAManagerForgetsSessionsThatHaveEnded(t *testing.T) {
	m := session.NewManager(&session.Options{Guard: &session.Guard{}})
	defer m.Close(context.Background())
	_, sessions := fleet(t, m, 10, nil)
	var ended []weak.Pointer[session.Session]
	for i, s := range sessions {
		mustToken(t, s)
		if i > 0 {
			s.Close(t.Context())
			ended = append(ended, weak.Make(s))
		}
	}
	clear(sessions)
	left := len(ended)
	for range 100 { // a worker may be just on its way out
		runtime.GC()
		left = 0
		for _, s := range ended {
			if s.Value() != nil {
				left++
			}
		}
		if left == 0 {
			break
		}
		runtime.Gosched()
	}
	if left > 0 {
		t.Errorf("%d of %d sessions are still in memory", left, len(ended))
	}
}

func TestAClosedManagerStillResponds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(nil)
		m.Close(t.Context())
		for range 2 {
			_, err := m.Add("late", &fake{})
			wantKind(t, err, session.ErrClosed)
			wantKind(t, m.Replace(t.Context(), "late", &fake{}), session.ErrClosed)
		}
		if _, ok := m.Session("late"); ok {
			t.Error("a session was added")
		}
		if err := m.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestAClosingManagerLogsOutNoMoreAtOnceThanItHasWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Workers: 5})
		f := &fake{}
		for i := range 30 {
			m.Add(fmt.Sprint(i), f)
		}
		synctest.Wait()
		f.set(func() { f.takes = time.Second })
		m.Close(t.Context())
		if f.together != 5 || f.logouts != 30 {
			t.Errorf("%d logouts, %d at once", f.logouts, f.together)
		}
	})
}

func TestAReportOfTheNextInTheQueueLeadsToOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{life: time.Hour}
		s := session.New(f, &session.Options{Guard: &session.Guard{}, Workers: 1})
		defer s.Close(context.Background())
		token := mustToken(t, s)
		f.set(func() { f.life = 0; f.takes = time.Second })
		s.Invalidate(token)
		mustToken(t, s)
		time.Sleep(time.Minute)
		f.set(func() { f.takes = 0 })
		wantCounts(t, f, 2, 0, 0)
	})
}

func TestAReportIsHeededAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		_, sessions := fleet(t, m, 3, nil)
		for _, s := range sessions {
			token := mustToken(t, s)
			time.Sleep(2 * time.Second)
			start := time.Now()
			s.Invalidate(token)
			mustToken(t, s)
			if took := time.Since(start); took != 0 {
				t.Errorf("another token took %s", took)
			}
		}
	})
}

func TestAClosedSessionIsPlannedForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		_, sessions := fleet(t, m, 3, nil)
		synctest.Wait()
		for _, s := range sessions {
			s.Close(t.Context())
			if next := s.Status().Next; !next.IsZero() {
				t.Errorf("next attempt at %s", next)
			}
		}
	})
}

// suspending makes a Manager whose wall clock jump sets ahead.
func suspending() (m *session.Manager, jump func(time.Duration)) {
	var ahead atomic.Int64
	m = session.NewManagerWithWall(&session.Options{Guard: &session.Guard{}, LoginRate: 1000},
		func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	return m, func(d time.Duration) { ahead.Add(int64(d)) }
}

func TestAShortSuspensionAfterALongTimeIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, jump := suspending()
		defer m.Close(context.Background())
		fleet(t, m, 20, func(f *fake) { f.life = 30 * 24 * time.Hour })
		time.Sleep(10 * time.Hour)
		before := m.Stats().KeepAlives
		jump(5 * time.Minute)
		time.Sleep(3 * time.Minute)
		if n := m.Stats().KeepAlives - before; n < 19 {
			t.Errorf("%d of 20 were renewed", n)
		}
	})
}

func TestASuspensionLeavesAloneWhatIsNotLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, jump := suspending()
		defer m.Close(context.Background())
		pause := &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Kind: pbx.ErrUnavailable, HTTPStatus: 503, RetryAfter: 24 * time.Hour, Sent: true}
		kinds := []func(f *fake){
			func(f *fake) { f.login = func(context.Context) (*pbx.Token, error) { return nil, pause } },            // unavailable
			func(f *fake) { f.login = fails(pbx.ErrInvalidCredentials, true) },                                     // rejected
			func(f *fake) { f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) { return nil, pause } }, // renewing
			func(f *fake) { f.life = 0 }, // without an end
		}
		i := 0
		fakes, _ := fleet(t, m, len(kinds), func(f *fake) { f.life = 24 * time.Hour; kinds[i](f); i++ })
		time.Sleep(17 * time.Hour)
		jump(10 * time.Hour)
		before := make([]int, len(kinds))
		for i, f := range fakes {
			logins, beats, _ := f.counts()
			before[i] = logins + beats
		}
		time.Sleep(2 * time.Minute)
		for i, f := range fakes {
			if logins, beats, _ := f.counts(); logins+beats != before[i] {
				t.Errorf("session %d: %d calls", i, logins+beats-before[i])
			}
		}
	})
}

func TestASuspensionPutsNoRenewalOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, jump := suspending()
		defer m.Close(context.Background())
		fakes, sessions := fleet(t, m, 200, func(f *fake) { f.life = 90 * time.Second })
		time.Sleep(10 * time.Minute)
		beats := func(i int) int { _, n, _ := fakes[i].counts(); return n }
		for range 100 {
			synctest.Wait()
			done, next := make([]int, len(fakes)), make([]time.Time, len(fakes))
			for i, s := range sessions {
				done[i], next[i] = beats(i), s.Status().Next
			}
			jump(10 * time.Hour)
			time.Sleep(time.Second)
			synctest.Wait()
			for i, s := range sessions {
				if off := s.Status().Next.Sub(next[i]); off > 0 && beats(i) == done[i] {
					t.Fatalf("a renewal was put off by %s", off)
				}
			}
		}
	})
}

func TestASlowWatcherSeesASessionOnceForSeveralChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		_, sessions := fleet(t, m, 1, func(f *fake) { f.life = 24 * time.Hour })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		seen := 0
		go func() {
			for range m.Watch(ctx) {
				seen++
				time.Sleep(time.Minute)
			}
		}()
		time.Sleep(time.Second)
		for range 3 {
			sessions[0].Invalidate(mustToken(t, sessions[0]))
			mustToken(t, sessions[0])
		}
		time.Sleep(10 * time.Minute)
		cancel()
		synctest.Wait()
		if seen != 2 {
			t.Errorf("it was seen %d times", seen)
		}
		m.Close(context.Background())
	})
}

func TestAWatchEndsWithItsContextAndLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		fleet(t, m, 5, nil)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		seen := 0
		for range m.Watch(ctx) {
			seen++
			cancel()
		}
		for range m.Watch(t.Context()) {
			seen++
			break
		}
		if seen != 2 {
			t.Errorf("%d sessions were seen", seen)
		}
		if n := reflect.ValueOf(m).Elem().FieldByName("watchers").FieldByName("all").Len(); n != 0 {
			t.Errorf("%d watchers are left", n)
		}
	})
}

func TestStatsCountTheStatesAndTheFailures(t *testing.T) {
	if n := (session.Stats{Connecting: 1, Live: 10, Renewing: 100, Rejected: 1000, Locked: 10_000, Unavailable: 100_000}).Sessions(); n != 111_111 {
		t.Errorf("%d sessions", n)
	}
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		i := 0
		fleet(t, m, 3, func(f *fake) {
			if i++; i == 1 {
				f.login = func(ctx context.Context) (*pbx.Token, error) { <-ctx.Done(); return nil, ctx.Err() }
			}
			if i == 2 {
				f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
					return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, true)
				}
			}
		})
		synctest.Wait()
		if got, want := totals(m.Stats()), (session.Stats{Connecting: 1, Live: 2, Logins: 2}); !cmp.Equal(got, want) {
			t.Errorf("at first: %+v, want %+v", got, want)
		}
		time.Sleep(22 * time.Minute)
		got := m.Stats()
		if got.Connecting+got.Unavailable+got.Locked != 1 || got.Live != 1 || got.Renewing != 1 || got.FailedKeepAlives == 0 || got.KeepAlives == got.FailedKeepAlives {
			t.Errorf("later: %+v", got)
		}
	})
}

func TestASessionClosedBeforeItBeganStaysClosed(t *testing.T) {
	rounds := 1_000 // to meet the moment between its name and its beginning
	if thorough.Tests() {
		rounds = 5_000
	}
	for range rounds {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		added := make(chan *session.Session)
		go func() {
			s, _ := m.Add("7", &fake{life: time.Hour})
			added <- s
		}()
		for _, there := m.Session("7"); !there; _, there = m.Session("7") { // at once
		}
		m.Close(context.Background())
		if _, err := (<-added).Token(context.Background()); !errors.Is(err, session.ErrClosed) {
			t.Fatalf("Token of a closed session: %v", err)
		}
		if n := m.Stats().Sessions(); n != 0 {
			t.Fatalf("%d sessions are left", n)
		}
	}
}

// An Authenticator that a Manager did not take leaves nothing behind.
func TestWhatIsNotAddedIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		m := session.NewManager(&session.Options{Guard: guard})
		add := func(host string) error {
			_, err := m.Add("7", &fake{traits: onHost(host), life: time.Hour})
			return err
		}
		if err := add("a.test"); err != nil {
			t.Fatal(err)
		}
		if err := add("b.test"); err == nil {
			t.Error("the same name was added twice")
		}
		if all := guard.Hosts(); len(all) != 1 || all[0].Host != "a.test" {
			t.Errorf("the Guard knows %+v, want a.test", all)
		}
		m.Close(t.Context())
		if err := add("c.test"); !errors.Is(err, session.ErrClosed) {
			t.Errorf("%v, want %v", err, session.ErrClosed)
		}
		for _, h := range guard.Hosts() {
			if h.Host != "a.test" { // where credentials have worked
				t.Errorf("the Guard knows %s", h.Host)
			}
		}
	})
}

func TestASessionNeedsANameAndADriver(t *testing.T) {
	m := session.NewManager(&session.Options{Guard: &session.Guard{}})
	defer m.Close(t.Context())
	for name, auth := range map[string]pbx.Authenticator{"": &fake{}, "office": nil} {
		if s, err := m.Add(name, auth); err == nil || s != nil {
			t.Errorf("Add(%q, %v): %v, %v", name, auth, s, err)
		}
	}
	if all := maps.Collect(m.All()); len(all) != 0 {
		t.Errorf("%d sessions", len(all))
	}
}

// stuckWriter is a log that takes nothing until it is let go.
type stuckWriter chan struct{}

func (w stuckWriter) Write(p []byte) (int, error) {
	<-w
	return len(p), nil
}

func TestALogWriterThatBlocksHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := make(stuckWriter)
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Logger: zerolog.New(log).Level(zerolog.TraceLevel)})
		_, sessions := fleet(t, m, 20, nil)
		for _, s := range sessions {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			token, err := s.Token(ctx)
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			s.Invalidate(token)
			ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
			if _, err := s.Token(ctx); err != nil {
				t.Error(err)
			}
			cancel()
		}
		close(log)
		m.Close(context.Background())
	})
}

func TestAWatchEndsWithItsManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		fleet(t, m, 3, nil)
		ended := make(chan struct{})
		go func() {
			for range m.Watch(context.Background()) {
			}
			close(ended)
		}()
		time.Sleep(time.Minute)
		m.Close(context.Background())
		synctest.Wait()
		select {
		case <-ended:
		default:
			t.Error("it goes on")
		}
	})
}

func TestALossOfTheTokenIsLoggedWithItsReason(t *testing.T) {
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		f := &fake{life: 30 * time.Minute}
		s := session.New(f, &session.Options{Guard: &session.Guard{}, Logger: zerolog.New(&log)})
		defer s.Close(context.Background())
		s.Invalidate(mustToken(t, s))
		mustToken(t, s)
	})
	found := false
	for line := range strings.Lines(log.String()) {
		var fields struct{ From, State, Reason string }
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		if fields.From == "live" && fields.State == "connecting" {
			if found = true; fields.Reason == "" {
				t.Errorf("no reason: %s", line)
			}
		}
	}
	if !found {
		t.Errorf("no such line:\n%s", log.String())
	}
}
