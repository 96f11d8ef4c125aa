package session

import (
	"slices"
	"sync"
)

// outbox hands items over in their order, on a goroutine of its own that runs
// only while there are items. While put blocks, nothing else waits.
type outbox[T any] struct {
	put  func(T)     // a panic or runtime.Goexit loses the item
	lost func(n int) // so many items were dropped

	mu      sync.Mutex // guards what follows
	items   []T
	busy    bool
	missing int
	takes   int // how often items were taken
	waits   []flushing

	batch, rest []T // the goroutine's own: what it has taken, and what is left of that
}

// flushing is a flush that waits for items. They are handed over when others are
// taken.
type flushing struct {
	takes int // when so many takes were made
	over  chan struct{}
}

// mostItems is how many items wait where put blocks, besides those that are being
// handed over. Further ones are counted.
const mostItems = 10_000

// add puts an item at the end of the queue.
func (o *outbox[T]) add(item T) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.items) >= mostItems {
		o.missing++
		return
	}
	o.items = append(o.items, item)
	if !o.busy {
		o.busy = true
		go o.drain()
	}
}

func (o *outbox[T]) drain() {
	finished := false
	defer func() {
		if !finished { // put ended its goroutine
			go o.drain()
		}
	}()
	for o.next() {
	}
	finished = true
}

// next hands one item over, or reports the ones that were lost. It returns false
// when there is nothing more.
func (o *outbox[T]) next() (more bool) {
	if len(o.rest) == 0 {
		lost, any := o.take()
		if !any {
			return false
		}
		if lost > 0 {
			defer survive(&more)
			o.lost(lost)
			return true
		}
	}
	item := o.rest[0]
	o.rest = o.rest[1:]
	defer survive(&more)
	o.put(item)
	return true
}

// take takes all items at once, so that add hardly ever waits. lost is how many
// were dropped after these.
func (o *outbox[T]) take() (lost int, any bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.batch)
	o.takes++
	defer func() {
		o.waits = slices.DeleteFunc(o.waits, func(w flushing) bool {
			over := w.takes <= o.takes || !o.busy
			if over {
				close(w.over)
			}
			return over
		})
	}()
	switch {
	case len(o.items) > 0:
		o.batch, o.items = o.items, o.batch[:0]
		o.rest = o.batch
	case o.missing > 0:
		lost, o.missing = o.missing, 0
	default:
		o.busy = false
		return 0, false
	}
	return lost, true
}

// survive is to be deferred around what may panic: the rest is still handed over.
func survive(more *bool) {
	if recover() != nil {
		*more = true
	}
}

// flush waits until what was added so far is handed over, or stop is closed.
func (o *outbox[T]) flush(stop <-chan struct{}) {
	o.mu.Lock()
	if !o.busy {
		o.mu.Unlock()
		return
	}
	w := flushing{takes: o.takes + 1, over: make(chan struct{})}
	if len(o.items) > 0 { // they are not taken yet
		w.takes++
	}
	o.waits = append(o.waits, w)
	o.mu.Unlock()
	select {
	case <-w.over:
	case <-stop:
	}
}
