package lockout_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/lockout"
)

// telling is what one process knows of a host, and what it hears from another.
type telling struct {
	t     *testing.T
	host  lockout.Host
	local lockout.Local
	login lockout.Login
	start time.Time
	ids   uint64
}

func newTelling(t *testing.T, dead pbx.DeadTokens) *telling {
	return &telling{t: t, start: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC),
		login: lockout.Login{URL: theURL, Account: "own", Limits: lockout.Resolve(pbx.Lockout{DeadTokens: dead, Memory: pbx.Forever}, 0)}}
}

func (x *telling) at(seconds float64) time.Time {
	return x.start.Add(time.Duration(seconds * float64(time.Second)))
}

func (x *telling) id(process string) lockout.ID {
	x.ids++
	return lockout.ID{Process: process, Number: x.ids}
}

// refusal is that of a token, which has a name, in a process.
func (x *telling) refusal(process, token string, issued, read float64) lockout.Refusal {
	return lockout.Refusal{ID: x.id(process), URL: theURL, Token: lockout.FingerprintOf([]byte(token)), Issued: x.at(issued), Read: x.at(read)}
}

// sees has this process see the refusal of a token.
func (x *telling) sees(token string, issued, read float64) time.Time {
	return x.host.TokenRefused(x.at(read), &x.local, x.login, x.refusal("own", token, issued, read))
}

// hears has it hear at a time of a refusal that another process has seen.
func (x *telling) hears(now float64, token string, issued, read float64) time.Time {
	return x.hearsOf(now, x.refusal("other", token, issued, read))
}

// hearsOfFirst is hears, where the other process took the refusal for the first.
func (x *telling) hearsOfFirst(now float64, token string, issued, read float64) time.Time {
	r := x.refusal("other", token, issued, read)
	r.First = true
	return x.hearsOf(now, r)
}

func (x *telling) hearsOf(now float64, r lockout.Refusal) time.Time {
	return x.host.Hear(x.at(now), &x.local, x.login.Limits, r)
}

// wantSuspect checks which tokens are suspect: those issued until that time; negative: none.
func (x *telling) wantSuspect(until float64) {
	x.t.Helper()
	if until >= 0 && !x.host.Suspect(theURL, x.at(until)) {
		x.t.Errorf("a token issued at %v is not suspect", until)
	}
	if x.host.Suspect(theURL, x.at(max(until, -10)+0.2)) {
		x.t.Errorf("a token issued after %v is suspect", until)
	}
}

func (x *telling) wantOneAtATime(issued, now float64, want bool) {
	x.t.Helper()
	if got := x.local.OneTokenAtATime(theURL, x.at(issued), x.at(now)); got != want {
		x.t.Errorf("one token at a time at %v with one issued at %v: %v", now, issued, got)
	}
}

func TestRefusalsOfTwoProcessesCountTogether(t *testing.T) {
	t.Run("this one is the second", func(t *testing.T) {
		x := newTelling(t, pbx.DeadTokensUnknown)
		if until := x.hears(101, "a", 1, 100); !until.IsZero() {
			t.Errorf("after one refusal, tokens until %v are suspect", until)
		}
		x.wantSuspect(-1)
		x.wantOneAtATime(50, 101, true)
		x.wantOneAtATime(100.5, 101, false)
		if until := x.sees("b", 2, 102); until.Before(x.at(99)) || until.After(x.at(100)) {
			t.Errorf("tokens until %v are suspect, want until the first refusal", until)
		}
		x.wantSuspect(99.9)
		x.wantOneAtATime(50, 103, false)
	})
	t.Run("the other one is the second", func(t *testing.T) {
		x := newTelling(t, pbx.DeadTokensUnknown)
		x.sees("a", 1, 100)
		if until := x.hears(103, "b", 2, 102); until.IsZero() {
			t.Error("after two refusals, no tokens are suspect")
		}
		x.wantSuspect(99.9)
	})
	t.Run("it was sooner than this one's", func(t *testing.T) {
		x := newTelling(t, pbx.DeadTokensUnknown)
		x.sees("a", 1, 100)
		x.hears(103, "b", 2, 50)
		x.wantSuspect(49.9)
	})
	t.Run("an accepted token ends the care as ever", func(t *testing.T) {
		x := newTelling(t, pbx.DeadTokensUnknown)
		x.hears(101, "a", 1, 100)
		x.local.TokenAccepted(theURL, x.at(0.5), x.at(102), x.at(103))
		x.sees("b", 2, 104)
		x.wantSuspect(-1)
	})
	t.Run("where they count, one is enough", func(t *testing.T) {
		x := newTelling(t, pbx.DeadTokensCount)
		if until := x.hears(101, "a", 1, 100); !until.Equal(x.at(100)) {
			t.Errorf("tokens until %v are suspect", until)
		}
		x.wantSuspect(99.9)
		if n := len(x.host.Status(x.at(101), &x.local).Bookings); n != 0 {
			t.Errorf("%d bookings of what another process books", n)
		}
	})
	t.Run("where they do not count, it says nothing", func(t *testing.T) {
		x := newTelling(t, pbx.DeadTokensIgnored)
		x.hears(101, "a", 1, 100)
		x.hears(101, "b", 1, 100)
		x.wantSuspect(-1)
		x.wantOneAtATime(50, 101, false)
	})
}

// Two processes that use one token may both see its refusal.
func TestTheRefusalOfOneTokenIsOneWhoeverSeesIt(t *testing.T) {
	for name, play := range map[string]func(x *telling){
		"seen, then heard": func(x *telling) { x.sees("a", 1, 100); x.hears(101, "a", 1.5, 100.3) },
		"heard, then seen": func(x *telling) { x.hears(101, "a", 1.5, 100.3); x.sees("a", 1, 101) },
		"heard twice":      func(x *telling) { x.hears(101, "a", 1.5, 100.3); x.hears(101, "a", 1, 100) },
		"seen twice":       func(x *telling) { x.sees("a", 1, 100); x.sees("a", 1, 100) },
		"the same news": func(x *telling) {
			r := x.refusal("other", "a", 1, 100)
			x.hearsOf(101, r)
			r.Token = lockout.FingerprintOf([]byte("b"))
			x.hearsOf(102, r)
		},
		"after it is clear": func(x *telling) {
			x.sees("a", 1, 100)
			x.local.TokenAccepted(theURL, x.at(0.5), x.at(102), x.at(103))
			x.hears(104, "a", 1, 100.5)
			x.sees("b", 2, 105)
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTelling(t, pbx.DeadTokensUnknown)
			play(x)
			x.wantSuspect(-1)
		})
	}
	t.Run("an earlier refusal of it says more", func(t *testing.T) {
		x := newTelling(t, pbx.DeadTokensUnknown)
		x.sees("a", 1, 100)
		x.hears(101, "a", 1, 50) // so a token issued at 60 is good
		x.wantOneAtATime(60, 101, false)
		x.sees("b", 2, 102)
		x.wantSuspect(49.9)
	})
	t.Run("two tokens that are as old are two", func(t *testing.T) {
		x := newTelling(t, pbx.DeadTokensUnknown)
		x.sees("a", 1, 100)
		x.hears(101, "b", 1, 100)
		x.wantSuspect(99.9)
	})
	t.Run("two tokens that nobody can tell apart are two", func(t *testing.T) {
		x := newTelling(t, pbx.DeadTokensUnknown)
		x.sees("", 1, 100)
		x.hears(101, "", 1, 100)
		x.wantSuspect(99.9)
	})
}

// The process that saw a refusal knew of all before it. If it takes this one for the
// first, the others have been cleared up, though this process has not seen how.
func TestARefusalThatWasTheFirstForAnotherProcess(t *testing.T) {
	for name, row := range map[string]struct {
		play    func(x *telling)
		suspect float64
	}{
		"hours after another one that was heard":  {func(x *telling) { x.hearsOfFirst(101, "a", 1, 100); x.hearsOfFirst(8001, "b", 2, 8000) }, -1},
		"seconds after another that was heard":    {func(x *telling) { x.hearsOfFirst(101, "a", 1, 100); x.hearsOfFirst(106, "b", 2, 105) }, -1},
		"hours after another one that was seen":   {func(x *telling) { x.sees("a", 1, 100); x.hearsOfFirst(8001, "b", 2, 8000) }, -1},
		"at the same time as one that was seen":   {func(x *telling) { x.sees("a", 1, 100); x.hearsOfFirst(101, "b", 2, 100) }, 99.9},
		"hours after one that was heard, and not": {func(x *telling) { x.hearsOfFirst(101, "a", 1, 100); x.hears(8001, "b", 2, 8000) }, 99.9},
		"and this process sees one after it": {func(x *telling) {
			x.hearsOfFirst(101, "a", 1, 100)
			x.hearsOfFirst(106, "b", 2, 105)
			x.sees("c", 3, 107)
		}, 104.9},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTelling(t, pbx.DeadTokensUnknown)
			row.play(x)
			x.wantSuspect(row.suspect)
		})
	}
}

func TestARefusalOfTheFutureIsNoNews(t *testing.T) {
	x := newTelling(t, pbx.DeadTokensUnknown)
	x.hears(101, "a", 1, 102)
	x.wantOneAtATime(50, 101, false)
	future := lockout.Refusals{x.refusal("other", "a", 1, 102)}
	if all := future.With(x.at(101), x.refusal("own", "b", 1, 100)); len(all) != 1 {
		t.Errorf("%d refusals are told", len(all))
	}
}

func TestARefusalOfLongAgoIsNoNews(t *testing.T) {
	x := newTelling(t, pbx.DeadTokensUnknown)
	lasts := lockout.RefusalLasts.Seconds()
	x.hears(101+lasts, "a", 1, 100)
	x.wantOneAtATime(50, 101+lasts, false)
	x.hears(99+lasts, "b", 1, 100)
	x.wantOneAtATime(50, 99+lasts, true)
	x.local.TokenAccepted(theURL, x.at(0.5), x.at(99.1+lasts), x.at(99.2+lasts))
	x.wantOneAtATime(50, 99.5+lasts, false)
	if x.local.Quiet(x.at(99.5 + lasts)) {
		t.Error("what was heard is forgotten at once")
	}
	x.hears(100.3+lasts, "b", 1, 100.5) // as a slower reading of the store's clock has it
	x.wantOneAtATime(50, 100.4+lasts, false)
	if !x.local.Quiet(x.at(110 + 2*lasts)) {
		t.Error("what was heard is never forgotten")
	}
}

func TestStoredRefusals(t *testing.T) {
	start := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	var all lockout.Refusals
	for i := range 40 {
		now := start.Add(time.Duration(i) * time.Minute / 4)
		all = all.With(now, lockout.Refusal{ID: lockout.ID{Process: "p", Number: uint64(i)}, URL: theURL, Token: lockout.Fingerprint{7}, Issued: start, Read: now, First: i%2 == 0})
	}
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	var read lockout.Refusals
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	if len(all) != 16 || !slices.EqualFunc(all, read, func(a, b lockout.Refusal) bool {
		return a.ID == b.ID && a.URL == b.URL && a.Token == b.Token && a.First == b.First && a.Issued.Equal(b.Issued) && a.Read.Equal(b.Read)
	}) {
		t.Errorf("%v\nwas read as %v", all, read)
	}
	if last := all[15]; last.ID.Number != 39 {
		t.Errorf("the newest is %v", last)
	}
	later := start.Add(10*time.Minute + lockout.RefusalLasts)
	if rest := all.With(later, all[0]); len(rest) != 1 {
		t.Errorf("%d refusals are left of those that nobody needs", len(rest)-1)
	}
	var newer lockout.Refusals
	if err := json.Unmarshal([]byte(`{"v":99}`), &newer); !errors.Is(err, lockout.ErrNewer) {
		t.Errorf("of a newer version: %v", err)
	}
	for _, bad := range []string{`{}`, `[]`, `{"v":1,"refusals":[{"process":1}]}`} {
		if err := json.Unmarshal([]byte(bad), &newer); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

func FuzzUnmarshalRefusals(f *testing.F) {
	f.Add([]byte(`{"v":1,"refusals":[{"process":"p","n":1,"url":"https://pbx.example","issued":1772355600000,"read":1772355700000}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var all lockout.Refusals
		if json.Unmarshal(data, &all) != nil {
			return
		}
		x := newTelling(t, pbx.DeadTokensUnknown)
		for _, r := range all {
			r.URL = theURL
			if until := x.hearsOf(100, r); until.After(x.at(100)) {
				t.Errorf("tokens until %v are suspect", until)
			}
		}
	})
}
