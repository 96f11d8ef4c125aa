package grandstream_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

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
type simulation struct {
	*pbxsim.PBX
	server *pbxsim.Server
	driver *grandstream.PBX
}

// simulate runs f in a synctest bubble. change may be nil, and otherwise changes
// what the driver is opened with.
func simulate(t *testing.T, settings grandstreamsim.Options, change func(*grandstream.Config), f func(t *testing.T, s simulation)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim := grandstreamsim.New(&settings, &pbxsim.Options{Accounts: map[string]string{user: password}})
		server := pbxsim.ListenMemory(sim)
		defer server.Close()
		cfg := grandstream.Config{Config: pbx.Config{URL: server.URL, Username: user, Password: pbx.NewSecret(password), Transport: server.Client().Transport}}
		if change != nil {
			change(&cfg)
		}
		driver, err := grandstream.New(cfg)
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

// last returns the newest request.
func (s simulation) last() pbxsim.Record {
	log := s.Log()
	return log[len(log)-1]
}

// call makes a request of the application's own, and returns what the driver says
// to the answer.
func (s simulation) call(t *testing.T, token *pbx.Token, body string) error {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.server.URL+"/api", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.driver.Authorize(r, token); err != nil {
		t.Fatal(err)
	}
	resp, err := s.driver.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return s.driver.Inspect(resp, answer, new(pbx.Token))
}

// An answer is what a made-up UCM says, under HTTP 200 unless it says otherwise.
type answer struct {
	body   string
	status int
}

// answering is a PBX that gives these answers, one after the other, and the last
// one to all that follows.
type answering struct {
	answers []answer
	sent    []string // bodies of requests
}

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body.Close()
	given := a.answers[min(len(a.sent), len(a.answers)-1)]
	a.sent = append(a.sent, string(body))
	if given.status == 0 {
		given.status = http.StatusOK
	}
	return &http.Response{
		StatusCode: given.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(strings.NewReader(given.body)), ContentLength: int64(len(given.body)), Request: r,
	}, nil
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
