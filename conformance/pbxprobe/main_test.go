package main

import (
	"bytes"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func TestWrongUseIsReportedInOneLineAndNothingIsSent(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.Listen(sim)
	defer server.Close()
	for _, row := range []struct {
		args []string
		says string
	}{
		{nil, "-driver, -url and -user say which PBX to check"},
		{[]string{"-driver", "yeastar"}, "-driver, -url and -user say which PBX to check"},
		{[]string{"-password", secret}, "flag provided but not defined: -password"},
		{on("yeastar", server.URL, secret), "all settings are flags"},
		{on("yeaster", server.URL), `unknown driver "yeaster": registered are 3cx, `},
		{on("yeaster", server.URL), "(see -list)"},
		{on("yeastar", server.URL, "-option", "nonsense=1"), "the options are "},
		{on("yeastar", server.URL, "-option", secret), "written as name=value"},
		{on("yeastar", server.URL, "-option", "event_port=0"), "not a port"},
		{on("yeastar", "http://pbx.test"), "AllowPlainHTTP is -allow-plain-http"},
		{on("yeastar", "https://api:canary-Horse@pbx.test"), "URL holds a user name or password"},
		{on("yeastar", "https://pbx.test:http"), "URL"},
		{on("yeastar", server.URL, "-tls-pin", "sha256/short"), "PinSHA256 is -tls-pin"},
		{on("yeastar", server.URL, "-tls-ca", "no-such-file.pem"), "CAFile is -tls-ca"},
		{on("yeastar", server.URL, "-tls-ca", "a.pem", "-insecure-skip-verify"), "InsecureSkipVerify is -insecure-skip-verify"},
		{[]string{"-driver", "yeastar", "-url", server.URL}, "Username is -user"},
		{on("runtel", server.URL, "-option", "key="+secret), "the option key is secret, and flags show in process lists: set PBX_OPTION_KEY"},
		{on("yeastar", server.URL, "-json=perhaps"), "invalid boolean"},
	} {
		status, out, errs := newMachine(t).run(row.args...)
		if status != exitUse || out != "" || !strings.HasPrefix(errs, "pbxprobe: ") || !strings.Contains(errs, row.says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%q: status %d, %q, %q", row.args, status, out, errs)
		}
	}
	d := newMachine(t)
	d.env["PBX_PASSWORD"] = ""
	if status, _, errs := d.run(on("yeastar", server.URL)...); status != exitUse || !strings.Contains(errs, "Password is PBX_PASSWORD") {
		t.Errorf("no password: status %d, %q", status, errs)
	}
	if n := len(actions(sim)); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestThePasswordIsAskedForIfTheEnvironmentHasNone(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.Listen(sim)
	defer server.Close()
	ledger := filepath.Join(t.TempDir(), "ledger")
	attempt := func(typed string) (status int, errs string) {
		var o, e bytes.Buffer
		status = run(t.Context(), on("yeastar", server.URL, "-ledger", ledger),
			fakeConsole{password: typed},
			func(string) (string, bool) { return "", false }, &o, &e)
		return status, e.String()
	}
	status, errs := attempt("")
	if status != exitUse || errs != "pbxprobe: there is no terminal\n" || len(actions(sim)) != 0 {
		t.Errorf("status %d, %q, %d requests", status, errs, len(actions(sim)))
	}
	if status, errs := attempt(secret); status != exitFine {
		t.Errorf("status %d, %q", status, errs)
	}
}

func TestAKeyIsTakenFromTheEnvironmentAndIsNoLogin(t *testing.T) {
	sim := simulator("runtel", pbxsim.Options{})
	sim.AddKey("canary-Horse")
	server := pbxsim.Listen(sim)
	defer server.Close()
	d := newMachine(t)
	d.env["PBX_OPTION_KEY"] = "canary-Horse"
	status, out, _ := d.run("-driver", "runtel", "-url", server.URL)
	if status != exitFine || sim.Counts().Logins != 0 || sim.Counts().AppRequests != 2 || !strings.Contains(out, "runtel at 127.0.0.1") || !strings.Contains(out, "a logout does not end the token") {
		t.Errorf("status %d, %+v:\n%s", status, sim.Counts(), out)
	}
}

func TestASecretThatNothingChecksIsSaidNotToBeProven(t *testing.T) {
	const notProven = "the secret was not proven"
	for _, row := range []struct {
		driver, option string
		keyed          bool
		says           bool
	}{
		{driver: "freepbx", says: true}, // not every version checks it
		{driver: "yeastar"},
		{driver: "uis", keyed: true, says: true}, // nothing is sent
		{driver: "uis", keyed: true, option: "ping_method=list.calls"},
	} {
		sim := simulator(row.driver, pbxsim.Options{})
		server := pbxsim.Listen(sim)
		defer server.Close()
		d := newMachine(t)
		args := on(row.driver, server.URL)
		if row.keyed {
			sim.AddKey("canary-Horse")
			d.env["PBX_OPTION_KEY"] = "canary-Horse"
			args = []string{"-driver", row.driver, "-url", server.URL}
		}
		if row.option != "" {
			args = append(args, "-option", row.option)
		}
		status, out, _ := d.run(args...)
		if status != exitFine || strings.Contains(out, notProven) != row.says {
			t.Errorf("%s %s: status %d:\n%s", row.driver, row.option, status, out)
		}
	}
}

func TestHelpIsPrintedOnRequest(t *testing.T) {
	status, out, errs := newMachine(t).run("-help")
	if status != exitFine || errs != "" {
		t.Errorf("status %d, %q", status, errs)
	}
	for _, flag := range []string{"driver", "url", "user", "option", "tls-ca", "tls-pin", "insecure-skip-verify", "allow-plain-http", "json", "ledger", "force", "list", "version"} {
		if !strings.Contains(out, "  -"+flag) {
			t.Errorf("-%s is missing", flag)
		}
	}
}

func TestListHasEveryDriverAndOption(t *testing.T) {
	status, out, errs := newMachine(t).run("-list")
	if status != exitFine || errs != "" {
		t.Fatalf("status %d, %q", status, errs)
	}
	lines := strings.Split(out, "\n")
	has := func(words ...string) bool {
		return slices.ContainsFunc(lines, func(line string) bool {
			return slices.Equal(strings.Fields(line)[:min(len(strings.Fields(line)), len(words))], words)
		})
	}
	for _, d := range pbx.Drivers() {
		if !has(append([]string{d.Name}, strings.Fields(d.Title)...)...) {
			t.Errorf("%s is missing in:\n%s", d.Name, out)
		}
		for _, o := range d.Options {
			if !has(o.Name) {
				t.Errorf("the option %s of %s is missing in:\n%s", o.Name, d.Name, out)
			}
		}
	}
	if !has("family", "s-v1|s-v2|cloud-v1|cloud-v2") {
		t.Errorf("the families are not listed:\n%s", out)
	}
}

func TestVersionIsOneLine(t *testing.T) {
	status, out, errs := newMachine(t).run("-version")
	if status != exitFine || errs != "" || !strings.HasPrefix(out, "pbxprobe ") || !strings.Contains(out, runtime.Version()) || strings.Count(out, "\n") != 1 {
		t.Errorf("status %d, %q, %q", status, out, errs)
	}
}
