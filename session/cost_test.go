package session_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// Whatever thousands of sessions wait for, one that asks, or a request of another,
// must not look through all of them: five times as many would cost 25 times as much.
func TestALongQueueIsNotLookedThroughForEachEvent(t *testing.T) {
	locked := func(context.Context) (*pbx.Token, error) {
		return nil, &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrLocked, RetryAfter: 2 * time.Hour, Sent: true}
	}
	throttled := func(context.Context) (*pbx.Token, error) {
		return nil, &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, HTTPStatus: http.StatusTooManyRequests, Sent: true}
	}
	for name, row := range map[string]struct {
		first, login func(context.Context) (*pbx.Token, error)
		down         bool
	}{
		"a lock of the PBX": {locked, nil, false},
		"an outage":         {fails(pbx.ErrUnavailable, false), nil, true},
		"HTTP 429":          {throttled, throttled, false},
	} {
		t.Run(name, func(t *testing.T) {
			if session.RaceDetector { // which has a CPU time of its own
				costOfWaiting(t, 300, row.first, row.login, row.down)
				return
			}
			var short, long float64
			for range 5 { // other programs make CPU dearer for a while
				short, long = costOfWaiting(t, 600, row.first, row.login, row.down), costOfWaiting(t, 3000, row.first, row.login, row.down)
				if long <= 12*max(short, 0.1) { // of little CPU, much is chance
					return
				}
			}
			t.Errorf("%.2f s of CPU with 600 sessions, %.2f s with 3000", short, long)
		})
	}
}

// costOfWaiting is the CPU in seconds of many sessions that wait at a host, and of
// requests of one that does not.
func costOfWaiting(t *testing.T, waiting int, firstLogin, login func(context.Context) (*pbx.Token, error), down bool) (cpu float64) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 10 * waiting})
		defer m.Close(context.Background())
		driver := func(account int) *fake {
			f := &fake{traits: onHost("pbx.test"), down: down}
			f.traits.Account, f.traits.Lockout.Window = fmt.Sprint(account), 2*time.Hour
			return f
		}
		start := cpuSeconds()
		works := mustAdd(t, m, "works", driver(-1))
		mustToken(t, works)
		first := driver(-2)
		first.login = firstLogin
		mustAdd(t, m, "first", first)
		time.Sleep(10 * time.Second)
		for i := range waiting {
			f := driver(i)
			f.login = login
			mustAdd(t, m, fmt.Sprint(i), f)
		}
		time.Sleep(10 * time.Second)
		client := &http.Client{Transport: works.Transport(answering(http.StatusOK))}
		for range 30 {
			for range 10 {
				get(t, client, "https://pbx.test/call").Body.Close()
			}
			time.Sleep(time.Second)
		}
		cpu = cpuSeconds() - start
	})
	return cpu
}
