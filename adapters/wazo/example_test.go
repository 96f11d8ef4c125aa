package wazo_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wazo"
	"github.com/pbxauth/pbx/adapters/wazo/wazosim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// One token is for all daemons. A missing permission is HTTP 401 at this brand,
// and costs no login.
func Example() {
	server := pbxsim.Listen(wazosim.New(&wazosim.Options{Denied: "/api/calld/"}, &pbxsim.Options{Accounts: map[string]string{"crm": "secret"}}))
	defer server.Close()

	ctx := context.Background()
	auth, err := wazo.New(wazo.Config{Config: pbx.Config{
		URL:      server.URL, // https://wazo.example.com in the server room
		Username: "crm",
		Password: pbx.NewSecret("secret"),
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := session.New(auth, nil)
	defer s.Close(ctx)

	for _, path := range []string{"/api/confd/1.1/extensions", "/api/calld/1.0/calls"} {
		resp, err := s.Client().Get(auth.Traits().URL + path)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(path, resp.Status)
	}
	// Output:
	// /api/confd/1.1/extensions 200 OK
	// /api/calld/1.0/calls 401 Unauthorized
}

// A user has at most 100 sessions. The password was right.
func ExamplePBX_Login() {
	server := pbxsim.Listen(wazosim.New(nil, &pbxsim.Options{Accounts: map[string]string{"crm": "secret"}, MaxTokens: 1}))
	defer server.Close()

	auth, err := wazo.New(wazo.Config{Config: pbx.Config{URL: server.URL, Username: "crm", Password: pbx.NewSecret("secret")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		_, err = auth.Login(context.Background())
	}
	fmt.Println(errors.Is(err, pbx.ErrTooManySessions))
	// Output:
	// true
}
