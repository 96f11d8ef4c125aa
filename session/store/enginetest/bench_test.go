package enginetest_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/pbxauth/pbx/session/store/enginetest"
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
