package mikopbx_test

import (
	"maps"
	"testing"

	"github.com/pbxauth/pbx/adapters/mikopbx"
	"github.com/pbxauth/pbx/adapters/mikopbx/mikopbxsim"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// always are the rules that no MikoPBX can pass.
var always = map[string]string{
	"LOGIN-06":     "the PBX removes tags from a password before it compares it, so that the driver refuses one of any characters",
	"SECRETS-01":   "its password has a tag, which the driver refuses. TestNoSecretIsEverShown does the same with another password",
	"SESSION-10":   "no record of tokens is kept, so that one that was replaced stays valid until it expires. TestTwoOrdinaryDays does the rest",
	"PROTOCOL-06":  "the vendor's texts are in the PBX's language and have no code: the HTTP status decides",
	"KEEPALIVE-07": "the refresh token is in a cookie, and a refresh need not set it",
}

func TestTheDriverConforms(t *testing.T) {
	lasting := map[string]string{
		"KEEPALIVE-06": "a refresh brings no new refresh token: the old one stays",
	}
	for name, row := range map[string]struct {
		sim  mikopbxsim.Options
		skip map[string]string
	}{
		"as the source has it": {mikopbxsim.Options{}, lasting},
		"refresh tokens rotate, nginx refuses dead tokens, the texts are in Russian": {
			mikopbxsim.Options{Rotate: true, Gate: true, Language: "ru"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			skip := maps.Clone(always)
			maps.Copy(skip, row.skip)
			conformance.Run(t, conformance.Harness{
				Driver:    mikopbx.Name,
				Simulator: func(o *pbxsim.Options) *pbxsim.PBX { return mikopbxsim.New(&row.sim, o) },
				Skip:      skip,
			})
		})
	}
}
