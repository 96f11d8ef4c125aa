package wazo_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/wazo"
)

func TestTraitsAreTheServersNumbers(t *testing.T) {
	want := pbx.Traits{
		Driver: wazo.Name,
		URL:    "https://wazo.example.com", Account: user, Lifetime: 7200 * time.Second,
		KeepAlive: pbx.KeepAliveNone, Logout: pbx.LogoutToken, MaxTokens: 100,
		Lockout: pbx.Lockout{None: true}, // 40 wrong logins in a row locked nothing
		Probe:   "https://wazo.example.com/api/auth/0.1/token",
	}
	cfg := config(drivertest.Unsent{T: t})
	if diff := cmp.Diff(want, open(t, cfg).Traits()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	want.KeepAlive, want.Lifetime = pbx.KeepAliveRefresh, time.Minute
	cfg.ClientID, cfg.TokenTTL = "crm", time.Minute
	if diff := cmp.Diff(want, open(t, cfg).Traits()); diff != "" {
		t.Errorf("with a client_id (-want +got):\n%s", diff)
	}
}

func TestAddressesAreCompleted(t *testing.T) {
	drivertest.Addresses(t, func(address string) (pbx.Authenticator, error) {
		cfg := config(drivertest.Unsent{T: t})
		cfg.URL = address
		return wazo.New(cfg)
	}, map[string]string{
		"wazo.example.com": "https://wazo.example.com",
		"https://wazo.example.com/api/auth/0.1/token":    "https://wazo.example.com",
		"https://wazo.example.com:9497/":                 "https://wazo.example.com:9497",
		"https://proxy.example.com/wazo-7/api/auth/0.1/": "https://proxy.example.com/wazo-7",
		"https://proxy.example.com/wazo-7/api":           "https://proxy.example.com/wazo-7",
		"http://127.0.0.1:8080/api/auth":                 "http://127.0.0.1:8080",
	})
}

func TestSettingsThatCannotWorkAreNamed(t *testing.T) {
	for _, tt := range []struct {
		setting string
		change  func(*wazo.Config)
	}{
		{"token_ttl", func(c *wazo.Config) { c.TokenTTL = 999 * time.Millisecond }},
		{"token_ttl", func(c *wazo.Config) { c.TokenTTL = -time.Hour }},
		{"token_ttl", func(c *wazo.Config) { c.TokenTTL = 87600*time.Hour + 1 }},
		{"client_id", func(c *wazo.Config) { c.ClientID = "my crm" }},
		{"client_id", func(c *wazo.Config) { c.ClientID = "crm/../token" }},
		{"client_id", func(c *wazo.Config) { c.ClientID = ".." }},
		{"client_id", func(c *wazo.Config) { c.ClientID = "." }},
		{"Username", func(c *wazo.Config) { c.Username = "a:b" }},
		{"Options", func(c *wazo.Config) { c.Options = map[string]string{"client_id": "crm"} }},
	} {
		t.Run(tt.setting, func(t *testing.T) {
			cfg := config(drivertest.Unsent{T: t})
			tt.change(&cfg)
			driver, err := wazo.New(cfg)
			drivertest.Misconfigured(t, wazo.Name, driver != nil, err, tt.setting)
		})
	}
	for _, good := range []func(*wazo.Config){
		func(c *wazo.Config) { c.TokenTTL = time.Second }, func(c *wazo.Config) { c.TokenTTL = 87600 * time.Hour },
		func(c *wazo.Config) { c.ClientID = "My-CRM_2.0" },
	} {
		cfg := config(drivertest.Unsent{T: t})
		good(&cfg)
		open(t, cfg)
	}
}

func TestCredentialsThatCannotBeCarriedAreNotSent(t *testing.T) {
	open := func(c pbx.Config) (pbx.Authenticator, error) { return wazo.New(wazo.Config{Config: c}) }
	for _, tt := range []struct {
		account       pbx.Credentials
		setting, says string
	}{
		{pbx.Credentials{Username: "a:b", Password: pbx.NewSecret(password)}, "Username", "colon"},
		{pbx.Credentials{Username: "a\xff", Password: pbx.NewSecret(password)}, "Username", "not UTF-8"},
		{pbx.Credentials{Username: user, Password: pbx.NewSecret("s3cret\xff")}, "Password", "not UTF-8"},
	} {
		drivertest.Impossible(t, wazo.Name, open, config(drivertest.Unsent{T: t}).Config, tt.account, tt.setting, tt.says)
	}
}

func TestOptionsOpenTheDriverByName(t *testing.T) {
	cfg := config(drivertest.Unsent{T: t}).Config
	cfg.Options = map[string]string{"token_ttl": "90s", "client_id": "crm"}
	auth, err := pbx.Open("wazo", cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := auth.(pbx.Describer).Traits(); got.Lifetime != 90*time.Second || got.KeepAlive != pbx.KeepAliveRefresh {
		t.Errorf("%+v", got)
	}
}

func TestATokenGoesIntoItsHeader(t *testing.T) {
	r := &http.Request{URL: &url.URL{Scheme: "https", Host: "wazo.example.com", Path: "/api/confd/1.1/users"}, Header: http.Header{}}
	if err := open(t, config(drivertest.Unsent{T: t})).Authorize(r, given()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(http.Header{"X-Auth-Token": {sampleToken}}, r.Header); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestKeepAliveWithoutARefreshTokenSendsNothing(t *testing.T) {
	cfg := config(drivertest.Unsent{T: t})
	if _, err := open(t, cfg).KeepAlive(t.Context(), given()); failure(t, err).Kind != pbx.ErrNotSupported {
		t.Error(err)
	}
	cfg.ClientID = "crm"
	if _, err := open(t, cfg).KeepAlive(t.Context(), &pbx.Token{Value: pbx.NewSecret(sampleToken)}); failure(t, err).Kind != pbx.ErrTokenRejected || failure(t, err).Sent {
		t.Error(err)
	}
}
