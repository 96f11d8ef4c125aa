//go:build unix

package processtest

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/session/store/enginetest"
	"github.com/pbxauth/pbx/session/store/pgstore"
)

func privateDirectory(t *testing.T) string {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// createTable makes pgstore's table.
func createTable(t testing.TB, url string) {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s, err := pgstore.Open(pool, pgstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestSixteenProcessesSendAWrongPasswordOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		start func(t *testing.T) string
	}{
		{"files", privateDirectory},
		{"redis", func(t *testing.T) string { return enginetest.StartRedis(t).URL() }},
		{"postgres", func(t *testing.T) string {
			p := enginetest.StartPostgres(t)
			createTable(t, p.URL())
			return p.URL()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t, c.start(t))
			sim := f.simulate(simulators.Of("yeastar")[0], wrongName)
			for range 16 {
				f.start()
			}
			f.allWork(30*time.Second, "all are rejected")
			counts := sim.Counts()
			t.Logf("%d wrong logins, %d refused as locked", counts.WrongLogins, counts.LockedLogins)
			if counts.WrongLogins != 1 || counts.LockedLogins != 0 {
				t.Errorf("%d wrong logins, %d refused as locked; want 1, 0", counts.WrongLogins, counts.LockedLogins)
			}
		})
	}
}
