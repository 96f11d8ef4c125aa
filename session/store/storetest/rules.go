package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx/session/store"
)

// rules are all of them, in the order of their numbers.
var rules = []rule{
	{"ST-01", "OnlyThePresentRevisionWins",
		"a process that overwrites what it has not seen loses a login that another process has booked",
		nil, onlyThePresentRevisionWins},
	{"ST-01", "OneOfManyWins",
		"two processes that both win a claim both log in",
		nil, oneOfManyWins},
	{"ST-02", "Linearizable",
		"a process that does not see a finished Swap logs in with a password that was refused",
		nil, linearizable},
	{"ST-02", "LinearizableWhileOperationsFail",
		"a Swap that is repeated after its response was lost loses against itself, and no process holds the claim",
		[]string{"Disturb"}, linearizableWhileFailing},
	{"ST-03", "RevisionsDoNotRepeat",
		"a revision that comes again lets a process that was paused overwrite what it has not seen",
		nil, revisionsDoNotRepeat},
	{"ST-03", "RevisionsDoNotRepeatAfterForgetting",
		"a revision that comes again lets a process that was paused overwrite what it has not seen",
		[]string{"Forget"}, revisionsAfterForgetting},
	{"ST-03", "RevisionsDoNotRepeatAfterARestart",
		"a revision that comes again lets a process that was paused overwrite what it has not seen",
		[]string{"Stop"}, revisionsAfterRestart},
	{"ST-03", "RevisionsDoNotRepeatWhenTheClockIsSetBack",
		"a revision that comes again lets a process that was paused overwrite what it has not seen",
		[]string{"Jump"}, revisionsAfterJump},
	{"ST-04", "TheLoserGetsTheValue",
		"a loser that has to Load costs a round trip each time and may lose again",
		nil, loserGetsTheValue},
	{"ST-05", "KeptSoLongAndNoLonger",
		"a wrong login that is dropped early permits one too many, and a cell that is never dropped fills the store",
		nil, keptSoLong},
	{"ST-05", "EachSwapSetsTheTimeAnew",
		"a lockout ledger that expires with an earlier value's time permits too many logins",
		nil, eachSwapSetsTheTime},
	{"ST-06", "OneClockForAll",
		"processes whose clocks differ disagree about who holds a claim",
		nil, oneClock},
	{"ST-07", "AfterAnErrorOldOrNew",
		"a user recognizes its own write by content, so there must be no third value",
		[]string{"Stop"}, oldOrNew},
	{"ST-08", "AnEndedContextDoesNothing",
		"a store that goes on after the deadline books logins that are never sent",
		nil, endedContext},
	{"ST-08", "AHungStoreObeysTheContext",
		"a slow store must hold no worker, and must not pile up goroutines",
		[]string{"Hang"}, hungStore},
	{"ST-09", "NoTornValue",
		"a mixed value is a token of one login with the expiry of another",
		nil, noTornValue},
	{"ST-09", "ValuesAreNotShared",
		"a value that changes under its reader is a torn one",
		nil, valuesAreNotShared},
	{"ST-10", "KeysAndValuesOfEverySize",
		"a key that is cut or folded puts two PBXs into one ledger",
		nil, keysAndValues},
	{"ST-10", "BadInputIsAnError",
		"an engine that stores half of a value or another key reports success for it",
		nil, badInput},
	{"ST-11", "AbsentIsNoError",
		"the first login of all begins with an absent cell",
		nil, absentIsNoError},
	{"ST-11", "OutOfReachIsNotAbsent",
		"a ledger that looks empty while the store is away permits logins that lock the PBX",
		[]string{"Stop"}, outOfReach},
	{"ST-11", "UnreadableIsNotAbsent",
		"a damaged ledger that looks empty permits logins that lock the PBX",
		[]string{"Damage"}, unreadable},
	{"ST-12", "WatchReportsChanges",
		"a process that does not hear of a new token uses the old one until it is refused",
		nil, watchReports},
	{"ST-12", "WatchReportsAGap",
		"a process that trusts a Watch which no longer reports changes keeps using old tokens",
		[]string{"Stop"}, watchReportsGap},
}

func onlyThePresentRevisionWins(c *check) {
	key := c.key("k")
	if e, won := c.swap(c.a, key, 7, "x", 0); won {
		c.failf("revision 7 wins although there is no cell: %s", show(e))
	}
	one := c.write(c.a, key, 0, "1", 0)
	c.same(one, "1", one.Rev)
	two := c.write(c.b, key, one.Rev, "2", 0)
	for _, rev := range []uint64{0, 1, one.Rev, two.Rev - 1, two.Rev + 1, 1 << 52} {
		for _, value := range []string{"x", ""} {
			if _, won := c.swap(c.a, key, rev, value, 0); won && rev != two.Rev {
				c.failf("revision %d wins over %d", rev, two.Rev)
			}
			c.want(c.b, key, "2", two.Rev)
		}
	}
	gone := c.write(c.b, key, two.Rev, "", 0)
	c.same(gone, "", 0)
	for _, s := range c.clients {
		c.want(s, key, "", 0)
		c.want(s, key, "", 0)
	}
	if _, won := c.swap(c.a, key, two.Rev, "x", 0); won {
		c.failf("the revision of a removed cell wins")
	}
	c.same(c.write(c.a, key, 0, "", 0), "", 0) // removing nothing is no error
	c.want(c.b, key, "", 0)
}

func oneOfManyWins(c *check) {
	key := c.key("k")
	for round := range 30 {
		present := c.load(c.a, key)
		ready := make(chan struct{})
		var winners atomic.Int32
		var winner atomic.Pointer[string]
		var begun sync.WaitGroup
		begun.Add(len(c.clients))
		go func() { begun.Wait(); close(ready) }()
		c.together(func(n int, s store.Store) error {
			value := fmt.Sprintf("%d by %d", round, n)
			begun.Done()
			<-ready
			_, won, err := s.Swap(c.ctx, key, present.Rev, []byte(value), 0)
			if won {
				winners.Add(1)
				winner.Store(&value)
			}
			return err
		})
		if n := winners.Load(); n != 1 {
			c.failf("%d of %d Swaps with one revision win", n, len(c.clients))
		}
		if e := c.load(c.b, key); string(e.Value) != *winner.Load() {
			c.failf("the cell is %s, and the winner wrote %q", show(e), *winner.Load())
		}
	}
}

// rising fails unless each revision that it is given is above the one before.
func (c *check) rising() func(e store.Entry) store.Entry {
	last := uint64(0)
	return func(e store.Entry) store.Entry {
		if e.Rev <= last {
			c.failf("revision %d comes after %d", e.Rev, last)
		}
		last = e.Rev
		return e
	}
}

func revisionsDoNotRepeat(c *check) {
	key, next := c.key("k"), c.rising()
	for range 20 {
		e := next(c.write(c.a, key, 0, "1", 0))
		e = next(c.write(c.b, key, e.Rev, "2", 0))
		c.write(c.a, key, e.Rev, "", 0)
	}
	next(c.write(c.a, key, 0, "1", time.Millisecond))
	c.eventually("the cell has expired", func() bool { return c.load(c.b, key).Rev == 0 })
	next(c.write(c.b, key, 0, "2", 0))
}

func revisionsAfterForgetting(c *check) {
	key, next := c.key("k"), c.rising()
	e := next(c.write(c.a, key, 0, "1", 0))
	e = next(c.write(c.a, key, e.Rev, "2", 0))
	c.faults.Forget(c.t)
	c.want(c.a, key, "", 0)
	if _, won := c.swap(c.b, key, e.Rev, "x", 0); won {
		c.failf("a revision from before wins")
	}
	next(c.write(c.b, key, 0, "3", 0))
}

func revisionsAfterRestart(c *check) {
	key, next := c.key("k"), c.rising()
	next(c.write(c.a, key, 0, "1", 0))
	c.faults.Stop(c.t)
	c.faults.Start(c.t)
	e := c.reached(c.a, key)
	next(c.write(c.a, key, e.Rev, "2", 0))
}

// reached waits until the client has found its store again.
func (c *check) reached(s store.Store, key string) store.Entry {
	var e store.Entry
	c.eventually("the store is within reach again", func() bool {
		ctx, cancel := context.WithTimeout(c.ctx, 2*time.Second)
		defer cancel()
		var err error
		e, err = s.Load(ctx, key)
		return err == nil
	})
	return e
}

func revisionsAfterJump(c *check) {
	key, next := c.key("k"), c.rising()
	e := next(c.write(c.a, key, 0, "1", 0))
	c.faults.Jump(c.t, -time.Hour)
	defer c.faults.Jump(c.t, time.Hour)
	e = next(c.write(c.a, key, e.Rev, "2", 0))
	c.write(c.a, key, e.Rev, "", 0)
	next(c.write(c.a, key, 0, "3", 0))
}

func loserGetsTheValue(c *check) {
	key := c.key("k")
	e, _ := c.swap(c.a, key, 5, "x", 0)
	c.same(e, "", 0)
	one := c.write(c.a, key, 0, "1", 0)
	two := c.write(c.a, key, one.Rev, "2", 0)
	for _, rev := range []uint64{0, one.Rev} {
		for _, value := range []string{"x", ""} {
			e, won := c.swap(c.b, key, rev, value, 0)
			if won {
				c.failf("revision %d wins over %d", rev, two.Rev)
			}
			c.same(e, "2", two.Rev)
		}
	}
}

func keptSoLong(c *check) {
	const keep = 400 * time.Millisecond
	key, forever := c.key("k"), c.key("forever")
	kept := c.write(c.a, forever, 0, "v", 0)
	longest := c.key("longest")
	most := c.write(c.a, longest, 0, "v", math.MaxInt64)
	wrote := c.write(c.a, key, 0, "v", keep)
	began := time.Now()
	c.eventually("a cell is gone when its time has passed", func() bool {
		before := time.Since(began)
		e := c.load(c.b, key)
		if e.Rev != 0 {
			c.same(e, "v", wrote.Rev)
			return false
		}
		// By its own clock or, for a store without one, by ours, less 1 %.
		after := e.Now.Sub(wrote.Now)
		if e.Now.IsZero() {
			after = before
		}
		if after < keep-keep/100 {
			c.failf("a cell to be kept for %v is gone after %v", keep, after)
		}
		return true
	})
	c.want(c.b, forever, "v", kept.Rev)
	c.want(c.b, longest, "v", most.Rev)
}

func eachSwapSetsTheTime(c *check) {
	const keep = 300 * time.Millisecond
	longer, shorter, marker := c.key("longer"), c.key("shorter"), c.key("marker")
	e := c.write(c.a, longer, 0, "1", keep)
	e = c.write(c.a, longer, e.Rev, "2", 0)
	s := c.write(c.a, shorter, 0, "1", 0)
	c.write(c.a, shorter, s.Rev, "2", keep)
	c.write(c.a, marker, 0, "1", 2*keep)
	c.eventually("cells are gone when their time has passed", func() bool {
		return c.load(c.b, marker).Rev == 0 && c.load(c.b, shorter).Rev == 0
	})
	c.want(c.b, longer, "2", e.Rev)
	// A Swap that loses changes no time.
	lost := c.key("lost")
	e = c.write(c.a, lost, 0, "1", 0)
	c.swap(c.b, lost, 0, "x", 1)
	c.swap(c.b, lost, e.Rev+1, "x", 1)
	time.Sleep(2 * time.Millisecond)
	c.want(c.b, lost, "1", e.Rev)
}

func oneClock(c *check) {
	// A clock may be corrected a little meanwhile. Clocks that are apart by less
	// are no danger.
	const tolerance = time.Second
	key := c.key("k")
	first := c.load(c.a, key).Now
	if first.IsZero() {
		for _, s := range c.clients {
			if now := c.load(s, key).Now; !now.IsZero() {
				c.failf("some responses have a time and others have none")
			}
		}
		panic(skip("the store has no clock"))
	}
	last, rev := first, uint64(0)
	see := func(now time.Time) {
		if now.Before(last.Add(-tolerance)) || now.After(last.Add(c.patience+tolerance)) {
			c.failf("the clock goes from %v to %v between two operations", last, now)
		}
		last = now
	}
	for n := range 3 * len(c.clients) {
		s := c.clients[n%len(c.clients)]
		see(c.load(s, key).Now)
		e := c.write(s, key, rev, strconv.Itoa(n), 0)
		see(e.Now)
		e, _ = c.swap(s, key, rev, "x", 0) // loses
		see(e.Now)
		rev = e.Rev
	}
	see(c.write(c.a, key, rev, "", 0).Now)
	c.eventually("the store's clock goes on", func() bool { return c.load(c.b, key).Now.After(first) })
}

func oldOrNew(c *check) {
	key := c.key("k")
	old := c.write(c.a, key, 0, "old", 0)
	// All clients write while the store goes away, each until it gets an error.
	var written sync.Map
	var wg sync.WaitGroup
	for n, s := range c.clients {
		wg.Go(func() {
			rev := old.Rev
			for round := 0; ; round++ {
				value := fmt.Sprintf("%d by %d", round, n)
				written.Store(value, true)
				ctx, cancel := context.WithTimeout(c.ctx, time.Second)
				e, _, err := s.Swap(ctx, key, rev, []byte(value), 0)
				cancel()
				if err != nil {
					return
				}
				rev = e.Rev
			}
		})
	}
	c.faults.Stop(c.t)
	wg.Wait()
	c.faults.Start(c.t)
	e := c.reached(c.b, key)
	if _, ours := written.Load(string(e.Value)); !ours && string(e.Value) != "old" && e.Rev != 0 {
		c.failf("the cell is %s, which no client wrote", show(e))
	}
	c.write(c.b, key, e.Rev, "after", 0)
}

func endedContext(c *check) {
	key := c.key("k")
	one := c.write(c.a, key, 0, "1", 0)
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	if _, err := c.a.Load(ctx, key); err == nil {
		c.failf("Load with an ended context returns no error")
	}
	if _, won, err := c.a.Swap(ctx, key, one.Rev, []byte("2"), 0); err == nil || won {
		c.failf("Swap with an ended context: won %v, error %v", won, err)
	}
	c.want(c.b, key, "1", one.Rev)
}

func hungStore(c *check) {
	const timeout = 200 * time.Millisecond
	key := c.key("k")
	c.write(c.a, key, 0, "1", 0)
	for _, s := range c.clients {
		c.load(s, key) // connects
	}
	c.faults.Hang(c.t)
	resumed := false
	defer func() {
		if !resumed {
			c.faults.Resume(c.t)
		}
	}()
	const perClient = 20
	// A second after the context, and another because machines are slow.
	limit := time.NewTimer(timeout + 2*time.Second)
	defer limit.Stop()
	done := make(chan error, perClient*len(c.clients))
	for n := range perClient * len(c.clients) {
		s := c.clients[n%len(c.clients)]
		go func() {
			// Some contexts have a deadline, others are cancelled.
			ctx, cancel := context.WithTimeout(c.ctx, timeout)
			if n%3 == 0 {
				ctx, cancel = context.WithCancel(c.ctx)
				time.AfterFunc(timeout, cancel)
			}
			defer cancel()
			// The goroutines that an operation starts inherit its label.
			pprof.Do(ctx, pprof.Labels("storetest", key), func(ctx context.Context) {
				var err error
				if n/len(c.clients)%2 == 0 {
					_, err = s.Load(ctx, key)
				} else {
					_, _, err = s.Swap(ctx, key, 1, []byte("x"), 0)
				}
				done <- err
			})
		}()
	}
	for range cap(done) {
		select {
		case err := <-done:
			if err == nil {
				c.failf("an operation on a store that hangs returns no error")
			}
		case <-limit.C:
			c.failf("an operation does not return a second after its context ended")
		}
	}
	resumed = true
	c.faults.Resume(c.t)
	for _, s := range c.clients {
		c.reached(s, key)
	}
	c.eventually("goroutines of operations that have ended are gone", func() bool {
		return labelled(key) < perClient
	})
}

// labelled returns how many goroutines have the label of hungStore. Goroutines of
// other tests do not count.
func labelled(key string) int {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		panic(err) // a Buffer takes everything
	}
	// Goroutines that are alike are one record: how many they are, their labels, their stack.
	total, alike := 0, 0
	for line := range strings.Lines(profile.String()) {
		if n, _, ok := strings.Cut(line, " @ "); ok {
			alike, _ = strconv.Atoi(n)
		} else if strings.HasPrefix(line, "# labels:") && strings.Contains(line, strconv.Quote(key)) {
			total += alike
		}
	}
	return total
}

func noTornValue(c *check) {
	key := c.key("k")
	valueOf := func(n, round int) []byte {
		return bytes.Repeat([]byte{byte('a' + n)}, store.MaxValue-1000*n-round)
	}
	c.together(func(n int, s store.Store) error {
		rev := uint64(0)
		for round := range 15 {
			e, err := s.Load(c.ctx, key)
			if err == nil {
				rev = e.Rev
				err = whole(e.Value)
			}
			if err != nil {
				return err
			}
			if e, _, err = s.Swap(c.ctx, key, rev, valueOf(n, round), 0); err == nil {
				err = whole(e.Value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// whole reports whether a value of noTornValue is one that somebody wrote.
func whole(value []byte) error {
	if len(value) == 0 {
		return nil
	}
	n := int(value[0]) - 'a'
	round := store.MaxValue - 1000*n - len(value)
	if n < 0 || n >= clients || round < 0 || round >= 15 || bytes.Count(value, value[:1]) != len(value) {
		return fmt.Errorf("a value of %d bytes that begins with %q and ends with %q is mixed or cut", len(value), value[:1], value[len(value)-1:])
	}
	return nil
}

func valuesAreNotShared(c *check) {
	key := c.key("k")
	value := []byte("abc")
	e, won, err := c.a.Swap(c.ctx, key, 0, value, 0)
	if err != nil || !won {
		c.failf("Swap: won %v, %v", won, err)
	}
	value[0] = 'X'
	c.want(c.a, key, "abc", e.Rev)
	loaded := c.want(c.a, key, "abc", e.Rev)
	loaded.Value[1] = 'X'
	lost, _ := c.swap(c.a, key, 0, "x", 0)
	c.same(lost, "abc", e.Rev)
	lost.Value[2] = 'X'
	c.want(c.a, key, "abc", e.Rev)
	c.want(c.b, key, "abc", e.Rev)
}

func keysAndValues(c *check) {
	all := make([]byte, 256)
	for n := range all {
		all[n] = byte(n)
	}
	// Keys that an engine could take for each other.
	names := []string{"a/b", "a:b", "a.b", "a_b", "a-b", "ab", "a//b", "a/b/", "a/b.", ".", "..", "../x", "con", "nul.x",
		"0123456789abcdefghijklmnopqrstuvwxyz._:/-"}
	long := c.prefix + strings.Repeat("k", store.MaxKey)
	long = long[:store.MaxKey-1]
	keys := []string{long + "x", long + "y", "h/" + c.prefix + "x"}
	c.use(keys[0])
	c.use(keys[1])
	c.use(keys[2])
	for _, name := range names {
		keys = append(keys, c.key(name))
	}
	values := map[string]string{}
	for n, key := range keys {
		values[key] = fmt.Sprintf("%d", n)
		c.write(c.a, key, 0, values[key], 0)
	}
	for _, key := range keys {
		e := c.load(c.b, key)
		c.same(e, values[key], e.Rev)
	}
	key := c.key("value")
	e := store.Entry{}
	for _, value := range []string{"\x00", " ", "\n", string(all), strings.Repeat("\xff", store.MaxValue), strings.Repeat("\x00", store.MaxValue)} {
		e = c.write(c.a, key, e.Rev, value, 0)
		c.want(c.b, key, value, e.Rev)
		lost, _ := c.swap(c.b, key, 0, "x", 0)
		c.same(lost, value, e.Rev)
	}
}

func badInput(c *check) {
	key := c.key("k")
	one := c.write(c.a, key, 0, "1", 0)
	for _, bad := range []string{"", strings.Repeat("k", store.MaxKey+1), c.prefix + "K", c.prefix + "é", c.prefix + " ", c.prefix + "\x00", c.prefix + "*", c.prefix + "\n"} {
		if _, err := c.a.Load(c.ctx, bad); err == nil {
			c.failf("Load of the key %.40q returns no error", bad)
		}
		if _, won, err := c.a.Swap(c.ctx, bad, 0, []byte("v"), 0); err == nil || won {
			c.failf("Swap of the key %.40q: won %v, error %v", bad, won, err)
		}
	}
	if _, won, err := c.a.Swap(c.ctx, key, one.Rev, make([]byte, store.MaxValue+1), 0); err == nil || won {
		c.failf("a value of %d bytes: won %v, error %v", store.MaxValue+1, won, err)
	}
	if _, won, err := c.a.Swap(c.ctx, key, one.Rev, []byte("v"), -1); err == nil || won {
		c.failf("a negative time to keep: won %v, error %v", won, err)
	}
	c.want(c.b, key, "1", one.Rev)
}

func absentIsNoError(c *check) {
	for _, s := range c.clients {
		c.want(s, c.key("k"), "", 0)
	}
}

func outOfReach(c *check) {
	key, absent := c.key("k"), c.key("absent")
	one := c.write(c.a, key, 0, "1", 0)
	c.load(c.b, key)
	c.faults.Stop(c.t)
	started := false
	defer func() {
		if !started {
			c.faults.Start(c.t)
		}
	}()
	for _, s := range c.clients {
		for _, k := range []string{key, absent} {
			ctx, cancel := context.WithTimeout(c.ctx, time.Second)
			e, err := s.Load(ctx, k)
			if err == nil {
				c.failf("Load from a store that is out of reach returns %s and no error", show(e))
			}
			if errors.Is(err, store.ErrUnreadable) {
				c.failf("a store that is out of reach is called unreadable: %v", err)
			}
			if _, won, err := s.Swap(ctx, k, 0, []byte("x"), 0); err == nil || won || errors.Is(err, store.ErrUnreadable) {
				c.failf("Swap in a store that is out of reach: won %v, error %v", won, err)
			}
			cancel()
		}
	}
	started = true
	c.faults.Start(c.t)
	// It may have forgotten. It may not have invented.
	if e := c.reached(c.a, key); e.Rev != 0 {
		c.same(e, "1", one.Rev)
	}
}

func unreadable(c *check) {
	key := c.key("k")
	one := c.write(c.a, key, 0, "1", 0)
	c.faults.Damage(c.t, key)
	for _, s := range c.clients {
		if e, err := s.Load(c.ctx, key); !errors.Is(err, store.ErrUnreadable) {
			c.failf("Load of a damaged cell returns %s, %v", show(e), err)
		}
		for _, rev := range []uint64{0, one.Rev} {
			for _, value := range []string{"x", ""} {
				if _, won, err := s.Swap(c.ctx, key, rev, []byte(value), 0); won || !errors.Is(err, store.ErrUnreadable) {
					c.failf("Swap over a damaged cell: won %v, %v", won, err)
				}
			}
		}
	}
}

// notices collects what a Watch says until its rule ends.
type notices struct {
	mu   sync.Mutex
	keys map[string]int
}

func (c *check) watch(s store.Store) (n *notices, stop func() error) {
	w, ok := s.(store.Watcher)
	if !ok {
		panic(skip("the store is no Watcher"))
	}
	n = &notices{keys: make(map[string]int)}
	ctx, cancel := context.WithCancel(c.ctx)
	done := make(chan error, 1)
	go func() {
		done <- w.Watch(ctx, func(key string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.keys[key]++
		})
	}()
	return n, func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(c.patience):
			c.failf("Watch does not end with its context")
			return nil
		}
	}
}

func (n *notices) of(key string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.keys[key]
}

func watchReports(c *check) {
	key := c.key("k")
	heard, stop := c.watch(c.a)
	also, stopAlso := c.watch(c.b)
	for _, n := range []*notices{heard, also} {
		c.eventually("Watch reports that it has begun", func() bool { return n.of("") > 0 })
	}
	rev := uint64(0)
	for _, value := range []string{"1", "2", ""} { // made, changed, removed
		before, beforeAlso := heard.of(key), also.of(key)
		rev = c.write(c.b, key, rev, value, 0).Rev
		c.eventually("Watch reports a Swap by another process", func() bool { return heard.of(key) > before })
		c.eventually("Watch reports a Swap by its own process", func() bool { return also.of(key) > beforeAlso })
	}
	for _, stop := range []func() error{stop, stopAlso} {
		if err := stop(); !errors.Is(err, context.Canceled) {
			c.failf("Watch whose context was cancelled returns %v", err)
		}
	}
	after := heard.of(key)
	c.write(c.b, key, 0, "3", 0)
	if heard.of(key) != after {
		c.failf("Watch reports after it has returned")
	}
}

func watchReportsGap(c *check) {
	key := c.key("k")
	heard, stop := c.watch(c.a)
	defer stop()
	c.eventually("Watch reports that it has begun", func() bool { return heard.of("") > 0 })
	before := heard.of("")
	c.faults.Stop(c.t)
	c.faults.Start(c.t)
	c.eventually("Watch reports a gap", func() bool { return heard.of("") > before })
	rev := c.reached(c.b, key).Rev
	rev = c.write(c.b, key, rev, "1", 0).Rev
	c.eventually("Watch reports changes after a gap", func() bool { return heard.of(key) > 0 })
	c.write(c.b, key, rev, "", 0)
}
