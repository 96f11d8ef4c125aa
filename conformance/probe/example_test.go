package probe_test

import (
	"context"
	"fmt"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/probe"
	acme "github.com/pbxauth/pbx/examples/newdriver"
	"github.com/pbxauth/pbx/examples/newdriver/acmesim"
)

// A settings page tests what a person has typed before it saves it. The second press
// of the button sends nothing: the PBX has refused this password.
func ExampleRun() {
	sim := acmesim.New(&pbxsim.Options{Accounts: map[string]string{"crm": "right"}})
	server := pbxsim.ListenMemory(sim)
	defer server.Close()

	for _, typed := range []string{"wrong", "wrong", "right"} {
		report := probe.Run(context.Background(), probe.Options{Driver: acme.Name, Config: pbx.Config{
			URL: server.URL, Username: "crm", Password: pbx.NewSecret(typed),
			Transport: server.Client().Transport, // only because the PBX is simulated
		}})
		fmt.Printf("Save: %t. Logins at the PBX: %d\n", report.OK, sim.Counts().Logins)
		if !report.OK {
			failed := report.Steps[len(report.Steps)-1] // nothing else follows
			fmt.Printf("- %s: %s. %s\n", failed.Name.Title(), failed.State, failed.Advice)
		}
	}
	// Output:
	// Save: false. Logins at the PBX: 1
	// - Login: failed. Compare the user name and the password with those of the API's account, which is seldom that of the web interface. A blank at the end counts too.
	// Save: false. Logins at the PBX: 1
	// - Login: failed. Change the user name or the password: the PBX has refused these, and they were not sent again.
	// Save: true. Logins at the PBX: 2
}
