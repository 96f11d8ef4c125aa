package pbx

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what a [Secret] prints as.
const Redacted = "[redacted]"

// Secret holds a password, a token or a key. It prints as [Redacted] under
// every fmt verb, in JSON, text, zerolog and slog; [Secret.Reveal] is the only
// way out. The zero value is the empty secret.
//
// It is a struct around a pointer and not a string type for two reasons: a
// conversion would be a second way out, and fmt prints a string in an
// unexported field of somebody's struct without asking its methods. A Secret
// there prints as an address.
type Secret struct{ text *string }

// NewSecret wraps s.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{&s}
}

// Reveal returns the text itself. Call it where the text is put on the wire
// and nowhere else.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether s is empty.
func (s Secret) IsZero() bool { return s.text == nil }

// Equal reports whether both hold the same text, in constant time for texts of
// equal length. Do not compare Secrets with ==: that compares addresses.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns [Redacted].
func (Secret) String() string { return Redacted }

// Format writes [Redacted] whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, Redacted) }

// MarshalText returns [Redacted], which also covers JSON and zerolog.
func (Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// UnmarshalText reads the text itself, so that a settings file can be decoded
// into a [Config]. What MarshalText wrote is refused: a redacted secret that
// came back would be sent as a wrong password.
func (s *Secret) UnmarshalText(text []byte) error {
	if string(text) == Redacted {
		return fmt.Errorf("pbx: the secret reads %q: it was printed, not stored; set the real one", Redacted)
	}
	*s = NewSecret(string(text))
	return nil
}

// LogValue keeps the secret out of slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(Redacted) }
