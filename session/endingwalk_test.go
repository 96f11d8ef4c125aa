package session_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

var (
	endingSeeds = flag.Int("ending-seeds", 0, "how many seeds TestARandomWalkOfEndings plays; 0: 100, or 30 with -short or -race")
	endingSeed  = flag.Uint64("ending-seed", 0, "a single seed for it, to repeat a failure")
)

// TestARandomWalkOfEndings adds, replaces, closes and removes sessions at random, with
// little time or enough, while drivers and the store are slow or hang.
func TestARandomWalkOfEndings(t *testing.T) {
	n := *endingSeeds
	switch {
	case n > 0:
	case testing.Short() || session.RaceDetector:
		n = 30
	default:
		n = 100
	}
	for i := range n {
		seed := uint64(i + 1)
		if *endingSeed != 0 {
			seed = *endingSeed
		}
		synctest.Test(t, func(t *testing.T) { newEndingWalk(t, seed).run() })
		if *endingSeed != 0 || t.Failed() {
			return
		}
	}
}

type endingWalk struct {
	t       *testing.T
	seed    uint64
	random  *rand.Rand
	pbx     *endingPBX
	store   *lagging // nil: none
	guard   *session.Guard
	manager *session.Manager
	other   *session.Manager   // shares the Guard, and the store
	alone   []*session.Session // made by New, with the Guard
	history []string
	names   []string
	calls   sync.WaitGroup
	foreign sync.WaitGroup // calls of the sessions that the Manager does not have
	watches []*endingWatch

	mu    sync.Mutex                // guards what follows
	right map[*session.Session]bool // their credentials are
	ended []*session.Session
}

// endingWatch is what one reader of Manager.Watch has seen.
type endingWatch struct {
	mu   sync.Mutex
	last map[*session.Session]session.State
	slow time.Duration
}

func newEndingWalk(t *testing.T, seed uint64) *endingWalk {
	w := &endingWalk{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 1)), names: []string{"sales", "support", "night"}, right: map[*session.Session]bool{}}
	w.pbx = &endingPBX{kind: []pbx.KeepAliveKind{pbx.KeepAliveNone, pbx.KeepAliveHeartbeat, pbx.KeepAliveRefresh}[w.random.IntN(3)], tokens: map[string]endingToken{}}
	if w.pbx.kind == pbx.KeepAliveRefresh || w.random.IntN(2) == 0 {
		w.pbx.life = 10 * time.Minute
	}
	w.pbx.dead = pbx.DeadTokensIgnored
	if w.random.IntN(3) == 0 {
		w.pbx.dead = pbx.DeadTokensCount
	}
	options := &session.Options{PerHost: 1 + w.random.IntN(4), Workers: 2 + w.random.IntN(8), OnOp: func(session.OpInfo) {}}
	if w.random.IntN(2) == 0 {
		w.store = &lagging{Memory: &store.Memory{}}
		shared := share(t, w.store, "one")
		options.Store, w.guard = shared, shared.Guard()
	} else {
		w.guard = &session.Guard{}
		options.Guard = w.guard
	}
	w.manager, w.other = session.NewManager(options), session.NewManager(options)
	return w
}

func (w *endingWalk) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history = append(w.history, time.Since(walkEpoch).String()+" "+fmt.Sprintf(format, args...))
}

func (w *endingWalk) fail(format string, args ...any) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t.Errorf("%s (repeat with -ending-seed %d)\n%s", fmt.Sprintf(format, args...), w.seed, strings.Join(w.history[max(0, len(w.history)-40):], "\n"))
}

// within calls a method with a context of little time, or enough.
func (w *endingWalk) within(group *sync.WaitGroup, what string, method func(context.Context) error) {
	limit := time.Duration(w.random.IntN(500)) * time.Millisecond
	if w.random.IntN(3) == 0 {
		limit = time.Minute
	}
	group.Go(func() { w.timed(limit, what, method) })
}

func (w *endingWalk) timed(limit time.Duration, what string, method func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	begun := time.Now()
	err := method(ctx)
	took := time.Since(begun)
	w.note("%s took %s of %s: %v", what, took, limit, err)
	if took > limit+1500*time.Millisecond { // the driver's grace
		w.fail("%s took %s, its context %s", what, took, limit)
	}
	return err
}

func (w *endingWalk) watch() {
	watch := &endingWatch{last: map[*session.Session]session.State{}, slow: time.Duration(w.random.IntN(2000)) * time.Millisecond}
	w.watches = append(w.watches, watch)
	w.calls.Go(func() {
		for s, status := range w.manager.Watch(context.Background()) {
			watch.mu.Lock()
			if watch.last[s] == session.Closed {
				if _, seen := watch.last[s]; seen {
					w.fail("%s was yielded as %s after its end", s.Name(), status.State)
				}
			}
			watch.last[s] = status.State
			watch.mu.Unlock()
			time.Sleep(watch.slow)
		}
	})
}

func (w *endingWalk) driver(name string, right bool) *endingDriver {
	return &endingDriver{walk: w, account: name, right: right}
}

// has notes whether the credentials of a session are right.
func (w *endingWalk) has(s *session.Session, right bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.right[s] = right
}

func (w *endingWalk) add(name string, right bool) {
	s, err := w.manager.Add(name, w.driver(name, right))
	w.note("add %s, right %v: %v", name, right, err)
	if err == nil { // else another one was quicker, or the Manager is closed
		w.has(s, right)
	}
}

// end ends a session in one of the ways, and adds it again at once, or not.
func (w *endingWalk) end(s *session.Session, name string, remove, again bool) {
	right := w.random.IntN(4) > 0
	done := s.Done()
	w.within(&w.calls, fmt.Sprintf("end %s, remove %v", name, remove), func(ctx context.Context) error {
		var err error
		if remove {
			err = w.manager.Remove(ctx, name)
		} else {
			err = s.Close(ctx)
		}
		if err != nil && w.store == nil { // the token may be left
			w.pbx.excuse(name)
		}
		select {
		case <-done:
		default: // another Close is at it
			return err
		}
		w.mu.Lock()
		w.ended = append(w.ended, s)
		w.mu.Unlock()
		if now, ok := w.manager.Session(name); ok && now == s {
			w.fail("%s has its name after its end", name)
		}
		if again {
			w.add(name, right)
		}
		return err
	})
}

func (w *endingWalk) step() {
	random := w.random
	name := w.names[random.IntN(len(w.names))]
	s, there := w.manager.Session(name)
	if !there {
		w.add(name, random.IntN(4) > 0)
		return
	}
	switch random.IntN(14) {
	case 0, 1, 2:
		w.end(s, name, false, random.IntN(2) == 0)
	case 3, 4:
		w.end(s, name, true, random.IntN(2) == 0)
	case 5, 6:
		d := w.driver(name, random.IntN(4) > 0)
		err := w.manager.Replace(context.Background(), name, d)
		w.note("replace %s, right %v: %v", name, d.right, err)
		if now, ok := w.manager.Session(name); ok && err == nil && now == s {
			w.has(s, d.right)
		}
	case 7:
		w.within(&w.calls, "Retry", s.Retry)
	case 8:
		if token, err := s.Token(expired); err == nil {
			w.pbx.drop(token.Value.Reveal())
			w.note("invalidate %s", token.Value.Reveal())
			s.Invalidate(token)
		}
	case 9:
		mode := endingMode(random.IntN(int(endingModes)))
		w.note("the PBX is in mode %d", mode)
		w.pbx.mode.Store(int32(mode))
	case 10:
		if w.store != nil {
			delay := []time.Duration{0, 0, 300 * time.Millisecond, 1500 * time.Millisecond, time.Hour}[random.IntN(5)]
			w.note("the store takes %s", delay)
			w.store.delay.Store(int64(delay))
		}
	case 11:
		w.others()
	case 12:
		w.within(&w.calls, "Ready", w.manager.Ready)
	case 13:
		if len(w.watches) < 5 {
			w.watch()
		}
	}
	w.look()
}

// others adds and ends sessions at the same PBX that the Manager does not have.
func (w *endingWalk) others() {
	name := "other"
	if w.store != nil && w.random.IntN(2) == 0 {
		name = w.names[0] // the same session
	}
	if w.random.IntN(2) == 0 {
		if s, there := w.other.Session(name); there {
			w.within(&w.foreign, "end "+name, func(ctx context.Context) error {
				err := s.Close(ctx)
				if err != nil {
					w.pbx.excuse(name)
				}
				return err
			})
			return
		}
		_, err := w.other.Add(name, w.driver(name, w.random.IntN(4) > 0))
		w.note("add %s: %v", name, err)
		return
	}
	if n := len(w.alone); n > 0 && w.random.IntN(2) == 0 {
		s := w.alone[n-1]
		w.alone = w.alone[:n-1]
		w.within(&w.foreign, "end "+s.URL(), func(ctx context.Context) error {
			err := s.Close(ctx)
			if ctx.Err() != nil || err != nil {
				w.pbx.excuse("alone")
			}
			if s.Status().State != session.Closed {
				w.fail("it is %s", s)
			}
			return err
		})
		return
	}
	w.note("a session alone")
	w.alone = append(w.alone, session.New(w.driver("alone", w.random.IntN(4) > 0), &session.Options{Guard: w.guard, PerHost: 2}))
}

// look checks what has to be true at any time.
func (w *endingWalk) look() {
	stats := w.manager.Stats()
	for _, d := range stats.Drivers {
		for state, n := range d.Sessions {
			if n < 0 {
				w.fail("%d sessions are %s", n, state)
			}
		}
	}
}

func (w *endingWalk) run() {
	w.watch()
	synctest.Wait()
	for range 60 {
		w.step()
		switch w.random.IntN(5) {
		case 0, 1:
		case 2:
			time.Sleep(time.Duration(w.random.IntN(300)) * time.Millisecond)
		case 3:
			time.Sleep(time.Duration(w.random.IntN(4000)) * time.Millisecond)
		case 4:
			time.Sleep(time.Duration(w.random.IntN(40)) * time.Second)
		}
	}
	w.restart()
	calm := w.random.IntN(3) > 0
	limit := time.Duration(w.random.IntN(500)) * time.Millisecond
	if calm {
		w.calm()
		limit = time.Minute
	}
	for _, s := range w.alone {
		w.foreign.Go(func() { w.timed(limit, "the end of one alone", s.Close) })
	}
	w.foreign.Go(func() { w.timed(limit, "Manager.Close of the other", w.other.Close) })
	w.foreign.Wait()
	w.timed(limit, "Manager.Close", w.manager.Close)
	begun, late, inStore := w.pbx.begun.Load(), w.pbx.late.Load(), int32(0)
	synctest.Wait()
	if w.store != nil {
		inStore = w.store.begun.Load()
		if n := w.store.underWay.Load(); n > 0 {
			w.fail("%d operations of the store are under way after Manager.Close", n)
		}
	}
	time.Sleep(5 * time.Minute)
	if n := w.pbx.begun.Load() - begun - w.pbx.late.Load() + late; n > 0 {
		w.fail("%d requests after Manager.Close", n)
	}
	if w.store != nil && w.store.begun.Load() != inStore {
		w.fail("operations of the store after Manager.Close")
	}
	w.calls.Wait()
	w.afterwards(calm)
}

// restart has the PBX lose its tokens, and sessions end soon after.
func (w *endingWalk) restart() {
	if w.pbx.dead != pbx.DeadTokensCount || w.random.IntN(2) == 0 {
		return
	}
	w.pbx.mode.Store(int32(responds))
	if w.store != nil {
		w.store.delay.Store(0)
	}
	time.Sleep(2 * time.Minute)
	p := w.pbx
	p.mu.Lock()
	clear(p.tokens)
	p.deads = nil
	p.mu.Unlock()
	w.note("restart")
	if w.random.IntN(2) == 0 {
		p.mode.Store(int32(respondsSlowly))
	}
	for name, s := range w.manager.All() {
		w.end(s, name, w.random.IntN(2) == 0, w.random.IntN(2) == 0)
		if w.random.IntN(2) == 0 {
			time.Sleep(time.Duration(w.random.IntN(300)) * time.Millisecond)
		}
	}
	time.Sleep(time.Minute)
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.deads); n > 2 { // one, and one that was under way
		w.fail("%d dead tokens were sent: %v", n, p.deads)
	}
}

// calm ends all trouble, and checks that right credentials have a token.
func (w *endingWalk) calm() {
	w.note("calm")
	w.pbx.mode.Store(int32(responds))
	if w.store != nil {
		w.store.delay.Store(0)
	}
	time.Sleep(3 * time.Minute)
	for range 5 {
		w.guard.Forgive(context.Background(), "pbx.test")
		w.pbx.forgive()
		time.Sleep(3 * time.Minute)
	}
	unseen := w.unseen()
	for range 10 { // a slow one takes seconds after a renewal
		if unseen == "" {
			break
		}
		time.Sleep(7 * time.Second)
		unseen = w.unseen()
	}
	if unseen != "" {
		w.fail("%s", unseen)
	}
	for name, s := range w.manager.All() {
		w.mu.Lock()
		right := w.right[s]
		w.mu.Unlock()
		switch status := s.Status(); {
		case right && status.State != session.Live:
			w.fail("after the trouble %s is %s; %+v", name, status, w.guard.Hosts())
		case right:
			if token, err := s.Token(expired); err != nil || w.store == nil && !w.pbx.knows(token.Value.Reveal(), name) { // one in the store may be dead
				w.fail("after the trouble %s has no token of its own: %v", name, err)
			}
		}
	}
	if stats, n := w.manager.Stats(), len(maps.Collect(w.manager.All())); stats.Sessions() != n {
		w.fail("Stats count %d sessions, there are %d", stats.Sessions(), n)
	}
}

// unseen is a state that a watcher has not seen; empty: there is none.
func (w *endingWalk) unseen() string {
	synctest.Wait()
	for _, watch := range w.watches {
		watch.mu.Lock()
		defer watch.mu.Unlock()
		for name, s := range w.manager.All() {
			if seen, there := watch.last[s]; !there || seen != s.Status().State {
				return fmt.Sprintf("a watcher saw %s last as %s (%v), and it is %s", name, seen, there, s.Status())
			}
		}
	}
	return ""
}

func (w *endingWalk) afterwards(calm bool) {
	if n := w.manager.Stats().Sessions(); n != 0 {
		w.fail("Stats count %d sessions after the end", n)
	}
	for name := range w.manager.All() {
		w.fail("%s is left", name)
	}
	for _, d := range w.manager.Stats().Drivers {
		for state, n := range d.Sessions {
			if n != 0 {
				w.fail("Stats count %d sessions as %s after the end", n, state)
			}
		}
	}
	for _, watch := range w.watches {
		for s, state := range watch.last {
			if state != session.Closed {
				w.fail("a watcher saw %s last as %s", s.Name(), state)
			}
		}
	}
	for s, state := range w.watches[0].last {
		if state != session.Closed || s.Status().State != session.Closed {
			w.fail("%s is %s", s.Name(), s.Status().State)
		}
		<-s.Done()
	}
	for _, s := range w.ended {
		if _, seen := w.watches[0].last[s]; !seen {
			w.fail("the end of %s was not yielded", s.Name())
		}
	}
	for _, h := range w.guard.Hosts() {
		if h.InFlight != 0 || len(h.Waiting) > 0 || !h.Checking.IsZero() {
			w.fail("the Guard has %+v", h)
		}
	}
	p := w.pbx
	p.mu.Lock()
	faults, tokens := p.faults, maps.Clone(p.tokens)
	p.mu.Unlock()
	for _, fault := range faults {
		w.fail("%s", fault)
	}
	if w.store != nil || !calm || p.dead == pbx.DeadTokensCount { // suspects are not logged out
		return
	}
	for value, token := range tokens {
		if valid := p.life == 0 || time.Since(token.issued) < p.life; valid && !slices.Contains(p.excused, value) {
			w.fail("the PBX still has %s of %s", value, token.account)
		}
	}
}

// endingMode is how a PBX and its driver take their time.
type endingMode int32

const (
	responds endingMode = iota
	respondsSlowly
	isSilent       // until the context ends, and then it fails
	respondsLate   // until the context ends, and then it succeeds
	ignoresContext // for three seconds after its end, and then it succeeds
	endingModes
)

// endingPBX locks a client after five wrong logins.
type endingPBX struct {
	kind  pbx.KeepAliveKind
	life  time.Duration // 0: without an end
	dead  pbx.DeadTokens
	mode  atomic.Int32
	begun atomic.Int32 // requests
	late  atomic.Int32 // logouts of what came late

	mu      sync.Mutex // guards what follows
	serial  int
	bad     int
	tokens  map[string]endingToken
	excused []string // tokens that may be left
	faults  []string
	deads   []string // dead tokens that were sent
}

func (p *endingPBX) drop(value string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tokens, value)
}

func (p *endingPBX) knows(value, account string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tokens[value].account == account
}

func (p *endingPBX) forgive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bad = 0
}

func (p *endingPBX) excuse(account string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for value, of := range p.tokens {
		if of.account == account {
			p.excused = append(p.excused, value)
		}
	}
}

// request has the PBX do something in its time.
func (p *endingPBX) request(ctx context.Context, op pbx.Op, act func() error) error {
	p.begun.Add(1)
	failed := &pbx.Error{Driver: "ending", Op: op, Kind: pbx.ErrUnavailable, Sent: true, Message: "no response"}
	do := func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		return act()
	}
	mode := endingMode(p.mode.Load())
	switch mode {
	case respondsSlowly:
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return failed
		}
	case isSilent:
		<-ctx.Done()
		return failed
	case respondsLate, ignoresContext:
		err := do()
		<-ctx.Done()
		if mode == ignoresContext {
			time.Sleep(3 * time.Second)
			if op == pbx.OpLogin && err == nil {
				p.late.Add(1)
			}
		}
		return err
	}
	if ctx.Err() != nil {
		return failed
	}
	return do()
}

type endingToken struct {
	account string
	issued  time.Time
}

type endingDriver struct {
	walk    *endingWalk
	account string
	right   bool
}

func (d *endingDriver) Traits() pbx.Traits {
	return pbx.Traits{Driver: "ending", URL: "https://pbx.test", Account: d.account, KeepAlive: d.walk.pbx.kind,
		Lockout: pbx.Lockout{Attempts: 5, Window: 10 * time.Minute, Memory: 24 * time.Hour, DeadTokens: d.walk.pbx.dead}}
}

func (d *endingDriver) Fingerprint(context.Context, []byte) ([]byte, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %v", d.account, d.right))
	return sum[:], nil
}

func (p *endingPBX) dated(value string) *pbx.Token {
	t := &pbx.Token{Value: pbx.NewSecret(value), IssuedAt: time.Now()}
	if p.life > 0 {
		t.ExpiresAt = t.IssuedAt.Add(p.life)
	}
	return t
}

func (d *endingDriver) issue() *pbx.Token {
	p := d.walk.pbx
	p.serial++
	value := fmt.Sprintf("token-%d", p.serial)
	p.tokens[value] = endingToken{d.account, time.Now()}
	t := p.dated(value)
	if p.kind == pbx.KeepAliveRefresh {
		t.Refresh = pbx.NewSecret(value + "/refresh")
	}
	return t
}

func (d *endingDriver) Login(ctx context.Context) (t *pbx.Token, err error) {
	p := d.walk.pbx
	d.walk.note("login of %s, right %v", d.account, d.right)
	err = p.request(ctx, pbx.OpLogin, func() error {
		switch {
		case p.bad >= 5:
			p.faults = append(p.faults, "a login came while this client was locked")
			return &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrLocked, Sent: true}
		case !d.right:
			p.bad++
			return &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrInvalidCredentials, Sent: true}
		}
		t = d.issue()
		return nil
	})
	return t, err
}

func (d *endingDriver) KeepAlive(ctx context.Context, old *pbx.Token) (t *pbx.Token, err error) {
	p := d.walk.pbx
	if p.kind == pbx.KeepAliveNone {
		return nil, &pbx.Error{Op: pbx.OpKeepAlive, Kind: pbx.ErrNotSupported}
	}
	value := old.Value.Reveal()
	err = p.request(ctx, pbx.OpKeepAlive, func() error {
		if _, there := p.tokens[value]; !there {
			p.counts(value)
			return &pbx.Error{Op: pbx.OpKeepAlive, Kind: pbx.ErrTokenRejected, Sent: true}
		}
		if p.kind == pbx.KeepAliveRefresh {
			delete(p.tokens, value)
			t = d.issue()
			if p.mode.Load() == int32(ignoresContext) { // its outcome is lost
				p.excused = append(p.excused, t.Value.Reveal())
			}
			return nil
		}
		p.tokens[value] = endingToken{d.account, time.Now()}
		t = p.dated(value)
		return nil
	})
	return t, err
}

func (d *endingDriver) Ping(ctx context.Context, t *pbx.Token) error {
	p := d.walk.pbx
	return p.request(ctx, pbx.OpPing, func() error {
		if _, there := p.tokens[t.Value.Reveal()]; !there {
			p.counts(t.Value.Reveal())
			return &pbx.Error{Op: pbx.OpPing, Kind: pbx.ErrTokenRejected, Sent: true}
		}
		return nil
	})
}

// counts counts a dead token as a wrong login, as some PBXs do. p.mu is held.
func (p *endingPBX) counts(value string) {
	if p.dead == pbx.DeadTokensCount {
		p.deads = append(p.deads, fmt.Sprint(time.Since(walkEpoch), " ", value))
	}
}

func (d *endingDriver) Logout(ctx context.Context, t *pbx.Token) error {
	d.walk.note("logout of %s", t.Value.Reveal())
	p := d.walk.pbx
	err := p.request(ctx, pbx.OpLogout, func() error {
		if _, there := p.tokens[t.Value.Reveal()]; !there {
			p.counts(t.Value.Reveal())
			return &pbx.Error{Op: pbx.OpLogout, Kind: pbx.ErrTokenRejected, Sent: true}
		}
		delete(p.tokens, t.Value.Reveal())
		return nil
	})
	if err != nil && !errors.Is(err, pbx.ErrTokenRejected) {
		p.mu.Lock()
		p.excused = append(p.excused, t.Value.Reveal())
		p.mu.Unlock()
	}
	return err
}
