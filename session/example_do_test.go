package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// extension is one entry of the PBX's list.
type extension struct {
	Number string `json:"extnumber"`
	Name   string `json:"username"`
	Status string `json:"status"`
}

// extensions asks the PBX's API for its list.
func extensions(ctx context.Context, s *session.Session) ([]extension, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/api/v1.1.0/extensionlist/query", nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.Do(r) // with the token of the moment
	if resp != nil {
		defer resp.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	var list struct {
		Extensions []extension `json:"extlist"`
	}
	err = json.NewDecoder(resp.Body).Decode(&list)
	return list.Extensions, err
}

// Do adds the address and the token to a request. Failures that the PBX reports
// under HTTP status 200 are errors. When the PBX restarts and forgets the token,
// Do replaces it and repeats the request.
func ExampleSession_Do() {
	sim := yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}})
	server := pbxsim.ListenMemory(sim)
	defer server.Close()
	auth, err := pbx.Open("yeastar", pbx.Config{
		URL: server.URL, Username: "api", Password: pbx.NewSecret("secret"),
		Transport: server.Client().Transport, // only because the PBX is simulated
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	s := session.New(auth, nil)
	defer s.Close(ctx)

	for range 2 {
		list, err := extensions(ctx, s)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(list)
		sim.Restart()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/api/v1.1.0/no/such/request", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := s.Do(r)
	if resp != nil {
		resp.Body.Close()
		fmt.Println("HTTP status", resp.StatusCode)
	}
	var failure *pbx.Error
	if errors.As(err, &failure) {
		fmt.Println("the PBX's error code is", failure.Code)
	}
	// Output:
	// [{1000 Reception Registered} {1001 Sales Unavailable}]
	// [{1000 Reception Registered} {1001 Sales Unavailable}]
	// HTTP status 200
	// the PBX's error code is 10003
}
