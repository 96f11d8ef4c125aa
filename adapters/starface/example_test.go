package starface_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/starface/starfacesim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// A session logs in when a token is needed, and puts it into the requests.
func Example() {
	// Instead of the STARFACE in the server room.
	server := pbxsim.Listen(starfacesim.New(nil, &pbxsim.Options{Accounts: map[string]string{"0001": "secret"}}))
	defer server.Close()

	ctx := context.Background()
	auth, err := pbx.Open("starface", pbx.Config{
		URL:      server.URL, // https://192.168.0.174 in the server room
		Username: "0001",
		Password: pbx.NewSecret("secret"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	starface := session.New(auth, nil)
	defer starface.Close(ctx)

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "/rest/users/me", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := starface.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// 200 OK
}
