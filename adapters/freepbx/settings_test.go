package freepbx_test

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/freepbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
)

func TestTraitsAreTheModules(t *testing.T) {
	want := pbx.Traits{
		Driver: freepbx.Name,
		URL:    "https://pbx.example.com", Account: id, Lifetime: time.Hour, KeepAlive: pbx.KeepAliveNone, Logout: pbx.LogoutNone,
		Probe:    "https://pbx.example.com/admin/api/api/token", // and nothing is known of a lockout
		Unproven: true,                                          // 17 may not check an application's secret
	}
	if diff := cmp.Diff(want, open(t, config(drivertest.Unsent{T: t})).Traits()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	want.KeepAlive, want.Account, want.Unproven = pbx.KeepAliveRefresh, "1000", false
	if diff := cmp.Diff(want, open(t, ofUser(drivertest.Unsent{T: t})).Traits()); diff != "" {
		t.Errorf("of a user (-want +got):\n%s", diff)
	}
}

func TestAddressesAreCompleted(t *testing.T) {
	drivertest.Addresses(t, func(address string) (pbx.Authenticator, error) {
		cfg := config(drivertest.Unsent{T: t})
		cfg.URL = address
		return freepbx.New(cfg)
	}, map[string]string{
		"pbx.example.com":                                    "https://pbx.example.com",
		"https://pbx.example.com:8443/admin":                 "https://pbx.example.com:8443",
		"https://pbx.example.com/admin/config.php":           "https://pbx.example.com",
		"https://pbx.example.com/admin/api":                  "https://pbx.example.com", // one api too few
		"https://pbx.example.com/admin/api/api/gql":          "https://pbx.example.com",
		"https://pbx.example.com/admin/api/api/token":        "https://pbx.example.com",
		"https://proxy.example.com/pbx-7/admin/api/api/rest": "https://proxy.example.com/pbx-7",
	})
}

func TestSettingsThatCannotWorkAreNamed(t *testing.T) {
	for _, tt := range []struct {
		setting string
		change  func(*freepbx.Config)
	}{
		{"client_secret", func(c *freepbx.Config) { c.ClientID = id }},
		{"client_secret", func(c *freepbx.Config) { c.ClientID, c.ClientSecret = id, pbx.NewSecret(secret+"\n") }},
		{"client_id", func(c *freepbx.Config) { c.ClientID, c.ClientSecret = id+"\n", pbx.NewSecret(secret) }},
		{"client_id", func(c *freepbx.Config) { c.ClientSecret = pbx.NewSecret(secret) }},
		{"scope", func(c *freepbx.Config) { c.Scope = "gql:core, rest:core\n" }},
		{"scope", func(c *freepbx.Config) { c.Scope = " gql:core" }},
		{"scope", func(c *freepbx.Config) { c.Scope = "gql:core  rest:core" }},
		{"Options", func(c *freepbx.Config) { c.Options = map[string]string{"scope": "gql"} }},
	} {
		t.Run(tt.setting, func(t *testing.T) {
			cfg := config(drivertest.Unsent{T: t})
			tt.change(&cfg)
			driver, err := freepbx.New(cfg)
			drivertest.Misconfigured(t, freepbx.Name, driver != nil, err, tt.setting)
		})
	}
}

func TestOptionsOpenTheDriverByName(t *testing.T) {
	cfg := config(drivertest.Unsent{T: t}).Config
	cfg.Options = map[string]string{"scope": "gql", "client_id": id}
	cfg.Secrets = map[string]pbx.Secret{"client_secret": pbx.NewSecret(secret)}
	auth, err := pbx.Open("freepbx", cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := auth.(pbx.Describer).Traits().KeepAlive; got != pbx.KeepAliveRefresh {
		t.Errorf("the options are lost: keep-alive %v", got)
	}
}

func TestNothingIsSentForWhatThereIsNot(t *testing.T) {
	driver := open(t, config(drivertest.Unsent{T: t}))
	if _, err := driver.KeepAlive(t.Context(), given(time.Hour)); !errors.Is(err, pbx.ErrNotSupported) {
		t.Errorf("an application's keep-alive: %v", err)
	}
	if _, err := open(t, ofUser(drivertest.Unsent{T: t})).KeepAlive(t.Context(), &pbx.Token{Value: pbx.NewSecret(token16)}); !errors.Is(err, pbx.ErrTokenRejected) {
		t.Errorf("without a refresh token: %v", err)
	}
	if err := driver.Logout(t.Context(), given(time.Hour)); err != nil {
		t.Errorf("logout: %v", err)
	}
}

func TestATokenGoesIntoTheAuthorizationHeader(t *testing.T) {
	r := &http.Request{URL: &url.URL{Scheme: "https", Host: "pbx.example.com", Path: "/admin/api/api/gql"}, Header: http.Header{}}
	if err := open(t, config(drivertest.Unsent{T: t})).Authorize(r, given(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(http.Header{"Authorization": {"Bearer " + token16}}, r.Header); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
