package main

import (
	"path/filepath"
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
