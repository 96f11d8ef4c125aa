package grandstream_test

import (
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/grandstream"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// The API's user, and the challenge that the vendor prints with its MD5.
const (
	user     = "cdrapi"
	password = "cdrapi123"
	sample   = "0000001652831717"
	digest   = "0faa24433e3c7a9bcfa8000f735305d5"
	cookie   = "sid1616565943-1653038164"
)

// simulation is a UCM in virtual time, and the driver opened on it.
type simulation = drivertest.Simulation[*grandstream.PBX]

// simulate runs f in a synctest bubble. change may be nil, and otherwise changes
// what the driver is opened with.
func simulate(t *testing.T, settings grandstreamsim.Options, change func(*grandstream.Config), f func(t *testing.T, s simulation)) {
	t.Helper()
	drivertest.Simulate(t, func() *pbxsim.PBX {
		return grandstreamsim.New(&settings, &pbxsim.Options{Accounts: map[string]string{user: password}})
	}, func(cfg pbx.Config) (*grandstream.PBX, error) {
		cfg.Username, cfg.Password = user, pbx.NewSecret(password)
		typed := grandstream.Config{Config: cfg}
		if change != nil {
			change(&typed)
		}
		return grandstream.New(typed)
	}, f)
}

// request sends a request of the application, and returns what the driver says to
// the response.
func request(t *testing.T, s simulation, token *pbx.Token, body string) error {
	t.Helper()
	r := drivertest.NewRequest(t, http.MethodPost, s.Server.URL+"/api", "", body)
	resp, got := drivertest.RoundTrip(t, s.Driver, r, token)
	return s.Driver.Inspect(resp, got, new(pbx.Token))
}

const (
	challenged = `{"response":{"challenge":"` + sample + `"},"status":0}`
	accepted   = `{"response":{"cookie":"` + cookie + `"},"status":0}`
)

// on opens the driver on a PBX that is nothing but a RoundTripper.
func on(t testing.TB, rt http.RoundTripper) *grandstream.PBX {
	t.Helper()
	driver, err := grandstream.New(grandstream.Config{Config: pbx.Config{
		URL: "https://pbx.example.com", Username: user, Password: pbx.NewSecret(password), Transport: rt,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

// failure returns err as what every error of a driver is.
func failure(t testing.TB, err error) *pbx.Error {
	t.Helper()
	return drivertest.Failure(t, grandstream.Name, err)
}
