package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pbxauth/pbx/session/internal/tokencell"
	"github.com/pbxauth/pbx/session/lockout"
	"github.com/pbxauth/pbx/session/store"
	"github.com/rs/zerolog"
)

// Guard is the budget of wrong logins of each PBX host. PBXs count them by the
// client's address, so that one account's wrong password uses up the tries of all
// the others. Every session that may reach the same PBX from this machine has to
// share a Guard. All do, unless [Options] say otherwise.
//
// A login is booked before it is sent. If the PBX refuses it, or its outcome is
// unknown, it stays booked for as long as the PBX may count it. Logins are sent
// only while few are booked. After an outcome that is unknown, the PBX is checked
// without the password before the next login. Package lockout has the rules, and
// says what no client can promise.
//
// The zero Guard is ready and keeps its budget in memory. One that [NewGuard]
// makes keeps it in a store, so that restarts and other processes know it too.
// A host is one whatever the port, because one PBX responds on several. A driver
// that does not say where its PBX is has a budget of its own, which Hosts and Forgive
// do not know.
type Guard struct {
	// Limit lowers the budget: at most so many logins to a host, or to an account
	// where the PBX counts by account, are booked at a time. It never raises it.
	// 0: as many as the PBX's limit allows. Set it before the Guard is used.
	Limit int

	once   sync.Once
	common common

	mu    sync.Mutex // guards what follows
	hosts map[string]*host
}

// processWide is the Guard of all sessions that are given none: the PBX sees
// one client, so there has to be one budget.
var processWide Guard

// NewGuard makes a Guard that keeps the budget in a store, such as
// [store.Files]: a restart then remembers it, and all processes that use the
// store share it. The store must have a key for fingerprints of credentials.
func NewGuard(s store.Store) (*Guard, error) {
	if s == nil {
		return nil, errors.New("session: NewGuard needs a store, not nil: a Guard in memory is &session.Guard{}")
	}
	keyed, ok := s.(interface{ Key() []byte })
	if !ok {
		return nil, fmt.Errorf("session: NewGuard: %T has no key for fingerprints of credentials: use store.Files", s)
	}
	return storedGuard(&cells{store: s, timeout: storeTimeout}, keyed.Key()), nil
}

// Format writes how many hosts the Guard knows, and not its key of fingerprints.
func (g *Guard) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "lockout budget of %d hosts", len(g.list()))
}

func storedGuard(c *cells, key []byte) *Guard {
	return &Guard{common: common{cells: c, key: key}}
}

// ready fills in what the zero Guard lacks.
func (g *Guard) ready() {
	g.once.Do(func() {
		c := &g.common
		if c.key == nil && (c.cells == nil || c.cells.printKey == nil) {
			c.key = make([]byte, 32)
			rand.Read(c.key)
		}
		id := make([]byte, 6)
		rand.Read(id)
		c.limit, c.process, c.start = &g.Limit, hex.EncodeToString(id), time.Now()
	})
}

// link is a session's driver with its host.
type link struct {
	visitor
	host *host
	cell *tokenCell // the session's part of the store; nil: it shares nothing
}

// join puts the link's driver at its host.
func (g *Guard) join(l *link) {
	g.ready()
	name := hostOf(l.traits.URL)
	if name == "" {
		l.host = &host{common: &g.common}
		l.host.join(&l.visitor)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.hosts[name]
	if h == nil {
		h = &host{common: &g.common, name: name}
		if g.hosts == nil {
			g.hosts = map[string]*host{}
		}
		g.hosts[name] = h
	}
	l.host = h
	h.join(&l.visitor)
}

// leave removes the driver of a session that has ended from its host, and forgets
// the host if nothing about it has to be remembered.
func (g *Guard) leave(l *link) {
	l.host.leave(&l.visitor)
	g.tidy(l.host)
	l.host.move()
}

// tidy forgets a host of which nothing has to be remembered.
func (g *Guard) tidy(h *host) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h.forgettable() && g.hosts[h.name] == h {
		delete(g.hosts, h.name)
	}
}

// putBack has the sessions of each host put back what the store lacks.
func (g *Guard) putBack() {
	for _, h := range g.list() {
		h.mu.Lock()
		h.forgotten = true
		h.mu.Unlock()
	}
}

// refusing is the host whose refusals of tokens have that key in the store; nil: none.
func (g *Guard) refusing(key string) *host {
	c := g.common.cells
	if c == nil {
		return nil
	}
	name, ok := tokencell.RefusalsHost(c.prefix, c.egress, key)
	if !ok {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hosts[name]
}

func (g *Guard) list() []*host {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.hosts))
}

// HostStatus is what a Guard knows of one host.
type HostStatus struct {
	Host string
	lockout.Status
	// Checking is when the PBX is checked next without a password, because a login or
	// a keep-alive waits until it responds. Zero: none does.
	Checking time.Time
	// Waiting are the sessions that wait to log in.
	Waiting []Waiting
}

// Waiting is a session that waits to log in.
type Waiting struct {
	Session string // its name in its Manager
	URL     string
	Account string
	Reason  lockout.Reason
	Until   time.Time // zero: until something happens, or a person acts
}

// Hosts returns what is known of each host, ordered by name: who used the places
// of its budget, what the PBX has locked, and which sessions wait. It reads no store.
func (g *Guard) Hosts() []HostStatus {
	var all []HostStatus
	for _, h := range g.list() {
		all = append(all, h.status())
	}
	slices.SortFunc(all, func(a, b HostStatus) int { return strings.Compare(a.Host, b.Host) })
	return all
}

// Forgive forgets the wrong logins and locks of a host, after a person has
// unlocked this client at the PBX. It returns what it forgot. Refused credentials
// stay refused: see [Session.Retry]. Logins of the last two minutes without a
// verdict stay booked, because the PBX may still judge them. The host is given as
// [Guard.Hosts] names it, or as a URL. The log of each Manager with sessions at the
// host gets a line. Sessions that waited try again in the background. Until they do,
// Token returns the error that it returned before.
func (g *Guard) Forgive(ctx context.Context, name string) (lockout.Forgotten, error) {
	g.ready()
	g.mu.Lock()
	h := cmp.Or(g.hosts[name], g.hosts[hostOf(name)], g.hosts[hostOf("//"+name)])
	g.mu.Unlock()
	if h == nil {
		var known []string
		for _, h := range g.list() {
			known = append(known, h.name)
		}
		slices.Sort(known)
		return lockout.Forgotten{}, fmt.Errorf("session: no session of this Guard is at host %q: it knows %s", name, cmp.Or(strings.Join(known, ", "), "none"))
	}
	waiting := h.status().Waiting
	forgotten, err := h.forgive(ctx)
	if err != nil {
		return forgotten, err
	}
	var names []string
	for _, w := range waiting {
		if w.Session != "" {
			names = append(names, w.Session)
		}
	}
	for _, j := range h.journals() {
		j.write(zerolog.WarnLevel, "wrong logins forgiven", func(e *zerolog.Event) {
			e.Str("host", h.name).Int("logins", len(forgotten.Bookings)).Int("locks", forgotten.Locks).Strs("waiting", names).
				Str("reason", "a person has unlocked this client")
		})
	}
	return forgotten, nil
}

func (h *host) status() HostStatus {
	h.lock()
	defer h.unlock()
	now := h.now()
	s := HostStatus{Host: h.name, Status: h.ledger.Status(now, &h.local)}
	for _, c := range h.checks {
		if at := h.nextCheck(c.url, now); s.Checking.IsZero() || at.Before(s.Checking) {
			s.Checking = at
		}
	}
	for _, m := range h.members {
		if w := m.waiter; w != nil && !w.beat {
			reason := w.reason
			if d := h.ledger.Ask(now, &h.local, w.login); d.Verdict != lockout.Go {
				reason = d.Reason // it may have changed since the session asked
			}
			s.Waiting = append(s.Waiting, Waiting{Session: m.name, URL: m.traits.URL, Account: m.traits.Account, Reason: reason, Until: h.here(w.until, now)})
		}
	}
	slices.SortFunc(s.Waiting, func(a, b Waiting) int { return strings.Compare(a.Session, b.Session) })
	return s
}
