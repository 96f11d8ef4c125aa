package openvox_test

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/openvox"
	"github.com/pbxauth/pbx/adapters/openvox/openvoxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// An application that speaks XML to the PBX: the session's client says so in
// each request, and carries the token.
func Example() {
	// A simulator instead of the PBX in the server room.
	server := pbxsim.Listen(openvoxsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}}))
	defer server.Close()

	ctx := context.Background()
	uc, err := openvox.New(openvox.Config{
		Config: pbx.Config{
			URL:      server.URL, // https://172.16.6.150 in the server room
			Username: "api",
			Password: pbx.NewSecret("secret"),
		},
		Format: openvox.XML,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := session.New(uc, nil)
	defer s.Close(ctx)

	resp, err := s.Client().Post(uc.Traits().URL+"/api/v0.0.1/extension/query", "application/xml", strings.NewReader("<xml></xml>"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(body))
	// Output:
	// <?xml version="1.0" encoding="utf-8"?><xml><status>Success</status><extinfos><item id="0"><extnumber>1000</extnumber><status>Registered</status><type>SIP</type><username>Reception</username></item><item id="1"><extnumber>1001</extnumber><status>Unavailable</status><type>SIP</type><username>Sales</username></item></extinfos></xml>
}
