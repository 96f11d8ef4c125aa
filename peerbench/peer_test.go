package main

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	panicIfTold()
	os.Exit(m.Run())
}

func TestASessionSendsAWrongPasswordOnce(t *testing.T) {
	for _, polling := range []time.Duration{0, 200 * time.Millisecond} {
		if logins := wrongPassword(openSession, polling); logins != 1 {
			t.Errorf("%d logins in %s", logins, polling)
		}
	}
}

func TestASessionReplacesADeadTokenOnce(t *testing.T) {
	if logins, ok := deadToken(openSession); logins != 1 || !ok {
		t.Errorf("%d logins", logins)
	}
}

func TestWhatBecomesOfALoginThatPanics(t *testing.T) {
	want := []string{"an error", "the application panics", "the process dies", "–", "–"}
	for i, p := range peers {
		if got := panicking(p); got != want[i] {
			t.Errorf("%s: %s, want %s", p.name, got, want[i])
		}
	}
}

func TestTheTableIsWhole(t *testing.T) {
	var table strings.Builder
	write(&table, sizes{fleet: 1000, rounds: 3, polling: 100 * time.Millisecond})
	for line := range strings.Lines(strings.Split(table.String(), "\n\n")[1]) {
		if strings.Count(line, "|") != len(peers)+2 || strings.Contains(line, "|  |") {
			t.Errorf("a line with holes: %s", line)
		}
	}
}

// The benchmarks tell the table's figures one by one; the command prints them
// beside each other.

func BenchmarkCurrentToken(b *testing.B) {
	for name, goroutines := range map[string]int{"one-core": 1, "all-cores": runtime.GOMAXPROCS(0)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				report(b, currentToken(100, goroutines), "ns")
			}
		})
	}
}

func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		report(b, memory(100_000), "B")
	}
}

func BenchmarkFaults(b *testing.B) {
	for _, p := range peers {
		if p.open == nil {
			continue
		}
		b.Run(strings.ReplaceAll(p.name, " ", "-"), func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(float64(wrongPassword(p.open, 0)), "wrong-logins-at-once")
				b.ReportMetric(float64(wrongPassword(p.open, time.Second)), "wrong-logins-polling")
				b.ReportMetric(float64(deadline(p.open).Milliseconds()), "ms-for-20ms-deadline")
				if logins, ok := deadToken(p.open); ok {
					b.ReportMetric(float64(logins), "logins-for-10-reports")
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// report gives the figures of all peers, and their ratios to ours.
func report(b *testing.B, figures []float64, unit string) {
	b.ReportMetric(0, "ns/op")
	for i, p := range peers {
		name := strings.NewReplacer(" ", "", ":", "-", ".", "").Replace(p.name)
		if figures[i] == 0 {
			continue
		}
		b.ReportMetric(figures[i], name+"-"+unit)
		if i > 0 {
			b.ReportMetric(figures[i]/figures[0], name+"/ours")
		}
	}
}
