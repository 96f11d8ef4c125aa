package conformance

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// panicPlace says where the panic happened that is being recovered from, as in
// " (acme.go:17)": the innermost place that is not the runtime's.
func panicPlace() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	panicking := false
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			panicking = true
		case panicking && !strings.HasPrefix(frame.Function, "runtime."):
			return fmt.Sprintf(" (%s:%d)", filepath.Base(frame.File), frame.Line)
		case !more:
			return ""
		}
	}
}
