package openvox_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/openvox"
	"github.com/pbxauth/pbx/adapters/openvox/openvoxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func TestTraitsAreTheVendorsNumbers(t *testing.T) {
	want := pbx.Traits{
		Driver: openvox.Name,
		URL:    "https://pbx.example.com:9011", Lifetime: 30 * time.Minute, Sliding: true,
		KeepAlive: pbx.KeepAliveHeartbeat, Lockout: pbx.Lockout{Attempts: 5, Window: 10 * time.Minute, Memory: pbx.Forever},
		Account: sampleUser, Probe: "https://pbx.example.com:9011/api/v0.0.1/login",
	}
	if diff := cmp.Diff(want, on(t, openvox.JSON, drivertest.Unsent{T: t}).Traits()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The API has a port of its own, whatever the scheme.
func TestThePortIsTheAPIsOwn(t *testing.T) {
	drivertest.Addresses(t, func(address string) (pbx.Authenticator, error) {
		cfg := config(drivertest.Unsent{T: t})
		cfg.URL, cfg.AllowPlainHTTP = address, true
		return openvox.New(cfg)
	}, map[string]string{
		"pbx.example.com":                                 "https://pbx.example.com:9011",
		"http://pbx.example.com":                          "http://pbx.example.com:9011",
		"http://pbx.example.com:80":                       "http://pbx.example.com:80",
		"https://172.16.6.150:9011/api/v0.0.1/login?type": "https://172.16.6.150:9011",
	})
}

func TestTheTypeIsSaidWhereItBelongs(t *testing.T) {
	for _, format := range formats {
		set := func(c *openvox.Config) { c.Format = format }
		simulate(t, openvoxsim.Options{}, set, func(t *testing.T, s simulation) {
			token := s.Login(t)
			if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil {
				t.Error(err)
			}
			if err := request(t, s, token); err != nil {
				t.Error(err)
			}
			if err := s.Driver.Logout(t.Context(), token); err != nil {
				t.Error(err)
			}
			var asked []string
			for _, record := range s.Log() {
				asked = append(asked, record.Path+"?"+strings.ReplaceAll(record.RawQuery, token.Value.Reveal(), "T"))
			}
			want := []string{
				"/api/v0.0.1/login?type=" + string(format),
				"/api/v0.0.1/heartbeat?token=T",
				"/api/v0.0.1/deviceinfo/query?token=T&type=" + string(format),
				"/api/v0.0.1/logout?token=T",
			}
			if diff := cmp.Diff(want, asked); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestATypeOfTheApplicationsOwnStays(t *testing.T) {
	for query, want := range map[string]string{
		"":                      "token=T&type=xml",
		"type=json":             "type=json&token=T",
		"a=%20b&type=":          "a=%20b&type=&token=T",
		"token=old&type=x&b=2":  "type=x&b=2&token=T",
		"Type=json&mytype=json": "Type=json&mytype=json&token=T&type=xml",
	} {
		r, err := http.NewRequest("POST", "https://pbx.example.com:9011/api/v0.0.1/extension/list?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := on(t, openvox.XML, drivertest.Unsent{T: t}).Authorize(r, &pbx.Token{Value: pbx.NewSecret("T")}); err != nil || r.URL.RawQuery != want {
			t.Errorf("%q became %q, %v; want %q", query, r.URL.RawQuery, err, want)
		}
	}
}

func TestEventOptionsGoWhereTheVendorHasThemAndNowhereElse(t *testing.T) {
	all := map[string]string{
		"event_port": "9000", "event_url": "192.0.2.1:9000/r", "event_urltag": "1", "event_ipaddr": "192.0.2.1", "event_version": "1.0.2",
	}
	const xmlHead = `<?xml version="1.0" encoding="UTF-8" ?>` + "\n<xml>\n    <username>api</username>\n    <password>" + sampleDigest + "</password>\n"
	tests := []struct {
		format, event string
		bodies        []string
	}{
		{"json", "", []string{`{"username":"api","password":"` + sampleDigest + `","port":"8260"}`, `{}`}},
		{"xml", "", []string{xmlHead + "    <port>8260</port>\n</xml>", `{}`}},
		{"json", "all", []string{
			`{"username":"api","password":"` + sampleDigest + `","port":"9000","version":"1.0.2","url":"192.0.2.1:9000/r","urltag":1}`,
			`{"ipaddr":"192.0.2.1","port":"9000","url":"192.0.2.1:9000/r","urltag":"1"}`,
		}},
		{"xml", "all", []string{
			xmlHead + "    <port>9000</port>\n    <version>1.0.2</version>\n    <url>192.0.2.1:9000/r</url>\n    <urltag>1</urltag>\n</xml>",
			`{"ipaddr":"192.0.2.1","port":"9000","url":"192.0.2.1:9000/r","urltag":"1"}`,
		}},
	}
	for _, tt := range tests {
		sim := openvoxsim.New(&openvoxsim.Options{}, &pbxsim.Options{Accounts: map[string]string{sampleUser: samplePassword}})
		server := pbxsim.ListenMemory(sim)
		cfg := pbx.Config{URL: server.URL, Username: sampleUser, Password: pbx.NewSecret(samplePassword), Transport: server.Client().Transport,
			Options: map[string]string{"format": tt.format}}
		if tt.event == "all" {
			for name, value := range all {
				cfg.Options[name] = value
			}
		}
		auth, err := pbx.Open("openvox", cfg)
		if err != nil {
			t.Fatal(err)
		}
		token, err := auth.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := auth.KeepAlive(t.Context(), token); err != nil {
			t.Error(err)
		}
		var bodies []string
		for _, record := range sim.Log() {
			bodies = append(bodies, string(record.Body))
		}
		if diff := cmp.Diff(tt.bodies, bodies); diff != "" {
			t.Errorf("%s, %s: bodies of login and heartbeat (-want +got):\n%s", tt.format, tt.event, diff)
		}
		server.Close()
	}
}

func TestTheNextHeartbeatCarriesAChangeOfEvents(t *testing.T) {
	simulate(t, openvoxsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		if err := s.Driver.SetEvents(openvox.Events{Port: 9000, IPAddr: "192.0.2.1"}); err != nil {
			t.Fatal(err)
		}
		if err := s.Driver.SetEvents(openvox.Events{Port: 65536}); failure(t, err).Kind != pbx.ErrConfig {
			t.Errorf("%v, want %v", err, pbx.ErrConfig)
		}
		if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		log := s.Log()
		if body := string(log[len(log)-1].Body); body != `{"ipaddr":"192.0.2.1","port":"9000"}` {
			t.Errorf("the heartbeat says %s", body)
		}
	})
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	for name, change := range map[string]func(*openvox.Config){
		"options":        func(c *openvox.Config) { c.Options = map[string]string{"format": "xml"} },
		"format":         func(c *openvox.Config) { c.Format = "yaml" },
		"api_version":    func(c *openvox.Config) { c.APIVersion = "0.0.1" },
		"password_form":  func(c *openvox.Config) { c.PasswordIsMD5 = true },
		"event_port":     func(c *openvox.Config) { c.Events.Port = -1 },
		"event_url ":     func(c *openvox.Config) { c.Events.URL = "re\x00port" },
		"event_urltag":   func(c *openvox.Config) { c.Events.URL, c.Events.URLTag = "report", "2" },
		"event_ipaddr":   func(c *openvox.Config) { c.Events.IPAddr = "here" },
		"TokenTTL":       func(c *openvox.Config) { c.TokenTTL = -time.Second },
		"AllowPlainHTTP": func(c *openvox.Config) { c.URL = "http://pbx.example.com" },
	} {
		cfg := config(drivertest.Unsent{T: t})
		change(&cfg)
		driver, err := openvox.New(cfg)
		if driver != nil || failure(t, err).Kind != pbx.ErrConfig || failure(t, err).Op != pbx.OpOpen {
			t.Errorf("%s: %v, %v; want %v while opening", name, driver, err, pbx.ErrConfig)
		}
		if says := strings.TrimSpace(name); name != "options" && !strings.Contains(err.Error(), says) {
			t.Errorf("%q does not say %s", err, says)
		}
	}
	for option, value := range map[string]string{"format": "yaml", "api_version": "x", "family": "s-v1", "token_ttl": "30"} {
		cfg := config(drivertest.Unsent{T: t}).Config
		cfg.Options = map[string]string{option: value}
		if _, err := pbx.Open("openvox", cfg); failure(t, err).Kind != pbx.ErrConfig {
			t.Errorf("%s: %v, want %v", option, err, pbx.ErrConfig)
		}
	}
}

func TestAPasswordMayBeGivenAsItsDigest(t *testing.T) {
	for _, format := range formats {
		digested := func(c *openvox.Config) {
			c.Format, c.PasswordIsMD5, c.Password = format, true, pbx.NewSecret(strings.ToUpper(sampleDigest))
		}
		simulate(t, openvoxsim.Options{}, digested, func(t *testing.T, s simulation) { s.Login(t) })
	}
}
