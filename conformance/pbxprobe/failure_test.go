package main

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// TestEveryKindOfFailedLoginIsExplainedAndRemembered has one row for each shape of
// failure.
func TestEveryKindOfFailedLoginIsExplainedAndRemembered(t *testing.T) {
	echo := secret + " 4f1c" // what a PBX might repeat
	for _, row := range []struct {
		name    string
		driver  string // yeastar if empty
		prepare func(*pbxsim.PBX)
		fault   pbxsim.Fault
		kind    string
		says    []string
		held    bool // a run after it sends no login
		later   bool // a run after it succeeds, at the latest after a pause of seconds
	}{
		{
			name:    "wrong password",
			prepare: func(sim *pbxsim.PBX) { sim.SetPassword("api", "another") },
			kind:    "invalid credentials",
			says:    []string{"Compare the user name and the password"},
			held:    true,
		},
		{
			name:    "wrong password of a brand whose lockout is not known",
			driver:  "runtel",
			prepare: func(sim *pbxsim.PBX) { sim.SetPassword("api", "another") },
			kind:    "invalid credentials",
			says:    []string{"Compare the user name and the password"},
			held:    true,
		},
		{
			name:    "locked",
			prepare: func(sim *pbxsim.PBX) { sim.Lock("127.0.0.1") },
			kind:    "locked out",
			says:    []string{"remove this machine's address from the blocked ones"},
			held:    true,
		},
		{
			name:   "a rate limit, for as long as it says",
			driver: "runtel",
			fault:  pbxsim.Fault{Status: 429, Header: http.Header{"Retry-After": {"1800"}}},
			kind:   "unavailable",
			says:   []string{"limits how often a client may send requests"},
			later:  true,
		},
		{
			name:  "not on the list of those that may",
			fault: pbxsim.Fault{Body: []byte(`{"status":"Failed","errno":"20015"}`)},
			kind:  "forbidden",
			says:  []string{"Add this machine's address", "under Settings, PBX, General, API"},
		},
		{
			name:  "redirect",
			fault: pbxsim.Fault{Status: 302, Header: http.Header{"Location": {"https://pbx.example.com:8088/api/v1.1.0/login"}}},
			kind:  "configuration",
			says:  []string{"configure the URL https://pbx.example.com:8088", "Set URL to the address of the API", "port is 8088"},
		},
		{
			name:  "web page",
			fault: pbxsim.Fault{Body: []byte(pbxsim.HTMLPage + echo)},
			kind:  "unexpected response",
			says:  []string{"a web interface or a proxy has responded", "which is 8088", "under Settings, PBX, General, API"},
		},
		{
			name:  "no such page",
			fault: pbxsim.Fault{Status: 404, Body: []byte(pbxsim.HTMLPage + echo)},
			kind:  "unexpected response",
			says:  []string{"there is no such page", "family: s-v1, s-v2, cloud-v1, cloud-v2"},
		},
		{
			name:  "an empty response",
			fault: pbxsim.Fault{Status: 200},
			kind:  "unexpected response",
			says:  []string{"something else responds here, or the API is off"},
		},
		{
			name:  "another family's response",
			fault: pbxsim.Fault{Body: []byte(`{"errcode":0,"errmsg":"` + "SUCCESS" + `"}`)},
			kind:  "unexpected response",
			says:  []string{"another brand or product line", "the driver and its options"},
		},
		{
			name:  "an unknown code",
			fault: pbxsim.Fault{Body: []byte(`{"status":"Failed","errno":"77777"}`)},
			kind:  "unknown",
			says:  []string{"(code 77777)", "Look the code up"},
		},
		{
			name:  "the PBX cannot respond now",
			fault: pbxsim.Fault{Status: 503},
			kind:  "unavailable",
			says:  []string{"restart the PBX or its API"},
		},
		{
			name:  "no response, and the password was right",
			fault: pbxsim.Fault{Drop: pbxsim.DropAfter},
			kind:  "unavailable",
			says:  []string{"It is unknown whether the login counted as a wrong one"},
		},
		{
			name:    "no response, and the password was wrong",
			prepare: func(sim *pbxsim.PBX) { sim.SetPassword("api", "another") },
			fault:   pbxsim.Fault{Drop: pbxsim.DropAfter},
			kind:    "unavailable",
			says:    []string{"It is unknown whether the login counted as a wrong one"},
			later:   true,
		},
		{
			name:  "half a response",
			fault: pbxsim.Fault{Truncate: true},
			kind:  "unavailable",
			says:  []string{"broke off"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			driver := row.driver
			if driver == "" {
				driver = "yeastar"
			}
			sim := simulator(driver, pbxsim.Options{})
			if row.prepare != nil {
				row.prepare(sim)
			}
			if row.fault.Drop != 0 || row.fault.Status != 0 || row.fault.Body != nil || row.fault.Truncate {
				row.fault.On = pbxsim.Login
				sim.Fault(row.fault)
			}
			server := pbxsim.Listen(sim)
			defer server.Close()
			d := newMachine(t)
			status, out, errs := d.run(on(driver, server.URL)...)
			if status != exitFailed || errs != "" {
				t.Errorf("status %d, %q", status, errs)
			}
			for _, says := range row.says {
				if !strings.Contains(out, says) {
					t.Errorf("%q is not said:\n%s", says, out)
				}
			}
			if diff := cmp.Diff([]pbxsim.Action{"login"}, actions(sim)); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if row.held {
				if status, out, _ := d.run(on(driver, server.URL)...); status != exitFailed || len(actions(sim)) != 1 || !strings.Contains(out, "not sent") {
					t.Errorf("the next run: status %d, requests %v:\n%s", status, actions(sim), out)
				}
			} else if !strings.Contains(out, "is remembered") && !strings.Contains(out, "There was no wrong login") {
				t.Errorf("it is not said whether it counts:\n%s", out)
			}
			if row.later {
				sim.SetPassword("api", secret)
				deadline := time.Now().Add(10 * time.Second)
				for status, out, _ = d.run(on(driver, server.URL)...); status != exitFine; status, out, _ = d.run(on(driver, server.URL)...) {
					if time.Now().After(deadline) {
						t.Fatalf("after it: status %d:\n%s", status, out)
					}
					time.Sleep(200 * time.Millisecond)
				}
			}

			d = newMachine(t) // the kind, as -json has it
			sim = simulator(driver, pbxsim.Options{})
			if row.prepare != nil {
				row.prepare(sim)
			}
			if row.fault.On != "" {
				sim.Fault(row.fault)
			}
			again := pbxsim.Listen(sim)
			defer again.Close()
			_, out, _ = d.run(on(driver, again.URL, "-json")...)
			if got := decoded(t, out); got.Steps[len(got.Steps)-1].Kind != row.kind {
				t.Errorf("%+v, want the kind %q", got.Steps, row.kind)
			}
		})
	}
}

func TestAnotherBrandsPBXIsRecognised(t *testing.T) {
	for driver, other := range map[string]string{"yeastar": "runtel", "runtel": "yeastar"} {
		sim := simulator(other, pbxsim.Options{})
		server := pbxsim.Listen(sim)
		status, out, _ := newMachine(t).run(on(driver, server.URL)...)
		server.Close()
		if status != exitFailed || len(actions(sim)) != 1 || !strings.Contains(out, "unexpected response") || !strings.Contains(out, "there is no such page") {
			t.Errorf("%s at %s's: status %d, requests %v:\n%s", driver, other, status, actions(sim), out)
		}
	}
}

func TestASelfSignedCertificateIsTrustedByThePinThatIsPrinted(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.ListenTLS(sim)
	defer server.Close()
	d := newMachine(t)
	status, out, _ := d.run(on("yeastar", server.URL)...)
	_, after, found := strings.Cut(out, "Run it again with ")
	command, _, _ := strings.Cut(after, "\n")
	pin := pbx.Pin(server.Certificate())
	if status != exitFailed || !found || command != "-tls-pin "+pin {
		t.Fatalf("status %d, want %s:\n%s", status, pin, out)
	}
	if n := len(actions(sim)); n != 0 {
		t.Fatalf("%d requests were sent to an unknown server", n)
	}
	status, out, _ = d.run(on("yeastar", server.URL, strings.Fields(command)...)...)
	if status != exitFine || !strings.Contains(out, "  https://127.0.0.1:") {
		t.Errorf("with the pin: status %d:\n%s", status, out)
	}
}

func TestACAFileOrNoVerificationLetItThroughToo(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.ListenTLS(sim)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, out, _ := newMachine(t).run(on("yeastar", server.URL, "-tls-ca", file)...); status != exitFine {
		t.Errorf("-tls-ca: status %d:\n%s", status, out)
	}
	status, out, _ := newMachine(t).run(on("yeastar", server.URL, "-insecure-skip-verify")...)
	if status != exitFine || !strings.Contains(out, "not verified: anyone on the path") {
		t.Errorf("-insecure-skip-verify: status %d:\n%s", status, out)
	}
}

func TestAnotherKeyThanThePinnedOneIsNotOfferedForPinning(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.ListenTLS(sim)
	defer server.Close()
	const other = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	status, out, _ := newMachine(t).run(on("yeastar", server.URL, "-tls-pin", other)...)
	if status != exitFailed || len(actions(sim)) != 0 || !strings.Contains(out, "on the PBX itself before you pin another key") || strings.Contains(out, "Run it again with") {
		t.Errorf("status %d, %d requests:\n%s", status, len(actions(sim)), out)
	}
}

func TestAPortThatIsNotTheAPIsIsExplained(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	plain := pbxsim.Listen(sim)
	defer plain.Close()
	closed := pbxsim.Listen(simulator("yeastar", pbxsim.Options{}))
	closed.Close()
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.Config.ErrorLog = log.New(io.Discard, "", 0)
	old.StartTLS()
	defer old.Close()
	for name, row := range map[string]struct {
		url  string
		says []string
	}{
		"http, asked for https": {strings.Replace(plain.URL, "http:", "https:", 1), []string{"this port does not speak https", "it is 8088"}},
		"nobody listens":        {closed.URL, []string{"Check that the PBX is on", "it is 8088"}},
		"TLS of long ago":       {old.URL, []string{"no version of TLS", "Update the PBX's firmware"}},
	} {
		d := newMachine(t)
		for range 2 { // nothing was sent, so that a second run is allowed
			status, out, _ := d.run(on("yeastar", row.url)...)
			for _, says := range append(row.says, "There was no wrong login") {
				if status != exitFailed || !strings.Contains(out, says) {
					t.Errorf("%s: status %d, want %q:\n%s", name, status, says, out)
				}
			}
		}
	}
	if n := len(actions(sim)); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
