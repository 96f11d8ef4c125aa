package lockout_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/internal/thorough"
	"github.com/pbxauth/pbx/session/lockout"
)

// inRow is the PBX that most vendors describe: five wrong logins in a row lock
// the address, and no time is named after which one is forgotten.
func inRow() model {
	return model{attempts: 5, count: "row", scope: "address", reset: "nothing", covers: "logins", look: "stated", window: 10 * time.Minute}
}

func resets(m model, what string) model { m.reset = what; return m }
func locksAt(m model, n int) model      { m.attempts = n; return m }
func looks(m model, like string) model  { m.look = like; return m }
func perAccount(m model) model          { m.scope = "account"; return m }
func deadTokensCount(m model) model     { m.dead = true; return m }
func (w *world) every(d time.Duration, n int, do func()) {
	for range n {
		do()
		w.run(d)
	}
}

func TestChangedPasswordIsSentOnce(t *testing.T) {
	w := newWorld(t, inRow())
	others := w.good(5)
	w.pbx().passwords["crm"] = 1
	for i := range 8 {
		w.add("crm", 1).name = fmt.Sprintf("crm-%d", i)
	}
	w.run(time.Minute)
	w.pbx().passwords["crm"] = 2
	for _, s := range w.sessions {
		if s.account == "crm" || s == others[0] {
			w.drop(s)
		}
	}
	w.run(24 * time.Hour)
	w.wantWrong(1)
	w.wantNoLock()
	if !w.allLive(others) {
		w.fatalf("the other accounts are not live")
	}
}

func TestSixteenProcessesSendAWrongPasswordOnce(t *testing.T) {
	w := newWorld(t, inRow())
	w.pbx().passwords["crm"] = 2
	for i := range 15 {
		w.process(fmt.Sprintf("crm-%d", i))
	}
	for _, p := range w.processes {
		w.add("crm", 1).process = p
	}
	w.every(time.Hour, 24, w.wakeAll)
	w.wantWrong(1)
}

func TestWrongPasswordIsSentAgainOnceWhereALockLooksLikeIt(t *testing.T) {
	w := newWorld(t, looks(inRow(), "wrong"))
	w.pbx().passwords["crm"] = 1
	for range 8 {
		w.add("crm", 1)
	}
	w.run(time.Minute)
	w.pbx().passwords["crm"] = 2
	for _, s := range w.sessions {
		w.drop(s)
	}
	w.run(24 * time.Hour)
	w.wantWrong(2)
	w.wantNoLock()
	if w.pbx().wrongLogins != 2 {
		w.fatalf("no second try after the lock could have ended")
	}
}

func TestRemoveAndAddDoesNotSendARefusedPasswordAgain(t *testing.T) {
	w := newWorld(t, inRow())
	w.pbx().passwords["crm"] = 2
	w.every(time.Minute, 72*60, func() {
		w.sessions = nil
		w.add("crm", 1)
	})
	w.wantWrong(1)
}

func TestRestartsDoNotSendARefusedPasswordAgain(t *testing.T) {
	w := newWorld(t, inRow())
	w.pbx().passwords["crm"] = 2
	w.add("crm", 1)
	w.every(time.Minute, 1000, func() {
		data, err := w.store.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		w.store = lockout.Host{}
		if err := w.store.UnmarshalJSON(data); err != nil {
			t.Fatal(err)
		}
		w.kill(w.processes[0])
		w.boot(w.processes[0])
	})
	w.wantWrong(1)
}

func TestProcessKilledRightAfterTheVerdictSendsAtMostTwo(t *testing.T) {
	w := newWorld(t, inRow())
	w.pbx().passwords["crm"] = 2
	w.add("crm", 1)
	p := w.processes[0]
	w.judged = func(*session) {
		w.kill(p)
		w.after(5*time.Second, func() { w.boot(p) })
	}
	w.run(24 * time.Hour)
	w.wantWrong(2)
	if w.pbx().wrongLogins < 2 {
		w.fatalf("the login of the killed process was never tried again")
	}
}

func TestKilledProcessLeavesItsBooking(t *testing.T) {
	w := newWorld(t, inRow())
	p := w.processes[0]
	w.judged = func(*session) {
		w.kill(p)
		w.after(time.Second, func() { w.boot(p) })
	}
	for i := range 20 {
		account := fmt.Sprintf("new-%d", i)
		w.pbx().passwords[account] = 2
		w.add(account, 1)
		w.run(time.Minute)
	}
	w.wantNoLock()
	w.wantWrong(4)
}

func TestRetryLoopStopsBeforeTheLock(t *testing.T) {
	w := newWorld(t, inRow())
	w.pbx().passwords["crm"] = 2
	s := w.add("crm", 1)
	var last lockout.Decision
	w.every(time.Second, 3600, func() { last = w.retry(s) })
	w.every(time.Minute, 71*60, func() { last = w.retry(s) })
	w.wantWrong(3)
	w.wantNoLock()
	if last.Reason != lockout.NoPlace || last.Verdict != lockout.WaitPerson || len(last.Used) != 3 || last.Used[0].Account != "crm" {
		w.fatalf("a retry without a place reports %+v", last)
	}
}

func TestRetryWorksOnceInTenSeconds(t *testing.T) {
	w := newWorld(t, inRow())
	w.pbx().passwords["crm"] = 2
	s := w.add("crm", 1)
	w.run(time.Second)
	if d := w.retry(s); d.Reason != lockout.None {
		w.fatalf("the first retry says %v", d.Reason)
	}
	w.run(5 * time.Second)
	w.wantWrong(2)
	if d := w.retry(s); d.Reason != lockout.RetriedJustNow || d.Until.Sub(w.now) > 5*time.Second {
		w.fatalf("a retry after 5 s says %+v", d)
	}
	w.run(time.Minute)
	w.wantWrong(2)
}

func TestRetryOfWhatDoesNotWaitSaysSo(t *testing.T) {
	w := newWorld(t, inRow())
	s := w.good(1)[0]
	if d := w.retry(s); d.Reason != lockout.NothingToRetry {
		w.fatalf("retry of a live session says %v", d.Reason)
	}
}

func TestOneFaultAfterAnotherBesideTwelveWrongAccounts(t *testing.T) {
	for _, reset := range []string{"nothing", "account"} {
		for _, n := range []int{4, 5, 8} {
			w := newWorld(t, resets(locksAt(inRow(), n), reset))
			good := w.good(1)
			for i := range 12 {
				account := fmt.Sprintf("wrong-%d", i)
				w.pbx().passwords[account] = 2
				w.add(account, 1)
			}
			w.run(time.Minute)
			for i := range 100 {
				w.path[theURL] = []string{"refused", "502", "reset", "mute", "lost"}[i%5]
				w.drop(good[0])
				w.run(11 * time.Second)
				delete(w.path, theURL)
				if took := w.until(time.Minute, good); took > 15*time.Second {
					w.fatalf("fault %d, %d lock, resets %s: live after %v", i, n, reset, took)
				}
				w.run(time.Hour)
			}
			w.wantNoLock()
		}
	}
}

func TestManyWrongAndNewAccountsWhereASuccessResetsTheAddress(t *testing.T) {
	for _, c := range []struct {
		n    int
		most time.Duration
	}{{3, 35 * time.Minute}, {4, 35 * time.Minute}, {5, 20 * time.Minute}} {
		orders := 10 // the good ones last, first, each sixth from one of six on, and anywhere
		if thorough.Tests() {
			orders = 20
		}
		if testing.Short() || lockout.RaceBuild {
			orders = 5
		}
		for order := range orders {
			places := rand.New(rand.NewPCG(1, uint64(order))).Perm(120)
			w := newWorld(t, resets(locksAt(inRow(), c.n), "address"))
			w.good(1)
			var good []*session
			for i := range 120 {
				account := fmt.Sprintf("new-%d", i)
				w.pbx().passwords[account] = 1
				isGood := places[i] < 20
				switch {
				case order == 0:
					isGood = i >= 100
				case order == 1:
					isGood = i < 20
				case order < 8:
					isGood = i%6 == order-2
				}
				if isGood {
					good = append(good, w.add(account, 1))
				} else {
					w.add(account, 9)
				}
				w.run(time.Millisecond)
			}
			if took := w.until(time.Hour, good); took > c.most {
				w.fatalf("%d lock, order %d: all good accounts are live after %v, want %v", c.n, order, took, c.most)
			}
			w.wantNoLock()
		}
	}
}

func TestManyWrongAccountsWhereNothingResets(t *testing.T) {
	w := newWorld(t, inRow())
	for i := range 120 {
		account := fmt.Sprintf("new-%d", i)
		w.pbx().passwords[account] = 1
		w.add(account, 9)
	}
	w.run(26 * time.Hour)
	w.wantNoLock()
	w.wantWrong(3)
	for _, s := range w.sessions {
		d := s.decision
		if d.Reason == lockout.PasswordRefused {
			continue
		}
		if d.Verdict != lockout.WaitPerson || d.Reason != lockout.NoPlace || len(d.Used) != 3 || d.Used[0].Account == "" {
			w.fatalf("%s waits: %+v", s.name, d)
		}
	}
	w.forgive()
	w.run(time.Minute)
	w.wantWrong(6)
	w.wantNoLock()
}

func TestPeopleWhoMistypeOnce(t *testing.T) {
	m := inRow()
	m.count, m.memory = "sliding", 24*time.Hour
	w := newWorld(t, m)
	for i := range 6 {
		account := fmt.Sprintf("person-%d", i)
		w.pbx().passwords[account] = 1
		s := w.add(account, 9)
		w.run(5 * time.Minute)
		w.correct(s, 1)
		w.run(time.Minute)
	}
	w.wantNoLock()
}

func TestOneWrongAccountADay(t *testing.T) {
	for _, m := range []model{inRow(), resets(inRow(), "account")} {
		w := newWorld(t, m)
		w.good(1)
		for i := range 10 {
			account := fmt.Sprintf("wrong-%d", i)
			w.pbx().passwords[account] = 1
			w.add(account, 9)
			w.run(24 * time.Hour)
		}
		w.wantNoLock()
		w.wantWrong(2)
	}
}

func TestFleetIsLiveSoonAfterAnOutage(t *testing.T) {
	for _, path := range []string{"refused", "reset", "mute", "502", "500", "reset after"} {
		for _, outage := range []time.Duration{5 * time.Second, 20 * time.Second, 70 * time.Second, time.Hour} {
			for _, sessions := range []int{1, 10} {
				for _, n := range []int{3, 5} {
					w := newWorld(t, locksAt(inRow(), n))
					good := w.good(sessions)
					w.path[theURL] = path
					for _, s := range good {
						w.drop(s)
					}
					w.run(outage)
					delete(w.path, theURL)
					took := w.until(10*time.Minute, good)
					if most := 15*time.Second + outage/100; took > most {
						w.fatalf("%s for %v, %d sessions, %d lock: live after %v, want %v", path, outage, sessions, n, took, most)
					}
					w.wantBookings(0)
				}
			}
		}
	}
}

func TestServiceStartsDuringAnOutage(t *testing.T) {
	for _, path := range []string{"refused", "reset", "mute", "502"} {
		for _, outage := range []time.Duration{20 * time.Second, time.Hour} {
			w := newWorld(t, inRow())
			w.path[theURL] = path
			var all []*session
			for i := range 10 {
				account := fmt.Sprintf("new-%d", i)
				w.pbx().passwords[account] = 1
				all = append(all, w.add(account, 1))
			}
			w.run(outage)
			delete(w.path, theURL)
			if took := w.until(10*time.Minute, all); took > 15*time.Second+outage/100 {
				w.fatalf("%s for %v: live after %v", path, outage, took)
			}
			w.wantBookings(0)
		}
	}
}

func TestFrozenPBX(t *testing.T) {
	for _, n := range []int{3, 5} {
		w := newWorld(t, locksAt(inRow(), n))
		good := w.good(10)
		w.path[theURL] = "mute"
		for _, s := range good {
			w.drop(s)
		}
		w.run(50 * time.Second)
		delete(w.path, theURL)
		if took := w.until(10*time.Minute, good); took > 15*time.Second {
			w.fatalf("live after %v", took)
		}
		w.wantBookings(0)
	}
}

func TestOneLockedAccountDoesNotStopTheOthers(t *testing.T) {
	w := newWorld(t, perAccount(inRow()))
	good := w.good(5)
	w.pbx().lock(w.now, good[0].account)
	w.pbx().reboot()
	w.touchAll()
	if took := w.until(time.Minute, good[1:]); took > 15*time.Second {
		w.fatalf("the other four are live after %v", took)
	}
	if d := good[0].decision; d.Reason != lockout.LockedByPBX {
		w.fatalf("the locked account waits: %v", d.Reason)
	}
	if took := w.until(time.Hour, good); took > 10*time.Minute+15*time.Second {
		w.fatalf("the locked account is live after %v", took)
	}
}

func TestWrongLoginsOfOneAccountDoNotHoldUpAnotherWhereTheCountIsTheAccounts(t *testing.T) {
	w := newWorld(t, perAccount(inRow()))
	for i := range 20 {
		account := fmt.Sprintf("wrong-%d", i)
		w.pbx().passwords[account] = 1
		w.add(account, 9)
	}
	w.run(time.Minute)
	w.pbx().passwords["new"] = 1
	s := w.add("new", 1)
	if took := w.until(time.Minute, []*session{s}); took > 15*time.Second {
		w.fatalf("a new account is live after %v: %v", took, s.decision)
	}
	w.wantNoLock()
}

func TestAddressLockedBySomebodyElse(t *testing.T) {
	for _, look := range []string{"stated", "wrong", "mute", "reset"} {
		for _, sessions := range []int{1, 3, 10} {
			for _, reset := range []string{"address", "nothing"} {
				for _, prolong := range []bool{false, true} {
					m := resets(looks(inRow(), look), reset)
					m.prolong = prolong
					w := newWorld(t, m)
					good := w.good(sessions)
					w.pbx().lock(w.now, "")
					w.pbx().reboot()
					w.touchAll()
					most := m.window + 15*time.Second
					if look == "mute" || look == "reset" {
						most = m.window + 3*time.Minute
					}
					// A login that prolongs the lock moves its end.
					w.run(time.Second)
					if prolong {
						most += time.Minute
					}
					if took := w.until(2*time.Hour, good); took > most {
						w.fatalf("%s, %d sessions, resets %s, prolongs %v: live after %v, want %v", look, sessions, reset, prolong, took, most)
					}
					w.wantNoLock()
				}
			}
		}
	}
}

func TestAllResponsesLost(t *testing.T) {
	for _, accounts := range []int{1, 10, 100} {
		w := newWorld(t, inRow())
		all := w.good(accounts)
		for _, s := range all {
			w.pbx().passwords[s.account] = 2
			w.drop(s)
		}
		w.path[theURL] = "lost"
		w.run(48 * time.Hour)
		w.wantWrong(4)
		w.wantNoLock()
		w.forgive()
		delete(w.path, theURL)
		w.run(time.Minute)
		w.wantNoLock()
	}
}

func TestIdleSessionsSendOneDeadTokenPerRestart(t *testing.T) {
	m := deadTokensCount(resets(inRow(), "account"))
	m.restart = true
	w := newWorld(t, m)
	all := w.good(30)
	for range 10 {
		before := w.pbx().deadTokens
		w.pbx().reboot()
		w.touchAll()
		if got := w.pbx().deadTokens - before; got != 1 {
			w.fatalf("%d dead tokens were sent, want 1", got)
		}
		if took := w.until(time.Minute, all); took > 15*time.Second {
			w.fatalf("live after %v", took)
		}
		w.run(time.Hour)
	}
	w.wantNoLock()
}

func TestDeadTokensCountEvenWhereNothingElseWentWrong(t *testing.T) {
	m := deadTokensCount(inRow())
	w := newWorld(t, m)
	w.good(1)
	for i := range 4 {
		w.pbx().reboot()
		w.touchAll()
		w.run(time.Minute)
		if got := len(w.store.Status(w.now, w.processes[0].local).Bookings); got != i+1 && i < 3 {
			w.fatalf("%d bookings after %d dead tokens", got, i+1)
		}
	}
	w.wantNoLock()
}

func TestUnknownWhetherDeadTokensCount(t *testing.T) {
	for name, touch := range map[string]func(*world){"all at once": (*world).touchAll, "one account after another": (*world).touchInTurn} {
		m := inRow()
		m.understate = true
		w := newWorld(t, m)
		all := w.good(30)
		for range 24 {
			before, logins := w.pbx().deadTokens, loginsOf(all)
			w.pbx().reboot()
			touch(w)
			if got := w.pbx().deadTokens - before; got > 2 {
				w.fatalf("%s: %d dead tokens were sent, want at most 2", name, got)
			}
			if took := w.until(time.Minute, all); took > 10*time.Second {
				w.fatalf("%s: live after %v", name, took)
			}
			if n := loginsOf(all) - logins; n != 30 {
				w.fatalf("%s: %d logins of 30 accounts", name, n)
			}
			w.run(time.Hour)
		}
	}
}

func loginsOf(all []*session) (n int) {
	for _, s := range all {
		n += s.logins
	}
	return n
}

// Where they count though nobody says so, a restart leaves room for a wrong password
// and for two faults.
func TestUnsaidDeadTokensThatCountDoNotLock(t *testing.T) {
	m := inRow()
	m.understate = true
	w := newWorld(t, m)
	all := w.good(8)
	w.pbx().dead = true
	w.pbx().reboot()
	w.touchInTurn()
	w.correct(w.add("good-0", 1), 1000)
	w.run(time.Minute)
	if n := w.pbx().wrongLogins; n != 1 {
		w.fatalf("%d wrong logins", n)
	}
	if !w.allLive(all) || w.pbx().causedByDead+w.pbx().caused > 0 {
		w.fatalf("the PBX has locked")
	}
}

func TestOneRevokedTokenLeavesTheOthersAlone(t *testing.T) {
	m := inRow()
	m.understate = true
	for i := range 8 {
		w := newWorld(t, m)
		all := w.good(8)
		for range 3 {
			delete(w.pbx().tokens, all[i].token)
			before := loginsOf(all)
			w.touch(all[i])
			w.run(time.Minute)
			w.touchInTurn()
			w.run(time.Minute)
			if n := loginsOf(all) - before; n != 1 || !w.allLive(all) {
				w.fatalf("%d logins after token %d was revoked", n, i)
			}
		}
	}
}

func TestTokensAreUsedOneAtATimeAfterOneWasRefused(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	var l lockout.Local
	var h lockout.Host
	limits := lockout.Resolve(pbx.Lockout{}, 0)
	number := uint64(0)
	refuse := func(issued time.Time) time.Time {
		number++
		g := lockout.Login{URL: theURL, Account: "a", Limits: limits}
		return h.TokenRefused(now, &l, g, lockout.Refusal{ID: lockout.ID{Number: number}, Issued: issued, Read: now})
	}
	wantCare := func(what string, before time.Time) {
		t.Helper()
		if got := l.Careful(now); !got.Equal(before) {
			t.Errorf("%s: tokens from before %v are used one at a time, want %v", what, got, before)
		}
		if !before.IsZero() && (!l.OneTokenAtATime(theURL, before.Add(-time.Millisecond), now) || l.OneTokenAtATime(theURL, before, now)) {
			t.Errorf("%s: OneTokenAtATime and Careful disagree", what)
		}
	}
	first := now
	if until := refuse(ago(time.Hour)); !until.IsZero() || h.Suspect(theURL, ago(2*time.Hour)) {
		t.Errorf("after one refusal, tokens until %v are suspect", until)
	}
	wantCare("after one refusal", first)
	now = now.Add(time.Minute)
	l.TokenAccepted(theURL, ago(30*time.Second), now, now)
	wantCare("a newer token was accepted", first)
	l.TokenAccepted(theURL, ago(90*time.Second), first, now)
	wantCare("the request was sent before the refusal was read", first)
	l.TokenAccepted(theURL, time.Time{}, now, now)
	wantCare("nobody knows from when the token is", first)
	accepted := ago(90 * time.Second)
	l.TokenAccepted(theURL, accepted, now, now)
	wantCare("a token was accepted from between the refused one and the refusal", accepted)
	if until := refuse(ago(30 * time.Second)); !until.IsZero() {
		t.Errorf("a newer token was refused, and tokens until %v are suspect", until)
	}
	wantCare("a newer token was refused", now)
	now = now.Add(time.Minute)
	l.TokenAccepted(theURL, ago(3*time.Hour), now, now)
	wantCare("a token was accepted that is older than the refused one", time.Time{})

	refuse(ago(time.Hour))
	died := now
	now = now.Add(time.Minute)
	until := refuse(ago(2 * time.Hour))
	if !h.Suspect(theURL, died.Add(-time.Millisecond)) || h.Suspect(theURL, died) || h.Suspect("https://other.example", ago(time.Hour)) ||
		until.Before(died.Add(-time.Millisecond)) || !until.Before(died) {
		t.Errorf("after two refusals, tokens until %v are suspect, want those of before %v of that URL and no others", until, died)
	}
	wantCare("after two refusals", time.Time{})
	if again := refuse(ago(time.Hour)); !again.Equal(until) {
		t.Errorf("a suspect token was refused, and those until %v are suspect, want %v", again, until)
	}
	wantCare("a suspect token was refused", time.Time{})
	if n := len(h.Status(now, &l).Bookings); n != 0 {
		t.Errorf("%d bookings, though nobody says that dead tokens count", n)
	}
}

func TestTheCareForTokensEndsWithTheMemoryOfWrongLogins(t *testing.T) {
	for memory, lasts := range map[time.Duration]time.Duration{time.Hour: time.Hour, 0: 24 * time.Hour, 72 * time.Hour: 24 * time.Hour, pbx.Forever: 24 * time.Hour} {
		var l lockout.Local
		var h lockout.Host
		now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
		g := lockout.Login{URL: theURL, Account: "a", Limits: lockout.Resolve(pbx.Lockout{Memory: memory}, 0)}
		h.TokenRefused(now, &l, g, lockout.Refusal{ID: lockout.ID{Number: 1}, Issued: now.Add(-time.Hour), Read: now})
		if l.Careful(now.Add(lasts)).IsZero() || l.Quiet(now.Add(lasts)) {
			t.Errorf("Memory %v: the care has ended before %v", memory, lasts)
		}
		now = now.Add(lasts + 3*time.Second)
		if !l.Careful(now).IsZero() || !l.Quiet(now) || l.OneTokenAtATime(theURL, now.Add(-30*time.Hour), now) {
			t.Errorf("Memory %v: the care has not ended after %v", memory, lasts)
		}
		if until := h.TokenRefused(now, &l, g, lockout.Refusal{ID: lockout.ID{Number: 2}, Issued: now.Add(-30 * time.Hour), Read: now}); !until.IsZero() {
			t.Errorf("Memory %v: a refusal after that is not the first", memory)
		}
	}
}
