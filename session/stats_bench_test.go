package session_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/pbxauth/pbx/session"
)

// BenchmarkStats reads the figures of a small fleet and of a large one: both cost
// the same.
func BenchmarkStats(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 1_000_000})
			defer m.Close(context.Background())
			for i := range n {
				if _, err := m.Add(fmt.Sprint(i), small(i)); err != nil {
					b.Fatal(err)
				}
			}
			if err := m.Ready(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if m.Stats().Live != n {
					b.Fatal("not all are live")
				}
			}
		})
	}
}

// BenchmarkCounting is what counting adds to an operation of a driver, alone and
// with an OnOp that does nothing.
func BenchmarkCounting(b *testing.B) {
	for name, opts := range map[string]session.Options{"stats": {}, "OnOp": {OnOp: func(session.OpInfo) {}}} {
		b.Run(name, func(b *testing.B) {
			opts.Guard = &session.Guard{}
			s := session.New(&fake{}, &opts)
			defer s.Close(context.Background())
			b.ReportAllocs()
			started := time.Now() // which the engine has to know in any case
			for b.Loop() {
				s.Count(started)
			}
		})
	}
}
