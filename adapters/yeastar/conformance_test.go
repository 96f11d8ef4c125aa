package yeastar_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// The vendor's pages contradict each other and leave questions open, so the
// driver has to conform under every answer to them.
func TestTheDriverConformsHoweverThePagesAreRead(t *testing.T) {
	for reading, dialect := range map[string]yeastarsim.Dialect{
		"as documented":                        {},
		"a failure is Failure":                 {FailingStatus: "Failure"},
		"errno is a number":                    {NumericErrno: true},
		"a heartbeat needs ipaddr and port":    {HeartbeatInsists: true},
		"a logout of a dead token succeeds":    {LogoutForgives: true},
		"connections are not closed each time": {KeepConnections: true},
	} {
		t.Run(reading, func(t *testing.T) {
			conformance.Run(t, conformance.Harness{
				Driver:    yeastar.Name,
				Simulator: func(o *pbxsim.Options) *pbxsim.PBX { return pbxsim.New(dialect, o) },
				Call: func(base string) *http.Request {
					r, _ := http.NewRequest(http.MethodPost, base+"/api/v1.1.0/deviceinfo/query", strings.NewReader("{}"))
					return r
				},
			})
		})
	}
}
