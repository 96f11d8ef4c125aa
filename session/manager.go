package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/internal/tokencell"
	"github.com/pbxauth/pbx/session/store"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

// Manager keeps many sessions alive with one timer and a bounded number of
// requests at a time. A session that has nothing to do costs no goroutine. It is
// safe for concurrent use.
type Manager struct {
	fleet    fleet
	workers  int
	stop     context.CancelFunc // of what no session waits for
	hurry    context.CancelFunc // of logouts that nobody waits for, and of operations of the store
	watchers watchers
	wrong    error // what is wrong with the options; nil: nothing

	mu     sync.Mutex // guards what follows
	byName map[string]*Session
	long   map[string]*Session // by tokencell.ShortName; nil: no shared session needs one
	closed bool
}

// New makes a session with an upkeep of its own and starts its login. Close it
// when it is no longer needed. It panics if auth is nil, or if opts has a Store or a
// negative number.
func New(auth pbx.Authenticator, opts *Options) *Session {
	if auth == nil {
		panic("session: New needs an Authenticator, not nil")
	}
	if opts != nil && opts.Store != nil {
		panic("session: New with Options.Store: a session that processes share needs a name, use a Manager")
	}
	if _, wrong := opts.resolved(); wrong != nil {
		panic(wrong.Error())
	}
	m := newManager(opts, time.Now)
	m.fleet.many = false
	m.fleet.ended = func(ctx context.Context, s *Session) { m.forget(ctx, s); m.end(ctx) }
	s := newSession("", auth, &m.fleet)
	m.admit(s) // never fails: it is the first
	s.begin()
	return s
}

// NewManager makes an empty Manager. Close it when it is no longer needed. If opts
// contradict themselves (see [Options].Store) or have a negative number, Add returns
// an error that says so.
func NewManager(opts *Options) *Manager { return newManager(opts, time.Now) }

func newManager(opts *Options, wall func() time.Time) *Manager {
	o, wrong := opts.resolved()
	ctx, stop := context.WithCancel(context.Background())
	last, hurry := context.WithCancel(context.Background())
	m := &Manager{workers: o.Workers, wrong: wrong, byName: map[string]*Session{}}
	f := &m.fleet
	log := newJournal(o.Logger)
	f.settings = settings{ctx: ctx, last: last, journal: log, hook: newHook(o.OnOp, log), timeout: o.Timeout, perHost: int16(min(o.PerHost, math.MaxInt16)),
		schedule: newScheduler(o.Workers, o.LoginRate, wall, m.jumped)}
	o.Guard.ready()
	m.stop, m.hurry = stop, hurry
	f.families.settings = &f.settings
	f.gate = gate{settings: &f.settings, guard: o.Guard}
	f.many = true
	f.changed, f.ended = m.watchers.tell, m.forget
	if o.Store != nil && wrong == nil {
		f.store = &o.Store.backing
		if w, ok := f.store.store.(store.Watcher); ok {
			f.background.Go(func() { m.follow(ctx, w) })
		}
	}
	return m
}

// Add makes a session under a name of the application's choice and starts its
// login. The name must be new and not empty. It stands in errors and logs.
func (m *Manager) Add(name string, auth pbx.Authenticator) (*Session, error) {
	switch {
	case m.wrong != nil:
		return nil, m.wrong
	case name == "":
		return nil, errors.New("session: the name is empty: give each session a name of its own")
	case auth == nil:
		return nil, fmt.Errorf("session: the Authenticator of %q is nil: use what pbx.Open returned", name)
	}
	s := newSession(name, auth, &m.fleet)
	if err := m.admit(s); err != nil {
		m.fleet.gate.guard.leave(s.link.Load())
		return nil, err
	}
	s.begin()
	return s, nil
}

// admit makes a session one that others find.
func (m *Manager) admit(s *Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	if _, taken := m.byName[s.Name()]; taken {
		return fmt.Errorf("session: the name %q is taken: close that session first, or use Replace", s.Name())
	}
	m.byName[s.Name()] = s
	if short, long := m.shortName(s); long {
		if m.long == nil {
			m.long = map[string]*Session{}
		}
		m.long[short] = s
	}
	s.link.Load().family.joined(Connecting) // a Replace may move it from now on
	return nil
}

// Replace gives the session of that name another Authenticator, as after a
// change of settings: the handle stays, and a login with it starts at once.
// [Session.Token] waits for that login. The old token is logged out in the
// background. If there is no such session, Replace returns an error: use Add.
func (m *Manager) Replace(ctx context.Context, name string, auth pbx.Authenticator) error {
	if auth == nil {
		return fmt.Errorf("session: the Authenticator of %q is nil: use what pbx.Open returned", name)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("session: %q is not replaced: %w", name, err)
	}
	m.mu.Lock()
	s, closed := m.byName[name], m.closed
	m.mu.Unlock()
	switch {
	case s != nil:
		return s.replace(auth)
	case closed:
		return ErrClosed
	}
	return fmt.Errorf("session: there is no session %q to replace: use Add", name)
}

// Session finds a session by name. Keep the handle instead where you can.
func (m *Manager) Session(name string) (*Session, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.byName[name]
	return s, ok
}

// Stats costs the same whatever the number of sessions. Its figures are read one
// after the other. A session that changes its state is counted once.
func (m *Manager) Stats() Stats { return m.fleet.read() }

// Format writes how many sessions there are, whatever the verb: fmt would read
// the fields while they change.
func (m *Manager) Format(f fmt.State, _ rune) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintf(f, "session manager with %d sessions", len(m.byName))
}

// All yields the sessions that exist when the loop begins, each with its name,
// in no order.
func (m *Manager) All() iter.Seq2[string, *Session] {
	m.mu.Lock()
	sessions := maps.Clone(m.byName)
	m.mu.Unlock()
	return maps.All(sessions)
}

// Watch yields every session with its status, and then each one whose state has
// changed or whose renewal has begun to fail, and each that is added: for a user
// interface. It ends when ctx ends, the loop is left, or the Manager is closed
// and every end was yielded. A slow reader may miss steps, never the newest state
// of a session. A session that has ended is yielded as Closed, once.
func (m *Manager) Watch(ctx context.Context) iter.Seq2[*Session, Status] {
	return func(yield func(*Session, Status) bool) {
		w := m.watchers.add()
		defer m.watchers.remove(w)
		for _, s := range m.All() {
			w.tell(s)
		}
		w.watch(ctx, yield)
	}
}

// Remove closes the session of that name and logs out. With [Options].Store, the
// session ends in all processes. If the store does not allow that, the error says so:
// to try again, Add the session and Remove it. If there is no session of that name,
// Remove returns nil.
func (m *Manager) Remove(ctx context.Context, name string) error {
	s, ok := m.Session(name)
	if !ok {
		return nil
	}
	return s.shut(ctx, true)
}

// Close closes all sessions, several at a time: see [Session.Close]. It returns
// the errors of those that could not be logged out. ctx bounds the whole: when it
// ends, operations of the store are cut off too.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	sessions := slices.Collect(maps.Values(m.byName))
	m.mu.Unlock()

	defer context.AfterFunc(ctx, func() { m.stop(); m.hurry() })()
	errs := make([]error, len(sessions))
	var group errgroup.Group
	group.SetLimit(m.workers)
	for i, s := range sessions {
		group.Go(func() error {
			if err := s.Close(ctx); err != nil {
				errs[i] = fmt.Errorf("session %s: %w", s.Name(), err)
			}
			return nil
		})
	}
	group.Wait()
	m.end(ctx)
	m.fleet.flush(ctx.Done())
	m.watchers.close()
	return errors.Join(errs...)
}

// end stops what runs, and waits for it. Logouts and operations of the store have
// until ctx ends.
func (m *Manager) end(ctx context.Context) {
	m.stop()
	defer context.AfterFunc(ctx, m.hurry)()
	m.fleet.schedule.end()
	m.fleet.background.Wait()
	m.hurry()
}

// follow tells sessions what other processes have written in the store, until ctx
// ends. What it misses they find out when they renew, or when the PBX refuses a
// token.
func (m *Manager) follow(ctx context.Context, w store.Watcher) {
	var again atomic.Bool
	err := w.Watch(ctx, func(key string) {
		if key == "" {
			m.reconnected(again.Swap(true))
		} else {
			m.noticed(key)
		}
	})
	if ctx.Err() == nil {
		m.fleet.journal.write(zerolog.WarnLevel, "the store reports no changes", func(e *zerolog.Event) {
			e.AnErr("error", err).Str("reason", "other processes' tokens are found when they are needed")
		})
	}
}

// reconnected follows the notice that the store reports changes from now on: every
// session looks, because it may have missed some. If the store is back again, it may
// have lost what it had, and sessions put back what is missing.
func (m *Manager) reconnected(again bool) {
	m.fleet.store.down.leave(time.Now(), true)
	all := maps.Collect(m.All())
	spread := max(returnSpread, time.Duration(len(all))*returnPause)
	if again {
		m.fleet.gate.guard.putBack()
	}
	for _, s := range all {
		within := spread
		if s.current.Load() == nil { // it has waited for the store
			within = returnSpread
		}
		s.look(time.Duration(rand.Int64N(int64(within))))
	}
}

const (
	returnSpread = time.Second            // at least, for the looks at a store that is back
	returnPause  = 500 * time.Microsecond // between two of them
)

// noticed follows a notice of a change in the store. It does not block.
func (m *Manager) noticed(key string) {
	if s := m.ofCell(key); s != nil {
		s.notice(key)
	}
	if h := m.fleet.gate.guard.refusing(key); h != nil && h.notices.Add(1) == 1 {
		m.fleet.background.Go(func() { h.reread(m.fleet.ctx, h.tell) })
	}
}

// ofCell is the session whose name a key of the store shows; nil: none.
func (m *Manager) ofCell(key string) *Session {
	name, short, ok := tokencell.SessionName(m.fleet.store.prefix, key)
	if !ok {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if short {
		return m.long[name]
	}
	return m.byName[name]
}

// shortName is what keys of the store show of the session's name. long is false if that
// is all of it, or if there is no store.
func (m *Manager) shortName(s *Session) (short string, long bool) {
	if m.fleet.store == nil {
		return "", false
	}
	return tokencell.ShortName(s.Name())
}

// forget drops a closed session.
func (m *Manager) forget(_ context.Context, s *Session) {
	m.mu.Lock()
	delete(m.byName, s.Name())
	if short, long := m.shortName(s); long {
		delete(m.long, short)
	}
	m.mu.Unlock()
}

// jumped follows a suspension of this machine.
func (m *Manager) jumped() {
	for _, s := range m.All() {
		s.jumped()
	}
}

// read sums up what the drivers did.
func (f *fleet) read() Stats {
	s := Stats{Drivers: f.families.read(), Hosts: f.gate.guard.common.trouble()}
	for _, d := range s.Drivers {
		s.Connecting += d.Sessions[Connecting]
		s.Live += d.Sessions[Live]
		s.Renewing += d.Sessions[Renewing]
		s.Rejected += d.Sessions[Rejected]
		s.Locked += d.Sessions[Locked]
		s.Unavailable += d.Sessions[Unavailable]
		add := func(op pbx.Op, all, failed *uint64) {
			*all += d.Operations[op].Duration.Count
			*failed += d.Operations[op].Failed()
		}
		add(pbx.OpLogin, &s.Logins, &s.FailedLogins)
		add(pbx.OpKeepAlive, &s.KeepAlives, &s.FailedKeepAlives)
		add(pbx.OpLogout, &s.Logouts, &s.FailedLogouts)
	}
	if f.store != nil {
		s.Store = f.store.stats()
	}
	return s
}

// HostsInTrouble returns the hosts of the Manager's [Guard] that have sessions
// and are in trouble, at most so many of them: locked ones first, then those with
// the most logins that count, then those in doubt for longest. It costs more the
// more hosts are in trouble.
func (m *Manager) HostsInTrouble(most int) []HostStatus {
	c := &m.fleet.gate.guard.common
	c.trouble()
	hosts := c.troubled.list()
	all := make([]HostStatus, len(hosts))
	for i, h := range hosts {
		all[i] = h.status()
	}
	slices.SortFunc(all, func(a, b HostStatus) int {
		free := func(s HostStatus) int {
			if s.LockedUntil.IsZero() {
				return 1
			}
			return 0
		}
		return cmp.Or(free(a)-free(b), len(b.Bookings)-len(a.Bookings), a.InDoubt.Compare(b.InDoubt), cmp.Compare(a.Host, b.Host))
	})
	return all[:min(max(most, 0), len(all))]
}
