package yeastar_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Settings come as text, from a form, or as typed fields. Both must say the same
// to the PBX.
func TestALoginCarriesWhatWasConfiguredAndNoMore(t *testing.T) {
	const account = `"username":"api","password":"` + sampleDigest + `"`
	tests := []struct {
		name    string
		options map[string]string
		typed   yeastar.Config
		want    string
	}{
		{"nothing", nil, yeastar.Config{},
			`{` + account + `,"port":"8260"}`},
		{"empty values", map[string]string{"event_port": "", "event_url": "", "event_urltag": "", "event_version": "", "token_ttl": ""}, yeastar.Config{},
			`{` + account + `,"port":"8260"}`},
		{"port", map[string]string{"event_port": "9000"}, yeastar.Config{Events: yeastar.Events{Port: 9000}},
			`{` + account + `,"port":"9000"}`},
		{"lowest port", map[string]string{"event_port": "1"}, yeastar.Config{Events: yeastar.Events{Port: 1}},
			`{` + account + `,"port":"1"}`},
		{"highest port", map[string]string{"event_port": "65535"}, yeastar.Config{Events: yeastar.Events{Port: 65535}},
			`{` + account + `,"port":"65535"}`},
		{"version", map[string]string{"event_version": "1.0.2"}, yeastar.Config{Events: yeastar.Events{Version: "1.0.2"}},
			`{` + account + `,"port":"8260","version":"1.0.2"}`},
		{"url", map[string]string{"event_url": "report"}, yeastar.Config{Events: yeastar.Events{URL: "report"}},
			`{` + account + `,"port":"8260","url":"report"}`},
		{"relative url", map[string]string{"event_url": "report", "event_urltag": "0"}, yeastar.Config{Events: yeastar.Events{URL: "report", URLTag: "0"}},
			`{` + account + `,"port":"8260","url":"report","urltag":"0"}`},
		{"absolute url", map[string]string{"event_url": "192.0.2.1/report", "event_urltag": "1"}, yeastar.Config{Events: yeastar.Events{URL: "192.0.2.1/report", URLTag: "1"}},
			`{` + account + `,"port":"8260","url":"192.0.2.1/report","urltag":"1"}`},
		{"life, which is ours alone", map[string]string{"token_ttl": "5m"}, yeastar.Config{TokenTTL: 5 * time.Minute},
			`{` + account + `,"port":"8260"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sim := yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{sampleUser: samplePassword}})
			server := pbxsim.ListenMemory(sim)
			defer server.Close()
			common := pbx.Config{URL: server.URL, Username: sampleUser, Password: pbx.NewSecret(samplePassword), Transport: server.Client().Transport}

			byName := common
			byName.Options = tt.options
			opened, err := pbx.Open("yeastar", byName)
			if err != nil {
				t.Fatal(err)
			}
			typed := tt.typed
			typed.Config = common
			made, err := yeastar.New(typed)
			if err != nil {
				t.Fatal(err)
			}
			for _, auth := range []pbx.Authenticator{opened, made} {
				if _, err := auth.Login(t.Context()); err != nil {
					t.Error(err)
				}
			}
			for _, record := range sim.Log() {
				if diff := cmp.Diff(tt.want, string(record.Body)); diff != "" {
					t.Errorf("body (-want +got):\n%s", diff)
				}
			}
			if diff := cmp.Diff(made.Traits(), opened.(pbx.Describer).Traits()); diff != "" {
				t.Errorf("traits (-typed +by name):\n%s", diff)
			}
		})
	}
}

func config(t testing.TB) pbx.Config {
	return pbx.Config{URL: "https://pbx.example.com", Username: sampleUser, Password: pbx.NewSecret(samplePassword), Transport: drivertest.Unsent{T: t}}
}

func TestSettingsThatCannotWorkAreRefusedByName(t *testing.T) {
	tests := []struct {
		name    string
		options map[string]string
		says    []string
	}{
		{"an unknown option", map[string]string{"event_prot": "8260"},
			[]string{`"event_prot"`, "family, api_version, password_form, event_port, event_url, event_urltag, event_ipaddr, event_version, token_ttl"}},
		{"a field's name", map[string]string{"EventPort": "8260"}, []string{`"EventPort"`}},
		{"port 0", map[string]string{"event_port": "0"}, []string{`"event_port"`, `"0"`, "1 to 65535"}},
		{"port 65536", map[string]string{"event_port": "65536"}, []string{`"event_port"`, `"65536"`}},
		{"port in words", map[string]string{"event_port": "http"}, []string{`"event_port"`, `"http"`}},
		{"another urltag", map[string]string{"event_url": "report", "event_urltag": "2"}, []string{`"event_urltag"`, `"2"`, "0, 1"}},
		{"urltag without url", map[string]string{"event_urltag": "1"}, []string{"event_urltag", "event_url"}},
		{"a life without a unit", map[string]string{"token_ttl": "30"}, []string{`"token_ttl"`, `"30"`}},
		{"a life that is none", map[string]string{"token_ttl": "0s"}, []string{`"token_ttl"`}},
		{"a life below zero", map[string]string{"token_ttl": "-30m"}, []string{`"token_ttl"`}},
		{"a life in milliseconds", map[string]string{"token_ttl": "30ms"}, []string{"token_ttl", "30ms"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(t)
			cfg.Options = tt.options
			auth, err := pbx.Open("yeastar", cfg)
			drivertest.Misconfigured(t, yeastar.Name, auth != nil, err, "", tt.says...)
		})
	}
}

func TestFieldsThatCannotWorkAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*yeastar.Config)
		says   []string
	}{
		{"options", func(c *yeastar.Config) { c.Options = map[string]string{"event_port": "8260"} }, []string{"Options", "pbx.Open"}},
		{"a port below zero", func(c *yeastar.Config) { c.Events.Port = -1 }, []string{"Events.Port", "-1"}},
		{"port 65536", func(c *yeastar.Config) { c.Events.Port = 65536 }, []string{"Events.Port", "65536"}},
		{"another urltag", func(c *yeastar.Config) { c.Events.URL, c.Events.URLTag = "report", "absolute" }, []string{"Events.URLTag", "absolute"}},
		{"urltag without url", func(c *yeastar.Config) { c.Events.URLTag = "0" }, []string{"Events.URLTag", "Events.URL "}},
		{"a life below zero", func(c *yeastar.Config) { c.TokenTTL = -time.Second }, []string{"TokenTTL", "-1s"}},
		{"a life without a unit", func(c *yeastar.Config) { c.TokenTTL = 1800 }, []string{"TokenTTL", "1.8µs", "unit"}},
		{"no URL", func(c *yeastar.Config) { c.URL = "" }, []string{"URL"}},
		{"plain http", func(c *yeastar.Config) { c.URL = "http://pbx.example.com" }, []string{"AllowPlainHTTP"}},
		{"no user", func(c *yeastar.Config) { c.Username = "" }, []string{"Username"}},
		{"no password", func(c *yeastar.Config) { c.Password = pbx.Secret{} }, []string{"Password"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := yeastar.Config{Config: config(t)}
			tt.change(&cfg)
			driver, err := yeastar.New(cfg)
			drivertest.Misconfigured(t, yeastar.Name, driver != nil, err, "", tt.says...)
		})
	}
}

func TestAddressesAreCompleted(t *testing.T) {
	drivertest.Addresses(t, func(address string) (pbx.Authenticator, error) {
		cfg := yeastar.Config{Config: config(t)}
		cfg.URL = address
		return yeastar.New(cfg)
	}, map[string]string{
		"pbx.example.com":                               "https://pbx.example.com:8088",
		"https://pbx.example.com":                       "https://pbx.example.com:8088",
		"https://pbx.example.com:443/":                  "https://pbx.example.com:443",
		"https://192.168.5.150:8088/api/v1.1.0/login":   "https://192.168.5.150:8088",
		"https://proxy.example.com:443/pbx7/api/v1.1.0": "https://proxy.example.com:443/pbx7",
		"http://127.0.0.1":                              "http://127.0.0.1",
	})
}
