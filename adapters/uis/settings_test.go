package uis_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/uis"
)

func config(t *testing.T) pbx.Config {
	return pbx.Config{URL: "https://callapi.uiscom.ru", Username: user, Password: pbx.NewSecret(password), Transport: drivertest.Unsent{T: t}}
}

func TestSettingsThatCannotWorkAreRefusedByName(t *testing.T) {
	for name, tt := range map[string]struct {
		change  func(*uis.Config)
		setting string
		says    string
	}{
		"options":                {func(c *uis.Config) { c.Options = map[string]string{"platform": "uis"} }, "Options", "pbx.Open"},
		"secrets":                {func(c *uis.Config) { c.Secrets = map[string]pbx.Secret{"key": pbx.NewSecret(key)} }, "Options", "pbx.Open"},
		"no address":             {func(c *uis.Config) { c.URL = "" }, "URL", "comagic, uis"},
		"two addresses":          {func(c *uis.Config) { c.Platform = "uis" }, "platform", "not both"},
		"an unknown platform":    {func(c *uis.Config) { c.URL, c.Platform = "", "other" }, "platform", `"other"`},
		"a method that changes":  {func(c *uis.Config) { c.PingMethod = "release.call" }, "ping_method", "release.call"},
		"a login for a method":   {func(c *uis.Config) { c.PingMethod = "login.user" }, "ping_method", "login.user"},
		"plain http":             {func(c *uis.Config) { c.URL = "http://callapi.uiscom.ru" }, "URL", "AllowPlainHTTP"},
		"no login":               {func(c *uis.Config) { c.Username = "" }, "Username", "Username"},
		"no password":            {func(c *uis.Config) { c.Password = pbx.Secret{} }, "Password", "Password"},
		"an account and a key":   {func(c *uis.Config) { c.Key = pbx.NewSecret(key) }, "key", "not both"},
		"a key with line breaks": {func(c *uis.Config) { c.Username, c.Password, c.Key = "", pbx.Secret{}, pbx.NewSecret(key+"\n") }, "key", "line breaks"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := uis.Config{Config: config(t)}
			tt.change(&cfg)
			driver, err := uis.New(cfg)
			drivertest.Misconfigured(t, uis.Name, driver != nil, err, tt.setting, tt.says)
			drivertest.Safe(t, uis.Name, err, key)
		})
	}
}

func TestAddressesAreCompleted(t *testing.T) {
	drivertest.Addresses(t, func(address string) (pbx.Authenticator, error) {
		cfg := config(t)
		if cfg.URL = address; !strings.Contains(address, ".") {
			cfg.URL, cfg.Options = "", map[string]string{"platform": address}
		}
		return pbx.Open(uis.Name, cfg)
	}, map[string]string{
		"callapi.comagic.ru":             "https://callapi.comagic.ru",
		"https://callapi.uiscom.ru/v4.0": "https://callapi.uiscom.ru",
		"https://proxy.example.com/uis/": "https://proxy.example.com/uis",
		"uis":                            "https://callapi.uiscom.ru",
		"comagic":                        "https://callapi.comagic.ru",
	})
}

func TestTraitsAreTheVendorsWords(t *testing.T) {
	want := pbx.Traits{
		Driver: uis.Name,
		URL:    "https://callapi.uiscom.ru", Account: user, Lifetime: time.Hour,
		KeepAlive: pbx.KeepAliveNone, Logout: pbx.LogoutToken, Lockout: pbx.Lockout{LooksWrong: true},
		Probe: "https://callapi.uiscom.ru/v4.0",
	}
	for _, method := range []string{"list.calls", ""} { // the login proves an account without it
		if diff := cmp.Diff(want, on(t, drivertest.Unsent{T: t}, func(c *uis.Config) { c.PingMethod = method }).Traits()); diff != "" {
			t.Errorf("method %q: -want +got:\n%s", method, diff)
		}
	}
}

func TestTheKeyHasAFingerprintOfItsOwn(t *testing.T) {
	take := func(change ...func(*uis.Config)) string {
		got, err := on(t, drivertest.Unsent{T: t}, change...).Fingerprint(t.Context(), []byte("key"))
		if err != nil || len(got) == 0 {
			t.Fatal(err)
		}
		return string(got)
	}
	other := func(c *uis.Config) { withKey("")(c); c.Key = pbx.NewSecret("another") }
	first, second := take(withKey("")), take(withKey(""))
	if take() == first || first == take(other) || first != second {
		t.Error("two credentials have one fingerprint, or one has two")
	}
}
