package runtel_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/runtel"
	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// The vendor shows no failing answer, so the driver has to conform whatever
// their shape.
func TestTheDriverConformsWhateverTheShapeOfFailures(t *testing.T) {
	undocumented := map[string]string{
		"LOCKOUT-02": "the vendor shows no answer to a blocked host: an HTTP 403 on a login, or silence, may mean that or something else",
	}
	for _, row := range []struct {
		shape    string
		dialect  runtelsim.Options
		registry *pbx.Registry
		skip     map[string]string
	}{
		{"401 in both layers", runtelsim.Options{Failure: runtelsim.HTTP401}, nil, undocumented},
		{"401 under HTTP 200", runtelsim.Options{Failure: runtelsim.Code401}, nil, drivertest.Brief(undocumented)},
		{"401 as a web page", runtelsim.Options{Failure: runtelsim.HTML}, nil, drivertest.Brief(undocumented)},
		{"401 without a body", runtelsim.Options{Failure: runtelsim.Empty}, nil, undocumented},
		{"silence to a blocked host", runtelsim.Options{Failure: runtelsim.Silence}, nil, undocumented},
		{"429 to a blocked host", runtelsim.Options{Block: http.StatusTooManyRequests}, nil, drivertest.Brief(nil)},
		{"403 for all, and Classify knows it", runtelsim.Options{Failure: runtelsim.HTTP403}, refusingTokensBy403(), drivertest.Brief(undocumented)},
	} {
		t.Run(row.shape, func(t *testing.T) {
			t.Parallel()
			conformance.Run(t, conformance.Harness{
				Driver:    runtel.Name,
				Registry:  row.registry,
				Simulator: func(o *pbxsim.Options) *pbxsim.PBX { return runtelsim.New(&row.dialect, o) },
				Call: func(base string) *http.Request {
					r, _ := http.NewRequest(http.MethodPost, base+"/api/", strings.NewReader(`{"action":"get","obj":"User","action_id":"1","params":{}}`))
					return r
				},
				Skip: row.skip,
			})
		})
	}
}

// refusingTokensBy403 has the driver for a platform that answers a dead token
// with HTTP 403, which is a missing permission unless Classify says otherwise.
func refusingTokensBy403() *pbx.Registry {
	r := new(pbx.Registry)
	r.Register(pbx.Driver{
		Name: runtel.Name,
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			return runtel.New(runtel.Config{Config: cfg, Classify: func(a runtel.Failure) error {
				if a.Code == "403" && a.Op != pbx.OpLogin { // a proxy has the status without the code
					return pbx.ErrTokenRejected
				}
				return nil
			}})
		},
	})
	return r
}
