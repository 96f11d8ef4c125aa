package session_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// A refresh that ends after its driver was replaced, or its session closed, brings a
// token that nobody has: it is logged out.
func TestATokenOfALateRefreshIsLoggedOut(t *testing.T) {
	for _, way := range []string{"Replace", "Close"} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := session.NewManager(&session.Options{Guard: &session.Guard{}})
				defer m.Close(context.Background())
				p := &walkPBX{host: "pbx.test", kind: pbx.KeepAliveRefresh, life: 10 * time.Minute, tokens: map[string]*walkToken{}, changed: make(chan struct{})}
				d := &lateRefresh{walkDriver: &walkDriver{pbx: p, account: "sales", right: true}}
				s := mustAdd(t, m, "7", d)
				mustToken(t, s)
				for d.underWay.Load() == 0 {
					time.Sleep(time.Second)
				}
				if way == "Close" {
					time.Sleep(5 * time.Minute) // the token has expired, so that Close has none
					for d.underWay.Load() == 0 {
						time.Sleep(10 * time.Millisecond)
					}
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
					defer cancel()
					s.Close(ctx)
				} else if err := m.Replace(t.Context(), "7", &fake{traits: onHost("other.test")}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				p.mu.Lock()
				defer p.mu.Unlock()
				for value := range p.tokens {
					t.Errorf("the PBX still has token %s", value)
				}
			})
		})
	}
}

// lateRefresh is a driver whose refreshes succeed at the end of their context.
type lateRefresh struct {
	*walkDriver
	underWay atomic.Int32
}

func (d *lateRefresh) KeepAlive(ctx context.Context, old *pbx.Token) (*pbx.Token, error) {
	d.underWay.Add(1)
	defer d.underWay.Add(-1)
	t, err := d.walkDriver.KeepAlive(context.Background(), old)
	<-ctx.Done()
	return t, err
}

// A context that ends before the store had its time says nothing about the store.
func TestARemoveWithoutTimeIsNoFailureOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		m := session.NewManager(&session.Options{Store: share(t, faults.Process("one"), "one")})
		defer m.Close(context.Background())
		names := []string{"1", "2", "3", "4"}
		for _, name := range names {
			mustToken(t, mustAdd(t, m, name, accountAt(name, nil)))
		}
		time.Sleep(time.Minute)
		faults.Intercept(func(store.Op) store.Fault { return store.Fault{Delay: 200 * time.Millisecond} })
		for _, name := range names {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			m.Remove(ctx, name)
			cancel()
		}
		if stats := m.Stats().Store; stats.Errors > 0 || !stats.AwaySince.IsZero() {
			t.Errorf("the store is said to fail: %+v", stats)
		}
		start := time.Now()
		mustToken(t, mustAdd(t, m, "5", accountAt("5", nil)))
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("the next login took %s", took)
		}
	})
}

// A login that asks while its session is closed leaves no check behind that nobody
// makes.
func TestASessionThatLeavesWhileItAsksLeavesNoCheckBehind(t *testing.T) {
	for after := 100 * time.Millisecond; after < 8*time.Second; after += 300 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			slow := &lagging{Memory: &store.Memory{}}
			guard, err := session.NewGuard(slow)
			if err != nil {
				t.Fatal(err)
			}
			doubtful, end := on(guard, &fake{traits: onHost("pbx.test"), down: true, login: fails(pbx.ErrUnavailable, true)})
			defer end()
			time.Sleep(10 * time.Second)
			wantState(t, doubtful, session.Unavailable)
			end()
			slow.lags(true)
			first := session.New(&fake{traits: onHost("pbx.test")}, &session.Options{Guard: guard})
			time.Sleep(after)
			first.Close(t.Context())
			slow.lags(false)
			second, end := on(guard, &fake{traits: onHost("pbx.test")})
			defer end()
			time.Sleep(3 * time.Minute)
			if status := second.Status(); status.State != session.Live {
				t.Errorf("after %s: %s; %+v", after, status, guard.Hosts())
			}
		})
	}
}

// A Remove and a Retry that go on obey the context of Manager.Close too.
func TestWhatWaitsForTheStoreEndsWithItsManager(t *testing.T) {
	for _, way := range []string{"Remove", "Remove with a slow logout", "Retry"} {
		synctest.Test(t, func(t *testing.T) {
			s := &lagging{Memory: &store.Memory{}}
			m := session.NewManager(&session.Options{Store: slowShared(t, s)})
			driver := accountAt("sales", nil)
			switch way {
			case "Remove with a slow logout":
				driver.logout = func(ctx context.Context, _ *pbx.Token) error { <-ctx.Done(); return ctx.Err() }
			case "Retry":
				driver = accountAt("sales", told(pbx.OpLogin, pbx.ErrInvalidCredentials, true))
			}
			added := mustAdd(t, m, "7", driver)
			time.Sleep(time.Minute)
			s.lags(true)
			go func() {
				if way == "Retry" {
					added.Retry(context.Background())
				} else {
					m.Remove(context.Background(), "7")
				}
			}()
			time.Sleep(500 * time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			m.Close(ctx)
			s.wantAtRest(t, way)
		})
	}
}

// A Shared that NewShared did not make is an error like other options that cannot be.
func TestASharedOfItsZeroValueIsRefused(t *testing.T) {
	m := session.NewManager(&session.Options{Store: &session.Shared{}})
	defer m.Close(context.Background())
	if _, err := m.Add("7", &fake{}); err == nil {
		t.Error("it was taken")
	}
}

// A refusal that comes when the Close of one Manager has no time left is known to
// another one with the same store.
func TestARefusalAfterTheEndOfOneManagerIsKnownToAnother(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			shared := share(t, &store.Memory{}, "one")
			one := session.NewManager(&session.Options{Store: shared})
			two := session.NewManager(&session.Options{Store: shared})
			defer two.Close(context.Background())
			wrong := accountAt("sales", nil)
			wrong.login = func(ctx context.Context) (*pbx.Token, error) {
				<-ctx.Done()
				return nil, told(pbx.OpLogin, pbx.ErrInvalidCredentials, true)
			}
			mustAdd(t, one, "7", wrong)
			time.Sleep(time.Second)
			one.Close(expired)
			again := mustAdd(t, two, "8", wrong)
			time.Sleep(time.Minute)
			wantState(t, again, session.Rejected)
			wantCounts(t, wrong.fake, 1, 0, 0)
		})
	}
}

// A session that is closed while it is added has one end.
func TestASessionThatIsClosedWhileItIsAddedIsYieldedAsClosedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		ends := 0
		go func() {
			for _, status := range m.Watch(t.Context()) {
				if status.State == session.Closed {
					ends++
				}
			}
		}()
		synctest.Wait()
		m.AddWhile("7", &fake{}, func() {
			m.Remove(t.Context(), "7")
			synctest.Wait()
		})
		m.Close(t.Context())
		synctest.Wait()
		if ends != 1 {
			t.Errorf("it was yielded as closed %d times", ends)
		}
	})
}

// Drivers that ignore their contexts are waited for together, and not one after the other.
func TestAManagerHurriesEverythingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		stubborn := func(context.Context, *pbx.Token) error { time.Sleep(10 * time.Second); return nil }
		mustToken(t, mustAdd(t, m, "7", &fake{logout: stubborn}))
		mustToken(t, mustAdd(t, m, "8", &fake{logout: stubborn}))
		if err := m.Replace(t.Context(), "8", &fake{}); err != nil { // its old token is logged out in the background
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		m.Close(ctx)
		if took := time.Since(start); took > 1200*time.Millisecond {
			t.Errorf("Close took %s", took)
		}
		time.Sleep(time.Minute)
	})
}

// A login that is not waited for may bring a token that nobody logs out.
func TestACloseWithoutTimeForALoginSaysSo(t *testing.T) {
	for way, end := range map[string]func(context.Context, *session.Manager, *session.Session) error{
		"Session.Close": func(ctx context.Context, _ *session.Manager, s *session.Session) error { return s.Close(ctx) },
		"Manager.Close": func(ctx context.Context, m *session.Manager, _ *session.Session) error { return m.Close(ctx) },
	} {
		synctest.Test(t, func(t *testing.T) {
			m := session.NewManager(&session.Options{Guard: &session.Guard{}})
			defer m.Close(context.Background())
			s := mustAdd(t, m, "7", accountAt("sales", nil))
			time.Sleep(500 * time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			err := end(ctx, m, s)
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, pbx.ErrUnavailable) || !strings.Contains(err.Error(), "no time to wait for the login") {
				t.Errorf("%s returned %v", way, err)
			}
		})
	}
}
