// Package fewgc makes the garbage collector run less often, in a test that imports it
// for this effect. Simulated PBXs make much garbage from a heap of a few megabytes, and
// the default collects it every few milliseconds: a third of the time of the test.
// The environment variable GOGC goes first.
package fewgc

import (
	"os"
	"runtime/debug"
)

func init() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(1000)
	}
}
