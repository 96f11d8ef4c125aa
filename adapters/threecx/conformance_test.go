package threecx_test

import (
	"testing"

	"github.com/pbxauth/pbx/adapters/threecx"
	"github.com/pbxauth/pbx/adapters/threecx/threecxsim"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func TestTheDriverConformsHoweverTheVendorIsRead(t *testing.T) {
	for _, row := range []struct {
		name    string
		dialect threecxsim.Options
	}{
		{"20.0.9", threecxsim.Options{}},
		{"20.0.8, with another opinion of the lifetime", threecxsim.Options{ExpiresIn: 60, NoRefreshToken: true}},
		{"opaque tokens, several at once", threecxsim.Options{Opaque: true, Second: threecxsim.Spares}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			conformance.Run(t, conformance.Harness{
				Driver:    threecx.Name,
				Simulator: func(o *pbxsim.Options) *pbxsim.PBX { return threecxsim.New(&row.dialect, o) },
			})
		})
	}
}
