package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// A change of both at once is not lost: saving a PBX that was removed is an error.
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

// A process learns within a second what another one has saved. What it does before
// must not undo that.
func TestADisconnectDoesNotUndoWhatAnotherProcessSaved(t *testing.T) {
	a := start(t, filepath.Join(t.TempDir(), "settings.db"))
	b := startWith(t, "127.0.0.1:0", a.file, a.key, a.app.sims)
	saved := a.connect(a.simulate("yeastar", false, pbxsim.Options{}), "Harbour", nil)
	eventually(t, func() bool { return len(b.app.ids()) == 1 }, func() string { return "the PBX did not arrive" })
	saved.Password = secretOf("another password")
	if _, err := a.app.save(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	if status, page := b.post("/pbx/"+saved.key()+"/disconnect", url.Values{}); status != 200 {
		t.Fatalf("status %d: %s", status, page)
	}
	all, err := a.app.db.all(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if all[0].Disconnected.IsZero() || !all[0].Password.Equal(saved.Password) {
		t.Errorf("disconnected %v, the new password is kept: %v", all[0].Disconnected, all[0].Password.Equal(saved.Password))
	}
}

// startShared runs a process that shares settings, tokens and wrong logins with
// others.
func startShared(t *testing.T, name, file, store string, key masterKey, sims *simulated) *running {
	t.Helper()
	return startProcess(t, settingsOfProcess{addr: "127.0.0.1:0", database: file, store: store, process: name}, key, sims)
}

// Two processes behave like one: each account logs in once, a wrong password is
// sent once, and a restart sends nothing.
func TestProcessesThatShareAStoreLogInOnce(t *testing.T) {
	for _, kind := range stores {
		t.Run(kind.kind, func(t *testing.T) {
			store := kind.make(t)
			key := newKey()
			sims := newSimulated(fmt.Sprintf("127.1.%d.1", addresses.Add(1)), key)
			t.Cleanup(sims.close)
			file := filepath.Join(t.TempDir(), "settings.db")
			one := startShared(t, "crm-1", file, store, key, sims)
			working, refusing := one.simulate("openvox", false, pbxsim.Options{}), one.simulate("yeastar", false, pbxsim.Options{})
			good := one.connect(working, "Oakfield School", nil)
			one.waitFor(good, "Live")
			two := startShared(t, "crm-2", file, store, key, sims)
			bad := one.connect(refusing, "Northwind Support", func(s *Settings) { s.Password = secretOf("wrong") })
			for _, r := range []*running{one, two} {
				r.waitFor(good, "Live")
				r.waitFor(bad, "Rejected")
			}
			once := func(when string) {
				t.Helper()
				if n := working.pbx.Counts().Logins; n != 1 {
					t.Errorf("%s: %d logins", when, n)
				}
				if n := refusing.pbx.Counts().WrongLogins; n != 1 {
					t.Errorf("%s: %d wrong logins", when, n)
				}
			}
			once("with two processes")
			_, page := two.get("/")
			contains(t, page, "Process crm-2 · store: "+kind.kind, "token from crm-1")
			_, page = two.get("/pbx/" + good.key())
			contains(t, page, "process crm-1", "Process crm-1 logs in, and this one uses its token.")
			for _, r := range []*running{one, two} {
				if _, page := r.post("/pbx/"+good.key()+"/extensions", url.Values{}); !strings.Contains(page, " · 2 extensions") {
					t.Errorf("process %s cannot use the token", r.app.with.process)
				}
			}

			one.stop()
			one = startShared(t, "crm-1", file, store, key, sims)
			one.waitFor(good, "Live")
			one.waitFor(bad, "Rejected")
			once("after a restart")

			bad.Password = secretOf(refusing.password)
			bad, err := two.app.save(t.Context(), bad)
			if err != nil {
				t.Fatal(err)
			}
			one.waitFor(bad, "Live")
			two.waitFor(bad, "Live")
			once("with the right password")

			// A session ends in both, and comes back in both.
			good.Disconnected = time.Now()
			if good, err = two.app.save(t.Context(), good); err != nil {
				t.Fatal(err)
			}
			if n := len(working.pbx.Tokens(simUser)); n != 0 {
				t.Errorf("%d tokens are left", n)
			}
			good.Disconnected = time.Time{}
			if good, err = two.app.save(t.Context(), good); err != nil {
				t.Fatal(err)
			}
			two.waitFor(good, "Live")
			eventually(t, func() bool { _, s, _ := one.app.entry(good.ID); return s.Rev == good.Rev }, func() string { return "the change did not arrive" })
			one.waitFor(good, "Live")
			if n := working.pbx.Counts().Logins; n != 2 {
				t.Errorf("after it was connected again: %d logins", n)
			}
		})
	}
}

// A key that others do not have would make each process log in by itself.
func TestAStoreOfAnotherKeySaysSo(t *testing.T) {
	store := filesStore(t)
	key := newKey()
	sims := newSimulated(fmt.Sprintf("127.1.%d.1", addresses.Add(1)), key)
	t.Cleanup(sims.close)
	one := startShared(t, "crm-1", "", store, key, sims)
	sim := one.simulate("openvox", false, pbxsim.Options{})
	one.waitFor(one.connect(sim, "Oakfield School", nil), "Live")
	two := startShared(t, "crm-2", "", store, newKey(), sims)
	two.waitFor(two.connect(sim, "Oakfield School", nil), "Held back")
	_, page := two.get("/")
	contains(t, page, "What the shared store holds cannot be read.", "needs you")
	if n := sim.pbx.Counts().Logins; n != 1 {
		t.Errorf("%d logins", n)
	}
}

// The other process notices within five minutes, or when a person forgives the
// host there too.
func TestAHostIsForgivenInTheStoreThatProcessesShare(t *testing.T) {
	key := newKey()
	sims := newSimulated(fmt.Sprintf("127.1.%d.1", addresses.Add(1)), key)
	t.Cleanup(sims.close)
	file, dir := filepath.Join(t.TempDir(), "settings.db"), filesStore(t)
	a := startShared(t, "crm-1", file, dir, key, sims)
	sim, _, waiting := heldBack(a)
	b := startShared(t, "crm-2", file, dir, key, sims)
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
	key := newKey()
	text := base64.StdEncoding.EncodeToString(key[:])
	for _, row := range []struct{ store, key, process, want string }{
		{"mysql://localhost", text, "crm-1", "-store is none of files:DIR, redis://host:port/0 and postgres://host:port/database"},
		{"files:", text, "crm-1", "-store is none of files:DIR"},
		{"files:" + filepath.Join(t.TempDir(), "missing"), text, "crm-1", "-store: "},
		{"files:" + t.TempDir(), "", "crm-1", "-db and -store need a key: set CRM_KEY"},
		{"files:" + t.TempDir(), text, "CRM 1", `-process "CRM 1" is not a name`},
		{"redis://user:" + planted + "@local host", text, "crm-1", "use redis://user:password@host:port/database"},
		{"postgres://user:" + planted + "@local host:x/", text, "crm-1", "write it as postgres://user:password@host:port/database"},
		{"postgres://user:" + planted + "@127.0.0.1:1/", text, "crm-1", "-store: pgstore: "},
	} {
		for _, how := range []string{"flag", "environment"} {
			args := []string{"-addr", "127.0.0.1:0", "-simulate=false", "-process", row.process}
			variables := map[string]string{keyVariable: row.key}
			if how == "flag" {
				args = append(args, "-store", row.store)
			} else {
				variables[storeVariable] = row.store
			}
			var errs strings.Builder
			if status := run(t.Context(), args, func(name string) string { return variables[name] }, io.Discard, &errs); status == 0 {
				t.Errorf("%s: the program ran", row.store)
			}
			if text := errs.String(); !strings.Contains(text, row.want) || strings.Count(text, "\n") != 1 || strings.Contains(text, planted) {
				t.Errorf("%s: %s", row.store, text)
			}
		}
	}
}
