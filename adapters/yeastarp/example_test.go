package yeastarp_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastarp"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// A session holds one of the eight tokens, however many calls are made, and
// gives it back at the end.
func Example() {
	// A simulator instead of the PBX in the server room.
	server := pbxsim.Listen(yeastarpsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"client id": "client secret"}}))
	defer server.Close()

	ctx := context.Background()
	auth, err := yeastarp.New(pbx.Config{
		URL:      server.URL, // https://192.168.5.150 in the server room, https://…:443 in the cloud
		Username: "client id",
		Password: pbx.NewSecret("client secret"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := session.New(auth, nil)
	defer s.Close(ctx)

	resp, err := s.Client().Get(auth.Traits().URL + "/openapi/v1.0/system/information")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// 200 OK
}

// When all places are taken, the credentials may well be right: it is for a
// person to find out who else uses them.
func ExamplePBX_Login() {
	server := pbxsim.Listen(yeastarpsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"client id": "client secret"}}))
	defer server.Close()

	auth, err := yeastarp.New(pbx.Config{URL: server.URL, Username: "client id", Password: pbx.NewSecret("client secret")})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 9 {
		if _, err = auth.Login(context.Background()); errors.Is(err, pbx.ErrTooManySessions) {
			fmt.Println(err)
		}
	}
	// Output:
	// yeastar-p: login: too many sessions: 8 tokens of this application are valid: one has to expire or be revoked (code 60002)
}
