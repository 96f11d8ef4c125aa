package session_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// lagging is a store whose operations take a while, or until their context ends. It
// counts them.
type lagging struct {
	*store.Memory
	delay    atomic.Int64 // nanoseconds
	underWay atomic.Int32
	begun    atomic.Int32
}

// lags has each operation take two seconds from now on, or no time.
func (s *lagging) lags(does bool) {
	s.delay.Store(0)
	if does {
		s.delay.Store(int64(2 * time.Second))
	}
}

func (s *lagging) wait(ctx context.Context) error {
	s.begun.Add(1)
	s.underWay.Add(1)
	defer s.underWay.Add(-1)
	if delay := time.Duration(s.delay.Load()); delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// wantAtRest fails the test if an operation is under way, or begins within a minute.
func (s *lagging) wantAtRest(t *testing.T, when string) {
	t.Helper()
	synctest.Wait()
	begun := s.begun.Load()
	if n := s.underWay.Load(); n > 0 {
		t.Errorf("%s: %d operations of the store are under way", when, n)
	}
	time.Sleep(time.Minute)
	if s.begun.Load() != begun {
		t.Errorf("%s: operations of the store after the end", when)
	}
}

func (s *lagging) Load(ctx context.Context, key string) (store.Entry, error) {
	if err := s.wait(ctx); err != nil {
		return store.Entry{}, err
	}
	return s.Memory.Load(ctx, key)
}

func (s *lagging) Swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (store.Entry, bool, error) {
	if err := s.wait(ctx); err != nil {
		return store.Entry{}, false, err
	}
	return s.Memory.Swap(ctx, key, rev, value, keep)
}

// slowShared makes the Shared of a process whose store may take 2.5 s.
func slowShared(t *testing.T, s store.Store) *session.Shared {
	t.Helper()
	shared, err := session.NewShared(session.SharedSettings{Store: s, Keys: [][]byte{sealKey}, Timeout: 2500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return shared
}

// accountAt is a driver for one of several accounts at a host, whose login takes a
// second.
func accountAt(name string, outcome error) *printed {
	f := &fake{life: time.Hour, traits: onHost("pbx.test")}
	f.traits.Account = name
	f.login = func(ctx context.Context) (*pbx.Token, error) {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if outcome != nil {
			return nil, outcome
		}
		return f.token(), nil
	}
	return &printed{fake: f, print: name + ":right"}
}

// Each way to close obeys its context at every moment of a login, though the store
// is slow: from the start, or since the login was sent.
func TestACloseObeysItsContextWhileTheStoreIsSlow(t *testing.T) {
	const short = 100 * time.Millisecond
	ways := map[string]func(context.Context, *session.Manager, *session.Session) error{
		"Session.Close": func(ctx context.Context, _ *session.Manager, s *session.Session) error { return s.Close(ctx) },
		"Manager.Remove": func(ctx context.Context, m *session.Manager, s *session.Session) error {
			return m.Remove(ctx, s.Name())
		},
		"Manager.Close": func(ctx context.Context, m *session.Manager, _ *session.Session) error { return m.Close(ctx) },
	}
	for way, end := range ways {
		for _, sinceLogin := range []bool{false, true} {
			for _, sessions := range []int{1, 4} {
				t.Run(fmt.Sprintf("%s, since the login: %v, %d sessions", way, sinceLogin, sessions), func(t *testing.T) {
					for after := 50 * time.Millisecond; after < 16*time.Second; after += 450 * time.Millisecond {
						synctest.Test(t, func(t *testing.T) {
							s := &lagging{Memory: &store.Memory{}}
							s.lags(!sinceLogin)
							m := session.NewManager(&session.Options{Store: slowShared(t, s)})
							defer m.Close(context.Background())
							var first *session.Session
							for i := range sessions {
								added := mustAdd(t, m, fmt.Sprint(i), accountAt(fmt.Sprint("account-", i), nil))
								if first == nil {
									first = added
								}
							}
							synctest.Wait()
							s.lags(true)
							time.Sleep(after)
							ctx, cancel := context.WithTimeout(t.Context(), short)
							defer cancel()
							start := time.Now()
							err := end(ctx, m, first)
							if took := time.Since(start); took > short {
								t.Errorf("after %s: it took %s, and returned %v", after, took, err)
							}
							if way != "Manager.Close" {
								return
							}
							s.wantAtRest(t, "after "+after.String())
						})
					}
				})
			}
		}
	}
}

// A Guard in a store is one that a session without a Manager may have.
func TestACloseObeysItsContextWhileTheStoreOfTheGuardIsSlow(t *testing.T) {
	const short = 100 * time.Millisecond
	for after := 50 * time.Millisecond; after < 9*time.Second; after += 450 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			slow := &lagging{Memory: &store.Memory{}}
			slow.lags(true)
			guard, err := session.NewGuard(slow)
			if err != nil {
				t.Fatal(err)
			}
			s := session.New(accountAt("sales", nil), &session.Options{Guard: guard})
			time.Sleep(after)
			ctx, cancel := context.WithTimeout(t.Context(), short)
			defer cancel()
			start := time.Now()
			err = s.Close(ctx)
			if took := time.Since(start); took > short || slow.underWay.Load() > 0 {
				t.Errorf("after %s: it took %s, and returned %v; %d operations of the store are under way", after, took, err, slow.underWay.Load())
			}
		})
	}
}

// What a Close cut off is in the store soon, because the Manager goes on: the token
// of the login, and that its password was right.
func TestWhatACloseCutOffIsStoredByTheManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &lagging{Memory: &store.Memory{}}
		m := session.NewManager(&session.Options{Store: slowShared(t, s)})
		defer m.Close(context.Background())
		driver := accountAt("sales", nil)
		first := mustAdd(t, m, "7", driver)
		synctest.Wait()
		s.lags(true)
		time.Sleep(1500 * time.Millisecond) // the settlement is under way
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := first.Close(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		s.lags(false)
		shared := share(t, s, "two")
		other := session.NewManager(&session.Options{Store: shared})
		defer other.Close(context.Background())
		mustToken(t, mustAdd(t, other, "7", driver))
		wantCounts(t, driver.fake, 1, 0, 0)
		mustToken(t, mustAdd(t, other, "8", accountAt("support", nil))) // it has read the ledger
		for _, h := range shared.Guard().Hosts() {
			if len(h.Bookings) > 0 {
				t.Errorf("%s has bookings: %+v", h.Host, h.Bookings)
			}
		}
	})
}

// A refusal is known to the other sessions also if the Close that cut it off did not
// even get its turn at the ledger.
func TestARefusalThatACloseCutOffIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &lagging{Memory: &store.Memory{}}
		shared := slowShared(t, s)
		m := session.NewManager(&session.Options{Store: shared})
		defer m.Close(context.Background())
		wrong := accountAt("sales", told(pbx.OpLogin, pbx.ErrInvalidCredentials, true))
		first := mustAdd(t, m, "wrong", wrong)
		time.Sleep(500 * time.Millisecond)
		s.lags(true)
		go shared.Guard().Forgive(t.Context(), "pbx.test") // has the turn for some seconds
		time.Sleep(600 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		first.Close(ctx)
		time.Sleep(30 * time.Second)
		s.lags(false)
		again := mustAdd(t, m, "again", wrong)
		time.Sleep(time.Minute)
		wantState(t, again, session.Rejected)
		wantCounts(t, wrong.fake, 1, 0, 0)
	})
}

// A login that ends after its session has left the host leaves nothing behind there.
func TestALoginThatEndsAfterItsSessionLeavesNothingBehind(t *testing.T) {
	for _, way := range []string{"Close", "Replace"} {
		synctest.Test(t, func(t *testing.T) {
			guard := &session.Guard{}
			m := session.NewManager(&session.Options{Guard: guard})
			defer m.Close(context.Background())
			f := &fake{life: time.Hour, traits: onHost("old.test")}
			f.login = func(ctx context.Context) (*pbx.Token, error) {
				<-ctx.Done()
				time.Sleep(500 * time.Millisecond)
				return nil, told(pbx.OpLogin, pbx.ErrUnavailable, false)
			}
			s := mustAdd(t, m, "7", f)
			time.Sleep(time.Second)
			if way == "Close" {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				s.Close(ctx)
			} else if err := m.Replace(t.Context(), "7", &fake{life: time.Hour, traits: onHost("new.test")}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			for _, h := range guard.Hosts() {
				if h.Host == "old.test" {
					t.Errorf("%s: the Guard remembers %+v", way, h)
				}
			}
		})
	}
}
