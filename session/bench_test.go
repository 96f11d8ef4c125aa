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
)

// contender is one of several ways to do the same thing.
type contender struct {
	name string
	run  func(n int) // n times
}

// compare lets contenders take turns in rounds of n, so that what else the
// machine does hits all of them. It reports each one's median time, and the
// median of its ratio to the first one's in the same round: that is the figure to
// look at, for it holds where the times do not.
func compare(b *testing.B, n int, contenders ...contender) {
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
		ratios := make([]float64, len(took[i]))
		for round := range ratios {
			ratios[round] = took[i][round] / took[0][round]
		}
		b.ReportMetric(median(took[i]), c.name+"-ns")
		if i > 0 {
			b.ReportMetric(median(ratios), c.name+"/"+contenders[0].name)
		}
	}
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	println(int(values[0]*100), int(values[len(values)/20]*100), int(values[len(values)/4]*100), int(values[len(values)/2]*100)); return values[len(values)/2]
}

// onAllCores makes a contender of as many as there are cores; its time is that
// of the whole machine.
func onAllCores(c contender) contender {
	cores := runtime.GOMAXPROCS(0)
	return contender{c.name + "-all-cores", func(n int) {
		var all sync.WaitGroup
		for range cores {
			all.Go(func() { c.run(n / cores) })
		}
		all.Wait()
	}}
}

// BenchmarkToken compares the token of a live session with what it cannot do
// without: one atomic load and one look at the monotonic clock. On one core and
// on all of them: without a lock, two cores are nearly twice as fast.
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
	b.Run("all-cores", func(b *testing.B) { compare(b, 100_000, onAllCores(floor), onAllCores(live)) })
	b.Run("speed-up", func(b *testing.B) { compare(b, 2_000_000, onAllCores(live), live) })
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
