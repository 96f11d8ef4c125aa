package store

import (
	"context"
	"errors"
	"time"
)

// Faults makes a [Memory] behave like a store that fails, for tests. It works
// under testing/synctest. All methods may be called at any time by any
// goroutine.
type Faults struct {
	memory *Memory

	// memory.mu guards the rest.
	offset    time.Duration
	intercept func(Op) Fault
	cut       map[string]bool
	history   []change // oldest first
}

// Op is an operation that is about to happen.
type Op struct {
	Process string // as given to [Faults.Process]; "" for the Memory itself
	Swap    bool   // false: a Load
	Key     string
}

// Fault is what goes wrong with one operation. The zero value is nothing.
type Fault struct {
	Delay  time.Duration // wait so long first, or until the operation's context ends
	Before error         // return this without doing anything
	After  error         // do it, then return this
}

// ErrCut is returned to a process that [Faults.Cut] has cut off.
var ErrCut = errors.New("store: cut off by a fault")

// change is one Swap, kept so that it can be forgotten.
type change struct {
	at  time.Time // by the clock without offset
	key string
	old cell
}

// remembered is how far back Forget can go.
const remembered = time.Hour

// Faults returns the handle of m's faults. Only Swaps after the first call can
// be forgotten by [Faults.Forget].
func (m *Memory) Faults() *Faults {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faults == nil {
		m.faults = &Faults{memory: m, cut: make(map[string]bool)}
	}
	return m.faults
}

// Process returns the store as the process with this name sees it. It is a
// [Watcher] as well. Faults of operations happen here: the Memory itself is
// never cut off or intercepted.
func (f *Faults) Process(name string) Store {
	return &process{faults: f, name: name}
}

// Intercept makes decide choose the fault of each operation of each process. It
// is called without a lock held and possibly concurrently. nil ends it.
func (f *Faults) Intercept(decide func(Op) Fault) {
	f.memory.mu.Lock()
	defer f.memory.mu.Unlock()
	f.intercept = decide
}

// Cut cuts the named process off: its operations return [ErrCut] and its Watch
// hears nothing.
func (f *Faults) Cut(process string) {
	f.memory.mu.Lock()
	defer f.memory.mu.Unlock()
	f.cut[process] = true
	for w := range f.memory.watchers {
		if w.process == process {
			w.cut = true
			clear(w.keys)
		}
	}
}

// Rejoin ends Cut. The process's Watch reports a gap.
func (f *Faults) Rejoin(process string) {
	f.memory.mu.Lock()
	defer f.memory.mu.Unlock()
	delete(f.cut, process)
	for w := range f.memory.watchers {
		if w.process == process && w.cut {
			w.cut = false
			w.add("")
		}
	}
}

// Forget undoes all Swaps of the last d, at most of the last hour. Revisions are
// not used again.
func (f *Faults) Forget(d time.Duration) {
	f.memory.mu.Lock()
	defer f.memory.mu.Unlock()
	since := f.memory.now().Add(-f.offset - d)
	for n := len(f.history) - 1; n >= 0 && !f.history[n].at.Before(since); n-- {
		c := f.history[n]
		if c.old.rev == 0 {
			delete(f.memory.cells, c.key)
		} else {
			f.memory.put(c.key, c.old)
		}
		f.history = f.history[:n]
	}
	f.gap()
}

// ForgetAll removes all cells.
func (f *Faults) ForgetAll() {
	f.memory.mu.Lock()
	defer f.memory.mu.Unlock()
	clear(f.memory.cells)
	f.history = nil
	f.gap()
}

// Jump sets the store's clock ahead by d, or back if d is negative.
func (f *Faults) Jump(d time.Duration) {
	f.memory.mu.Lock()
	defer f.memory.mu.Unlock()
	f.offset += d
}

// gap reports to the watchers what a failover would. It needs memory.mu, like record.
func (f *Faults) gap() {
	for w := range f.memory.watchers {
		w.add("")
	}
}

func (f *Faults) record(key string, old cell, now time.Time) {
	at := now.Add(-f.offset)
	stale := 0
	for stale < len(f.history) && at.Sub(f.history[stale].at) > remembered {
		stale++
	}
	f.history = append(f.history[stale:], change{at: at, key: key, old: old})
}

// process is a Memory behind its faults.
type process struct {
	faults *Faults
	name   string
}

var _ Watcher = (*process)(nil)

// Key is that of the Memory.
func (p *process) Key() []byte { return p.faults.memory.Key() }

func (p *process) Load(ctx context.Context, key string) (Entry, error) {
	fault, err := p.enter(ctx, Op{Process: p.name, Key: key})
	if err != nil {
		return Entry{}, err
	}
	e, err := p.faults.memory.Load(ctx, key)
	if fault.After != nil {
		return Entry{}, fault.After
	}
	return e, err
}

func (p *process) Swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (Entry, bool, error) {
	fault, err := p.enter(ctx, Op{Process: p.name, Swap: true, Key: key})
	if err != nil {
		return Entry{}, false, err
	}
	e, won, err := p.faults.memory.Swap(ctx, key, rev, value, keep)
	if fault.After != nil {
		return Entry{}, false, fault.After
	}
	return e, won, err
}

func (p *process) Watch(ctx context.Context, changed func(key string)) error {
	w := newWatch(p.name)
	m := p.faults.memory
	m.mu.Lock()
	w.cut = p.faults.cut[p.name]
	m.join(w)
	m.mu.Unlock()
	return m.serve(ctx, w, changed)
}

// enter waits as long as the operation's fault says and returns the fault, with
// an error if nothing is to be done.
func (p *process) enter(ctx context.Context, op Op) (Fault, error) {
	m := p.faults.memory
	m.mu.Lock()
	decide, cut := p.faults.intercept, p.faults.cut[p.name]
	m.mu.Unlock()
	if cut {
		return Fault{}, ErrCut
	}
	if decide == nil {
		return Fault{}, nil
	}
	fault := decide(op)
	if fault.Delay > 0 {
		timer := time.NewTimer(fault.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return Fault{}, ctx.Err()
		}
	}
	return fault, fault.Before
}
