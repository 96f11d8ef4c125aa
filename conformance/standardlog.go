package conformance

import (
	"io"
	"log"
	"sync"

	"github.com/pbxauth/pbx/internal/leak"
)

// standardLog passes what is written to the standard logger, by which package slog
// writes too, on to all testbeds. It cannot know whose driver wrote it.
var standardLog struct {
	begin sync.Once

	mu        sync.Mutex // guards listeners
	listeners map[*leak.Detector]bool
}

// hearStandardLog has d search the standard log until stop is called.
func hearStandardLog(d *leak.Detector) (stop func()) {
	l := &standardLog
	l.begin.Do(func() { log.SetOutput(standardLogWriter{log.Writer()}) })
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listeners == nil {
		l.listeners = map[*leak.Detector]bool{}
	}
	l.listeners[d] = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.listeners, d)
	}
}

type standardLogWriter struct{ io.Writer }

func (w standardLogWriter) Write(line []byte) (int, error) {
	l := &standardLog
	l.mu.Lock()
	for d := range l.listeners {
		d.Text("the standard log", string(line))
	}
	l.mu.Unlock()
	return w.Writer.Write(line)
}
