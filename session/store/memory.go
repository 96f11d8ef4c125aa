package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"
)

// Memory is a Store and a Watcher within one process. It forgets everything when
// the process ends. The zero value is ready, and must not be copied.
//
// Its clock is the wall clock at the first use plus monotonic time since then. A
// wall clock that is set moves nothing.
type Memory struct {
	mu       sync.Mutex
	start    time.Time // of the clock, with its monotonic reading
	cells    map[string]cell
	last     uint64 // the highest revision of any cell, ever
	sweepAt  int    // number of cells at which expired ones are dropped
	watchers map[*watch]struct{}
	faults   *Faults // nil: never asked for
	key      []byte  // nil: never asked for
}

// cell is a value with its revision. The zero cell is an absent one.
type cell struct {
	value   []byte
	rev     uint64
	expires time.Time // zero: never
}

var (
	_ Store   = (*Memory)(nil)
	_ Watcher = (*Memory)(nil)
)

// Key returns 32 random bytes that belong to the Memory, as those of [FileStore.Key]
// belong to a directory.
func (m *Memory) Key() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.key == nil {
		m.key = make([]byte, 32)
		rand.Read(m.key)
	}
	return bytes.Clone(m.key)
}

// Format implements [fmt.Formatter]. It prints neither the cells nor the key.
func (m *Memory) Format(s fmt.State, _ rune) { fmt.Fprint(s, "store.Memory") }

// Load implements [Store].
func (m *Memory) Load(ctx context.Context, key string) (Entry, error) {
	if err := checkAll(ctx, key, nil, 0); err != nil {
		return Entry{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entry(key, m.now()), nil
}

// Swap implements [Store].
func (m *Memory) Swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (Entry, bool, error) {
	if err := checkAll(ctx, key, value, keep); err != nil {
		return Entry{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if present := m.entry(key, now); present.Rev != rev {
		return present, false, nil
	}
	old := m.cells[key]
	switch {
	case len(value) > 0:
		m.last = revisionAfter(m.last, now)
		next := cell{value: bytes.Clone(value), rev: m.last}
		if keep > 0 {
			next.expires = now.Add(keep)
		}
		m.put(key, next)
		m.sweep(now)
	case rev == 0:
		return Entry{Now: now}, true, nil // nothing to remove
	default:
		delete(m.cells, key)
	}
	if m.faults != nil {
		m.faults.record(key, old, now)
	}
	for w := range m.watchers {
		w.add(key)
	}
	return m.entry(key, now), true, nil
}

// Watch implements [Watcher].
func (m *Memory) Watch(ctx context.Context, changed func(key string)) error {
	w := newWatch("")
	m.mu.Lock()
	m.join(w)
	m.mu.Unlock()
	return m.serve(ctx, w, changed)
}

// serve passes w's notices on until ctx ends.
func (m *Memory) serve(ctx context.Context, w *watch, changed func(key string)) error {
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watchers, w)
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		}
		m.mu.Lock()
		keys := w.take()
		m.mu.Unlock()
		for _, key := range keys {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			changed(key)
		}
	}
}

// checkAll is Check, after the context.
func checkAll(ctx context.Context, key string, value []byte, keep time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return Check(key, value, keep)
}

// The methods below need m.mu.

func (m *Memory) now() time.Time {
	if m.start.IsZero() {
		m.start = time.Now()
	}
	now := m.start.Add(time.Since(m.start)).Round(0) // Round drops the monotonic reading
	if m.faults != nil {
		now = now.Add(m.faults.offset)
	}
	return now
}

func (m *Memory) entry(key string, now time.Time) Entry {
	c := m.cells[key]
	if c.rev == 0 || c.expired(now) {
		return Entry{Now: now}
	}
	return Entry{Value: bytes.Clone(c.value), Rev: c.rev, Now: now}
}

func (c cell) expired(now time.Time) bool {
	return !c.expires.IsZero() && !now.Before(c.expires)
}

func (m *Memory) put(key string, c cell) {
	if m.cells == nil {
		m.cells = make(map[string]cell)
	}
	m.cells[key] = c
}

// sweep drops expired cells whenever the number of cells has doubled, so that
// one Swap costs the same however many there are.
func (m *Memory) sweep(now time.Time) {
	if len(m.cells) < max(m.sweepAt, 64) {
		return
	}
	for key, c := range m.cells {
		if c.expired(now) {
			delete(m.cells, key)
		}
	}
	m.sweepAt = 2 * len(m.cells)
}

func (m *Memory) join(w *watch) {
	if m.watchers == nil {
		m.watchers = make(map[*watch]struct{})
	}
	m.watchers[w] = struct{}{}
	w.add("")
}

// maxNotices bounds what a slow user of Watch lets pile up. Beyond it, one
// notice says that anything may have changed.
const maxNotices = 1024

// watch is one Watch under way. Its Memory's mutex guards it.
type watch struct {
	process string
	keys    map[string]struct{}
	wake    chan struct{}
	cut     bool // hears nothing
}

func newWatch(process string) *watch {
	return &watch{process: process, keys: make(map[string]struct{}), wake: make(chan struct{}, 1)}
}

func (w *watch) add(key string) {
	if w.cut {
		return
	}
	if key == "" || len(w.keys) >= maxNotices {
		clear(w.keys)
		key = ""
	}
	if _, all := w.keys[""]; !all {
		w.keys[key] = struct{}{}
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watch) take() []string {
	keys := make([]string, 0, len(w.keys))
	for key := range w.keys {
		keys = append(keys, key)
	}
	clear(w.keys)
	return keys
}
