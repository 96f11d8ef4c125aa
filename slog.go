package pbx

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/rs/zerolog"
)

// SlogLogger returns a logger for [Config].Logger and session.Options.Logger that
// writes to l. Levels and fields keep their names. l's own level decides what is
// written.
func SlogLogger(l *slog.Logger) zerolog.Logger {
	return zerolog.New(slogWriter{l.Handler()})
}

// slogWriter turns zerolog's JSON lines into slog records.
type slogWriter struct{ handler slog.Handler }

var slogLevels = map[zerolog.Level]slog.Level{
	zerolog.TraceLevel: slog.LevelDebug - 4,
	zerolog.DebugLevel: slog.LevelDebug,
	zerolog.InfoLevel:  slog.LevelInfo,
	zerolog.WarnLevel:  slog.LevelWarn,
	zerolog.ErrorLevel: slog.LevelError,
	zerolog.FatalLevel: slog.LevelError,
	zerolog.PanicLevel: slog.LevelError,
	zerolog.NoLevel:    slog.LevelInfo,
}

// Write handles a line without a level.
func (w slogWriter) Write(line []byte) (int, error) { return w.WriteLevel(zerolog.NoLevel, line) }

// WriteLevel handles one line.
func (w slogWriter) WriteLevel(level zerolog.Level, line []byte) (int, error) {
	ctx := context.Background()
	to, ok := slogLevels[level]
	if !ok || !w.handler.Enabled(ctx, to) {
		return len(line), nil
	}
	var attrs []slog.Attr
	message := ""
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if _, err := dec.Token(); err != nil { // the opening brace
		return 0, err
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return 0, err
		}
		var value any
		if err := dec.Decode(&value); err != nil {
			return 0, err
		}
		switch name := key.(string); name {
		case zerolog.MessageFieldName:
			message, _ = value.(string)
		case zerolog.LevelFieldName, zerolog.TimestampFieldName:
		default:
			attrs = append(attrs, slogAttr(name, value))
		}
	}
	r := slog.NewRecord(time.Now(), to, message, 0)
	r.AddAttrs(attrs...)
	return len(line), w.handler.Handle(ctx, r)
}

// slogAttr keeps whole numbers whole.
func slogAttr(name string, value any) slog.Attr {
	if n, ok := value.(json.Number); ok {
		if i, err := n.Int64(); err == nil {
			return slog.Int64(name, i)
		}
		f, _ := n.Float64()
		return slog.Float64(name, f)
	}
	return slog.Any(name, value)
}
