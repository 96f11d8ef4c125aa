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
// possible answer.
func TestTheDriverConformsHoweverTheVendorIsRead(t *testing.T) {
	for reading, row := range map[string]struct {
		sim         uissim.Options
		secondKills bool
		skip        map[string]string
	}{
		"as documented":                           {},
		"metadata in the error":                   {sim: uissim.Options{Metadata: uissim.InError}},
		"metadata in the envelope":                {sim: uissim.Options{Metadata: uissim.InEnvelope}},
		"no metadata":                             {sim: uissim.Options{Metadata: uissim.NoMetadata}},
		"an id of null":                           {sim: uissim.Options{NullID: true}},
		"failures under their HTTP status":        {sim: uissim.Options{HTTPStatus: true}},
		"expire_at is a string":                   {sim: uissim.Options{ExpireAt: uissim.AsString}},
		"expire_at is a float":                    {sim: uissim.Options{ExpireAt: uissim.AsFloat}},
		"a dead token has expired":                {sim: uissim.Options{DeadToken: "access_token_expired"}},
		"a dead token is blocked":                 {sim: uissim.Options{DeadToken: "access_token_blocked", HTTPStatus: true}},
		"a second login ends the token before it": {secondKills: true, skip: map[string]string{"LOGIN-02": "this platform has one token for each user", "CONCURRENCY-01": "this platform has one token for each user"}},
	} {
		t.Run(reading, func(t *testing.T) {
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
