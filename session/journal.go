package session

import "github.com/rs/zerolog"

// journal writes log lines. A writer that blocks delays nothing else.
type journal struct {
	logger zerolog.Logger
	silent bool // there is no writer
	lines  outbox[logLine]
}

type logLine struct {
	level   zerolog.Level
	message string
	fields  func(*zerolog.Event)
}

func newJournal(logger zerolog.Logger) *journal {
	j := &journal{logger: logger, silent: !logger.Log().Enabled()}
	j.lines.put = j.put
	j.lines.lost = func(n int) {
		j.put(logLine{zerolog.WarnLevel, "log lines lost: the writer was too slow", func(e *zerolog.Event) { e.Int("lines", n) }})
	}
	return j
}

// write adds a line. fields runs later, on another goroutine.
func (j *journal) write(level zerolog.Level, message string, fields func(*zerolog.Event)) {
	if j.enabled(level) {
		j.lines.add(logLine{level, message, fields})
	}
}

// enabled reports whether lines of that level are written.
func (j *journal) enabled(level zerolog.Level) bool {
	return !j.silent && level >= j.logger.GetLevel() && level >= zerolog.GlobalLevel()
}

func (j *journal) put(l logLine) {
	e := j.logger.WithLevel(l.level)
	l.fields(e)
	e.Msg(l.message)
}
