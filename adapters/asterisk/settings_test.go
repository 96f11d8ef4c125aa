package asterisk_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func config(t testing.TB) pbx.Config {
	return pbx.Config{URL: "https://pbx.example.com", Username: user, Password: pbx.NewSecret(secret), Transport: drivertest.Unsent{T: t}}
}

func TestEveryFormOfTheManagersPathIsCutOffAPastedURL(t *testing.T) {
	drivertest.Addresses(t, func(address string) (pbx.Authenticator, error) {
		cfg := config(t)
		cfg.URL = address
		return asterisk.New(asterisk.Config{Config: cfg})
	}, map[string]string{
		"https://pbx.example.com:8089/rawman":              "https://pbx.example.com:8089",
		"https://pbx.example.com:8089/mxml":                "https://pbx.example.com:8089",
		"https://pbx.example.com:8089/mxml?action=ping":    "https://pbx.example.com:8089",
		"https://pbx.example.com:8089/asterisk/manager":    "https://pbx.example.com:8089/asterisk",
		"https://pbx.example.com:8089/asterisk/amanager":   "https://pbx.example.com:8089/asterisk/amanager",
		"https://pbx.example.com:8089/manager/asterisk/1/": "https://pbx.example.com:8089/manager/asterisk/1",
	})
}

func TestAddressesAreCompleted(t *testing.T) {
	tests := []struct{ url, prefix, want string }{
		{"pbx.example.com", "", "https://pbx.example.com:8089"},
		{"https://pbx.example.com/", "", "https://pbx.example.com:8089"},
		{"https://pbx.example.com:443", "", "https://pbx.example.com:443"},
		{"http://pbx.example.com", "", "http://pbx.example.com:8088"},
		{"http://pbx.example.com:80/rawman", "", "http://pbx.example.com:80"},
		{"http://127.0.0.1:18088/rawman?action=ping", "", "http://127.0.0.1:18088"},

		{"http://pbx.example.com", "asterisk", "http://pbx.example.com:8088/asterisk"},
		{"http://pbx.example.com", "/asterisk/", "http://pbx.example.com:8088/asterisk"},
		{"http://pbx.example.com", "a/b", "http://pbx.example.com:8088/a/b"},
		{"http://pbx.example.com", "/", "http://pbx.example.com:8088"},
		{"http://pbx.example.com/asterisk/rawman", "", "http://pbx.example.com:8088/asterisk"},
		{"http://pbx.example.com/asterisk/rawman", "asterisk", "http://pbx.example.com:8088/asterisk"},
		{"http://pbx.example.com/asterisk/", "/asterisk", "http://pbx.example.com:8088/asterisk"},
		{"https://proxy.example.com:443/pbx7/", "asterisk", "https://proxy.example.com:443/pbx7/asterisk"},
		{"https://proxy.example.com:443/myasterisk", "asterisk", "https://proxy.example.com:443/myasterisk/asterisk"},
	}
	for _, tt := range tests {
		cfg := config(t)
		cfg.URL, cfg.AllowPlainHTTP = tt.url, true
		driver, err := asterisk.New(asterisk.Config{Config: cfg, Prefix: tt.prefix})
		if err != nil {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		if got := driver.Traits().URL; got != tt.want {
			t.Errorf("%s with the prefix %q is read as %s, want %s", tt.url, tt.prefix, got, tt.want)
		}
	}
}

// The prefix can be given by name, as a field, or in the URL.
func TestAPrefixIsUsedForEveryRequest(t *testing.T) {
	for name, open := range map[string]func(pbx.Config) (pbx.Authenticator, error){
		"by name": func(c pbx.Config) (pbx.Authenticator, error) {
			c.Options = map[string]string{"prefix": "asterisk"}
			return pbx.Open("asterisk", c)
		},
		"as a field": func(c pbx.Config) (pbx.Authenticator, error) {
			return asterisk.New(asterisk.Config{Config: c, Prefix: "asterisk"})
		},
		"in the URL": func(c pbx.Config) (pbx.Authenticator, error) {
			c.URL += "/asterisk"
			return pbx.Open("asterisk", c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, asterisksim.Options{Prefix: "asterisk"}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
				auth, err := open(pbx.Config{URL: s.Server.URL, Username: user, Password: pbx.NewSecret(secret), Transport: s.Server.Client().Transport})
				if err != nil {
					t.Fatal(err)
				}
				s.Driver = auth.(*asterisk.PBX)
				token := s.Login(t)
				if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil {
					t.Error(err)
				}
				if _, err := act(t, s.Driver, token, "Action=ListCommands"); err != nil {
					t.Error(err)
				}
				if err := s.Driver.Logout(t.Context(), token); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	cfg := config(t)
	cfg.Options = map[string]string{"prefx": "asterisk"}
	auth, err := pbx.Open("asterisk", cfg)
	drivertest.Misconfigured(t, asterisk.Name, auth != nil, err, "", `"prefx"`, "prefix")

	for name, tt := range map[string]struct {
		change func(*asterisk.Config)
		says   []string
	}{
		"options":     {func(c *asterisk.Config) { c.Options = map[string]string{"prefix": "asterisk"} }, []string{"Options", "pbx.Open"}},
		"no URL":      {func(c *asterisk.Config) { c.URL = "" }, []string{"URL"}},
		"plain http":  {func(c *asterisk.Config) { c.URL = "http://pbx.example.com" }, []string{"AllowPlainHTTP"}},
		"no user":     {func(c *asterisk.Config) { c.Username = "" }, []string{"Username"}},
		"no password": {func(c *asterisk.Config) { c.Password = pbx.Secret{} }, []string{"Password"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := asterisk.Config{Config: config(t)}
			tt.change(&cfg)
			driver, err := asterisk.New(cfg)
			drivertest.Misconfigured(t, asterisk.Name, driver != nil, err, "", tt.says...)
		})
	}
}

func TestTraitsAreAsterisksNumbers(t *testing.T) {
	want := pbx.Traits{
		Driver: asterisk.Name,
		URL:    "https://pbx.example.com:8089", Account: user, Lifetime: time.Minute, KeepAlive: pbx.KeepAliveHeartbeat,
		Lockout: pbx.Lockout{Attempts: 3, Window: 10 * time.Minute, Memory: 10 * time.Minute, DeadTokens: pbx.DeadTokensIgnored, CoversRequests: true},
		Probe:   "https://pbx.example.com:8089/rawman?action=challenge&authtype=MD5",
	}
	if diff := cmp.Diff(want, on(t, drivertest.Unsent{T: t}).Traits()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAPrefixThatIsNoPathIsRefused(t *testing.T) {
	for _, prefix := range []string{"a b", "a?b", "a#b", "a%2fb", "..", "a/../b", "a\nb", "\xff", "https://pbx.example.com/asterisk"} {
		got, err := asterisk.New(asterisk.Config{Config: pbx.Config{URL: "https://pbx.example.com", Username: "u", Password: pbx.NewSecret("secret")}, Prefix: prefix})
		drivertest.Misconfigured(t, asterisk.Name, got != nil, err, "prefix", "a part of a URL")
	}
	for _, prefix := range []string{"", "/", "asterisk", "/asterisk/", "a/b", "v1.2", "~ami"} {
		if _, err := asterisk.New(asterisk.Config{Config: pbx.Config{URL: "https://pbx.example.com", Username: "u", Password: pbx.NewSecret("secret")}, Prefix: prefix}); err != nil {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}
