package session_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
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
	x := &replicas{t: t}
	api := roundTrip(func(r *http.Request) (*http.Response, error) {
		time.Sleep(20 * time.Millisecond)
		token := r.Header.Get("Authorization")
		var of int32
		fmt.Sscanf(token, "Bearer %d/", &of)
		if _, revoked := x.revoked.Load(token); revoked || of != x.epoch.Load() {
			x.dead.Add(1)
			return answer(r, http.StatusUnauthorized, ""), nil
		}
		return answer(r, http.StatusOK, ""), nil
	})
	for p := range processes {
		m := shares(t, s, fmt.Sprint("p", p))
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
		for _, silence := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				var s store.Store = &store.Memory{}
				if silence {
					s = unwatched{s}
				}
				x := newReplicas(t, s, 4, accounts, pbx.DeadTokensUnknown)
				for which := range accounts {
					x.revoked.Store("Bearer "+mustToken(t, x.crowds[0].sessions[which]).Value.Reveal(), true)
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
						t.Errorf("token %d was revoked: %d logins", which, n)
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
			x.revoked.Store("Bearer "+mustToken(t, x.crowds[0].sessions[which]).Value.Reveal(), true)
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
