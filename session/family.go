package session

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
)

// family is what a Manager's sessions share whose drivers have the same name: the
// settings, and the counters that Stats is read from. Reading them costs the same
// whatever the size of the fleet.
type family struct {
	*settings
	name string // of the driver

	mu     sync.Mutex // guards states, in which a session that changes is counted once, and astray
	states [Closed + 1]int
	astray map[any]int // by driver: operations that it has not returned from

	hanging atomic.Int32 // operations that drivers have not returned from
	ops     [len(opNames)]opCounters
	left    histogram // what was left of tokens' lifetimes at their renewals
	waits   atomic.Uint64
	refused atomic.Uint64
	adopted atomic.Uint64
}

// families are those of a Manager.
type families struct {
	settings *settings

	mu       sync.Mutex // guards what follows
	byName   map[string]*family
	nameless *family // of drivers that have not stated their name yet; it is not read
}

// mostFamilies bounds the names that are counted separately: a driver may
// state anything.
const mostFamilies = 100

// others has the drivers beyond mostFamilies, and those whose name none can be
// registered under: it could be anything, and names become labels of metrics.
const others = "other"

func isDriverName(name string) bool {
	return len(name) <= 60 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// of returns the family of the drivers of that name.
func (fs *families) of(name string) *family {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.byName[name] == nil && (len(fs.byName) >= mostFamilies || !isDriverName(name)) {
		name = others
	}
	f := fs.byName[name]
	if f == nil {
		f = &family{settings: fs.settings, name: name}
		if fs.byName == nil {
			fs.byName = map[string]*family{}
		}
		fs.byName[name] = f
	}
	return f
}

// ofNobody returns the family of a driver that has not stated its name yet.
func (fs *families) ofNobody() *family {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.nameless == nil {
		fs.nameless = &family{settings: fs.settings}
	}
	return fs.nameless
}

func (fs *families) read() (all []DriverStats) {
	fs.mu.Lock()
	byName := maps.Clone(fs.byName)
	fs.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all = append(all, byName[name].read())
	}
	return all
}

func (f *family) read() DriverStats {
	d := DriverStats{
		Driver: f.name, Sessions: map[State]int{}, Operations: map[pbx.Op]OpStats{},
		LifetimeLeft: f.left.read(leftBounds[:]), Waits: f.waits.Load(), RefusedTokens: f.refused.Load(), AdoptedTokens: f.adopted.Load(),
	}
	f.mu.Lock()
	for state := Connecting; state < Closed; state++ {
		d.Sessions[state] = f.states[state]
	}
	f.mu.Unlock()
	for i := range f.ops {
		d.Operations[opNames[i]] = f.ops[i].read()
	}
	return d
}

// stray adds more to the operations that a driver has not returned from. Few drivers
// hang, so they are noted here and cost the others no memory.
func (f *family) stray(driver any, more int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.astray == nil {
		f.astray = map[any]int{}
	}
	if f.astray[driver] += more; f.astray[driver] == 0 {
		delete(f.astray, driver)
	}
	f.hanging.Add(int32(more))
}

// isAstray reports whether a driver has not returned from an operation.
func (f *family) isAstray(driver any) bool {
	if f.hanging.Load() == 0 {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.astray[driver] > 0
}

// joined notes a session that is in that state, and gone one that was.
func (f *family) joined(state State) {
	f.mu.Lock()
	f.states[state]++
	f.mu.Unlock()
}

func (f *family) gone(state State) {
	f.mu.Lock()
	f.states[state]--
	f.mu.Unlock()
}

// moved notes a session's change of state.
func (f *family) moved(from, to State) {
	f.mu.Lock()
	f.states[from]--
	f.states[to]++
	f.mu.Unlock()
}

// opNames are the operations that are counted.
var opNames = [...]pbx.Op{pbx.OpLogin, pbx.OpKeepAlive, pbx.OpLogout, pbx.OpPing, opCheck, opLook}

// kinds are the failures that are counted separately. The last one has all others.
var kinds = [...]error{pbx.ErrInvalidCredentials, pbx.ErrLocked, pbx.ErrForbidden, pbx.ErrTokenRejected, pbx.ErrTooManySessions,
	pbx.ErrUnavailable, pbx.ErrProtocol, pbx.ErrConfig, pbx.ErrNotSupported, errors.New("other")}

// opCounters count one operation of one driver.
type opCounters struct {
	failures [len(kinds)]atomic.Uint64
	took     histogram
}

// ended notes an operation that has ended.
func (f *family) ended(op pbx.Op, took time.Duration, err error) {
	i := slices.Index(opNames[:], op)
	if i < 0 {
		return
	}
	c := &f.ops[i]
	c.took.observe(tookBounds[:], took)
	if err != nil {
		c.failures[kindOf(err)].Add(1)
	}
}

// kindOf is an error's place among kinds.
func kindOf(err error) int {
	last := len(kinds) - 1
	for i, kind := range kinds[:last] {
		if errors.Is(err, kind) {
			return i
		}
	}
	return last
}

func (c *opCounters) read() OpStats {
	o := OpStats{Failures: make(map[string]uint64, len(kinds)), Duration: c.took.read(tookBounds[:])}
	for i := range kinds {
		o.Failures[kinds[i].Error()] = c.failures[i].Load()
	}
	return o
}

var (
	tookBounds = [...]time.Duration{10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
		250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second}
	leftBounds = [...]time.Duration{0, whole / 100, whole / 20, whole / 10, whole / 5, whole * 3 / 10, whole * 2 / 5, whole / 2, whole * 3 / 4, whole}
)

// histogram counts durations by bounds that its owner knows.
type histogram struct {
	counts [len(tookBounds) + 1]atomic.Uint64 // by the first bound that is no less; then those above all
	sum    atomic.Int64
}

func (h *histogram) observe(bounds []time.Duration, d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) read(bounds []time.Duration) Histogram {
	out := Histogram{Buckets: make([]Bucket, len(bounds))}
	for i, bound := range bounds {
		out.Count += h.counts[i].Load()
		out.Buckets[i] = Bucket{Most: bound.Seconds(), Count: out.Count}
	}
	out.Count += h.counts[len(bounds)].Load()
	out.Sum = time.Duration(h.sum.Load()).Seconds()
	return out
}
