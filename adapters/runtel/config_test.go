package runtel_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/runtel"
)

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	account := pbx.Config{URL: "https://office.example", Username: user, Password: pbx.NewSecret(password)}
	address := pbx.Config{URL: "https://office.example"}
	asked := func(context.Context) (pbx.Credentials, error) { return pbx.Credentials{}, nil }
	tests := []struct {
		name string
		cfg  runtel.Config
		says string
	}{
		{"options in the typed form", runtel.Config{Config: pbx.Config{URL: "https://office.example", Options: map[string]string{"token_ttl": "4h"}}}, "set the fields of the driver's own Config"},
		{"a negative life", runtel.Config{Config: account, TokenTTL: -time.Hour}, "negative"},
		{"a life without a unit", runtel.Config{Config: account, TokenTTL: 14400}, "unit"},
		{"a zone that is none", runtel.Config{Config: account, ExpZone: "Europe/Nowhere"}, "timetzdata"},
		{"this machine's zone", runtel.Config{Config: account, ExpZone: "Local"}, `"Local"`},
		{"an offset for a zone", runtel.Config{Config: account, ExpZone: "+03:00"}, `"+03:00"`},
		{"no account", runtel.Config{Config: address}, "Username"},
		{"no password", runtel.Config{Config: pbx.Config{URL: "https://office.example", Username: user}}, "Password"},
		{"no address", runtel.Config{Key: pbx.NewSecret(key)}, "URL is empty"},
		{"plain http", runtel.Config{Config: pbx.Config{URL: "http://office.example"}, Key: pbx.NewSecret(key)}, "AllowPlainHTTP"},
		{"a key and a user name", runtel.Config{Config: pbx.Config{URL: "https://office.example", Username: user}, Key: pbx.NewSecret(key)}, "not both"},
		{"a key and a password", runtel.Config{Config: pbx.Config{URL: "https://office.example", Password: pbx.NewSecret(password)}, Key: pbx.NewSecret(key)}, "not both"},
		{"a key and a Credentials func", runtel.Config{Config: pbx.Config{URL: "https://office.example", Credentials: asked}, Key: pbx.NewSecret(key)}, "not both"},
		{"a key and a zone", runtel.Config{Config: address, Key: pbx.NewSecret(key), ExpZone: "tz"}, "does not expire"},
		{"a key and a life", runtel.Config{Config: address, Key: pbx.NewSecret(key), TokenTTL: time.Hour}, "does not expire"},
		{"a key with its scheme", runtel.Config{Config: address, Key: pbx.NewSecret("Bearer " + key)}, `without "Bearer"`},
		{"a key with a line break", runtel.Config{Config: address, Key: pbx.NewSecret(key + "\n")}, "blanks"},
	}
	for _, tt := range tests {
		p, err := runtel.New(tt.cfg)
		if err == nil {
			t.Errorf("%s: opened %v", tt.name, p)
			continue
		}
		got := failure(t, err)
		if got.Kind != pbx.ErrConfig || got.Op != pbx.OpOpen || got.Driver != runtel.Name || got.Sent || !strings.Contains(got.Message, tt.says) {
			t.Errorf("%s: %v, want %q in it", tt.name, err, tt.says)
		}
		for _, secret := range []string{key, password} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v shows a secret", tt.name, err)
			}
		}
	}
}

func TestOptionsOpenThePBXByName(t *testing.T) {
	account := func(options map[string]string) pbx.Config {
		return pbx.Config{URL: "https://office.example", Username: user, Password: pbx.NewSecret(password), Options: options}
	}
	for name, cfg := range map[string]pbx.Config{
		"none":              account(nil),
		"a zone":            account(map[string]string{"exp_zone": "Asia/Omsk"}),
		"the login's zone":  account(map[string]string{"exp_zone": "tz"}),
		"a life":            account(map[string]string{"token_ttl": "4h"}),
		"a zone and a life": account(map[string]string{"exp_zone": "UTC", "token_ttl": "4h"}),
		"a key":             {URL: "https://office.example", Secrets: map[string]pbx.Secret{"key": pbx.NewSecret(key)}},
	} {
		auth, err := pbx.Open("runtel", cfg)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := pbx.Traits{
			Driver: runtel.Name,
			URL:    "https://office.example", Account: cfg.Username, KeepAlive: pbx.KeepAliveNone,
			Lockout: pbx.Lockout{LooksWrong: true}, Probe: "https://office.example/api/",
		}
		if name == "a key" {
			want.Logout = pbx.LogoutNone
		}
		if cfg.Options["token_ttl"] != "" {
			want.Lifetime = 4 * time.Hour
		}
		if diff := cmp.Diff(want, auth.(pbx.Describer).Traits()); diff != "" {
			t.Errorf("%s: traits (-want +got):\n%s", name, diff)
		}
	}
	for name, options := range map[string]map[string]string{
		"a life without a unit":  {"token_ttl": "14400"},
		"a negative life":        {"token_ttl": "-4h"},
		"a life in milliseconds": {"token_ttl": "4ms"},
		"a zone that is none":    {"exp_zone": "MSK+0"},
		"an unknown option":      {"keys": key},
	} {
		auth, err := pbx.Open("runtel", account(options))
		if !errors.Is(err, pbx.ErrConfig) || auth != nil {
			t.Errorf("%s: %v, error %v; want nil and a configuration error", name, auth, err)
		}
		if err != nil && strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v shows the key", name, err)
		}
	}
}

func TestTheKeyIsNotToBeShown(t *testing.T) {
	d, _ := pbx.Lookup("runtel")
	secret := map[string]bool{}
	for _, o := range d.Options {
		secret[o.Name] = o.Kind == pbx.OptionSecret
	}
	if diff := cmp.Diff(map[string]bool{"exp_zone": false, "token_ttl": false, "key": true}, secret); diff != "" {
		t.Errorf("secret options (-want +got):\n%s", diff)
	}
}

func TestAnyHostAndBasePathWillDo(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"https://office.example", "https://office.example/api/"},
		{"office.example", "https://office.example/api/"},
		{"https://office.example/", "https://office.example/api/"},
		{"https://office.example/api/", "https://office.example/api/"},
		{"https://pbx.reseller.example:8443/ats/", "https://pbx.reseller.example:8443/ats/api/"},
		{"https://pbx.reseller.example/ats/api", "https://pbx.reseller.example/ats/api/"},
		{"https://pbx.reseller.example/api-gw", "https://pbx.reseller.example/api-gw/api/"},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080/api/"},
	} {
		server := &platform{body: answered(`{"token":"J...W"}`)}
		cfg := runtel.Config{Config: pbx.Config{URL: tt.url}}
		if _, err := open(t, server.at(cfg)).Login(t.Context()); err != nil {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		if got := server.requests[0].URL; got != tt.want {
			t.Errorf("%s: asked %s, want %s", tt.url, got, tt.want)
		}
	}
}
