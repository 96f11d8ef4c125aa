package pbxsim_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const wrong, locked = "wrong password", "locked"

// under gives f a PBX that locks as rules say, with the accounts api and other,
// password secret.
func under(t *testing.T, rules pbxsim.Lockout, f func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server)) {
	t.Helper()
	inMemory(t, plain{}, pbxsim.Options{Lockout: rules, Guesses: []string{"guess"}}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.SetPassword("other", "secret")
		f(t, p, s)
	})
}

// try returns what becomes of a login of a user from an address: "ok" or the
// response.
func try(t *testing.T, s *pbxsim.Server, address, user, password string) string {
	t.Helper()
	got := sayFrom(t, s, address, "/login?user="+user+"&password="+password)
	if len(got) > 6 && got[:6] == "token-" {
		return "ok"
	}
	return got
}

func TestTheLastWrongLoginLocksTheAddress(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, bad, wrong, wrong, wrong)
		want(t, s, good, locked)
		until, ok := p.Locked("127.0.0.1")
		if !ok || time.Until(until) != 10*time.Minute {
			t.Errorf("Locked = in %v, %v; want in 10m, true", time.Until(until), ok)
		}
	})
}

func TestALockEndsOnTimeWhateverIsTriedMeanwhile(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, bad, wrong, wrong, wrong)
		for range 9 {
			time.Sleep(time.Minute)
			want(t, s, bad, locked)
		}
		time.Sleep(time.Minute - time.Nanosecond)
		want(t, s, good, locked)
		time.Sleep(time.Nanosecond)
		if _, ok := p.Locked("127.0.0.1"); ok {
			t.Error("still locked after 10m")
		}
		want(t, s, bad, wrong, wrong) // the count began anew
		login(t, s)
	})
}

// As with a counter whose key is the number of the window.
func TestALockMayEndWithTheWindowInWhichItBegan(t *testing.T) {
	rules := pbxsim.Lockout{Memory: pbxsim.ClockWindow, Window: 5 * time.Minute, UntilWindowEnds: true}
	under(t, rules, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		time.Sleep(4 * time.Minute) // midnight, where the clock begins, is a multiple of the window
		want(t, s, bad, wrong, wrong, wrong)
		time.Sleep(time.Minute - time.Nanosecond)
		want(t, s, good, locked)
		time.Sleep(time.Nanosecond)
		login(t, s)
		p.Lock("127.0.0.1")
		if until, ok := p.Locked("127.0.0.1"); !ok || time.Until(until) != 5*time.Minute {
			t.Errorf("Locked = in %v, %v; want in 5m, true", time.Until(until), ok)
		}
	})
	rules.Memory = pbxsim.Forever // which has no windows
	under(t, rules, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		time.Sleep(4 * time.Minute)
		want(t, s, bad, wrong, wrong, wrong)
		time.Sleep(10*time.Minute - time.Nanosecond)
		want(t, s, good, locked)
	})
}

func TestALockMayBeProlongedByWhatIsTriedMeanwhile(t *testing.T) {
	under(t, pbxsim.Lockout{Prolong: true}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, bad, wrong, wrong, wrong)
		for range 5 {
			time.Sleep(9 * time.Minute)
			want(t, s, good, locked)
		}
		time.Sleep(10 * time.Minute)
		login(t, s)
		if got := len(p.Locks()); got != 1 {
			t.Errorf("%d locks, want one", got)
		}
	})
}

func TestALockMayLastUntilAPersonEndsIt(t *testing.T) {
	under(t, pbxsim.Lockout{For: -1}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, bad, wrong, wrong, wrong)
		time.Sleep(365 * 24 * time.Hour)
		want(t, s, good, locked)
		if until, ok := p.Locked("127.0.0.1"); !ok || !until.IsZero() {
			t.Errorf("Locked = %v, %v; want the zero time, true", until, ok)
		}
		p.Unlock("127.0.0.1")
		login(t, s)
	})
}

// step is a login in the tables below.
type step struct {
	address, user string
	good          bool
	want          string
	then          time.Duration // to wait afterwards
}

func TestModels(t *testing.T) {
	const here, there = "127.0.0.1", "192.0.2.7"
	bad := func(address, user, want string) step { return step{address: address, user: user, want: want} }
	good := func(address, user, want string) step {
		return step{address: address, user: user, good: true, want: want}
	}
	after := func(d time.Duration, s step) step { s.then = d; return s }
	tests := []struct {
		name  string
		rules pbxsim.Lockout
		steps []step
	}{
		{"in a row, never forgotten by time", pbxsim.Lockout{Memory: pbxsim.Forever}, []step{
			after(90*24*time.Hour, bad(here, "api", wrong)), after(90*24*time.Hour, bad(here, "api", wrong)),
			bad(here, "api", wrong), good(here, "api", locked)}},
		{"a sliding window", pbxsim.Lockout{Memory: pbxsim.SlidingWindow, Window: time.Hour}, []step{
			after(30*time.Minute, bad(here, "api", wrong)), after(30*time.Minute, bad(here, "api", wrong)),
			bad(here, "api", wrong), // the first no longer counts
			bad(here, "api", wrong), // and with this one there are three
			good(here, "api", locked)}},
		{"a sliding window is as long as a lock, if nothing is said", pbxsim.Lockout{Memory: pbxsim.SlidingWindow, For: time.Minute}, []step{
			bad(here, "api", wrong), after(time.Minute, bad(here, "api", wrong)), bad(here, "api", wrong), good(here, "api", "ok")}},
		{"a window aligned to the clock forgets at its end", pbxsim.Lockout{Memory: pbxsim.ClockWindow, Window: time.Hour}, []step{
			after(59*time.Minute+59*time.Second, good(here, "api", "ok")), // bubbles begin at midnight
			bad(here, "api", wrong), after(time.Second, bad(here, "api", wrong)),
			bad(here, "api", wrong), bad(here, "api", wrong), good(here, "api", "ok"), bad(here, "api", wrong)}},
		{"a window aligned to the clock holds to its end", pbxsim.Lockout{Memory: pbxsim.ClockWindow, Window: time.Hour}, []step{
			after(59*time.Minute, bad(here, "api", wrong)), bad(here, "api", wrong), bad(here, "api", wrong), good(here, "api", locked)}},
		{"per address, whatever the account", pbxsim.Lockout{Per: pbxsim.Address}, []step{
			bad(here, "api", wrong), bad(here, "other", wrong), bad(here, "nobody", wrong),
			good(here, "other", locked), good(there, "api", "ok")}},
		{"per account, whatever the address", pbxsim.Lockout{Per: pbxsim.Account}, []step{
			bad(here, "api", wrong), bad(there, "api", wrong), bad(here, "other", wrong), bad(here, "api", wrong),
			good(there, "api", locked), good(here, "other", "ok")}},
		{"per address and account", pbxsim.Lockout{Per: pbxsim.AddressAndAccount}, []step{
			bad(here, "api", wrong), bad(there, "api", wrong), bad(here, "other", wrong), bad(here, "api", wrong), bad(here, "api", wrong),
			good(here, "api", locked), good(there, "api", "ok"), good(here, "other", "ok")}},
		{"a good login clears nothing", pbxsim.Lockout{Reset: pbxsim.Nothing}, []step{
			bad(here, "api", wrong), bad(here, "api", wrong), good(here, "api", "ok"), bad(here, "api", wrong), good(here, "api", locked)}},
		{"a good login clears its account", pbxsim.Lockout{Reset: pbxsim.Account}, []step{
			bad(here, "api", wrong), bad(here, "other", wrong), good(here, "api", "ok"),
			bad(here, "api", wrong), good(here, "api", "ok"), // other's still counts
			bad(here, "other", wrong), bad(here, "nobody", wrong), good(here, "api", locked)}},
		{"a good login clears its address", pbxsim.Lockout{Reset: pbxsim.Address}, []step{
			bad(here, "api", wrong), bad(here, "other", wrong), good(here, "api", "ok"),
			bad(here, "other", wrong), bad(here, "nobody", wrong), good(here, "api", "ok")}},
		{"a good login clears its address and not another", pbxsim.Lockout{Per: pbxsim.Account, Reset: pbxsim.AddressAndAccount}, []step{
			bad(here, "api", wrong), bad(there, "api", wrong), good(here, "api", "ok"),
			bad(here, "api", wrong), bad(here, "api", wrong), good(here, "api", locked)}},
		{"one wrong login counts twice", pbxsim.Lockout{After: 5, Weight: 2}, []step{
			bad(here, "api", wrong), bad(here, "api", wrong), bad(here, "api", wrong), good(here, "api", locked)}},
		{"never", pbxsim.Lockout{After: -1}, slices.Concat(slices.Repeat([]step{bad(here, "api", wrong)}, 100), []step{good(here, "api", "ok")})},
		{"the lock looks like a wrong password", pbxsim.Lockout{Response: pbxsim.LooksWrong}, []step{
			bad(here, "api", wrong), bad(here, "api", wrong), bad(here, "api", wrong),
			after(10*time.Minute, good(here, "api", wrong)), good(here, "api", "ok")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			under(t, tt.rules, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
				for i, step := range tt.steps {
					password := "guess"
					if step.good {
						password = "secret"
					}
					if got := try(t, s, step.address, step.user, password); got != step.want {
						t.Errorf("step %d, %+v: %q", i+1, step, got)
					}
					time.Sleep(step.then)
				}
			})
		})
	}
}

func TestLoginsUnderALockDoNotCountForTheNext(t *testing.T) {
	for _, response := range []pbxsim.LockResponse{pbxsim.Stated, pbxsim.LooksWrong} {
		under(t, pbxsim.Lockout{Response: response}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			want(t, s, bad, wrong, wrong, wrong)
			for range 20 {
				say(t, s, bad)
			}
			time.Sleep(10 * time.Minute)
			want(t, s, bad, wrong, wrong)
			login(t, s)
			c := p.Counts()
			if c.WrongLogins != 5 || c.LockedLogins != 20 || c.Locks != 1 {
				t.Errorf("%+v, want 5 wrong logins, 20 under one lock", c)
			}
		})
	}
}

func TestDeadTokensCountOrDoNot(t *testing.T) {
	for _, counts := range []bool{false, true} {
		under(t, pbxsim.Lockout{DeadTokens: counts}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			old := login(t, s)
			p.Restart()
			current := login(t, s)
			time.Sleep(30 * time.Minute)
			want(t, s, "/request?token="+old, unknown)
			want(t, s, "/keepalive?token="+current, expired)
			want(t, s, "/logout?token=made-up", unknown)
			if _, got := p.Locked("127.0.0.1"); got != counts {
				t.Errorf("DeadTokens %v: locked %v", counts, got)
			}
			if got := p.CountsOf("api").RefusedTokens; got != 2 {
				t.Errorf("%d dead tokens of the account, want 2", got)
			}
			if got := p.Counts().RefusedTokens; got != 3 {
				t.Errorf("%d dead tokens, want 3", got)
			}
		})
	}
}

func TestAnInventedTokenCountsAgainstNoAccount(t *testing.T) {
	under(t, pbxsim.Lockout{DeadTokens: true, Per: pbxsim.Account}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, "/request?token=made-up", unknown, unknown, unknown, unknown)
		old := login(t, s)
		p.Restart()
		want(t, s, "/request?token="+old, unknown, unknown, unknown)
		want(t, s, good, locked)
		if got := try(t, s, "127.0.0.1", "other", "secret"); got != "ok" {
			t.Errorf("another account: %q, want ok", got)
		}
	})
}

func TestAnInventedTokenLocksNoAddressWhereAccountsAreCounted(t *testing.T) {
	under(t, pbxsim.Lockout{DeadTokens: true, Per: pbxsim.AddressAndAccount}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, "/request?token=made-up", unknown, unknown, unknown, unknown)
		login(t, s)
	})
}

func TestALockCoversLoginsOrEverything(t *testing.T) {
	tests := []struct {
		covers   pbxsim.Coverage
		response pbxsim.LockResponse
		want     string
	}{
		{pbxsim.LoginsOnly, pbxsim.Stated, "ok"},
		{pbxsim.LoginsOnly, pbxsim.LooksWrong, "ok"},
		{pbxsim.Everything, pbxsim.Stated, locked},
		{pbxsim.Everything, pbxsim.LooksWrong, unknown},
	}
	for _, tt := range tests {
		for _, per := range []pbxsim.Scope{pbxsim.Address, pbxsim.Account, pbxsim.AddressAndAccount} {
			under(t, pbxsim.Lockout{Covers: tt.covers, Response: tt.response, Per: per}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
				token := login(t, s)
				want(t, s, bad, wrong, wrong, wrong)
				want(t, s, "/request?token="+token, tt.want)
				want(t, s, "/keepalive?token="+token, tt.want)
				want(t, s, "/logout?token="+token, tt.want)
				if tt.want == "ok" {
					return
				}
				time.Sleep(10 * time.Minute)
				want(t, s, "/request?token="+token, "ok") // it was never touched
			})
		}
	}
}

// A lock without words is silence, or a connection reset, for logins only or for
// all that comes from the address.
func TestALockWithoutWords(t *testing.T) {
	tests := []struct {
		response pbxsim.LockResponse
		want     error
	}{
		{pbxsim.Mute, context.DeadlineExceeded},
		{pbxsim.ResetConnection, syscall.ECONNRESET},
	}
	failing := func(t *testing.T, s *pbxsim.Server, method, path string) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, method, s.URL+path, nil)
		resp, err := s.Client().Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	for _, tt := range tests {
		for _, covers := range []pbxsim.Coverage{pbxsim.LoginsOnly, pbxsim.Everything} {
			for _, per := range []pbxsim.Scope{pbxsim.Address, pbxsim.Account} {
				under(t, pbxsim.Lockout{Response: tt.response, Covers: covers, Per: per}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
					name := fmt.Sprintf("response %v, covers %v, per %v", tt.response, covers, per)
					token := login(t, s)
					want(t, s, bad, wrong, wrong, wrong)
					if err := failing(t, s, "POST", good); !errors.Is(err, tt.want) {
						t.Errorf("%s: a login: %v, want %v", name, err, tt.want)
					}
					err := failing(t, s, "POST", "/request?token="+token)
					if covers == pbxsim.Everything && !errors.Is(err, tt.want) || covers == pbxsim.LoginsOnly && err != nil {
						t.Errorf("%s: a call: %v", name, err)
					}
					err = failing(t, s, "GET", "/")
					if stopped := covers == pbxsim.Everything && per == pbxsim.Address; stopped != (err != nil) {
						t.Errorf("%s: a page: %v", name, err)
					}
					if c := p.Counts(); c.LockedLogins != 1 || c.Locks != 1 {
						t.Errorf("%s: %+v, want one login under one lock", name, c)
					}
					time.Sleep(10 * time.Minute)
					login(t, s)
				})
			}
		}
	}
}

func TestAResetIsOneOnASocketToo(t *testing.T) {
	for _, listen := range []func(*pbxsim.PBX) *pbxsim.Server{pbxsim.Listen, pbxsim.ListenTLS} {
		p := pbxsim.New(plain{}, &pbxsim.Options{Lockout: pbxsim.Lockout{Response: pbxsim.ResetConnection}})
		s := listen(p)
		defer s.Close()
		p.Lock("127.0.0.1")
		if _, _, err := ask(s.Client(), s.URL+good); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("error %v, want connection reset", err)
		}
	}
}

func TestSomebodyElseLocks(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.SetPassword("other", "secret")
		p.Lock("127.0.0.1")
		want(t, s, good, locked)
		p.Unlock("127.0.0.1")
		login(t, s)
		want(t, s, bad, wrong, wrong)
		p.Unlock("127.0.0.1") // forgets the wrong ones, too
		want(t, s, bad, wrong, wrong)
		login(t, s)

		p.LockAccount("api")
		want(t, s, good, locked)
		if got := try(t, s, "127.0.0.1", "other", "secret"); got != "ok" {
			t.Errorf("another account: %q, want ok", got)
		}
		if _, ok := p.LockedAccount("192.0.2.7", "api"); !ok {
			t.Error("the account is not locked elsewhere")
		}
		p.UnlockAccount("api")
		login(t, s)

		at := time.Now()
		wantLocks := []pbxsim.Lock{
			{Address: "127.0.0.1", At: at, Until: at.Add(10 * time.Minute)},
			{Account: "api", At: at, Until: at.Add(10 * time.Minute)},
		}
		if diff := cmp.Diff(wantLocks, p.Locks()); diff != "" {
			t.Errorf("Locks (-want +got):\n%s", diff)
		}
	})
}

func TestUnlockingAnAddressUnlocksItsAccounts(t *testing.T) {
	under(t, pbxsim.Lockout{Per: pbxsim.AddressAndAccount}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, bad, wrong, wrong, wrong, locked)
		p.Unlock("127.0.0.1")
		login(t, s)
	})
}

func TestALockSaysWhoCausedIt(t *testing.T) {
	under(t, pbxsim.Lockout{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		try(t, s, "192.0.2.7", "other", "guess")
		try(t, s, "192.0.2.7", "other", "guess")
		try(t, s, "192.0.2.7", "nobody", "guess")
		at := time.Now()
		wantLocks := []pbxsim.Lock{{
			Address: "192.0.2.7", At: at, Until: at.Add(10 * time.Minute), ByAddress: "192.0.2.7", ByAccount: "nobody",
		}}
		if diff := cmp.Diff(wantLocks, p.Locks()); diff != "" {
			t.Errorf("Locks (-want +got):\n%s", diff)
		}
		for user, want := range map[string]pbxsim.Counts{
			"other": {WrongLogins: 2}, "nobody": {WrongLogins: 1, Locks: 1}, "api": {},
		} {
			if diff := cmp.Diff(want, p.CountsOf(user)); diff != "" {
				t.Errorf("CountsOf(%s) (-want +got):\n%s", user, diff)
			}
		}
	})
}

func TestALockHoldsForItsAddressOnly(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, bad, wrong, wrong, wrong, locked)
		if got := sayFrom(t, s, "192.0.2.7", bad); got != wrong {
			t.Errorf("from another address: %q, want %q", got, wrong)
		}
		if got := sayFrom(t, s, "2001:db8::7", bad); got != wrong {
			t.Errorf("from an IPv6 address: %q, want %q", got, wrong)
		}
	})
}

func TestALockSurvivesARestart(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, bad, wrong, wrong, wrong)
		p.Restart()
		want(t, s, good, locked)
	})
}

// A lockout that locks nobody, or everybody at once, is a mistake of the test.
func TestALockoutThatCannotBe(t *testing.T) {
	for _, rules := range []pbxsim.Lockout{{Per: pbxsim.Nothing}, {Weight: -1}, {Window: -time.Second}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v makes no panic", rules)
				}
			}()
			pbxsim.New(plain{}, &pbxsim.Options{Lockout: rules})
		}()
	}
}
