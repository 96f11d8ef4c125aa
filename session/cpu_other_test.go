//go:build !unix

package session_test

import (
	"runtime"
	"runtime/metrics"
)

// cpuSeconds is the time that the processors have worked for this program. The
// runtime also counts the time that it waited for other programs.
func cpuSeconds() float64 {
	runtime.GC() // updates it
	sample := []metrics.Sample{{Name: "/cpu/classes/user:cpu-seconds"}, {Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64() + sample[1].Value.Float64()
}
