package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The README's script uses the command from another language: it logs in to a
// PBX with curl, uses it, and breaks it.
func TestTheReadmesScriptRuns(t *testing.T) {
	for _, program := range []string{"sh", "go", "curl", "md5sum"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```sh\n(go build .*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatal("there is no script in the README")
	}
	script := strings.NewReplacer(
		"127.0.0.1:18088", freeAddress(t), "127.0.0.1:18089", freeAddress(t), "/tmp/pbxsim-demo", filepath.Join(t.TempDir(), "pbxsim"),
	).Replace(string(m[1]))

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	sh := exec.CommandContext(ctx, "sh", "-e", "-c", script)
	sh.Dir = "../../../.." // the root of the repository
	sh.WaitDelay = 5 * time.Second
	out, err := sh.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{`"status":"Success"`, `"status":"Failed"`} { // before the restart, and after it
		if !strings.Contains(string(out), want) {
			t.Errorf("the script prints no %s:\n%s", want, out)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
