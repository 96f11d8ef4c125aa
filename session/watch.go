package session

import (
	"context"
	"iter"
	"slices"
	"sync"
)

// watcher holds the sessions whose newest state somebody has not seen yet: each
// once, however often it changed meanwhile.
type watcher struct {
	mu      sync.Mutex
	order   []*Session
	pending map[*Session]struct{}
	signal  chan struct{}
}

func (w *watcher) add(s *Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, there := w.pending[s]; there {
		return
	}
	w.pending[s] = struct{}{}
	w.order = append(w.order, s)
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// next returns the session that has waited longest; nil if none does.
func (w *watcher) next() *Session {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.order) == 0 {
		return nil
	}
	s := w.order[0]
	w.order = w.order[1:]
	delete(w.pending, s)
	return s
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

// Watch yields every session with its status, and then each one whose state has
// changed or whose renewal has begun to fail, and each that is added, until ctx
// ends or the loop is left: for a user interface. A slow reader may miss steps,
// never the newest state of a session. A session that has ended is yielded as
// Closed, once.
func (m *Manager) Watch(ctx context.Context) iter.Seq2[*Session, Status] {
	return func(yield func(*Session, Status) bool) {
		w := &watcher{pending: map[*Session]struct{}{}, signal: make(chan struct{}, 1)}
		m.watching.Lock()
		m.watchers[w] = struct{}{}
		m.watching.Unlock()
		defer func() {
			m.watching.Lock()
			delete(m.watchers, w)
			m.watching.Unlock()
		}()
		for _, s := range m.All() {
			w.add(s)
		}
		for {
			for s := w.next(); s != nil; s = w.next() {
				status := s.Status()
				if status.State == Closed { // nothing follows, but it may have been told meanwhile
					w.drop(s)
				}
				if ctx.Err() != nil || !yield(s, status) {
					return
				}
			}
			select {
			case <-w.signal:
			case <-ctx.Done():
				return
			}
		}
	}
}

// tell notes for all watchers that a session has changed.
func (m *Manager) tell(s *Session) {
	m.watching.Lock()
	defer m.watching.Unlock()
	for w := range m.watchers {
		w.add(s)
	}
}
