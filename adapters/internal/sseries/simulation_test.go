package sseries_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/internal/sseries"
	"github.com/pbxauth/pbx/adapters/openvox/openvoxsim"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	user     = "api"
	password = "Yeastar202"
	digest   = "2d7257a528679d01a19c70e3fa773620" // of the password, printed by Yeastar

	driver = "sseries"
)

// plain is the form that the S-Series has, and typed the one of OpenVox's UC.
var (
	plain = sseries.Variant{Driver: driver, Port: 8088, Version: "v1.1.0", Lifetime: 30 * time.Minute, Heartbeat: true}
	typed = sseries.Variant{Driver: driver, Port: 9011, Version: "v0.0.1", Lifetime: 30 * time.Minute, Heartbeat: true, Typed: true, NumericURLTag: true}
)

// simulation is a PBX in virtual time, and the protocol opened on it.
type simulation = drivertest.Simulation[*sseries.PBX]

// simulate runs f with each form of the protocol and each format. A PBX that insists
// takes no heartbeat without an address. change may be nil, and otherwise changes what
// the protocol is opened with.
func simulate(t *testing.T, insists bool, change func(*sseries.Settings), f func(t *testing.T, s simulation)) {
	t.Helper()
	opts := pbxsim.Options{Accounts: map[string]string{user: password}}
	dialect := yeastarsim.Options{HeartbeatInsists: insists}
	yeastar := func() *pbxsim.PBX { return yeastarsim.New(&dialect, &opts) }
	openvox := func() *pbxsim.PBX { return openvoxsim.New(&openvoxsim.Options{Yeastar: dialect}, &opts) }
	for name, form := range map[string]struct {
		variant   *sseries.Variant
		format    sseries.Format
		simulated func() *pbxsim.PBX
	}{
		"plain":          {&plain, sseries.JSON, yeastar},
		"typed, in JSON": {&typed, sseries.JSON, openvox},
		"typed, in XML":  {&typed, sseries.XML, openvox},
	} {
		t.Run(name, func(t *testing.T) {
			drivertest.Simulate(t, form.simulated, func(cfg pbx.Config) (*sseries.PBX, error) {
				cfg.Username, cfg.Password = user, pbx.NewSecret(password)
				settings := sseries.Settings{Config: cfg, Format: form.format}
				if change != nil {
					change(&settings)
				}
				return sseries.New(form.variant, settings)
			}, f)
		})
	}
}

// settings are those of a PBX that is nothing but a RoundTripper.
func settings(rt http.RoundTripper) sseries.Settings {
	return sseries.Settings{Config: pbx.Config{URL: "https://pbx.example.com", Username: user, Password: pbx.NewSecret(password), Transport: rt}}
}

func open(t testing.TB, variant *sseries.Variant, s sseries.Settings) *sseries.PBX {
	t.Helper()
	p, err := sseries.New(variant, s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// failure returns err as what every error of a driver is.
func failure(t testing.TB, err error) *pbx.Error {
	t.Helper()
	return drivertest.Failure(t, driver, err)
}
