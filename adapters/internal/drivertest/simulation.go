package drivertest

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// Simulation is a simulated PBX in virtual time, and a driver opened on it.
type Simulation[D Driver] struct {
	*pbxsim.PBX
	Server *pbxsim.Server
	Driver D
}

// Simulate runs f in a synctest bubble. open gets settings that have the URL and the
// transport.
func Simulate[D Driver](t *testing.T, sim func() *pbxsim.PBX, open func(pbx.Config) (D, error), f func(t *testing.T, s Simulation[D])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := sim()
		server := pbxsim.ListenMemory(p)
		defer server.Close()
		driver, err := open(pbx.Config{URL: server.URL, Transport: server.Client().Transport})
		if err != nil {
			t.Fatal(err)
		}
		f(t, Simulation[D]{p, server, driver})
	})
}

// Login logs in.
func (s Simulation[D]) Login(t testing.TB) *pbx.Token {
	t.Helper()
	token, err := s.Driver.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Session starts one, with a lockout budget of its own.
func (s Simulation[D]) Session() *session.Session {
	return session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
}

// Last returns the newest request.
func (s Simulation[D]) Last() pbxsim.Record {
	log := s.Log()
	return log[len(log)-1]
}

// Send sends a request of the application, and returns the response's body and what
// the driver says to it.
func Send(t testing.TB, driver Driver, r *http.Request, token *pbx.Token) (string, error) {
	t.Helper()
	r = r.WithContext(t.Context())
	if err := driver.Authorize(r, token); err != nil {
		t.Fatal(err)
	}
	resp, err := driver.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), driver.Inspect(resp, body, token)
}

// NewRequest returns a request of the application.
func NewRequest(t testing.TB, method, url, contentType, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}
