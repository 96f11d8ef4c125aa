package pbx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/rs/zerolog"
)

// Token is the result of a login. It is immutable: an extended or replaced token
// is a new Token.
type Token struct {
	// Value goes with every request, where the brand expects it: see
	// [Requester].
	Value Secret
	// Refresh is empty for brands without refresh tokens.
	Refresh Secret

	// IssuedAt is this machine's time just before the login or keep-alive that
	// returned the token was sent. A lifetime counted from it never ends later than
	// the PBX's own. A session takes ExpiresAt - IssuedAt for the lifetime.
	IssuedAt time.Time
	// ExpiresAt is when the token expires if nothing extends it, by this
	// machine's clock. Zero: unknown.
	ExpiresAt time.Time
	// RefreshExpiresAt is when Refresh expires. Zero: unknown or never.
	RefreshExpiresAt time.Time

	// Details is the login's response as JSON, without secrets. Each driver
	// documents what it holds. nil: nothing.
	Details json.RawMessage
}

// String returns the token's times and no secret.
func (t Token) String() string {
	if t.ExpiresAt.IsZero() {
		return fmt.Sprintf("token issued %s, expiry unknown", t.IssuedAt.Format(time.RFC3339))
	}
	return fmt.Sprintf("token issued %s, expires %s", t.IssuedAt.Format(time.RFC3339), t.ExpiresAt.Format(time.RFC3339))
}

// Format writes [Token.String] for every verb.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// MarshalJSON always fails. Written as JSON, the token would lose its secrets
// without an error and come back as one that the PBX refuses.
func (Token) MarshalJSON() ([]byte, error) {
	return nil, errors.New("pbx: a Token is not written as JSON, because its secrets would be lost: to keep tokens between processes, give the session a store")
}

// LogValue logs the token's times with slog.
func (t Token) LogValue() slog.Value {
	return slog.GroupValue(slog.Time("issued", t.IssuedAt), slog.Time("expires", t.ExpiresAt))
}

// MarshalZerologObject logs the token's times with zerolog.
func (t *Token) MarshalZerologObject(e *zerolog.Event) {
	if t == nil {
		return
	}
	e.Time("issued", t.IssuedAt).Time("expires", t.ExpiresAt)
}
