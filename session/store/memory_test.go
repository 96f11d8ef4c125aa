package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx/session/store"
)

// put swaps value into an absent or present cell and returns its revision.
func put(t *testing.T, s store.Store, key, value string, keep time.Duration) uint64 {
	t.Helper()
	e, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	e, won, err := s.Swap(t.Context(), key, e.Rev, []byte(value), keep)
	if err != nil || !won {
		t.Fatalf("Swap(%s): won %v, %v", key, won, err)
	}
	return e.Rev
}

// want checks the value under key; "" is an absent cell.
func want(t *testing.T, s store.Store, key, value string) {
	t.Helper()
	e, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if string(e.Value) != value || (e.Rev == 0) != (value == "") {
		t.Fatalf("%s is %q at revision %d, want %q", key, e.Value, e.Rev, value)
	}
}

func TestMemoryDropsACellWhenItsTimeHasPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m store.Memory
		rev := put(t, &m, "k", "v", time.Minute)
		time.Sleep(time.Minute - 1)
		want(t, &m, "k", "v")
		time.Sleep(time.Nanosecond)
		want(t, &m, "k", "")
		if again := put(t, &m, "k", "v", 0); again <= rev {
			t.Errorf("revision %d after %d", again, rev)
		}
		time.Sleep(1000 * time.Hour)
		want(t, &m, "k", "v")
	})
}

func TestMemoryHoldsNoMoreThanTwiceItsLivingCells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m store.Memory
		for n := range 10_000 {
			put(t, &m, fmt.Sprintf("k%d", n), "v", time.Second)
			time.Sleep(time.Second)
		}
		if n := store.CellsOf(&m); n > 128 {
			t.Errorf("%d cells are held after 10,000 of which one is alive", n)
		}
	})
}

func TestMemoryLendsNoValue(t *testing.T) {
	var m store.Memory
	value := []byte("abc")
	e, _, err := m.Swap(t.Context(), "k", 0, value, 0)
	if err != nil {
		t.Fatal(err)
	}
	value[0], e.Value[1] = 'X', 'X'
	e, _ = m.Load(t.Context(), "k")
	e.Value[2] = 'X'
	want(t, &m, "k", "abc")
}

func TestForgetUndoesTheLastSwaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m store.Memory
		f := m.Faults()
		put(t, &m, "old", "1", 0)
		put(t, &m, "removed", "1", 0)
		time.Sleep(time.Minute)
		last := put(t, &m, "old", "2", 0)
		put(t, &m, "new", "1", 0)
		e, _ := m.Load(t.Context(), "removed")
		m.Swap(t.Context(), "removed", e.Rev, nil, 0)
		want(t, &m, "removed", "")

		f.Jump(time.Hour) // the clock does not matter
		f.Forget(30 * time.Second)
		want(t, &m, "old", "1")
		want(t, &m, "new", "")
		want(t, &m, "removed", "1")
		if rev := put(t, &m, "new", "2", 0); rev <= last {
			t.Errorf("revision %d comes again after %d", rev, last)
		}

		f.ForgetAll()
		want(t, &m, "old", "")
		want(t, &m, "new", "")
	})
}

func TestForgetReachesAnHourBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m store.Memory
		f := m.Faults()
		for range 100 {
			put(t, &m, "k", "v", 0)
			time.Sleep(time.Minute)
		}
		if n := store.HistoryOf(f); n != 61 {
			t.Errorf("%d Swaps of one a minute can be forgotten, want 61", n)
		}
	})
}

func TestInterceptFailsBeforeOrAfterTheOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m store.Memory
		f := m.Faults()
		p := f.Process("crm-1")
		boom := errors.New("boom")

		var ops []store.Op
		fault := store.Fault{Before: boom}
		f.Intercept(func(op store.Op) store.Fault {
			m.Load(context.Background(), op.Key) // no lock is held
			ops = append(ops, op)
			return fault
		})
		if _, won, err := p.Swap(t.Context(), "k", 0, []byte("1"), 0); won || err != boom {
			t.Errorf("won %v, %v", won, err)
		}
		want(t, &m, "k", "")

		fault = store.Fault{After: boom}
		if _, won, err := p.Swap(t.Context(), "k", 0, []byte("1"), 0); won || err != boom {
			t.Errorf("won %v, %v", won, err)
		}
		if _, err := p.Load(t.Context(), "k"); err != boom {
			t.Error(err)
		}
		want(t, &m, "k", "1")

		wantOps := []store.Op{{Process: "crm-1", Swap: true, Key: "k"}, {Process: "crm-1", Swap: true, Key: "k"}, {Process: "crm-1", Key: "k"}}
		if fmt.Sprint(ops) != fmt.Sprint(wantOps) {
			t.Errorf("operations %v, want %v", ops, wantOps)
		}

		fault = store.Fault{Delay: time.Minute}
		began := time.Now()
		if _, err := p.Load(t.Context(), "k"); err != nil || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if _, _, err := p.Swap(ctx, "k", 0, nil, 0); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}

		f.Intercept(nil)
		want(t, p, "k", "1")
	})
}

func TestAProcessThatIsCutOffHearsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m store.Memory
		f := m.Faults()
		heard := watch(t, f.Process("a").(store.Watcher))
		other := watch(t, f.Process("b").(store.Watcher))
		heard.want(t, "")
		other.want(t, "")

		f.Cut("a")
		if _, err := f.Process("a").Load(t.Context(), "k"); err != store.ErrCut {
			t.Error(err)
		}
		put(t, f.Process("b"), "k", "1", 0)
		heard.want(t)
		other.want(t, "k")

		late := watch(t, f.Process("a").(store.Watcher))
		late.want(t)
		f.Rejoin("a")
		heard.want(t, "")
		late.want(t, "")
		want(t, f.Process("a"), "k", "1")
	})
}

func TestWatchOfAForgettingStoreReportsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m store.Memory
		heard := watch(t, &m)
		heard.want(t, "")
		put(t, &m, "k", "1", 0)
		heard.want(t, "k")
		m.Faults().Forget(time.Hour)
		heard.want(t, "")
		m.Faults().ForgetAll()
		heard.want(t, "")
	})
}

func TestASlowWatcherLearnsThatAnythingMayHaveChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m store.Memory
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		release := make(chan struct{})
		var mu sync.Mutex
		var got []string
		go m.Watch(ctx, func(key string) {
			mu.Lock()
			got = append(got, key)
			mu.Unlock()
			<-release
		})
		synctest.Wait()
		for n := range 5000 {
			put(t, &m, fmt.Sprintf("k%d", n), "v", 0)
		}
		close(release)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(got) != 2 || got[1] != "" {
			t.Errorf("%d notices, want one for the beginning and one for everything: %.10q", len(got), got)
		}
	})
}

func TestWatchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m store.Memory
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Watch(ctx, func(string) {}) }()
		synctest.Wait()
		cancel()
		if err := <-done; err != context.Canceled {
			t.Error(err)
		}
	})
}

func TestTheClockOfMemoryJumpsOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m store.Memory
		put(t, &m, "k", "v", time.Hour)
		before, _ := m.Load(t.Context(), "k")
		m.Faults().Jump(-time.Minute)
		after, _ := m.Load(t.Context(), "k")
		if d := after.Now.Sub(before.Now); d != -time.Minute {
			t.Errorf("the clock moved by %v", d)
		}
		m.Faults().Jump(2 * time.Hour)
		want(t, &m, "k", "")
	})
}

// notices collects what a Watch says.
type notices struct {
	mu   sync.Mutex
	keys []string
}

func watch(t *testing.T, w store.Watcher) *notices {
	n := new(notices)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Watch(ctx, func(key string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.keys = append(n.keys, key)
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return n
}

// want waits until all is quiet, then checks the notices since the last time.
func (n *notices) want(t *testing.T, keys ...string) {
	t.Helper()
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if fmt.Sprintf("%q", n.keys) != fmt.Sprintf("%q", keys) {
		t.Errorf("notices %q, want %q", n.keys, keys)
	}
	n.keys = nil
}
