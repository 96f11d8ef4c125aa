package starface_test

import (
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/starface"
	"github.com/pbxauth/pbx/adapters/starface/starfacesim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	user     = "0001"
	password = "s3cret-password"
	nonce    = "pds24hmip1ctbogn1l8ujvs5u4" // the wiki's

	template = `{"loginType":"Internal","nonce":"` + nonce + `","secret":null}`
	accepted = `{"token":"5tq9e1hbtbq7oh0hmb0f0mbq7c"}`
	token    = "5tq9e1hbtbq7oh0hmb0f0mbq7c"
)

// simulation is a STARFACE in virtual time, and the driver opened on it.
type simulation = drivertest.Simulation[*starface.PBX]

// simulate runs f in a synctest bubble. change may be nil, and otherwise changes
// what the driver is opened with.
func simulate(t *testing.T, settings starfacesim.Options, change func(*pbx.Config), f func(t *testing.T, s simulation)) {
	t.Helper()
	drivertest.Simulate(t, func() *pbxsim.PBX {
		return starfacesim.New(&settings, &pbxsim.Options{Accounts: map[string]string{user: password}})
	}, func(cfg pbx.Config) (*starface.PBX, error) {
		cfg.Username, cfg.Password = user, pbx.NewSecret(password)
		if change != nil {
			change(&cfg)
		}
		return starface.New(cfg)
	}, f)
}

// on opens the driver on a PBX that is nothing but a RoundTripper.
func on(t testing.TB, rt http.RoundTripper) *starface.PBX {
	t.Helper()
	driver, err := starface.New(pbx.Config{URL: "https://pbx.example.com", Username: user, Password: pbx.NewSecret(password), Transport: rt})
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

// failure returns err as what every error of a driver is.
func failure(t testing.TB, err error) *pbx.Error {
	t.Helper()
	return drivertest.Failure(t, starface.Name, err)
}
