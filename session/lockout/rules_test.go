package lockout_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/lockout"
)

// rules is one process and one host, played by hand.
type rules struct {
	t     *testing.T
	host  lockout.Host
	local lockout.Local
	now   time.Time
	ids   uint64
	name  string
}

func play(t *testing.T) *rules {
	return &rules{t: t, now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), name: "p"}
}

// account is a login of an account whose password is its fingerprint.
func account(name string, l pbx.Lockout) lockout.Login {
	return lockout.Login{URL: theURL, Account: name, Fingerprint: lockout.FingerprintOf([]byte(name)), Limits: lockout.Resolve(l, 0)}
}

func (x *rules) pass(d time.Duration) { x.now = x.now.Add(d) }

// responds gives evidence about the URL.
func (x *rules) responds(g lockout.Login) {
	x.local.Checked(g.URL, x.now, x.now, lockout.Page{Status: 200})
}

func (x *rules) ask(g lockout.Login) lockout.Decision { return x.host.Ask(x.now, &x.local, g) }

func (x *rules) want(g lockout.Login, v lockout.Verdict, r lockout.Reason) lockout.Decision {
	x.t.Helper()
	d := x.ask(g)
	if d.Verdict != v || d.Reason != r {
		x.t.Fatalf("%s: got %d (%v) until %v, want %d (%v)", g.Account, d.Verdict, d.Reason, d.Until, v, r)
	}
	return d
}

func (x *rules) wantUntil(g lockout.Login, r lockout.Reason, d time.Duration) {
	x.t.Helper()
	got := x.want(g, lockout.Wait, r).Until.Sub(x.now)
	if diff := got - d; diff < 0 || diff > 3*time.Second {
		x.t.Fatalf("%s waits %v (%v), want %v", g.Account, got, r, d)
	}
}

// book books a login after a check that succeeded.
func (x *rules) book(g lockout.Login) lockout.Booking {
	x.t.Helper()
	return x.goes(g, lockout.Page{Status: 200})
}

func (x *rules) settle(g lockout.Login, b lockout.Booking, k lockout.OutcomeKind) {
	x.pass(100 * time.Millisecond)
	x.host.Settle(x.now, &x.local, g, b, lockout.Outcome{Kind: k})
}

// login books a login and settles it.
func (x *rules) login(g lockout.Login, k lockout.OutcomeKind) {
	x.t.Helper()
	x.settle(g, x.book(g), k)
}

func (x *rules) wantBookings(n int) {
	x.t.Helper()
	if got := x.host.Status(x.now, &x.local).Bookings; len(got) != n {
		x.t.Fatalf("%d bookings stand, want %d: %+v", len(got), n, got)
	}
}

func inRowLimits() pbx.Lockout { return inRow().stated() }

// manyPlaces are the limits of a PBX that locks after ten wrong logins in a row.
func manyPlaces() pbx.Lockout {
	l := inRowLimits()
	l.Attempts = 10
	return l
}

func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		attempts, most         int
		dead                   bool
		proven, new, newAtLone int
	}{
		{1, 0, false, 1, 1, 1},
		{2, 0, false, 1, 1, 1},
		{3, 0, false, 2, 1, 1},
		{4, 0, false, 3, 1, 2},
		{5, 0, false, 4, 2, 3},
		{10, 0, false, 9, 7, 8},
		{3, 0, true, 2, 1, 1},
		{4, 0, true, 2, 1, 1},
		{5, 0, true, 3, 1, 2},
		{5, 2, false, 2, 2, 2},
		{5, 9, false, 4, 2, 3},
		{0, 0, false, 4, 2, 3}, // 5 are assumed
	} {
		l := inRowLimits()
		l.Attempts = c.attempts
		if c.dead {
			l.DeadTokens = pbx.DeadTokensCount
		}
		wrong := func(x *rules) (n int) {
			for i := range 20 {
				g := account(fmt.Sprintf("wrong-%d", i), l)
				g.Limits = lockout.Resolve(l, c.most)
				x.responds(g)
				if x.ask(g).Reason == lockout.NoPlace {
					return n
				}
				x.login(g, lockout.Refused)
				n++
			}
			return n
		}
		x := play(t)
		if got := wrong(x); got != c.newAtLone {
			t.Errorf("%+v: %d places for new credentials where nothing is proven, want %d", c, got, c.newAtLone)
		}
		x = play(t)
		good := account("good", l)
		good.Limits = lockout.Resolve(l, c.most)
		x.login(good, lockout.Success)
		if got := wrong(x); got != c.new {
			t.Errorf("%+v: %d places for new credentials, want %d", c, got, c.new)
		}
		n := 0
		for ; n < 20; n++ { // a person unlocks nothing: proven accounts use the rest, one lost response each
			g := good
			x.pass(time.Hour)
			x.responds(g)
			if x.ask(g).Reason == lockout.NoPlace {
				break
			}
			x.login(g, lockout.Unclear)
		}
		if got := c.new + n; got != max(c.proven, c.new) {
			t.Errorf("%+v: %d places for proven credentials, want %d", c, got, c.proven)
		}
	}
}

func TestOutcomesAndBookings(t *testing.T) {
	for _, c := range []struct {
		kind     lockout.OutcomeKind
		bookings int
		proven   int
		doubt    bool
	}{
		{lockout.Success, 0, 1, false},
		{lockout.Refused, 1, 0, false},
		{lockout.Unclear, 1, 0, true},
		{lockout.Locked, 0, 0, false},
		{lockout.NotSent, 0, 0, true},
		{lockout.TooManySessions, 0, 0, false},
		{lockout.Throttled, 0, 0, false},
		{lockout.Withdrawn, 0, 0, false},
		{lockout.NotJudged, 1, 0, true}, // of new credentials
	} {
		x := play(t)
		x.login(account("a", inRowLimits()), c.kind)
		s := x.host.Status(x.now, &x.local)
		if len(s.Bookings) != c.bookings || s.Proven != c.proven || s.InDoubt.IsZero() == c.doubt {
			t.Errorf("outcome %d: %d bookings, %d proven, in doubt since %v; want %+v", c.kind, len(s.Bookings), s.Proven, s.InDoubt, c)
		}
	}
}

func TestVerdictEndsDoubtAndTooManySessionsIsOne(t *testing.T) {
	for _, kind := range []lockout.OutcomeKind{lockout.Success, lockout.Refused, lockout.TooManySessions, lockout.Locked} {
		x := play(t)
		a, b := account("a", inRowLimits()), account("b", inRowLimits())
		x.login(a, lockout.NotSent)
		x.login(b, kind)
		if since := x.local.InDoubt(); !since.IsZero() {
			t.Errorf("outcome %d leaves the host in doubt since %v", kind, since)
		}
	}
}

func TestSuccessOfTheSameAccountClearsNothingWhereNobodySays(t *testing.T) {
	w := newWorld(t, inRow())
	w.pbx().passwords["crm"] = 1
	s := w.add("crm", 1)
	w.run(time.Minute)
	for i := range 10 {
		w.correct(s, 100+i)
		w.drop(s)
		w.run(time.Minute)
		w.correct(s, 1)
		w.run(time.Minute)
	}
	w.wantNoLock()
	w.wantWrong(2)
}

func TestSuccessSaysNothingAboutOthersUnclearLogins(t *testing.T) {
	x := play(t)
	good := account("good", inRowLimits())
	x.login(good, lockout.Success)
	x.login(account("other", inRowLimits()), lockout.Unclear)
	x.pass(time.Minute)
	x.login(good, lockout.Success)
	x.wantBookings(1)
}

func TestSuccessRemovesUnclearLoginsOfItsCredentials(t *testing.T) {
	x := play(t)
	a := account("a", inRowLimits())
	x.login(a, lockout.Unclear)
	x.pass(2 * time.Second)
	x.login(a, lockout.Unclear)
	x.wantBookings(2)
	x.pass(time.Minute)
	x.login(a, lockout.Success)
	x.wantBookings(0)
}

func TestSuccessDoesNotClearAnotherPortOfTheHost(t *testing.T) {
	l := inRowLimits()
	l.Reset = pbx.ResetAddress
	for _, same := range []bool{true, false} {
		x := play(t)
		x.login(account("wrong", l), lockout.Refused)
		good := account("good", l)
		if !same {
			good.URL = "https://pbx.example:8443"
		}
		x.pass(time.Second)
		x.login(good, lockout.Success)
		x.wantBookings(map[bool]int{true: 0, false: 1}[same])
	}
}

func TestResetAccountClearsOnlyTheAccount(t *testing.T) {
	l := inRowLimits()
	l.Reset = pbx.ResetAccount
	x := play(t)
	old := account("a", l)
	old.Fingerprint = lockout.FingerprintOf([]byte("old"))
	x.login(old, lockout.Refused)
	x.login(account("b", l), lockout.Refused)
	x.pass(time.Second)
	x.login(account("a", l), lockout.Success)
	x.wantBookings(1)
}

func TestSuccessDoesNotClearWhatASlowPBXMayStillJudge(t *testing.T) {
	l := inRowLimits()
	l.Reset = pbx.ResetAddress
	x := play(t)
	good := account("good", l)
	x.login(account("wrong", l), lockout.Unclear)
	x.pass(2 * time.Second)
	x.login(good, lockout.Success)
	x.wantBookings(1)
	x.pass(3 * time.Minute)
	x.login(good, lockout.Success)
	x.wantBookings(0)
}

func TestSuccessDoesNotClearWhatWasRefusedMeanwhile(t *testing.T) {
	l := inRowLimits()
	l.Reset, l.Attempts = pbx.ResetAddress, 10
	x := play(t)
	good, wrong := account("good", l), account("wrong", l)
	x.login(good, lockout.Success)
	slow := x.book(good)
	x.login(wrong, lockout.Refused) // the PBX may have judged it after the slow one
	x.settle(good, slow, lockout.Success)
	x.wantBookings(1)
}

func TestForgiveKeepsWhatASlowPBXMayStillJudge(t *testing.T) {
	x := play(t)
	x.login(account("a", inRowLimits()), lockout.Refused)
	x.login(account("b", inRowLimits()), lockout.Unclear)
	if f := x.host.Forgive(x.now); len(f.Bookings) != 1 || f.Bookings[0].Account != "a" || f.Bookings[0].What != "refused" {
		t.Errorf("forgot %+v", f)
	}
	x.wantBookings(1)
	x.pass(3 * time.Minute)
	x.host.Forgive(x.now)
	x.wantBookings(0)
	x.want(account("a", inRowLimits()), lockout.WaitPerson, lockout.PasswordRefused)
}

func TestMemory(t *testing.T) {
	l := inRowLimits()
	l.Memory = time.Hour
	x := play(t)
	x.login(account("a", l), lockout.Refused)
	x.pass(time.Hour)
	x.wantBookings(1)
	x.pass(3 * time.Second)
	x.wantBookings(0)
	x.login(account("b", l), lockout.Unclear)
	x.pass(time.Hour + 2*time.Minute)
	x.wantBookings(1) // a slow PBX may have judged it two minutes late
	x.pass(20 * time.Second)
	x.wantBookings(0)
}

func TestUnknownMemoryIsADay(t *testing.T) {
	x := play(t)
	x.login(account("a", pbx.Lockout{}), lockout.Refused)
	x.pass(24 * time.Hour)
	x.wantBookings(1)
	x.pass(3 * time.Second)
	x.wantBookings(0)
}

func TestPausesAfterUnclearLogins(t *testing.T) {
	x := play(t)
	l := inRowLimits()
	a := account("a", l)
	x.login(a, lockout.Success)
	x.login(a, lockout.Unclear)
	x.wantUntil(a, lockout.Pause, time.Second)
	x.pass(2 * time.Second)
	x.login(a, lockout.Unclear)
	x.wantUntil(a, lockout.Pause, 30*time.Second)
	x.want(account("b", l), lockout.WaitPerson, lockout.NoPlace)
}

// Nothing else bounds their number there, and each may leave a session in the PBX.
func TestUnclearLoginsGetRarerAtABrandWithoutLockout(t *testing.T) {
	x := play(t)
	a := account("a", pbx.Lockout{None: true})
	x.login(a, lockout.Success)
	for _, want := range []time.Duration{time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 150 * time.Second, 150 * time.Second} {
		x.login(a, lockout.Unclear)
		x.wantUntil(a, lockout.Pause, want)
		x.pass(want)
	}
	x.login(a, lockout.Success)
	x.login(a, lockout.Unclear)
	x.wantUntil(a, lockout.Pause, time.Second)
}

func TestLastPlaceIsKeptForAfterALock(t *testing.T) {
	x := play(t)
	a := account("a", inRowLimits())
	x.login(a, lockout.Success)
	for range 3 {
		x.pass(time.Minute)
		x.login(a, lockout.Unclear)
	}
	x.wantUntil(a, lockout.Pause, 11*time.Minute)
}

func TestUnclearLoginsOfOtherAccountsAreNoLockOfThisOne(t *testing.T) {
	l := perAccount(inRow()).stated()
	l.Attempts = 3
	x := play(t)
	a, b := account("a", l), account("b", l)
	x.login(a, lockout.Success)
	x.login(b, lockout.Unclear)
	x.pass(time.Minute)
	x.login(a, lockout.Unclear)
	x.wantUntil(a, lockout.Pause, 30*time.Second)
}

func TestSeveralLoginsThatMeetOneFaultAreOneUnclearOutcome(t *testing.T) {
	l := inRowLimits()
	l.Attempts = 10
	x := play(t)
	x.login(account("a", l), lockout.Success)
	b, c := account("b", l), account("c", l)
	first, second := x.book(b), x.book(c)
	x.settle(b, first, lockout.Unclear)
	x.settle(c, second, lockout.Unclear)
	x.wantUntil(account("a", l), lockout.Pause, time.Second)
}

func TestOneLoginAtATimeUnlessOneSucceededJustNow(t *testing.T) {
	l := inRowLimits()
	x := play(t)
	a, b, c, d := account("a", l), account("b", l), account("c", l), account("d", l)
	first := x.book(a)
	x.responds(b)
	x.want(b, lockout.WaitEvent, lockout.OneByOne)
	x.settle(a, first, lockout.Success)
	x.book(b)
	second := x.book(c)
	x.responds(d)
	x.want(d, lockout.WaitEvent, lockout.NoPlace) // two in flight, and new credentials have two places
	x.want(a, lockout.WaitEvent, lockout.OneByOne)
	x.settle(c, second, lockout.NotSent)
	x.responds(a)
	x.want(a, lockout.WaitEvent, lockout.OneByOne)
}

func TestLoginsGoOneByOneTenSecondsAfterTheLastSuccess(t *testing.T) {
	l := inRowLimits()
	x := play(t)
	x.login(account("a", l), lockout.Success)
	x.pass(11 * time.Second)
	x.book(account("b", l))
	x.responds(account("c", l))
	x.want(account("c", l), lockout.WaitEvent, lockout.OneByOne)
}

func TestSameCredentialsAreInFlightOnce(t *testing.T) {
	l := inRowLimits()
	l.Attempts = 10
	x := play(t)
	a := account("a", l)
	x.login(account("good", l), lockout.Success)
	x.book(a)
	d := x.want(a, lockout.WaitEvent, lockout.SameCredentials)
	if wait := d.Until.Sub(x.now); wait < 15*time.Second || wait > 16*time.Second {
		t.Errorf("looks again after %v, want 15 s: the login is overdue then", wait)
	}
	x.pass(15*time.Second + 500*time.Millisecond)
	x.responds(a)
	x.want(a, lockout.Wait, lockout.Pause)
}

func TestEvidence(t *testing.T) {
	l := inRowLimits()
	x := play(t)
	a, b := account("a", l), account("b", l)
	x.want(a, lockout.Go, lockout.None) // nothing is in doubt
	x.login(a, lockout.NotSent)
	x.want(b, lockout.WaitEvent, lockout.NoEvidence)
	for _, status := range []int{0, 500, 502, 599} {
		x.local.Checked(theURL, x.now, x.now, lockout.Page{Status: status})
		x.want(b, lockout.WaitEvent, lockout.NoEvidence)
	}
	x.local.Checked("https://pbx.example:8443", x.now, x.now, lockout.Page{Status: 200})
	x.want(b, lockout.WaitEvent, lockout.NoEvidence)
	x.local.Checked(theURL, x.now.Add(-time.Second), x.now, lockout.Page{Status: 200})
	x.want(b, lockout.WaitEvent, lockout.NoEvidence) // it was sent before the fault
	for _, status := range []int{401, 501, 505} {
		x.pass(time.Second)
		x.local.Checked(theURL, x.now, x.now, lockout.Page{Status: status})
		x.want(b, lockout.Go, lockout.None)
		x.pass(3 * time.Second)
		x.want(b, lockout.WaitEvent, lockout.NoEvidence) // it is too old
	}
	x.local.TokenAccepted(theURL, x.now, x.now, x.now)
	x.want(b, lockout.Go, lockout.None)
}

func TestUsedPlaceNeedsFreshEvidence(t *testing.T) {
	x := play(t)
	l := inRowLimits()
	x.login(account("wrong", l), lockout.Refused)
	x.want(account("a", l), lockout.Go, lockout.None) // the refusal is evidence
	x.pass(3 * time.Second)
	x.want(account("a", l), lockout.WaitEvent, lockout.NoEvidence)
}

func TestProcessesLearnOfDoubtFromEachOther(t *testing.T) {
	l := inRowLimits()
	x := play(t)
	a := account("a", l)
	other := lockout.Local{}
	other.Checked(theURL, x.now, x.now, lockout.Page{Status: 200})
	x.login(a, lockout.Unclear)
	x.pass(1500 * time.Millisecond)
	if d := x.host.Ask(x.now, &other, a); d.Reason != lockout.NoEvidence {
		t.Errorf("a process whose evidence is older than another's unclear login: %v", d.Reason)
	}
	other.Checked(theURL, x.now, x.now, lockout.Page{Status: 200})
	if d := x.host.Ask(x.now, &other, a); d.Verdict != lockout.Go {
		t.Errorf("after a check of its own: %v", d.Reason)
	}
}

func TestScheduleOfChecks(t *testing.T) {
	x := play(t)
	a := account("a", inRowLimits())
	x.login(a, lockout.Unclear)
	start := x.now
	var got []time.Duration
	for x.now.Sub(start) < 30*24*time.Hour {
		next := x.local.NextCheck(theURL)
		got = append(got, next.Sub(x.now))
		x.now = next
		x.local.Checked(theURL, x.now, x.now, lockout.Page{Status: 502})
	}
	want := []time.Duration{time.Second, time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second}
	for i, d := range want {
		if got[i] != d {
			t.Errorf("check %d after %v, want %v", i, got[i], d)
		}
	}
	for i, d := range got[4:] {
		if d < 5*time.Second || d > 5*time.Minute {
			t.Fatalf("check %d after %v", i+4, d)
		}
	}
	if last := got[len(got)-1]; last != 5*time.Minute {
		t.Errorf("in the end the checks are %v apart, want 5m", last)
	}
	x = play(t)
	x.login(a, lockout.NotSent)
	if next := x.local.NextCheck(theURL); next.After(x.now) {
		t.Errorf("after a login that was not sent the first check is due in %v, want at once", next.Sub(x.now))
	}
}

func TestRetryMakesACheckDueOnceInTenSeconds(t *testing.T) {
	x := play(t)
	a := account("a", inRowLimits())
	retry := func(want lockout.Reason) {
		t.Helper()
		if d := x.host.Retry(x.now, &x.local, a); d.Reason != want {
			t.Errorf("%v, want %v", d.Reason, want)
		}
		if due := !x.local.NextCheck(theURL).After(x.now); due != (want == lockout.NoEvidence) {
			t.Errorf("a check is due: %v", due)
		}
	}
	check := func() { x.local.Checked(theURL, x.now, x.now, lockout.Page{}) }
	x.login(a, lockout.NotSent)
	for range 300 {
		check()
		x.now = x.local.NextCheck(theURL)
	}
	check()
	x.pass(time.Second)
	next := x.local.NextCheck(theURL)
	retry(lockout.NoEvidence)
	x.pass(15 * time.Second)
	retry(lockout.NoEvidence) // no check has been sent yet
	check()
	retry(lockout.NoEvidence)
	check()
	retry(lockout.RetriedJustNow)
	x.pass(9900 * time.Millisecond)
	retry(lockout.RetriedJustNow)
	if !x.local.NextCheck(theURL).Equal(next) {
		t.Error("the checks that a person asked for have moved the others")
	}
	x.pass(100 * time.Millisecond)
	retry(lockout.NoEvidence)
	check()

	const day = 24 * time.Hour
	x.now = x.now.Add(-day)
	x.local.Shift(-day) // another clock
	retry(lockout.RetriedJustNow)
	x.now = x.now.Add(-day) // the clock was set back
	retry(lockout.RetriedJustNow)
	x.pass(10 * time.Second)
	retry(lockout.NoEvidence)
}

func TestChecksStartAnewAfterAPauseWithoutThem(t *testing.T) {
	x := play(t)
	a := account("a", inRowLimits())
	x.login(a, lockout.NotSent)
	for range 400 {
		x.now = x.local.NextCheck(theURL)
		if x.now.Before(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)) {
			x.now = time.Date(2026, 3, 1, 9, 0, 1, 0, time.UTC)
		}
		x.local.Checked(theURL, x.now, x.now, lockout.Page{Status: 502})
	}
	x.pass(24 * time.Hour)
	x.local.Checked(theURL, x.now, x.now, lockout.Page{Status: 502})
	if wait := x.local.NextCheck(theURL).Sub(x.now); wait != time.Second {
		t.Errorf("the second check of another outage is due after %v, want 1s", wait)
	}
}

func TestDriverWithoutProbeHasPausesAlone(t *testing.T) {
	x := play(t)
	a := account("a", inRowLimits())
	a.NoProbe = true
	x.ids = 1
	d := x.host.Book(x.now, &x.local, a, lockout.ID{Process: "p", Number: 1})
	x.settle(a, d.Booking, lockout.NotSent)
	x.wantUntil(a, lockout.Pause, 500*time.Millisecond)
	x.pass(time.Second)
	x.want(a, lockout.Go, lockout.None)
}

func TestThrottledAccountWaitsLongerEachTime(t *testing.T) {
	x := play(t)
	a, b := account("a", inRowLimits()), account("b", inRowLimits())
	for _, want := range []time.Duration{5, 10, 20, 40, 80, 160, 300, 300} {
		x.login(a, lockout.Throttled)
		x.wantUntil(a, lockout.AccountPaused, want*time.Second)
		x.want(b, lockout.Go, lockout.None)
		x.pass(want * time.Second)
	}
	x.login(a, lockout.Success)
	x.pass(time.Second)
	x.login(a, lockout.Throttled)
	x.wantUntil(a, lockout.AccountPaused, 5*time.Second)
	x.pass(time.Hour)
	b2 := x.book(a)
	x.host.Settle(x.now, &x.local, a, b2, lockout.Outcome{Kind: lockout.Throttled, RetryAfter: 17 * time.Second})
	x.wantUntil(a, lockout.AccountPaused, 17*time.Second)
}

func TestTooManySessionsWaitsAsTheDriverKnows(t *testing.T) {
	x := play(t)
	a := account("a", inRowLimits())
	x.host.Settle(x.now, &x.local, a, x.book(a), lockout.Outcome{Kind: lockout.TooManySessions, RetryAfter: 15 * time.Second})
	x.wantUntil(a, lockout.AccountPaused, 15*time.Second)
	x.pass(16 * time.Second)
	x.want(a, lockout.Go, lockout.None)
}

func TestStatedLock(t *testing.T) {
	for _, c := range []struct {
		perAccount bool
		after      time.Duration
		want       time.Duration
	}{
		{false, 0, 10 * time.Minute},
		{false, 90 * time.Second, 90 * time.Second},
		{false, time.Hour, time.Hour},
		{false, 48 * time.Hour, 10 * time.Minute}, // further off than Window + 1 h: a broken clock
		{true, time.Minute, time.Minute},
	} {
		l := inRowLimits()
		l.PerAccount = c.perAccount
		x := play(t)
		a, b := account("a", l), account("b", l)
		x.host.Settle(x.now, &x.local, a, x.book(a), lockout.Outcome{Kind: lockout.Locked, RetryAfter: c.after})
		x.wantUntil(a, lockout.LockedByPBX, c.want)
		if c.perAccount {
			x.want(b, lockout.Go, lockout.None)
		} else {
			x.wantUntil(b, lockout.LockedByPBX, c.want)
		}
		s := x.host.Status(x.now, &x.local)
		if s.LockedUntil.Sub(x.now) != c.want || !x.host.LockedUntil(x.now, theURL, "a").Equal(s.LockedUntil) {
			t.Errorf("%+v: Status says locked until %v", c, s.LockedUntil)
		}
		x.host.Forgive(x.now)
		x.want(a, lockout.Go, lockout.None)
	}
}

func TestSuccessEndsALock(t *testing.T) {
	l := inRowLimits()
	x := play(t)
	a, b := account("a", l), account("b", l)
	x.login(account("c", l), lockout.Success)
	slow, later := x.book(b), x.book(a)
	x.settle(b, slow, lockout.Locked)
	x.settle(a, later, lockout.Success) // it was sent before the lock was known
	x.want(account("c", l), lockout.Wait, lockout.LockedByPBX)

	// Another process that did not know of the lock gets through.
	x = play(t)
	early := x.host.Clone()
	x.login(b, lockout.Locked)
	x.pass(time.Second)
	x2 := &rules{t: t, host: early, now: x.now, name: "q"}
	late := x2.book(a)
	x.settle(a, late, lockout.Success)
	x.want(account("c", l), lockout.Go, lockout.None)
}

func TestLooksWrongTriesOneAfterAnother(t *testing.T) {
	l := looks(inRow(), "wrong").stated()
	x := play(t)
	a, b, c := account("a", l), account("b", l), account("c", l)
	for _, g := range []lockout.Login{a, b, c} {
		x.login(g, lockout.Success)
	}
	x.pass(time.Minute)
	x.login(a, lockout.Refused)
	x.wantUntil(a, lockout.MayBeLocked, 10*time.Minute)
	x.login(b, lockout.Refused)
	x.wantUntil(c, lockout.MayBeLocked, 10*time.Minute) // two were refused: it may be a lock
	x.pass(10*time.Minute + time.Second)
	x.responds(a)
	x.settle(a, x.book(a), lockout.Success)
	x.wantBookings(1)
	x.responds(b)
	x.settle(b, x.book(b), lockout.Success)
	x.wantBookings(0)
}

func TestLooksWrongHasOneTry(t *testing.T) {
	l := looks(inRow(), "wrong").stated()
	x := play(t)
	a := account("a", l)
	x.login(a, lockout.Success)
	x.pass(4 * time.Hour)
	x.login(a, lockout.Refused)
	x.pass(11 * time.Minute)
	x.login(a, lockout.Refused)
	x.want(a, lockout.WaitPerson, lockout.PasswordRefused)
}

func TestLooksWrongHasNoTryLongAfterTheLastSuccess(t *testing.T) {
	l := looks(inRow(), "wrong").stated()
	x := play(t)
	a := account("a", l)
	x.login(a, lockout.Success)
	x.pass(6*time.Hour + time.Minute)
	x.login(a, lockout.Refused)
	x.want(a, lockout.WaitPerson, lockout.PasswordRefused)
	x.want(account("new", l), lockout.Go, lockout.None)
}

// A renewal ahead of time may be refused because of the token that it would replace. It
// leaves places for those that have no token, whose success clears what was unclear.
func TestARenewalAheadOfTimeLeavesPlacesForThoseWithoutAToken(t *testing.T) {
	x := play(t)
	names := []string{"a", "b", "c"}
	early := func(name string) lockout.Login {
		g := account(name, inRowLimits())
		g.Early = true
		return g
	}
	for _, name := range names {
		x.login(account(name, inRowLimits()), lockout.Success)
	}
	for _, name := range names[:2] {
		x.pass(time.Minute)
		x.login(early(name), lockout.Unclear)
	}
	x.pass(time.Hour)
	for _, name := range names {
		x.responds(early(name))
		x.want(early(name), lockout.WaitPerson, lockout.NoPlace)
		x.want(account(name, inRowLimits()), lockout.Go, lockout.None)
	}
	x.login(account("a", inRowLimits()), lockout.Success)
	x.pass(time.Second)
	x.responds(early("c"))
	x.want(early("c"), lockout.Go, lockout.None)

	// What was refused is cleared by nobody's success: the renewals go on.
	x.login(account("b", inRowLimits()), lockout.Success)
	for _, name := range []string{"wrong", "wrong too"} {
		x.login(account(name, inRowLimits()), lockout.Refused)
	}
	x.pass(time.Minute)
	x.responds(early("c"))
	x.want(early("c"), lockout.Go, lockout.None)
	x.host.Settle(x.now, &x.local, early("c"), x.book(early("c")), lockout.Outcome{Kind: lockout.Unclear})
	x.pass(time.Hour)
	x.responds(early("c"))
	x.want(early("c"), lockout.WaitPerson, lockout.NoPlace)
	x.want(account("c", inRowLimits()), lockout.Go, lockout.None)
}

func TestRetryWithoutAPlaceChangesNothing(t *testing.T) {
	x := play(t)
	l := inRowLimits()
	x.login(account("good", l), lockout.Success)
	a, b := account("a", l), account("b", l)
	x.login(a, lockout.Refused)
	x.login(b, lockout.Refused)
	x.pass(time.Minute)
	if d := x.host.Retry(x.now, &x.local, a); d.Reason != lockout.NoPlace || len(d.Used) != 2 {
		t.Fatalf("Retry says %+v", d)
	}
	x.host.Forgive(x.now)
	x.want(a, lockout.WaitPerson, lockout.PasswordRefused)
	if d := x.host.Retry(x.now, &x.local, a); d.Reason != lockout.None {
		t.Fatalf("Retry says %+v", d)
	}
	x.want(a, lockout.Go, lockout.None)
}

func TestRetrySkipsPauses(t *testing.T) {
	x := play(t)
	a := account("a", inRowLimits())
	x.login(a, lockout.Unclear)
	x.pass(2 * time.Second)
	x.login(a, lockout.Unclear)
	x.wantUntil(a, lockout.Pause, 30*time.Second)
	if d := x.host.Retry(x.now, &x.local, a); d.Reason != lockout.None {
		t.Fatalf("Retry says %v", d.Reason)
	}
	x.responds(a)
	x.want(a, lockout.Go, lockout.None)
}

func TestRefusalIsOfOneURL(t *testing.T) {
	x := play(t)
	l := inRowLimits()
	a := account("a", l)
	x.login(a, lockout.Refused)
	x.want(a, lockout.WaitPerson, lockout.PasswordRefused)
	elsewhere := a
	elsewhere.URL = "https://pbx.example:8443"
	x.responds(elsewhere)
	x.want(elsewhere, lockout.Go, lockout.None)
	x.pass(10 * 365 * 24 * time.Hour)
	x.want(a, lockout.WaitPerson, lockout.PasswordRefused)
}

func TestBrandWithoutLockout(t *testing.T) {
	x := play(t)
	l := pbx.Lockout{None: true}
	for i := range 50 {
		g := account(fmt.Sprint("wrong-", i), l)
		x.login(g, lockout.Refused)
		x.want(g, lockout.WaitPerson, lockout.PasswordRefused)
	}
	for i := range 50 {
		g := account(fmt.Sprint("unclear-", i), l)
		x.login(g, lockout.Unclear)
		x.pass(5 * time.Minute)
	}
	x.wantBookings(0)
}

func TestOrderOfThoseWhoWait(t *testing.T) {
	x := play(t)
	l := inRowLimits()
	l.Attempts = 20
	at := func(name string, waiting time.Duration) lockout.Login {
		g := account(name, l)
		g.Waiting = x.now.Add(-waiting)
		return g
	}
	for _, name := range []string{"proven", "one", "two"} {
		x.login(account(name, l), lockout.Success)
	}
	for _, name := range []string{"one", "two", "two", "new-one"} {
		x.pass(time.Hour)
		x.login(account(name, l), lockout.Unclear)
	}
	x.pass(time.Hour)
	want := []string{"one", "proven", "two", "new-one", "new-early", "new"}
	waiting := []lockout.Login{at("new", time.Minute), at("two", time.Hour), at("new-one", time.Second), at("proven", time.Minute), at("one", time.Second), at("new-early", time.Hour)}
	var got []string
	for len(waiting) > 0 {
		x.responds(waiting[0])
		i := next(&x.host, x.now, &x.local, waiting)
		if i < 0 {
			t.Fatalf("nobody may go after %v", got)
		}
		got = append(got, waiting[i].Account)
		waiting = append(waiting[:i:i], waiting[i+1:]...)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("order %v, want %v", got, want)
	}
}

func TestReloginKeepsPlacesForFaults(t *testing.T) {
	l := inRowLimits()
	l.Reset = pbx.ResetAddress
	x := play(t)
	good, single, idle, waiting := account("good", l), account("single", l), account("idle", l), account("new", l)
	for _, g := range []lockout.Login{good, single, idle} {
		x.login(g, lockout.Success)
	}
	holders := []lockout.Holder{{Login: account("unknown", l), Idle: true}, {Login: single, Idle: true, Single: true}, {Login: good}, {Login: idle, Idle: true}}
	want := func(i int) {
		t.Helper()
		if got, _ := x.host.Relogin(x.now, &x.local, waiting, holders); got != i {
			t.Fatalf("holder %d should log in anew, want %d", got, i)
		}
	}
	want(-1) // nothing is used
	x.login(account("wrong-1", l), lockout.Refused)
	want(-1) // there is a place
	x.login(account("wrong-2", l), lockout.Refused)
	want(3)
	x.ids++
	d := x.host.BookRelogin(x.now, &x.local, idle, lockout.ID{Process: "p", Number: x.ids})
	if d.Verdict != lockout.Go {
		t.Fatalf("the relogin may not go: %v", d.Reason)
	}
	want(-1) // it is in flight
	x.settle(idle, d.Booking, lockout.Success)
	x.wantBookings(0)
	x.login(account("wrong-3", l), lockout.Refused)
	x.login(account("wrong-4", l), lockout.Refused)
	if i, again := x.host.Relogin(x.now, &x.local, waiting, holders); i != -1 || again.Sub(x.now) > 20*time.Second || again.Sub(x.now) < 15*time.Second {
		t.Fatalf("holder %d, again in %v; want none, 20 s after the last", i, again.Sub(x.now))
	}
	x.pass(20 * time.Second)
	want(3)
	x.login(good, lockout.Unclear)
	want(-1) // in doubt
	x.pass(time.Minute)
	x.responds(good)
	x.login(account("good", l), lockout.TooManySessions)
	want(-1) // three places are used: one lost response more would stop everybody
}

func TestAbandonedLoginsOfNewCredentialsWaitADay(t *testing.T) {
	x := play(t)
	l := inRowLimits()
	a := account("a", l)
	for range 2 {
		x.book(a)
		x.pass(time.Minute)
	}
	x.want(a, lockout.Wait, lockout.Pause)
	x.pass(23 * time.Hour)
	x.want(a, lockout.Wait, lockout.Pause)
	x.pass(time.Hour)
	x.responds(a)
	x.want(a, lockout.Go, lockout.None)

	x = play(t)
	x.login(a, lockout.Success)
	for range 2 {
		x.pass(time.Minute)
		x.book(a)
	}
	x.pass(time.Minute)
	x.responds(a)
	x.want(a, lockout.Go, lockout.None) // they worked: a crash loop is no wrong password
}

func TestClocks(t *testing.T) {
	l := inRowLimits()
	l.Memory = time.Hour
	x := play(t)
	a, b, good := account("a", l), account("b", l), account("good", l)
	x.login(good, lockout.Success)
	x.login(a, lockout.Refused)
	x.login(account("c", l), lockout.Locked)
	x.pass(-24 * time.Hour) // the clock is set back by a day
	x.want(a, lockout.WaitPerson, lockout.PasswordRefused)
	x.responds(b)
	d := x.host.Book(x.now, &x.local, b, lockout.ID{Process: "p", Number: 99})
	if d.Reason != lockout.LockedByPBX || d.Until.Sub(x.now) > 10*time.Minute {
		t.Fatalf("a lock beyond Window + 1 h: %v until %v", d.Reason, d.Until.Sub(x.now))
	}
	x.pass(11 * time.Minute)
	x.login(b, lockout.Success)
	x.pass(time.Hour)
	x.wantBookings(0)
	x.want(a, lockout.WaitPerson, lockout.PasswordRefused)
	x.login(good, lockout.Success)
	x.pass(48 * time.Hour) // and ahead by two
	x.want(a, lockout.WaitPerson, lockout.PasswordRefused)
	x.responds(b)
	x.want(b, lockout.Go, lockout.None)
}

func TestStoreThatForgetsGetsTheHostAgain(t *testing.T) {
	l := inRowLimits()
	l.Attempts = 10
	x := play(t)
	mine := lockout.NewReplica("p")
	a, b, flying := account("a", l), account("b", l), account("flying", l)
	x.login(account("good", l), lockout.Success)
	x.login(a, lockout.Refused)
	x.login(b, lockout.Unclear)
	x.pass(time.Minute)
	booking := x.book(flying)
	mine.Keep(&x.host)
	before := x.host.Clone()

	x.host = lockout.Host{}
	mine.Merge(x.now, &x.host)
	x.wantBookings(3)
	x.want(a, lockout.WaitPerson, lockout.PasswordRefused)
	if s := x.host.Status(x.now, &x.local); s.Proven != 1 || s.InFlight != 1 {
		t.Errorf("after Merge: %+v", s)
	}

	// Settled bookings of its own that come alive again are taken out.
	x.settle(flying, booking, lockout.Success)
	mine.Keep(&x.host)
	x.host = before.Clone()
	mine.Merge(x.now, &x.host)
	x.wantBookings(2)

	// What a person forgave stays forgiven, in whichever process.
	x.pass(time.Hour)
	x.host.Forgive(x.now)
	mine.Merge(x.now, &x.host)
	x.wantBookings(0)

	other := lockout.NewReplica("q")
	other.Keep(&before)
	other.Merge(x.now, &x.host)
	x.wantBookings(0)
}

func TestOtherProcessesPutBackWhatWasSettled(t *testing.T) {
	l := inRowLimits()
	x := play(t)
	x.login(account("a", l), lockout.Refused)
	x.login(account("b", l), lockout.Unclear)
	x.pass(time.Minute)
	x.book(account("c", l))
	other := lockout.NewReplica("q")
	other.Keep(&x.host)
	x.host = lockout.Host{}
	other.Merge(x.now, &x.host)
	x.wantBookings(2) // what is in flight belongs to its process
}

func TestUnknownSwapIsTakenOut(t *testing.T) {
	x := play(t)
	mine := lockout.NewReplica("p")
	mine.Keep(&x.host)
	x.book(account("a", inRowLimits())) // the store took it and reported an error, so that nothing was sent
	mine.Merge(x.now, &x.host)
	x.wantBookings(0)
}

func TestEncodingHoldsEverything(t *testing.T) {
	l := inRowLimits()
	l.Attempts = 10
	x := play(t)
	x.login(account("good", l), lockout.Success)
	x.login(account("a", l), lockout.Refused)
	x.pass(time.Minute)
	x.login(account("b", l), lockout.Unclear)
	x.pass(time.Minute)
	x.login(account("c", l), lockout.Locked)
	l.DeadTokens = pbx.DeadTokensCount
	x.host.TokenRefused(x.now, &x.local, account("d", l), lockout.Refusal{ID: lockout.ID{Process: "p", Number: 77}, Issued: x.now.Add(-time.Hour), Read: x.now})
	data, err := json.Marshal(&x.host)
	if err != nil {
		t.Fatal(err)
	}
	var back lockout.Host
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(&back)
	if err != nil || string(again) != string(data) {
		t.Errorf("%v\n%s\n%s", err, data, again)
	}
	if strings.Contains(string(data), "good") {
		t.Errorf("an account without a booking is written: %s", data)
	}
}

func TestEncodedHostIsBounded(t *testing.T) {
	x := play(t)
	l := pbx.Lockout{None: true}
	dropped := 0
	for i := range 3500 {
		g := account(fmt.Sprintf("%06d-account", i), l)
		g.URL = fmt.Sprintf("https://tenant-%d.pbx.example/base/path", i%40)
		kind := lockout.Success
		if i%4 == 0 {
			kind = lockout.Refused
		}
		x.responds(g)
		b := x.book(g)
		x.pass(time.Minute)
		dropped += x.host.Settle(x.now, &x.local, g, b, lockout.Outcome{Kind: kind})
	}
	if s := x.host.Status(x.now, &x.local); s.Refused != 500 || s.Proven != 2000 {
		t.Errorf("%d refused and %d proven are kept, want 500 and 2000", s.Refused, s.Proven)
	}
	if dropped == 0 {
		t.Error("nothing was reported as dropped")
	}
	l = pbx.Lockout{DeadTokens: pbx.DeadTokensCount}
	for i := range 100 {
		g := account(fmt.Sprintf("an-account-with-a-long-name-%d", i), l)
		g.URL = "https://tenant-1.pbx.example/base/path"
		x.host.TokenRefused(x.now, &x.local, g, lockout.Refusal{ID: lockout.ID{Process: "4f1c6d0a-17", Number: uint64(i)}, Issued: x.now.Add(-time.Hour), Read: x.now})
	}
	x.wantBookings(64)
	data, err := json.Marshal(&x.host)
	if err != nil || len(data) > lockout.MaxSize {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	var back lockout.Host
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if s := back.Status(x.now, &x.local); s.Refused != 500 || s.Proven < 1000 {
		t.Errorf("%d refused and %d proven are written in %d bytes", s.Refused, s.Proven, len(data))
	}
}

// A host with many accounts or URLs has to fit into its cell. If it does not, nothing
// logs in there.
func TestAHostWithManyAccountsOrURLsCanBeStored(t *testing.T) {
	each := pbx.Lockout{PerAccount: true, Memory: pbx.Forever, Window: 10 * time.Minute}
	for name, happens := range map[string]func(x *rules, i int){
		"every account is refused": func(x *rules, i int) {
			x.login(account(fmt.Sprintf("%06d@customer.example", i), each), lockout.Refused)
		},
		"every account is locked": func(x *rules, i int) {
			x.login(account(fmt.Sprintf("%06d@customer.example", i), each), lockout.Locked)
		},
		"a dead token at every URL": func(x *rules, i int) {
			g := account("crm", pbx.Lockout{DeadTokens: pbx.DeadTokensCount, Memory: time.Minute})
			g.URL = fmt.Sprintf("https://cloud.example/tenants/customer-%06d/pbx", i)
			x.host.TokenRefused(x.now, &x.local, g, lockout.Refusal{ID: lockout.ID{Process: "p", Number: uint64(i)}, URL: g.URL, Read: x.now})
			x.host.Forgive(x.now) // the booking goes
		},
		"a wrong password at every URL": func(x *rules, i int) {
			g := account(fmt.Sprintf("%06d", i), pbx.Lockout{Memory: time.Second})
			g.URL = fmt.Sprintf("https://cloud.example/%s/pbx-%06d", strings.Repeat("tenant/", 20), i)
			x.login(g, lockout.Refused)
			x.pass(time.Minute)
		},
	} {
		x := play(t)
		for i := range 1000 {
			happens(x, i)
		}
		x.login(account("newest", each), lockout.Unclear)
		data, err := json.Marshal(&x.host)
		if err != nil || len(data) > lockout.MaxSize {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
			continue
		}
		var back lockout.Host
		if err := json.Unmarshal(data, &back); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if bookings := back.Status(x.now, &x.local).Bookings; len(bookings) == 0 || bookings[len(bookings)-1].Account != "newest" {
			t.Errorf("%s: the newest booking is lost", name)
		}
	}
}

// Many accounts that work fill the cell of a platform. What keeps logins back stays in it.
func TestALockAndSuspectTokensOutlastManyProvenAccounts(t *testing.T) {
	x := play(t)
	l := pbx.Lockout{Attempts: 5, Window: time.Hour, Memory: time.Hour, DeadTokens: pbx.DeadTokensCount}
	g := account("crm", l)
	for i := range 1500 {
		g.URL = fmt.Sprintf("https://cloud.example/tenants/customer-%06d/pbx", i)
		x.login(g, lockout.Success)
	}
	x.login(g, lockout.Locked)
	x.host.TokenRefused(x.now, &x.local, g, lockout.Refusal{ID: lockout.ID{Process: "p", Number: 1}, URL: g.URL, Issued: x.now, Read: x.now})
	data, err := json.Marshal(&x.host)
	if err != nil {
		t.Fatal(err)
	}
	var back lockout.Host
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if got, want := back.LockedUntil(x.now, g.URL, g.Account), x.host.LockedUntil(x.now, g.URL, g.Account); want.IsZero() || !got.Equal(want) {
		t.Errorf("locked until %s, want %s", got, want)
	}
	if !x.host.Suspect(g.URL, x.now) || !back.Suspect(g.URL, x.now) {
		t.Error("the tokens are not suspect any more")
	}
}

func TestALockThatIsOverIsForgotten(t *testing.T) {
	x := play(t)
	l := pbx.Lockout{PerAccount: true, Window: 10 * time.Minute}
	for i := range 3 {
		x.login(account(fmt.Sprint("account-", i), l), lockout.Locked)
		x.pass(time.Hour)
	}
	x.login(account("another", l), lockout.Success)
	data, err := json.Marshal(&x.host)
	if err != nil || strings.Contains(string(data), `"locks"`) {
		t.Errorf("%s, %v", data, err)
	}
}

func TestStoredHostOfANewerVersionIsLeftAlone(t *testing.T) {
	x := play(t)
	x.login(account("a", inRowLimits()), lockout.Refused)
	err := json.Unmarshal([]byte(`{"v":2,"bookings":"of another kind"}`), &x.host)
	if !errors.Is(err, lockout.ErrNewer) || !strings.Contains(err.Error(), "update this program") {
		t.Errorf("got %v", err)
	}
	x.wantBookings(1)
}

func TestDamagedHostIsAnError(t *testing.T) {
	x := play(t)
	x.login(account("a", inRowLimits()), lockout.Refused)
	data, _ := json.Marshal(&x.host)
	for n := range len(data) {
		var h lockout.Host
		if err := h.UnmarshalJSON(data[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are taken for a host", n, len(data))
		}
	}
	for _, text := range []string{`{}`, `null`, `[]`, `"x"`, `{"v":0}`, `{"v":1,"bookings":[{"url":3}]}`, `{"v":1,"credentials":"AQ=="}`,
		`{"v":1,"urls":["u"],"bookings":[{"credentials":"zz","state":"refused"}]}`, `{"v":1,"urls":["u"],"bookings":[{"credentials":"0000000000000000","state":"lost"}]}`} {
		var h lockout.Host
		if err := h.UnmarshalJSON([]byte(text)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"v":1}`))
	f.Add([]byte(`{"v":1,"urls":["https://a"],"credentials":"AAEAAAAAAAAAAQA=","newest":5}`))
	f.Add([]byte(`{"v":1,"urls":["u"],"bookings":[{"process":"p","n":1,"url":0,"credentials":"0100000000000000","state":"refused","booked":5,"settled":6,"memory":9223372036854775807}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var h lockout.Host
		if h.UnmarshalJSON(data) != nil {
			return
		}
		once, err := h.MarshalJSON()
		if err != nil {
			return
		}
		var back lockout.Host
		if err := back.UnmarshalJSON(once); err != nil {
			t.Fatalf("%v\n%s", err, once)
		}
		var l lockout.Local
		now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
		g := lockout.Login{URL: "u", Limits: lockout.Resolve(pbx.Lockout{LooksWrong: true}, 0)}
		if d := back.Book(now, &l, g, lockout.ID{Process: "fuzz"}); d.Verdict == lockout.Go {
			back.Settle(now, &l, g, d.Booking, lockout.Outcome{Kind: lockout.Success})
		}
		lockout.NewReplica("p").Merge(now, &back)
	})
}

func TestMergeIsStable(t *testing.T) {
	w := newWorld(t, inRow())
	w.process("other")
	w.good(5)
	w.path[theURL] = "lost"
	for _, s := range w.sessions {
		w.drop(s)
	}
	w.run(time.Hour)
	a, b := w.load(w.processes[0]), w.load(w.processes[1])
	once, _ := a.MarshalJSON()
	w.processes[0].replica.Merge(w.now, a)
	twice, _ := a.MarshalJSON()
	other, _ := b.MarshalJSON()
	if string(once) != string(twice) || string(once) != string(other) {
		t.Errorf("\n%s\n%s\n%s", once, twice, other)
	}
}

func BenchmarkBookedAndSettledLogin(b *testing.B) {
	for _, known := range []int{1, 2000} {
		b.Run(fmt.Sprintf("fingerprints=%d", known), func(b *testing.B) {
			var h lockout.Host
			var l lockout.Local
			now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
			limits := lockout.Resolve(inRowLimits(), 0)
			g := lockout.Login{URL: theURL, Account: "a", Limits: limits}
			login := func(i int, kind lockout.OutcomeKind) {
				g.Fingerprint = lockout.Fingerprint{byte(i), byte(i >> 8)}
				d := h.Book(now, &l, g, lockout.ID{Process: "p", Number: uint64(i)})
				if d.Verdict != lockout.Go {
					b.Fatal(d.Reason)
				}
				now = now.Add(time.Millisecond)
				h.Settle(now, &l, g, d.Booking, lockout.Outcome{Kind: kind})
			}
			for i := range known {
				login(i, lockout.Success)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				login(i%known, lockout.Success)
			}
		})
	}
}

func TestNotJudgedIsBelievedOfProvenCredentialsOnly(t *testing.T) {
	x := play(t)
	good, fresh := account("good", inRowLimits()), account("fresh", inRowLimits())
	x.login(good, lockout.Success)
	start := x.now.Add(100 * time.Millisecond)
	for range 100 {
		x.login(good, lockout.NotJudged)
		x.wantBookings(0)
		x.wantUntil(good, lockout.AccountPaused, max(5*time.Second, x.now.Sub(start)/100))
		x.pass(30 * time.Second)
	}
	x.want(fresh, lockout.Go, lockout.None) // the PBX responds, and the pause is the account's
	for range 2 {
		x.pass(time.Hour)
		x.login(fresh, lockout.NotJudged)
	}
	x.wantBookings(2)
	x.pass(time.Hour)
	x.login(good, lockout.Success)
	x.pass(time.Second)
	x.responds(good)
	x.want(good, lockout.Go, lockout.None) // without a pause
}

func TestRefusedCredentialsAreNotProvenAndTheirNotJudgedCounts(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits())
	x.login(g, lockout.Success)
	x.login(g, lockout.Refused)
	x.pass(time.Minute)
	if d := x.host.Retry(x.now, &x.local, g); d.Reason != lockout.None {
		t.Fatal(d.Reason)
	}
	x.login(g, lockout.NotJudged)
	x.wantBookings(2)
}

func TestRetryEndsThePauseAfterALoginThatWasNotJudged(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits())
	x.login(g, lockout.Success)
	x.login(g, lockout.NotJudged)
	x.wantUntil(g, lockout.AccountPaused, 5*time.Second)
	if d := x.host.Retry(x.now, &x.local, g); d.Reason != lockout.NothingToRetry {
		t.Fatal(d.Reason)
	}
	x.want(g, lockout.Go, lockout.None)
	x.local = lockout.Local{}
	x.login(g, lockout.Throttled)
	x.host.Retry(x.now.Add(time.Minute), &x.local, g)
	x.want(g, lockout.Wait, lockout.AccountPaused) // that one the PBX asked for
}

// front is what a login comes to that something in front of the PBX may have refused.
var front = lockout.Outcome{Kind: lockout.Unclear, Page: lockout.Page{Status: 401}}

func (x *rules) checked(g lockout.Login, status int) {
	x.local.Checked(g.URL, x.now, x.now, lockout.Page{Status: status})
}

func TestWhatIsInFrontIsGoneWhenItNoLongerRefusesChecks(t *testing.T) {
	for _, outcome := range []lockout.Outcome{front, {Kind: lockout.NotSent, Page: lockout.Page{Status: 401}}} {
		x := play(t)
		g := account("good", inRowLimits())
		x.login(g, lockout.Success)
		b := x.book(g)
		x.host.Settle(x.now, &x.local, g, b, outcome)
		for range 50 {
			x.pass(time.Minute)
			for _, status := range []int{401, 403, 407, 302} {
				x.checked(g, status)
				x.want(g, lockout.WaitEvent, lockout.NoEvidence)
			}
		}
		if next := x.local.NextCheck(g.URL).Sub(x.now); next < 5*time.Second || next > time.Minute {
			t.Errorf("the next check comes in %v", next)
		}
		x.checked(g, 405)
		x.want(g, lockout.Go, lockout.None)
		x.checked(g, 401)
		x.want(g, lockout.WaitEvent, lockout.NoEvidence)
		x.local.TokenAccepted(g.URL, x.now, x.now, x.now)
		x.want(g, lockout.Go, lockout.None)
	}
}

func TestAPBXWhoseChecksAreAlwaysRefusedIsTriedAgainEverMoreRarely(t *testing.T) {
	x := play(t)
	g := account("good", manyPlaces())
	x.login(g, lockout.Success)
	b := x.book(g)
	for _, wait := range []time.Duration{time.Hour, 8 * time.Hour, 64 * time.Hour} {
		x.host.Settle(x.now, &x.local, g, b, front)
		x.pass(wait - time.Second)
		x.checked(g, 401)
		x.want(g, lockout.WaitEvent, lockout.NoEvidence)
		x.pass(2 * time.Second)
		x.checked(g, 401)
		x.ids++
		d := x.host.Book(x.now, &x.local, g, lockout.ID{Process: x.name, Number: x.ids})
		if d.Verdict != lockout.Go {
			t.Fatalf("after %v: %v", wait, d.Reason)
		}
		b = d.Booking
	}
	x.host.Settle(x.now, &x.local, g, b, lockout.Outcome{Kind: lockout.Success})
	x.wantBookings(0)
	b = x.book(g)
	x.host.Settle(x.now, &x.local, g, b, lockout.Outcome{Kind: lockout.Unclear})
	x.pass(2 * time.Second)
	x.checked(g, 401) // the verdict between has ended the row
	x.want(g, lockout.Go, lockout.None)
}

func TestASuccessAtAnotherURLShowsNothingOfWhatIsInFront(t *testing.T) {
	x := play(t)
	good, other := account("good", manyPlaces()), account("other", manyPlaces())
	other.URL = "http://pbx.test"
	x.login(good, lockout.Success)
	b := x.book(other)
	for _, wait := range []time.Duration{time.Hour, 8 * time.Hour, 64 * time.Hour} {
		x.host.Settle(x.now, &x.local, other, b, front)
		for end := x.now.Add(wait); x.now.Before(end.Add(-15 * time.Minute)); {
			x.pass(14 * time.Minute)
			x.login(good, lockout.Success)
			x.checked(other, 301)
			x.want(other, lockout.WaitEvent, lockout.NoEvidence)
		}
		x.pass(15 * time.Minute)
		x.checked(other, 301)
		x.ids++
		d := x.host.Book(x.now, &x.local, other, lockout.ID{Process: x.name, Number: x.ids})
		if d.Verdict != lockout.Go {
			t.Fatalf("after %v: %v", wait, d.Reason)
		}
		b = d.Booking
	}
}

func TestAPersonsRetryGoesThroughWhatMayBeInFront(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits())
	b := x.book(g)
	x.host.Settle(x.now, &x.local, g, b, front)
	x.pass(time.Minute)
	x.checked(g, 401)
	x.want(g, lockout.WaitEvent, lockout.NoEvidence)
	if d := x.host.Retry(x.now, &x.local, g); d.Reason != lockout.None {
		t.Fatal(d.Reason)
	}
	if next := x.local.NextCheck(g.URL); next.After(x.now) {
		t.Errorf("the next check is in %v", next.Sub(x.now))
	}
	x.checked(g, 401)
	x.want(g, lockout.Go, lockout.None)
}

func TestAnotherProcessLearnsWhatIsInFront(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits())
	x.login(g, lockout.Success)
	b := x.book(g)
	x.host.Settle(x.now, &x.local, g, b, front)
	data, err := json.Marshal(&x.host)
	if err != nil {
		t.Fatal(err)
	}
	var other lockout.Host
	if err := json.Unmarshal(data, &other); err != nil {
		t.Fatal(err)
	}
	x.host, x.local, x.name = other, lockout.Local{}, "q"
	x.pass(time.Minute)
	for range 3 {
		x.checked(g, 401)
		x.want(g, lockout.WaitEvent, lockout.NoEvidence)
	}
	if next := x.local.NextCheck(g.URL); !next.After(x.now) {
		t.Error("checks that are refused follow each other without a pause")
	}
	x.checked(g, 405)
	x.want(g, lockout.Go, lockout.None)
}

// notFound is the page of a proxy that has no backend.
var notFound = lockout.Page{Status: 404, Length: 19}

// gets settles a login that got a page.
func (x *rules) gets(g lockout.Login, b lockout.Booking, page lockout.Page) {
	x.pass(100 * time.Millisecond)
	x.host.Settle(x.now, &x.local, g, b, lockout.Outcome{Kind: lockout.Unclear, Page: page})
}

// goes books a login after a check that got a page.
func (x *rules) goes(g lockout.Login, page lockout.Page) lockout.Booking {
	x.t.Helper()
	x.local.Checked(g.URL, x.now, x.now, page)
	x.ids++
	d := x.host.Book(x.now, &x.local, g, lockout.ID{Process: x.name, Number: x.ids})
	if d.Verdict != lockout.Go {
		x.t.Fatalf("%s may not go: %v until %v", g.Account, d.Reason, d.Until)
	}
	return d.Booking
}

// waits expects that no login goes while checks get a page.
func (x *rules) waits(g lockout.Login, d time.Duration, page lockout.Page) {
	x.t.Helper()
	for end := x.now.Add(d); x.now.Before(end); x.pass(min(end.Sub(x.now), 10*time.Second)) {
		x.local.Checked(g.URL, x.now, x.now, page)
		if x.ask(g).Verdict == lockout.Go {
			x.t.Fatalf("%s may go %v before the end", g.Account, end.Sub(x.now))
		}
	}
}

func TestAPageIsInFrontUntilChecksGetAnotherResponse(t *testing.T) {
	for _, other := range []lockout.Page{
		{Status: 404, Length: notFound.Length + 2}, {Status: 404, Length: notFound.Length - 2}, {Status: 405, Length: notFound.Length}, {Status: 401}, {Status: 200},
	} {
		x := play(t)
		g := account("good", inRowLimits())
		x.login(g, lockout.Success)
		x.gets(g, x.book(g), notFound)
		x.waits(g, 9*time.Minute, notFound)
		if next := x.local.NextCheck(g.URL).Sub(x.now); next > 10*time.Second {
			t.Errorf("the next check comes in %v", next)
		}
		x.settle(g, x.goes(g, other), lockout.Success)
		x.wantBookings(0)
		x.gets(g, x.book(g), notFound)
		x.waits(g, 9*time.Minute, notFound) // it is as before
	}
}

// So that a queue of many logins need not be looked through.
func TestAPageIsInFrontForAllOfAURLForWhomNobodyHasAsked(t *testing.T) {
	x := play(t)
	g := account("good", manyPlaces())
	inFront := func(want bool, page lockout.Page) {
		t.Helper()
		x.pass(time.Minute)
		x.local.Checked(g.URL, x.now, x.now, page)
		if x.host.InFront(x.now, &x.local, g.URL) != want || (x.ask(g).Verdict == lockout.Go) == want {
			t.Errorf("in front: %v, and a login may %v", !want, x.ask(g).Verdict)
		}
	}
	x.login(g, lockout.Success)
	x.gets(g, x.book(g), notFound)
	inFront(true, notFound)
	inFront(false, lockout.Page{Status: 405})
	inFront(true, notFound)
	retry := func(g lockout.Login) {
		t.Helper()
		if d := x.host.Retry(x.now, &x.local, g); d.Reason != lockout.None {
			t.Fatal(d.Reason)
		}
	}
	other := account("other", manyPlaces())
	retry(other)
	x.gets(other, x.goes(other, notFound), notFound)
	x.pass(time.Second)
	retry(g) // so soon that there is no other check for it
	inFront(false, notFound)
	x.gets(g, x.goes(g, notFound), notFound)
	inFront(true, notFound)
	retry(other)
	x.host.Settle(x.now, &x.local, other, x.goes(other, notFound), lockout.Outcome{Kind: lockout.Unclear, Page: notFound}) // at once
	inFront(true, notFound)
	x.pass(640 * time.Minute)
	inFront(false, notFound)
}

// As in "Cannot POST /login" and "Cannot GET /login".
func TestAPageThatRepeatsTheMethodIsTheSame(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits())
	x.login(g, lockout.Success)
	x.gets(g, x.book(g), notFound)
	x.waits(g, 9*time.Minute, lockout.Page{Status: 404, Length: notFound.Length - 1})
}

func TestAPBXWhoseChecksAlwaysGetThePageIsTriedAgainEverMoreRarely(t *testing.T) {
	x := play(t)
	g := account("good", manyPlaces())
	x.login(g, lockout.Success)
	b := x.book(g)
	for _, wait := range []time.Duration{10 * time.Minute, 80 * time.Minute, 640 * time.Minute} {
		x.gets(g, b, notFound)
		x.pass(time.Second)
		x.waits(g, wait-2*time.Second, notFound)
		x.pass(2 * time.Second)
		b = x.goes(g, notFound)
	}
	x.settle(g, b, lockout.Success)
	x.wantBookings(0)
	if x.local.Quiet(x.now.Add(time.Hour)) {
		t.Error("what checks get is forgotten")
	}
	x.gets(g, x.book(g), notFound)
	x.pass(2 * time.Second)
	x.settle(g, x.goes(g, notFound), lockout.Success) // the page is the PBX's own
	x.gets(g, x.book(g), lockout.Page{Status: 404, Length: 7})
	x.waits(g, time.Minute, lockout.Page{Status: 404, Length: 7}) // and another is not
}

func TestAPageIsThePBXsOwnOnlyIfAVerdictFollowsIt(t *testing.T) {
	for _, late := range []bool{true, false} {
		x := play(t)
		one, two := account("one", inRowLimits()), account("two", inRowLimits())
		x.login(one, lockout.Success)
		x.login(two, lockout.Success)
		a := x.book(one)
		x.pass(time.Millisecond)
		b := x.book(two)
		x.gets(one, a, notFound)
		if late { // this one was sent before the check
			x.local.Checked(one.URL, x.now, x.now, notFound)
		} else {
			x.gets(two, b, notFound)
			x.pass(31 * time.Second)
			b = x.goes(two, lockout.Page{Status: 405})
		}
		x.settle(two, b, lockout.Success)
		x.gets(two, x.book(two), notFound)
		x.pass(31 * time.Second)
		x.waits(two, time.Minute, notFound)
	}
}

func TestLoginsThatMeetOnePageTogetherCountOnce(t *testing.T) {
	x := play(t)
	one, two := account("one", inRowLimits()), account("two", inRowLimits())
	x.login(one, lockout.Success)
	x.login(two, lockout.Success)
	a, b := x.book(one), x.book(two)
	x.gets(one, a, notFound)
	x.gets(two, b, notFound)
	x.waits(one, 10*time.Minute-time.Second, notFound)
	x.pass(2 * time.Second)
	x.goes(one, notFound)
}

func TestAnotherProcessLearnsForWhomAPersonHasAsked(t *testing.T) {
	x := play(t)
	g := account("good", manyPlaces())
	x.login(g, lockout.Success)
	x.gets(g, x.book(g), notFound)
	x.pass(time.Minute)
	var there lockout.Local // of the other process
	for _, l := range []*lockout.Local{&x.local, &there} {
		l.Checked(g.URL, x.now, x.now, notFound)
	}
	if !x.host.InFront(x.now, &there, g.URL) {
		t.Error("the page is not in front")
	}
	if d := x.host.Retry(x.now, &x.local, g); d.Reason != lockout.None {
		t.Fatal(d.Reason)
	}
	if x.host.InFront(x.now, &there, g.URL) {
		t.Error("the page holds back a login for which a person has asked, because that was in another process")
	}
}

func TestAnotherProcessLearnsOfThePageInFront(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits())
	x.login(g, lockout.Success)
	x.gets(g, x.book(g), notFound)
	data, err := json.Marshal(&x.host)
	if err != nil {
		t.Fatal(err)
	}
	var other lockout.Host
	if err := json.Unmarshal(data, &other); err != nil {
		t.Fatal(err)
	}
	x.host, x.local, x.name = other, lockout.Local{}, "q"
	x.waits(g, 9*time.Minute, notFound)
	x.local.Checked(g.URL, x.now, x.now, notFound)
	if next := x.local.NextCheck(g.URL); !next.After(x.now) {
		t.Error("checks follow each other without a pause")
	}
	x.goes(g, lockout.Page{Status: 405})
}

func TestStoredCountsOfPagesThatCannotBe(t *testing.T) {
	for _, n := range []int{math.MinInt, -1, 0, 1, math.MaxInt} {
		x := play(t)
		g := account("good", manyPlaces())
		text := fmt.Sprintf(`{"v":1,"unclear":1,"unclear_from":%d,"unclear_last":%[1]d,"in_front":%d,"page_status":404,"page_length":19}`, x.now.UnixMilli(), n)
		if err := json.Unmarshal([]byte(text), &x.host); err != nil {
			t.Fatal(err)
		}
		x.pass(2 * time.Second)
		x.local.Checked(g.URL, x.now, x.now, notFound)
		if goes := x.ask(g).Verdict == lockout.Go; goes != (n < 1) {
			t.Errorf("%d logins with a page: a login goes: %v", n, goes)
		}
		if n < 1 {
			x.gets(g, x.book(g), notFound)
			x.pass(time.Minute)
			x.local = lockout.Local{} // another process reads the count
			x.waits(g, time.Minute, notFound)
		}
	}
}

// startPage is the page of a PBX's web server, which checks get whether its API is up or not.
var startPage = lockout.Page{Status: 200, Length: 500}

// A proxy has no backend, and then the PBX's web server is up before its API.
func TestThePausesOfAPageBeginWithTheFirstLoginThatGotIt(t *testing.T) {
	x := play(t)
	g := account("good", manyPlaces())
	x.login(g, lockout.Success)
	x.gets(g, x.book(g), notFound)
	x.pass(time.Minute)
	for _, wait := range []time.Duration{10 * time.Minute, 80 * time.Minute} {
		x.gets(g, x.goes(g, startPage), startPage)
		x.pass(time.Second)
		x.waits(g, wait-2*time.Second, startPage)
		x.pass(2 * time.Second)
	}
	x.settle(g, x.goes(g, startPage), lockout.Success)
	x.wantBookings(0)
}

// Two ports of a host are down, and each has a page of its own.
func TestThePageOfAnotherURLHidesNoneThatIsInFront(t *testing.T) {
	x := play(t)
	one, two := account("one", inRowLimits()), account("two", inRowLimits())
	two.URL = "http://pbx.test:8088"
	x.login(one, lockout.Success)
	x.login(two, lockout.Success)
	x.gets(one, x.book(one), notFound)
	x.pass(2 * time.Second)
	x.gets(two, x.goes(two, startPage), startPage)
	x.pass(31 * time.Second)
	x.waits(one, 8*time.Minute, notFound)
	x.waits(two, time.Minute, startPage)
	x.wantBookings(2)
	x.settle(one, x.goes(one, lockout.Page{Status: 405}), lockout.Success)
}

// A proxy has two backends that are down, and each has a page of its own.
func TestPagesThatAlternateUseNoMorePlacesThanOneEach(t *testing.T) {
	pages := []lockout.Page{notFound, startPage}
	x := play(t)
	g := account("good", inRowLimits())
	x.login(g, lockout.Success)
	x.gets(g, x.book(g), pages[0])
	x.pass(2 * time.Second)
	x.gets(g, x.goes(g, pages[1]), pages[1])
	x.pass(31 * time.Second)
	for range 9 {
		for _, page := range pages {
			x.waits(g, 30*time.Second, page)
		}
	}
	x.pass(time.Minute)
	x.gets(g, x.goes(g, pages[1]), pages[0])
	x.wantBookings(3)
	for range 100 { // the last place is a person's
		x.pass(10 * time.Hour)
		for _, page := range pages {
			x.local.Checked(g.URL, x.now, x.now, page)
			x.want(g, lockout.WaitEvent, lockout.NoEvidence)
		}
	}
	x.settle(g, x.goes(g, lockout.Page{Status: 405}), lockout.Success)
	x.wantBookings(0)
}

// Of many pages, the newest are known.
func TestPagesThatAlwaysDifferUseThePlacesAndNoMore(t *testing.T) {
	x := play(t)
	l := manyPlaces()
	g := account("good", l)
	x.login(g, lockout.Success)
	b := x.book(g)
	for n := 1; ; n++ {
		x.gets(g, b, lockout.Page{Status: 404, Length: 10 * n})
		x.wantBookings(n)
		x.pass(time.Hour)
		page := lockout.Page{Status: 404, Length: 10*n + 5}
		x.local.Checked(g.URL, x.now, x.now, page)
		if n == l.Attempts-1 {
			x.want(g, lockout.WaitPerson, lockout.NoPlace)
			return
		}
		b = x.goes(g, page)
	}
}

func TestThePBXsOwnPageIsLearnedWhereAnotherLoginGotIt(t *testing.T) {
	for _, url := range []string{theURL, "http://pbx.test:8088"} {
		x := play(t)
		one, two := account("one", manyPlaces()), account("two", manyPlaces())
		two.URL = url
		x.login(one, lockout.Success)
		x.login(two, lockout.Success)
		var here, there lockout.Local // two processes
		outage := func() {
			here, x.local = x.local, there
			x.gets(one, x.goes(one, lockout.Page{Status: 405}), notFound)
			there, x.local = x.local, here
			x.pass(time.Second)
		}
		outage()
		x.waits(two, 10*time.Minute-2*time.Second, notFound)
		x.pass(2 * time.Second)
		x.settle(two, x.goes(two, notFound), lockout.Success)
		outage()
		x.settle(two, x.goes(two, notFound), lockout.Success)
	}
}

// A proxy forbids everything, and the PBX redirects what its API does not know.
func TestTheResponseThatIsThePBXsOwnIsThatOfChecks(t *testing.T) {
	forbidden, redirect := lockout.Page{Status: 403, Length: 9}, lockout.Page{Status: 302}
	x := play(t)
	g := account("good", manyPlaces())
	x.login(g, lockout.Success)
	x.gets(g, x.book(g), forbidden)
	x.pass(time.Second)
	x.waits(g, time.Hour-2*time.Second, redirect)
	x.pass(2 * time.Second)
	x.settle(g, x.goes(g, redirect), lockout.Success)
	x.gets(g, x.book(g), forbidden)
	x.pass(time.Second)
	x.waits(g, 9*time.Minute, forbidden)
	x.settle(g, x.goes(g, redirect), lockout.Success)
	x.wantBookings(0)
}

func TestProcessesTryWhatIsInFrontNoMoreOftenThanOne(t *testing.T) {
	x := play(t)
	g := account("good", manyPlaces())
	x.login(g, lockout.Success)
	b := x.book(g)
	for _, wait := range []time.Duration{10 * time.Minute, 80 * time.Minute, 640 * time.Minute, 640 * time.Minute} {
		x.gets(g, b, notFound)
		x.local = lockout.Local{} // the next login is another process's
		x.pass(time.Second)
		x.waits(g, wait-2*time.Second, notFound)
		x.pass(2 * time.Second)
		b = x.goes(g, notFound)
	}
}

// Another process's login may be in flight when the first slow check has its response.
func TestAfterASlowResponseTheNextCheckMayTakeAsLong(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits())
	x.login(g, lockout.Success)
	x.login(g, lockout.Unclear)
	check := func(takes time.Duration, page lockout.Page) time.Duration {
		x.local.Checked(g.URL, x.now, x.now.Add(takes), page)
		x.pass(takes)
		x.pass(x.local.NextCheck(g.URL).Sub(x.now))
		return x.local.CheckTimeout(g.URL)
	}
	for check(5*time.Second, lockout.Page{}) < 10*time.Second {
	}
	up := lockout.Page{Status: 405}
	for i, c := range []struct {
		takes time.Duration
		page  lockout.Page
		next  time.Duration
	}{
		{6 * time.Second, up, 10 * time.Second},
		{6 * time.Second, up, 10 * time.Second},
		{time.Second, up, 5 * time.Second},
		{6 * time.Second, up, 10 * time.Second},
		{10 * time.Second, lockout.Page{}, 5 * time.Second},
	} {
		if got := check(c.takes, c.page); got != c.next {
			t.Errorf("after %d checks the next may take %v, want %v", i+1, got, c.next)
		}
	}
}

// Another process may log in first, and what a check has shown lasts two seconds.
func TestALoginThatMissesItsEvidenceNeedsNoLongWait(t *testing.T) {
	for _, outage := range []lockout.Page{{}, {Status: 502}, notFound} {
		x := play(t)
		g := account("good", inRowLimits())
		x.login(g, lockout.Success)
		x.gets(g, x.book(g), outage)
		for end := x.now.Add(9 * time.Minute); x.now.Before(end); x.pass(max(time.Second, x.local.NextCheck(g.URL).Sub(x.now))) {
			x.local.Checked(g.URL, x.now, x.now, outage)
		}
		for _, most := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
			x.local.Checked(g.URL, x.now, x.now, lockout.Page{Status: 405})
			x.want(g, lockout.Go, lockout.None)
			next := x.local.NextCheck(g.URL).Sub(x.now)
			if next > most {
				t.Errorf("%+v: the next check comes in %v, want %v", outage, next, most)
			}
			x.pass(next)
		}
	}
}

func TestWhileWrongLoginsStandEachLoginHasItsCheckAtOnce(t *testing.T) {
	x := play(t)
	x.login(account("wrong", inRowLimits()), lockout.Refused)
	for i := range 8 {
		g := account(fmt.Sprint("good-", i), inRowLimits())
		if next := x.local.NextCheck(g.URL).Sub(x.now); next > 0 {
			t.Errorf("login %d waits %v for its check", i, next)
		}
		x.login(g, lockout.Success)
		x.pass(2 * time.Second)
	}
}

// failing has checks get the status for d, and expects that no login goes before the end.
func (x *rules) failing(g lockout.Login, d time.Duration, status int) {
	x.t.Helper()
	for end := x.now.Add(d); x.now.Before(end); {
		x.checked(g, status)
		x.want(g, lockout.WaitEvent, lockout.NoEvidence)
		x.pass(min(end.Sub(x.now), max(5*time.Second, x.local.NextCheck(g.URL).Sub(x.now))))
	}
	x.checked(g, status)
}

// send books a login that may go without evidence, and settles it at once.
func (x *rules) send(g lockout.Login, k lockout.OutcomeKind) {
	x.t.Helper()
	x.ids++
	d := x.host.Book(x.now, &x.local, g, lockout.ID{Process: x.name, Number: x.ids})
	if d.Verdict != lockout.Go {
		x.t.Fatalf("%s may not go: %v until %v", g.Account, d.Reason, d.Until)
	}
	x.settle(g, d.Booking, k)
	x.pass(2 * time.Second)
}

func TestAPBXWhoseChecksAlwaysFailIsTriedAgainEverMoreRarely(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits())
	x.login(g, lockout.NotSent)
	for _, wait := range []time.Duration{time.Hour, 8 * time.Hour, 64 * time.Hour, 64 * time.Hour} {
		x.failing(g, wait-5*time.Second, 500)
		x.want(g, lockout.WaitEvent, lockout.NoEvidence)
		x.pass(6 * time.Second)
		x.checked(g, 500)
		x.send(g, lockout.NotSent)
	}
	x.checked(g, 200) // this was an outage
	x.login(g, lockout.NotSent)
	x.failing(g, time.Hour-2*time.Second, 500)
	x.want(g, lockout.WaitEvent, lockout.NoEvidence)
	x.pass(3 * time.Second)
	x.checked(g, 500)
	x.want(g, lockout.Go, lockout.None)
}

func TestChecksWithoutAResponseAreAnOutageHoweverLong(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits())
	x.login(g, lockout.Unclear)
	x.pass(time.Second)
	x.checked(g, 500)
	x.failing(g, 100*time.Hour, 0)
	x.want(g, lockout.WaitEvent, lockout.NoEvidence)
	x.checked(g, 500) // it responds, as it always does
	x.want(g, lockout.Go, lockout.None)
}

func TestACheckThatSucceedsEndsTheHourOfThoseThatFail(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits())
	x.send(g, lockout.NotSent)
	x.failing(g, 50*time.Minute, 502)
	x.checked(g, 200)
	x.pass(5 * time.Second)
	x.failing(g, 50*time.Minute, 502)
	x.want(g, lockout.WaitEvent, lockout.NoEvidence)
}

func TestTheHourOfChecksThatFailBeginsAnewAfterAPauseWithoutThem(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits())
	x.login(g, lockout.NotSent)
	x.failing(g, 50*time.Minute, 502)
	x.pass(24 * time.Hour)
	x.want(g, lockout.WaitEvent, lockout.NoEvidence)
	x.failing(g, time.Hour-2*time.Second, 502)
	x.want(g, lockout.WaitEvent, lockout.NoEvidence)
	x.pass(24 * time.Hour) // the hour is over, but nobody has looked since
	if d := x.host.Retry(x.now, &x.local, g); d.Reason != lockout.NoEvidence {
		t.Error(d.Reason)
	}
	x.want(g, lockout.WaitEvent, lockout.NoEvidence)
}

func TestAVerdictEndsTheRowOfLoginsThatWereSentThoughChecksFail(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits())
	x.send(g, lockout.NotSent)
	x.failing(g, time.Hour, 500)
	x.send(g, lockout.NotSent)
	x.local.TokenAccepted(g.URL, x.now, x.now, x.now)
	x.send(g, lockout.Success)
	x.send(g, lockout.NotSent)
	x.failing(g, time.Hour, 500)
	x.want(g, lockout.Go, lockout.None)
}

func TestAnOutageNeverUsesTheLastPlace(t *testing.T) {
	for _, status := range []int{500, 502, 599} {
		x := play(t)
		g := account("good", inRowLimits()) // 5 in a row lock
		x.login(g, lockout.Success)
		x.login(g, lockout.Unclear)
		x.pass(time.Second)
		x.failing(g, time.Hour, status)
		x.send(g, lockout.Unclear)
		x.pass(30 * time.Second)
		x.failing(g, 8*time.Hour, status)
		x.send(g, lockout.Unclear)
		x.wantBookings(3)
		x.pass(20 * time.Minute)
		x.failing(g, 1000*time.Hour, status)
		x.want(g, lockout.WaitEvent, lockout.NoEvidence)
		if d := x.host.Retry(x.now, &x.local, g); d.Reason != lockout.None { // a person decides
			t.Fatal(d.Reason)
		}
		x.send(g, lockout.Success)
		x.wantBookings(0)
	}
}

func TestNothingInFrontUsesTheLastPlace(t *testing.T) {
	for _, c := range []struct {
		page          lockout.Page
		first, second time.Duration
	}{{notFound, 10 * time.Minute, 80 * time.Minute}, {lockout.Page{Status: 401}, time.Hour, 8 * time.Hour}} {
		x := play(t)
		g := account("good", inRowLimits()) // 5 in a row lock
		x.login(g, lockout.Success)
		x.gets(g, x.book(g), c.page)
		for _, wait := range []time.Duration{c.first, c.second} {
			x.pass(wait)
			x.gets(g, x.goes(g, c.page), c.page)
		}
		x.wantBookings(3)
		for range 100 {
			x.pass(10 * time.Hour)
			x.local.Checked(g.URL, x.now, x.now, c.page)
			x.want(g, lockout.WaitEvent, lockout.NoEvidence)
		}
		if d := x.host.Retry(x.now, &x.local, g); d.Reason != lockout.None { // a person decides
			t.Fatal(d.Reason)
		}
		x.settle(g, x.goes(g, c.page), lockout.Success)
		x.wantBookings(0)
	}
}

// Once the page is gone, the last place is used as after any outage.
func TestTheLastPlaceIsUsedWhenNothingIsInFrontAnyMore(t *testing.T) {
	x := play(t)
	l := inRowLimits()
	l.Attempts = 3
	g := account("good", l)
	x.login(g, lockout.Success)
	x.gets(g, x.book(g), notFound)
	x.pass(time.Second)
	x.waits(g, 10*time.Hour, notFound)
	x.settle(g, x.goes(g, lockout.Page{Status: 405}), lockout.Success)
	x.wantBookings(0)
}

func TestWhereTheLockIsTheAccountsEachAccountKeepsItsLastPlace(t *testing.T) {
	l := inRowLimits()
	l.PerAccount = true
	x := play(t)
	a, b := account("a", l), account("b", l)
	x.login(a, lockout.Success)
	for range 3 {
		wrong := account(fmt.Sprint("wrong ", x.ids), l)
		wrong.Account = "a"
		if x.ids < 3 {
			x.login(wrong, lockout.Refused)
			continue
		}
		x.login(a, lockout.Unclear)
	}
	x.pass(20 * time.Minute)
	x.failing(b, time.Hour, 500)
	x.want(a, lockout.WaitEvent, lockout.NoEvidence)
	x.want(b, lockout.Go, lockout.None)
}

// learned is a host at which checks get HTTP 500 though the PBX is up, as is known.
func learned(t *testing.T) (*rules, lockout.Login) {
	x := play(t)
	g := account("good", inRowLimits())
	x.login(g, lockout.Success)
	x.login(g, lockout.Unclear)
	x.pass(time.Second)
	x.failing(g, time.Hour, 500)
	x.send(g, lockout.Success)
	x.wantBookings(0)
	return x, g
}

func TestAStatusThatChecksGetFromAPBXThatIsUpIsEvidence(t *testing.T) {
	x, g := learned(t)
	for _, outcome := range []lockout.OutcomeKind{lockout.Unclear, lockout.NotSent} {
		x.pass(24 * time.Hour)
		x.send(g, outcome)
		for _, status := range []int{0, 502, 503} {
			x.checked(g, status)
			x.want(g, lockout.WaitEvent, lockout.NoEvidence)
		}
		x.local.Checked(g.URL, x.now.Add(-3*time.Second), x.now, lockout.Page{Status: 500})
		x.want(g, lockout.WaitEvent, lockout.NoEvidence) // it was sent before the fault
		if !x.local.Checked(g.URL, x.now, x.now, lockout.Page{Status: 500}) {
			t.Error("the check is no evidence")
		}
		x.send(g, lockout.Success)
	}
	if x.local.Quiet(x.now.Add(time.Hour)) {
		t.Error("what is known of the checks is forgotten")
	}
	x.send(g, lockout.NotSent)
	x.checked(g, 404) // it is no longer so
	x.send(g, lockout.NotSent)
	x.checked(g, 500)
	x.want(g, lockout.WaitEvent, lockout.NoEvidence)
	x.checked(g, 404)
	x.send(g, lockout.Success)
	if x.pass(time.Hour); !x.local.Quiet(x.now) {
		t.Error("the host is not quiet")
	}
}

func TestAStatusThatChecksGetAtAnotherURLIsNoEvidence(t *testing.T) {
	x, g := learned(t)
	g.URL = "https://pbx.example:8443"
	x.login(g, lockout.NotSent)
	x.checked(g, 500)
	x.want(g, lockout.WaitEvent, lockout.NoEvidence)
}

func TestAVerdictLongAfterTheLastCheckShowsNothingOfChecks(t *testing.T) {
	for _, early := range []bool{true, false} {
		x := play(t)
		g := account("good", inRowLimits())
		x.login(g, lockout.Success)
		x.login(g, lockout.NotSent)
		if early {
			x.failing(g, 50*time.Minute, 502)
		} else {
			x.failing(g, time.Hour, 502)
			x.pass(10 * time.Second) // the outage ends
			x.want(g, lockout.WaitEvent, lockout.NoEvidence)
		}
		x.local.TokenAccepted(g.URL, x.now, x.now, x.now)
		x.send(g, lockout.Success)
		x.send(g, lockout.NotSent)
		x.checked(g, 502)
		x.want(g, lockout.WaitEvent, lockout.NoEvidence)
	}
}

func TestAPersonsRetryUsesTheLastPlaceWhenChecksHaveFailedForLong(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits()) // 5 in a row lock
	retry := func(want lockout.Reason) {
		t.Helper()
		x.pass(11 * time.Second)
		if d := x.host.Retry(x.now, &x.local, g); d.Reason != want {
			t.Fatal(d.Reason)
		}
	}
	x.login(g, lockout.Success)
	x.login(g, lockout.Unclear)
	x.pass(time.Second)
	x.failing(g, 50*time.Minute, 500)
	retry(lockout.NoEvidence) // it may be an outage: the PBX is checked
	x.failing(g, 10*time.Minute, 500)
	x.send(g, lockout.Unclear)
	x.pass(30 * time.Second)
	x.failing(g, 8*time.Hour-30*time.Second, 500)
	x.send(g, lockout.Unclear)
	x.pass(20 * time.Minute)
	x.failing(g, 63*time.Hour, 500)
	retry(lockout.NoEvidence)
	x.failing(g, 2*time.Hour, 500)
	x.pass(24 * time.Hour) // and nobody has looked since
	retry(lockout.NoEvidence)
	x.failing(g, 65*time.Hour, 500)
	x.want(g, lockout.WaitEvent, lockout.NoEvidence)
	retry(lockout.None)
	x.want(g, lockout.Go, lockout.None)
}

func TestThePauseAfterALoginOnOtherEvidenceIsAnHour(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits())
	x.send(g, lockout.NotSent)
	x.failing(g, 10*time.Minute, 500)
	x.local.TokenAccepted(g.URL, x.now, x.now, x.now)
	x.send(g, lockout.NotSent)
	x.failing(g, time.Hour-5*time.Second, 500)
	x.want(g, lockout.WaitEvent, lockout.NoEvidence)
	x.pass(6 * time.Second)
	x.checked(g, 500)
	x.want(g, lockout.Go, lockout.None)
}

func TestABrandWithoutLockoutHasNoLastPlace(t *testing.T) {
	x := play(t)
	g := account("good", pbx.Lockout{None: true, Attempts: 2})
	x.login(g, lockout.NotSent)
	x.failing(g, time.Hour, 500)
	x.want(g, lockout.Go, lockout.None)
}

func TestAPageInFrontByAClockThatIsSet(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits())
	challenge := lockout.Outcome{Kind: lockout.NotSent, Page: notFound}
	x.host.Settle(x.now, &x.local, g, x.book(g), challenge)
	x.waits(g, 5*time.Minute, notFound)
	x.pass(-20 * time.Minute)
	x.local.Shift(-20 * time.Minute)
	x.waits(g, 5*time.Minute-time.Second, notFound)
	x.pass(2 * time.Second)
	x.host.Settle(x.now, &x.local, g, x.goes(g, notFound), challenge)
	x.pass(-1000 * time.Hour) // and nobody says so
	x.waits(g, 80*time.Minute-time.Second, notFound)
	x.pass(2 * time.Second)
	x.goes(g, notFound)
}

func TestChecksThatFailByAClockThatIsSet(t *testing.T) {
	x := play(t)
	g := account("good", inRowLimits())
	x.login(g, lockout.NotSent)
	x.failing(g, 50*time.Minute, 500)
	x.pass(-20 * time.Minute)
	x.local.Shift(-20 * time.Minute)
	x.failing(g, 10*time.Minute-2*time.Second, 500)
	x.want(g, lockout.WaitEvent, lockout.NoEvidence)
	x.pass(3 * time.Second)
	x.checked(g, 500)
	x.send(g, lockout.NotSent)
	x.pass(-20 * time.Minute)
	x.local.Shift(-20 * time.Minute)
	x.failing(g, 8*time.Hour-4*time.Second, 500)
	x.want(g, lockout.WaitEvent, lockout.NoEvidence)
	x.pass(5 * time.Second)
	x.checked(g, 500)
	x.want(g, lockout.Go, lockout.None)
	x.pass(-1000 * time.Hour) // and nobody says so
	x.want(g, lockout.WaitEvent, lockout.NoEvidence)
	x.failing(g, 8*time.Hour, 500)
	x.want(g, lockout.Go, lockout.None)
}
