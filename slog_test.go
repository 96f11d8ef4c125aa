package pbx_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
)

func TestSlogLoggerKeepsLevelsAndFields(t *testing.T) {
	var out bytes.Buffer
	logger := pbx.SlogLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
		Level: slog.LevelInfo,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})))
	logger.Debug().Msg("routine")
	logger.Info().Str("session", "acme").Int("attempt", 3).Dur("took", 1500*time.Millisecond).Msg("live")
	logger.Warn().Err(errors.New("no route")).Bool("sent", false).Send()
	want := strings.Join([]string{
		`level=INFO msg=live session=acme attempt=3 took=1500`,
		`level=WARN msg="" error="no route" sent=false`, ""}, "\n")
	if got := out.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestSlogLoggerObeysItsHandler(t *testing.T) {
	logger := pbx.SlogLogger(slog.New(slog.DiscardHandler))
	logger.Error().Msg("unheard")
}
