package openvox_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/openvox"
	"github.com/pbxauth/pbx/adapters/openvox/openvoxsim"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/internal/thorough"
)

// The vendor's pages contradict each other and leave questions open, so the
// driver has to conform in both formats, and under every answer to them. By default
// each other reading that is not about formats is played in one of the two. With
// PBX_TESTS=all it is played in both.
func TestTheDriverConformsHoweverThePagesAreRead(t *testing.T) {
	for i, reading := range []struct {
		name    string
		dialect openvoxsim.Options
		options func(*pbxsim.Options)
		skip    map[string]string
		brief   bool // it is about single responses: the rules that take long are left out
	}{
		{name: "as documented"},
		{name: "headers are wrong", dialect: openvoxsim.Options{WrongHeader: true}, brief: true},
		{name: "all responses are in XML", dialect: openvoxsim.Options{RespondsIn: "xml", WrongHeader: true}, brief: true},
		{name: "all responses are in JSON", dialect: openvoxsim.Options{RespondsIn: "json"}, brief: true},
		{
			name:    "a failure is Failure, errno a number, and connections stay open",
			dialect: openvoxsim.Options{Yeastar: yeastarsim.Options{FailingStatus: "Failure", NumericErrno: true, KeepConnections: true}},
			brief:   true,
		},
		{name: "a logout of a dead token succeeds", dialect: openvoxsim.Options{Yeastar: yeastarsim.Options{LogoutForgives: true}}, brief: true},
		{name: "a wrong token counts as a wrong login", options: func(o *pbxsim.Options) { o.Lockout.DeadTokens = true }},
		{name: "a good login forgives no wrong ones", options: func(o *pbxsim.Options) { o.Lockout.Reset = pbxsim.Nothing }},
		{
			name: "a heartbeat needs ipaddr and port", dialect: openvoxsim.Options{Yeastar: yeastarsim.Options{HeartbeatInsists: true}}, brief: true,
		},
		{
			name: "a second login kills the first token", options: func(o *pbxsim.Options) { o.SecondLoginKills = true },
			skip: skip("this PBX lets one token live at a time", "LOGIN-02", "CONCURRENCY-01", "CONCURRENCY-02", "TLS-01"),
		},
		{
			name: "a wrong login has the errno 30003", dialect: openvoxsim.Options{Yeastar: yeastarsim.Options{WrongLoginErrno: 30003}}, brief: true,
			skip: skip("30003 also means that the API process does not run: this PBX does not say which", "LOCKOUT-01", "SESSION-02", "SESSION-09"),
		},
	} {
		formats := []string{"json", "xml"}
		if i >= aboutFormats && !thorough.Tests() {
			formats = formats[i%2:][:1]
		}
		for _, format := range formats {
			t.Run(format+"/"+reading.name, func(t *testing.T) {
				t.Parallel()
				skip := reading.skip
				if reading.brief {
					skip = drivertest.Brief(skip)
				}
				conformance.Run(t, conformance.Harness{
					Driver:  openvox.Name,
					Options: map[string]string{"format": format},
					Simulator: func(o *pbxsim.Options) *pbxsim.PBX {
						if reading.options != nil {
							reading.options(o)
						}
						return openvoxsim.New(&reading.dialect, o)
					},
					Call: func(base string) *http.Request {
						r, _ := http.NewRequest(http.MethodPost, base+"/api/v0.0.1/extension/query", strings.NewReader(empty[format]))
						return r
					},
					Skip: skip,
				})
			})
		}
	}
}

// aboutFormats is how many readings, the first ones, concern what formats are about.
const aboutFormats = 5

// empty is a request without fields, by format.
var empty = map[string]string{"json": "{}", "xml": "<xml></xml>"}

func skip(reason string, rules ...string) map[string]string {
	skipped := map[string]string{}
	for _, rule := range rules {
		skipped[rule] = reason
	}
	return skipped
}
