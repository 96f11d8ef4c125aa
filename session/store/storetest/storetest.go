// Package storetest checks that a [store.Store] keeps the rules ST-01 to ST-12
// of package store.
//
// A test of a store of your own looks like this:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t testing.TB) store.Store {
//			client := mystore.Open(address)
//			t.Cleanup(client.Close)
//			return client
//		}, storetest.Faults{})
//	}
//
// Each rule is a subtest whose name begins with its number. A rule that needs a
// fault which [Faults] cannot cause is skipped, and the skip names the fault.
//
// Two promises are not tested: that the rate of the store's clock is true to 1 %,
// and that a store which forgets returns no value older than what it forgot.
package storetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pbxauth/pbx/session/store"
)

// Faults says how a test can make the store fail. Each field is optional, except
// that Stop needs Start and Hang needs Resume. They affect all clients.
type Faults struct {
	// Stop makes the store unreachable and may make it forget. Start makes it
	// reachable again and returns when it is.
	Stop, Start func(t testing.TB)
	// Hang makes the store accept operations and not respond, until Resume.
	Hang, Resume func(t testing.TB)
	// Disturb makes some operations fail, before or after they take effect, until
	// stop is called. stop returns when all is well again.
	Disturb func(t testing.TB) (stop func())
	// Forget makes the store lose all cells.
	Forget func(t testing.TB)
	// Damage makes the existing cell under key unreadable.
	Damage func(t testing.TB, key string)
	// Jump sets the store's clock ahead, or back if d is negative.
	Jump func(t testing.TB, d time.Duration)
}

// Run runs each rule as a subtest of t. open returns a client of the store under
// test, each time as another process would have it. All clients share their cells.
// Run uses keys that begin with "storetest/" or "h/storetest/", and removes its
// cells when it is done.
func Run(t *testing.T, open func(t testing.TB) store.Store, faults Faults) {
	for _, r := range rules {
		t.Run(r.id+"/"+r.name, func(t *testing.T) {
			if missing := r.missing(faults); missing != "" {
				t.Skipf("needs the fault %s", missing)
			}
			c := newCheck(t, open, faults)
			defer c.removeAll()
			switch err := c.run(r); err := err.(type) {
			case nil:
			case skip:
				t.Skip(string(err))
			default:
				t.Errorf("%s is broken: %v\nWhy it matters: %s", r.id, err, r.why)
			}
		})
	}
}

// rule is one way to break one promise.
type rule struct {
	id, name string
	why      string
	needs    []string // names of fields of Faults
	test     func(c *check)
}

// missing returns the fault that the rule needs and that is not there.
func (r rule) missing(f Faults) string {
	have := map[string]bool{
		"Stop": f.Stop != nil && f.Start != nil, "Hang": f.Hang != nil && f.Resume != nil,
		"Disturb": f.Disturb != nil, "Forget": f.Forget != nil, "Damage": f.Damage != nil, "Jump": f.Jump != nil,
	}
	for _, name := range r.needs {
		if !have[name] {
			return name
		}
	}
	return ""
}

// clients is how many clients a rule has.
const clients = 4

// patience is how long a rule waits for what has to happen.
const patience = 20 * time.Second

// check is a rule that is being tried. Its methods end the rule if something is
// wrong. They belong to the rule's own goroutine.
type check struct {
	t       testing.TB
	ctx     context.Context
	faults  Faults
	clients []store.Store
	a, b    store.Store // two of them
	prefix  string

	patience time.Duration

	mu   sync.Mutex
	keys []string
}

func newCheck(t testing.TB, open func(t testing.TB) store.Store, faults Faults) *check {
	c := &check{t: t, ctx: t.Context(), faults: faults, patience: patience}
	c.prefix = "storetest/" + strings.ToLower(rand.Text()[:10]) + "/"
	for range clients {
		c.clients = append(c.clients, open(t))
	}
	c.a, c.b = c.clients[0], c.clients[1]
	return c
}

// failure and skip end a rule.
type (
	failure struct{ error }
	skip    string
)

func (s skip) Error() string { return string(s) }

func (c *check) failf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

// run returns what is wrong with the store, or a skip.
func (c *check) run(r rule) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			err = p.error
		case skip:
			err = p
		default:
			panic(p)
		}
	}()
	r.test(c)
	return nil
}

// key returns the key of a cell that is this rule's own.
func (c *check) key(name string) string {
	key := c.prefix + name
	c.use(key)
	return key
}

func (c *check) use(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = append(c.keys, key)
}

// removeAll removes what the rule wrote, as far as the store lets it.
func (c *check) removeAll() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, key := range c.keys {
		if e, err := c.a.Load(ctx, key); err == nil && e.Rev != 0 {
			c.a.Swap(ctx, key, e.Rev, nil, 0)
		}
	}
}

func (c *check) load(s store.Store, key string) store.Entry {
	e, err := s.Load(c.ctx, key)
	if err != nil {
		c.failf("Load: %v", err)
	}
	if (e.Rev == 0) != (len(e.Value) == 0) {
		c.failf("Load returns %s: revision 0 and no value belong together", show(e))
	}
	return e
}

func (c *check) swap(s store.Store, key string, rev uint64, value string, keep time.Duration) (store.Entry, bool) {
	e, won, err := s.Swap(c.ctx, key, rev, []byte(value), keep)
	if err != nil {
		c.failf("Swap: %v", err)
	}
	return e, won
}

// write swaps value over what is there and returns the new entry.
func (c *check) write(s store.Store, key string, rev uint64, value string, keep time.Duration) store.Entry {
	e, won := c.swap(s, key, rev, value, keep)
	if !won {
		c.failf("Swap with the present revision %d loses against %s", rev, show(e))
	}
	return e
}

func (c *check) want(s store.Store, key, value string, rev uint64) store.Entry {
	e := c.load(s, key)
	c.same(e, value, rev)
	return e
}

func (c *check) same(e store.Entry, value string, rev uint64) {
	if string(e.Value) != value || e.Rev != rev {
		c.failf("the cell is %s, want %s", show(e), show(store.Entry{Value: []byte(value), Rev: rev}))
	}
}

func show(e store.Entry) string {
	if e.Rev == 0 && len(e.Value) == 0 {
		return "absent"
	}
	if len(e.Value) > 40 {
		return fmt.Sprintf("%.20q… of %d bytes at revision %d", e.Value, len(e.Value), e.Rev)
	}
	return fmt.Sprintf("%q at revision %d", e.Value, e.Rev)
}

// eventually waits until done is true.
func (c *check) eventually(what string, done func() bool) {
	deadline := time.Now().Add(c.patience)
	for !done() {
		if time.Now().After(deadline) {
			c.failf("after %v still not: %s", c.patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// together runs do for each client at once and returns when all are done, with
// the first error.
func (c *check) together(do func(n int, s store.Store) error) {
	var wg sync.WaitGroup
	errs := make([]error, len(c.clients))
	for n, s := range c.clients {
		wg.Go(func() { errs[n] = do(n, s) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			c.failf("%v", err)
		}
	}
}
