package session_test

import (
	"context"
	"fmt"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// settingsForm is what a person has typed.
type settingsForm struct{ driver, url, user, password string }

// open makes a driver of the form. What is wrong with the form is an error that
// names the field, before anything is sent.
func (f settingsForm) open(server *pbxsim.Server) (pbx.Authenticator, error) {
	return pbx.Open(f.driver, pbx.Config{
		URL: f.url, Username: f.user, Password: pbx.NewSecret(f.password),
		Transport: server.Client().Transport, // only because the PBX is simulated
	})
}

// Replace gives a session other settings. The handles that the program holds stay
// valid, and the token that is no longer needed is logged out.
func ExampleManager_Replace() {
	server := pbxsim.ListenMemory(yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": "secret", "crm": "another"}}))
	defer server.Close()
	ctx := context.Background()
	m := session.NewManager(&session.Options{Guard: &session.Guard{}})
	defer m.Close(ctx)

	form := settingsForm{driver: "yeastar", url: server.URL, user: "api", password: "a wrong one"}
	auth, err := form.open(server)
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := m.Add("acme", auth)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = s.Token(ctx)
	fmt.Println(s.Status().State, err != nil)

	form.user = "" // a slip of the person at the form
	if _, err := form.open(server); err != nil {
		fmt.Println(err)
	}

	form.user, form.password = "crm", "another"
	if auth, err = form.open(server); err != nil {
		fmt.Println(err)
		return
	}
	if err := m.Replace(ctx, "acme", auth); err != nil {
		fmt.Println(err)
		return
	}
	_, err = s.Token(ctx)
	fmt.Println(s.Status().State, err)
	// Output:
	// rejected true
	// yeastar: open: configuration: no user name: set Username to the PBX's API account
	// live <nil>
}
