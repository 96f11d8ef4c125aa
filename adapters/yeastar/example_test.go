package yeastar_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// A login, a call and a logout by hand. A program that runs for longer than a
// token lives wants a session, which does all but the call by itself.
func Example() {
	// A simulator instead of the PBX in the server room.
	server := pbxsim.Listen(yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}}))
	defer server.Close()

	ctx := context.Background()
	s50, err := yeastar.New(yeastar.Config{
		Config: pbx.Config{
			URL:      server.URL, // https://192.168.5.150 in the server room
			Username: "api",
			Password: pbx.NewSecret("secret"),
		},
		Events: yeastar.Events{Port: 8260},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := s50.Login(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s50.Logout(ctx, token)

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s50.Traits().URL+"/api/v1.1.0/extensionlist/query", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	s50.Authorize(req, token)
	resp, err := s50.Transport().RoundTrip(req)
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
	fmt.Println(resp.StatusCode, string(body))
	fmt.Println("refused:", errors.Is(s50.Inspect(resp, body, new(pbx.Token)), pbx.ErrTokenRejected))
	fmt.Println("token:", token.Value)
	// Output:
	// 200 {"status":"Success","extlist":[{"extnumber":"1000","status":"Registered","type":"SIP","username":"Reception","agentid":""},{"extnumber":"1001","status":"Unavailable","type":"SIP","username":"Sales","agentid":""}]}
	// refused: false
	// token: [redacted]
}

// A wrong password is told apart from a PBX that is not there, so that a program
// knows whom to ask: the person who typed it, or the network.
func ExamplePBX_Login() {
	server := pbxsim.Listen(yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}}))
	defer server.Close()

	s50, err := yeastar.New(yeastar.Config{Config: pbx.Config{URL: server.URL, Username: "api", Password: pbx.NewSecret("guess")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = s50.Login(context.Background())
	if errors.Is(err, pbx.ErrInvalidCredentials) {
		fmt.Println(err)
	}
	// Output:
	// yeastar: login: invalid credentials: wrong user name or password: check the API account in the PBX's web interface (code 20003)
}
