package runtel_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/runtel"
	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	user     = "a@office.example"
	password = "correct-horse"
)

// A platform answers every request alike, without a network: a status, header
// fields, and a body in which {id} stands for the request's action_id, as it
// was written. It does not record requests without one.
type platform struct {
	status int
	header http.Header
	body   string

	requests []sent
}

// sent is a request as the platform sees it.
type sent struct {
	URL           string
	Authorization string
	Envelope      map[string]any
}

func (p *platform) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s := sent{URL: r.URL.String(), Authorization: r.Header.Get("Authorization")}
	if r.Method != http.MethodGet {
		if err := json.Unmarshal(body, &s.Envelope); err != nil {
			return nil, err
		}
		p.requests = append(p.requests, s)
	}
	id, _ := s.Envelope["action_id"].(string)
	if p.status == 0 {
		p.status = http.StatusOK
	}
	header := p.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{
		StatusCode: p.status, Header: header, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(strings.ReplaceAll(p.body, "{id}", id))),
	}, nil
}

// at points cfg to the platform.
func (p *platform) at(cfg runtel.Config) runtel.Config {
	if cfg.URL == "" {
		cfg.URL = "https://office.example"
	}
	if cfg.Username == "" && cfg.Key.IsZero() {
		cfg.Username, cfg.Password = user, pbx.NewSecret(password)
	}
	cfg.Transport = p
	return cfg
}

// open opens a PBX that must open.
func open(t testing.TB, cfg runtel.Config) *runtel.PBX {
	t.Helper()
	p, err := runtel.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// answered is an envelope with a body.
func answered(body string) string {
	return `{"action":"auth","action_id":"{id}","obj":"User","code":200,"notifies":[],"body":` + body + `}`
}

// simulated gives f a simulated platform with one account, in virtual time, and
// the configuration to reach it.
func simulated(t *testing.T, d runtelsim.Options, opts pbxsim.Options, f func(t *testing.T, sim *pbxsim.PBX, s *pbxsim.Server, cfg runtel.Config)) {
	t.Helper()
	opts.Accounts = map[string]string{user: password}
	drivertest.InMemory(t, func() *pbxsim.PBX { return runtelsim.New(&d, &opts) }, func(t *testing.T, sim *pbxsim.PBX, s *pbxsim.Server) {
		f(t, sim, s, runtel.Config{Config: pbx.Config{
			URL: s.URL, Username: user, Password: pbx.NewSecret(password), Transport: s.Client().Transport,
		}})
	})
}

// failure returns err as what it has to be.
func failure(t testing.TB, err error) *pbx.Error {
	t.Helper()
	return drivertest.Failure(t, runtel.Name, err)
}

// told is what a failure tells in data.
type told struct {
	Op         pbx.Op
	Kind       error
	Code       string
	HTTPStatus int
	RetryAfter string
	Sent       bool
}

func tell(f *pbx.Error) told {
	return told{f.Op, f.Kind, f.Code, f.HTTPStatus, f.RetryAfter.String(), f.Sent}
}

// byIdentity compares errors as errors.Is does.
var byIdentity = cmp.Comparer(func(a, b error) bool { return a == b })
