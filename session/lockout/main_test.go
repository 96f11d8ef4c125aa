package lockout_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets the tests, which make garbage from a small heap, collect it less
// often: they take half the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(1000)
	os.Exit(m.Run())
}
