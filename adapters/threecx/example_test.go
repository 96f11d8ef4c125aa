package threecx_test

import (
	"context"
	"fmt"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/threecx"
	"github.com/pbxauth/pbx/adapters/threecx/threecxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// An API client has one token at a time. All goroutines of a program share it
// through one session.
func Example() {
	server := pbxsim.Listen(threecxsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"crm": "key"}}))
	defer server.Close()

	ctx := context.Background()
	auth, err := threecx.New(pbx.Config{
		URL:      server.URL, // https://pbx.example.com:5001 in the server room
		Username: "crm",
		Password: pbx.NewSecret("key"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := session.New(auth, nil)
	defer s.Close(ctx)

	resp, err := s.Client().Get(auth.Traits().URL + "/xapi/v1/Users")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// 200 OK
}
