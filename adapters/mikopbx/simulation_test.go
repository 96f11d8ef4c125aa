package mikopbx_test

import (
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/mikopbx"
	"github.com/pbxauth/pbx/adapters/mikopbx/mikopbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	user     = "admin"
	password = "s3cret-password"
	token    = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJhZG1pbiJ9.c2lnbmF0dXJl"
	cookie   = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	key      = "b7f3c1d8e5a94f60b7f3c1d8e5a94f60"

	accepted = `{"result":true,"data":{"accessToken":"` + token + `","tokenType":"Bearer","expiresIn":900,"login":"admin"},"messages":[]}`
)

// simulation is a MikoPBX in virtual time, and the driver opened on it.
type simulation = drivertest.Simulation[*mikopbx.PBX]

// simulate runs f in a synctest bubble. change may be nil, and otherwise changes
// what the driver is opened with.
func simulate(t *testing.T, settings mikopbxsim.Options, change func(*mikopbx.Config), f func(t *testing.T, s simulation)) {
	t.Helper()
	drivertest.Simulate(t, func() *pbxsim.PBX {
		return mikopbxsim.New(&settings, &pbxsim.Options{Accounts: map[string]string{user: password}})
	}, func(cfg pbx.Config) (*mikopbx.PBX, error) {
		cfg.Username, cfg.Password = user, pbx.NewSecret(password)
		typed := mikopbx.Config{Config: cfg}
		if change != nil {
			change(&typed)
		}
		return mikopbx.New(typed)
	}, f)
}

// withKey changes an account to a key.
func withKey(c *mikopbx.Config) {
	c.Username, c.Password, c.Key = "", pbx.Secret{}, pbx.NewSecret(key)
}

// request sends a request of the application, and returns what the driver says to
// the response.
func request(t *testing.T, s simulation, token *pbx.Token) error {
	t.Helper()
	r := drivertest.NewRequest(t, http.MethodGet, s.Server.URL+"/pbxcore/api/v3/extensions", "", "")
	resp, got := drivertest.RoundTrip(t, s.Driver, r, token)
	return s.Driver.Inspect(resp, got, token)
}

// on opens the driver on a PBX that is nothing but a RoundTripper.
func on(t testing.TB, rt http.RoundTripper, change ...func(*mikopbx.Config)) *mikopbx.PBX {
	t.Helper()
	cfg := mikopbx.Config{Config: pbx.Config{URL: "https://pbx.example.com", Username: user, Password: pbx.NewSecret(password), Transport: rt}}
	for _, f := range change {
		f(&cfg)
	}
	driver, err := mikopbx.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

// held is a token as a session has it.
func held() *pbx.Token {
	return &pbx.Token{Value: pbx.NewSecret(token), Refresh: pbx.NewSecret(cookie)}
}

// failure returns err as what every error of a driver is.
func failure(t testing.TB, err error) *pbx.Error {
	t.Helper()
	return drivertest.Failure(t, mikopbx.Name, err)
}
