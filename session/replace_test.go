package session_test

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// tokensSeen notes which token came to which host.
type tokensSeen struct {
	mu  sync.Mutex
	all []string
}

func (s *tokensSeen) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, r.URL.Host+" "+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	return answer(r, http.StatusOK, "fine"), nil
}

func gives(f *fake, value string) func(context.Context) (*pbx.Token, error) {
	return func(context.Context) (*pbx.Token, error) { return f.dated(value), nil }
}

func TestARequestThatWaitsDuringAReplaceSendsNoTokenToTheOldPBX(t *testing.T) {
	for name, send := range map[string]func(*session.Session, *tokensSeen) error{
		"a request": func(s *session.Session, seen *tokensSeen) error {
			r, _ := http.NewRequest(http.MethodGet, "https://old.test/call", nil)
			_, err := s.Transport(seen).RoundTrip(r)
			return err
		},
		"a dialer": func(s *session.Session, seen *tokensSeen) error {
			r, _ := http.NewRequest(http.MethodGet, "wss://old.test/events", nil)
			err := s.Authorize(context.Background(), r)
			if token := r.Header.Get("Authorization"); token != "" {
				seen.all = append(seen.all, r.URL.Host+" "+token)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := session.NewManager(&session.Options{Guard: &session.Guard{}})
				defer m.Close(context.Background())
				s := mustAdd(t, m, "7", &fake{traits: onHost("old.test"), login: func(ctx context.Context) (*pbx.Token, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}})
				seen := &tokensSeen{}
				done := make(chan error, 1)
				go func() { done <- send(s, seen) }()
				time.Sleep(time.Second)
				f := &fake{traits: onHost("new.test")}
				f.login = gives(f, "of-the-new-pbx")
				if err := m.Replace(t.Context(), "7", f); err != nil {
					t.Fatal(err)
				}
				err := <-done
				if len(seen.all) > 0 {
					t.Fatalf("sent: %q", seen.all)
				}
				wantKind(t, err, pbx.ErrConfig)
			})
		})
	}
}

func TestARequestIsNotRepeatedAtTheOldPBXAfterAReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		f := &fake{traits: onHost("old.test"), life: time.Hour}
		s := mustAdd(t, m, "7", inspecting{f})
		mustToken(t, s)
		f.set(func() {
			f.login = func(ctx context.Context) (*pbx.Token, error) { <-ctx.Done(); return nil, ctx.Err() }
		})
		g := &gate{good: "of-the-new-pbx"}
		done := make(chan *http.Response, 1)
		go func() {
			r, _ := http.NewRequest(http.MethodGet, "https://old.test/call", nil)
			resp, _ := s.Transport(g).RoundTrip(r)
			done <- resp
		}()
		time.Sleep(time.Second)
		n := &fake{traits: onHost("new.test")}
		n.login = gives(n, "of-the-new-pbx")
		if err := m.Replace(t.Context(), "7", n); err != nil {
			t.Fatal(err)
		}
		<-done
		if len(g.bodies) != 1 {
			t.Fatalf("the old PBX got %d requests", len(g.bodies))
		}
	})
}

// wantCloseSoon closes a Manager whose driver or hook hangs.
func wantCloseSoon(t *testing.T, m *session.Manager) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	start := time.Now()
	m.Close(ctx)
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("Close took %s", took)
	}
}

func TestCloseObeysItsContextWhileAReplacedTokenIsLoggedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		s := mustAdd(t, m, "7", &fake{traits: onHost("old.test"), logout: func(ctx context.Context, _ *pbx.Token) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		mustToken(t, s)
		if err := m.Replace(t.Context(), "7", &fake{traits: onHost("new.test")}); err != nil {
			t.Fatal(err)
		}
		mustToken(t, s)
		wantCloseSoon(t, m)
	})
}

func TestCloseObeysItsContextAfterAnotherProcessRemovedASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, drivers := newShared(2, time.Hour)
		faults := (&store.Memory{}).Faults()
		blocked := make(chan struct{})
		one := session.NewManager(&session.Options{Store: share(t, faults.Process("one"), "one"), OnOp: func(session.OpInfo) { <-blocked }})
		two := shares(t, faults.Process("two"), "two")
		defer two.Close(context.Background())
		defer close(blocked)
		s := mustAdd(t, one, "7", drivers[0])
		mustToken(t, s)
		mustToken(t, mustAdd(t, two, "7", drivers[1]))
		time.Sleep(time.Second)
		if err := two.Remove(t.Context(), "7"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		wantState(t, s, session.Closed)
		wantCloseSoon(t, one)
	})
}

// A login that ends after its driver was replaced.
func TestALateLoginOfAReplacedDriverLogsNoSharedTokenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, drivers := newShared(3, time.Hour)
		f.login = func(context.Context) (*pbx.Token, error) { time.Sleep(time.Second); return f.token(), nil }
		var out []string
		f.logout = func(_ context.Context, t *pbx.Token) error { out = append(out, t.Value.Reveal()); return nil }
		m := shares(t, &store.Memory{}, "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		time.Sleep(500 * time.Millisecond)
		if err := m.Replace(t.Context(), "7", drivers[1]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		got := mustToken(t, s).Value.Reveal()
		for _, o := range out {
			if o == got {
				t.Errorf("the session hands %s out, which it has logged out", got)
			}
		}
	})
}

// watched is a store that is said to be back again.
type watched struct {
	store.Store
	back chan struct{}
}

func (w *watched) Watch(ctx context.Context, changed func(string)) error {
	changed("")
	for {
		select {
		case <-w.back:
			changed("")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestAReplaceDuringALookAtTheStoreLogsInWithTheNewDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow bool
		var mu sync.Mutex
		faults := (&store.Memory{}).Faults()
		faults.Intercept(func(op store.Op) (f store.Fault) {
			mu.Lock()
			defer mu.Unlock()
			if slow && strings.HasPrefix(op.Key, "h/") {
				f.Delay = 1500 * time.Millisecond
			}
			return f
		})
		w := &watched{faults.Process("one"), make(chan struct{})}
		m := session.NewManager(&session.Options{Store: share(t, w, "one"), Workers: 1})
		defer m.Close(context.Background())
		old := &fake{traits: onHost("old.test"), life: time.Hour}
		old.login = gives(old, "of-the-old-pbx")
		s := mustAdd(t, m, "7", old)
		mustToken(t, s)
		time.Sleep(time.Minute)
		mu.Lock()
		slow = true
		mu.Unlock()
		w.back <- struct{}{}
		time.Sleep(1200 * time.Millisecond) // it looks
		n := &fake{traits: onHost("new.test"), life: time.Hour}
		n.login = gives(n, "of-the-new-pbx")
		if err := m.Replace(t.Context(), "7", n); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := mustToken(t, s).Value.Reveal(); got != "of-the-new-pbx" {
			t.Errorf("at %s the session has %s", s.URL(), got)
		}
		wantCounts(t, old, 1, 0, 0)
	})
}

func TestATokenThatRemoveHasLoggedOutIsNotPutIntoTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, drivers := newShared(2, 10*time.Hour)
		faults := (&store.Memory{}).Faults()
		f.login = func(context.Context) (*pbx.Token, error) { faults.Cut("one"); return f.token(), nil }
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		mustToken(t, s)
		time.Sleep(time.Second)
		if err := m.Remove(t.Context(), "7"); err == nil {
			t.Fatal("Remove reports success without the store")
		}
		f.set(func() { f.login = nil })
		faults.Rejoin("one")
		time.Sleep(time.Minute)
		two := shares(t, faults.Process("two"), "two")
		defer two.Close(context.Background())
		if got := mustToken(t, mustAdd(t, two, "7", drivers[1])).Value.Reveal(); got == "token-1" {
			t.Errorf("the other process has %s, which was logged out", got)
		}
	})
}

func TestAResponseOfTheOldPBXIsNoEvidenceAboutTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		down := func() *fake {
			return &fake{traits: onHost("new.test"), down: true, login: fails(pbx.ErrUnavailable, true)}
		}
		s, other, next := mustAdd(t, m, "7", &fake{traits: onHost("old.test"), life: time.Hour}), down(), down()
		mustToken(t, s)
		mustAdd(t, m, "8", other)
		time.Sleep(5 * time.Second)
		release, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			r, _ := http.NewRequest(http.MethodGet, "https://old.test/call", nil)
			s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
				<-release
				return answer(r, http.StatusOK, "fine"), nil
			})).RoundTrip(r)
		}()
		time.Sleep(time.Second)
		if err := m.Replace(t.Context(), "7", next); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		close(release)
		<-done
		time.Sleep(time.Minute)
		wantCounts(t, other, 1, 0, 0)
		wantCounts(t, next, 0, 0, 0) // the new PBX has not responded to anything
	})
}

// The race detector finds a Close that does not know of the logout.
func TestReplaceDuringCloseLeavesNothingBehind(t *testing.T) {
	tries := 100
	if session.RaceDetector {
		tries = 2000
	}
	for range tries {
		synctest.Test(t, func(t *testing.T) {
			m := session.NewManager(&session.Options{Guard: &session.Guard{}})
			var closed atomic.Bool
			driver := func() *fake {
				return &fake{traits: onHost("pbx.test"), logout: func(context.Context, *pbx.Token) error {
					time.Sleep(time.Second)
					if closed.Load() {
						t.Error("a token is logged out after Close has returned")
					}
					return nil
				}}
			}
			mustToken(t, mustAdd(t, m, "7", driver()))
			var both sync.WaitGroup
			both.Go(func() { m.Replace(context.Background(), "7", driver()) })
			both.Go(func() { m.Close(context.Background()); closed.Store(true) })
			both.Wait()
			time.Sleep(5 * time.Second)
		})
	}
}

func TestRemoveObeysItsContextWhileTheBudgetInTheStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, drivers := newShared(1, 30*time.Minute)
		faults := (&store.Memory{}).Faults()
		faults.Intercept(func(op store.Op) (f store.Fault) {
			if strings.HasPrefix(op.Key, "h/") {
				f.Delay = time.Hour
			}
			return f
		})
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		mustAdd(t, m, "7", drivers[0])
		time.Sleep(time.Second) // the booking of its login hangs
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := m.Remove(ctx, "7")
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("Remove returned %v after %v", err, took)
		}
	})
}

func TestRemoveEndsASessionThatLogsInElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, drivers := newShared(2, 0)
		var mu sync.Mutex
		out := map[string]bool{}
		f.logout = func(_ context.Context, t *pbx.Token) error {
			mu.Lock()
			defer mu.Unlock()
			out[t.Value.Reveal()] = true
			return nil
		}
		p := newPair(t, f, func(i int) pbx.Authenticator { return drivers[i] })
		defer p.close()
		f.set(func() {
			f.login = func(context.Context) (*pbx.Token, error) { time.Sleep(2 * time.Second); return f.token(), nil }
		})
		p.sessions[1].Invalidate(mustToken(t, p.sessions[1]))
		time.Sleep(time.Second) // its login is under way
		if err := p.managers[0].Remove(t.Context(), "7"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		wantState(t, p.sessions[1], session.Closed)
		mu.Lock()
		defer mu.Unlock()
		if !out["token-2"] {
			t.Error("the new token is still logged in")
		}
	})
}

// It holds a password and connections.
func TestAReplacedDriverIsGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		old := &fake{traits: onHost("old.test"), life: time.Hour}
		s, there := mustAdd(t, m, "7", old), weak.Make(old)
		mustToken(t, s)
		old = nil
		if err := m.Replace(t.Context(), "7", &fake{traits: onHost("new.test"), life: time.Hour}); err != nil {
			t.Fatal(err)
		}
		mustToken(t, s)
		time.Sleep(time.Minute)
		runtime.GC()
		runtime.GC()
		if there.Value() != nil {
			t.Error("the session holds on to it")
		}
		runtime.KeepAlive(s)
	})
}
