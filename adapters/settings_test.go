package adapters_test

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

// Each of these is one short line that quotes no secret, of every brand, and nothing
// is sent.
func TestNoBrandTakesSettingsThatCannotBeRight(t *testing.T) {
	const canary = "caN4ryS3cret"
	for _, d := range pbx.Drivers() {
		refuse := func(name string, change func(*pbx.Config)) {
			cfg := pbx.Config{URL: "https://pbx.example.com", Username: tableUser, Password: pbx.NewSecret(tablePassword), Options: map[string]string{}}
			for name, value := range simulators.Of(d.Name)[0].Options {
				cfg.Options[name] = value
			}
			change(&cfg)
			if cfg.TLS == (pbx.TLS{}) && cfg.Transport == nil {
				cfg.Transport = unsent{t}
			}
			auth, err := pbx.Open(d.Name, cfg)
			if err == nil && cfg.Credentials != nil { // it is asked by a login
				_, err = auth.Login(context.Background())
			}
			var failure *pbx.Error
			switch {
			case err == nil:
				t.Errorf("%s: %s: opened", d.Name, name)
			case !errors.As(err, &failure) || failure.Kind != pbx.ErrConfig || failure.Sent || failure.Setting == "":
				t.Errorf("%s: %s: %v is no error of a setting", d.Name, name, err)
			case len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\r\n\x00"):
				t.Errorf("%s: %s: %q is no short line", d.Name, name, err)
			case strings.Contains(err.Error(), canary):
				t.Errorf("%s: %s: quotes the secret: %v", d.Name, name, err)
			}
		}
		for _, url := range []string{
			"", "https://u:" + canary + "@pbx.example.com", "https://pbx.example.com?token=" + canary, "https://pbx.example.com#" + canary, "https://pbx example.com",
			"https://pbx\x00.example.com", "https://pbx\n.example.com", "ftp://pbx.example.com", "https://pbx.example.com:0", "https://pbx.example.com:99999",
			"https://2001:db8::7:8088", `"pbx.example.com"`, "https://" + strings.Repeat("x", 100_000), "https://pbx.example.com/" + strings.Repeat("x", 100_000),
		} {
			refuse("the URL "+url[:min(len(url), 40)], func(c *pbx.Config) { c.URL = url })
		}
		for _, text := range []string{canary + "\n", canary + "\r", "\n" + canary, canary + "\r\nx", canary + "\x00"} {
			if !d.NoUsername {
				refuse("the user name", func(c *pbx.Config) { c.Username = text })
			}
			refuse("the password", func(c *pbx.Config) { c.Password = pbx.NewSecret(text) })
			refuse("the password of a Credentials func", func(c *pbx.Config) {
				account := pbx.Credentials{Username: c.Username, Password: pbx.NewSecret(text)}
				c.Username, c.Password = "", pbx.Secret{}
				c.Credentials = func(context.Context) (pbx.Credentials, error) { return account, nil }
			})
		}
		for _, o := range d.Options {
			for _, value := range []string{"a\nb", "a\x00", strings.Repeat("x", 100_000)} {
				if o.Kind == pbx.OptionSecret {
					refuse("the secret "+o.Name+" beside an account", func(c *pbx.Config) { c.Secrets = map[string]pbx.Secret{o.Name: pbx.NewSecret(canary + value)} })
					refuse("the secret "+o.Name+" as an option", func(c *pbx.Config) { c.Options[o.Name] = canary })
					continue
				}
				refuse("the option "+o.Name, func(c *pbx.Config) { c.Options[o.Name] = value })
				refuse("the option "+o.Name+" as a secret", func(c *pbx.Config) { c.Secrets = map[string]pbx.Secret{o.Name: pbx.NewSecret(canary)} })
			}
		}
		refuse("an option of another brand", func(c *pbx.Config) { c.Options["tenant"] = canary })
		refuse("a long option", func(c *pbx.Config) { c.Options[strings.Repeat("x", 100_000)] = "x" })
		refuse("a CAFile with the certificate in it", func(c *pbx.Config) { c.TLS.CAFile = "-----BEGIN PRIVATE KEY-----\n" + canary + "\n" })
		refuse("a ServerName with a port", func(c *pbx.Config) { c.TLS.ServerName = "pbx.example.com:8089" })
		refuse("a Transport that is a nil pointer", func(c *pbx.Config) { c.Transport = (*http.Transport)(nil) })
		refuse("TLS beside a Transport", func(c *pbx.Config) { c.TLS.MinVersion, c.Transport = 0x0303, unsent{t} })
	}
}

// unsent fails a test that sends something.
type unsent struct{ t *testing.T }

func (u unsent) RoundTrip(r *http.Request) (*http.Response, error) {
	u.t.Errorf("sent: %s %s", r.Method, r.URL)
	return nil, errors.New("not connected")
}

// A form shows Driver.DefaultPort beside its field for the address.
func TestAURLWithoutAPortMeansTheDefaultPort(t *testing.T) {
	for _, d := range pbx.Drivers() {
		auth, err := pbx.Open(d.Name, pbx.Config{URL: "https://pbx.example.com", Username: tableUser, Password: pbx.NewSecret(tablePassword), Options: simulators.Of(d.Name)[0].Options})
		if err != nil {
			t.Errorf("%s: %v", d.Name, err)
			continue
		}
		at, err := url.Parse(auth.(pbx.Describer).Traits().URL)
		if err != nil {
			t.Fatal(err)
		}
		if port := cmp.Or(at.Port(), "443"); port != strconv.Itoa(d.DefaultPort) {
			t.Errorf("%s: port %s, and its default is said to be %d", d.Name, port, d.DefaultPort)
		}
	}
}
