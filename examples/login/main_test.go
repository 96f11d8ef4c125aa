package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

func TestAWrongPasswordIsSentOnceHoweverOftenTheProgramRuns(t *testing.T) {
	sim := simulators.Of("yeastar")[0].New(&pbxsim.Options{Accounts: map[string]string{"api": "right"}})
	server := pbxsim.Listen(sim)
	defer server.Close()
	t.Setenv("PBX_DRIVER", "yeastar")
	t.Setenv("PBX_URL", server.URL)
	t.Setenv("PBX_USER", "api")
	t.Setenv("PBX_PASSWORD", "wrong")
	ledger := filepath.Join(t.TempDir(), "ledger")
	for range 3 {
		if _, err := login(t.Context(), ledger); err == nil || !strings.Contains(err.Error(), "invalid credentials") {
			t.Errorf("the error is %v", err)
		}
	}
	os.Setenv("PBX_PASSWORD", "right")
	status, err := login(t.Context(), ledger)
	if err != nil || status.State.String() != "live" {
		t.Errorf("%v, %v", status, err)
	}
	if counts := sim.Counts(); counts.WrongLogins != 1 || counts.GoodLogins != 1 || counts.Logouts != 1 {
		t.Errorf("the PBX has seen %+v", counts)
	}
}
