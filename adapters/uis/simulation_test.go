package uis_test

import (
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/uis"
	"github.com/pbxauth/pbx/adapters/uis/uissim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	user     = "your_login"
	password = "your_password"
	token    = "2fRN4g217ca0b4224a67988aff3e584f91964a692045415f36fa66146f5a3c1ae1f6093d"
	key      = "4k9d217ca0b4224a67988aff3e584f91964a692045415f36fa66146f5a3c1ae1f6093d00"

	listCalls = `{"jsonrpc":"2.0","id":1,"method":"list.calls","params":{}}`
)

// simulation is a platform in virtual time, and the driver opened on it.
type simulation = drivertest.Simulation[*uis.PBX]

// simulate runs f in a synctest bubble. change may be nil, and otherwise changes
// what the driver is opened with.
func simulate(t *testing.T, settings uissim.Options, change func(*uis.Config), f func(t *testing.T, s simulation)) {
	t.Helper()
	drivertest.Simulate(t, func() *pbxsim.PBX {
		return uissim.New(&settings, &pbxsim.Options{Accounts: map[string]string{user: password}})
	}, func(cfg pbx.Config) (*uis.PBX, error) {
		cfg.Username, cfg.Password = user, pbx.NewSecret(password)
		typed := uis.Config{Config: cfg}
		if change != nil {
			change(&typed)
		}
		return uis.New(typed)
	}, f)
}

// withKey changes an account to a key.
func withKey(pingMethod string) func(*uis.Config) {
	return func(c *uis.Config) {
		c.Username, c.Password, c.Key, c.PingMethod = "", pbx.Secret{}, pbx.NewSecret(key), pingMethod
	}
}

// request sends a request of the application, and returns what the driver says to
// the response.
func request(t *testing.T, s simulation, token *pbx.Token, body string) error {
	t.Helper()
	r := drivertest.NewRequest(t, http.MethodPost, s.Server.URL+"/v4.0", "", body)
	resp, got := drivertest.RoundTrip(t, s.Driver, r, token)
	return s.Driver.Inspect(resp, got, token)
}

// on opens the driver on a platform that is nothing but a RoundTripper.
func on(t testing.TB, rt http.RoundTripper, change ...func(*uis.Config)) *uis.PBX {
	t.Helper()
	cfg := uis.Config{Config: pbx.Config{URL: "https://callapi.uiscom.ru", Username: user, Password: pbx.NewSecret(password), Transport: rt}, PingMethod: "list.calls"}
	for _, f := range change {
		f(&cfg)
	}
	driver, err := uis.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

// failure returns err as what every error of a driver is.
func failure(t testing.TB, err error) *pbx.Error {
	t.Helper()
	return drivertest.Failure(t, uis.Name, err)
}
