package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pbxauth/pbx/session/store"
)

// A mutant is a store that breaks one promise in one way.
type mutant struct {
	name string // also switches the defect on
	rule string // has to find it
}

var mutants = []mutant{
	{"revision is not compared", "ST-01/OnlyThePresentRevisionWins"},
	{"removal does not last", "ST-01/OnlyThePresentRevisionWins"},
	{"compares, then writes", "ST-01/OneOfManyWins"},
	{"reads a replica", "ST-02/Linearizable"},
	{"repeats a Swap after a lost response", "ST-02/LinearizableWhileOperationsFail"},
	{"revisions count from one", "ST-03/RevisionsDoNotRepeat"},
	{"revisions are forgotten", "ST-03/RevisionsDoNotRepeatAfterForgetting"},
	{"revisions begin anew at a restart", "ST-03/RevisionsDoNotRepeatAfterARestart"},
	{"revisions are the clock", "ST-03/RevisionsDoNotRepeatWhenTheClockIsSetBack"},
	{"loser gets no value", "ST-04/TheLoserGetsTheValue"},
	{"never drops", "ST-05/KeptSoLongAndNoLonger"},
	{"drops early", "ST-05/KeptSoLongAndNoLonger"},
	{"keeps the first time", "ST-05/EachSwapSetsTheTimeAnew"},
	{"loser sets the time", "ST-05/EachSwapSetsTheTimeAnew"},
	{"clock of the client", "ST-06/OneClockForAll"},
	{"clock stands still", "ST-06/OneClockForAll"},
	{"some have no clock", "ST-06/OneClockForAll"},
	{"half a Swap at an outage", "ST-07/AfterAnErrorOldOrNew"},
	{"ignores the context", "ST-08/AnEndedContextDoesNothing"},
	{"obeys deadlines alone", "ST-08/AHungStoreObeysTheContext"},
	{"waits for a hung server", "ST-08/AHungStoreObeysTheContext"},
	{"leaves goroutines behind", "ST-08/AHungStoreObeysTheContext"},
	{"tears over 4 KB", "ST-09/NoTornValue"},
	{"lends its value", "ST-09/ValuesAreNotShared"},
	{"keeps the user's value", "ST-09/ValuesAreNotShared"},
	{"folds : and /", "ST-10/KeysAndValuesOfEverySize"},
	{"cuts keys", "ST-10/KeysAndValuesOfEverySize"},
	{"trims values", "ST-10/KeysAndValuesOfEverySize"},
	{"checks nothing", "ST-10/BadInputIsAnError"},
	{"absent is an error", "ST-11/AbsentIsNoError"},
	{"out of reach is absent", "ST-11/OutOfReachIsNotAbsent"},
	{"out of reach is unreadable", "ST-11/OutOfReachIsNotAbsent"},
	{"unreadable is absent", "ST-11/UnreadableIsNotAbsent"},
	{"unreadable is overwritten", "ST-11/UnreadableIsNotAbsent"},
	{"no notice of removals", "ST-12/WatchReportsChanges"},
	{"no notice of own Swaps", "ST-12/WatchReportsChanges"},
	{"deaf after an outage", "ST-12/WatchReportsAGap"},
	{"silent about a gap", "ST-12/WatchReportsAGap"},
}

func TestEachMutantIsKilledByItsRule(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(rules, func(r rule) bool { return r.id+"/"+r.name == m.rule })
			if i < 0 {
				t.Fatalf("no rule %s", m.rule)
			}
			s := newServer(m.name)
			c := newCheck(t, s.open, s.faults())
			c.patience = 2 * time.Second // most mutants never do what is waited for
			err := c.run(rules[i])
			if err == nil {
				t.Errorf("%s does not find it", m.rule)
			} else if s, skipped := err.(skip); skipped {
				t.Errorf("%s is skipped: %s", m.rule, s)
			} else {
				t.Log(err)
			}
		})
	}
}

// The mutants say nothing unless the store that they are made from is healthy.
func TestTheStoreWithoutDefectsPasses(t *testing.T) {
	s := newServer("")
	Run(t, s.open, s.faults())
}

func TestEachRuleHasAMutant(t *testing.T) {
	for _, r := range rules {
		if !slices.ContainsFunc(mutants, func(m mutant) bool { return m.rule == r.id+"/"+r.name }) {
			t.Errorf("no mutant for %s/%s", r.id, r.name)
		}
	}
}

func TestMissingFaultsAreSkippedByName(t *testing.T) {
	for _, r := range rules {
		if got := r.missing(Faults{}); got != strings.Join(r.needs, "") {
			t.Errorf("%s: %q is missing, want %q", r.name, got, r.needs)
		}
		if got := r.missing(newServer("").faults()); got != "" {
			t.Errorf("%s: %q is missing where all are there", r.name, got)
		}
	}
}

// server is a small store with a switch for each defect. It shares no code with
// those of package store.
type server struct {
	defect string

	mu       sync.Mutex
	cells    map[string]*serverCell
	last     uint64
	counter  uint64 // of mutants that forget it
	offset   time.Duration
	down     bool
	deaf     bool
	hung     chan struct{} // not nil: closed at Resume
	watchers map[*client]func(string)
	clients  int

	disturbed atomic.Bool
	requests  atomic.Int32
}

type serverCell struct {
	value, before []byte
	rev           uint64
	expires       time.Time
	damaged       bool
	loads         int
}

func newServer(defect string) *server {
	return &server{defect: defect, cells: make(map[string]*serverCell), watchers: make(map[*client]func(string))}
}

func (s *server) has(defect string) bool { return s.defect == defect }

type client struct {
	s      *server
	n      int
	behind map[string]store.Entry // what the client has seen first, per key
}

func (s *server) open(testing.TB) store.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients++
	return &client{s: s, n: s.clients, behind: make(map[string]store.Entry)}
}

func (s *server) faults() Faults {
	return Faults{
		Stop: func(testing.TB) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.down = true
			s.deaf = s.deaf || s.has("deaf after an outage")
			if s.has("revisions begin anew at a restart") {
				s.counter, s.cells = 0, make(map[string]*serverCell)
			}
			if s.has("half a Swap at an outage") {
				for _, c := range s.cells {
					c.value = append([]byte("half of "), c.value...)
				}
			}
		},
		Start: func(testing.TB) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.down = false
			if !s.has("silent about a gap") {
				s.notify(nil, "")
			}
		},
		Hang: func(testing.TB) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.hung = make(chan struct{})
		},
		Resume: func(testing.TB) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.hung != nil {
				close(s.hung)
				s.hung = nil
			}
		},
		Disturb: func(testing.TB) func() {
			s.disturbed.Store(true)
			return func() { s.disturbed.Store(false) }
		},
		Forget: func(testing.TB) {
			s.mu.Lock()
			defer s.mu.Unlock()
			clear(s.cells)
			if s.has("revisions are forgotten") {
				s.counter = 0
			}
		},
		Damage: func(_ testing.TB, key string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.cells[key].damaged = true
		},
		Jump: func(_ testing.TB, d time.Duration) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.offset += d
		},
	}
}

func (s *server) notify(by *client, key string) {
	for c, changed := range s.watchers {
		if !s.deaf && !(by == c && s.has("no notice of own Swaps")) {
			changed(key)
		}
	}
}

var errDown = errors.New("down")

// begin checks the arguments and waits for the server. It returns the key in use.
func (c *client) begin(ctx context.Context, key string, value []byte, keep time.Duration) (string, error) {
	s := c.s
	if err := ctx.Err(); err != nil && !s.has("ignores the context") {
		return "", err
	}
	if err := store.Check(key, value, keep); err != nil && !s.has("checks nothing") {
		return "", err
	}
	s.mu.Lock()
	hung, down := s.hung, s.down
	s.mu.Unlock()
	if hung != nil {
		switch {
		case s.has("waits for a hung server"):
			<-hung
		case s.has("obeys deadlines alone"):
			if _, ok := ctx.Deadline(); !ok {
				<-hung
			}
			<-ctx.Done()
		case s.has("leaves goroutines behind"):
			go func() { select {} }()
			<-ctx.Done()
		default:
			select {
			case <-hung:
			case <-ctx.Done():
			}
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
	}
	if down {
		if s.has("out of reach is unreadable") {
			return "", fmt.Errorf("%w: %w", store.ErrUnreadable, errDown)
		}
		return "", errDown
	}
	switch {
	case s.has("folds : and /"):
		key = strings.ReplaceAll(key, ":", "/")
	case s.has("cuts keys"):
		key = key[:min(len(key), store.MaxKey-1)]
	}
	return key, nil
}

func (c *client) now() time.Time {
	now := time.Now().Add(c.s.offset)
	switch {
	case c.s.has("clock of the client"):
		return now.Add(time.Duration(c.n) * time.Hour)
	case c.s.has("clock stands still"):
		return time.UnixMicro(1)
	case c.s.has("some have no clock") && c.n%2 == 0:
		return time.Time{}
	}
	return now
}

// entry returns what a client sees of a cell. It needs s.mu.
func (c *client) entry(key string) (store.Entry, error) {
	s := c.s
	cell := s.cells[key]
	absent := store.Entry{Now: c.now()}
	if cell == nil || !cell.expires.IsZero() && time.Now().After(cell.expires) {
		if s.has("absent is an error") {
			return store.Entry{}, errors.New("not found")
		}
		return absent, nil
	}
	if cell.damaged && !s.has("unreadable is overwritten") {
		if s.has("unreadable is absent") {
			return absent, nil
		}
		return store.Entry{}, store.ErrUnreadable
	}
	if len(cell.value) == 0 {
		cell.loads++
		if s.has("removal does not last") && cell.loads > 2 {
			cell.value = cell.before
		} else {
			return absent, nil
		}
	}
	value := cell.value
	if !s.has("lends its value") {
		value = bytes.Clone(value)
	}
	if s.has("trims values") {
		value = bytes.TrimSpace(value)
	}
	return store.Entry{Value: value, Rev: cell.rev, Now: c.now()}, nil
}

func (c *client) Load(ctx context.Context, key string) (store.Entry, error) {
	key, err := c.begin(ctx, key, nil, 0)
	if err != nil {
		if err == errDown && c.s.has("out of reach is absent") {
			return store.Entry{}, nil
		}
		return store.Entry{}, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	e, err := c.entry(key)
	if c.s.has("reads a replica") && err == nil {
		e, c.behind[key] = c.behind[key], e
	}
	return e, err
}

func (c *client) Swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (store.Entry, bool, error) {
	if c.s.disturbed.Load() {
		switch c.s.requests.Add(1) % 10 {
		case 3:
			return store.Entry{}, false, errDown
		case 7: // the response is lost
			_, _, err := c.swap(ctx, key, rev, value, keep)
			if err == nil && c.s.has("repeats a Swap after a lost response") {
				return c.swap(ctx, key, rev, value, keep)
			}
			return store.Entry{}, false, errDown
		}
	}
	return c.swap(ctx, key, rev, value, keep)
}

func (c *client) swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (store.Entry, bool, error) {
	key, err := c.begin(ctx, key, value, keep)
	if err != nil {
		return store.Entry{}, false, err
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	present, err := c.entry(key)
	if err != nil {
		return store.Entry{}, false, err
	}
	if s.has("compares, then writes") {
		s.mu.Unlock()
		runtime.Gosched()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
	}
	cell := s.cells[key]
	if present.Rev != rev && !s.has("revision is not compared") {
		if s.has("loser sets the time") && cell != nil && keep > 0 {
			cell.expires = time.Now().Add(keep)
		}
		if s.has("loser gets no value") {
			present.Value = nil
		}
		return present, false, nil
	}
	if len(value) == 0 && present.Rev == 0 {
		return present, true, nil
	}
	if cell == nil {
		cell = new(serverCell)
		s.cells[key] = cell
	}
	if !s.has("keeps the user's value") {
		value = bytes.Clone(value)
	}
	cell.before, cell.value, cell.loads, cell.damaged = cell.value, value, 0, false
	if s.has("tears over 4 KB") && len(value) > 4096 && len(cell.before) > 4096 {
		cell.value = append(bytes.Clone(value[:4096]), cell.before[4096:]...)
	}
	s.last = max(s.last+1, uint64(time.Now().UnixMicro()))
	switch {
	case s.has("revisions count from one"):
		cell.rev = present.Rev + 1
	case s.has("revisions are forgotten"), s.has("revisions begin anew at a restart"):
		s.counter++
		cell.rev = s.counter
	case s.has("revisions are the clock"):
		cell.rev = uint64(c.now().UnixNano())
	default:
		cell.rev = s.last
	}
	if keep == 0 && !s.has("keeps the first time") {
		cell.expires = time.Time{}
	} else if keep > 0 {
		cell.expires = time.Now().Add(keep)
		if s.has("drops early") {
			cell.expires = time.Now().Add(keep / 2)
		}
		if s.has("never drops") {
			cell.expires = time.Time{}
		}
	}
	if len(value) > 0 || !s.has("no notice of removals") {
		s.notify(c, key)
	}
	e := store.Entry{Now: c.now()}
	if len(value) > 0 {
		e.Value, e.Rev = bytes.Clone(value), cell.rev
	}
	return e, true, nil
}

func (c *client) Watch(ctx context.Context, changed func(string)) error {
	keys := make(chan string, 1000)
	s := c.s
	s.mu.Lock()
	s.watchers[c] = func(key string) {
		select {
		case keys <- key:
		default:
		}
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, c)
	}()
	changed("")
	for {
		select {
		case key := <-keys:
			changed(key)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
