package session_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// go test -run 'Idle|LogInTogether' -v ./session -fleet 100000 takes a few minutes.
var fleetSize = flag.Int("fleet", 5000, "how many sessions the tests of whole fleets add")

// BenchmarkIdleSession measures what an idle live session costs: all that it adds
// to the process, its driver and its name included.
func BenchmarkIdleSession(b *testing.B) {
	for _, row := range idleRows {
		b.Run(row.name, func(b *testing.B) {
			for b.Loop() {
				bytes, goroutines := idle(b, row.fleet, row.open(b), row.store)
				b.ReportMetric(bytes, "B/session")
				b.ReportMetric(goroutines, "goroutines/session")
			}
			b.ReportMetric(0, "ns/op") // the login of the whole fleet: means nothing
		})
	}
}

func TestAnIdleSessionCostsLittleMemoryAndNoGoroutine(t *testing.T) {
	for _, row := range idleRows {
		t.Run(row.name, func(t *testing.T) {
			n, most := row.test**fleetSize, row.most
			if session.RaceDetector { // which needs memory of its own, and time
				n, most = min(n, 500), 10*row.most
			}
			bytes, goroutines := idle(t, n, row.open(t), row.store)
			t.Logf("%.0f bytes and %.3f goroutines per session", bytes, goroutines)
			if bytes > most || goroutines > 0.01 {
				t.Errorf("%.0f bytes and %.3f goroutines per session", bytes, goroutines)
			}
		})
	}
}

var idleRows = []struct {
	name  string
	open  func(tb testing.TB) func(i int) pbx.Authenticator
	most  float64
	test  int // how many times the fleet of -fleet the test has
	fleet int // of the benchmark
	store bool
}{
	{"small driver", func(testing.TB) func(int) pbx.Authenticator {
		return func(i int) pbx.Authenticator { return small(i) }
	}, 1024, 4, 100_000, false},
	{"yeastar", yeastars(true), 1300, 1, 100_000, false}, // less in a larger fleet
	{"yeastar, all at one host", yeastars(false), 1150, 1, 100_000, false},
	{"store, small driver", func(testing.TB) func(int) pbx.Authenticator {
		return func(i int) pbx.Authenticator { return small(i) }
	}, 1100, 1, 100_000, true}, // less in a larger fleet
}

// small is a driver that holds nothing but the number of its PBX.
type small int

func (small) Login(context.Context) (*pbx.Token, error) {
	now := time.Now()
	return &pbx.Token{Value: pbx.NewSecret("48a7d7481a5355aa4fb5dc285edeb40e"), IssuedAt: now}, nil
}

func (small) KeepAlive(_ context.Context, t *pbx.Token) (*pbx.Token, error) { return t, nil }

func (small) Logout(context.Context, *pbx.Token) error { return nil }

func (s small) Traits() pbx.Traits {
	return pbx.Traits{URL: "https://pbx-" + strconv.Itoa(int(s)) + ".test:8088", Lifetime: 30 * time.Minute, Sliding: true,
		KeepAlive: pbx.KeepAliveHeartbeat, Lockout: pbx.Lockout{Attempts: 5, Window: 10 * time.Minute}}
}

// yeastars opens a driver per PBX as an application does, each with a host of its
// own if apart is set. What responds issues tokens and remembers nothing.
func yeastars(apart bool) func(tb testing.TB) func(i int) pbx.Authenticator {
	return func(tb testing.TB) func(i int) pbx.Authenticator { return openYeastars(tb, apart) }
}

func openYeastars(tb testing.TB, apart bool) func(i int) pbx.Authenticator {
	const loggedIn = `{"status":"Success","token":"48a7d7481a5355aa4fb5dc285edeb40e"}`
	open := func(i int, cfg pbx.Config) pbx.Authenticator {
		cfg.Username, cfg.Password = "api-"+strconv.Itoa(i), pbx.NewSecret("secret-"+strconv.Itoa(i))
		auth, err := pbx.Open("yeastar", cfg)
		if err != nil {
			tb.Fatal(err)
		}
		return auth
	}
	if apart {
		shared := roundTrip(func(r *http.Request) (*http.Response, error) {
			r.Body.Close()
			return answer(r, http.StatusOK, loggedIn), nil
		})
		return func(i int) pbx.Authenticator {
			return open(i, pbx.Config{URL: fmt.Sprintf("http://pbx-%d.test:8088", i), Transport: shared, AllowPlainHTTP: true})
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, loggedIn)
	}))
	tb.Cleanup(server.Close)
	return func(i int) pbx.Authenticator { return open(i, pbx.Config{URL: server.URL}) }
}

// idle makes a fleet of n and returns what each live session has added to the
// process.
func idle(tb testing.TB, n int, open func(i int) pbx.Authenticator, shares bool) (bytes, goroutines float64) {
	opts := &session.Options{Guard: &session.Guard{}, LoginRate: 1_000_000}
	var elsewhere movable
	elsewhere.Store(&store.Memory{})
	if shares {
		shared, err := session.NewShared(session.SharedSettings{Store: &elsewhere, Keys: [][]byte{sealKey}})
		if err != nil {
			tb.Fatal(err)
		}
		opts.Guard, opts.Store = nil, shared
	}
	m := session.NewManager(opts)
	before, running := footprint(), runtime.NumGoroutine()
	for i := range n {
		if _, err := m.Add(fmt.Sprint("customer-", i), open(i)); err != nil {
			tb.Fatal(err)
		}
	}
	for _, s := range m.All() {
		if _, err := s.Token(context.Background()); err != nil {
			tb.Fatal(err)
		}
	}
	for range 100_000 { // workers that have just done the last login still have their stacks
		if runtime.NumGoroutine() <= running+1 {
			break
		}
		runtime.Gosched()
	}
	elsewhere.Store(&store.Memory{}) // what is in the store is no part of the sessions
	after, runningAfter := footprint(), runtime.NumGoroutine()
	if live := m.Stats().Live; live != n {
		tb.Fatalf("%d of %d sessions are live", live, n)
	}
	m.Close(context.Background())
	return float64(after-before) / float64(n), float64(runningAfter-running) / float64(n)
}

// movable is a store that can be exchanged.
type movable struct{ atomic.Pointer[store.Memory] }

func (m *movable) Load(ctx context.Context, key string) (store.Entry, error) {
	return m.Pointer.Load().Load(ctx, key)
}

func (m *movable) Swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (store.Entry, bool, error) {
	return m.Pointer.Load().Swap(ctx, key, rev, value, keep)
}

// footprint is the memory in use without stacks: no session keeps a goroutine, and workers
// that have just ended leave more or fewer stacks behind.
func footprint() int64 {
	runtime.GC()
	runtime.GC() // what the first one's finalizers let go
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
