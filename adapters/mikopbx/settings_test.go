package mikopbx_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/mikopbx"
)

func config(t *testing.T) pbx.Config {
	return pbx.Config{URL: "https://pbx.example.com", Username: user, Password: pbx.NewSecret(password), Transport: drivertest.Unsent{T: t}}
}

func TestSettingsThatCannotWorkAreRefusedByName(t *testing.T) {
	for name, tt := range map[string]struct {
		change  func(*mikopbx.Config)
		setting string
		says    string
	}{
		"options":              {func(c *mikopbx.Config) { c.Options = map[string]string{"key": key} }, "Options", "pbx.Open"},
		"secrets":              {func(c *mikopbx.Config) { c.Secrets = map[string]pbx.Secret{"key": pbx.NewSecret(key)} }, "Options", "pbx.Open"},
		"no URL":               {func(c *mikopbx.Config) { c.URL = "" }, "URL", "URL"},
		"plain http":           {func(c *mikopbx.Config) { c.URL = "http://pbx.example.com" }, "URL", "AllowPlainHTTP"},
		"no login":             {func(c *mikopbx.Config) { c.Username = "" }, "Username", "Username"},
		"no password":          {func(c *mikopbx.Config) { c.Password = pbx.Secret{} }, "Password", "Password"},
		"an account and a key": {func(c *mikopbx.Config) { c.Key = pbx.NewSecret(key) }, "key", "not both"},
		"a key with a scheme":  {func(c *mikopbx.Config) { withKey(c); c.Key = pbx.NewSecret("Bearer " + key) }, "key", `without "Bearer"`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := mikopbx.Config{Config: config(t)}
			tt.change(&cfg)
			driver, err := mikopbx.New(cfg)
			drivertest.Misconfigured(t, mikopbx.Name, driver != nil, err, tt.setting, tt.says)
			drivertest.Safe(t, mikopbx.Name, err, key)
		})
	}
}

func TestAddressesAreCompleted(t *testing.T) {
	drivertest.Addresses(t, func(address string) (pbx.Authenticator, error) {
		cfg := config(t)
		cfg.URL = address
		return pbx.Open(mikopbx.Name, cfg)
	}, map[string]string{
		"pbx.example.com": "https://pbx.example.com",
		"https://pbx.example.com:8443/pbxcore/api/v3/":      "https://pbx.example.com:8443",
		"https://pbx.example.com/pbxcore/api/v3/auth:login": "https://pbx.example.com",
		"https://proxy.example.com/miko/pbxcore/api/v3":     "https://proxy.example.com/miko",
	})
}

func TestTraitsAreTheSourcesNumbers(t *testing.T) {
	want := pbx.Traits{
		Driver: mikopbx.Name,
		URL:    "https://pbx.example.com", Account: user, Lifetime: 15 * time.Minute,
		KeepAlive: pbx.KeepAliveRefresh, Logout: pbx.LogoutRefresh,
		Lockout: pbx.Lockout{Attempts: 10, Window: 10 * time.Minute, Memory: 10 * time.Minute, DeadTokens: pbx.DeadTokensIgnored},
		Probe:   "https://pbx.example.com/pbxcore/api/v3/auth:login",
	}
	if diff := cmp.Diff(want, on(t, drivertest.Unsent{T: t}).Traits()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTheKeyHasAFingerprintOfItsOwn(t *testing.T) {
	take := func(change ...func(*mikopbx.Config)) string {
		got, err := on(t, drivertest.Unsent{T: t}, change...).Fingerprint(t.Context(), []byte("key"))
		if err != nil || len(got) == 0 {
			t.Fatal(err)
		}
		return string(got)
	}
	first, second := take(withKey), take(withKey)
	if take() == first || first != second {
		t.Error("two credentials have one fingerprint, or one has two")
	}
}
