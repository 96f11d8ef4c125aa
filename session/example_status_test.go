package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// passwords are what the customers' settings hold. One of them is wrong.
var passwords = map[string]string{"acme": "secret", "globex": "secert"}

// A program shows its people where the sessions stand: one in its settings page
// with Status, all with Watch, and those in trouble with Handler, which belongs
// behind the program's own access control.
func ExampleHandler() {
	ctx := context.Background()
	m := session.NewManager(&session.Options{Guard: &session.Guard{}})
	defer m.Close(ctx)
	for customer, password := range passwords {
		server := pbxsim.ListenMemory(yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}}))
		defer server.Close()
		auth, err := pbx.Open("yeastar", pbx.Config{
			URL: server.URL, Username: "api", Password: pbx.NewSecret(password),
			Transport: server.Client().Transport, // only because the PBX is simulated
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		if _, err := m.Add(customer, auth); err != nil {
			fmt.Println(err)
			return
		}
	}
	if err := m.Ready(ctx); err != nil { // each has a token, or a reason why not
		fmt.Println(err)
		return
	}

	s, _ := m.Session("acme")
	fmt.Println("acme:", s.Status().State)

	page := session.Handler(m) // http.Handle("/pbx", onlyForOperators(session.Handler(m)))
	response := httptest.NewRecorder()
	page.ServeHTTP(response, httptest.NewRequest("GET", "/pbx?format=json", nil))
	var report struct {
		Sessions int
		Rows     []struct{ Session, State, Error string }
	}
	if err := json.Unmarshal(response.Body.Bytes(), &report); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(report.Rows), "of", report.Sessions, "in trouble")
	for _, row := range report.Rows {
		fmt.Println(row.Session, "is", row.State+":", row.Error)
	}
	// Output:
	// acme: live
	// 1 of 2 in trouble
	// globex is rejected: yeastar: login: invalid credentials: wrong user name or password: check the API account in the PBX's web interface (code 20003)
}
