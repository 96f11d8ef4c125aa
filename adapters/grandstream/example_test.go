package grandstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/grandstream"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// A login, a call and a logout by hand. A program that runs for longer than a
// cookie lives wants a session, which does all but the call by itself.
func Example() {
	// A simulator instead of the UCM in the server room.
	server := pbxsim.Listen(grandstreamsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"cdrapi": "secret"}}))
	defer server.Close()

	ctx := context.Background()
	ucm, err := grandstream.New(grandstream.Config{Config: pbx.Config{
		URL:      server.URL, // https://192.168.0.174 in the server room
		Username: "cdrapi",
		Password: pbx.NewSecret("secret"),
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := ucm.Login(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ucm.Logout(ctx, token)

	// Authorize puts the cookie into the body.
	body := strings.NewReader(`{"request":{"action":"getSystemGeneralStatus"}}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, ucm.Traits().URL+"/api", body)
	if err != nil {
		fmt.Println(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	if err := ucm.Authorize(req, token); err != nil {
		fmt.Println(err)
		return
	}
	resp, err := ucm.Transport().RoundTrip(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(answer))
	fmt.Println("refused:", errors.Is(ucm.Inspect(resp, answer, new(pbx.Token)), pbx.ErrTokenRejected))
	// Output:
	// {"response":{},"status":0}
	// refused: false
}

// A request whose body is not the API's own has no place for the cookie.
func ExamplePBX_Authorize() {
	ucm, err := grandstream.New(grandstream.Config{Config: pbx.Config{
		URL: "https://192.168.0.174", Username: "cdrapi", Password: pbx.NewSecret("secret"),
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	req, err := http.NewRequest(http.MethodGet, ucm.Traits().URL+"/api", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ucm.Authorize(req, &pbx.Token{Value: pbx.NewSecret("sid1616565943-1653038164")}))
	// Output:
	// grandstream: request: not supported: the token goes into a body of the form {"request":{"action":…}}, but the request has none
}
