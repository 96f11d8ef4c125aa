package session_test

import (
	"context"
	"flag"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// go test -run AllDownForADay -v ./session -down 10000 takes a few minutes.
var downFleet = flag.Int("down", 100, "how many hosts the test of a fleet that is down for a day has")

// TestAFleetWhoseHostsAreAllDownForADayIsCheckedSlowly: each host has one session.
// With -v, it prints what the day costs.
func TestAFleetWhoseHostsAreAllDownForADayIsCheckedSlowly(t *testing.T) {
	n := *downFleet
	began, cpu := time.Now(), cpuSeconds()
	synctest.Test(t, func(t *testing.T) {
		empty := footprint()
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: n})
		defer m.Close(context.Background())
		fakes, sessions := fleet(t, m, n, nil)
		for _, s := range sessions {
			mustToken(t, s)
		}
		live := footprint()
		refused := func(op pbx.Op) error { return told(op, pbx.ErrUnavailable, false) }
		for _, f := range fakes {
			f.set(func() {
				f.down = true
				f.login = func(context.Context) (*pbx.Token, error) { return nil, refused(pbx.OpLogin) }
				f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) { return nil, refused(pbx.OpKeepAlive) }
			})
		}
		sent := func() (checks, logins int) {
			for _, f := range fakes {
				f.mu.Lock()
				checks, logins = checks+f.checks, logins+f.logins
				f.mu.Unlock()
			}
			return checks, logins
		}
		before, _ := sent()
		var perHour [24]int
		worst := 0 // of a minute
		for hour := range perHour {
			for range 60 {
				time.Sleep(time.Minute)
				now, _ := sent()
				perHour[hour] += now - before
				worst = max(worst, now-before)
				before = now
			}
		}
		last, least := float64(perHour[23])/3600, 40.0*float64(n)/10_000
		checks, logins := sent()
		t.Logf("%d hosts: %.1f checks/s in the first hour, %.1f in the last, %.1f in the worst minute; %d checks and %d logins in all; %d bytes/session live, %d after the day",
			n, float64(perHour[0])/3600, last, float64(worst)/60, checks, logins, (live-empty)/int64(n), (footprint()-empty)/int64(n))
		if last > least || last == 0 {
			t.Errorf("%.2f checks/s in the last hour, want no more than %.2f", last, least)
		}
		for _, f := range fakes {
			f.set(func() { f.down, f.login, f.beat = false, nil, nil })
		}
		time.Sleep(15*time.Second + 5*time.Minute)
		synctest.Wait()
		if up := m.Stats().Live; up != n {
			t.Errorf("%d of %d sessions are live after it", up, n)
		}
	})
	t.Logf("%.1f s of CPU, %v", cpuSeconds()-cpu, time.Since(began).Round(time.Second))
}
