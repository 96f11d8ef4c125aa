package uis_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx/adapters/uis"
	"github.com/pbxauth/pbx/adapters/uis/uissim"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const noLock = "the vendor documents no lockout, and no words for one"

// The vendor leaves questions open, so the driver has to conform under every
// reading. Those that concern different responses go together.
func TestTheDriverConformsHoweverTheVendorIsRead(t *testing.T) {
	for reading, row := range map[string]struct {
		sim         uissim.Options
		secondKills bool
		skip        map[string]string
	}{
		"as documented": {},
		"failures under their HTTP status": {sim: uissim.Options{
			HTTPStatus: true, Metadata: uissim.InError, ExpireAt: uissim.AsString, DeadToken: "access_token_expired",
		}},
		"an id of null": {sim: uissim.Options{
			NullID: true, Metadata: uissim.InEnvelope, ExpireAt: uissim.AsFloat, DeadToken: "access_token_blocked",
		}},
		"no metadata, and one token for each user": {
			sim: uissim.Options{Metadata: uissim.NoMetadata}, secondKills: true,
			skip: map[string]string{"LOGIN-02": "this platform has one token for each user", "CONCURRENCY-01": "this platform has one token for each user"},
		},
	} {
		t.Run(reading, func(t *testing.T) {
			t.Parallel()
			skip := map[string]string{"LOCKOUT-02": noLock}
			for id, reason := range row.skip {
				skip[id] = reason
			}
			conformance.Run(t, conformance.Harness{
				Driver:  uis.Name,
				Options: map[string]string{"ping_method": "list.calls"},
				Simulator: func(o *pbxsim.Options) *pbxsim.PBX {
					own := *o
					own.SecondLoginKills = row.secondKills
					return uissim.New(&row.sim, &own)
				},
				Skip: skip,
			})
		})
	}
}

func TestTheDriverConformsWithoutAHarmlessMethod(t *testing.T) {
	const reason = "no harmless method is named"
	conformance.Run(t, conformance.Harness{
		Driver:    uis.Name,
		Simulator: func(o *pbxsim.Options) *pbxsim.PBX { return uissim.New(nil, o) },
		Call: func(base string) *http.Request {
			r, _ := http.NewRequest(http.MethodPost, base+"/v4.0", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"list.calls","params":{}}`))
			return r
		},
		Skip: map[string]string{"LOCKOUT-02": noLock, "PING-01": reason, "PING-02": reason, "PING-03": reason},
	})
}
