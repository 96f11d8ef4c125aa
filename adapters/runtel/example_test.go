package runtel_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/runtel"
	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// A session logs in, makes calls, and logs out. What the login told about the
// user comes with the token.
func Example() {
	office := runtelsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"a@office.example": "secret"}})
	server := pbxsim.Listen(office)
	defer server.Close()

	p, err := runtel.New(runtel.Config{
		Config: pbx.Config{
			URL:      server.URL, // in earnest https://office.example, or a reseller's
			Username: "a@office.example",
			Password: pbx.NewSecret("secret"),
		},
		ExpZone: "UTC", // where it is known
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	s := session.New(p, nil)
	defer s.Close(ctx)

	token, err := s.Token(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	account, err := runtel.Account(token)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s, %s of %s\n", account.UserName, account.RoleName, account.DomainName)

	resp, err := s.Client().Post(server.URL+"/api/", "application/json",
		strings.NewReader(`{"action":"list","obj":"Call","action_id":"1","params":{}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)

	// Output:
	// Мария, PBX administrator of office.example
	// 200 OK
}

// The vendor shows no failing response. A program that has seen one that the driver reads
// wrongly can say what it means.
func ExampleConfig_classify() {
	office := runtelsim.New(&runtelsim.Options{Failure: runtelsim.Code401, Refusal: 1001}, nil)
	server := pbxsim.Listen(office)
	defer server.Close()

	p, err := runtel.New(runtel.Config{
		Config: pbx.Config{URL: server.URL, Username: "a@office.example", Password: pbx.NewSecret("wrong")},
		Classify: func(a runtel.Failure) error {
			if a.Op == pbx.OpLogin && a.Code == "1001" {
				return pbx.ErrInvalidCredentials
			}
			return nil // as the driver reads it
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = p.Login(context.Background())
	fmt.Println(err)

	// Output:
	// runtel: login: invalid credentials (code 1001)
}
