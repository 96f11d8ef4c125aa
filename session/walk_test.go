package session_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
	"github.com/rs/zerolog"
)

var (
	walkSeeds   = flag.Int("walk-seeds", 0, "how many seeds TestARandomWalk plays; 0: 40, or 10 with -short or -race")
	walkSeed    = flag.Uint64("walk-seed", 0, "a single seed for it, to repeat a failure")
	walkHistory = flag.Int("walk-history", 60, "how many lines of what led to a failure it prints")
)

// TestARandomWalk does at random what applications and PBXs do, through the public
// methods only, and checks what has to be true after each time of calm. The events
// and their times follow from the seed. Which of two things at the same moment comes
// first does not.
func TestARandomWalk(t *testing.T) {
	n := *walkSeeds
	switch {
	case n > 0:
	case testing.Short() || session.RaceDetector:
		n = 10
	default:
		n = 40
	}
	for i := range n {
		seed := uint64(i + 1)
		if *walkSeed != 0 {
			seed = *walkSeed
		}
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newWalk(t, seed).run() })
		})
		if *walkSeed != 0 {
			return
		}
	}
}

// walk is several processes with sessions at two PBXs.
type walk struct {
	t       *testing.T
	seed    uint64
	random  *rand.Rand
	pbxs    []*walkPBX
	faults  *store.Faults  // nil: no store
	guard   *session.Guard // nil: that of the store
	forgets bool           // the store loses everything; else processes end and start
	names   []string

	mu        sync.Mutex // guards what follows
	processes []*walkProcess
	started   int
	healthy   time.Time      // since when the store has had no fault; zero: it has one
	removals  []walkRemoval  // every Remove
	arrivals  []walkArrival  // every driver of a session
	calls     sync.WaitGroup // of methods that are under way
	history   []string       // for the report of a failure
}

type walkArrival struct {
	key string
	at  time.Time
}

// walkRemoval is a Remove, whose outcome the sessions of the same key show.
type walkRemoval struct {
	key      string
	began    time.Time
	finished time.Time // zero: it is under way
	clean    bool      // it reports success, and the store had no fault
}

type walkProcess struct {
	name     string
	guard    *session.Guard
	manager  *session.Manager
	sessions map[string]*walkSession
	removing map[string]bool // names
}

// walkSession is one session of one process, with the driver that it has now.
type walkSession struct {
	session *session.Session
	driver  *walkDriver
	since   time.Time // when it got the driver
}

func newWalk(t *testing.T, seed uint64) *walk {
	w := &walk{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 0)), names: []string{"sales", "support", "night"}}
	for _, host := range []string{"one.test", "two.test"} {
		p := &walkPBX{host: host, latency: time.Duration(w.random.IntN(300)) * time.Millisecond, tokens: map[string]*walkToken{}, changed: make(chan struct{})}
		p.kind = []pbx.KeepAliveKind{pbx.KeepAliveNone, pbx.KeepAliveHeartbeat, pbx.KeepAliveRefresh}[w.random.IntN(3)]
		p.life = []time.Duration{2 * time.Minute, 30 * time.Minute, 0}[w.random.IntN(3)]
		p.single = w.random.IntN(4) == 0
		p.judges = w.random.IntN(2) == 0
		w.pbxs = append(w.pbxs, p)
	}
	if seed%4 == 0 {
		w.guard = &session.Guard{}
		for _, p := range w.pbxs {
			p.single = false // processes without a store would take it from each other
		}
	} else {
		w.faults = (&store.Memory{}).Faults()
		w.forgets = w.random.IntN(2) == 0
	}
	w.healthy = time.Now()
	for range 2 + w.random.IntN(2) {
		w.processes = append(w.processes, w.start())
	}
	return w
}

// fail reports a failure, with what led to it.
func (w *walk) fail(format string, args ...any) {
	w.t.Helper()
	w.mu.Lock()
	history := w.history[max(0, len(w.history)-*walkHistory):]
	w.mu.Unlock()
	w.t.Errorf("%s (repeat with -walk-seed %d)\n%s", fmt.Sprintf(format, args...), w.seed, strings.Join(history, "\n"))
}

var walkEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of every bubble

func (w *walk) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history = append(w.history, time.Since(walkEpoch).String()+" "+fmt.Sprintf(format, args...))
}

// walkLog takes the log lines of a process into the history.
type walkLog struct {
	walk    *walk
	process string
}

func (l walkLog) Write(line []byte) (int, error) {
	l.walk.note("%s logs %s", l.process, strings.TrimSpace(string(line)))
	return len(line), nil
}

func (w *walk) logger(p *walkProcess) zerolog.Logger { return zerolog.New(walkLog{w, p.name}) }

func (w *walk) start() *walkProcess {
	w.mu.Lock()
	w.started++
	p := &walkProcess{name: fmt.Sprint("p", w.started), sessions: map[string]*walkSession{}, removing: map[string]bool{}}
	w.mu.Unlock()
	if w.faults == nil {
		p.guard = w.guard
		p.manager = session.NewManager(&session.Options{Guard: w.guard, Logger: w.logger(p)})
		return p
	}
	shared := share(w.t, w.faults.Process(p.name), p.name)
	p.guard, p.manager = shared.Guard(), session.NewManager(&session.Options{Store: shared, Logger: w.logger(p)})
	return p
}

// walkGrace is for a driver that is hurried, and operations of a slow store.
const walkGrace = 8 * time.Second

// within runs a method that has to return by the time that its context ends, and a
// few seconds more, in the background.
func (w *walk) within(limit time.Duration, what string, method func(ctx context.Context)) {
	w.calls.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		begun := time.Now()
		method(ctx)
		if took := time.Since(begun); took > limit+walkGrace {
			w.fail("%s took %s, its context %s", what, took, limit)
		}
	})
}

func (w *walk) run() {
	for range 6 {
		for range 40 {
			w.step()
			w.look()
			switch w.random.IntN(8) {
			case 0, 1, 2: // at the same moment
			case 3:
				time.Sleep(time.Duration(w.random.IntN(400)) * time.Millisecond)
			case 4, 5:
				time.Sleep(time.Duration(w.random.IntN(5000)) * time.Millisecond)
			case 6:
				time.Sleep(time.Duration(w.random.IntN(60)) * time.Second)
			case 7:
				time.Sleep(time.Duration(w.random.IntN(10)) * time.Minute)
			}
		}
		w.calm()
		if w.t.Failed() {
			break
		}
	}
	w.calls.Wait()
	for _, p := range w.processes {
		w.end(p)
	}
	w.calls.Wait()
	for _, p := range w.pbxs {
		p.up()
	}
}

func (w *walk) pick() *walkProcess { return w.processes[w.random.IntN(len(w.processes))] }

// step is one event.
func (w *walk) step() {
	random := w.random
	p, name, at := w.pick(), w.names[random.IntN(len(w.names))], w.pbxs[random.IntN(len(w.pbxs))]
	limit := []time.Duration{50 * time.Millisecond, time.Second, 5 * time.Second, 40 * time.Second}[random.IntN(4)]
	right := random.IntN(12) > 0
	w.mu.Lock()
	s, removing := p.sessions[name], p.removing[name]
	w.mu.Unlock()
	if removing { // a Remove could be of the session that is added
		return
	}
	if s == nil || random.IntN(30) == 0 {
		w.add(p, name, at, right)
		return
	}
	switch random.IntN(30) {
	case 0, 1:
		w.note("%s: replace %s, now at %s, right %v", p.name, name, at.host, right)
		w.replace(p, s, name, at, right)
	case 2: // in all processes, as with new settings
		w.note("replace %s everywhere, now at %s, right %v", name, at.host, right)
		for _, p := range w.processes {
			if s := p.sessions[name]; s != nil {
				w.replace(p, s, name, at, right)
			}
		}
	case 3, 4:
		w.remove(p, s, name, limit)
	case 5, 6:
		if w.forgets { // a store that forgets relies on those who remember
			return
		}
		w.note("%s: close", p.name)
		w.end(p)
		fresh := w.start()
		for i := range w.processes {
			if w.processes[i] == p {
				w.processes[i] = fresh
			}
		}
		for name, s := range p.sessions {
			w.add(fresh, name, s.driver.pbx, s.driver.right)
		}
	case 7:
		w.note("%s: retry %s", p.name, name)
		w.within(limit, "Retry", func(ctx context.Context) { _ = s.session.Retry(ctx) })
	case 8, 9:
		if token, err := s.session.Token(expired); err == nil {
			w.note("%s: invalidate %s", p.name, token.Value.Reveal())
			s.session.Invalidate(token)
		}
	case 10:
		w.note("%s: forgive %s", p.name, at.host)
		at.forgive()
		w.within(limit, "Forgive", func(ctx context.Context) { _, _ = p.guard.Forgive(ctx, at.host) })
	case 11, 12, 13, 14:
		w.within(limit, "Do", func(ctx context.Context) {
			r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.session.URL()+"/request", nil)
			if resp, err := s.session.Do(r); err == nil {
				resp.Body.Close()
			}
		})
	case 15, 16:
		w.within(limit, "Token", func(ctx context.Context) { _, _ = s.session.Token(ctx) })
	case 17, 18:
		mode := walkMode(1 + random.IntN(int(walkModes)-1))
		w.note("%s is in mode %d", at.host, mode)
		at.down(mode)
	case 19, 20, 21:
		w.note("%s is up", at.host)
		at.up()
	case 22:
		w.note("%s restarts", at.host)
		at.restart()
	case 23:
		w.note("%s drops a token of %s", at.host, name)
		at.drop(name)
	case 24, 25, 26, 27:
		w.trouble(p)
	case 28, 29:
		w.note("the store is fine")
		w.repair()
	}
}

func (w *walk) driver(name string, at *walkPBX, right bool) *walkDriver {
	return &walkDriver{pbx: at, account: name, right: right}
}

func (w *walk) add(p *walkProcess, name string, at *walkPBX, right bool) {
	d := w.driver(name, at, right)
	s, err := p.manager.Add(name, d)
	w.note("%s: add %s at %s, right %v: %v", p.name, name, at.host, right, err)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p.sessions[name] = &walkSession{session: s, driver: d, since: time.Now()}
	w.arrivals = append(w.arrivals, walkArrival{d.key(), time.Now()})
}

func (w *walk) replace(p *walkProcess, s *walkSession, name string, at *walkPBX, right bool) {
	d := w.driver(name, at, right)
	if p.manager.Replace(context.Background(), name, d) != nil {
		return
	}
	if now, ok := p.manager.Session(name); !ok || now != s.session {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.driver, s.since = d, time.Now()
	w.arrivals = append(w.arrivals, walkArrival{d.key(), time.Now()})
}

// key names the sessions that are one in all processes.
func (d *walkDriver) key() string { return d.pbx.host + " " + d.account }

func (w *walk) remove(p *walkProcess, s *walkSession, name string, limit time.Duration) {
	w.mu.Lock()
	delete(p.sessions, name)
	p.removing[name] = true
	key := s.driver.key()
	i := len(w.removals)
	w.removals = append(w.removals, walkRemoval{key: key, began: time.Now()})
	_, there := p.manager.Session(name)
	fine := there && !w.healthy.IsZero() && time.Since(w.healthy) > 10*time.Second // time enough to look into it
	w.mu.Unlock()
	w.note("%s: remove %s", p.name, key)
	w.within(limit, "Remove", func(ctx context.Context) {
		err := p.manager.Remove(ctx, name)
		w.note("%s: removed %s: %v", p.name, key, err)
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(p.removing, name)
		r := &w.removals[i]
		r.finished = time.Now()
		r.clean = err == nil && fine && !w.healthy.IsZero()
	})
}

func (w *walk) end(p *walkProcess) {
	w.within(20*time.Second, "Manager.Close", func(ctx context.Context) { _ = p.manager.Close(ctx) })
}

// trouble is something that goes wrong with the store.
func (w *walk) trouble(p *walkProcess) {
	if w.faults == nil {
		return
	}
	random := w.random
	w.mu.Lock()
	w.healthy = time.Time{}
	w.mu.Unlock()
	switch random.IntN(4) {
	case 0:
		w.note("%s is cut off from the store", p.name)
		w.faults.Cut(p.name)
	case 1:
		delay := time.Duration(random.IntN(2500)) * time.Millisecond
		w.note("the store takes up to %s", delay)
		w.chance(func(chance *rand.Rand) store.Fault {
			return store.Fault{Delay: time.Duration(chance.Int64N(int64(delay) + 1))}
		})
	case 2:
		w.note("the store loses operations")
		w.chance(func(chance *rand.Rand) (f store.Fault) {
			switch chance.IntN(8) {
			case 0:
				f.Before = errors.New("not reached")
			case 1:
				f.After = errors.New("response lost")
			}
			return f
		})
	case 3:
		if w.forgets {
			w.note("the store loses everything")
			w.faults.ForgetAll()
		}
	}
}

func (w *walk) chance(fault func(*rand.Rand) store.Fault) {
	var mu sync.Mutex
	chance := rand.New(rand.NewPCG(w.random.Uint64(), 0))
	w.faults.Intercept(func(store.Op) store.Fault {
		mu.Lock()
		defer mu.Unlock()
		return fault(chance)
	})
}

// repair ends the store's faults.
func (w *walk) repair() {
	if w.faults == nil {
		return
	}
	w.faults.Intercept(nil)
	for _, p := range w.processes {
		w.faults.Rejoin(p.name)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.healthy.IsZero() {
		w.healthy = time.Now()
	}
}

// look checks what has to be true at any time.
func (w *walk) look() {
	w.mu.Lock()
	healthy := w.healthy
	w.mu.Unlock()
	for _, p := range w.processes {
		for name, s := range p.sessions {
			status := s.session.Status()
			down := s.driver.pbx.downSince()
			if down.IsZero() || healthy.IsZero() || status.State != session.Connecting || status.Err != nil {
				continue
			}
			if since := max3(status.Since, down, healthy); time.Since(since) > time.Minute {
				w.fail("%s: %s has been connecting for %s without an error, and its PBX is down", p.name, name, time.Since(since))
			}
		}
	}
}

func max3(a, b, c time.Time) time.Time {
	for _, t := range []time.Time{b, c} {
		if t.After(a) {
			a = t
		}
	}
	return a
}

// calm ends all faults, and checks what has to be true after a while.
func (w *walk) calm() {
	w.note("calm")
	w.repair()
	for _, p := range w.pbxs {
		p.up()
	}
	w.calls.Wait()
	time.Sleep(time.Minute)
	// Where tokens were refused again and again, sessions have slowed down.
	for i := range 40 {
		if i%10 == 0 {
			w.forgive() // also what wrong passwords that had to wait have cost since
		}
		if w.wrong() == "" {
			break
		}
		time.Sleep(30 * time.Second)
	}
	if wrong := w.wrong(); wrong != "" {
		w.fail("after the faults: %s", wrong)
	}
	for _, at := range w.pbxs {
		if wrong := at.wrong(); wrong != "" {
			w.fail("%s: %s", at.host, wrong)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.removals, w.arrivals = nil, nil
}

// forgive is what a person does who has corrected all that was wrong.
func (w *walk) forgive() {
	for _, at := range w.pbxs {
		at.forgive()
		for _, p := range w.processes {
			_, _ = p.guard.Forgive(context.Background(), at.host) // it may not know the host
		}
	}
}

// wrong is what is not as it has to be in the end; empty: nothing.
func (w *walk) wrong() string {
	for _, p := range w.processes {
		for name, s := range p.sessions {
			status := s.session.Status()
			mustEnd, mayEnd := w.removed(s)
			switch {
			case status.State == session.Closed && !mayEnd:
				return fmt.Sprintf("%s: %s at %s has ended, and nobody removed it", p.name, name, s.driver.pbx.host)
			case status.State != session.Closed && mustEnd:
				return fmt.Sprintf("%s: %s at %s is %s (%v), though another process removed it", p.name, name, s.driver.pbx.host, status.State, status.Err)
			case status.State == session.Closed:
				w.mu.Lock()
				delete(p.sessions, name)
				w.mu.Unlock()
				continue
			case !s.driver.right:
				continue
			}
			if err := w.works(s.session); err != nil {
				return fmt.Sprintf("%s: %s at %s is %s: %v", p.name, name, s.driver.pbx.host, status.State, err)
			}
		}
	}
	return ""
}

func (w *walk) works(s *session.Session) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/request", nil)
	resp, err := s.Do(r)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// removed reports whether a session must have ended, or may have, because another
// process removed it.
func (w *walk) removed(s *walkSession) (must, may bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.removals {
		if r.key != s.driver.key() {
			continue
		}
		if r.finished.IsZero() || !s.since.After(r.finished.Add(5*time.Second)) {
			may = true
		}
		if !r.clean || s.since.After(r.began.Add(-5*time.Second)) {
			continue
		}
		must = true
		for _, a := range w.arrivals { // they bring it back for the others too
			must = must && (a.key != r.key || a.at.Before(r.began.Add(-5*time.Second)))
		}
	}
	return must && w.faults != nil && !w.forgets, may && w.faults != nil
}

// walkMode is what a PBX does.
type walkMode int

const (
	isUp walkMode = iota
	isRefusing
	isMute
	losesResponses
	isBehindAProxy // which responds with 502
	walkModes
)

type walkToken struct {
	account string
	ends    time.Time // zero: none
}

// walkPBX locks a client that has sent five wrong logins within a day.
type walkPBX struct {
	host    string
	kind    pbx.KeepAliveKind
	life    time.Duration
	latency time.Duration
	single  bool // a login ends the account's other tokens
	judges  bool // also the logins to which it does not respond

	mu      sync.Mutex // guards what follows
	mode    walkMode
	since   time.Time     // of a mode that is not up
	changed chan struct{} // closed with the next change of the mode
	serial  int
	tokens  map[string]*walkToken
	bad     []time.Time // wrong logins
	faults  []string    // what must not happen
}

func (p *walkPBX) set(mode walkMode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == mode {
		return
	}
	if p.mode == isUp {
		p.since = time.Now()
	}
	if mode == isUp {
		p.since = time.Time{}
	}
	p.mode = mode
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *walkPBX) up()                { p.set(isUp) }
func (p *walkPBX) down(mode walkMode) { p.set(mode) }

func (p *walkPBX) downSince() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.since
}

func (p *walkPBX) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.tokens)
}

func (p *walkPBX) drop(account string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropAll(account)
}

func (p *walkPBX) dropAll(account string) {
	for value, t := range p.tokens {
		if t.account == account {
			delete(p.tokens, value)
		}
	}
}

func (p *walkPBX) forgive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bad = nil
}

func (p *walkPBX) wrong() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.faults, "; ")
}

// request is one to the PBX: act is what it does with it, with p.mu held.
func (p *walkPBX) request(ctx context.Context, op pbx.Op, act func() error) error {
	fails := func(sent bool, why string) error {
		return &pbx.Error{Driver: "walk", Op: op, Kind: pbx.ErrUnavailable, Sent: sent, Message: why}
	}
	pause := func() bool {
		select {
		case <-time.After(max(p.latency/2, time.Millisecond)):
			return true
		case <-ctx.Done():
			return false
		}
	}
	if !pause() {
		return fails(true, "the context has ended")
	}
	p.mu.Lock()
	mode, changed := p.mode, p.changed
	var err error
	if mode == isUp || mode == losesResponses || mode == isMute && p.judges {
		err = act()
	}
	p.mu.Unlock()
	switch mode {
	case isRefusing:
		return fails(false, "connection refused")
	case losesResponses:
		return fails(true, "connection reset")
	case isBehindAProxy:
		return &pbx.Error{Driver: "walk", Op: op, Kind: pbx.ErrUnavailable, Sent: true, HTTPStatus: http.StatusBadGateway, Message: "bad gateway"}
	case isMute:
		select {
		case <-changed:
			return fails(true, "connection reset")
		case <-ctx.Done():
			return fails(true, "no response")
		}
	}
	if !pause() {
		return fails(true, "the context has ended")
	}
	return err
}

// known looks a token up. p.mu is held.
func (p *walkPBX) known(op pbx.Op, value string) (*walkToken, error) {
	if !strings.HasPrefix(value, p.host) {
		p.faults = append(p.faults, fmt.Sprintf("a %s brought the token %s of another PBX", op, value))
	}
	t := p.tokens[value]
	if t == nil || !t.ends.IsZero() && !time.Now().Before(t.ends) {
		return nil, &pbx.Error{Driver: "walk", Op: op, Kind: pbx.ErrTokenRejected, Sent: true, HTTPStatus: http.StatusUnauthorized, Message: "unknown token"}
	}
	return t, nil
}

// issue makes a token. p.mu is held.
func (p *walkPBX) issue(account string) *pbx.Token {
	if p.single {
		p.dropAll(account)
	}
	p.serial++
	value := fmt.Sprintf("%s/%s/%d", p.host, account, p.serial)
	t := &pbx.Token{Value: pbx.NewSecret(value), IssuedAt: time.Now()}
	state := &walkToken{account: account}
	if p.life > 0 {
		t.ExpiresAt = t.IssuedAt.Add(p.life)
		state.ends = t.ExpiresAt
	}
	if p.kind == pbx.KeepAliveRefresh {
		t.Refresh = pbx.NewSecret(value + "/refresh")
	}
	p.tokens[value] = state
	return t
}

// walkDriver is a driver with one set of credentials.
type walkDriver struct {
	pbx     *walkPBX
	account string
	right   bool
}

func (d *walkDriver) Traits() pbx.Traits {
	return pbx.Traits{URL: "https://" + d.pbx.host, Account: d.account, KeepAlive: d.pbx.kind,
		Lockout: pbx.Lockout{Attempts: 5, Window: 10 * time.Minute, Memory: 24 * time.Hour, DeadTokens: pbx.DeadTokensIgnored}}
}

func (d *walkDriver) Fingerprint(context.Context, []byte) ([]byte, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %v", d.account, d.right))
	return sum[:], nil
}

func (d *walkDriver) Login(ctx context.Context) (t *pbx.Token, err error) {
	p := d.pbx
	err = p.request(ctx, pbx.OpLogin, func() error {
		now := time.Now()
		for len(p.bad) > 0 && now.Sub(p.bad[0]) > 24*time.Hour {
			p.bad = p.bad[1:]
		}
		if len(p.bad) >= 5 {
			p.faults = append(p.faults, "a login came while this client was locked")
			return &pbx.Error{Driver: "walk", Op: pbx.OpLogin, Kind: pbx.ErrLocked, Sent: true}
		}
		if !d.right {
			p.bad = append(p.bad, now)
			return &pbx.Error{Driver: "walk", Op: pbx.OpLogin, Kind: pbx.ErrInvalidCredentials, Sent: true}
		}
		t = p.issue(d.account)
		return nil
	})
	if err != nil {
		t = nil
	}
	return t, err
}

func (d *walkDriver) KeepAlive(ctx context.Context, old *pbx.Token) (t *pbx.Token, err error) {
	p := d.pbx
	if p.kind == pbx.KeepAliveNone {
		return nil, &pbx.Error{Driver: "walk", Op: pbx.OpKeepAlive, Kind: pbx.ErrNotSupported}
	}
	err = p.request(ctx, pbx.OpKeepAlive, func() error {
		value := old.Value.Reveal()
		state, err := p.known(pbx.OpKeepAlive, value)
		if p.kind == pbx.KeepAliveRefresh {
			if state = p.tokens[value]; state == nil { // an expired one can be refreshed
				return err
			}
			delete(p.tokens, value)
			t = p.issue(state.account)
			return nil
		}
		if err != nil {
			return err
		}
		t = &pbx.Token{Value: old.Value, IssuedAt: time.Now()}
		if p.life > 0 {
			t.ExpiresAt = t.IssuedAt.Add(p.life)
			state.ends = t.ExpiresAt
		}
		return nil
	})
	if err != nil {
		t = nil
	}
	return t, err
}

func (d *walkDriver) Ping(ctx context.Context, t *pbx.Token) error {
	return d.pbx.request(ctx, pbx.OpPing, func() error {
		_, err := d.pbx.known(pbx.OpPing, t.Value.Reveal())
		return err
	})
}

func (d *walkDriver) Logout(ctx context.Context, t *pbx.Token) error {
	return d.pbx.request(ctx, pbx.OpLogout, func() error {
		if _, err := d.pbx.known(pbx.OpLogout, t.Value.Reveal()); err != nil {
			return err
		}
		delete(d.pbx.tokens, t.Value.Reveal())
		return nil
	})
}

func (d *walkDriver) Authorize(r *http.Request, t *pbx.Token) error {
	r.Header.Set("Authorization", t.Value.Reveal())
	return nil
}

func (d *walkDriver) Inspect(r *http.Response, _ []byte, _ *pbx.Token) error {
	switch {
	case r.StatusCode == http.StatusUnauthorized:
		return told(pbx.OpRequest, pbx.ErrTokenRejected, true)
	case r.StatusCode >= http.StatusInternalServerError:
		return told(pbx.OpRequest, pbx.ErrUnavailable, true)
	}
	return nil
}

// Transport serves the application's requests, and those without a token.
func (d *walkDriver) Transport() http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		status := http.StatusOK
		err := d.pbx.request(r.Context(), pbx.OpRequest, func() error {
			value := r.Header.Get("Authorization")
			if value == "" {
				return nil
			}
			if _, err := d.pbx.known(pbx.OpRequest, value); err != nil {
				status = http.StatusUnauthorized
			}
			return nil
		})
		var failure *pbx.Error
		if errors.As(err, &failure) {
			if failure.HTTPStatus == 0 {
				return nil, err
			}
			status = failure.HTTPStatus
		}
		return answer(r, status, ""), nil
	})
}
