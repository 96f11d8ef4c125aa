package session

import (
	"container/heap"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

// Options are for [New] and [NewManager]; nil means the defaults.
type Options struct {
	// Timeout bounds every call of a driver. 0: 30 s.
	Timeout time.Duration

	// Workers is how many calls of drivers are under way at once over all
	// sessions of a Manager, of which those whose last attempt failed get half.
	// 0: 64.
	Workers int

	// Guard is the lockout budget. nil: the one that all sessions of this
	// process share. A separate one is for PBXs that see another caller, as through
	// a proxy, and for tests.
	Guard *Guard

	// PerHost is how many calls of drivers are under way at once to one PBX
	// host. 0: 4.
	PerHost int

	// LoginRate is how many sessions of a Manager may log in per second when
	// many do at once, as after a start; as many again may go first. 0: 100.
	LoginRate int

	// OnToken is called with every new or prolonged token before it is handed
	// out: to persist it for [Manager.Resume], or to count. It must return soon,
	// for callers wait, and must not wait for the session itself: not for Token,
	// and not for Close. A token that the PBX refuses meanwhile is announced and
	// never handed out.
	OnToken func(*Session, *pbx.Token)

	// Logger gets a line per change of a session's state, with the fields
	// session, pbx, from, state and error. The zero value is silent. Routine
	// renewals are at debug level. Its writer must not call the session.
	Logger zerolog.Logger
}

func (o *Options) timeout() time.Duration {
	if o.Timeout <= 0 {
		return 30 * time.Second
	}
	return o.Timeout
}

// Manager keeps many sessions alive with one timer and a bounded number of
// calls at a time; a session that has nothing to do costs no goroutine. It is
// safe for concurrent use.
type Manager struct {
	opts  Options
	guard *Guard
	wall  func() time.Time // the wall clock: time.Now but in tests
	nudge chan struct{}    // the queue's head may have changed
	stop  chan struct{}
	ended sync.WaitGroup
	alone *Session // its only session, made by New; nil: Add makes them

	key [32]byte // of fingerprints

	tally tally

	watching sync.Mutex // guards what follows
	watchers map[*watcher]struct{}

	mu      sync.Mutex // guards what follows, and every session's place
	healthy lane
	failing lane // sessions whose last attempt failed
	byName  map[string]*Session
	busy    int
	admit   time.Time // the next free slot for a login
	closed  bool
}

// lane is one of the two ways to the workers. PBXs that answer nothing keep a
// worker for as long as a call may take: with a lane of their own, they do not
// keep all of them from the others.
type lane struct {
	queue queue
	busy  int // workers
	most  int
}

// lane is the one that s is in, or would be. m.mu is held.
func (m *Manager) lane(s *Session) *lane {
	if s.failing {
		return &m.failing
	}
	return &m.healthy
}

// mark tells which lane a session belongs to from now on. What was planned for
// it in another is dropped: it is to be planned anew.
func (m *Manager) mark(s *Session, failing bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.failing != failing && s.index >= 0 {
		heap.Remove(&m.lane(s).queue, s.index)
	}
	s.failing = failing
}

// NewManager makes an empty Manager. Close it when it is no longer needed.
func NewManager(opts *Options) *Manager { return newManager(opts, time.Now) }

func newManager(opts *Options, wall func() time.Time) *Manager {
	m := &Manager{
		wall:     wall,
		watchers: map[*watcher]struct{}{},
		nudge:    make(chan struct{}, 1),
		stop:     make(chan struct{}),
		byName:   map[string]*Session{},
	}
	if opts != nil {
		m.opts = *opts
	}
	crand.Read(m.key[:])
	if m.opts.Workers <= 0 {
		m.opts.Workers = 64
	}
	if m.opts.PerHost <= 0 {
		m.opts.PerHost = 4
	}
	if m.opts.LoginRate <= 0 {
		m.opts.LoginRate = 100
	}
	m.healthy.most, m.failing.most = m.opts.Workers, max(m.opts.Workers/2, 1)
	if m.guard = m.opts.Guard; m.guard == nil {
		m.guard = &processWide
	}
	m.ended.Go(m.dispatch)
	return m
}

// Add makes a session under a name of the application's choice and starts its
// login. The name must be new; it stands in errors and logs.
func (m *Manager) Add(name string, auth pbx.Authenticator) (*Session, error) {
	return m.add(name, auth, nil)
}

// Resume is Add with a token of an earlier process, from [Session.Detach] or
// [Options].OnToken, so that a restart of the application is not a login at
// every PBX. The token is handed out at once and kept alive from there on; if it
// has ended meanwhile, by its date or in the PBX's eyes, there is a refresh or a
// login.
//
// To keep a token between processes, store what Reveal returns of Value and
// Refresh, as carefully as a password, and its three times.
func (m *Manager) Resume(name string, auth pbx.Authenticator, t *pbx.Token) (*Session, error) {
	if t == nil || t.Value.IsZero() {
		return nil, fmt.Errorf("session: there is no token to resume %q with: use Add", name)
	}
	return m.add(name, auth, t)
}

func (m *Manager) add(name string, auth pbx.Authenticator, t *pbx.Token) (*Session, error) {
	s := m.newSession(name, auth)
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	if _, taken := m.byName[name]; taken {
		m.mu.Unlock()
		return nil, fmt.Errorf("session: the name %q is taken: close that session first", name)
	}
	m.byName[name] = s
	m.mu.Unlock()
	s.start(t)
	return s, nil
}

// Session finds a session by name. Keep the handle instead where you can.
func (m *Manager) Session(name string) (*Session, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.byName[name]
	return s, ok
}

// Format writes how many sessions there are, whatever the verb: fmt would read
// the fields while they change.
func (m *Manager) Format(f fmt.State, _ rune) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintf(f, "session manager with %d sessions", len(m.byName))
}

// All yields the sessions that there are at the moment of the call, each with
// its name, in no order.
func (m *Manager) All() iter.Seq2[string, *Session] {
	m.mu.Lock()
	sessions := maps.Clone(m.byName)
	m.mu.Unlock()
	return maps.All(sessions)
}

// Remove closes the session of that name; see [Session.Close]. A name that is
// not there is no error.
func (m *Manager) Remove(ctx context.Context, name string) error {
	s, ok := m.Session(name)
	if !ok {
		return nil
	}
	return s.Close(ctx)
}

// Close closes all sessions, several at a time, and returns the errors of those
// that could not be logged out. ctx bounds the whole.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	sessions := slices.Collect(maps.Values(m.byName))
	m.mu.Unlock()

	errs := make([]error, len(sessions))
	var group errgroup.Group
	group.SetLimit(m.opts.Workers)
	for i, s := range sessions {
		group.Go(func() error {
			if err := s.Close(ctx); err != nil {
				errs[i] = fmt.Errorf("session %s: %w", s.name, err)
			}
			return nil
		})
	}
	group.Wait()
	m.end()
	return errors.Join(errs...)
}

func (m *Manager) end() {
	m.mu.Lock()
	select {
	case <-m.stop:
	default:
		close(m.stop)
	}
	m.mu.Unlock()
	m.ended.Wait()
}

// forget drops a closed session, and itself with its only one.
func (m *Manager) forget(s *Session) {
	m.mu.Lock()
	delete(m.byName, s.name)
	m.mu.Unlock()
	if m.alone != nil {
		m.end()
	}
}

// admission returns when a session may log in; zero: now. A session keeps the
// slot that it was given. s.mu is held.
func (m *Manager) admission(s *Session) time.Time {
	now := time.Now()
	if s.slot.IsZero() {
		each := time.Second / time.Duration(m.opts.LoginRate)
		m.mu.Lock()
		if first := now.Add(-time.Second); m.admit.Before(first) { // a second's worth may go at once
			m.admit = first
		}
		s.slot = m.admit
		m.admit = m.admit.Add(each)
		m.mu.Unlock()
	}
	if s.slot.After(now) {
		return s.slot
	}
	return time.Time{}
}

// dispatch starts what is due, in the order of time, as long as workers are
// free.
func (m *Manager) dispatch() {
	timer := time.NewTimer(longestSleep)
	defer timer.Stop()
	clock := newClock(m.wall)
	for {
		if jump := clock.jump(); jump > 0 {
			m.suspended()
		}
		m.mu.Lock()
		wait := longestSleep
		for _, l := range []*lane{&m.healthy, &m.failing} {
			for len(l.queue) > 0 && l.busy < l.most && m.busy < m.opts.Workers {
				s := l.queue[0]
				if due := time.Until(s.at); due > 0 {
					wait = min(wait, due)
					break
				}
				heap.Pop(&l.queue)
				s.working = true
				m.busy++
				l.busy++
				m.ended.Go(func() { m.work(s, l) })
			}
		}
		m.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-m.nudge:
		case <-m.stop:
			return
		}
	}
}

func (m *Manager) work(s *Session, l *lane) {
	s.run()
	m.mu.Lock()
	m.busy--
	l.busy--
	s.working = false
	m.mu.Unlock()
	m.wakeUp()
}

func (m *Manager) wakeUp() {
	select {
	case m.nudge <- struct{}{}:
	default:
	}
}

// schedule plans the session's next attempt; the zero time cancels it.
func (m *Manager) schedule(s *Session, at time.Time) {
	if at.IsZero() {
		m.unschedule(s)
		return
	}
	m.mu.Lock()
	s.at = at
	if q := &m.lane(s).queue; s.index < 0 {
		heap.Push(q, s)
	} else {
		heap.Fix(q, s.index)
	}
	first := s.index == 0
	m.mu.Unlock()
	if first {
		m.wakeUp()
	}
}

func (m *Manager) unschedule(s *Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.at = time.Time{}
	if s.index >= 0 {
		heap.Remove(&m.lane(s).queue, s.index)
	}
}

// dueAt is when the session's next attempt is planned, or was if it is just
// being started; zero: not.
func (m *Manager) dueAt(s *Session) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.index < 0 && !s.working {
		return time.Time{}
	}
	return s.at
}

// place is a session's position in a queue.
type place struct {
	at      time.Time
	index   int  // -1: not in it
	working bool // taken out, and being run
	failing bool // which lane's queue
}

// queue is a heap by time.
type queue []*Session

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *queue) Push(x any) {
	s := x.(*Session)
	s.index = len(*q)
	*q = append(*q, s)
}
func (q *queue) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	s.index = -1
	return s
}
