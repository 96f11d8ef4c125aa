package session_test

import (
	"flag"
	"os"
	"runtime/debug"
	"strings"
	"testing"
)

// TestMain makes the garbage collector run less often, as simulated PBXs make much
// garbage from a small heap. Benchmarks, and tests with flags of this package, measure
// time or need much memory: they run with the default, and so does what sets GOGC.
func TestMain(m *testing.M) {
	flag.Parse()
	usual := os.Getenv("GOGC") != ""
	flag.Visit(func(f *flag.Flag) {
		usual = usual || f.Name == "test.bench" || !strings.HasPrefix(f.Name, "test.")
	})
	if !usual {
		debug.SetGCPercent(500)
	}
	os.Exit(m.Run())
}
