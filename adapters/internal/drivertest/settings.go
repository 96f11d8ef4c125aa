package drivertest

import (
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
)

// BadSetting is a setting that cannot work.
type BadSetting[C any] struct {
	Change  func(*C)
	Setting string // what [pbx.Error].Setting must be; "" is not checked
	Says    string // what the error must say, in parts separated by " | "
}

// RefuseSettings opens a driver with each bad setting. good returns settings whose
// transport fails the test if anything is sent. secrets must not show in an error.
func RefuseSettings[C any, D comparable](t *testing.T, driver string, good func() C, open func(C) (D, error), rows map[string]BadSetting[C], secrets ...string) {
	t.Helper()
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			cfg := good()
			row.Change(&cfg)
			opened, err := open(cfg)
			if opened != *new(D) {
				t.Fatal("opened")
			}
			got := Failure(t, driver, err)
			if got.Op != pbx.OpOpen || got.Kind != pbx.ErrConfig || got.Sent {
				t.Errorf("%v, want %v while opening, nothing sent", err, pbx.ErrConfig)
			}
			if row.Setting != "" && got.Setting != row.Setting {
				t.Errorf("%v: setting %q, want %q", err, got.Setting, row.Setting)
			}
			for _, text := range strings.Split(row.Says, " | ") {
				if !strings.Contains(got.Message, text) {
					t.Errorf("%q does not say %q", got.Message, text)
				}
			}
			Safe(t, driver, err, secrets...)
		})
	}
}

// RefuseOptions is RefuseSettings for options that come as text, as from a form.
func RefuseOptions(t *testing.T, driver string, good pbx.Config, rows map[string]BadSetting[map[string]string]) {
	t.Helper()
	converted := map[string]BadSetting[pbx.Config]{}
	for name, row := range rows {
		converted[name] = BadSetting[pbx.Config]{Setting: row.Setting, Says: row.Says, Change: func(c *pbx.Config) {
			c.Options = map[string]string{}
			row.Change(&c.Options)
		}}
	}
	open := func(c pbx.Config) (pbx.Authenticator, error) { return pbx.Open(driver, c) }
	RefuseSettings(t, driver, func() pbx.Config { return good }, open, converted)
}

// Addresses opens a driver with each URL, and compares the URL that it uses.
func Addresses[D pbx.Describer](t *testing.T, open func(url string) (D, error), rows map[string]string) {
	t.Helper()
	for url, want := range rows {
		driver, err := open(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if got := driver.Traits().URL; got != want {
			t.Errorf("%s is read as %s, want %s", url, got, want)
		}
	}
}
