package wire

import "strings"

// FitsHeader reports whether token is one that a header can carry: printable
// ASCII without blanks.
func FitsHeader(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}
