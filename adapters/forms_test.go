package adapters_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

// A settings form is drawn from what a driver is registered with.
func TestEveryDriverHasAFormAndTheOptionalInterfaces(t *testing.T) {
	for _, d := range pbx.Drivers() {
		if d.Title == d.Name || d.Setup == "" || !strings.HasPrefix(d.Docs, "https://") {
			t.Errorf("%s: %+v", d.Name, d)
		}
		for _, o := range d.Options {
			if o.Label == o.Name || o.Help == "" {
				t.Errorf("%s: option %s has no words for people", d.Name, o.Name)
			}
		}
		auth, err := pbx.Open(d.Name, pbx.Config{
			URL: "https://pbx.example.com", Username: tableUser, Password: pbx.NewSecret(tablePassword), Options: simulators.Of(d.Name)[0].Options,
		})
		if err != nil {
			t.Errorf("%s: %v", d.Name, err)
			continue
		}
		if _, ok := auth.(interface {
			pbx.Requester
			pbx.Describer
			pbx.Fingerprinter
		}); !ok {
			t.Errorf("%s: %T lacks an optional interface", d.Name, auth)
		}
		if _, ok := auth.(pbx.Pinger); ok == (d.Name == "openvox") { // its vendor documents no harmless request
			t.Errorf("%s: a Pinger: %v", d.Name, ok)
		}
	}
}

// Where the account is optional, a form asks for it or for the first secret option,
// and that alone opens the driver.
func TestTheSecretThatReplacesTheAccountIsEnough(t *testing.T) {
	var with []string
	for _, d := range pbx.Drivers() {
		cfg := pbx.Config{URL: "https://pbx.example.com", Options: simulators.Of(d.Name)[0].Options}
		if _, err := pbx.Open(d.Name, cfg); err == nil {
			t.Errorf("%s: opened without an account", d.Name)
		}
		if !d.AccountOptional {
			continue
		}
		i := slices.IndexFunc(d.Options, func(o pbx.Option) bool { return o.Kind == pbx.OptionSecret })
		if i < 0 {
			t.Fatalf("%s: no secret replaces the account", d.Name)
		}
		with = append(with, d.Name+" "+d.Options[i].Name)
		cfg.Secrets = map[string]pbx.Secret{d.Options[i].Name: pbx.NewSecret("a-key-0123456789")}
		if _, err := pbx.Open(d.Name, cfg); err != nil {
			t.Errorf("%s with %s alone: %v", d.Name, d.Options[i].Name, err)
		}
	}
	if got, want := strings.Join(with, ", "), "mikopbx key, runtel key, uis key"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A 304 is what an application gets that asked whether something has changed.
func TestAResponseThatNothingHasChangedIsNoFailure(t *testing.T) {
	for _, d := range pbx.Drivers() {
		auth, err := pbx.Open(d.Name, pbx.Config{
			URL: "https://pbx.example.com", Username: tableUser, Password: pbx.NewSecret(tablePassword), Options: simulators.Of(d.Name)[0].Options,
		})
		if err != nil {
			t.Errorf("%s: %v", d.Name, err)
			continue
		}
		r, _ := http.NewRequest(http.MethodGet, "https://pbx.example.com/x", nil)
		resp := &http.Response{StatusCode: http.StatusNotModified, Header: http.Header{}, Request: r}
		if err := auth.(pbx.Requester).Inspect(resp, nil, &pbx.Token{Value: pbx.NewSecret("48a7d7481a5355aa")}); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
}
