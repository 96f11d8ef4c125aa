package session_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/lockout"
	"github.com/pbxauth/pbx/session/store"
)

// The tests in this file are about one step each of what processes do with their
// store: look, claim, book, send, settle, commit.

// pair is two sessions of one account, in two processes if nothing else is said.
type pair struct {
	faults   *store.Faults
	pbx      *fake
	managers []*session.Manager
	sessions []*session.Session
}

func newPair(t *testing.T, f *fake, auth func(process int) pbx.Authenticator) *pair {
	t.Helper()
	faults := (&store.Memory{}).Faults()
	return startPair(t, f, faults, processes(t, faults), auth)
}

// processes are two of a store.
func processes(t *testing.T, faults *store.Faults) [2]*session.Shared {
	t.Helper()
	return [2]*session.Shared{share(t, faults.Process("one"), "one"), share(t, faults.Process("two"), "two")}
}

// startPair starts the first process, and the second when the first has its token.
func startPair(t *testing.T, f *fake, faults *store.Faults, shared [2]*session.Shared, auth func(process int) pbx.Authenticator) *pair {
	t.Helper()
	p := &pair{faults: faults, pbx: f}
	for i := range shared {
		m := session.NewManager(&session.Options{Store: shared[i]})
		s := mustAdd(t, m, "7", auth(i))
		mustToken(t, s)
		p.managers, p.sessions = append(p.managers, m), append(p.sessions, s)
	}
	time.Sleep(time.Second)
	return p
}

func (p *pair) close() {
	for _, m := range p.managers {
		m.Close(context.Background())
	}
}

// wantOneToken checks that both processes have the token with that value.
func (p *pair) wantOneToken(t *testing.T, value string) {
	t.Helper()
	for i, s := range p.sessions {
		if got := mustToken(t, s).Value.Reveal(); got != value {
			t.Errorf("process %d has %s, want %s", i, got, value)
		}
	}
}

// contest is a pair that renews its token for the first time. Just then the other
// process finds that the PBX refuses the token.
type contest struct {
	*pair
	ready    chan struct{} // closed when there is a pair
	renewals atomic.Int32
	renew    func(c *contest, number int32) (*pbx.Token, error) // number: 1 is the first
}

// newContest makes a PBX whose keep-alives replace the token, and has two processes
// renew it at the same time.
func newContest(t *testing.T, renew func(c *contest, number int32) (*pbx.Token, error)) *contest {
	t.Helper()
	faults := (&store.Memory{}).Faults()
	return startContest(t, faults, processes(t, faults), renew)
}

func startContest(t *testing.T, faults *store.Faults, shared [2]*session.Shared, renew func(c *contest, number int32) (*pbx.Token, error)) *contest {
	t.Helper()
	f := &fake{life: 30 * time.Minute, traits: onHost("pbx.test")}
	f.traits.Account, f.traits.KeepAlive = "sales", pbx.KeepAliveRefresh
	c := &contest{renew: renew, ready: make(chan struct{})}
	f.login = func(context.Context) (*pbx.Token, error) { return c.token(f), nil }
	c.pair = startPair(t, f, faults, shared, func(i int) pbx.Authenticator { return &renewer{f, c, i} })
	close(c.ready)
	return c
}

// token issues one that can be refreshed after its end.
func (c *contest) token(f *fake) *pbx.Token {
	t := f.token()
	t.Refresh = pbx.NewSecret("refresh-of-" + t.Value.Reveal())
	return t
}

// run runs until the renewal is over.
func (c *contest) run() {
	for c.renewals.Load() == 0 {
		time.Sleep(time.Second)
	}
	time.Sleep(30 * time.Second)
}

// renewer is the driver of one process.
type renewer struct {
	*fake
	contest *contest
	process int
}

func (d *renewer) KeepAlive(context.Context, *pbx.Token) (*pbx.Token, error) {
	defer d.enter(&d.beats)()
	<-d.contest.ready
	n := d.contest.renewals.Add(1)
	if n == 1 {
		other := d.contest.sessions[1-d.process]
		token, _ := other.Token(expired)
		go other.Invalidate(token) // it writes into the store
	}
	return d.contest.renew(d.contest, n)
}

// While a process stands still, its claim expires, and another one renews the token.
// The first then finds its refresh refused. It looks into the store, and does not log
// in.
func TestARefusedRefreshIsFollowedByALookBeforeALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContest(t, func(c *contest, number int32) (*pbx.Token, error) {
			if number == 1 {
				c.faults.Jump(time.Minute)
				time.Sleep(8 * time.Second)
				return nil, told(pbx.OpKeepAlive, pbx.ErrTokenRejected, true)
			}
			return c.token(c.pbx), nil
		})
		defer c.close()
		c.run()
		c.wantOneToken(t, "token-2")
		wantCounts(t, c.pbx, 1, 2, 0)
	})
}

// The same for a refresh that fails: its process leaves the claim of the other one
// alone, whose refresh is under way.
func TestAProcessReleasesItsOwnClaimOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContest(t, func(c *contest, number int32) (*pbx.Token, error) {
			if number == 1 {
				c.faults.Jump(time.Minute)
				time.Sleep(5 * time.Second)
				return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, true)
			}
			time.Sleep(9 * time.Second)
			return c.token(c.pbx), nil
		})
		defer c.close()
		c.run()
		c.wantOneToken(t, "token-2")
		wantCounts(t, c.pbx, 1, 2, 0)
	})
}

// The same for a refresh that succeeds late: the token of the other process stands in
// the store, and the late one is not used. It is not logged out, because brands may
// end the whole session with it.
func TestARefreshThatIsLateAdoptsTheTokenInTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContest(t, func(c *contest, number int32) (*pbx.Token, error) {
			if number == 1 {
				c.faults.Jump(time.Minute)
				time.Sleep(8 * time.Second)
				return c.pbx.dated("late"), nil
			}
			return c.token(c.pbx), nil
		})
		defer c.close()
		c.run()
		c.wantOneToken(t, "token-2")
		wantCounts(t, c.pbx, 1, 2, 0)
	})
}

// The same for a login, whose token nobody needs and is logged out.
func TestALoginThatIsLateAdoptsTheTokenInTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		f, drivers := newShared(2, time.Hour)
		var number atomic.Int32
		f.login = func(context.Context) (*pbx.Token, error) {
			if number.Add(1) == 1 {
				faults.Jump(3 * time.Minute)
				time.Sleep(9 * time.Second)
				return f.dated("late"), nil
			}
			return f.token(), nil
		}
		var out []string
		f.logout = func(_ context.Context, t *pbx.Token) error {
			out = append(out, t.Value.Reveal())
			return nil
		}
		p := &pair{faults: faults, pbx: f}
		for i, name := range []string{"one", "two"} {
			m := shares(t, faults.Process(name), name)
			p.managers, p.sessions = append(p.managers, m), append(p.sessions, mustAdd(t, m, "7", drivers[i]))
		}
		defer p.close()
		time.Sleep(time.Minute)
		p.wantOneToken(t, "token-1")
		if wantCounts(t, f, 2, 0, 1); out[0] != "late" {
			t.Errorf("%s was logged out", out)
		}
	})
}

// A renewal may take its whole time, between operations of a slow store: no other
// process sends one meanwhile.
func TestAClaimOutlastsTheSlowestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContest(t, func(c *contest, _ int32) (*pbx.Token, error) {
			time.Sleep(9900 * time.Millisecond)
			return c.token(c.pbx), nil
		})
		defer c.close()
		c.faults.Intercept(func(store.Op) store.Fault { return store.Fault{Delay: time.Second} })
		c.run()
		c.wantOneToken(t, "token-2")
		wantCounts(t, c.pbx, 1, 1, 0)
	})
}

// A renewal that brought nothing leaves no claim behind: others need not wait for its
// end.
func TestAClaimThatBroughtNothingIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at [2]time.Time
		c := newContest(t, func(c *contest, number int32) (*pbx.Token, error) {
			at[number-1] = time.Now()
			if number == 1 {
				return nil, &pbx.Error{Op: pbx.OpKeepAlive, Kind: pbx.ErrUnavailable, Sent: true, RetryAfter: time.Minute}
			}
			time.Sleep(time.Second)
			return c.token(c.pbx), nil
		})
		defer c.close()
		c.run()
		c.wantOneToken(t, "token-2")
		if wait := at[1].Sub(at[0]); wait > 3*time.Second {
			t.Errorf("the other process waited %s", wait)
		}
	})
}

// Two Managers of one process keep out of each other's way like two processes.
func TestTwoManagersOfAProcessShareOneRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		one := share(t, faults.Process("one"), "one")
		c := startContest(t, faults, [2]*session.Shared{one, one}, func(c *contest, _ int32) (*pbx.Token, error) {
			time.Sleep(5 * time.Second)
			return c.token(c.pbx), nil
		})
		defer c.close()
		c.run()
		c.wantOneToken(t, "token-2")
		wantCounts(t, c.pbx, 1, 1, 0)
	})
}

// lossy makes the first Swap of a session's cell ("s/") or a host's ("h/") fail, and
// counts all of them.
func lossy(f *store.Faults, kind string, fault store.Fault) *atomic.Int32 {
	var swaps atomic.Int32
	f.Intercept(func(op store.Op) store.Fault {
		if op.Swap && strings.HasPrefix(op.Key, kind) && swaps.Add(1) == 1 {
			return fault
		}
		return store.Fault{}
	})
	return &swaps
}

// A process whose claim got no response finds it in the store.
func TestAClaimWhoseResponseWasLostIsNotWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, drivers := newShared(1, time.Hour)
		faults := (&store.Memory{}).Faults()
		swaps := lossy(faults, "s/", store.Fault{After: errors.New("response lost")})
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		mustToken(t, mustAdd(t, m, "7", drivers[0]))
		wantCounts(t, f, 1, 0, 0)
		if n := swaps.Load(); n != 2 { // the claim and the token
			t.Errorf("%d swaps", n)
		}
	})
}

// A claim that did not reach the store is none, although the newest record there is
// of the same process.
func TestAClaimThatDidNotReachTheStoreIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContest(t, func(c *contest, _ int32) (*pbx.Token, error) {
			time.Sleep(5 * time.Second)
			return c.token(c.pbx), nil
		})
		defer c.close()
		lossy(c.faults, "s/", store.Fault{Before: errors.New("not reached")})
		first := c.sessions[0] // which has written the record
		first.Invalidate(mustToken(t, first))
		c.run()
		c.wantOneToken(t, "token-2")
		wantCounts(t, c.pbx, 1, 1, 0)
	})
}

// The outcome of a booking whose response was lost is unknown, so its login is not
// sent. It holds up no other.
func TestABookingWhoseResponseWasLostIsTakenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, drivers := newShared(1, time.Hour)
		memory := &store.Memory{}
		swaps := lossy(memory.Faults(), "h/", store.Fault{After: errors.New("response lost")})
		m := shares(t, tacit{memory.Faults().Process("one")}, "one") // no notice has it try again sooner
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		time.Sleep(time.Second)
		wantCounts(t, f, 0, 0, 0)
		if got := booked(t, memory); len(got) != 1 || swaps.Load() != 1 {
			t.Fatalf("%d swaps, %v", swaps.Load(), got)
		}
		time.Sleep(10 * time.Second)
		mustToken(t, s)
		if got := booked(t, memory); len(got) != 0 {
			t.Errorf("after the login: %v", got)
		}
	})
}

// A token that the store did not take is written when the store is back.
func TestATokenThatTheStoreDidNotTakeIsWrittenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		f, drivers := newShared(2, 10*time.Hour)
		f.login = func(context.Context) (*pbx.Token, error) {
			faults.Cut("one")
			return f.token(), nil
		}
		one := shares(t, tacit{faults.Process("one")}, "one")
		defer one.Close(context.Background())
		mustToken(t, mustAdd(t, one, "7", drivers[0]))
		time.Sleep(time.Minute)
		faults.Rejoin("one")
		time.Sleep(10 * time.Second)
		two := shares(t, faults.Process("two"), "two")
		defer two.Close(context.Background())
		if got := mustToken(t, mustAdd(t, two, "7", drivers[1])).Value.Reveal(); got != "token-1" {
			t.Errorf("the other process has %s", got)
		}
		wantCounts(t, f, 1, 0, 0)
	})
}

func TestReplaceLeavesTheTokenToTheOtherProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, drivers := newShared(2, time.Hour)
		p := newPair(t, f, func(i int) pbx.Authenticator { return drivers[i] })
		defer p.close()
		if err := p.managers[0].Replace(t.Context(), "7", drivers[0]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		p.wantOneToken(t, "token-1")
		wantCounts(t, f, 1, 0, 0)
	})
}

// newWrong is an account of a PBX for which there is a wrong password.
func newWrong(account string) (*fake, pbx.Authenticator) {
	f, drivers := newShared(1, time.Hour)
	d := drivers[0].(*printed)
	d.traits.Account, d.print, d.wrong = account, account+":wrong", true
	return f, d
}

// booked is what the store knows of the host's logins.
func booked(t *testing.T, s store.Store) []lockout.Use {
	t.Helper()
	e, err := s.Load(context.Background(), "h/pbx.test")
	if err != nil {
		t.Fatal(err)
	}
	var host lockout.Host
	if e.Rev != 0 {
		if err := host.UnmarshalJSON(e.Value); err != nil {
			t.Fatal(err)
		}
	}
	return host.Status(e.Now, &lockout.Local{}).Bookings
}

// A login is sent when the store has its booking, and not before.
func TestALoginIsBookedInTheStoreBeforeItIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		faults := memory.Faults()
		faults.Intercept(func(op store.Op) (f store.Fault) {
			if op.Swap && strings.HasPrefix(op.Key, "h/") {
				f.Before = errors.New("not reached")
			}
			return f
		})
		f, drivers := newShared(1, time.Hour)
		f.login = func(context.Context) (*pbx.Token, error) {
			if got := booked(t, memory); len(got) != 1 || got[0].What != "in flight" {
				t.Errorf("while the login is under way, the store has %v", got)
			}
			return f.token(), nil
		}
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		time.Sleep(time.Hour)
		wantCounts(t, f, 0, 0, 0)
		faults.Intercept(nil)
		time.Sleep(time.Minute)
		mustToken(t, s)
		wantCounts(t, f, 1, 0, 0)
		if got := booked(t, memory); len(got) != 0 {
			t.Errorf("after the login, the store has %v", got)
		}
	})
}

// A login is sent when the store has its claim, and not before.
func TestALoginIsClaimedInTheStoreBeforeItIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		faults.Intercept(func(op store.Op) (f store.Fault) {
			if op.Swap && strings.HasPrefix(op.Key, "s/") {
				f.Before = errors.New("not reached")
			}
			return f
		})
		f, drivers := newShared(1, time.Hour)
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		time.Sleep(time.Minute)
		wantKind(t, s.Status().Err, pbx.ErrUnavailable)
		wantCounts(t, f, 0, 0, 0)
		faults.Intercept(nil)
		time.Sleep(time.Minute)
		mustToken(t, s)
		wantCounts(t, f, 1, 0, 0)
	})
}

// A login settles its own booking, and no other that has the same number in its
// process or is of the same process.
func TestALoginSettlesItsOwnBooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		one, two := shares(t, memory, "one"), shares(t, memory, "two")
		defer one.Close(context.Background())
		defer two.Close(context.Background())
		for i, row := range []struct {
			process *session.Manager
			right   bool
			refused int // bookings after it
		}{{one, true, 0}, {one, false, 1}, {one, true, 1}, {two, true, 1}, {two, true, 1}, {two, true, 1}, {two, true, 1}, {two, false, 2}} {
			account := fmt.Sprint(i)
			_, d := newWrong(account)
			d.(*printed).wrong = !row.right
			s := mustAdd(t, row.process, account, d)
			time.Sleep(time.Second) // what one says of the PBX, the next need not ask
			if _, err := s.Token(expired); (err == nil) != row.right {
				t.Errorf("after login %d: %v", i, s.Status())
			}
			got := booked(t, memory)
			if len(got) != row.refused {
				t.Errorf("after login %d: %v", i, got)
			}
			for _, use := range got {
				if use.What != "refused" {
					t.Errorf("after login %d: %v", i, got)
				}
			}
		}
	})
}

// lost is a process that was cut off while the store lost everything.
func lost(t *testing.T, f *fake, drivers []pbx.Authenticator) (faults *store.Faults, s *session.Session, done func()) {
	t.Helper()
	faults = (&store.Memory{}).Faults()
	m := shares(t, faults.Process("one"), "one")
	s = mustAdd(t, m, "7", drivers[0])
	mustToken(t, s)
	time.Sleep(time.Hour) // its token is renewed
	faults.Cut("one")
	faults.ForgetAll()
	return faults, s, func() { m.Close(context.Background()) }
}

func TestATokenThatTheStoreHasForgottenIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, drivers := newShared(2, 30*time.Minute)
		faults, s, done := lost(t, f, drivers)
		defer done()
		faults.Rejoin("one")
		time.Sleep(2 * time.Second)
		two := shares(t, faults.Process("two"), "two")
		defer two.Close(context.Background())
		if got := mustToken(t, mustAdd(t, two, "7", drivers[1])); !got.Value.Equal(mustToken(t, s).Value) {
			t.Error("the processes have different tokens")
		}
		if logins, _, _ := f.counts(); logins != 1 {
			t.Errorf("%d logins", logins)
		}
	})
}

// After a loss, another process has logged in. Its token is newer, though its
// generation is lower, and stays.
func TestANewerTokenIsAdoptedByThoseWhoKnowOfOneThatTheStoreHasForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, drivers := newShared(2, 30*time.Minute)
		faults, s, done := lost(t, f, drivers)
		defer done()
		two := shares(t, faults.Process("two"), "two")
		defer two.Close(context.Background())
		other := mustAdd(t, two, "7", drivers[1])
		mustToken(t, other)
		time.Sleep(time.Second)
		faults.Rejoin("one")
		time.Sleep(2 * time.Second)
		p := &pair{sessions: []*session.Session{s, other}}
		p.wantOneToken(t, "token-2")
		if logins, _, logouts := f.counts(); logins != 2 || logouts != 0 {
			t.Errorf("%d logins, %d logouts", logins, logouts)
		}
	})
}

// After a loss, another process is logging in. What the first one has is not written
// over its claim.
func TestNothingIsPutBackOverTheClaimOfAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, drivers := newShared(2, 30*time.Minute)
		faults, s, done := lost(t, f, drivers)
		defer done()
		f.login = func(context.Context) (*pbx.Token, error) {
			faults.Rejoin("one")
			time.Sleep(5 * time.Second)
			return f.token(), nil
		}
		two := shares(t, faults.Process("two"), "two")
		defer two.Close(context.Background())
		other := mustAdd(t, two, "7", drivers[1])
		time.Sleep(10 * time.Second)
		p := &pair{sessions: []*session.Session{s, other}}
		p.wantOneToken(t, "token-2")
		if logins, _, logouts := f.counts(); logins != 2 || logouts != 0 {
			t.Errorf("%d logins, %d logouts", logins, logouts)
		}
	})
}

// What a process knows of a host is put back whether or not a session still needs it.
func TestARefusalWhoseSessionHasEndedIsPutBackToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		_, drivers := newShared(1, 30*time.Hour)
		one := shares(t, faults.Process("one"), "one")
		defer one.Close(context.Background())
		mustToken(t, mustAdd(t, one, "7", drivers[0]))
		refused, d := newWrong("night")
		mustAdd(t, one, "8", d)
		time.Sleep(time.Minute)
		wantCounts(t, refused, 1, 0, 0)
		if err := one.Remove(t.Context(), "8"); err != nil {
			t.Fatal(err)
		}
		faults.ForgetAll()
		time.Sleep(2 * time.Second)
		two := shares(t, faults.Process("two"), "two")
		defer two.Close(context.Background())
		again, d := newWrong("night")
		s := mustAdd(t, two, "8", d)
		time.Sleep(time.Minute)
		wantState(t, s, session.Rejected)
		wantCounts(t, again, 0, 0, 0)
	})
}

// What the store has is kept for as long as it can be of use.
func TestAProcessThatStartsHoursLaterFindsWhatTheLastOneLeft(t *testing.T) {
	for name, lifetime := range map[string]time.Duration{"a day": 24 * time.Hour, "for good": 0} {
		synctest.Test(t, func(t *testing.T) {
			memory := &store.Memory{}
			f, drivers := newShared(1, lifetime)
			wrong, refused := newWrong("night")
			for range 3 {
				m := shares(t, memory, "one")
				mustToken(t, mustAdd(t, m, "7", drivers[0]))
				s := mustAdd(t, m, "8", refused)
				time.Sleep(time.Minute)
				wantState(t, s, session.Rejected)
				if err := m.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Hour)
			}
			if logins, _, _ := f.counts(); logins != 1 {
				t.Errorf("a token that is valid %s: %d logins", name, logins)
			}
			if logins, _, _ := wrong.counts(); logins != 1 {
				t.Errorf("%d logins with a wrong password", logins)
			}
		})
	}
}

// Applications with different prefixes have nothing in common in a store. Behind
// another address, processes have a budget of their own and share the tokens.
func TestPrefixAndEgressSayWhatIsShared(t *testing.T) {
	for _, row := range []struct {
		prefixes, egresses [2]string
		logins, wrong      int
	}{
		{[2]string{"crm", "crm"}, [2]string{"", ""}, 1, 1},
		{[2]string{"crm", "billing"}, [2]string{"", ""}, 2, 2},
		{[2]string{"crm", "crm"}, [2]string{"north", "east"}, 1, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			memory := &store.Memory{}
			f, drivers := newShared(1, time.Hour)
			wrong, refused := newWrong("night")
			for i := range 2 {
				shared, err := session.NewShared(session.SharedSettings{Store: memory, Keys: [][]byte{sealKey}, Prefix: row.prefixes[i], Egress: row.egresses[i]})
				if err != nil {
					t.Fatal(err)
				}
				m := session.NewManager(&session.Options{Store: shared})
				defer m.Close(context.Background())
				mustToken(t, mustAdd(t, m, "7", drivers[0]))
				mustAdd(t, m, "8", refused)
				time.Sleep(time.Minute)
			}
			logins, _, _ := f.counts()
			if tried, _, _ := wrong.counts(); logins != row.logins || tried != row.wrong {
				t.Errorf("%q behind %q: %d logins, %d with the wrong password", row.prefixes, row.egresses, logins, tried)
			}
		})
	}
}

// What a process cannot read of a host stays as it is, and nothing logs in there.
func TestALedgerThatCannotBeReadIsLeftAlone(t *testing.T) {
	for _, there := range []string{`{"v":99}`, "not a ledger"} {
		synctest.Test(t, func(t *testing.T) {
			memory := &store.Memory{}
			if _, _, err := memory.Swap(t.Context(), "h/pbx.test", 0, []byte(there), 0); err != nil {
				t.Fatal(err)
			}
			f, drivers := newShared(1, time.Hour)
			m := shares(t, memory, "one")
			defer m.Close(context.Background())
			s := mustAdd(t, m, "7", drivers[0])
			time.Sleep(time.Hour)
			wantKind(t, s.Status().Err, pbx.ErrUnavailable)
			wantCounts(t, f, 0, 0, 0)
			if e, err := memory.Load(t.Context(), "h/pbx.test"); err != nil || string(e.Value) != there {
				t.Errorf("the store has %s, %v", e.Value, err)
			}
		})
	}
}

// A store that hangs is left alone, except for one operation per second. Sessions
// whose tokens work wait for none.
func TestAStoreThatHangsIsAskedOncePerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		for i := range 100 {
			f := &fake{life: time.Hour, traits: onHost(fmt.Sprintf("pbx-%d.test", i))}
			s := mustAdd(t, m, fmt.Sprint(i), f)
			mustToken(t, s)
		}
		var asked, together, most atomic.Int32
		faults.Intercept(func(store.Op) store.Fault {
			asked.Add(1)
			most.Store(max(most.Load(), together.Add(1)))
			time.AfterFunc(2*time.Second, func() { together.Add(-1) })
			return store.Fault{Delay: time.Hour}
		})
		for _, s := range m.All() {
			s.Invalidate(mustToken(t, s))
		}
		time.Sleep(10 * time.Second) // the first ones are asked at the same time
		asked.Store(0)
		most.Store(0)
		time.Sleep(5 * time.Minute)
		if n := asked.Load(); n < 50 || n > 300 || most.Load() > 2 {
			t.Errorf("%d operations in five minutes, %d at a time", n, most.Load())
		}
		faults.Intercept(nil)
		time.Sleep(30 * time.Second)
		if n := m.Stats().Live; n != 100 {
			t.Errorf("30 s after the store is back, %d of 100 are live", n)
		}
	})
}

// A token that the PBX refused is not adopted, though nobody has another yet.
func TestADeadTokenIsNotAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		f, drivers := newShared(2, 10*time.Hour)
		one, two := shares(t, memory, "one"), shares(t, memory, "two")
		defer one.Close(context.Background())
		defer two.Close(context.Background())
		s := mustAdd(t, one, "7", drivers[0])
		dead := mustToken(t, s)
		f.set(func() { f.login = fails(pbx.ErrUnavailable, false) })
		s.Invalidate(dead)
		time.Sleep(time.Minute)
		other := mustAdd(t, two, "7", drivers[1])
		time.Sleep(time.Minute)
		if token, err := other.Token(expired); err == nil {
			t.Errorf("the other process has %s", token.Value.Reveal())
		}
	})
}

func TestASessionThatIsAddedAgainAfterItsRemovalGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, drivers := newShared(2, 30*time.Minute)
		p := newPair(t, f, func(i int) pbx.Authenticator { return drivers[i] })
		defer p.close()
		if err := p.managers[0].Remove(t.Context(), "7"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s := mustAdd(t, p.managers[0], "7", drivers[0])
		time.Sleep(12 * time.Hour)
		wantState(t, s, session.Live)
		if logins, _, logouts := f.counts(); logins != 2 || logouts != 1 {
			t.Errorf("%d logins, %d logouts", logins, logouts)
		}
	})
}

// digesting is a driver that digests its credentials with the key, as those of PBXs do.
type digesting struct{ *printed }

func (d digesting) Fingerprint(_ context.Context, key []byte) ([]byte, error) {
	sum := sha256.Sum256(append(bytes.Clone(key), d.print...))
	return sum[:], nil
}

// All processes have one key for fingerprints, whether or not their store has it.
func TestAPasswordHasOneFingerprintInAllProcesses(t *testing.T) {
	for name, s := range map[string]store.Store{"the store's": &store.Memory{}, "one of Keys": tacit{&store.Memory{}}} {
		synctest.Test(t, func(t *testing.T) {
			logins := 0
			for i := range 4 {
				f, d := newWrong("night")
				m := shares(t, s, fmt.Sprint(i))
				defer m.Close(context.Background())
				mustAdd(t, m, fmt.Sprint("session-", i), digesting{d.(*printed)})
				time.Sleep(time.Minute)
				sent, _, _ := f.counts()
				logins += sent
			}
			if logins != 1 {
				t.Errorf("the key is %s: %d logins", name, logins)
			}
		})
	}
}

// A person corrects the account at the PBX, and calls Retry in one process.
func TestRetryEndsTheRefusalInAllProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		f, drivers := newShared(2, time.Hour)
		var sessions []*session.Session
		for i, d := range drivers {
			d.(*printed).wrong = true
			m := shares(t, memory, fmt.Sprint(i))
			defer m.Close(context.Background())
			sessions = append(sessions, mustAdd(t, m, "7", d))
		}
		time.Sleep(time.Minute)
		wantCounts(t, f, 1, 0, 0)
		f.set(func() { drivers[0].(*printed).wrong, drivers[1].(*printed).wrong = false, false })
		time.Sleep(time.Hour)
		wantCounts(t, f, 1, 0, 0)
		if err := sessions[1].Retry(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		p := &pair{sessions: sessions}
		p.wantOneToken(t, "token-1")
		wantCounts(t, f, 2, 0, 0)
	})
}

func TestRetryWaitsForTheStoreAsLongAsItsContextAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		f, drivers := newShared(1, time.Hour)
		drivers[0].(*printed).wrong = true
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		time.Sleep(time.Minute)
		faults.Intercept(func(store.Op) store.Fault { return store.Fault{Delay: time.Hour} })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/10)
		defer cancel()
		began := time.Now()
		err := s.Retry(ctx)
		if took := time.Since(began); took > time.Second/10 || !errors.Is(err, pbx.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %s: %v", took, err)
		}
		faults.Intercept(nil)
		time.Sleep(time.Minute)
		wantCounts(t, f, 1, 0, 0)
		if err := s.Retry(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// elsewhere runs a process on a machine of its own: in a bubble, whose clock begins
// anew. The store's clock goes on meanwhile, whatever the machine's says.
func elsewhere(t *testing.T, faults *store.Faults, run func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		run(t)
		faults.Jump(time.Since(began))
	})
}

// Processes whose clocks differ by hours, from each other's and from the store's, agree
// on how long a token is valid.
func TestTokensAreDatedByTheStoresClock(t *testing.T) {
	const lifetime, pause = 10 * time.Hour, 2 * time.Hour
	for _, ahead := range []time.Duration{0, 24 * time.Hour, -24 * time.Hour} {
		faults := (&store.Memory{}).Faults()
		faults.Jump(ahead)
		want := lifetime
		for i := range 4 {
			elsewhere(t, faults, func(t *testing.T) {
				f, drivers := newShared(1, lifetime)
				m := shares(t, faults.Process("one"), "one")
				defer m.Close(context.Background())
				s := mustAdd(t, m, "7", drivers[0])
				token := mustToken(t, s)
				left, age := time.Until(token.ExpiresAt), time.Since(token.IssuedAt)
				if left != want || left+age != lifetime {
					t.Errorf("the store is %s ahead: process %d has a token of %s that expires in %s, want in %s", ahead, i, age, left, want)
				}
				time.Sleep(7*time.Hour + time.Duration(i)*time.Minute) // it is renewed
				want = time.Until(mustToken(t, s).ExpiresAt) - pause
				if logins, beats, _ := f.counts(); (logins > 0) != (i == 0) || beats == 0 {
					t.Errorf("the store is %s ahead: process %d sends %d logins and %d keep-alives", ahead, i, logins, beats)
				}
			})
			faults.Jump(pause)
		}
	}
}

// A claim is held until its time by the store's clock, and no longer.
func TestClaimsAreDatedByTheStoresClock(t *testing.T) {
	for _, ahead := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			faults := (&store.Memory{}).Faults()
			faults.Jump(ahead)
			f, _ := newShared(0, 30*time.Minute)
			var last atomic.Bool
			p := startPair(t, f, faults, processes(t, faults), func(i int) pbx.Authenticator {
				return f.keeping(func(_ context.Context, old *pbx.Token) (*pbx.Token, error) {
					time.Sleep(5 * time.Second)
					if last.Load() && i == 0 { // it leaves its claim behind
						faults.Cut("one")
					}
					return f.dated(old.Value.Reveal()), nil
				})
			})
			defer p.close()
			time.Sleep(12 * time.Hour)
			var together int
			f.set(func() { together = f.together })
			if logins, beats, _ := f.counts(); logins != 1 || beats < 30 || together != 1 {
				t.Errorf("the store is %s ahead: %d logins, %d keep-alives, %d at a time", ahead, logins, beats, together)
			}
			last.Store(true)
			time.Sleep(12 * time.Hour)
			status := p.sessions[1].Status() // live, or in the middle of a keep-alive
			if left := time.Until(status.ExpiresAt); left <= 0 || left > 30*time.Minute {
				t.Errorf("the store is %s ahead: %v", ahead, status)
			}
		})
	}
}

// Requests have extended a token, and a process starts.
func TestALongerLifeOfATokenIsDatedByTheStoresClock(t *testing.T) {
	for _, ahead := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w := newSimulation(t, 1, []string{"sales"}, 0)
			w.faults.Jump(ahead)
			w.processes = append(w.processes, w.start())
			defer w.close()
			for range 120 {
				time.Sleep(time.Minute)
				if err := w.allWork(); err != nil {
					t.Fatal(err)
				}
			}
			w.processes = append(w.processes, w.start())
			left := time.Until(mustToken(t, w.processes[1].sessions[0]).ExpiresAt)
			if logins := w.sim.Counts().GoodLogins; logins != 1 || left <= 0 || left > 30*time.Minute {
				t.Errorf("the store is %s ahead: %d logins, the token expires in %s", ahead, logins, left)
			}
		})
	}
}

// A process whose clock is a day behind that of the one that heard of a lock waits for
// the lock's end.
func TestALockIsDatedByTheStoresClock(t *testing.T) {
	faults := (&store.Memory{}).Faults()
	elsewhere(t, faults, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		f, drivers := newShared(1, time.Hour)
		f.login = func(context.Context) (*pbx.Token, error) {
			return nil, &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrLocked, Sent: true, RetryAfter: 10 * time.Minute}
		}
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		time.Sleep(4 * time.Minute)
		wantState(t, s, session.Locked)
	})
	elsewhere(t, faults, func(t *testing.T) {
		f, drivers := newShared(1, time.Hour)
		m := shares(t, faults.Process("two"), "two")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		time.Sleep(350 * time.Second)
		wantState(t, s, session.Locked)
		wantCounts(t, f, 0, 0, 0)
		time.Sleep(20 * time.Second)
		mustToken(t, s)
	})
}

// Bookings count for a day. Processes whose clocks are days off forget none.
func TestBookingsAreDatedByTheStoresClock(t *testing.T) {
	for _, ahead := range []time.Duration{72 * time.Hour, -72 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			memory := &store.Memory{}
			memory.Faults().Jump(ahead)
			_, drivers := newShared(1, 0)
			m := shares(t, memory, "first")
			managers := []*session.Manager{m}
			mustToken(t, mustAdd(t, m, "7", drivers[0]))
			for i := range 2 {
				m := shares(t, memory, fmt.Sprint(i))
				managers = append(managers, m)
				account := fmt.Sprint(i)
				_, d := newWrong(account)
				mustAdd(t, m, account, d)
				time.Sleep(time.Minute)
				if got := booked(t, memory); len(got) != i+1 {
					t.Errorf("the store is %s ahead: after %d wrong logins: %v", ahead, i+1, got)
				}
			}
			for _, m := range managers {
				m.Close(t.Context())
			}
			time.Sleep(25 * time.Hour)
			if got := booked(t, memory); len(got) != 0 {
				t.Errorf("the store is %s ahead: a day later: %v", ahead, got)
			}
		})
	}
}

// A session that another process removed has ended here too: Done says so, its name is
// free, and the end of its Manager waits for nothing.
func TestASessionThatAnotherProcessRemovesIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, drivers := newShared(2, time.Hour)
		memory := &store.Memory{}
		one, two := shares(t, memory, "one"), shares(t, memory, "two")
		defer one.Close(context.Background())
		mustToken(t, mustAdd(t, one, "7", drivers[0]))
		s := mustAdd(t, two, "7", drivers[1])
		mustToken(t, s)
		if err := one.Remove(t.Context(), "7"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		select {
		case <-s.Done():
		default:
			t.Errorf("Done is open: %v", s.Status())
		}
		if _, there := two.Session("7"); there {
			t.Error("its Manager has it")
		}
		began := time.Now()
		if err := two.Close(t.Context()); err != nil || time.Since(began) > 0 {
			t.Errorf("after %s, Close returns %v", time.Since(began), err)
		}
		wantCounts(t, f, 1, 0, 1)
	})
}

// After a loss, another process has removed the session.
func TestASessionThatWasRemovedAfterALossIsNotPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, drivers := newShared(2, 30*time.Minute)
		faults, s, done := lost(t, f, drivers)
		defer done()
		two := shares(t, faults.Process("two"), "two")
		defer two.Close(context.Background())
		mustToken(t, mustAdd(t, two, "7", drivers[1]))
		if err := two.Remove(t.Context(), "7"); err != nil {
			t.Fatal(err)
		}
		faults.Rejoin("one")
		time.Sleep(time.Hour)
		wantState(t, s, session.Closed)
		if logins, _, _ := f.counts(); logins != 2 {
			t.Errorf("%d logins", logins)
		}
	})
}

// The first booking of a host counts as long as the others, although its process has
// not yet heard what time it is at the store.
func TestTheFirstBookingIsDatedByTheStoresClock(t *testing.T) {
	for _, ahead := range []time.Duration{72 * time.Hour, -72 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			memory := &store.Memory{}
			memory.Faults().Jump(ahead)
			m := shares(t, memory, "one")
			defer m.Close(context.Background())
			_, d := newWrong("night")
			mustAdd(t, m, "night", d)
			time.Sleep(time.Minute)
			if got := booked(t, memory); len(got) != 1 {
				t.Errorf("the store is %s ahead: after a wrong login: %v", ahead, got)
			}
		})
	}
}

// The reason says what is wrong with a damaged ledger.
func TestALedgerThatIsDamagedIsNotAStoreThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		if _, _, err := memory.Swap(t.Context(), "h/pbx.test", 0, []byte("not a ledger"), 0); err != nil {
			t.Fatal(err)
		}
		_, drivers := newShared(1, time.Hour)
		m := shares(t, memory, "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		time.Sleep(time.Minute)
		if text := s.Status().Err.Error(); !strings.Contains(text, "cannot be read") {
			t.Error(text)
		}
	})
}

// A store that serves reads and refuses writes, as one without memory does, is left
// alone like one that is away, and the reason is its own.
func TestAStoreThatRefusesWritesIsNotFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		faults.Intercept(func(op store.Op) (f store.Fault) {
			if op.Swap {
				f.Before = errors.New("out of memory")
			}
			return f
		})
		_, drivers := newShared(1, time.Hour)
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		time.Sleep(time.Minute)
		if n := m.Stats().Store.Operations; n > 400 {
			t.Errorf("%d operations in a minute", n)
		}
		if err := s.Status().Err; !strings.Contains(err.Error(), "out of memory") {
			t.Errorf("the reason is %v", err)
		}
	})
}

// A request that reports a dead token does not wait for the store, which hangs.
func TestARefusedTokenIsReportedWithoutAWaitForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		_, drivers := newShared(1, time.Hour)
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		token := mustToken(t, s)
		var works atomic.Bool
		faults.Intercept(func(store.Op) (f store.Fault) {
			if !works.Load() {
				f.Delay = time.Hour
			}
			return f
		})
		began := time.Now()
		s.Invalidate(token)
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %s", took)
		}
		time.Sleep(10 * time.Second)
		works.Store(true)
		time.Sleep(time.Minute)
		if next := mustToken(t, s); next == token {
			t.Error("the token is still the refused one")
		}
	})
}

// A process whose booking came too late decides anew, by what the quicker one has
// written.
func TestABookingThatCameTooLateIsDecidedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		var swaps atomic.Int32
		faults.Intercept(func(op store.Op) (f store.Fault) {
			if op.Process == "one" && op.Swap && strings.HasPrefix(op.Key, "h/") && swaps.Add(1) == 1 {
				f.Delay = time.Second
			}
			return f
		})
		late, lateDriver := newWrong("night")
		quick, quickDriver := newWrong("night")
		one, two := shares(t, tacit{faults.Process("one")}, "one"), shares(t, tacit{faults.Process("two")}, "two")
		defer one.Close(context.Background())
		defer two.Close(context.Background())
		mustAdd(t, one, "7", lateDriver)
		time.Sleep(100 * time.Millisecond)
		mustAdd(t, two, "8", quickDriver)
		time.Sleep(time.Minute)
		wantCounts(t, quick, 1, 0, 0)
		wantCounts(t, late, 0, 0, 0)
	})
}

// liar is a store whose Swaps are not what it says.
type liar struct {
	store.Store
	says func(named uint64, e *store.Entry, won *bool)
}

func (liar) Key() []byte { return bytes.Repeat([]byte{9}, 32) }

func (l liar) Swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (store.Entry, bool, error) {
	e, won, err := l.Store.Swap(ctx, key, rev, value, keep)
	l.says(rev, &e, &won)
	return e, won, err
}

// A store that breaks a promise is named, and like one that is away: nothing logs in.
func TestAStoreThatBreaksAPromiseIsNamedAndNothingLogsIn(t *testing.T) {
	for promise, says := range map[string]func(uint64, *store.Entry, *bool){
		"ST-01": func(named uint64, e *store.Entry, won *bool) { e.Rev, *won = named, false },
		"ST-03": func(named uint64, e *store.Entry, _ *bool) { e.Rev = named },
		"ST-04": func(_ uint64, e *store.Entry, won *bool) { e.Value, *won = nil, false },
	} {
		synctest.Test(t, func(t *testing.T) {
			l := liar{&store.Memory{}, says}
			f, drivers := newShared(1, time.Hour)
			m := shares(t, l, "one")
			defer m.Close(context.Background())
			s := mustAdd(t, m, "7", drivers[0])
			time.Sleep(time.Minute)
			if err := s.Status().Err; err == nil || !strings.Contains(err.Error(), promise+", ") {
				t.Errorf("%s: the reason is %v", promise, err)
			}
			wantCounts(t, f, 0, 0, 0)

			guard, err := session.NewGuard(liar{&store.Memory{}, says})
			if err != nil {
				t.Fatal(err)
			}
			alone := session.NewManager(&session.Options{Guard: guard})
			defer alone.Close(context.Background())
			s = mustAdd(t, alone, "7", drivers[0])
			time.Sleep(time.Minute)
			if err := s.Status().Err; err == nil || !strings.Contains(err.Error(), promise+", ") {
				t.Errorf("%s, a Guard alone: %v", promise, s.Status())
			}
			wantCounts(t, f, 0, 0, 0)
		})
	}
}
