package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// replicas are processes over one store, each with the same accounts at one PBX, whose
// tokens bear the epoch in which they were issued.
type replicas struct {
	t       *testing.T
	crowds  []*crowd
	epoch   atomic.Int32
	revoked sync.Map // values of tokens
	dead    atomic.Int32
	logins  atomic.Int32
}

func newReplicas(t *testing.T, s store.Store, processes, accounts int, dead pbx.DeadTokens) *replicas {
	x := newShards(t, s, processes, accounts, dead, func(int) int { return 0 })
	if n := x.logins.Load(); n != int32(accounts) {
		t.Fatalf("%d logins of %d accounts", n, accounts)
	}
	x.logins.Store(0)
	return x
}

// newShards makes processes over one store whose accounts begin at an own number.
func newShards(t *testing.T, s store.Store, processes, accounts int, dead pbx.DeadTokens, first func(process int) int) *replicas {
	var managers []*session.Manager
	for p := range processes {
		managers = append(managers, shares(t, s, fmt.Sprint("p", p)))
	}
	return newManagers(t, managers, accounts, dead, first)
}

// newManagers is newShards of these Managers.
func newManagers(t *testing.T, managers []*session.Manager, accounts int, dead pbx.DeadTokens, first func(manager int) int) *replicas {
	x := &replicas{t: t}
	api := roundTrip(func(r *http.Request) (*http.Response, error) {
		time.Sleep(20 * time.Millisecond)
		if !x.isAlive(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
			x.dead.Add(1)
			return answer(r, http.StatusUnauthorized, ""), nil
		}
		return answer(r, http.StatusOK, ""), nil
	})
	for p, m := range managers {
		t.Cleanup(func() { m.Close(context.Background()) })
		c := &crowd{t: t}
		for i := range accounts {
			f := &fake{traits: onHost("pbx.test"), takes: 50 * time.Millisecond}
			f.traits.Account, f.traits.Lockout.DeadTokens = fmt.Sprint("account-", first(p)+i), dead
			f.login = func(context.Context) (*pbx.Token, error) {
				x.logins.Add(1)
				return f.dated(fmt.Sprint(x.epoch.Load(), "/", serial.Add(1))), nil
			}
			s := mustAdd(t, m, f.traits.Account, &printed{fake: f, print: f.traits.Account})
			mustToken(t, s)
			c.sessions, c.clients = append(c.sessions, s), append(c.clients, &http.Client{Transport: s.Transport(api)})
			time.Sleep(time.Second)
		}
		x.crowds = append(x.crowds, c)
	}
	time.Sleep(time.Minute)
	return x
}

// farAway is a store to which requests and responses take a while, each. It counts
// operations.
type farAway struct {
	*store.Memory
	way atomic.Int64 // nanoseconds
	ops atomic.Int64
}

func (s *farAway) travel(ctx context.Context) error {
	if way := time.Duration(s.way.Load()); way > 0 {
		select {
		case <-time.After(way):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

func (s *farAway) Load(ctx context.Context, key string) (e store.Entry, err error) {
	s.ops.Add(1)
	if err = s.travel(ctx); err == nil {
		e, err = s.Memory.Load(ctx, key)
	}
	return e, errors.Join(err, s.travel(ctx))
}

func (s *farAway) Swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (e store.Entry, won bool, err error) {
	s.ops.Add(1)
	if err = s.travel(ctx); err == nil {
		e, won, err = s.Memory.Swap(ctx, key, rev, value, keep)
	}
	return e, won, errors.Join(err, s.travel(ctx))
}

// revoke ends the token of an account.
func (x *replicas) revoke(i int) {
	x.revoked.Store("Bearer "+mustToken(x.t, x.crowds[0].sessions[i]).Value.Reveal(), true)
}

// isAlive reports whether the PBX accepts a token.
func (x *replicas) isAlive(value string) bool {
	var of int32
	fmt.Sscanf(value, "%d/", &of)
	_, revoked := x.revoked.Load("Bearer " + value)
	return !revoked && of == x.epoch.Load()
}

// unwatched hides that a store reports changes.
type unwatched struct{ store.Store }

func TestProcessesOverOneStoreSendTwoDeadTokensTogether(t *testing.T) {
	const accounts = 8
	for _, processes := range []int{2, 3, 6} {
		for _, row := range []struct {
			name  string
			store store.Store
			dead  pbx.DeadTokens
			most  int
			again int // logins with credentials whose dead token another process had replaced
		}{
			{"nobody says", &store.Memory{}, pbx.DeadTokensUnknown, 2, 0},
			{"they count", &store.Memory{}, pbx.DeadTokensCount, 1, 0},
			{"nobody says, no notices", unwatched{&store.Memory{}}, pbx.DeadTokensUnknown, 2 * processes, processes},
		} {
			t.Run(fmt.Sprint(row.name, " ", processes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					x := newReplicas(t, row.store, processes, accounts, row.dead)
					x.epoch.Add(1) // the PBX restarts
					for i := range accounts * processes {
						x.crowds[i%processes].get(i / 2 % accounts)
						time.Sleep(time.Second)
					}
					time.Sleep(time.Minute)
					if d, l := x.dead.Load(), x.logins.Load(); int(d) > row.most || int(l) < accounts || int(l) > accounts+row.again {
						t.Errorf("%d dead tokens, want at most %d; %d logins", d, row.most, l)
					}
				})
			})
		}
	}
}

// Each process has accounts of its own.
func TestProcessesWithOtherAccountsHearOfDeadTokens(t *testing.T) {
	const processes, accounts = 6, 2
	for dead, most := range map[pbx.DeadTokens]int32{pbx.DeadTokensUnknown: 2, pbx.DeadTokensCount: 1} {
		synctest.Test(t, func(t *testing.T) {
			x := newShards(t, &store.Memory{}, processes, accounts, dead, func(process int) int { return process * accounts })
			x.epoch.Add(1)
			for i := range processes * accounts {
				x.crowds[i%processes].get(i / processes)
				time.Sleep(time.Second)
			}
			time.Sleep(time.Minute)
			if d, l := x.dead.Load(), x.logins.Load(); d > most || l != 2*processes*accounts {
				t.Errorf("%v: %d dead tokens, want at most %d; %d logins", dead, d, most, l)
			}
		})
	}
}

// clocks is a store with two clocks, as one that keeps its cells on several machines.
type clocks struct{ *store.Memory }

func (c clocks) Load(ctx context.Context, key string) (store.Entry, error) {
	e, err := c.Memory.Load(ctx, key)
	return c.told(key, e), err
}

func (c clocks) Swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (store.Entry, bool, error) {
	e, won, err := c.Memory.Swap(ctx, key, rev, value, keep)
	return c.told(key, e), won, err
}

func (clocks) told(key string, e store.Entry) store.Entry {
	if strings.HasPrefix(key, "t/") && !e.Now.IsZero() {
		e.Now = e.Now.Add(-time.Hour)
	}
	return e
}

func TestTheClockOfOneCellSaysNothingOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newReplicas(t, clocks{&store.Memory{}}, 4, 8, pbx.DeadTokensUnknown)
		x.epoch.Add(1)
		for i := range 8 {
			x.crowds[i%4].get(i)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		if d, l := x.dead.Load(), x.logins.Load(); d > 2 || l != 8 {
			t.Errorf("%d dead tokens and %d logins", d, l)
		}
	})
}

// Where all processes use one token at the same time, several see its refusal.
func TestProcessesThatSeeOneRevokedTokenHaveNoOtherAccountLogIn(t *testing.T) {
	const accounts = 8
	for _, apart := range []time.Duration{0, 5 * time.Millisecond, time.Second} {
		for _, row := range []struct {
			silence bool
			way     time.Duration // to the store
		}{{}, {silence: true}, {way: 200 * time.Millisecond}, {way: 900 * time.Millisecond}} {
			synctest.Test(t, func(t *testing.T) {
				far := &farAway{Memory: &store.Memory{}}
				var s store.Store = far
				if row.silence {
					s = unwatched{s}
				}
				x := newReplicas(t, s, 4, accounts, pbx.DeadTokensUnknown)
				far.way.Store(int64(row.way))
				for which := range accounts {
					x.revoke(which)
					var all sync.WaitGroup
					for _, c := range x.crowds {
						all.Go(func() { c.get(which) })
						time.Sleep(apart)
					}
					all.Wait()
					for range 2 {
						for _, c := range x.crowds {
							for i := range c.clients {
								all.Go(func() { c.get(i) })
							}
						}
						all.Wait()
						time.Sleep(time.Minute)
					}
					if n := x.logins.Swap(0); n != 1 {
						t.Errorf("%+v, %v apart: token %d was revoked: %d logins", row, apart, which, n)
					}
				}
			})
		}
	}
}

// A token of one account and later one of another are revoked: not a restart.
func TestAProcessThatHeardOfARefusalForgetsItAsTheOthersDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newReplicas(t, &store.Memory{}, 2, 8, pbx.DeadTokensUnknown)
		for which := range 8 {
			x.revoke(which)
			x.crowds[which%2].get(which)
			for _, c := range x.crowds {
				for i := range c.clients {
					c.get(i)
				}
			}
			time.Sleep(10 * time.Minute)
		}
		if n := x.logins.Load(); n != 8 {
			t.Errorf("%d logins, want 8", n)
		}
	})
}

// The last process sends nothing, so that it does not see that the PBX accepts the
// tokens of the others.
func TestTokensThatAreRevokedOneByOneHaveNoAccountOfAnIdleProcessLogIn(t *testing.T) {
	for _, processes := range []int{2, 3} {
		for _, pause := range []time.Duration{10 * time.Second, 4 * time.Minute, 2 * time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				x := newReplicas(t, &store.Memory{}, processes, 8, pbx.DeadTokensUnknown)
				busy := x.crowds[:processes-1]
				for n, which := range []int{5, 2, 7, 0} {
					x.revoke(which)
					busy[n%len(busy)].get(which)
					for _, c := range busy {
						for i := range c.clients {
							c.get(i)
						}
					}
					time.Sleep(pause)
				}
				if n := x.logins.Load(); n != 4 {
					t.Errorf("%d processes, %v: %d logins, want 4", processes, pause, n)
				}
			})
		}
	}
}

// Two Managers of one process see the refusal of the one token that they share.
func TestTwoManagersThatSeeOneRevokedTokenHaveNoOtherAccountLogIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := share(t, &store.Memory{}, "p")
		x := newManagers(t, []*session.Manager{session.NewManager(&session.Options{Store: shared}), session.NewManager(&session.Options{Store: shared})},
			8, pbx.DeadTokensUnknown, func(int) int { return 0 })
		x.logins.Store(0)
		x.revoke(3)
		var all sync.WaitGroup
		for _, c := range x.crowds {
			all.Go(func() { c.get(3) })
		}
		all.Wait()
		time.Sleep(time.Minute)
		if n := x.logins.Load(); n != 1 {
			t.Errorf("%d logins, want 1", n)
		}
	})
}

// repeating is a store that reports each change many times.
type repeating struct{ *farAway }

func (s repeating) Watch(ctx context.Context, changed func(string)) error {
	return s.Memory.Watch(ctx, func(key string) {
		for range 1000 {
			changed(key)
		}
	})
}

func TestRepeatedNoticesOfRefusalsCostFewOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := repeating{&farAway{Memory: &store.Memory{}}}
		x := newReplicas(t, s, 2, 8, pbx.DeadTokensUnknown)
		s.way.Store(int64(time.Millisecond))
		s.ops.Store(0)
		x.revoke(0)
		x.crowds[0].get(0)
		time.Sleep(time.Minute)
		if n := s.ops.Load(); n > 100 {
			t.Errorf("%d operations of the store", n)
		}
	})
}

// aPing is a driver that asks the PBX about a token before a logout.
type aPing struct {
	*printed
	ping func(*pbx.Token) error
}

func (p aPing) Ping(_ context.Context, t *pbx.Token) error { return p.ping(t) }

func TestARequestDoesNotWaitUntilTheStoreKnowsOfATokenThatALogoutFoundDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &farAway{Memory: &store.Memory{}}
		m := shares(t, far, "p")
		defer m.Close(context.Background())
		var gone atomic.Value
		c := newCrowd(t, m, 0)
		for i := range 3 {
			f := &fake{traits: onHost("pbx.test")}
			f.traits.Account = fmt.Sprint("account-", i)
			f.login = func(context.Context) (*pbx.Token, error) { return f.dated(fmt.Sprint(serial.Add(1))), nil }
			ping := func(t *pbx.Token) error {
				if t.Value.Reveal() == gone.Load() {
					return told(pbx.OpPing, pbx.ErrTokenRejected, true)
				}
				return nil
			}
			s := mustAdd(t, m, f.traits.Account, aPing{&printed{fake: f, print: f.traits.Account}, ping})
			gone.CompareAndSwap(nil, mustToken(t, s).Value.Reveal())
			c.clients = append(c.clients, &http.Client{Transport: s.Transport(c.api)})
			time.Sleep(time.Second)
		}
		far.way.Store(int64(900 * time.Millisecond))
		go m.Remove(context.Background(), "account-0")
		time.Sleep(100 * time.Millisecond)
		began := time.Now()
		c.get(1)
		if d := time.Since(began); d > c.api.takes {
			t.Errorf("a request took %v", d)
		}
		far.way.Store(0)
		time.Sleep(time.Minute)
	})
}

// A Manager whose Guard alone is in a store.
func TestARefusedTokenIsReportedWithoutAWaitForTheStoreOfTheGuard(t *testing.T) {
	for _, dead := range []pbx.DeadTokens{pbx.DeadTokensUnknown, pbx.DeadTokensCount} {
		synctest.Test(t, func(t *testing.T) {
			far := &farAway{Memory: &store.Memory{}}
			guard, err := session.NewGuard(far)
			if err != nil {
				t.Fatal(err)
			}
			m := session.NewManager(&session.Options{Guard: guard})
			defer m.Close(context.Background())
			c := storedCrowd(t, m, dead)
			old := mustToken(t, c.sessions[0])
			far.way.Store(int64(900 * time.Millisecond))
			began := time.Now()
			c.sessions[0].Invalidate(old)
			if d := time.Since(began); d > 0 {
				t.Errorf("%v: Invalidate took %v", dead, d)
			}
			far.way.Store(0)
			time.Sleep(time.Minute)
		})
	}
}
