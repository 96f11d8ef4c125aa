package uis_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/uis/uissim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// A session logs in when a token is needed, and puts it into the params of the
// requests.
func Example() {
	// Instead of the platform.
	server := pbxsim.Listen(uissim.New(nil, &pbxsim.Options{Accounts: map[string]string{"crm": "secret"}}))
	defer server.Close()

	ctx := context.Background()
	auth, err := pbx.Open("uis", pbx.Config{
		URL:      server.URL, // or the option platform: uis, comagic
		Username: "crm",
		Password: pbx.NewSecret("secret"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	platform := session.New(auth, nil)
	defer platform.Close(ctx)

	body := strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"list.talk_options","params":{}}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "/v4.0", body)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := platform.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// 200 OK
}
