package mikopbx_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/mikopbx/mikopbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// A session logs in when a token is needed, refreshes it every quarter of an hour,
// and puts it into the requests.
func Example() {
	// Instead of the PBX in the server room.
	server := pbxsim.Listen(mikopbxsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"admin": "secret"}}))
	defer server.Close()

	ctx := context.Background()
	auth, err := pbx.Open("mikopbx", pbx.Config{
		URL:      server.URL, // https://192.168.0.174 in the server room
		Username: "admin",
		Password: pbx.NewSecret("secret"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	miko := session.New(auth, nil)
	defer miko.Close(ctx)

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "/pbxcore/api/v3/extensions?limit=1", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := miko.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// 200 OK
}
