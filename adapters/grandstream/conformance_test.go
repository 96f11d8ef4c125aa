package grandstream_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx/adapters/grandstream"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// The vendor's page leaves questions open, so the driver has to conform under
// every answer to them.
func TestTheDriverConformsHoweverThePageIsRead(t *testing.T) {
	for reading, row := range map[string]struct {
		settings grandstreamsim.Options
		skip     map[string]string
	}{
		"as documented":                            {grandstreamsim.Options{}, nil},
		"a challenge expires":                      {grandstreamsim.Options{ChallengeLifetime: time.Second}, nil},
		"a challenge voids the one before":         {grandstreamsim.Options{NewestOnly: true}, nil},
		"a wrong login is an unknown user":         {grandstreamsim.Options{WrongLogin: -71}, nil},
		"a dead cookie is none":                    {grandstreamsim.Options{DeadCookie: -5}, nil},
		"the status is a string":                   {grandstreamsim.Options{StatusInString: true}, nil},
		"a banned caller is told at the challenge": {grandstreamsim.Options{BanAtChallenge: true}, nil},
		"there is no logout": {grandstreamsim.Options{NoLogout: true}, map[string]string{
			"LOGOUT-01":  "the firmware has no logout",
			"SESSION-05": "the firmware has no logout",
		}},
	} {
		t.Run(reading, func(t *testing.T) {
			conformance.Run(t, conformance.Harness{
				Driver:    grandstream.Name,
				Simulator: func(o *pbxsim.Options) *pbxsim.PBX { return grandstreamsim.New(&row.settings, o) },
				Call: func(base string) *http.Request {
					r, _ := http.NewRequest(http.MethodPost, base+"/api", strings.NewReader(`{"request":{"action":"getSystemGeneralStatus"}}`))
					r.Header.Set("Content-Type", "application/json")
					return r
				},
				Skip: row.skip,
			})
		})
	}
}
