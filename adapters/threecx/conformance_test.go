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
		skip    map[string]string
	}{
		{"20.0.9", threecxsim.Options{}, nil},
		{"20.0.8, with another opinion of the lifetime, and a dead token in the form of XAPI's errors", threecxsim.Options{
			ExpiresIn: 60, NoRefreshToken: true, DeadTokenInJSON: true,
		}, nil},
		{"refusals as on the vendor's page", threecxsim.Options{
			ExpiresIn: 60, Refusal: threecxsim.Words401, DeadTokenInJSON: true,
		}, map[string]string{"PROTOCOL-06": "unauthorized is no code: it repeats HTTP 401, and counts beside it only"}},
		{"opaque tokens, several at once, and statuses in JSON", threecxsim.Options{
			Opaque: true, Second: threecxsim.Spares, Refusal: threecxsim.Problem401, DeadTokenInJSON: true,
		}, map[string]string{"PROTOCOL-06": "a status in JSON is no code of the vendor's: it counts beside the same HTTP status only"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			conformance.Run(t, conformance.Harness{
				Driver:    threecx.Name,
				Simulator: func(o *pbxsim.Options) *pbxsim.PBX { return threecxsim.New(&row.dialect, o) },
				Skip:      row.skip,
			})
		})
	}
}
