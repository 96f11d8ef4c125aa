package session_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/session"
)

// A program starts its fleet, waits until each session has a token or a reason why
// there is none, uses it, and logs out when it stops.
func ExampleNewManager() {
	ctx := context.Background()
	m := session.NewManager(&session.Options{Guard: &session.Guard{}}) // most programs: NewManager(nil)
	for _, driver := range []string{"yeastar", "runtel", "grandstream"} {
		brand := simulators.Of(driver)[0]
		server := pbxsim.ListenMemory(brand.New(&pbxsim.Options{Accounts: map[string]string{"api": "secret"}}))
		defer server.Close()
		auth, err := pbx.Open(driver, pbx.Config{
			URL: server.URL, Username: "api", Password: pbx.NewSecret("secret"), Options: brand.Options,
			Transport: server.Client().Transport, // only because the PBX is simulated
		})
		if err != nil {
			fmt.Println(err) // says which setting to change: the other PBXs go on
			continue
		}
		if _, err := m.Add("customer of "+driver, auth); err != nil {
			fmt.Println(err)
		}
	}

	start, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := m.Ready(start); err != nil {
		fmt.Println(err)
	}
	stats := m.Stats()
	fmt.Println(stats.Live, "of", stats.Sessions(), "are live")

	stop, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	fmt.Println("logged out:", m.Close(stop) == nil)
	// Output:
	// 3 of 3 are live
	// logged out: true
}

// A password that a vault may change belongs into Credentials, which is asked before
// each login. The session that the old password stopped logs in again by itself within
// a minute, or at once after Retry.
func ExampleSession_Retry() {
	sim := simulators.Of("yeastar")[0].New(&pbxsim.Options{Accounts: map[string]string{"api": "old"}})
	server := pbxsim.ListenMemory(sim)
	defer server.Close()
	var vault atomic.Value
	vault.Store("old")
	auth, err := pbx.Open("yeastar", pbx.Config{
		URL: server.URL,
		Credentials: func(context.Context) (pbx.Credentials, error) {
			return pbx.Credentials{Username: "api", Password: pbx.NewSecret(vault.Load().(string))}, nil
		},
		Transport: server.Client().Transport, // only because the PBX is simulated
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	s := session.New(auth, &session.Options{Guard: &session.Guard{}})
	defer s.Close(ctx)
	_, err = s.Token(ctx)
	fmt.Println(s.Status().State, err)

	sim.SetPassword("api", "new") // somebody changes it at the PBX,
	sim.Restart()                 // which restarts and forgets the token
	request := func() error {
		resp, err := s.Do(simulators.Of("yeastar")[0].Harmless.At(s.URL()))
		if resp != nil {
			resp.Body.Close()
		}
		return err
	}
	for range 3 { // the old password is sent once
		fmt.Println(request() != nil, s.Status().State, sim.Counts().WrongLogins)
	}

	vault.Store("new")
	if err := s.Retry(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println(request(), s.Status().State)
	// Output:
	// live <nil>
	// true rejected 1
	// true rejected 1
	// true rejected 1
	// <nil> live
}

// When wrong logins have used a host's budget up, a person corrects the accounts,
// unlocks this client at the PBX, and then forgives the host.
func ExampleGuard_Forgive() {
	brand := simulators.Of("yeastar")[0]
	server := pbxsim.ListenMemory(brand.New(&pbxsim.Options{Accounts: map[string]string{"api": "secret"}}))
	defer server.Close()
	ctx := context.Background()
	guard := new(session.Guard)
	m := session.NewManager(&session.Options{Guard: guard})
	defer m.Close(ctx)
	add := func(name, password string) *session.Session {
		auth, err := pbx.Open("yeastar", pbx.Config{
			URL: server.URL, Username: "api", Password: pbx.NewSecret(password),
			Transport: server.Client().Transport, // only because the PBX is simulated
		})
		if err != nil {
			panic(err)
		}
		s, err := m.Add(name, auth)
		if err != nil {
			panic(err)
		}
		return s
	}
	typed := []string{"Secret", "secret ", "SECRET"}
	for _, password := range typed {
		add("with "+password, password).Token(ctx)
	}
	s := add("with the right one", "secret")
	s.Token(ctx)
	fmt.Println(s.Status().State, "by the", s.Status().LockedBy)

	for _, password := range typed { // or Replace them
		m.Remove(ctx, "with "+password)
	}
	forgotten, err := guard.Forgive(ctx, s.URL())
	fmt.Println(len(forgotten.Bookings), "wrong logins forgotten", err)
	for changed, status := range m.Watch(ctx) { // the sessions that waited try again by themselves
		if changed == s && status.State == session.Live {
			break
		}
	}
	fmt.Println(s.Status().State)
	// Output:
	// locked by the budget
	// 3 wrong logins forgotten <nil>
	// live
}
