package session

import (
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/lockout"
)

// RaceDetector says that the race detector is on, which costs time and memory.
const RaceDetector = raceDetector

// NewManagerWithWall is NewManager with another wall clock, which a test can set
// ahead of the monotonic one as a suspended machine does.
func NewManagerWithWall(opts *Options, wall func() time.Time) *Manager {
	return newManager(opts, wall)
}

// Standing is how many sessions are in the queue for a login or a keep-alive that
// they could send now.
func (g *Guard) Standing() (n int) {
	for _, h := range g.list() {
		h.mu.Lock()
		for _, m := range h.members {
			w := m.waiter
			if w == nil || w.called || h.calls >= m.perHost {
				continue
			}
			if w.beat || h.ledger.Ask(h.now(), &h.local, w.login).Verdict == lockout.Go {
				n++
			}
		}
		h.mu.Unlock()
	}
	return n
}

// Count does with an operation of the driver what comes on top of running it: it
// looks at the clock when it has ended, counts, and hands it to OnOp.
func (s *Session) Count(started time.Time) {
	s.link.Load().judged(pbx.OpPing, started, result{})
}

// AddWhile is Add, and runs meanwhile between the session's name and its beginning.
func (m *Manager) AddWhile(name string, auth pbx.Authenticator, meanwhile func()) {
	s := newSession(name, auth, &m.fleet)
	if m.admit(s) == nil {
		meanwhile()
		s.begin()
	}
}

// WhileItsHostIsLocked runs do while nobody else can ask the host of the session
// anything.
func (s *Session) WhileItsHostIsLocked(do func()) {
	h := s.link.Load().host
	h.mu.Lock()
	defer h.mu.Unlock()
	do()
}

// HasBooks reports whether the host of the session remembers more than that an account
// works.
func (s *Session) HasBooks() bool {
	h := s.link.Load().host
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.books != nil
}

// AskLate asks the host for op, like a goroutine that comes late: the session has
// withdrawn the question meanwhile.
func (s *Session) AskLate(op pbx.Op) {
	l := s.link.Load()
	s.mu.Lock()
	ticket, print := s.machine.ticket-1, s.machine.print
	s.mu.Unlock()
	switch a := s.fleet.gate.ask(l, question{op: op, ticket: ticket, print: print}); a.verdict {
	case pass:
		s.fleet.gate.refund(l, op, a.booking)
	default:
		l.host.withdraw(&l.visitor, ticket)
	}
}
