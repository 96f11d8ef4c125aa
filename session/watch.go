package session

import (
	"context"
	"slices"
	"sync"
)

// watchers are the readers of [Manager.Watch].
type watchers struct {
	mu     sync.Mutex // guards what follows
	all    map[*watcher]struct{}
	closed bool
}

func (ws *watchers) add() *watcher {
	w := &watcher{pending: map[*Session]struct{}{}, signal: make(chan struct{}, 1)}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		w.close()
	}
	if ws.all == nil {
		ws.all = map[*watcher]struct{}{}
	}
	ws.all[w] = struct{}{}
	return w
}

func (ws *watchers) remove(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.all, w)
}

// tell notes for all watchers that a session has changed.
func (ws *watchers) tell(s *Session) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		w.tell(s)
	}
}

// close ends all watchers when they have seen everything.
func (ws *watchers) close() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.closed = true
	for w := range ws.all {
		w.close()
	}
}

// watcher holds the sessions whose newest state its reader has not seen: each
// once, however often it changed meanwhile.
type watcher struct {
	signal chan struct{}

	mu      sync.Mutex // guards what follows
	order   []*Session
	pending map[*Session]struct{}
	closed  bool
}

func (w *watcher) tell(s *Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, there := w.pending[s]; there {
		return
	}
	w.pending[s] = struct{}{}
	w.order = append(w.order, s)
	w.wake()
}

func (w *watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.wake()
}

func (w *watcher) wake() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// next returns the session that has waited longest, and whether more may come.
func (w *watcher) next() (s *Session, more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.order) == 0 {
		return nil, !w.closed
	}
	s = w.order[0]
	w.order = w.order[1:]
	delete(w.pending, s)
	return s, true
}

// drop takes s out of the line.
func (w *watcher) drop(s *Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, there := w.pending[s]; there {
		delete(w.pending, s)
		w.order = slices.DeleteFunc(w.order, func(other *Session) bool { return other == s })
	}
}

func (w *watcher) watch(ctx context.Context, yield func(*Session, Status) bool) {
	for {
		s, more := w.next()
		switch {
		case s != nil:
			status := s.Status()
			if status.State == Closed { // nothing follows, but it may have been reported meanwhile
				w.drop(s)
			}
			if ctx.Err() != nil || !yield(s, status) {
				return
			}
		case !more:
			return
		default:
			select {
			case <-w.signal:
			case <-ctx.Done():
				return
			}
		}
	}
}
