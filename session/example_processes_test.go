package session_test

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// storeKey encrypts the tokens in the store. It is a secret of the deployment: 32
// random bytes, the same in all processes.
var storeKey = bytes.Repeat([]byte{0x5a}, 32)

// startProcess is what each process does when it starts: it opens the store that all
// share, and makes a Manager over it.
func startProcess(name, dir string) (*session.Manager, error) {
	files, err := store.Files(dir) // on several machines: redisstore or pgstore
	if err != nil {
		return nil, err
	}
	shared, err := session.NewShared(session.SharedSettings{Store: files, Keys: [][]byte{storeKey}, Process: name})
	if err != nil {
		return nil, err
	}
	return session.NewManager(&session.Options{Store: shared}), nil
}

// Several processes behave towards a PBX like one: there is one login, its token
// is everybody's, and so is the budget of wrong logins. A restart needs no login.
func ExampleNewShared() {
	sim := yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}})
	server := pbxsim.ListenMemory(sim)
	defer server.Close()
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	for _, name := range []string{"crm-1", "crm-2", "crm-1-after-a-restart"} {
		m, err := startProcess(name, dir)
		if err != nil {
			fmt.Println(err)
			return
		}
		auth, err := pbx.Open("yeastar", pbx.Config{
			URL: server.URL, Username: "api", Password: pbx.NewSecret("secret"),
			Transport: server.Client().Transport, // only because the PBX is simulated
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		s, err := m.Add("customer-7", auth)
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = s.Token(ctx)
		fmt.Println(name, s.Status().State, err)
		m.Close(ctx) // leaves the token to the others
	}
	fmt.Println("logins at the PBX:", sim.Counts().Logins)
	// Output:
	// crm-1 live <nil>
	// crm-2 live <nil>
	// crm-1-after-a-restart live <nil>
	// logins at the PBX: 1
}
