package pbx

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Token is what a login obtained. It is immutable once returned: a prolonged or
// replaced token is a new Token.
type Token struct {
	// Value goes with every request, where the brand wants it: see [Authorizer].
	Value Secret
	// Refresh is empty for brands without refresh tokens.
	Refresh Secret

	// IssuedAt is this machine's time just before the request was sent, so a
	// life counted from it never ends later than the PBX's own.
	IssuedAt time.Time
	// ExpiresAt is when the PBX ends the token if nothing prolongs it, by this
	// machine's clock. Zero: no end is known.
	ExpiresAt time.Time
	// RefreshExpiresAt is when Refresh runs out. Zero: unknown or never.
	RefreshExpiresAt time.Time

	// Details is what the login answered, as JSON, less its secrets. Each
	// driver's doc says what it holds; nil when it holds nothing.
	Details json.RawMessage
}

// String tells the token's times and nothing that could be used.
func (t Token) String() string {
	if t.ExpiresAt.IsZero() {
		return fmt.Sprintf("token issued %s, no known end", t.IssuedAt.Format(time.RFC3339))
	}
	return fmt.Sprintf("token issued %s, expires %s", t.IssuedAt.Format(time.RFC3339), t.ExpiresAt.Format(time.RFC3339))
}

// Format writes [Token.String] whatever the verb.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }
