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
// every reading of it. Those that concern different responses go together.
func TestTheDriverConformsHoweverThePageIsRead(t *testing.T) {
	for reading, row := range map[string]struct {
		settings grandstreamsim.Options
		skip     map[string]string
	}{
		"as documented": {grandstreamsim.Options{}, nil},
		"the second of all readings": {grandstreamsim.Options{
			ChallengeLifetime: time.Second, // instead of any time
			WrongLogin:        -71,         // an unknown user
			DeadCookie:        -5,          // no cookie
			StatusInString:    true,
		}, nil},
		"a firmware without logout, of which a banned client hears at the challenge": {
			grandstreamsim.Options{
				NewestOnly:     true, // a challenge voids the one before
				BanAtChallenge: true,
				NoLogout:       true,
			}, map[string]string{
				"LOGOUT-01":  "the firmware has no logout",
				"SESSION-05": "the firmware has no logout",
			},
		},
	} {
		t.Run(reading, func(t *testing.T) {
			t.Parallel()
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
