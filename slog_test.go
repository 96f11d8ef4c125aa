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
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})))
	logger.Trace().Msg("below the handler's level")
	logger.Debug().Float64("ratio", 0.25).Msg("routine")
	logger.Log().Msg("without a level")
	logger.Info().Str("session", "acme").Int("attempt", 3).Int64("bytes", 1<<53+1).Dur("took", 1500*time.Millisecond).Msg("live")
	logger.Warn().Err(errors.New("no route")).Bool("sent", false).Send()
	logger.Error().Msg("rejected")
	want := strings.Join([]string{
		`level=DEBUG msg=routine ratio=0.25`,
		`level=INFO msg="without a level"`,
		`level=INFO msg=live session=acme attempt=3 bytes=9007199254740993 took=1500`,
		`level=WARN msg="" error="no route" sent=false`,
		`level=ERROR msg=rejected`, ""}, "\n")
	if got := out.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestSlogLoggerObeysItsHandler(t *testing.T) {
	logger := pbx.SlogLogger(slog.New(slog.DiscardHandler))
	logger.Error().Msg("unheard")
}
