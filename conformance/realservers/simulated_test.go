//go:build linux

package realservers

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/openvox/openvoxsim"
	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// brand is a driver with its simulator, which stands behind a real nginx. They
// differ in where the token travels.
type brand struct {
	driver   string
	token    string // where the token travels
	simulate func(*pbxsim.Options) *pbxsim.PBX
	lifetime string // option that states the lifetime of a token; empty: a response does

	// A request that changes nothing.
	method, path, contentType, body string
}

const (
	form = "application/x-www-form-urlencoded"
	json = "application/json"
)

var brands = []brand{
	{"yeastar", "in the query", yeastarsim.New, "token_ttl", http.MethodPost, "/api/v1.1.0/deviceinfo/query", json, ""},
	{"yeastar-p", "in the query", yeastarpsim.New, "", http.MethodGet, "/openapi/v1.0/system/information", "", ""},
	{"openvox", "in the query", openvoxsim.New, "token_ttl", http.MethodPost, "/api/v0.0.1/extension/list", json, "{}"},
	{"runtel", "in Authorization", runtelsim.New, "token_ttl", http.MethodPost, "/api/", json, `{"action":"get","obj":"User","action_id":"1","params":{}}`},
	{"grandstream", "in the body", grandstreamsim.New, "token_ttl", http.MethodPost, "/api", json, `{"request":{"action":"getSystemStatus"}}`},
	{"asterisk", "in a cookie", asterisksim.New, "", http.MethodPost, "/rawman", form, "Action=ListCommands"},
}

// simulated is a simulator that listens on loopback.
type simulated struct {
	brand
	*pbxsim.PBX
	server *pbxsim.Server
	life   time.Duration
}

const (
	user   = "crm"
	secret = "S3cret-of-crm"
)

func simulate(t *testing.T, b brand, life time.Duration) *simulated {
	t.Helper()
	sim := b.simulate(&pbxsim.Options{Accounts: map[string]string{user: secret}, Life: life})
	s := &simulated{brand: b, PBX: sim, server: pbxsim.Listen(sim), life: life}
	t.Cleanup(s.server.Close)
	return s
}

// open opens the driver for a URL at which the simulator is reached.
func (s *simulated) open(t *testing.T, url string, trust pbx.TLS) func() pbx.Authenticator {
	t.Helper()
	return func() pbx.Authenticator {
		t.Helper()
		cfg := pbx.Config{URL: url, Username: user, Password: pbx.NewSecret(secret), TLS: trust, Options: map[string]string{}}
		if s.lifetime != "" {
			cfg.Options[s.lifetime] = s.life.String()
		}
		maps.DeleteFunc(cfg.Options, func(_, value string) bool { return value == "" })
		auth, err := pbx.Open(s.driver, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
}

// request sends the brand's harmless request.
func (s *simulated) request(t *testing.T, from *session.Session) error {
	t.Helper()
	_, err := send(t, from, s.method, s.path, s.contentType, s.body)
	return err
}
