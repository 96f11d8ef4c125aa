package session_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/internal/thorough"
	"github.com/pbxauth/pbx/session"
)

var (
	lockoutSteps = flag.Int("lockout-steps", 6_000, "virtual steps per seed of TestNoSequenceOfEventsReachesTheLockout")
	lockoutSeed  = flag.Uint64("lockout-seed", 0, "a single seed for it, to repeat a failure")
)

// TestNoSequenceOfEventsReachesTheLockout plays random steps against a PBX that
// locks after five wrong logins in a row, and never once gets there: wrong and
// changed passwords, lost and late responses, restarts, requests, people who press
// Retry or clear the PBX's list, sessions that end and are made anew. With
// PBX_TESTS=all, it plays five seeds, otherwise three, or two under the race detector.
func TestNoSequenceOfEventsReachesTheLockout(t *testing.T) {
	seeds := []uint64{rand.Uint64(), 1, 2, 3, 4}
	switch {
	case session.RaceDetector:
		seeds = seeds[:2]
	case !thorough.Tests():
		seeds = seeds[:3]
	}
	if *lockoutSeed != 0 {
		seeds = []uint64{*lockoutSeed}
	}
	for _, seed := range seeds {
		for _, keeps := range []bool{false, true} {
			t.Run(fmt.Sprintf("seed %d, success resets the count %v", seed, !keeps), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { lockoutWalk(t, seed, keeps, *lockoutSteps/2) })
			})
		}
	}
}

func lockoutWalk(t *testing.T, seed uint64, successKeepsCount bool, steps int) {
	random := rand.New(rand.NewPCG(seed, 0))
	accounts := []string{"sales", "support", "night"}
	passwords := map[string]string{}
	for _, user := range accounts {
		passwords[user] = "right"
	}
	reset := pbxsim.Address
	if successKeepsCount {
		reset = pbxsim.Nothing
	}
	sim := yeastarsim.New(&yeastarsim.Options{}, &pbxsim.Options{
		Accounts: maps.Clone(passwords),
		Lockout:  pbxsim.Lockout{Memory: pbxsim.Forever, Reset: reset},
	})
	server := pbxsim.ListenMemory(sim)
	defer server.Close()

	guard := &session.Guard{}
	open := func(user string) *session.Session {
		password := passwords[user]
		if random.IntN(3) == 0 {
			password = "wrong"
		}
		auth, err := yeastar.New(yeastar.Config{Config: pbx.Config{
			URL: server.URL, Username: user, Password: pbx.NewSecret(password), Transport: server.Client().Transport,
		}})
		if err != nil {
			t.Fatal(err)
		}
		return session.New(auth, &session.Options{Guard: guard, Timeout: 5 * time.Second})
	}
	sessions := make([]*session.Session, 4)
	for i := range sessions {
		sessions[i] = open(accounts[i%len(accounts)])
	}
	defer func() {
		sim.ClearFaults()
		for _, s := range sessions {
			s.Close(context.Background())
		}
	}()
	faults := []pbxsim.Fault{
		{Drop: pbxsim.DropBefore}, {Drop: pbxsim.DropAfter}, {Hang: true}, {Hang: true, Drop: pbxsim.DropAfter},
		{Delay: 20 * time.Second}, {Truncate: true}, {Status: 200}, {Status: 500}, {Status: 503},
		{Status: 200, Body: []byte(pbxsim.HTMLPage)}, {Status: 302, Header: http.Header{"Location": {"/login"}}},
		{Status: 200, Body: []byte(`{"status":"Failed","errno":"30003"}`)},
	}
	for step := range steps {
		i := random.IntN(len(sessions))
		s := sessions[i]
		if random.IntN(60) == 0 { // a person clears the PBX's list
			sim.Unlock("127.0.0.1")
			if _, err := guard.Forgive(t.Context(), server.URL); err != nil && len(guard.Hosts()) > 0 {
				t.Fatal(err)
			}
		}
		switch random.IntN(12) {
		case 0:
			fault := faults[random.IntN(len(faults))]
			fault.Times = 1 + random.IntN(8)
			sim.Fault(fault)
		case 1:
			sim.ClearFaults()
		case 2:
			sim.Restart()
		case 3:
			// Never back to an old one: a wrong login whose response was lost would
			// become a right one, which no client can know.
			user := accounts[random.IntN(len(accounts))]
			passwords[user] = fmt.Sprintf("right-%d", step)
			sim.SetPassword(user, passwords[user])
		case 4:
			s.Retry(t.Context())
		case 5:
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			s.Close(ctx)
			cancel()
			sessions[i] = open(accounts[i%len(accounts)])
		case 6:
			if token, err := s.Token(expired); err == nil {
				s.Invalidate(token)
			}
		case 7:
			server.Close()
			time.Sleep(time.Duration(random.IntN(30)) * time.Second)
			server.Reopen()
		case 8, 9:
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			r, _ := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/api/v1.1.0/deviceinfo/query", nil)
			if resp, err := s.Client().Do(r); err == nil {
				resp.Body.Close()
			}
			cancel()
		case 10:
			time.Sleep(time.Duration(random.IntN(20)) * time.Second)
		case 11:
			time.Sleep(time.Duration(random.IntN(20)) * time.Minute)
		}
		if counts := sim.Counts(); counts.LockedLogins > 0 {
			t.Fatalf("the PBX has locked us out: %+v (repeat with -lockout-seed %d)", counts, seed)
		}
		if _, locked := sim.Locked("127.0.0.1"); locked {
			t.Fatalf("the PBX has locked us out (repeat with -lockout-seed %d)", seed)
		}
	}
	counts := sim.Counts()
	t.Logf("%d steps: %d logins, %d of them wrong, never locked", steps, counts.Logins, counts.WrongLogins)
	if counts.WrongLogins < steps/200 || counts.GoodLogins < steps/200 {
		t.Errorf("hardly anything happened: %+v", counts)
	}
}

// expired is for a look at the token without waiting for one.
var expired = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
