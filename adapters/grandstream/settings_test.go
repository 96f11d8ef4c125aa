package grandstream_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/grandstream"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
)

func config(t testing.TB) pbx.Config {
	return pbx.Config{URL: "https://pbx.example.com", Username: user, Password: pbx.NewSecret(password), Transport: drivertest.Unsent{T: t}}
}

func TestSettingsThatCannotWorkAreRefusedByName(t *testing.T) {
	for name, tt := range map[string]struct {
		options map[string]string
		says    []string
	}{
		"an unknown option":        {map[string]string{"ttl": "10m"}, []string{`"ttl"`, "token_ttl, keepalive_action"}},
		"a life without a unit":    {map[string]string{"token_ttl": "10"}, []string{`"token_ttl"`, `"10"`}},
		"a life that is none":      {map[string]string{"token_ttl": "0s"}, []string{`"token_ttl"`}},
		"a life in milliseconds":   {map[string]string{"token_ttl": "10ms"}, []string{"token_ttl", "10ms"}},
		"a login for a keep-alive": {map[string]string{"keepalive_action": "login"}, []string{"keepalive_action", `"login"`, "getSystemStatus"}},
		"a logout for one":         {map[string]string{"keepalive_action": "logout"}, []string{"keepalive_action", `"logout"`}},
		"a challenge for one":      {map[string]string{"keepalive_action": "challenge"}, []string{"keepalive_action", `"challenge"`}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			cfg.Options = tt.options
			auth, err := pbx.Open("grandstream", cfg)
			drivertest.Misconfigured(t, grandstream.Name, auth != nil, err, "", tt.says...)
		})
	}
}

func TestFieldsThatCannotWorkAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*grandstream.Config)
		says   []string
	}{
		"options":               {func(c *grandstream.Config) { c.Options = map[string]string{"token_ttl": "10m"} }, []string{"Options", "pbx.Open"}},
		"a life below zero":     {func(c *grandstream.Config) { c.TokenTTL = -time.Second }, []string{"TokenTTL", "-1s"}},
		"a life without a unit": {func(c *grandstream.Config) { c.TokenTTL = 600 }, []string{"TokenTTL", "600ns", "unit"}},
		"no URL":                {func(c *grandstream.Config) { c.URL = "" }, []string{"URL"}},
		"plain http":            {func(c *grandstream.Config) { c.URL = "http://pbx.example.com" }, []string{"AllowPlainHTTP"}},
		"no user":               {func(c *grandstream.Config) { c.Username = "" }, []string{"Username"}},
		"no password":           {func(c *grandstream.Config) { c.Password = pbx.Secret{} }, []string{"Password"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := grandstream.Config{Config: config(t)}
			tt.change(&cfg)
			driver, err := grandstream.New(cfg)
			drivertest.Misconfigured(t, grandstream.Name, driver != nil, err, "", tt.says...)
		})
	}
}

func TestAddressesAreCompleted(t *testing.T) {
	drivertest.Addresses(t, func(address string) (pbx.Authenticator, error) {
		cfg := grandstream.Config{Config: config(t)}
		cfg.URL = address
		return grandstream.New(cfg)
	}, map[string]string{
		"192.168.0.174":                         "https://192.168.0.174:8089",
		"https://ucm.example.com":               "https://ucm.example.com:8089",
		"https://ucm.example.com:8089/api":      "https://ucm.example.com:8089",
		"https://ucm.example.com:443/":          "https://ucm.example.com:443",
		"https://proxy.example.com:443/ucm/api": "https://proxy.example.com:443/ucm",
	})
}

// Options come as text, from a form, or as typed fields.
func TestTheLifetimeAndTheKeepAliveAreOptions(t *testing.T) {
	for name, open := range map[string]func(pbx.Config) (pbx.Authenticator, error){
		"by name": func(c pbx.Config) (pbx.Authenticator, error) {
			c.Options = map[string]string{"token_ttl": "2m", "keepalive_action": "listAccount"}
			return pbx.Open("grandstream", c)
		},
		"as fields": func(c pbx.Config) (pbx.Authenticator, error) {
			return grandstream.New(grandstream.Config{Config: c, TokenTTL: 2 * time.Minute, KeepAliveAction: "listAccount"})
		},
	} {
		simulate(t, grandstreamsim.Options{KeepAlive: "listAccount"}, nil, func(t *testing.T, s simulation) {
			auth, err := open(pbx.Config{URL: s.Server.URL, Username: user, Password: pbx.NewSecret(password), Transport: s.Server.Client().Transport})
			if err != nil {
				t.Fatal(err)
			}
			token, err := auth.Login(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			kept, err := auth.KeepAlive(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			want := &pbx.Token{Value: token.Value, IssuedAt: time.Now(), ExpiresAt: time.Now().Add(2 * time.Minute)}
			if diff := cmp.Diff(want, kept); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			if got, want := string(s.Last().Body), `{"request":{"action":"listAccount","cookie":"`+token.Value.Reveal()+`"}}`; got != want {
				t.Errorf("%s: sent %s, want %s", name, got, want)
			}
			if got := auth.(pbx.Describer).Traits().Lifetime; got != 2*time.Minute {
				t.Errorf("%s: a life of %s", name, got)
			}
		})
	}
}

func TestTraitsAreTheVendorsNumbers(t *testing.T) {
	want := pbx.Traits{
		Driver:    grandstream.Name,
		URL:       "https://pbx.example.com:8089",
		Lifetime:  10 * time.Minute,
		Sliding:   true,
		KeepAlive: pbx.KeepAliveHeartbeat,
		Account:   user,
		Lockout:   pbx.Lockout{Attempts: 5, Window: 5 * time.Minute, Memory: pbx.Forever},
		Probe:     "https://pbx.example.com:8089/api",
	}
	if diff := cmp.Diff(want, on(t, drivertest.Unsent{T: t}).Traits()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAKeepAliveActionIsOneWord(t *testing.T) {
	for _, action := range []string{" ", "list account", "listAccount\n", `listAccount"`, "\xff"} {
		got, err := grandstream.New(grandstream.Config{Config: pbx.Config{URL: "https://pbx.example.com", Username: "u", Password: pbx.NewSecret("secret")}, KeepAliveAction: action})
		drivertest.Misconfigured(t, grandstream.Name, got != nil, err, "keepalive_action", "one word")
	}
}
