package yeastar_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"

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
	*pbxsim.PBX
	server *pbxsim.Server
	driver *yeastar.PBX
	api    string // where the family's API is
}

// simulate runs f in a synctest bubble. settings may be nil, and otherwise
// changes what the driver is opened with.
func simulate(t *testing.T, d yeastarsim.Options, settings func(*yeastar.Config), f func(t *testing.T, s simulation)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim := yeastarsim.New(&d, &pbxsim.Options{Accounts: map[string]string{sampleUser: samplePassword}})
		server := pbxsim.ListenMemory(sim)
		defer server.Close()
		cfg := yeastar.Config{Config: pbx.Config{
			URL: server.URL, Username: sampleUser, Password: pbx.NewSecret(samplePassword), Transport: server.Client().Transport,
		}, Family: yeastar.Family(d.Family)}
		if settings != nil {
			settings(&cfg)
		}
		driver, err := yeastar.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		api := "/api/v1.1.0"
		if cfg.Family == yeastar.SV2 || cfg.Family == yeastar.CloudV2 {
			api = "/api/v2.0.0"
		}
		f(t, simulation{sim, server, driver, api})
	})
}

func (s simulation) login(t *testing.T) *pbx.Token {
	t.Helper()
	token, err := s.driver.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// last returns the newest request.
func (s simulation) last() pbxsim.Record {
	log := s.Log()
	return log[len(log)-1]
}

// call asks for the device's information, as an application would, and returns
// what the driver says to the answer.
func (s simulation) call(t *testing.T, token *pbx.Token) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.server.URL+s.api+"/deviceinfo/query", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.driver.Authorize(req, token); err != nil {
		t.Fatal(err)
	}
	resp, err := s.driver.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return s.driver.Inspect(resp, body, new(pbx.Token))
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
