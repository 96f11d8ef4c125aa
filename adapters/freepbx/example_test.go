package freepbx_test

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/freepbx"
	"github.com/pbxauth/pbx/adapters/freepbx/freepbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// A query by GraphQL, with the token of an application.
func Example() {
	server := pbxsim.Listen(freepbxsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"client id": "client secret"}}))
	defer server.Close()

	ctx := context.Background()
	auth, err := freepbx.New(freepbx.Config{Config: pbx.Config{
		URL:      server.URL, // https://pbx.example.com in the server room
		Username: "client id",
		Password: pbx.NewSecret("client secret"),
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := session.New(auth, nil)
	defer s.Close(ctx)

	resp, err := s.Client().Post(auth.Traits().URL+"/admin/api/api/gql", "application/json", strings.NewReader(`{"query":"{__typename}"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body), err)
	// Output:
	// 200 OK {"data":{"__typename":"Query"}} <nil>
}
