package session_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// This is how an application tests what it does over hours, in milliseconds: in a
// bubble of testing/synctest, with a simulated PBX on connections in memory. Time
// passes only while everybody waits.
func TestExampleOfVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}})
		server := pbxsim.ListenMemory(sim)
		defer server.Close()
		auth, err := pbx.Open("yeastar", pbx.Config{
			URL: server.URL, Username: "api", Password: pbx.NewSecret("secret"), Transport: server.Client().Transport,
		})
		if err != nil {
			t.Fatal(err)
		}
		s := session.New(auth, &session.Options{Guard: &session.Guard{}}) // no other test shares its budget
		defer s.Close(context.Background())

		// A night without requests: the token stays valid.
		time.Sleep(12 * time.Hour)
		if _, err := s.Token(t.Context()); err != nil {
			t.Errorf("after a night: %v", err)
		}
		if n := sim.Counts(); n.Logins != 1 || n.KeepAlives < 24 {
			t.Errorf("%d logins and %d keep-alives in a night", n.Logins, n.KeepAlives)
		}

		// The PBX is down for an hour and restarts. Nobody has to do anything.
		sim.Down(pbxsim.Refusing)
		time.Sleep(time.Hour)
		if _, err := s.Token(t.Context()); err == nil {
			t.Error("there is a token while the PBX is down")
		}
		sim.Restart()
		sim.Up()
		time.Sleep(time.Minute)
		if _, err := s.Token(t.Context()); err != nil {
			t.Errorf("after the outage: %v", err)
		}
	})
}
