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
// must not look through all of them.
func TestALongQueueIsNotLookedThroughForEachEvent(t *testing.T) {
	const waiting = 3000
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
			synctest.Test(t, func(t *testing.T) {
				m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 10 * waiting})
				defer m.Close(context.Background())
				driver := func(account int) *fake {
					f := &fake{traits: onHost("pbx.test"), down: row.down}
					f.traits.Account, f.traits.Lockout.Window = fmt.Sprint(account), 2*time.Hour
					return f
				}
				start := cpuSeconds()
				works := mustAdd(t, m, "works", driver(-1))
				mustToken(t, works)
				first := driver(-2)
				first.login = row.first
				mustAdd(t, m, "first", first)
				time.Sleep(10 * time.Second)
				for i := range waiting {
					f := driver(i)
					f.login = row.login
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
				if took := cpuSeconds() - start; took > 1.5 && !session.RaceDetector {
					t.Errorf("%.1f s of CPU", took)
				}
			})
		})
	}
}
