package session_test

import (
	"context"
	"fmt"
	"io"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters/asterisk"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// asteriskAccount is a section of the PBX's manager.conf.
var asteriskAccount = map[string]string{"crm": "secret"}

// Client is for code that wants an http.Client, such as a generated API client:
// every request carries the token of the moment.
func ExampleSession_Client() {
	server := pbxsim.ListenMemory(asterisksim.New(nil, &pbxsim.Options{Accounts: asteriskAccount}))
	defer server.Close()
	auth, err := pbx.Open("asterisk", pbx.Config{
		URL: server.URL, Username: "crm", Password: pbx.NewSecret("secret"),
		Transport: server.Client().Transport, // only because the PBX is simulated
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	s := session.New(auth, nil)
	defer s.Close(ctx)

	resp, err := s.Client().Get(s.URL() + "/rawman?action=Ping")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%s %.17q %v\n", resp.Status, body, err)
	// Output: 200 OK "Response: Success" <nil>
}
