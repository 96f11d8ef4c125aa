package wazo_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/wazo"
	"github.com/pbxauth/pbx/adapters/wazo/wazosim"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// A refresh token of Wazo's is not used up, does not expire, and is not replaced.
var lastingRefreshToken = map[string]string{
	"KEEPALIVE-06": "a refresh brings no new refresh token: the old one stays",
	"KEEPALIVE-07": "a refresh brings no new refresh token, so that none can be missing",
	"LOGOUT-04":    "a logout is two requests, because the refresh token is deleted by one of its own",
	"EXPIRY-04":    "a refresh token does not expire, and outlives the token that it came with",
	"EXPIRY-06":    "a refresh token does not expire",
	"PROTOCOL-02":  "the first response to a logout is HTTP 204, which has no body to be truncated",
}

func TestTheDriverConformsAtEveryRelease(t *testing.T) {
	prague, err := time.LoadLocation("Europe/Prague")
	if err != nil {
		t.Skip("this machine has no zone database")
	}
	for _, row := range []struct {
		name    string
		dialect wazosim.Options
		driver  map[string]string
		skip    map[string]string
	}{
		{name: "26.04"},
		{name: "before 22.05, in Prague", dialect: wazosim.Options{NoUTC: true, NoReason: true, Zone: prague}},
		{name: "26.04 with refresh tokens", driver: map[string]string{"client_id": "crm"}, skip: lastingRefreshToken},
		{name: "before 22.05 with refresh tokens", dialect: wazosim.Options{NoUTC: true, NoReason: true, Zone: prague},
			driver: map[string]string{"client_id": "crm"}, skip: drivertest.Brief(lastingRefreshToken)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			conformance.Run(t, conformance.Harness{
				Driver:    wazo.Name,
				Options:   row.driver,
				Simulator: func(o *pbxsim.Options) *pbxsim.PBX { return wazosim.New(&row.dialect, o) },
				Call: func(base string) *http.Request {
					r, _ := http.NewRequest(http.MethodGet, base+"/api/confd/1.1/extensions", nil)
					return r
				},
				Skip: row.skip,
			})
		})
	}
}
