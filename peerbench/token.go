package main

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// loopFloor is what no holder can do without: is there a token, and is it alive?
func loopFloor() (ask func(n int), done func()) {
	var current atomic.Pointer[string]
	current.Store(new(string))
	base := time.Now()
	return func(n int) {
		for range n {
			if current.Load() == nil || time.Since(base) > tokenLife {
				panic("no token")
			}
		}
	}, func() {}
}

// currentToken returns what each peer takes to give out a living token, in
// nanoseconds, with so many goroutines at once. The peers take turns, so that
// what else the machine does hits all of them, and the medians are compared.
func currentToken(rounds, goroutines int) []float64 {
	const n = 200_000 // a round
	took := make([][]float64, len(peers))
	var loops []func(int)
	for _, p := range peers {
		loop, done := p.loop()
		defer done()
		loops = append(loops, loop)
	}
	for round := range rounds {
		for i := range loops {
			i = (i + round) % len(loops)
			var all sync.WaitGroup
			start := time.Now()
			for range goroutines {
				all.Go(func() { loops[i](n / goroutines) })
			}
			all.Wait()
			took[i] = append(took[i], float64(time.Since(start).Nanoseconds())/n)
		}
	}
	medians := make([]float64, len(took))
	for i, times := range took {
		slices.Sort(times)
		medians[i] = times[len(times)/2]
	}
	return medians
}

// memory returns what each peer's holders add to the process, in bytes each,
// stacks included; 0 for the floor, which holds nothing.
func memory(n int) []float64 {
	bytes := make([]float64, len(peers))
	for i, p := range peers {
		if p.fill == nil {
			continue
		}
		before := footprint()
		done := p.fill(n)
		bytes[i] = float64(footprint()-before) / float64(n)
		done()
	}
	return bytes
}

func footprint() int64 {
	runtime.GC()
	runtime.GC() // what the first one's finalizers let go
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc + stats.StackInuse)
}
