package main

import (
	"io"
	"os"
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
	ledger := t.TempDir()
	if err := os.Chmod(ledger, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PBX_LEDGER", ledger)
	t.Setenv("PBX_PASSWORD", "wrong")
	for range 3 {
		if said := printed(t, main); !strings.HasPrefix(said, "rejected ") || !strings.Contains(said, "invalid credentials") {
			t.Errorf("printed %s", said)
		}
	}
	t.Setenv("PBX_PASSWORD", "right")
	if said := printed(t, main); !strings.HasPrefix(said, "live ") {
		t.Errorf("printed %s", said)
	}
	if counts := sim.Counts(); counts.WrongLogins != 1 || counts.GoodLogins != 1 || counts.Logouts != 1 {
		t.Errorf("the PBX has seen %+v", counts)
	}
}

// printed returns what fn prints.
func printed(t *testing.T, fn func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	stdout := os.Stdout
	os.Stdout = w
	fn()
	os.Stdout = stdout
	w.Close()
	said, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

func TestTheREADMEShowsThisProgram(t *testing.T) {
	code, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(code), "\n") // its documentation is the text before
	if !strings.Contains(string(readme), "```go\n"+program+"```\n") {
		t.Error("README.md shows another program than main.go")
	}
	if lines := strings.Count(program, "\n"); lines > 32 { // the blank ones included
		t.Errorf("%d lines", lines)
	}
}
