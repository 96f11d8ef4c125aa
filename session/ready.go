package session

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// Ready waits until every session that was added before has had its first
// verdict: a token, or a reason why there is none. It then returns nil, whether
// the verdicts are good or bad, so that a service can report that it has started.
// It returns the error of ctx, with how many sessions it still waited for, and
// [ErrClosed] if the Manager is closed. Sessions that end meanwhile do not count.
func (m *Manager) Ready(ctx context.Context) error {
	m.mu.Lock()
	closed := m.closed
	waiting := slices.Collect(maps.Values(m.byName))
	m.mu.Unlock()
	if closed {
		return ErrClosed
	}
	for i, s := range waiting {
		if err := s.ready(ctx); err != nil {
			missing := 0
			for _, s := range waiting[i:] {
				if _, judged := s.verdict(); !judged {
					missing++
				}
			}
			return fmt.Errorf("session: %d of %d sessions have no verdict yet: %w", missing, len(waiting), err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	return nil
}

// ready waits for the session's first verdict.
func (s *Session) ready(ctx context.Context) error {
	for {
		changed, judged := s.verdict()
		if judged {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// verdict reports whether there has been one. If not, changed is closed at the
// next change.
func (s *Session) verdict() (changed <-chan struct{}, judged bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.machine.judged() {
		return nil, true
	}
	return s.listen(), false
}
