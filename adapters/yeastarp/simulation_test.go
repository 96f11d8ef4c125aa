package yeastarp_test

import (
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastarp"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// The application of the vendor's samples, and their tokens.
const (
	sampleID     = "UEnH9Dmv6uBJEXsYcag1trNfQThYXXXX"
	sampleSecret = "ZLcXl63S9EtMnYoHUnjbVo6sA8CbXXXX"
	sampleAccess = "EXZMpZAO86mbrKm6rFtgeb3rfcpC9uqS"
	sampleFresh  = "SCduGecwbG9jIusiS8FxFUVn3kf0Q9R8"
)

// given is a pair of tokens that no simulator knows.
func given() *pbx.Token {
	return &pbx.Token{Value: pbx.NewSecret(sampleAccess), Refresh: pbx.NewSecret(sampleFresh)}
}

// simulation is a P-Series PBX in virtual time, and the driver opened on it.
type simulation = drivertest.Simulation[*yeastarp.PBX]

// simulate runs f in a synctest bubble. opts may be nil.
func simulate(t *testing.T, d yeastarpsim.Options, opts *pbxsim.Options, f func(t *testing.T, s simulation)) {
	t.Helper()
	if opts == nil {
		opts = &pbxsim.Options{}
	}
	opts.Accounts = map[string]string{sampleID: sampleSecret}
	drivertest.Simulate(t, func() *pbxsim.PBX { return yeastarpsim.New(&d, opts) }, func(cfg pbx.Config) (*yeastarp.PBX, error) {
		cfg.Username, cfg.Password = sampleID, pbx.NewSecret(sampleSecret)
		return yeastarp.New(cfg)
	}, f)
}

// request asks for the PBX's information, as an application would, and returns
// what the driver says to the response.
func request(t *testing.T, s simulation, token *pbx.Token) error {
	t.Helper()
	r := drivertest.NewRequest(t, http.MethodGet, s.Server.URL+"/openapi/v1.0/system/information", "", "")
	resp, got := drivertest.RoundTrip(t, s.Driver, r, token)
	return s.Driver.Inspect(resp, got, new(pbx.Token))
}

func config(rt http.RoundTripper) pbx.Config {
	return pbx.Config{
		URL: "https://pbx.example.com", Username: sampleID, Password: pbx.NewSecret(sampleSecret),
		Transport: rt,
	}
}

// on opens the driver on a PBX that is nothing but a RoundTripper.
func on(t testing.TB, rt http.RoundTripper) *yeastarp.PBX {
	t.Helper()
	driver, err := yeastarp.New(config(rt))
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

// failure returns err as what every error of a driver is.
func failure(t testing.TB, err error) *pbx.Error {
	t.Helper()
	return drivertest.Failure(t, yeastarp.Name, err)
}

// inspect shows the driver an application's answer.
func inspect(driver *yeastarp.PBX, status int, body string) error {
	return driver.Inspect(&http.Response{StatusCode: status, Header: http.Header{}}, []byte(body), new(pbx.Token))
}

// operations are the four ways in which an answer comes to be read.
func operations(t *testing.T, body string) map[pbx.Op]error {
	t.Helper()
	driver := on(t, drivertest.Body(body))
	results := map[pbx.Op]error{}
	var got *pbx.Token
	if got, results[pbx.OpLogin] = driver.Login(t.Context()); got != nil {
		t.Errorf("%s: Login brought a token", body)
	}
	if got, results[pbx.OpKeepAlive] = driver.KeepAlive(t.Context(), given()); got != nil {
		t.Errorf("%s: KeepAlive brought a token", body)
	}
	results[pbx.OpLogout] = driver.Logout(t.Context(), given())
	results[pbx.OpRequest] = inspect(driver, 200, body)
	return results
}
