package crm

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func TestTheREADMEShowsThisVeryCode(t *testing.T) {
	code, err := os.ReadFile("crm.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```go\n"+string(code)+"```\n") {
		t.Error("README.md shows other code than crm.go")
	}
}

func TestOneProgramCallsPBXsOfTwoBrands(t *testing.T) {
	for _, customer := range []struct {
		driver, path, body string
		simulate           func(*pbxsim.Options) *pbxsim.PBX
	}{
		{"yeastar", "/api/v1.1.0/deviceinfo/query", "", yeastarsim.New},
		{"runtel", "/api/", `{"action":"get","obj":"User","action_id":"1","params":{}}`, runtelsim.New},
	} {
		sim := customer.simulate(&pbxsim.Options{Accounts: map[string]string{"api": "secret"}})
		server := pbxsim.Listen(sim)
		defer server.Close()
		s, err := Connect(customer.driver+" customer", customer.driver, pbx.Config{
			URL: server.URL, Username: "api", Password: pbx.NewSecret("secret"),
		})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.Client().Post(s.URL()+customer.path, "application/json", strings.NewReader(customer.body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if calls := sim.Counts().Calls; calls != 1 {
			t.Errorf("%s: the PBX answered %d calls", customer.driver, calls)
		}
	}
	if err := Fleet.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
