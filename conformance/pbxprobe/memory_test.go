package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const host = "pbx.example.com"

func TestARunThatWasKilledIsRemembered(t *testing.T) {
	d := newMachine(t)
	dir := d.env["PBXPROBE_MEMORY"]
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.Listen(sim)
	defer server.Close()
	m := memory{dir: dir, now: func() time.Time { return d.now }}
	if err := m.reserve("127.0.0.1", 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(9*time.Minute + 59*time.Second)
	status, out, _ := d.run(on("yeastar", server.URL)...)
	if status != exitFailed || len(actions(sim)) != 0 || !strings.Contains(out, "wait until 2026-03-01 12:10:00 UTC (1s)") {
		t.Errorf("status %d, %d requests:\n%s", status, len(actions(sim)), out)
	}
	d.now = d.now.Add(time.Second)
	if status, out, _ := d.run(on("yeastar", server.URL)...); status != exitFine {
		t.Errorf("after the window: status %d:\n%s", status, out)
	}
}

func TestTheLoginIsRememberedBeforeItIsSent(t *testing.T) {
	d := newMachine(t)
	file := filepath.Join(d.env["PBXPROBE_MEMORY"], "login-127.0.0.1.json")
	there := false
	sim := pbxsim.New(watching{simulator("yeastar", pbxsim.Options{}).Dialect(), func() {
		_, err := os.Stat(file)
		there = err == nil
	}}, &pbxsim.Options{Accounts: map[string]string{"api": secret}})
	server := pbxsim.Listen(sim)
	defer server.Close()
	if status, out, _ := d.run(on("yeastar", server.URL)...); status != exitFine || !there {
		t.Errorf("status %d, remembered %v:\n%s", status, there, out)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("a good login is held against the next: %v", err)
	}
}

// watching is a dialect that tells of every login.
type watching struct {
	pbxsim.Dialect
	login func()
}

func (w watching) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	if r.Action == pbxsim.Login {
		w.login()
	}
	return w.Dialect.Serve(a, r)
}

func TestOfManyRunsAtATimeOneSendsAWrongPassword(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{Accounts: map[string]string{"api": "another"}})
	server := pbxsim.Listen(sim)
	defer server.Close()
	d := newMachine(t)
	var runs sync.WaitGroup
	for range 20 {
		runs.Go(func() {
			if status, out, _ := d.run(on("yeastar", server.URL)...); status != exitFailed {
				t.Errorf("status %d:\n%s", status, out)
			}
		})
	}
	runs.Wait()
	if n := sim.Counts().Logins; n != 1 {
		t.Errorf("%d logins", n)
	}
}

func TestAHostIsReservedOnce(t *testing.T) {
	now := time.Now()
	for range 20 {
		m := memory{dir: t.TempDir(), now: func() time.Time { return now }}
		var through atomic.Int32
		var runs sync.WaitGroup
		for range 8 {
			runs.Go(func() {
				var held *remembered
				switch err := m.reserve(host, time.Minute); {
				case err == nil:
					through.Add(1)
				case !errors.As(err, &held):
					t.Error(err)
				}
			})
		}
		runs.Wait()
		if n := through.Load(); n != 1 {
			t.Errorf("%d got through", n)
		}
	}
	m := memory{dir: t.TempDir(), now: func() time.Time { return now }}
	for range 3 { // each finds the note of the one before to be over
		if err := m.reserve(host, time.Minute); err != nil {
			t.Error(err)
		}
		if err := m.reserve(host, time.Minute); err == nil {
			t.Error("reserved twice")
		}
		now = now.Add(time.Minute)
	}
}

func TestAWrongLoginHoldsForTheHostWhateverThePortTheUserAndTheDriver(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.Listen(sim)
	defer server.Close()
	second := simulator("runtel", pbxsim.Options{})
	other := pbxsim.Listen(second)
	defer other.Close()
	d := newMachine(t)
	d.run("-driver", "yeastar", "-url", server.URL, "-user", "nobody")
	if status, _, _ := d.run(on("runtel", other.URL)...); status != exitFailed || len(actions(second)) != 0 {
		t.Errorf("status %d, %d requests", status, len(actions(second)))
	}
	if status, out, _ := d.run(on("yeastar", strings.Replace(server.URL, "127.0.0.1", "localhost", 1))...); status != exitFine {
		t.Errorf("another name, which is another host as far as is known: status %d:\n%s", status, out)
	}
}

func TestTheTimeThatIsPrintedIsNeverTooEarly(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 10, 0, 0, time.UTC)
	for moment, want := range map[time.Time]string{
		at:                                  "2026-03-01 12:10:00 UTC",
		at.Add(time.Nanosecond):             "2026-03-01 12:10:01 UTC",
		at.Add(time.Second - 1):             "2026-03-01 12:10:01 UTC",
		at.In(time.FixedZone("CET", 3_600)): "2026-03-01 13:10:00 CET",
	} {
		if got := clock(moment); got != want {
			t.Errorf("%v is told as %s", moment, got)
		}
	}
}

func TestANoteThatCannotBeReadHoldsTenMinutesFromItsWriting(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "cut short": `{"host":"pbx`, "without a time": "{}"} {
		now := time.Now()
		m := memory{dir: t.TempDir(), now: func() time.Time { return now }}
		file := m.file(wrongLogin, host)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		written := now.Add(-5 * time.Minute)
		if err := os.Chtimes(file, written, written); err != nil {
			t.Fatal(err)
		}
		held, err := m.recall(wrongLogin, host)
		if err != nil || held == nil || held.Until.Sub(written).Round(time.Second) != 10*time.Minute {
			t.Errorf("%s: %v, %v", name, held, err)
		}
		now = now.Add(5*time.Minute + time.Second)
		if err := m.reserve(host, time.Minute); err != nil {
			t.Errorf("%s, afterwards: %v", name, err)
		}
	}
}

func TestAHostsNoteIsAFileOfItsOwn(t *testing.T) {
	m := memory{dir: t.TempDir(), now: time.Now}
	hosts := []string{"pbx.example.com", "::1", "fe80::1%eth0", "..", "a/b", `c:\pbx`, ""}
	for _, host := range hosts {
		if err := m.reserve(host, time.Minute); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	}
	files, err := os.ReadDir(m.dir)
	if err != nil || len(files) != len(hosts) {
		t.Errorf("%d files for %d hosts, %v", len(files), len(hosts), err)
	}
	for _, file := range files {
		if info, err := file.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file.Name(), info.Mode(), err)
		}
	}
}

func TestWithoutAMemoryNothingIsSent(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.Listen(sim)
	defer server.Close()
	d := newMachine(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-memory", file}, {"-memory", filepath.Join(file, "below")}} {
		status, out, _ := d.run(on("yeastar", server.URL, args...)...)
		if status != exitFailed || len(actions(sim)) != 0 || !strings.Contains(out, "with -memory or PBXPROBE_MEMORY") {
			t.Errorf("%v: status %d, %d requests:\n%s", args, status, len(actions(sim)), out)
		}
	}
}

func TestTheFlagGoesBeforeTheVariableAndThatBeforeTheCacheFolder(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData"} {
		t.Setenv(name, home)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sim := simulator("yeastar", pbxsim.Options{Accounts: map[string]string{"api": "another"}})
	server := pbxsim.Listen(sim)
	defer server.Close()
	d := newMachine(t)
	byFlag, byVariable := t.TempDir(), d.env["PBXPROBE_MEMORY"]
	d.run(on("yeastar", server.URL, "-memory", byFlag)...)
	d.run(on("yeastar", server.URL)...)
	delete(d.env, "PBXPROBE_MEMORY")
	d.run(on("yeastar", server.URL)...)
	for _, dir := range []string{byFlag, byVariable, filepath.Join(cache, "pbxprobe")} {
		if _, err := os.Stat(filepath.Join(dir, "login-127.0.0.1.json")); err != nil {
			t.Error(err)
		}
	}
}
