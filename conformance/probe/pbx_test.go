package probe_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters"
	"github.com/pbxauth/pbx/adapters/asterisk"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/conformance/probe"
	acme "github.com/pbxauth/pbx/examples/newdriver"
	"github.com/pbxauth/pbx/examples/newdriver/acmesim"
	"github.com/pbxauth/pbx/session"
)

// acmePBX is a PBX of a third party's driver, at a loopback port.
func acmePBX(t *testing.T, listen func(*pbxsim.PBX) *pbxsim.Server) (*pbxsim.PBX, probe.Options) {
	sim := acmesim.New(&pbxsim.Options{Accounts: map[string]string{"api": secret}})
	server := listen(sim)
	t.Cleanup(server.Close)
	return sim, probe.Options{Driver: acme.Name, Login: probe.Within(&session.Guard{}), Config: pbx.Config{
		URL: server.URL, Username: "api", Password: pbx.NewSecret(secret),
	}}
}

func states(r *probe.Report) map[probe.Name]probe.State {
	got := map[probe.Name]probe.State{}
	for _, s := range r.Steps {
		got[s.Name] = s.State
	}
	return got
}

func TestAThirdPartysDriverGetsEveryStep(t *testing.T) {
	sim, options := acmePBX(t, pbxsim.ListenTLS)
	report := probe.Run(t.Context(), options)
	want := map[probe.Name]probe.State{probe.Settings: probe.Done, probe.Address: probe.Done, probe.CertificateStep: probe.Decide}
	if diff := cmp.Diff(want, states(report)); diff != "" || report.OK || len(sim.Log()) != 0 {
		t.Fatalf("%d requests, -want +got:\n%s", len(sim.Log()), diff)
	}
	cert := report.Certificate
	if cert == nil || !strings.HasPrefix(cert.Pin, "sha256/") || len(cert.SHA256) != 2*sha256.Size || cert.NotAfter.IsZero() {
		t.Fatalf("certificate %+v", cert)
	}
	for _, s := range report.Steps {
		if s.State == probe.Decide && (s.Setting != "TLS.PinSHA256" || s.Advice == "") {
			t.Errorf("%+v", s)
		}
	}

	options.Config.TLS.PinSHA256, options.MayUseDeadToken = cert.Pin, yes
	report = probe.Run(t.Context(), options)
	want = map[probe.Name]probe.State{}
	for _, name := range probe.Names() {
		want[name] = probe.Done
	}
	if diff := cmp.Diff(want, states(report)); diff != "" || !report.OK || report.Left {
		t.Errorf("with the pin: %+v, -want +got:\n%s", report.Steps, diff)
	}
	if c := sim.Counts(); c.Logins != 1 || c.WrongLogins != 0 || len(sim.Tokens("api")) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestAnotherKeyThanThePinnedOneFailsAndNothingIsSent(t *testing.T) {
	sim, options := acmePBX(t, pbxsim.ListenTLS)
	const other = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	options.Config.TLS.PinSHA256 = other
	report := probe.Run(t.Context(), options)
	if state(report, probe.CertificateStep) != probe.Failed || len(sim.Log()) != 0 || report.Certificate.Trusted != other {
		t.Errorf("%d requests, %+v", len(sim.Log()), report)
	}
	if said := message(report, probe.CertificateStep); !strings.Contains(said, other) || !strings.Contains(said, report.Certificate.Pin) {
		t.Errorf("both pins are not said: %s", said)
	}
}

func TestSettingsThatTheDriverRefusesNameTheSetting(t *testing.T) {
	report := probe.Run(t.Context(), probe.Options{Driver: acme.Name, Config: pbx.Config{
		URL: "https://pbx.example.com", Username: "api", Password: pbx.NewSecret(secret), Options: map[string]string{"tennant": "3"},
	}})
	if len(report.Steps) != 1 || report.Steps[0].State != probe.Failed || report.Steps[0].Setting != "tennant" {
		t.Errorf("%+v", report.Steps)
	}
}

func TestAPBXThatDoesNotRespondGetsNoPassword(t *testing.T) {
	for _, outage := range []pbxsim.Outage{pbxsim.Refusing, pbxsim.Resetting, pbxsim.BadGateway, pbxsim.Unavailable} {
		sim, options := acmePBX(t, pbxsim.Listen)
		sim.Down(outage)
		report := probe.Run(t.Context(), options)
		if state(report, probe.Address) != probe.Failed || state(report, probe.Login) != "" || sim.Counts().Logins != 0 {
			t.Errorf("%s: %+v", outage, report.Steps)
		}
	}
}

// hung is a PBX that does not respond, and during whose connection a person presses Ctrl-C.
type hung struct{ interrupt func() }

func (h hung) RoundTrip(r *http.Request) (*http.Response, error) {
	h.interrupt()
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

// The end of signal.NotifyContext has a cause of its own.
func TestAnInterruptWhileThePBXIsConnectedIsShownAsThat(t *testing.T) {
	_, options := acmePBX(t, pbxsim.Listen)
	ctx, interrupt := context.WithCancelCause(t.Context())
	options.Config.Transport = hung{func() { interrupt(errors.New("interrupt signal received")) }}
	report := probe.Run(ctx, options)
	if last := report.Steps[len(report.Steps)-1]; last.Name != probe.Address || last.Kind != "interrupted" {
		t.Errorf("%+v", last)
	}
}

// first keeps the first request.
type first struct {
	http.RoundTripper
	request *http.Request
}

func (f *first) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.request == nil {
		f.request = r
	}
	return f.RoundTripper.RoundTrip(r)
}

// net/http sends a GET without a body again over HTTP/2 as often as a server resets it.
func TestTheFirstRequestIsNoneThatIsRepeatedOverHTTP2(t *testing.T) {
	_, options := acmePBX(t, pbxsim.Listen)
	transport := &first{RoundTripper: http.DefaultTransport}
	options.Config.Transport = transport
	probe.Run(t.Context(), options)
	if r := transport.request; r == nil || r.Body == nil || r.Body == http.NoBody {
		t.Errorf("%+v", r)
	}
}

// noGet is a server that does not implement GET.
type noGet struct{ http.RoundTripper }

func (n noGet) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := n.RoundTripper.RoundTrip(r)
	if err == nil && r.Method == http.MethodGet {
		resp.StatusCode = http.StatusNotImplemented
	}
	return resp, err
}

func TestAServerThatRefusesTheMethodOfTheCheckGetsALogin(t *testing.T) {
	server := pbxsim.Listen(yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": secret}}))
	t.Cleanup(server.Close)
	report := probe.Run(t.Context(), probe.Options{Driver: yeastar.Name, Login: probe.Within(&session.Guard{}), Config: pbx.Config{
		URL: server.URL, Username: "api", Password: pbx.NewSecret(secret), Transport: noGet{http.DefaultTransport},
	}})
	if state(report, probe.Login) != probe.Done {
		t.Errorf("%+v", report.Steps)
	}
}

func TestTheReportHoldsNoSecret(t *testing.T) {
	sim, options := acmePBX(t, pbxsim.Listen)
	for _, fault := range []pbxsim.Fault{
		{}, {On: pbxsim.Login, Body: []byte(`{"result":"error","code":99,"text":"` + secret[:12] + `"}`)},
		{On: pbxsim.AppRequest, Drop: pbxsim.DropBefore}, {On: pbxsim.Logout, Truncate: true},
	} {
		sim.Fault(fault)
		report := probe.Run(t.Context(), options)
		text, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		for _, hidden := range append(sim.Tokens("api"), secret[:12]) {
			if strings.Contains(fmt.Sprintf("%s %+v", text, report), hidden) {
				t.Errorf("%s is shown in\n%s", hidden, text)
			}
		}
		sim.ClearFaults()
	}
}

// A settings page that is pressed again and again spends the budget of the
// sessions, and no more.
func TestATestWithinAGuardSpendsItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := acmesim.New(&pbxsim.Options{Accounts: map[string]string{"api": secret}})
		server := pbxsim.ListenMemory(sim)
		defer server.Close()
		var guard session.Guard
		press := func(password string) *probe.Report {
			return probe.Run(context.Background(), probe.Options{
				Driver: acme.Name, Login: probe.Within(&guard),
				Config: pbx.Config{URL: server.URL, Username: "api", Password: pbx.NewSecret(password), Transport: server.Client().Transport},
			})
		}
		if report := press(secret); !report.OK || sim.Counts().Logins != 1 || len(sim.Tokens("api")) != 0 {
			t.Fatalf("%+v", report.Steps)
		}
		for i := range 20 {
			report := press(fmt.Sprintf("wrong-%d", i))
			if state(report, probe.Login) != probe.Failed {
				t.Fatalf("%+v", report.Steps)
			}
		}
		if n := sim.Counts().WrongLogins; n == 0 || n > 4 {
			t.Errorf("%d wrong logins", n)
		}
		report := press("wrong-21")
		last := report.Steps[len(report.Steps)-1]
		if last.Kind != "locked out" || !strings.Contains(last.Message, "not sent") {
			t.Errorf("%+v", last)
		}
	})
}

// Options that say nothing of the login share the budget of the process's sessions:
// a button that is pressed again and again locks nobody out.
func TestATestSharesTheBudgetOfTheProcessUnlessToldOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := acmesim.New(&pbxsim.Options{Accounts: map[string]string{"api": secret}})
		server := pbxsim.ListenMemory(sim)
		defer server.Close()
		for range 6 {
			report := probe.Run(t.Context(), probe.Options{Driver: acme.Name, Config: pbx.Config{
				URL: server.URL, Username: "api", Password: pbx.NewSecret("a wrong one"), Transport: server.Client().Transport,
			}})
			if state(report, probe.Login) != probe.Failed {
				t.Fatalf("%+v", report.Steps)
			}
		}
		if c := sim.Counts(); c.WrongLogins != 1 || c.Locks != 0 {
			t.Errorf("%d wrong logins, %d locks", c.WrongLogins, c.Locks)
		}
	})
}

func TestTheButtonLocksNobodyOutHoweverOftenARightPasswordIsTested(t *testing.T) {
	for _, brand := range simulators.All() {
		t.Run(brand.Name(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := brand.New(&pbxsim.Options{Accounts: map[string]string{"api": secret},
					// Only Asterisk's source says that it does not count dead tokens.
					Lockout: pbxsim.Lockout{DeadTokens: brand.Driver != asterisk.Name, Reset: pbxsim.Nothing, Memory: pbxsim.Forever}})
				server := pbxsim.ListenMemory(sim)
				defer server.Close()
				options := probe.Options{Driver: brand.Driver, Login: probe.Within(&session.Guard{}), Config: pbx.Config{
					URL: server.URL, Username: "api", Password: pbx.NewSecret(secret), Options: brand.Options, Transport: server.Client().Transport,
				}}
				for range 10 {
					if report := probe.Run(t.Context(), options); !report.OK || sim.Counts().Locks != 0 {
						t.Fatalf("%+v\n%+v", sim.Counts(), report.Steps)
					}
				}
			})
		})
	}
}
