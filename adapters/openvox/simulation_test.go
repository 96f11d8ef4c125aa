package openvox_test

import (
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/openvox"
	"github.com/pbxauth/pbx/adapters/openvox/openvoxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// The account of the vendor's samples.
const (
	sampleUser     = "api"
	samplePassword = "123456"
	sampleDigest   = "e10adc3949ba59abbe56e057f20f883e"
	sampleToken    = "813b621cfe8eecf445a2ce1f4a079ffe"
)

var formats = []openvox.Format{openvox.JSON, openvox.XML}

// simulation is a UC series PBX in virtual time, and the driver opened on it.
type simulation = drivertest.Simulation[*openvox.PBX]

// simulate runs f in a synctest bubble. settings may be nil, and otherwise
// changes what the driver is opened with.
func simulate(t *testing.T, d openvoxsim.Options, settings func(*openvox.Config), f func(t *testing.T, s simulation)) {
	t.Helper()
	drivertest.Simulate(t, func() *pbxsim.PBX {
		return openvoxsim.New(&d, &pbxsim.Options{Accounts: map[string]string{sampleUser: samplePassword}})
	}, func(cfg pbx.Config) (*openvox.PBX, error) {
		cfg.Username, cfg.Password = sampleUser, pbx.NewSecret(samplePassword)
		typed := openvox.Config{Config: cfg}
		if settings != nil {
			settings(&typed)
		}
		return openvox.New(typed)
	}, f)
}

// request sends a request of the application, and returns what the driver says to
// the response.
func request(t *testing.T, s simulation, token *pbx.Token) error {
	t.Helper()
	r := drivertest.NewRequest(t, http.MethodPost, s.Server.URL+"/api/v0.0.1/deviceinfo/query", "", "")
	resp, got := drivertest.RoundTrip(t, s.Driver, r, token)
	return s.Driver.Inspect(resp, got, new(pbx.Token))
}

func config(rt http.RoundTripper) openvox.Config {
	return openvox.Config{Config: pbx.Config{
		URL: "https://pbx.example.com", Username: sampleUser, Password: pbx.NewSecret(samplePassword),
		Transport: rt,
	}}
}

// on opens the driver on a PBX that is nothing but a RoundTripper.
func on(t testing.TB, format openvox.Format, rt http.RoundTripper) *openvox.PBX {
	t.Helper()
	cfg := config(rt)
	cfg.Format = format
	driver, err := openvox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

// failure returns err as what every error of a driver is.
func failure(t testing.TB, err error) *pbx.Error {
	t.Helper()
	return drivertest.Failure(t, openvox.Name, err)
}

// inspect shows the driver an application's answer.
func inspect(driver *openvox.PBX, body string) error {
	return driver.Inspect(&http.Response{StatusCode: 200, Header: http.Header{}}, []byte(body), new(pbx.Token))
}

// operations are the four ways in which an answer comes to be read.
func operations(t *testing.T, body string) map[pbx.Op]error {
	t.Helper()
	driver, token := on(t, openvox.JSON, drivertest.Body(body)), &pbx.Token{Value: pbx.NewSecret(sampleToken)}
	results := map[pbx.Op]error{}
	var got *pbx.Token
	if got, results[pbx.OpLogin] = driver.Login(t.Context()); got != nil {
		t.Errorf("%s: Login brought a token", body)
	}
	if got, results[pbx.OpKeepAlive] = driver.KeepAlive(t.Context(), token); got != nil {
		t.Errorf("%s: KeepAlive brought a token", body)
	}
	results[pbx.OpLogout] = driver.Logout(t.Context(), token)
	results[pbx.OpRequest] = inspect(driver, body)
	return results
}
