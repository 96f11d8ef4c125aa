package session

import "sync"

// outbox hands items over in their order, on a goroutine of its own that runs
// only while there are items. While put blocks, nothing else waits.
type outbox[T any] struct {
	put  func(T)     // a panic or runtime.Goexit loses the item
	lost func(n int) // so many items were dropped

	mu      sync.Mutex // guards what follows
	items   []T
	busy    bool
	missing int
	idle    chan struct{} // closed when the last item is handed over; nil: nothing waits
}

// mostItems is how many items wait where put blocks. Further ones are counted.
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
	o.mu.Lock()
	if len(o.items) == 0 && o.missing == 0 {
		o.items, o.busy = nil, false
		if o.idle != nil {
			close(o.idle)
			o.idle = nil
		}
		o.mu.Unlock()
		return false
	}
	if len(o.items) == 0 {
		n := o.missing
		o.missing = 0
		o.mu.Unlock()
		defer survive(&more)
		o.lost(n)
		return true
	}
	var none T
	item := o.items[0]
	o.items[0] = none
	o.items = o.items[1:]
	o.mu.Unlock()
	defer survive(&more)
	o.put(item)
	return true
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
	if o.idle == nil {
		o.idle = make(chan struct{})
	}
	idle := o.idle
	o.mu.Unlock()
	select {
	case <-idle:
	case <-stop:
	}
}
