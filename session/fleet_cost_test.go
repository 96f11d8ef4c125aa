package session_test

import (
	"context"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx/session"
)

// TestWhatTheEngineCosts prints the figures of a fleet whose drivers do nothing: CPU
// for a session's start, CPU and memory for a keep-alive, memory of a session.
// go test -run WhatTheEngineCosts -v ./session -fleet 1000000 takes a few minutes
// and 2 GB.
func TestWhatTheEngineCosts(t *testing.T) {
	n := *fleetSize
	if session.RaceDetector {
		n = min(n, 200)
	}
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: n})
		defer m.Close(context.Background())
		empty, cpu := footprint(), cpuSeconds()
		for i := range n {
			if _, err := m.Add(strconv.Itoa(i), small(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		started := cpuSeconds()
		bytes := float64(footprint()-empty) / float64(n)
		if live := m.Stats().Live; live != n {
			t.Fatalf("%d of %d sessions are live", live, n)
		}

		time.Sleep(time.Hour) // until their renewals are spread
		allocated := func() uint64 {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			return stats.TotalAlloc
		}
		before, beats, steady := allocated(), m.Stats().KeepAlives, cpuSeconds()
		time.Sleep(time.Hour)
		beats = m.Stats().KeepAlives - beats
		perBeat := float64(allocated()-before) / float64(beats)
		t.Logf("%d sessions: %.1f µs of CPU for a start, %.0f bytes; %.1f µs of CPU and %.0f bytes for a keep-alive",
			n, (started-cpu)/float64(n)*1e6, bytes, (cpuSeconds()-steady)/float64(beats)*1e6, perBeat)
		if most := 1024.; !session.RaceDetector && perBeat > most {
			t.Errorf("a keep-alive allocates %.0f bytes, want no more than %.0f", perBeat, most)
		}
	})
}
