package starface_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/starface"
)

func config(t *testing.T) pbx.Config {
	return pbx.Config{URL: "https://pbx.example.com", Username: user, Password: pbx.NewSecret(password), Transport: drivertest.Unsent{T: t}}
}

func TestSettingsThatCannotWorkAreRefusedByName(t *testing.T) {
	for name, tt := range map[string]struct {
		change  func(*pbx.Config)
		setting string
		says    string
	}{
		"an option":   {func(c *pbx.Config) { c.Options = map[string]string{"ttl": "4h"} }, "Options", "pbx.Open"},
		"a secret":    {func(c *pbx.Config) { c.Secrets = map[string]pbx.Secret{"key": pbx.NewSecret("k")} }, "Options", "pbx.Open"},
		"no URL":      {func(c *pbx.Config) { c.URL = "" }, "URL", "URL"},
		"plain http":  {func(c *pbx.Config) { c.URL = "http://pbx.example.com" }, "URL", "AllowPlainHTTP"},
		"no user":     {func(c *pbx.Config) { c.Username = "" }, "Username", "Username"},
		"no password": {func(c *pbx.Config) { c.Password = pbx.Secret{} }, "Password", "Password"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			tt.change(&cfg)
			driver, err := starface.New(cfg)
			drivertest.Misconfigured(t, starface.Name, driver != nil, err, tt.setting, tt.says)
		})
	}
}

func TestAddressesAreCompleted(t *testing.T) {
	drivertest.Addresses(t, func(address string) (pbx.Authenticator, error) {
		cfg := config(t)
		cfg.URL = address
		return starface.New(cfg)
	}, map[string]string{
		"pbx.example.com":                      "https://pbx.example.com",
		"https://pbx.example.com/rest":         "https://pbx.example.com",
		"https://pbx.example.com/rest/login":   "https://pbx.example.com",
		"https://proxy.example.com/star/rest/": "https://proxy.example.com/star",
	})
}

func TestTraitsAreTheVendorsWords(t *testing.T) {
	driver, err := starface.New(config(t))
	if err != nil {
		t.Fatal(err)
	}
	want := pbx.Traits{
		Driver: starface.Name,
		URL:    "https://pbx.example.com", Account: user, Lifetime: 4 * time.Hour,
		KeepAlive: pbx.KeepAliveNone, Logout: pbx.LogoutToken,
		Lockout: pbx.Lockout{Window: 10 * time.Minute, LooksWrong: true},
		Probe:   "https://pbx.example.com/rest/login",
	}
	if diff := cmp.Diff(want, driver.Traits()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
