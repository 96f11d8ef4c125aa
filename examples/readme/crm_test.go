package crm

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/session"
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
	Fleet = session.NewManager(nil) // the last run has closed the first
	for _, driver := range []string{"yeastar", "runtel"} {
		brand := simulators.Of(driver)[0]
		sim := brand.New(&pbxsim.Options{Accounts: map[string]string{"api": "secret"}})
		server := pbxsim.Listen(sim)
		defer server.Close()
		s, err := Connect(driver+" customer", driver, pbx.Config{
			URL: server.URL, Username: "api", Password: pbx.NewSecret("secret"),
		})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.Client().Do(brand.Harmless.At(s.URL()))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if calls := sim.Counts().AppRequests; calls != 1 {
			t.Errorf("%s: the PBX answered %d calls", driver, calls)
		}
	}
	if err := Fleet.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
