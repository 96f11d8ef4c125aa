//go:build unix

package enginetest_test

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pbxauth/pbx/session/store/enginetest"
	"github.com/pbxauth/pbx/session/store/pgstore"
	"github.com/pbxauth/pbx/session/store/redisstore"
)

// waitTime bounds a wait for a server.
const waitTime = 20 * time.Second

// BenchmarkRedisRenewal is what a session needs of the store to renew its token:
// a Swap that claims and one that commits.
func BenchmarkRedisRenewal(b *testing.B) {
	r := enginetest.StartRedis(b)
	s := openRedis(b, r.URL(), redisstore.Options{})
	value := bytes.Repeat([]byte("v"), 500)
	var rev uint64
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		for range 2 {
			e, won, err := s.Swap(b.Context(), "s/session", rev, value, time.Hour)
			if err != nil || !won {
				b.Fatal(won, err)
			}
			rev = e.Rev
		}
		took = append(took, time.Since(began))
	}
	quantiles(b, took)
}

func quantiles(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
}

// BenchmarkPostgresRenewals counts renewals a second, of two Swaps each, over 16
// connections to a server that writes its log to the disk.
func BenchmarkPostgresRenewals(b *testing.B) {
	const workers = 16
	p := enginetest.StartPostgres(b, "fsync=on")
	s := openPostgres(b, p.URL()+"&pool_max_conns=16", pgstore.Options{})
	create(b, s)
	value := bytes.Repeat([]byte("v"), 500)
	var sessions atomic.Int32
	b.SetParallelism(workers / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		key := fmt.Sprintf("s/session%d", sessions.Add(1))
		var rev uint64
		for pb.Next() {
			for range 2 {
				e, won, err := s.Swap(b.Context(), key, rev, value, time.Hour)
				if err != nil || !won {
					b.Error(won, err)
					return
				}
				rev = e.Rev
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "renewals/s")
}
