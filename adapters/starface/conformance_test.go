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
// possible answer.
func TestTheDriverConformsHoweverTheVendorIsRead(t *testing.T) {
	for reading, row := range map[string]struct {
		sim         starfacesim.Options
		secondKills bool
		skip        map[string]string
	}{
		"as documented":                           {},
		"an Active Directory":                     {sim: starfacesim.Options{ActiveDirectory: true}},
		"types as in the OpenAPI file":            {sim: starfacesim.Options{EnumNames: true}},
		"an Active Directory as in that file":     {sim: starfacesim.Options{ActiveDirectory: true, EnumNames: true}},
		"a wrong login is 401":                    {sim: starfacesim.Options{WrongLogin: http.StatusUnauthorized}},
		"a wrong login is 401 without a body":     {sim: starfacesim.Options{WrongLogin: http.StatusUnauthorized, Body: starfacesim.NoBody}},
		"errors are text":                         {sim: starfacesim.Options{Body: starfacesim.TextBody}},
		"errors have no body":                     {sim: starfacesim.Options{Body: starfacesim.NoBody}},
		"a nonce can be used twice":               {sim: starfacesim.Options{NonceReusable: true}},
		"a nonce expires":                         {sim: starfacesim.Options{NonceLifetime: time.Second}},
		"a nonce voids the ones before":           {sim: starfacesim.Options{NewestNonce: true}},
		"a logout with a dead token is 401":       {sim: starfacesim.Options{DeadLogout: http.StatusUnauthorized}},
		"the user is no administrator":            {sim: starfacesim.Options{NotAdministrator: http.StatusUnauthorized}},
		"a second login ends the token before it": {secondKills: true, skip: map[string]string{"LOGIN-02": "this PBX has one token for each user", "CONCURRENCY-01": "this PBX has one token for each user"}},
	} {
		t.Run(reading, func(t *testing.T) {
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
