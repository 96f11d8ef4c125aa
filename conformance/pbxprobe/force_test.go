package main

import (
	"strings"
	"testing"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func TestForceLogsInAfterAWrongLoginIfAPersonConfirms(t *testing.T) {
	for _, row := range []struct {
		reply  string // of the person; "" is no terminal
		status int
		logins int
		says   string
	}{
		{"yes", exitFine, 2, ""},
		{"no", exitFailed, 1, "not confirmed: no login was sent"},
		{"", exitFailed, 1, "there is no terminal"},
	} {
		sim := simulator("yeastar", pbxsim.Options{})
		sim.SetPassword("api", "another")
		server := pbxsim.Listen(sim)
		d := newMachine(t)
		d.run(on("yeastar", server.URL)...)
		if status, out, _ := d.run(on("yeastar", server.URL)...); status != exitFailed || !strings.Contains(out, `-force "reason"`) {
			t.Fatalf("status %d:\n%s", status, out)
		}
		sim.SetPassword("api", secret) // it was the PBX that had the wrong one
		var asked []string
		d.people = fakeConsole{reply: row.reply, asked: &asked}
		status, out, errs := d.run(on("yeastar", server.URL, "-force", "the password was changed")...)
		server.Close()
		if logins := sim.Counts().Logins; status != row.status || logins != row.logins || !strings.Contains(errs, row.says) {
			t.Errorf("%q: status %d, %d logins, %q:\n%s", row.reply, status, logins, errs, out)
		}
		if row.reply == "" {
			continue
		}
		if len(asked) != 1 || !strings.Contains(asked[0], "not sent: the PBX refused these credentials") || !strings.Contains(asked[0], `"the password was changed"`) {
			t.Errorf("%q: the question is %q", row.reply, asked)
		}
	}
}

func TestForceAsksNothingIfNothingIsHeldAgainstTheLogin(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.Listen(sim)
	defer server.Close()
	if status, out, errs := newMachine(t).run(on("yeastar", server.URL, "-force", "to be sure")...); status != exitFine {
		t.Errorf("status %d, %q:\n%s", status, errs, out)
	}
}

// A forced login that is wrong again is remembered like any other.
func TestAForcedLoginThatIsWrongIsRemembered(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	sim.SetPassword("api", "another")
	server := pbxsim.Listen(sim)
	defer server.Close()
	d := newMachine(t)
	d.run(on("yeastar", server.URL)...)
	var asked []string
	d.people = fakeConsole{reply: "yes", asked: &asked}
	d.run(on("yeastar", server.URL, "-force", "try")...)
	if status, out, _ := d.run(on("yeastar", server.URL)...); status != exitFailed || sim.Counts().Logins != 2 || !strings.Contains(out, "No login was sent") {
		t.Errorf("status %d, %d logins:\n%s", status, sim.Counts().Logins, out)
	}
}
