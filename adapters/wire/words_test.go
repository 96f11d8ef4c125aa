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
	for _, word := range []string{"response", "port", "page", "status", "200"} {
		req := wire.Request{Op: pbx.OpLogin, Path: "/api/login", Secrets: secrets(word)}
		for _, resp := range []wire.Response{{Status: 200}, {Status: 502, Body: []byte("<html>")}} {
			if err := inspected(t, req, resp).Unexpected(); strings.Contains(err.Error(), pbx.Redacted) {
				t.Errorf("a password %q shows in %v", word, err)
			}
		}
	}
}
