package main

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Two processes with one settings file follow each other's changes.
func TestAProcessFollowsWhatAnotherOneSaves(t *testing.T) {
	a := start(t, filepath.Join(t.TempDir(), "settings.db"))
	b := startWith(t, "127.0.0.1:0", a.file, a.key, a.app.sims)
	sim := a.simulate("yeastar", false, pbxsim.Options{})
	saved := a.connect(sim, "Harbour", nil)
	a.waitFor(saved, "Live")
	b.waitFor(saved, "Live")

	saved.Name = "Renamed"
	saved, err := a.app.save(t.Context(), saved)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { _, s, _ := b.app.entry(saved.ID); return s.Name == "Renamed" }, func() string { return "the new name did not arrive" })
	b.waitFor(saved, "Live")

	if err := b.app.remove(t.Context(), saved.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return len(a.app.ids()) == 0 }, func() string { return "the removal did not arrive" })
	eventually(t, func() bool { return len(sim.pbx.Tokens(simUser)) == 0 }, func() string { return "a session is still logged in" })
	if n := sim.pbx.Counts().WrongLogins; n != 0 {
		t.Errorf("%d wrong logins", n)
	}
}

// A change of both at once is not lost: who saves a PBX that was removed is told.
func TestSavingAPBXThatAnotherProcessRemovedSaysSo(t *testing.T) {
	a := start(t, filepath.Join(t.TempDir(), "settings.db"))
	saved := a.connect(a.simulate("yeastar", false, pbxsim.Options{}), "Harbour", nil)
	if err := a.app.db.remove(t.Context(), saved.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := a.app.save(t.Context(), saved); err != errGone {
		t.Errorf("the error is %v", err)
	}
}

// startShared runs a process that shares settings and wrong logins with others.
func startShared(t *testing.T, name, file, dir string, key masterKey, sims *simulated) *running {
	t.Helper()
	return startProcess(t, settingsOfProcess{addr: "127.0.0.1:0", database: file, store: dir, process: name}, key, sims)
}

func TestProcessesThatShareAStoreSendAWrongPasswordOnce(t *testing.T) {
	key := newKey()
	sims := newSimulated(fmt.Sprintf("127.1.%d.1", addresses.Add(1)), key)
	t.Cleanup(sims.close)
	file, dir := filepath.Join(t.TempDir(), "settings.db"), t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a := startShared(t, "A", file, dir, key, sims)
	b := startShared(t, "B", file, dir, key, sims)
	sim := a.simulate("yeastar", false, pbxsim.Options{})
	saved := a.connect(sim, "Northwind Support", func(s *Settings) { s.Password = secretOf("wrong") })
	a.waitFor(saved, "Rejected")
	b.waitFor(saved, "Rejected")
	wrongOnce := func(when string) {
		t.Helper()
		if n := sim.pbx.Counts().WrongLogins; n != 1 {
			t.Errorf("%s: %d wrong logins", when, n)
		}
	}
	wrongOnce("with two processes")
	_, page := b.get("/")
	contains(t, page, "Process B", "store: files")

	a.stop()
	a = startShared(t, "A", file, dir, key, sims)
	a.waitFor(saved, "Rejected")
	wrongOnce("after a restart")

	saved.Password = secretOf(sim.password)
	saved, err := b.app.save(t.Context(), saved)
	if err != nil {
		t.Fatal(err)
	}
	a.waitFor(saved, "Live")
	b.waitFor(saved, "Live")
	wrongOnce("with the right password")
}

// The other process notices within five minutes, or when a person forgives the
// host there too.
func TestAHostIsForgivenInTheStoreThatProcessesShare(t *testing.T) {
	key := newKey()
	sims := newSimulated(fmt.Sprintf("127.1.%d.1", addresses.Add(1)), key)
	t.Cleanup(sims.close)
	file, dir := filepath.Join(t.TempDir(), "settings.db"), t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a := startShared(t, "A", file, dir, key, sims)
	sim, _, waiting := heldBack(a)
	b := startShared(t, "B", file, dir, key, sims)
	b.waitFor(waiting, "Held back")
	a.post("/host/"+hostname(sim.URL)+"/forgive", url.Values{"sure": {"1"}})
	a.waitFor(waiting, "Live")
	b.post("/host/"+hostname(sim.URL)+"/forgive", url.Values{"sure": {"1"}})
	b.waitFor(waiting, "Live")
	if n := sim.pbx.Counts().WrongLogins; n != 1 {
		t.Errorf("%d wrong logins", n)
	}
}

func TestAStoreThatCannotBeOpenedSaysWhatToDo(t *testing.T) {
	for _, row := range []struct{ store, want string }{
		{"redis:localhost", "write it as files:DIR"},
		{"files:", "write it as files:DIR"},
		{"files:" + filepath.Join(t.TempDir(), "missing"), "-store: "},
	} {
		var errs strings.Builder
		if status := run(t.Context(), []string{"-addr", "127.0.0.1:0", "-simulate=false", "-store", row.store}, func(string) string { return "" }, io.Discard, &errs); status == 0 {
			t.Errorf("%s: the program ran", row.store)
		}
		if text := errs.String(); !strings.Contains(text, row.want) || strings.Count(text, "\n") != 1 {
			t.Errorf("%s: %s", row.store, text)
		}
	}
}
