package yeastarp_test

import (
	"net/http"
	"testing"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastarp"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// The vendor leaves questions open, so the driver has to conform under every
// answer to them. That a get_token leaves the older tokens alive is documented.
func TestTheDriverConformsHoweverThePagesAreRead(t *testing.T) {
	for _, reading := range []struct {
		name    string
		dialect yeastarpsim.Options
		options func(*pbxsim.Options)
		brief   bool // the rules that take long are left out: another reading plays them
	}{
		{name: "as documented"},
		{name: "a refresh spares the old token", options: func(o *pbxsim.Options) { o.RefreshSparesOld = true }, brief: true},
		{name: "a refresh frees no place", options: func(o *pbxsim.Options) { o.RefreshHoldsPlace = true }, brief: true},
		{name: "a refresh spares the old token, and it keeps its place", options: func(o *pbxsim.Options) { o.RefreshSparesOld, o.RefreshHoldsPlace = true, true }},
		{name: "a wrong token counts as a wrong login", options: func(o *pbxsim.Options) { o.Lockout.DeadTokens = true }},
		{name: "a good login forgives no wrong ones", options: func(o *pbxsim.Options) { o.Lockout.Reset = pbxsim.Nothing }},
		// The other codes are in TestALostRefreshTokenFallsBackToOneLogin.
		{name: "a dead refresh token is a failure", dialect: yeastarpsim.Options{RefreshErrcode: -1}, brief: true},
		{name: "a dead refresh token has a code of its own", dialect: yeastarpsim.Options{RefreshErrcode: 10006}, brief: true},
		{name: "a revocation of a dead token succeeds, and a block does not say until when", dialect: yeastarpsim.Options{LogoutForgives: true, NoBlockTime: true}, brief: true},
	} {
		t.Run(reading.name, func(t *testing.T) {
			t.Parallel()
			var skip map[string]string
			if reading.brief {
				skip = drivertest.Brief(skip)
			}
			conformance.Run(t, conformance.Harness{
				Driver: yeastarp.Name,
				Simulator: func(o *pbxsim.Options) *pbxsim.PBX {
					if reading.options != nil {
						reading.options(o)
					}
					return yeastarpsim.New(&reading.dialect, o)
				},
				Call: func(base string) *http.Request {
					r, _ := http.NewRequest(http.MethodGet, base+"/openapi/v1.0/system/information", nil)
					return r
				},
				Skip: skip,
			})
		})
	}
}
