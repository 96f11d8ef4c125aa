package yeastarp_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastarp"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
)

func open(t testing.TB, cfg pbx.Config) *yeastarp.PBX {
	t.Helper()
	driver, err := yeastarp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

func TestTraitsAreTheVendorsNumbers(t *testing.T) {
	want := pbx.Traits{
		Driver:    yeastarp.Name,
		URL:       "https://pbx.example.com:8088",
		Lifetime:  1800 * time.Second,
		KeepAlive: pbx.KeepAliveRefresh,
		Account:   sampleID,
		Lockout:   pbx.Lockout{Attempts: 5, Memory: pbx.Forever}, // how long a client stays blocked is not documented
		MaxTokens: 8,
		Probe:     "https://pbx.example.com:8088/openapi/v1.0/get_token",
	}
	if diff := cmp.Diff(want, on(t, drivertest.Unsent{T: t}).Traits()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAddressesAreCompleted(t *testing.T) {
	drivertest.Addresses(t, func(address string) (pbx.Authenticator, error) {
		cfg := config(drivertest.Unsent{T: t})
		cfg.URL = address
		return yeastarp.New(cfg)
	}, map[string]string{
		"pbx.example.com": "https://pbx.example.com:8088",
		"https://office.example.yeastarcloud.com:443":         "https://office.example.yeastarcloud.com",
		"https://office.ras.yeastar.com":                      "https://office.ras.yeastar.com",
		"Office.RAS.Yeastar.com/openapi/v1.0":                 "https://office.ras.yeastar.com",
		"https://office.ras.yeastar.com:8088":                 "https://office.ras.yeastar.com:8088",
		" office.ras.yeastar.com\n":                           "https://office.ras.yeastar.com",
		"office.example.yeastarcloud.com":                     "https://office.example.yeastarcloud.com",
		"https://ras.yeastar.com.pbx.example.com":             "https://ras.yeastar.com.pbx.example.com:8088",
		"https://192.168.5.150:8088/openapi/v1.0/get_token":   "https://192.168.5.150:8088",
		"https://proxy.example.com:443/pbx7/openapi/v1.0":     "https://proxy.example.com:443/pbx7",
		"http://127.0.0.1/openapi/v1.0/get_token?username=me": "http://127.0.0.1",
	})
}

func TestTheDriverHasNoOptions(t *testing.T) {
	if _, err := pbx.Open(yeastarp.Name, config(drivertest.Unsent{T: t})); err != nil {
		t.Fatal(err)
	}
	driver, ok := pbx.Lookup("yeastar-p")
	if !ok || driver.Title != "Yeastar P-Series" || len(driver.Options) != 0 {
		t.Errorf("registered as %+v, %v", driver, ok)
	}
	cfg := config(drivertest.Unsent{T: t})
	cfg.Options = map[string]string{"token_ttl": "30m"}
	for name, open := range map[string]func() error{
		"by name": func() error { _, err := pbx.Open("yeastar-p", cfg); return err },
		"typed":   func() error { _, err := yeastarp.New(cfg); return err },
	} {
		if err := open(); err == nil || failure(t, err).Kind != pbx.ErrConfig {
			t.Errorf("%s, with an option: %v, want %v", name, err, pbx.ErrConfig)
		}
	}
	if _, err := pbx.Open("yeastar-p", pbx.Config{URL: "https://pbx.example.com"}); failure(t, err).Kind != pbx.ErrConfig {
		t.Errorf("without an account: %v, want %v", err, pbx.ErrConfig)
	}
}

// JSON would carry another one, and that would be a wrong login.
func TestCredentialsThatAreNotUTF8AreNotSent(t *testing.T) {
	open := func(c pbx.Config) (pbx.Authenticator, error) { return yeastarp.New(c) }
	for setting, account := range map[string]pbx.Credentials{
		"Username": {Username: "id\xff", Password: pbx.NewSecret(sampleSecret)},
		"Password": {Username: sampleID, Password: pbx.NewSecret("secret\xff")},
	} {
		drivertest.Impossible(t, yeastarp.Name, open, config(drivertest.Unsent{T: t}), account, setting, "not UTF-8")
	}
}

func TestATokenIsPutIntoTheQueryAndAUserAgentIntoTheHeader(t *testing.T) {
	driver := on(t, drivertest.Unsent{T: t})
	for _, tt := range []struct {
		query, agent, wantQuery, wantAgent string
	}{
		{"", "", "access_token=" + sampleAccess, "OpenAPI"},
		{"page=1&page_size=20", "", "page=1&page_size=20&access_token=" + sampleAccess, "OpenAPI"},
		{"access_token=old&id=A%20B", "crm/7", "id=A%20B&access_token=" + sampleAccess, "crm/7"},
	} {
		r, err := http.NewRequest("GET", "https://pbx.example.com:8088/openapi/v1.0/extension/list?"+tt.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.agent != "" {
			r.Header.Set("User-Agent", tt.agent)
		}
		if err := driver.Authorize(r, given()); err != nil {
			t.Error(err)
		}
		if r.URL.RawQuery != tt.wantQuery || r.Header.Get("User-Agent") != tt.wantAgent {
			t.Errorf("?%s and User-Agent %q, want ?%s and %q", r.URL.RawQuery, r.Header.Get("User-Agent"), tt.wantQuery, tt.wantAgent)
		}
	}
	bare := &http.Request{URL: &url.URL{Scheme: "https", Host: "pbx.example.com:8088", Path: "/openapi/v1.0/extension/list"}, Header: http.Header{}}
	if err := driver.Authorize(bare, given()); err != nil || bare.UserAgent() != "OpenAPI" {
		t.Errorf("a request made by hand: %v, User-Agent %q", err, bare.UserAgent())
	}
}

func TestEveryRequestOfTheDriverHasTheUserAgent(t *testing.T) {
	simulate(t, yeastarpsim.Options{}, nil, func(t *testing.T, s simulation) {
		token, err := s.Driver.KeepAlive(t.Context(), s.Login(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := request(t, s, token); err != nil {
			t.Fatal(err)
		}
		if err := s.Driver.Logout(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		for _, record := range s.Log() {
			if agent := record.Header.Get("User-Agent"); agent != "OpenAPI" {
				t.Errorf("%s %s with User-Agent %q", record.Method, record.Path, agent)
			}
		}
	})
}
