package grandstream_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx/adapters/grandstream"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/conformance"
)

// The vendor's page leaves questions open, so the driver has to conform under
// every answer to them.
func TestTheDriverConformsHoweverThePageIsRead(t *testing.T) {
	for reading, row := range map[string]struct {
		settings grandstreamsim.Settings
		skip     map[string]string
	}{
		"as documented":                            {grandstreamsim.Settings{}, nil},
		"a challenge expires":                      {grandstreamsim.Settings{ChallengeLife: time.Second}, nil},
		"a challenge voids the one before":         {grandstreamsim.Settings{NewestOnly: true}, nil},
		"a wrong login is an unknown user":         {grandstreamsim.Settings{WrongLogin: -71}, nil},
		"a dead cookie is none":                    {grandstreamsim.Settings{DeadCookie: -5}, nil},
		"the status is a string":                   {grandstreamsim.Settings{StatusInString: true}, nil},
		"a banned caller is told at the challenge": {grandstreamsim.Settings{BanAtChallenge: true}, nil},
		"there is no logout": {grandstreamsim.Settings{NoLogout: true}, map[string]string{
			"LOGOUT-01":  "the firmware has no logout",
			"SESSION-05": "the firmware has no logout",
		}},
	} {
		t.Run(reading, func(t *testing.T) {
			conformance.Run(t, conformance.Harness{
				Driver:    grandstream.Name,
				Simulator: row.settings.New,
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
