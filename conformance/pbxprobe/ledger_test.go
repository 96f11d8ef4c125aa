package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

func TestAWrongPasswordIsNotSentAgainAndTheRightOneIs(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.Listen(sim)
	defer server.Close()
	d := newMachine(t)
	d.env["PBX_PASSWORD"] = "canary-Horse with a typing mistake"
	for range 3 {
		if status, out, _ := d.run(on("yeastar", server.URL)...); status != exitFailed {
			t.Errorf("status %d:\n%s", status, out)
		}
	}
	if n := sim.Counts().WrongLogins; n != 1 {
		t.Errorf("the wrong password is sent %d times", n)
	}
	d.env["PBX_PASSWORD"] = secret
	if status, out, _ := d.run(on("yeastar", server.URL)...); status != exitFine {
		t.Errorf("status %d:\n%s", status, out)
	}
}

func TestManyWrongPasswordsLockNobodyOut(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.Listen(sim)
	defer server.Close()
	d := newMachine(t)
	var out string
	for i := range 20 {
		d.env["PBX_PASSWORD"] = fmt.Sprint("canary-Horse ", i)
		_, out, _ = d.run(on("yeastar", server.URL)...)
	}
	if _, locked := sim.Locked("127.0.0.1"); locked || sim.Counts().WrongLogins < 2 {
		t.Errorf("locked: %t, %+v", locked, sim.Counts())
	}
	if !strings.Contains(out, "not sent: one more wrong login could make 127.0.0.1 lock this client") || !strings.Contains(out, `clear its list of blocked addresses, then use -force "reason"`) {
		t.Errorf("output:\n%s", out)
	}
}

func TestTheLedgerIsSharedWithOtherPrograms(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{Accounts: map[string]string{"api": "another"}})
	server := pbxsim.Listen(sim)
	defer server.Close()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	files, err := store.Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := session.NewGuard(files)
	if err != nil {
		t.Fatal(err)
	}
	auth, err := pbx.Open("yeastar", pbx.Config{URL: server.URL, Username: "api", Password: pbx.NewSecret(secret)})
	if err != nil {
		t.Fatal(err)
	}
	s := session.New(auth, &session.Options{Guard: guard})
	defer s.Close(t.Context())
	if _, err := s.Token(t.Context()); err == nil {
		t.Fatal("the wrong password is accepted")
	}
	status, out, _ := newMachine(t).run(on("yeastar", server.URL, "-ledger", dir)...)
	if status != exitFailed || sim.Counts().Logins != 1 || !strings.Contains(out, "not sent: the PBX refused these credentials") || !strings.Contains(out, `correct them, or use -force "reason" if they are right by now`) {
		t.Errorf("status %d, %d logins:\n%s", status, sim.Counts().Logins, out)
	}
}

func TestWithoutALedgerNothingIsSent(t *testing.T) {
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.Listen(sim)
	defer server.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ledger := range []string{file, filepath.Join(file, "below"), dir} {
		status, out, errs := newMachine(t).run(on("yeastar", server.URL, "-ledger", ledger)...)
		if status != exitUse || out != "" || sim.Counts().Requests != 0 || !strings.Contains(errs, "with -ledger or PBXPROBE_LEDGER") || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: status %d, %d requests, %q", ledger, status, sim.Counts().Requests, errs)
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
	sim := simulator("yeastar", pbxsim.Options{})
	server := pbxsim.Listen(sim)
	defer server.Close()
	d := newMachine(t)
	byFlag, byVariable, byDefault := filepath.Join(t.TempDir(), "ledger"), d.env["PBXPROBE_LEDGER"], filepath.Join(cache, "pbxprobe", "ledger")
	expect := func(there ...string) {
		t.Helper()
		for _, dir := range []string{byFlag, byVariable, byDefault} {
			_, err := os.Stat(dir)
			if want := strings.Contains(strings.Join(there, "\n"), dir); (err == nil) != want {
				t.Errorf("%s: %v", dir, err)
			}
		}
	}
	d.run(on("yeastar", server.URL, "-ledger", byFlag)...)
	expect(byFlag)
	d.run(on("yeastar", server.URL)...)
	expect(byFlag, byVariable)
	delete(d.env, "PBXPROBE_LEDGER")
	d.run(on("yeastar", server.URL)...)
	expect(byFlag, byVariable, byDefault)
}

func TestADeadTokenIsPermittedOncePerHostAndWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cells := new(store.Memory)
		host := deadTokens{cells, "pbx.example.com", 10 * time.Minute}
		other := deadTokens{cells, "fe80::1%eth0", 10 * time.Minute}
		for range 3 {
			var permitted atomic.Int32
			var runs sync.WaitGroup
			for range 8 {
				runs.Go(func() {
					if host.may(context.Background()) == nil {
						permitted.Add(1)
					}
				})
			}
			runs.Wait()
			if n := permitted.Load(); n != 1 {
				t.Errorf("%d runs are permitted to", n)
			}
			if err := other.may(t.Context()); err != nil {
				t.Errorf("another host: %v", err)
			}
			time.Sleep(10*time.Minute - time.Second)
			if err := host.may(t.Context()); err == nil || !strings.Contains(err.Error(), "again after ") {
				t.Errorf("a second before the end: %v", err)
			}
			time.Sleep(time.Second)
		}
	})
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
			t.Errorf("%v is printed as %s", moment, got)
		}
	}
}
