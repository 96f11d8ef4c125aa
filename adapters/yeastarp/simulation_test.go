package yeastarp_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastarp"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
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
type simulation struct {
	*pbxsim.PBX
	server *pbxsim.Server
	driver *yeastarp.PBX
}

// simulate runs f in a synctest bubble. opts may be nil.
func simulate(t *testing.T, d yeastarpsim.Options, opts *pbxsim.Options, f func(t *testing.T, s simulation)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if opts == nil {
			opts = &pbxsim.Options{}
		}
		opts.Accounts = map[string]string{sampleID: sampleSecret}
		sim := yeastarpsim.New(&d, opts)
		server := pbxsim.ListenMemory(sim)
		defer server.Close()
		driver, err := yeastarp.New(pbx.Config{
			URL: server.URL, Username: sampleID, Password: pbx.NewSecret(sampleSecret), Transport: server.Client().Transport,
		})
		if err != nil {
			t.Fatal(err)
		}
		f(t, simulation{sim, server, driver})
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

// session starts one, with a lockout budget of its own.
func (s simulation) session() *session.Session {
	return session.New(s.driver, &session.Options{Guard: &session.Guard{}})
}

// last returns the newest request.
func (s simulation) last() pbxsim.Record {
	log := s.Log()
	return log[len(log)-1]
}

// call asks for the PBX's information, as an application would, and returns
// what the driver says to the answer.
func (s simulation) call(t *testing.T, token *pbx.Token) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.server.URL+"/openapi/v1.0/system/information", nil)
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
