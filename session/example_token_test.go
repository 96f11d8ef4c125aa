package session_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// officePBX is a simulator instead of the PBX in the server room.
var officePBX = yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}})

// A program that puts the token into requests of its own asks for it each time. A
// wrong password is an error that says so, however often one asks, and is not
// sent again.
func ExampleSession_Token() {
	server := pbxsim.ListenMemory(officePBX)
	defer server.Close()
	ctx := context.Background()

	for _, password := range []string{"secret", "a wrong one"} {
		auth, err := pbx.Open("yeastar", pbx.Config{
			URL: server.URL, Username: "api", Password: pbx.NewSecret(password),
			Transport: server.Client().Transport, // only because the PBX is simulated
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		s := session.New(auth, nil)
		for range 3 {
			token, err := s.Token(ctx)
			switch {
			case err == nil:
				fmt.Println("token:", token.Value)
			case errors.Is(err, pbx.ErrInvalidCredentials):
				fmt.Println("ask the person who typed the password")
			default:
				fmt.Println("no token now:", err)
			}
		}
		s.Close(ctx)
	}
	fmt.Println(officePBX.Counts().Logins, "logins, of which", officePBX.Counts().WrongLogins, "was wrong")
	// Output:
	// token: [redacted]
	// token: [redacted]
	// token: [redacted]
	// ask the person who typed the password
	// ask the person who typed the password
	// ask the person who typed the password
	// 2 logins, of which 1 was wrong
}
