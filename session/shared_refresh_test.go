package session_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/store"
)

// Where a refresh ends the token before it, the other processes learn of the new
// one from the store. If it reports no changes, they meet the dead token in a
// request. That is no sign of another program: each request succeeds with the new
// token, however often it happens.
func TestATokenThatAnotherProcessRefreshedIsReplacedAtOnce(t *testing.T) {
	for name, row := range map[string]struct {
		store       store.Store
		least, most int // refusals
	}{
		"by a notice":  {&store.Memory{}, 0, 10}, // of 25,920 requests, those at the moment of a refresh
		"by a refusal": {tacit{&store.Memory{}}, 100, 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logins, refused := dayOfRefreshes(t, row.store)
				if logins != 1 || refused < row.least || refused > row.most {
					t.Errorf("%d logins, %d refusals", logins, refused)
				}
			})
		})
	}
}

// dayOfRefreshes has three processes use one session for a day.
func dayOfRefreshes(t *testing.T, s store.Store) (logins, refused int) {
	pbxs, drivers := newShared(3, 10*time.Minute)
	pbxs.traits.KeepAlive = pbx.KeepAliveRefresh
	var serial atomic.Int64
	issue := func(context.Context) (*pbx.Token, error) {
		return pbxs.dated(fmt.Sprint("token-", serial.Add(1))), nil
	}
	pbxs.login = issue
	pbxs.beat = func(ctx context.Context, _ *pbx.Token) (*pbx.Token, error) { return issue(ctx) }
	api := roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") != fmt.Sprint("Bearer token-", serial.Load()) {
			refused++
			return answer(r, http.StatusUnauthorized, ""), nil
		}
		return answer(r, http.StatusOK, ""), nil
	})
	var clients []*http.Client
	for i, auth := range drivers {
		m := shares(t, s, string(rune('a'+i)))
		defer m.Close(context.Background())
		clients = append(clients, &http.Client{Transport: mustAdd(t, m, "7", auth).Transport(api), Timeout: 3 * time.Second})
	}
	for range 24 * 60 * 6 {
		time.Sleep(10 * time.Second)
		for i, c := range clients {
			resp, err := c.Get("https://pbx.test/extensions")
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("process %d, after %d refusals: %v, %v", i, refused, resp, err)
			}
			resp.Body.Close()
		}
	}
	logins, _, _ = pbxs.counts()
	return logins, refused
}

// tacit is a store that reports no changes.
type tacit struct{ store.Store }
