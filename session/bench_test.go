package session_test

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// contender is one of several ways to do the same thing.
type contender struct {
	name string
	run  func(n int) // n times
}

// compare lets contenders take turns in rounds of n, so that what else the
// machine does hits all of them. It reports each one's median time, and the
// median of its ratio to the first one's in the same round: that is the figure to
// look at, for it holds where the times do not. It returns the times of all
// rounds, in nanoseconds.
func compare(b *testing.B, n int, contenders ...contender) [][]float64 {
	took := make([][]float64, len(contenders))
	for round := 0; b.Loop(); round++ {
		for i := range contenders {
			i = (i + round) % len(contenders)
			start := time.Now()
			contenders[i].run(n)
			took[i] = append(took[i], float64(time.Since(start).Nanoseconds())/float64(n))
		}
	}
	b.ReportMetric(0, "ns/op") // of a whole round: means nothing
	for i, c := range contenders {
		b.ReportMetric(median(took[i]), c.name+"-ns")
		if i == 0 {
			continue
		}
		ratios := make([]float64, len(took[i]))
		for round := range ratios {
			ratios[round] = took[i][round] / took[0][round]
		}
		b.ReportMetric(median(ratios), c.name+"/"+contenders[0].name)
	}
	return took
}

func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }

// BenchmarkToken compares Token of a live session with the least that it needs: one
// atomic load and one look at the monotonic clock.
func BenchmarkToken(b *testing.B) {
	s := session.New(&fake{life: time.Hour}, &session.Options{Guard: &session.Guard{}})
	defer s.Close(context.Background())
	ctx := context.Background()
	if _, err := s.Token(ctx); err != nil {
		b.Fatal(err)
	}
	var current atomic.Pointer[pbx.Token]
	current.Store(&pbx.Token{})
	base := time.Now()

	floor := contender{"floor", func(n int) {
		for range n {
			if current.Load() == nil || time.Since(base) > time.Hour {
				b.Error("no token")
			}
		}
	}}
	live := contender{"session", func(n int) {
		for range n {
			if _, err := s.Token(ctx); err != nil {
				b.Error(err)
			}
		}
	}}
	b.Run("one-core", func(b *testing.B) { compare(b, 20_000, floor, live) })
	for _, name := range []string{"with a store", "with the store stopped"} {
		b.Run(name, func(b *testing.B) {
			memory := &store.Memory{}
			shared, err := session.NewShared(session.SharedSettings{Store: memory.Faults().Process("one"), Keys: [][]byte{sealKey}})
			if err != nil {
				b.Fatal(err)
			}
			m := session.NewManager(&session.Options{Store: shared})
			defer m.Close(ctx)
			s, err := m.Add("7", &fake{life: time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := s.Token(ctx); err != nil {
				b.Fatal(err)
			}
			if name != "with a store" {
				memory.Faults().Cut("one")
			}
			compare(b, 20_000, floor, contender{"session", func(n int) {
				for range n {
					if _, err := s.Token(ctx); err != nil {
						b.Error(err)
					}
				}
			}})
		})
	}
	b.Run("all-cores", func(b *testing.B) {
		took := compare(b, 1_000_000, live, onAllCores(live))
		// In most rounds another process holds one of the cores. The quickest ones show
		// what ours can do.
		b.ReportMetric(slices.Min(took[0])/slices.Min(took[1]), "times-as-fast-at-best")
	})
}

// onAllCores divides a contender's work among all cores.
func onAllCores(c contender) contender {
	cores := runtime.GOMAXPROCS(0)
	return contender{c.name + "-on-all", func(n int) {
		var all sync.WaitGroup
		for range cores {
			all.Go(func() { c.run(n / cores) })
		}
		all.Wait()
	}}
}

func TestALiveTokenCostsNoAllocation(t *testing.T) {
	s := session.New(&fake{life: time.Hour}, &session.Options{Guard: &session.Guard{}})
	defer s.Close(context.Background())
	mustToken(t, s)
	ctx := t.Context()
	if allocs := testing.AllocsPerRun(1000, func() { s.Token(ctx) }); allocs != 0 {
		t.Errorf("%.0f allocations", allocs)
	}
}
