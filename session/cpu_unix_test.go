//go:build unix

package session_test

import (
	"syscall"
	"time"
)

// cpuSeconds is the time that the processors have worked for this program.
func cpuSeconds() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}
