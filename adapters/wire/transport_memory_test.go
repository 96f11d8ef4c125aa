//go:build !race

package wire_test

import (
	"crypto/tls"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// TestAPinnedPBXCostsLittleMemory: PBXs on premises have certificates of their own,
// so that each needs a pin, and a way of trusting, of its own.
func TestAPinnedPBXCostsLittleMemory(t *testing.T) {
	own := certificate(t, time.Now().AddDate(1, 0, 0))
	s := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{own}})
	used := func() int64 {
		runtime.GC()
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc + stats.StackInuse)
	}
	const n = 400
	request := func(i int) *wire.Client {
		cfg := settings(s.URL)
		cfg.TLS = pbx.TLS{PinSHA256: pbx.Pin(own.Leaf), ServerName: fmt.Sprintf("pbx-%d.example", i)} // no two share one
		c := open(t, cfg)
		if _, err := c.Do(t.Context(), login); err != nil {
			t.Fatal(err)
		}
		return c
	}
	for i := range 20 {
		request(-1 - i)
	}
	clients, before, running := make([]*wire.Client, n), used(), runtime.NumGoroutine()
	for i := range clients {
		clients[i] = request(i)
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > running+5 && time.Now().Before(deadline); {
		runtime.Gosched() // the server's side ends
	}
	bytes, goroutines := float64(used()-before)/n, float64(runtime.NumGoroutine()-running)/n
	t.Logf("%.0f bytes and %.2f goroutines per PBX", bytes, goroutines)
	if bytes > 2560 || goroutines > 0.1 {
		t.Errorf("%.0f bytes and %.2f goroutines per PBX", bytes, goroutines)
	}
	runtime.KeepAlive(clients)
}
