package session_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/internal/thorough"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

func manyAccounts(kind string, n int) (users []string) {
	for i := range n {
		users = append(users, fmt.Sprint(kind, "-", i))
	}
	return users
}

func TestSixProcessesWithTenWrongPasswordsStayBelowTheLockout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newSimulation(t, 1, manyAccounts("wrong", 10), 6)
		defer w.close()
		took := time.Hour
		switch {
		case session.RaceDetector || testing.Short():
			took = 10 * time.Minute
		case thorough.Tests():
			took = 4 * time.Hour
		}
		time.Sleep(took)
		counts := w.sim.Counts()
		t.Logf("%d wrong logins, %d refused as locked", counts.WrongLogins, counts.LockedLogins)
		if counts.WrongLogins > 3 || counts.LockedLogins > 0 {
			t.Errorf("counts %+v", counts)
		}
	})
}

// All processes are killed, at rest and inside their logins, and started again.
func TestProcessesThatAreKilledLeaveTheirTokens(t *testing.T) {
	t.Parallel()
	var inLogins int
	afters := []time.Duration{time.Minute, 310 * time.Millisecond, 510 * time.Millisecond, 1050 * time.Millisecond, 2130 * time.Millisecond}
	if session.RaceDetector {
		afters = afters[:2]
	}
	for _, after := range afters {
		synctest.Test(t, func(t *testing.T) {
			w := newSimulation(t, 1, manyAccounts("user", 50), 0)
			w.latency = 200 * time.Millisecond
			for range 4 {
				w.processes = append(w.processes, w.start())
			}
			defer w.close()
			time.Sleep(after)
			for i, p := range w.processes {
				w.kill(p)
				w.processes[i] = w.start()
			}
			time.Sleep(35 * time.Second) // a booking whose process died counts for 15 s, and the logins go one by one
			if err := w.allWork(); err != nil {
				t.Errorf("killed after %s: %v", after, err)
			}
			counts := w.sim.Counts()
			t.Logf("killed after %s, %d of the processes inside a login: %d logins", after, w.inLogin, counts.GoodLogins)
			if counts.GoodLogins < 50 || counts.GoodLogins > 50+w.inLogin || len(w.sim.Locks()) > 0 {
				t.Errorf("killed after %s, %d of the processes inside a login: %+v", after, w.inLogin, counts)
			}
			inLogins += w.inLogin
		})
	}
	if inLogins == 0 {
		t.Error("no process was inside a login")
	}
}

// A day of four processes with 20 accounts, or six hours of it without PBX_TESTS=all.
// After an hour, the passwords of two are changed at the PBX. Processes are replaced,
// killed and cut off from the store, the PBX restarts, the store is slow, loses
// responses, and twice loses everything.
func TestADayOfFourProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newSimulation(t, 1, append(manyAccounts("user", 18), manyAccounts("wrong", 2)...), 0)
		w.sim.SetPassword("wrong-0", "not right")
		w.sim.SetPassword("wrong-1", "not right")
		for range 4 {
			w.processes = append(w.processes, w.start())
		}
		defer w.close()
		var mu sync.Mutex // guards chance
		chance := rand.New(rand.NewPCG(2, 0))
		w.faults.Intercept(func(store.Op) (f store.Fault) {
			mu.Lock()
			defer mu.Unlock()
			switch chance.IntN(50) {
			case 0:
				f.Before = errors.New("not reached")
			case 1:
				f.After = errors.New("response lost")
			case 2:
				f.Delay = time.Second
			}
			return f
		})
		hours := 6
		switch {
		case session.RaceDetector || testing.Short():
			hours = 4
		case thorough.Tests():
			hours = 24
		}
		losses := 0
		var asked, failed int
		for tick := range hours * 6 {
			i := tick % 4
			switch hour, minutes := tick/6, tick%6*10; {
			case minutes == 10 && hour%3 == 0: // a rolling deploy
				w.processes[i].manager.Close(context.Background())
				w.processes[i] = w.start()
			case minutes == 20 && hour%4 == 1:
				w.kill(w.processes[i])
				w.processes[i] = w.start()
			case minutes == 0 && hour == 1:
				w.sim.SetPassword("wrong-0", "right")
				w.sim.SetPassword("wrong-1", "right")
				w.sim.Restart()
			case minutes == 30 && hour%6 == 2:
				w.sim.Restart()
			case minutes == 40 && hour%5 == 3:
				w.faults.Cut(w.processes[i].name)
			case minutes == 50:
				for _, p := range w.processes {
					w.faults.Rejoin(p.name)
				}
			case minutes == 0 && (hour == hours/2 || hour == hours*5/6):
				w.faults.ForgetAll()
				losses++
			}
			for range 10 {
				time.Sleep(time.Minute)
				asked++
				if w.allWork() != nil {
					failed++
				}
			}
		}
		counts := w.sim.Counts()
		t.Logf("%d wrong logins, %d refused as locked, %d good logins, %d keep-alives; in %d of %d minutes a request failed",
			counts.WrongLogins, counts.LockedLogins, counts.GoodLogins, counts.KeepAlives, failed, asked)
		// 110 to 147 logins: the order of goroutines is not the seed's.
		if counts.WrongLogins > 2+losses || counts.LockedLogins > 0 || counts.GoodLogins > 200 {
			t.Errorf("counts %+v", counts)
		}
		if failed > asked/20 {
			t.Errorf("in %d of %d minutes a request failed", failed, asked)
		}
		if err := w.allWork(); err != nil {
			t.Error(err)
		}
	})
}

// A rejected session looks for new credentials each minute, and for a token that
// another process got. It writes nothing.
func TestARejectedSessionWritesNothingIntoTheStore(t *testing.T) {
	for _, prints := range []bool{true, false} {
		t.Run(fmt.Sprintf("with fingerprints: %v", prints), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				faults := (&store.Memory{}).Faults()
				f, drivers := newShared(16, time.Hour)
				f.takes = time.Second
				var loads, swaps atomic.Int64
				faults.Intercept(func(op store.Op) store.Fault {
					if op.Swap {
						swaps.Add(1)
					} else {
						loads.Add(1)
					}
					return store.Fault{}
				})
				var sessions []*session.Session
				for i, d := range drivers {
					auth := d
					if !prints {
						auth = &printless{fake: f}
					} else {
						d.(*printed).wrong = true
					}
					process := fmt.Sprint("crm-", i)
					m := shares(t, faults.Process(process), process)
					defer m.Close(context.Background())
					sessions = append(sessions, mustAdd(t, m, "7", auth))
				}
				time.Sleep(time.Hour)
				loads.Store(0)
				swaps.Store(0)
				time.Sleep(time.Hour)
				t.Logf("%d swaps and %d loads of 16 processes in an hour", swaps.Load(), loads.Load())
				if swaps.Load() != 0 || loads.Load() > 16*60*2+100 {
					t.Errorf("%d swaps, %d loads", swaps.Load(), loads.Load())
				}
				if !prints { // nobody knows that it is one password
					return
				}
				for _, s := range sessions {
					wantState(t, s, session.Rejected)
				}
				wantCounts(t, f, 1, 0, 0)
				for _, d := range drivers { // the right password is set
					f.set(func() { d.(*printed).print, d.(*printed).wrong = "new", false })
				}
				time.Sleep(2 * time.Minute)
				wantCounts(t, f, 2, 0, 0)
				for _, s := range sessions {
					wantState(t, s, session.Live)
				}
			})
		})
	}
}

// printless is a driver with a wrong password that has no fingerprints.
type printless struct{ *fake }

func (p *printless) Login(context.Context) (*pbx.Token, error) {
	defer p.enter(&p.logins)()
	return nil, told(pbx.OpLogin, pbx.ErrInvalidCredentials, true)
}

// What a process knows of a host in no trouble outlasts what its store forgets:
// credentials that work do not wait behind new ones.
func TestProvenCredentialsAreKnownAfterTheStoreHasForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimulation(t, 1, []string{"sales"}, 1)
		defer w.close()
		time.Sleep(time.Hour)
		w.faults.ForgetAll()
		w.accounts = manyAccounts("wrong", 5)
		other := w.start()
		defer other.manager.Close(context.Background())
		w.accounts = []string{"sales"}
		time.Sleep(time.Hour)
		w.sim.Restart()
		time.Sleep(time.Hour)
		if err := w.allWork(); err != nil {
			t.Error(err)
		}
	})
}

// A store that is back may have lost all or the newest of what it had. The
// processes put it back at once, so that others can start then.
func TestProcessesPutBackWhatTheStoreHasForgotten(t *testing.T) {
	t.Parallel()
	losses := []time.Duration{time.Minute, 24 * time.Hour, 20 * time.Minute, 40 * time.Minute}
	if session.RaceDetector {
		losses = losses[:2]
	}
	for _, lost := range losses {
		synctest.Test(t, func(t *testing.T) {
			w := newSimulation(t, 1, append(manyAccounts("user", 20), manyAccounts("wrong", 2)...), 0)
			for _, user := range []string{"wrong-0", "wrong-1"} {
				w.sim.SetPassword(user, "not right")
			}
			w.processes = []*process{w.start(), w.start()}
			defer w.close()
			for minute := range 120 {
				if minute == 10 {
					w.sim.SetPassword("wrong-0", "right")
					w.sim.SetPassword("wrong-1", "right")
					w.sim.Restart()
				}
				time.Sleep(time.Minute)
				if err := w.allWork(); err != nil {
					t.Fatal(err)
				}
			}
			before := w.sim.Counts()
			if lost < time.Hour {
				w.faults.Forget(lost)
			} else {
				w.faults.ForgetAll()
			}
			time.Sleep(2 * time.Second)
			for i, p := range w.processes {
				w.kill(p)
				w.processes[i] = w.start()
			}
			time.Sleep(5 * time.Minute)
			if err := w.allWork(); err != nil {
				t.Errorf("%s are lost: %v", lost, err)
			}
			after := w.sim.Counts()
			if after.GoodLogins != before.GoodLogins || after.WrongLogins != before.WrongLogins {
				t.Errorf("%s are lost: %d logins, %d wrong ones", lost, after.GoodLogins-before.GoodLogins, after.WrongLogins-before.WrongLogins)
			}
		})
	}
}

// While wrong logins stand, one login goes at a time, in all processes together. Nobody
// tells the others when it has ended.
func TestALoginGoesSoonAfterThatOfAnotherProcess(t *testing.T) {
	for _, finds := range []string{"a request finds the token dead", "a keep-alive finds the token dead"} {
		t.Run(finds, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newSimulation(t, 1, []string{"sales", "support", "wrong-0", "wrong-1"}, 0)
				w.tacit = true // or the other one would hear of the dead token
				defer w.close()
				w.sim.SetPassword("wrong-0", "another")
				w.sim.SetPassword("wrong-1", "another")
				for _, users := range [][]string{{"sales"}, {"support"}, {"wrong-0", "wrong-1"}} {
					w.accounts = users
					w.processes = append(w.processes, w.start())
					time.Sleep(time.Minute)
				}
				w.processes[2].manager.Close(t.Context())
				w.processes = w.processes[:2]
				request := func(p *process) {
					r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+"/api/v1.1.0/deviceinfo/query", nil)
					resp, err := p.sessions[0].Do(r)
					if err != nil {
						t.Error(err)
						return
					}
					resp.Body.Close()
				}
				first, other := w.processes[0], w.processes[1].sessions[0]
				if until := time.Until(first.sessions[0].Status().Next); until < untilNext(other) {
					time.Sleep(until + time.Second)
				}

				time.Sleep(untilNext(other) - 500*time.Millisecond)
				w.sim.Restart()
				w.sim.Fault(pbxsim.Fault{On: pbxsim.Login, Delay: 3 * time.Second, Times: 1})
				go request(first)
				if time.Sleep(100 * time.Millisecond); finds == "a request finds the token dead" {
					go request(w.processes[1])
				}
				time.Sleep(5 * time.Second)
				for i, p := range w.processes {
					if got := p.sessions[0].Status(); got.State != session.Live {
						t.Errorf("process %d: %s", i, got)
					}
				}
			})
		})
	}
}

// Requests extend a token for hours without a keep-alive. A process that starts
// then finds it alive.
func TestAProcessThatStartsAdoptsATokenThatRequestsExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimulation(t, 1, []string{"sales"}, 1)
		defer w.close()
		var swaps atomic.Int64
		w.faults.Intercept(func(op store.Op) store.Fault {
			if op.Swap {
				swaps.Add(1)
			}
			return store.Fault{}
		})
		time.Sleep(time.Minute)
		before := swaps.Load()
		for range 5 * 60 {
			time.Sleep(time.Minute)
			if err := w.allWork(); err != nil {
				t.Fatal(err)
			}
		}
		if n := swaps.Load() - before; n > 5*4 { // one in 0.65 lifetimes of 30 min
			t.Errorf("%d swaps in five hours of requests", n)
		}
		w.processes = append(w.processes, w.start())
		time.Sleep(time.Minute)
		if err := w.allWork(); err != nil {
			t.Error(err)
		}
		// What the store knows may be 0.65 lifetimes old, and a keep-alive be due.
		if counts := w.sim.Counts(); counts.GoodLogins != 1 || counts.KeepAlives > 1 {
			t.Errorf("%d logins, %d keep-alives", counts.GoodLogins, counts.KeepAlives)
		}
		token := mustToken(t, w.processes[1].sessions[0])
		if lifetime := token.ExpiresAt.Sub(token.IssuedAt); lifetime != 30*time.Minute {
			t.Errorf("the token has a lifetime of %s", lifetime)
		}
	})
}
