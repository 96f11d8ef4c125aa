package yeastar_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/internal/thorough"
)

// A reading is one way to take what the vendor's pages contradict each other
// about, or do not say.
type reading struct {
	name    string
	of      []yeastar.Family // whom it concerns; nil: all
	dialect yeastarsim.Options
	options func(*pbxsim.Options)
	skip    map[string]string // rules that a PBX of this kind breaks by itself
	brief   bool              // it is about single responses: the rules that take long are left out
}

var (
	withHeartbeat = []yeastar.Family{yeastar.SV1, yeastar.SV2}
	withRefresh   = []yeastar.Family{yeastar.CloudV1, yeastar.CloudV2}
)

var readings = []reading{
	{name: "as documented"},
	{
		name:    "a failure is Failure, errno a number, and connections stay open",
		dialect: yeastarsim.Options{FailingStatus: "Failure", NumericErrno: true, KeepConnections: true},
		brief:   true,
	},
	{name: "a logout of a dead token succeeds", dialect: yeastarsim.Options{LogoutForgives: true}, brief: true},
	{name: "a wrong token counts as a wrong login", options: func(o *pbxsim.Options) { o.Lockout.DeadTokens = true }},
	{name: "a good login forgives no wrong ones", options: func(o *pbxsim.Options) { o.Lockout.Reset = pbxsim.Nothing }},
	{
		name: "any call prolongs the token", dialect: yeastarsim.Options{CallsSlide: true},
		of: []yeastar.Family{yeastar.SV2, yeastar.CloudV1, yeastar.CloudV2},
	},
	{name: "reports go over TCP", dialect: yeastarsim.Options{ReportsOverTCP: true}, of: []yeastar.Family{yeastar.SV2}, brief: true},
	{
		name: "a heartbeat needs ipaddr and port", dialect: yeastarsim.Options{HeartbeatInsists: true}, of: withHeartbeat, brief: true,
	},
	{
		name: "a refresh spares the old token, and a dead refreshtoken has an errno of its own", of: withRefresh,
		dialect: yeastarsim.Options{RefreshErrno: 29999}, options: func(o *pbxsim.Options) { o.RefreshSparesOld = true },
	},
	{
		name: "a login brings no refreshtoken", dialect: yeastarsim.Options{NoRefreshToken: true}, of: []yeastar.Family{yeastar.CloudV2},
		skip: skip("this PBX is kept alive by heartbeat, without a refresh token", "KEEPALIVE-06", "KEEPALIVE-07", "KEEPALIVE-08", "EXPIRY-06"),
	},
	{
		name: "a second login kills the first token", options: func(o *pbxsim.Options) { o.SecondLoginKills = true },
		skip: skip("this PBX lets one token live at a time", "LOGIN-02", "CONCURRENCY-01", "CONCURRENCY-02", "TLS-01"),
	},
	{
		name: "a wrong login has the errno 30003", dialect: yeastarsim.Options{WrongLoginErrno: 30003}, brief: true,
		skip: skip("30003 also means that the API process does not run: this PBX does not say which", "LOCKOUT-01", "SESSION-02", "SESSION-09"),
	},
}

func skip(reason string, rules ...string) map[string]string {
	skipped := map[string]string{}
	for _, rule := range rules {
		skipped[rule] = reason
	}
	return skipped
}

// The driver has to conform in every family, and under every answer to the
// questions that its vendor leaves open. By default what is documented
// is played in each family, and each other reading in one of its families. With
// PBX_TESTS=all it is played in all of them.
func TestTheDriverConformsHoweverThePagesAreRead(t *testing.T) {
	for i, r := range readings {
		families := r.of
		if families == nil {
			families = []yeastar.Family{yeastar.SV1, yeastar.SV2, yeastar.CloudV1, yeastar.CloudV2}
		}
		if i > 0 && !thorough.Tests() {
			families = families[i%len(families):][:1]
		}
		for _, family := range families {
			t.Run(string(family)+"/"+r.name, func(t *testing.T) {
				t.Parallel()
				conform(t, family, r)
			})
		}
	}
}

// harmless is the path of a request that changes nothing.
var harmless = map[yeastar.Family]string{
	yeastar.SV1:     "/api/v1.1.0/deviceinfo/query",
	yeastar.SV2:     "/api/v2.0.0/deviceinfo/query",
	yeastar.CloudV1: "/api/v1.1.0/deviceinfo/query",
	yeastar.CloudV2: "/api/v2.0.0/deviceinfo/query",
}

func conform(t *testing.T, family yeastar.Family, r reading) {
	dialect := r.dialect
	dialect.Family = string(family)
	skip := r.skip
	if r.brief {
		skip = drivertest.Brief(skip)
	}
	conformance.Run(t, conformance.Harness{
		Driver:  yeastar.Name,
		Options: map[string]string{"family": string(family)},
		Simulator: func(o *pbxsim.Options) *pbxsim.PBX {
			if r.options != nil {
				r.options(o)
			}
			return yeastarsim.New(&dialect, o)
		},
		Call: func(base string) *http.Request {
			req, _ := http.NewRequest(http.MethodPost, base+harmless[family], strings.NewReader("{}"))
			return req
		},
		Skip: skip,
	})
}
