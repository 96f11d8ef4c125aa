package freepbx_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/freepbx"
	"github.com/pbxauth/pbx/adapters/freepbx/freepbxsim"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// mute500 is what FreePBX 17's GraphQL cannot pass: it has no word for a dead
// token.
var mute500 = map[string]string{
	"TOKEN-02":    noWord,
	"TOKEN-06":    noWord,
	"EXPIRY-02":   noWord,
	"EXPIRY-04":   noWord,
	"PROTOCOL-06": noWord,
	"SESSION-03":  noWord + ". A restart removes none",
	"SESSION-10":  noWord + ". A restart removes none",
	"SESSION-11":  noWord + ". A restart removes none",
}

const noWord = "GraphQL in FreePBX 17 responds to a dead token as to any failure, with HTTP 500"

var application = freepbxsim.Application{ID: "application", Secret: "application's secret"}

// asUser lets the suite's account log in through the application.
func asUser(cfg pbx.Config) pbx.Config {
	if cfg.Options == nil {
		cfg.Options = map[string]string{}
	}
	cfg.Options["client_id"] = application.ID
	if cfg.Secrets == nil {
		cfg.Secrets = map[string]pbx.Secret{"client_secret": pbx.NewSecret(application.Secret)}
	}
	return cfg
}

func query(base string) *http.Request {
	r, _ := http.NewRequest(http.MethodPost, base+"/admin/api/api/gql", strings.NewReader(`{"query":"{__typename}"}`))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func list(base string) *http.Request {
	r, _ := http.NewRequest(http.MethodGet, base+"/admin/api/api/rest/core/users", nil)
	return r
}

// How a login is refused depends on the version and the kind of account, how a
// dead token is refused on the version and the API: each pair is here once.
func TestTheDriverConformsAtEveryVersion(t *testing.T) {
	for _, row := range []struct {
		name    string
		dialect freepbxsim.Options
		config  func(pbx.Config) pbx.Config
		call    func(string) *http.Request
		skip    map[string]string
	}{
		{"15 by GraphQL", freepbxsim.Options{Version: 15}, nil, query, nil},
		{"17 by GraphQL", freepbxsim.Options{Version: 17}, nil, query, mute500},
		{"17 by GraphQL, with empty failures", freepbxsim.Options{Version: 17, EmptyFailure: true}, nil, query, drivertest.Brief(mute500)},
		{"16, a user", freepbxsim.Options{Version: 16, Application: application}, asUser, query, nil},
		{"17, a user, by REST", freepbxsim.Options{Version: 17, Application: application}, asUser, list, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			conformance.Run(t, conformance.Harness{
				Driver:    freepbx.Name,
				Config:    row.config,
				Simulator: func(o *pbxsim.Options) *pbxsim.PBX { return freepbxsim.New(&row.dialect, o) },
				Call:      row.call,
				Skip:      row.skip,
			})
		})
	}
}
