package session_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// BenchmarkToken compares the token of a live session with what it cannot do
// without: one atomic load and one look at the monotonic clock.
func BenchmarkToken(b *testing.B) {
	b.Run("floor", func(b *testing.B) {
		var current atomic.Pointer[pbx.Token]
		current.Store(&pbx.Token{})
		base := time.Now()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if current.Load() == nil || time.Since(base) > time.Hour {
					b.Error("no token")
				}
			}
		})
	})
	b.Run("session", func(b *testing.B) {
		s := session.New(&fake{life: time.Hour}, &session.Options{Guard: &session.Guard{}})
		defer s.Close(context.Background())
		ctx := context.Background()
		if _, err := s.Token(ctx); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.Token(ctx); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
