package yeastar_test

import (
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// The account of the vendor's samples.
const (
	sampleUser     = "api"
	samplePassword = "Yeastar202"
	sampleDigest   = "2d7257a528679d01a19c70e3fa773620"
)

// simulation is a PBX in virtual time, and the driver opened on it with its
// family.
type simulation struct {
	drivertest.Simulation[*yeastar.PBX]
	api string // where the family's API is
}

// simulate runs f in a synctest bubble. settings may be nil, and otherwise
// changes what the driver is opened with.
func simulate(t *testing.T, d yeastarsim.Options, settings func(*yeastar.Config), f func(t *testing.T, s simulation)) {
	t.Helper()
	api := ""
	drivertest.Simulate(t, func() *pbxsim.PBX {
		return yeastarsim.New(&d, &pbxsim.Options{Accounts: map[string]string{sampleUser: samplePassword}})
	}, func(cfg pbx.Config) (*yeastar.PBX, error) {
		cfg.Username, cfg.Password = sampleUser, pbx.NewSecret(samplePassword)
		typed := yeastar.Config{Config: cfg, Family: yeastar.Family(d.Family)}
		if settings != nil {
			settings(&typed)
		}
		api = "/api/v1.1.0"
		if typed.Family == yeastar.SV2 || typed.Family == yeastar.CloudV2 {
			api = "/api/v2.0.0"
		}
		return yeastar.New(typed)
	}, func(t *testing.T, s drivertest.Simulation[*yeastar.PBX]) { f(t, simulation{s, api}) })
}

// request asks for the device's information, as an application would, and returns
// what the driver says to the response.
func request(t *testing.T, s simulation, token *pbx.Token) error {
	t.Helper()
	r := drivertest.NewRequest(t, http.MethodPost, s.Server.URL+s.api+"/deviceinfo/query", "", "")
	resp, got := drivertest.RoundTrip(t, s.Driver, r, token)
	return s.Driver.Inspect(resp, got, new(pbx.Token))
}

// on opens the driver on a PBX that is nothing but a RoundTripper.
func on(t testing.TB, rt http.RoundTripper) *yeastar.PBX {
	t.Helper()
	return ofFamily(t, yeastar.SV1, rt)
}

func ofFamily(t testing.TB, family yeastar.Family, rt http.RoundTripper) *yeastar.PBX {
	t.Helper()
	driver, err := yeastar.New(yeastar.Config{Family: family, Config: pbx.Config{
		URL: "https://pbx.example.com", Username: sampleUser, Password: pbx.NewSecret(samplePassword),
		Transport: rt,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

// failure returns err as what every error of a driver is.
func failure(t testing.TB, err error) *pbx.Error {
	t.Helper()
	return drivertest.Failure(t, yeastar.Name, err)
}
