package wire_test

import (
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// A password may be a word of an error that everybody knows: one that is missing
// from it is one that is told.
func TestNothingIsCutOutOfTheDriversOwnWords(t *testing.T) {
	client := open(t, settings("https://pbx.example.com"))
	for _, word := range []string{"answer", "port", "page", "status"} {
		req := wire.Request{Op: pbx.OpLogin, Secrets: []pbx.Secret{pbx.NewSecret(word)}}
		for _, resp := range []*wire.Response{{Status: 200}, {Status: 502, Body: []byte("<html>")}} {
			if err := client.Unexpected(req, resp); strings.Contains(err.Error(), pbx.Redacted) {
				t.Errorf("a password %q shows in %v", word, err)
			}
		}
	}
}
