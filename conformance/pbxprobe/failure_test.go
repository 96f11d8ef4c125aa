package main

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
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

// TestEveryKindOfFailedLoginIsExplainedAndHeldAgainstTheNextRun has one row for
// each shape of failure. held is for how long no other login is sent.
func TestEveryKindOfFailedLoginIsExplainedAndHeldAgainstTheNextRun(t *testing.T) {
	echo := secret + " 4f1c" // what a PBX might repeat
	for _, row := range []struct {
		name   string
		driver string // yeastar if empty
		prick  func(*pbxsim.PBX)
		fault  pbxsim.Fault
		kind   string
		says   []string
		held   time.Duration
	}{
		{
			name:  "wrong password",
			prick: func(sim *pbxsim.PBX) { sim.SetPassword("api", "another") },
			kind:  "invalid credentials",
			says:  []string{"Compare the user name and the password"},
			held:  10 * time.Minute,
		},
		{
			name:   "wrong password of a brand whose lockout is not known",
			driver: "runtel",
			prick:  func(sim *pbxsim.PBX) { sim.SetPassword("api", "another") },
			kind:   "invalid credentials",
			says:   []string{"Compare the user name and the password"},
			held:   10 * time.Minute,
		},
		{
			name:  "locked",
			prick: func(sim *pbxsim.PBX) { sim.Lock("127.0.0.1") },
			kind:  "locked out",
			says:  []string{"take this machine's address off the list of blocked ones"},
			held:  10 * time.Minute,
		},
		{
			name:   "locked for as long as the PBX says",
			driver: "runtel",
			fault:  pbxsim.Fault{Status: 429, Header: http.Header{"Retry-After": {"1800"}}},
			kind:   "locked out",
			says:   []string{"take this machine's address off the list of blocked ones"},
			held:   30 * time.Minute,
		},
		{
			name:  "not on the list of those that may",
			fault: pbxsim.Fault{Body: []byte(`{"status":"Failed","errno":"20015"}`)},
			kind:  "forbidden",
			says:  []string{"Enter this machine's address in the list", "under Settings, PBX, General, API"},
			held:  10 * time.Minute,
		},
		{
			name:  "redirect",
			fault: pbxsim.Fault{Status: 302, Header: http.Header{"Location": {"https://pbx.example.com:8088/api/v1.1.0/login"}}},
			kind:  "configuration",
			says:  []string{"configure the URL https://pbx.example.com:8088\n", "Give -url the address", "port 8088"},
		},
		{
			name:  "web page",
			fault: pbxsim.Fault{Body: []byte(pbxsim.HTMLPage + echo)},
			kind:  "unexpected response",
			says:  []string{"A web interface or a proxy has answered", "port 8088", "under Settings, PBX, General, API"},
			held:  10 * time.Minute, // whatever it is, it got the password
		},
		{
			name:  "no such page",
			fault: pbxsim.Fault{Status: 404, Body: []byte(pbxsim.HTMLPage + echo)},
			kind:  "unexpected response",
			says:  []string{"A web interface or a proxy has answered"},
		},
		{
			name:  "nothing in the answer",
			fault: pbxsim.Fault{Status: 200},
			kind:  "unexpected response",
			says:  []string{"Something else listens here, or the API is off"},
			held:  10 * time.Minute,
		},
		{
			name:  "another family's answer",
			fault: pbxsim.Fault{Body: []byte(`{"errcode":0,"errmsg":"` + "SUCCESS" + `"}`)},
			kind:  "unexpected response",
			says:  []string{"another brand or product line", "-driver and its options"},
			held:  10 * time.Minute,
		},
		{
			name:  "a code that nobody knows",
			fault: pbxsim.Fault{Body: []byte(`{"status":"Failed","errno":"77777"}`)},
			kind:  "unknown",
			says:  []string{"(code 77777)", "Look the code up"},
			held:  10 * time.Minute,
		},
		{
			name:  "cannot answer now",
			fault: pbxsim.Fault{Status: 503},
			kind:  "unavailable",
			says:  []string{"restart its API or the PBX"},
		},
		{
			name:  "no answer, and the password was right",
			fault: pbxsim.Fault{Drop: pbxsim.DropAfter},
			kind:  "unavailable",
			says:  []string{"whether it took the login for a wrong one is not known"},
			held:  10 * time.Minute,
		},
		{
			name:  "no answer, and the password was wrong",
			prick: func(sim *pbxsim.PBX) { sim.SetPassword("api", "another") },
			fault: pbxsim.Fault{Drop: pbxsim.DropAfter},
			kind:  "unavailable",
			says:  []string{"whether it took the login for a wrong one is not known"},
			held:  10 * time.Minute,
		},
		{
			name:  "half an answer",
			fault: pbxsim.Fault{Truncate: true},
			kind:  "unavailable",
			says:  []string{"the answer broke off"},
			held:  10 * time.Minute,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			driver := row.driver
			if driver == "" {
				driver = "yeastar"
			}
			sim := simulator(driver, pbxsim.Options{})
			if row.prick != nil {
				row.prick(sim)
			}
			if row.fault.Drop != 0 || row.fault.Status != 0 || row.fault.Body != nil || row.fault.Truncate {
				row.fault.On = pbxsim.Login
				sim.Fault(row.fault)
			}
			server := pbxsim.Listen(sim)
			defer server.Close()
			d := newDesk(t)
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
			if row.held == 0 {
				if !strings.Contains(out, "There was no wrong login: mend this, and run it again.") {
					t.Errorf("it is not said that one may go on:\n%s", out)
				}
				if left, _ := os.ReadDir(d.env["PBXPROBE_MEMORY"]); len(left) != 0 {
					t.Errorf("something is remembered: %v", left)
				}
			} else {
				until := clock(d.now.Add(row.held))
				file := filepath.Join(d.env["PBXPROBE_MEMORY"], "login-127.0.0.1.json")
				if !strings.Contains(out, until) || !strings.Contains(out, "deletes "+file) {
					t.Errorf("%s and %s are not said:\n%s", until, file, out)
				}
				d.now = d.now.Add(row.held - time.Nanosecond)
				status, out, _ := d.run(on(driver, server.URL)...)
				if status != exitFailed || len(actions(sim)) != 1 || !strings.Contains(out, "wait until "+until) || !strings.Contains(out, "("+row.kind+")") {
					t.Errorf("a moment before its end: status %d, requests %v:\n%s", status, actions(sim), out)
				}
				d.now = d.now.Add(time.Nanosecond)
			}
			// Then it is allowed, and goes well.
			sim.SetPassword("api", secret)
			sim.Unlock("127.0.0.1")
			if status, out, _ := d.run(on(driver, server.URL)...); status != exitFine {
				t.Errorf("after it: status %d:\n%s", status, out)
			}

			d = newDesk(t) // the kind, as -json has it
			sim = simulator(driver, pbxsim.Options{})
			if row.prick != nil {
				row.prick(sim)
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

func TestAnotherBrandsPBXIsToldFromTheDriversOwn(t *testing.T) {
	for driver, other := range map[string]string{"yeastar": "runtel", "runtel": "yeastar"} {
		sim := simulator(other, pbxsim.Options{})
		server := pbxsim.Listen(sim)
		status, out, _ := newDesk(t).run(on(driver, server.URL)...)
		server.Close()
		if status != exitFailed || len(actions(sim)) != 1 || !strings.Contains(out, "unexpected response") || !strings.Contains(out, "There was no wrong login") {
			t.Errorf("%s at %s's: status %d, requests %v:\n%s", driver, other, status, actions(sim), out)
		}
	}
}

func TestASelfSignedCertificateIsTrustedByThePinThatIsPrinted(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.ListenTLS(sim)
	defer server.Close()
	d := newDesk(t)
	status, out, _ := d.run(on("yeastar", server.URL)...)
	_, after, found := strings.Cut(out, "run it again with: ")
	command, _, _ := strings.Cut(after, "\n")
	pin := pbx.Pin(server.Certificate())
	if status != exitFailed || !found || command != "-tls-pin "+pin {
		t.Fatalf("status %d, want %s:\n%s", status, pin, out)
	}
	if n := len(sim.Log()); n != 0 {
		t.Fatalf("%d requests were sent to whoever it is", n)
	}
	status, out, _ = d.run(on("yeastar", server.URL, strings.Fields(command)...)...)
	if status != exitFine || !strings.Contains(out, "  https://127.0.0.1:") || strings.Contains(out, "in clear") {
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
	if status, out, _ := newDesk(t).run(on("yeastar", server.URL, "-tls-ca", file)...); status != exitFine {
		t.Errorf("-tls-ca: status %d:\n%s", status, out)
	}
	status, out, _ := newDesk(t).run(on("yeastar", server.URL, "-insecure-skip-verify")...)
	if status != exitFine || !strings.Contains(out, "its certificate not looked at") {
		t.Errorf("-insecure-skip-verify: status %d:\n%s", status, out)
	}
}

func TestAnotherKeyThanThePinnedOneIsNotOfferedForPinning(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.ListenTLS(sim)
	defer server.Close()
	const other = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	status, out, _ := newDesk(t).run(on("yeastar", server.URL, "-tls-pin", other)...)
	if status != exitFailed || len(sim.Log()) != 0 || !strings.Contains(out, "on the PBX itself before you pin another key") || strings.Contains(out, "-tls-pin") {
		t.Errorf("status %d, %d requests:\n%s", status, len(sim.Log()), out)
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
		"http, asked for https": {strings.Replace(plain.URL, "http:", "https:", 1), []string{"this port speaks plain http", "port 8088", "-allow-plain-http"}},
		"nobody listens":        {closed.URL, []string{"Check that the PBX is on", "port 8088"}},
		"TLS of long ago":       {old.URL, []string{"no version of TLS", "Bring the firmware up to date"}},
	} {
		d := newDesk(t)
		for range 2 { // nothing was sent, so that a second run is allowed
			status, out, _ := d.run(on("yeastar", row.url)...)
			for _, says := range append(row.says, "There was no wrong login") {
				if status != exitFailed || !strings.Contains(out, says) {
					t.Errorf("%s: status %d, want %q:\n%s", name, status, says, out)
				}
			}
		}
	}
	if n := len(sim.Log()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestAnAdviceGoesByTheStepToo(t *testing.T) {
	dns := &net.DNSError{Err: "no such host", Name: "pbx.invalid", IsNotFound: true}
	failure := func(kind error, sent bool, cause error) *pbx.Error {
		return &pbx.Error{Driver: "fake", Op: pbx.OpRequest, Kind: kind, Sent: sent, Err: cause}
	}
	p := &probe{}
	for _, row := range []struct {
		step string
		err  error
		says string
	}{
		{"login", failure(pbx.ErrUnavailable, false, &net.OpError{Op: "dial", Net: "tcp", Err: dns}), "The name has no address"},
		{"login", failure(pbx.ErrUnavailable, false, errors.New("refused")), "Check that the PBX is on"},
		{"login", failure(pbx.ErrUnavailable, true, errors.New("a reset")), "It may be overloaded"},
		{"login", failure(pbx.ErrTooManySessions, true, nil), "Wait until a token ends"},
		{"login", failure(pbx.ErrConfig, true, nil), "Mend the setting"},
		{"keep-alive", failure(pbx.ErrUnavailable, true, errors.New("a reset")), "The PBX answered the login and not this"},
		{"call", failure(pbx.ErrTokenRejected, true, nil), "The PBX refuses a token that it has just issued"},
		{"call", failure(pbx.ErrProtocol, true, nil), "The PBX's firmware differs"},
		{"dead-call", failure(pbx.ErrUnavailable, true, errors.New("a reset")), "The PBX answered the login and not this"},
		{"dead-call", failure(pbx.ErrProtocol, true, nil), "Without a clear refusal"},
		{"dead-call", failure(nil, true, nil), "Without a clear refusal"},
		{"dead-logout", failure(pbx.ErrForbidden, true, nil), "A session's Close"},
		{"logout", failure(nil, true, nil), "Look the code up"},
		{"memory", os.ErrPermission, "A login is not sent unless it can be remembered"},
		{"call", errInterrupted, ""},
	} {
		if got := p.advice(row.step, row.err); !strings.HasPrefix(got, row.says) || (got == "") != (row.says == "") || strings.Contains(got, "{") {
			t.Errorf("%s: %v: %q, want %q", row.step, row.err, got, row.says)
		}
	}
}
