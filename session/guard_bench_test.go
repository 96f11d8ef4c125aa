package session

import (
	"os"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/lockout"
	"github.com/pbxauth/pbx/session/store"
)

// BenchmarkBookedLogin is what it costs to book a login and to settle it, without
// the login itself, at a host with three wrong logins.
func BenchmarkBookedLogin(b *testing.B) {
	b.Run("memory", func(b *testing.B) { bookLogins(b, &Guard{}) })
	b.Run("store.Memory", func(b *testing.B) {
		g, err := NewGuard(&store.Memory{})
		if err != nil {
			b.Fatal(err)
		}
		bookLogins(b, g)
	})
	b.Run("store.Files", func(b *testing.B) {
		dir := b.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		files, err := store.Files(dir)
		if err != nil {
			b.Fatal(err)
		}
		g, err := NewGuard(files)
		if err != nil {
			b.Fatal(err)
		}
		bookLogins(b, g)
	})
}

func bookLogins(b *testing.B, g *Guard) {
	g.ready()
	h := &host{common: &g.common, name: "pbx.test"}
	limits := lockout.Resolve(pbx.Lockout{Attempts: 8, Memory: pbx.Forever}, 0)
	login := func(n byte) lockout.Login {
		return lockout.Login{URL: "https://pbx.test", Account: "sales", Fingerprint: lockout.Fingerprint{n}, Limits: limits, NoProbe: true}
	}
	v := &visitor{driver: driver{family: &family{settings: &settings{last: b.Context()}}}}
	for n := range byte(4) {
		kind := lockout.Refused
		if n == 0 {
			kind = lockout.Success
		}
		d, err := h.book(v, login(n), question{})
		if err != nil || d.Verdict != lockout.Go {
			b.Fatal(d, err)
		}
		h.settled(v, login(n), d.Booking, lockout.Outcome{Kind: kind})
	}
	start := time.Now()
	for b.Loop() {
		d, err := h.book(v, login(0), question{})
		if err != nil || d.Verdict != lockout.Go {
			b.Fatal(d, err)
		}
		h.settled(v, login(0), d.Booking, lockout.Outcome{Kind: lockout.Success})
	}
	b.ReportMetric(float64(time.Since(start).Microseconds())/float64(b.N), "µs/login")
}
