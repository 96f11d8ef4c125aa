package session_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

var (
	simulationSeeds = flag.Int("simulation-seeds", 50, "how many seeds TestProcessesInASimulation plays of each kind")
	simulationSeed  = flag.Uint64("simulation-seed", 0, "a single seed for it, to repeat a failure")
)

// simulation is several processes of a CRM with sessions of the same accounts at
// one PBX. One account has a wrong password.
type simulation struct {
	t       *testing.T
	random  *rand.Rand
	sim     *pbxsim.PBX
	server  *pbxsim.Server
	memory  *store.Memory
	faults  *store.Faults
	kills   bool // processes are killed and started again
	forgets bool // the store forgets everything, again and again

	processes []*process
	started   int
	causes    int // what may have cost another login
}

// process is one incarnation of a process.
type process struct {
	name     string
	manager  *session.Manager
	sessions []*session.Session
	dead     atomic.Bool // killed: it sends nothing and hears nothing
	next     http.RoundTripper
}

var errKilled = errors.New("the process is dead")

func (p *process) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.dead.Load() {
		return nil, errKilled
	}
	resp, err := p.next.RoundTrip(r)
	if p.dead.Load() { // the PBX has judged, and nobody hears it
		if err == nil {
			resp.Body.Close()
		}
		return nil, errKilled
	}
	return resp, err
}

var simulatedAccounts = []string{"sales", "support", "night", "wrong"}

func (w *simulation) start() *process {
	w.started++
	p := &process{name: fmt.Sprint("p", w.started), next: w.server.Client().Transport}
	p.manager = shares(w.t, w.faults.Process(p.name), p.name)
	for _, user := range simulatedAccounts {
		password := "right"
		if user == "wrong" {
			password = "not right"
		}
		auth, err := yeastar.New(yeastar.Config{Config: pbx.Config{URL: w.server.URL, Username: user, Password: pbx.NewSecret(password), Transport: p}})
		if err != nil {
			w.t.Fatal(err)
		}
		p.sessions = append(p.sessions, mustAdd(w.t, p.manager, user, auth))
	}
	return p
}

// kill ends a process as kill -9 does: what it has in flight stays as it is.
func (w *simulation) kill(p *process) {
	p.dead.Store(true)
	w.faults.Cut(p.name)
	w.causes++
	go p.manager.Close(context.Background()) // of which nothing gets out
}

func TestProcessesInASimulation(t *testing.T) {
	for _, kind := range []struct {
		name           string
		kills, forgets bool
	}{
		{"a store that does not forget, and kills", true, false},
		{"a store that loses everything every two minutes", false, true},
	} {
		seeds := make([]uint64, *simulationSeeds)
		for i := range seeds {
			seeds[i] = uint64(i + 1)
		}
		if *simulationSeed != 0 {
			seeds = []uint64{*simulationSeed}
		}
		if testing.Short() || session.RaceDetector {
			seeds = seeds[:min(len(seeds), 5)]
		}
		t.Run(kind.name, func(t *testing.T) {
			for _, seed := range seeds {
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { simulate(t, seed, kind.kills, kind.forgets) })
				})
			}
		})
	}
}

func simulate(t *testing.T, seed uint64, kills, forgets bool) {
	passwords := map[string]string{}
	for _, user := range simulatedAccounts {
		passwords[user] = "right"
	}
	w := &simulation{t: t, random: rand.New(rand.NewPCG(seed, 0)), memory: &store.Memory{}, kills: kills, forgets: forgets}
	w.sim = yeastarsim.New(&yeastarsim.Options{}, &pbxsim.Options{Accounts: passwords})
	w.server = pbxsim.ListenMemory(w.sim)
	defer w.server.Close()
	w.faults = w.memory.Faults()
	for range 3 {
		w.processes = append(w.processes, w.start())
	}
	defer func() {
		for _, p := range w.processes {
			p.manager.Close(context.Background())
		}
		time.Sleep(time.Hour) // for those that were killed
	}()
	for range 120 {
		w.step()
		if locks := w.sim.Locks(); len(locks) > 0 {
			t.Fatalf("the PBX has locked this client: %+v (repeat with -simulation-seed %d)", locks, seed)
		}
	}
	w.faults.Intercept(nil)
	for _, p := range w.processes {
		w.faults.Rejoin(p.name)
	}
	time.Sleep(2 * time.Minute)
	// Bookings of processes that were killed inside a login stand for a while, and
	// a session whose tokens were refused again and again has slowed down.
	for range 30 {
		if w.allWork() == nil {
			break
		}
		time.Sleep(30 * time.Second)
	}
	if err := w.allWork(); err != nil {
		t.Errorf("after the faults: %v (repeat with -simulation-seed %d)", err, seed)
	}
	counts := w.sim.Counts()
	if counts.LockedLogins > 0 || counts.WrongLogins > 3 {
		t.Errorf("counts %+v (repeat with -simulation-seed %d)", counts, seed)
	}
	if most := len(simulatedAccounts)*(1+w.causes) + 20; counts.GoodLogins > most {
		t.Errorf("%d good logins, with %d causes (repeat with -simulation-seed %d)", counts.GoodLogins, w.causes, seed)
	}
}

// allWork returns what is wrong with a session whose password is right.
func (w *simulation) allWork() error {
	for _, p := range w.processes {
		for i, s := range p.sessions {
			if simulatedAccounts[i] == "wrong" {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			r, _ := http.NewRequestWithContext(ctx, http.MethodPost, w.server.URL+"/api/v1.1.0/deviceinfo/query", nil)
			resp, err := s.Do(r)
			if resp != nil {
				resp.Body.Close()
			}
			cancel()
			if err != nil {
				return fmt.Errorf("%s in %s: %w", simulatedAccounts[i], p.name, err)
			}
		}
	}
	return nil
}

// step is something that happens, and the time until the next thing does.
func (w *simulation) step() {
	random := w.random
	i := random.IntN(len(w.processes))
	p := w.processes[i]
	switch random.IntN(10) {
	case 0:
		if w.kills {
			w.kill(p)
			w.processes[i] = w.start()
		}
	case 1:
		if w.forgets {
			w.faults.ForgetAll()
			w.causes++
			time.Sleep(2 * time.Minute)
		}
	case 2: // a rolling deploy. A store that forgets relies on those who remember.
		if !w.forgets {
			p.manager.Close(context.Background())
			w.processes[i] = w.start()
		}
	case 3:
		w.faults.Cut(p.name)
	case 4:
		for _, p := range w.processes {
			w.faults.Rejoin(p.name)
		}
	case 5: // the store is slow, or its responses are lost
		share := random.IntN(4)
		w.faults.Intercept(func(store.Op) (f store.Fault) {
			switch rand.IntN(20) {
			case 0:
				f.Before = errors.New("not reached")
			case 1:
				f.After = errors.New("response lost")
			case 2, 3:
				f.Delay = time.Duration(share) * time.Second
			}
			return f
		})
	case 6:
		w.faults.Intercept(nil)
	case 7:
		w.sim.Restart()
		w.causes++
	case 8:
		for _, s := range p.sessions {
			if token, err := s.Token(expired); err == nil {
				s.Invalidate(token)
			}
		}
		w.causes++
	case 9:
		w.allWork()
	}
	time.Sleep(time.Duration(random.IntN(60)) * time.Second)
}
