package session_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/internal/thorough"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

var (
	simulationSeeds = flag.Int("simulation-seeds", 0, "how many seeds TestProcessesInASimulation plays of each kind; 0: 20, or 100 with PBX_TESTS=all, or 5 with -short and -race")
	simulationSeed  = flag.Uint64("simulation-seed", 0, "a single seed for it, to repeat a failure")
)

// simulation is several processes of a CRM with sessions of the same accounts at
// one PBX. Accounts whose name begins with "wrong" have a wrong password.
type simulation struct {
	t        *testing.T
	random   *rand.Rand
	sim      *pbxsim.PBX
	server   *pbxsim.Server // which only gives it an address
	accounts []string
	faults   *store.Faults
	latency  time.Duration // of a request
	kills    bool          // processes are killed and started again
	forgets  bool          // the store forgets everything, again and again
	tacit    bool          // the store reports no changes, and not that it was away

	processes []*process
	started   int
	causes    int // what may have cost another login
	killed    int // how many processes were
	inLogin   int // how many logins they had under way
}

func newSimulation(t *testing.T, seed uint64, accounts []string, processes int) *simulation {
	passwords := map[string]string{}
	for _, user := range accounts {
		passwords[user] = "right"
	}
	w := &simulation{t: t, random: rand.New(rand.NewPCG(seed, 0)), accounts: accounts}
	w.sim = yeastarsim.New(&yeastarsim.Options{}, &pbxsim.Options{Accounts: passwords})
	w.server = pbxsim.ListenMemory(w.sim)
	w.faults = (&store.Memory{}).Faults()
	for range processes {
		w.processes = append(w.processes, w.start())
	}
	return w
}

func (w *simulation) close() {
	for _, p := range w.processes {
		p.manager.Close(context.Background())
	}
	time.Sleep(time.Hour) // for those that were killed
	w.server.Close()
}

// process is one incarnation of a process.
type process struct {
	name     string
	guard    *session.Guard
	manager  *session.Manager
	sessions []*session.Session
	dead     atomic.Bool  // killed: it sends nothing and hears nothing
	logins   atomic.Int32 // under way
	latency  time.Duration
	sim      *pbxsim.PBX
}

var errKilled = errors.New("the process is dead")

func (p *process) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/login") {
		p.logins.Add(1)
		defer p.logins.Add(-1)
	}
	time.Sleep(p.latency / 2)
	if p.dead.Load() {
		return nil, errKilled
	}
	resp, err := serve(p.sim, r)
	time.Sleep(p.latency / 2)
	if p.dead.Load() { // the PBX has judged, and nobody hears it
		if err == nil {
			resp.Body.Close()
		}
		return nil, errKilled
	}
	return resp, err
}

// serve is the PBX's response to a request, without a connection: setting up and
// tearing down one for each request would take as long as all else that a simulation
// does.
func serve(p *pbxsim.PBX, r *http.Request) (resp *http.Response, err error) {
	in := r.Clone(r.Context())
	in.RemoteAddr, in.Host = "127.0.0.1:1024", r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer in.Body.Close()
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler: // as it cuts a connection
			resp, err = nil, cmp.Or(r.Context().Err(), io.ErrUnexpectedEOF)
		default:
			panic(v)
		}
	}()
	out := httptest.NewRecorder()
	p.ServeHTTP(out, in)
	resp = out.Result()
	resp.Request = r
	return resp, nil
}

func isWrong(user string) bool { return strings.HasPrefix(user, "wrong") }

func (w *simulation) start() *process {
	w.started++
	p := &process{name: fmt.Sprint("p", w.started), latency: w.latency, sim: w.sim}
	s := w.faults.Process(p.name)
	if w.tacit {
		s = tacit{s}
	}
	shared := share(w.t, s, p.name)
	p.guard, p.manager = shared.Guard(), session.NewManager(&session.Options{Store: shared})
	for _, user := range w.accounts {
		password := "right"
		if isWrong(user) {
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
	w.killed++
	w.inLogin += int(p.logins.Load())
	go p.manager.Close(context.Background()) // of which nothing gets out
}

func TestProcessesInASimulation(t *testing.T) {
	for _, kind := range []struct {
		name           string
		kills, forgets bool
	}{
		{"a store that does not forget, and kills", true, false},
		{"a store that loses everything every two minutes", false, true},
		{"both", true, true}, // of which no promise is made: a number
	} {
		n := *simulationSeeds
		switch {
		case n > 0:
		case testing.Short() || session.RaceDetector:
			n = 5
		case thorough.Tests():
			n = 100
		default:
			n = 20
		}
		seeds := make([]uint64, n)
		for i := range seeds {
			seeds[i] = uint64(i + 1)
		}
		if *simulationSeed != 0 {
			seeds = []uint64{*simulationSeed}
		}
		var locked, waited atomic.Int32
		t.Run(kind.name, func(t *testing.T) {
			for _, seed := range seeds {
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						l, waits := simulate(t, seed, kind.kills, kind.forgets)
						if l {
							locked.Add(1)
						}
						if waits {
							waited.Add(1)
						}
					})
				})
			}
		})
		t.Logf("%s: in %d of %d runs the PBX locked this client, in %d a person had to forgive", kind.name, locked.Load(), len(seeds), waited.Load())
		if most := int32(2 + len(seeds)/50); waited.Load() > most && !(kind.kills && kind.forgets) {
			t.Errorf("%s: in %d runs a person had to forgive, want at most %d", kind.name, waited.Load(), most)
		}
	}
}

// simulate returns whether the PBX locked this client, which only both kinds of
// faults together may bring about, and whether a person had to forgive in the end.
func simulate(t *testing.T, seed uint64, kills, forgets bool) (locked, waits bool) {
	w := newSimulation(t, seed, []string{"sales", "support", "night", "wrong"}, 0)
	w.kills, w.forgets, w.tacit = kills, forgets, seed%2 == 1
	for range 3 {
		w.processes = append(w.processes, w.start())
	}
	defer w.close()
	for range 120 {
		w.step()
		if locks := w.sim.Locks(); len(locks) > 0 {
			if kills && forgets {
				return true, false
			}
			t.Fatalf("the PBX has locked this client: %+v (repeat with -simulation-seed %d)", locks, seed)
		}
	}
	w.faults.Intercept(nil)
	for _, p := range w.processes {
		w.faults.Rejoin(p.name)
	}
	time.Sleep(2 * time.Minute)
	// A session whose tokens were refused again and again has slowed down.
	for range 30 {
		if w.allWork() == nil {
			break
		}
		time.Sleep(30 * time.Second)
	}
	if waits = w.allWork() != nil && w.places() >= 2; waits {
		// The PBX never forgets a wrong login, and nobody knows what it made of
		// logins inside which a process was killed or cut off. Where these and the
		// wrong password use the places up, two for accounts that have never logged in
		// and four for the others, they wait for a person.
		w.sim.Unlock("127.0.0.1")
		if _, err := w.processes[0].guard.Forgive(t.Context(), w.server.URL); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Minute)
	}
	if err := w.allWork(); err != nil {
		t.Errorf("after the faults: %v (repeat with -simulation-seed %d)", err, seed)
	}
	counts := w.sim.Counts()
	if !(kills && forgets) && (counts.LockedLogins > 0 || counts.WrongLogins > 3) {
		t.Errorf("counts %+v (repeat with -simulation-seed %d)", counts, seed)
	}
	if most := len(w.accounts)*(1+w.causes) + 20; counts.GoodLogins > most {
		t.Errorf("%d good logins, with %d causes (repeat with -simulation-seed %d)", counts.GoodLogins, w.causes, seed)
	}
	return false, waits
}

// places is how many places of the PBX's budget are used, for all that any process
// knows.
func (w *simulation) places() (most int) {
	for _, p := range w.processes {
		for _, h := range p.guard.Hosts() {
			most = max(most, len(h.Bookings))
		}
	}
	return most
}

// allWork returns what is wrong with a session whose password is right.
func (w *simulation) allWork() error {
	for _, p := range w.processes {
		for i, s := range p.sessions {
			if isWrong(w.accounts[i]) {
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
				return fmt.Errorf("%s in %s: %w", w.accounts[i], p.name, err)
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
		var mu sync.Mutex // guards chance
		chance := rand.New(rand.NewPCG(random.Uint64(), 0))
		w.faults.Intercept(func(store.Op) (f store.Fault) {
			mu.Lock()
			defer mu.Unlock()
			switch chance.IntN(20) {
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
