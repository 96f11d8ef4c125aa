package pbx_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/rs/zerolog"
)

func TestATokenPrintsItsTimesOnly(t *testing.T) {
	issued := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	endless := pbx.Token{Value: pbx.NewSecret("v"), Refresh: pbx.NewSecret("r"), IssuedAt: issued, Details: json.RawMessage(`{"user":"x"}`)}
	ending := endless
	ending.ExpiresAt = issued.Add(30 * time.Minute)
	for _, test := range []struct {
		token pbx.Token
		want  string
	}{
		{endless, "token issued 2026-03-01T12:00:00Z, expiry unknown"},
		{ending, "token issued 2026-03-01T12:00:00Z, expires 2026-03-01T12:30:00Z"},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			if got := fmt.Sprintf(verb, test.token); got != test.want {
				t.Errorf("%s = %s, want %s", verb, got, test.want)
			}
			if got := fmt.Sprintf(verb, &test.token); got != test.want {
				t.Errorf("%s of the pointer = %s, want %s", verb, got, test.want)
			}
		}
	}
}

func TestATokenIsNotWrittenAsJSON(t *testing.T) {
	token := pbx.Token{Value: pbx.NewSecret("48a7d7481a5355aa4fb5dc285edeb40e")}
	for _, value := range []any{token, &token, map[string]any{"token": token}} {
		if text, err := json.Marshal(value); err == nil {
			t.Errorf("%T becomes %s", value, text)
		}
	}
}

func TestATokenIsLoggedByItsTimes(t *testing.T) {
	issued := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	token := &pbx.Token{Value: pbx.NewSecret("v"), IssuedAt: issued, ExpiresAt: issued.Add(time.Hour)}
	var out bytes.Buffer
	logger := zerolog.New(&out)
	logger.Log().Object("token", token).Object("none", (*pbx.Token)(nil)).Send()
	const want = `"token":{"issued":"2026-03-01T12:00:00Z","expires":"2026-03-01T13:00:00Z"}`
	if got := out.String(); !strings.Contains(got, want) {
		t.Errorf("zerolog: %s, want %s", got, want)
	}
	out.Reset()
	slog.New(slog.NewJSONHandler(&out, nil)).Info("", "token", *token)
	if got := out.String(); !strings.Contains(got, want) {
		t.Errorf("slog: %s, want %s", got, want)
	}
}
