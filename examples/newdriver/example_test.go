package acme_test

import (
	"context"
	"fmt"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	acme "github.com/pbxauth/pbx/examples/newdriver"
	"github.com/pbxauth/pbx/examples/newdriver/acmesim"
	"github.com/pbxauth/pbx/session"
)

// accounts are those of the simulated PBX.
var accounts = map[string]string{"crm": "secret"}

// A driver of one's own is opened by its name like any other, and a session does
// the rest.
func Example() {
	server := pbxsim.ListenMemory(acmesim.New(&pbxsim.Options{Accounts: accounts}))
	defer server.Close()
	auth, err := pbx.Open(acme.Name, pbx.Config{
		URL: server.URL, Username: "crm", Password: pbx.NewSecret("secret"), Options: map[string]string{"tenant": "3"},
		Transport: server.Client().Transport, // only because the PBX is simulated
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	s := session.New(auth, nil)
	defer s.Close(ctx)
	token, err := s.Token(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Status().State, token.Value)
	// Output: live [redacted]
}
