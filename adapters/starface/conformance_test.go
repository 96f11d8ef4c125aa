package starface_test

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/pbxauth/pbx/adapters/starface"
	"github.com/pbxauth/pbx/adapters/starface/starfacesim"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// The vendor leaves questions open, so the driver has to conform under every
// reading. Those that concern different responses go together.
func TestTheDriverConformsHoweverTheVendorIsRead(t *testing.T) {
	for reading, row := range map[string]struct {
		sim         starfacesim.Options
		secondKills bool
		skip        map[string]string
	}{
		"as documented": {},
		"an Active Directory, and 401 without a body": {sim: starfacesim.Options{
			ActiveDirectory: true, WrongLogin: http.StatusUnauthorized, Body: starfacesim.NoBody,
			NewestNonce: true, DeadLogout: http.StatusUnauthorized,
		}},
		"types as in the OpenAPI file, and errors in text": {sim: starfacesim.Options{
			EnumNames: true, Body: starfacesim.TextBody,
			NonceLifetime: time.Second, NotAdministrator: http.StatusUnauthorized,
		}},
		"an Active Directory as in that file, and one token for each user": {
			sim: starfacesim.Options{
				ActiveDirectory: true, EnumNames: true, WrongLogin: http.StatusUnauthorized, NonceReusable: true,
			},
			secondKills: true, skip: map[string]string{"LOGIN-02": "this PBX has one token for each user", "CONCURRENCY-01": "this PBX has one token for each user"},
		},
	} {
		t.Run(reading, func(t *testing.T) {
			t.Parallel()
			skip := map[string]string{"PROTOCOL-06": "the vendor documents no codes: the HTTP status decides"}
			maps.Copy(skip, row.skip)
			conformance.Run(t, conformance.Harness{
				Driver: starface.Name,
				Simulator: func(o *pbxsim.Options) *pbxsim.PBX {
					own := *o
					own.SecondLoginKills = row.secondKills
					return starfacesim.New(&row.sim, &own)
				},
				Skip: skip,
			})
		})
	}
}
