package session

import (
	"sync"

	"github.com/rs/zerolog"
)

// journal writes log lines in their order on a goroutine of its own, which runs
// only while there are lines. A writer that blocks therefore keeps nobody
// waiting.
type journal struct {
	logger zerolog.Logger

	mu      sync.Mutex // guards what follows
	lines   []logLine
	writing bool
	lost    int
	idle    chan struct{} // closed when the last line is written; nil: nobody waits
}

type logLine struct {
	level   zerolog.Level
	message string
	fields  func(*zerolog.Event)
}

// mostLines is how many lines wait for a writer that blocks. Further ones are
// counted.
const mostLines = 10_000

// write adds a line. fields runs later, on another goroutine.
func (j *journal) write(level zerolog.Level, message string, fields func(*zerolog.Event)) {
	if level < j.logger.GetLevel() || level < zerolog.GlobalLevel() {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.lines) >= mostLines {
		j.lost++
		return
	}
	j.lines = append(j.lines, logLine{level, message, fields})
	if !j.writing {
		j.writing = true
		go j.drain()
	}
}

// enabled reports whether lines of that level are written.
func (j *journal) enabled(level zerolog.Level) bool {
	return level >= j.logger.GetLevel() && level >= zerolog.GlobalLevel()
}

func (j *journal) drain() {
	for {
		j.mu.Lock()
		lines, lost := j.lines, j.lost
		j.lines, j.lost = nil, 0
		if len(lines) == 0 && lost == 0 {
			j.writing = false
			if j.idle != nil {
				close(j.idle)
				j.idle = nil
			}
			j.mu.Unlock()
			return
		}
		j.mu.Unlock()
		for _, l := range lines {
			j.put(l)
		}
		if lost > 0 {
			j.put(logLine{zerolog.WarnLevel, "log lines lost: the writer was too slow", func(e *zerolog.Event) { e.Int("lines", lost) }})
		}
	}
}

// put writes one line. A writer that panics loses it.
func (j *journal) put(l logLine) {
	defer func() { _ = recover() }()
	e := j.logger.WithLevel(l.level)
	l.fields(e)
	e.Msg(l.message)
}

// flush waits until what was written so far has reached the writer, or stop is
// closed.
func (j *journal) flush(stop <-chan struct{}) {
	j.mu.Lock()
	if !j.writing {
		j.mu.Unlock()
		return
	}
	if j.idle == nil {
		j.idle = make(chan struct{})
	}
	idle := j.idle
	j.mu.Unlock()
	select {
	case <-idle:
	case <-stop:
	}
}
