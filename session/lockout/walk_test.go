package lockout_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/internal/fewgc"
	"github.com/pbxauth/pbx/internal/thorough"
	"github.com/pbxauth/pbx/session/lockout"
)

var (
	walkSteps  = flag.Int("walk.steps", 0, "steps of the random walk for each model and seed (default 4,000; 10,000 with PBX_TESTS=all; 2,000 with -short or -race)")
	walkModels = flag.Int("walk.models", 0, "models beyond those that hold every pair of values, chosen at random")
	walkSeed   = flag.Uint64("walk.seed", 0, "the random seed (default: the time; it is printed)")
)

// setting is one world of the walk: a model, and how many processes share which
// kind of store.
type setting struct {
	model
	replicas  int
	forgetful bool // the store forgets, and no process is killed; else the reverse
	accounts  int
	noGet     bool // checks always get HTTP 500
}

// dimensions are the values of a setting, for pairs.
var dimensions = [...]struct {
	values int
	set    func(*setting, int)
}{
	{5, func(s *setting, v int) { s.attempts = []int{5, 3, 4, 8, 2}[v] }},
	{3, func(s *setting, v int) { s.count = []string{"row", "sliding", "aligned"}[v] }},
	{3, func(s *setting, v int) { s.memory = []time.Duration{10 * time.Minute, time.Hour, 24 * time.Hour}[v] }},
	{3, func(s *setting, v int) { s.scope = []string{"address", "account", "pair"}[v] }},
	{3, func(s *setting, v int) { s.reset = []string{"nothing", "account", "address"}[v] }},
	{2, func(s *setting, v int) { s.dead = v == 1 }},
	{2, func(s *setting, v int) { s.restart = v == 1 }},
	{2, func(s *setting, v int) { s.prolong = v == 1 }},
	{2, func(s *setting, v int) { s.double = v == 1 }},
	{2, func(s *setting, v int) { s.covers = []string{"logins", "all"}[v] }},
	{4, func(s *setting, v int) { s.look = []string{"stated", "mute", "reset", "wrong"}[v] }},
	{2, func(s *setting, v int) { s.window = []time.Duration{10 * time.Minute, 3 * time.Minute}[v] }},
	{2, func(s *setting, v int) { s.understate = v == 1 }},
	{2, func(s *setting, v int) { s.replicas = v + 1 }},
	{2, func(s *setting, v int) { s.forgetful = v == 1 }},
	{2, func(s *setting, v int) { s.accounts = []int{3, 9}[v] }},
}

type values [len(dimensions)]int

func (v values) setting() setting {
	var s setting
	for i, d := range dimensions {
		d.set(&s, v[i])
	}
	if s.double {
		s.attempts = 2*s.attempts - 1 // the limit of the PBX counts twice as well
	}
	return s
}

// allPairs returns settings that together hold every pair of values.
func allPairs() []setting {
	type pair struct{ i, vi, j, vj int }
	missing := map[pair]bool{}
	for i := range dimensions {
		for j := range i {
			for vi := range dimensions[i].values {
				for vj := range dimensions[j].values {
					missing[pair{i, vi, j, vj}] = true
				}
			}
		}
	}
	rng := rand.New(rand.NewPCG(7, 7))
	covered := func(v values) (n int) {
		for i := range dimensions {
			for j := range i {
				if missing[pair{i, v[i], j, v[j]}] {
					n++
				}
			}
		}
		return n
	}
	var all []setting
	for len(missing) > 0 {
		var best values
		bestN := -1
		for range 200 {
			if v := randomValues(rng); covered(v) > bestN {
				best, bestN = v, covered(v)
			}
		}
		if bestN == 0 {
			continue
		}
		for i := range dimensions {
			for j := range i {
				delete(missing, pair{i, best[i], j, best[j]})
			}
		}
		all = append(all, best.setting())
	}
	return all
}

func randomValues(rng *rand.Rand) (v values) {
	for i, d := range dimensions {
		v[i] = rng.IntN(d.values)
	}
	return v
}

func TestRandomWalk(t *testing.T) {
	steps := *walkSteps
	if steps == 0 {
		steps = 4_000
		if thorough.Tests() {
			steps = 10_000
		}
		if testing.Short() || lockout.RaceBuild {
			steps = 2_000
		}
	}
	seed := *walkSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	settings := allPairs()
	rng := rand.New(rand.NewPCG(seed, 1))
	for range *walkModels {
		settings = append(settings, randomValues(rng).setting())
	}
	t.Logf("%d models, %d steps for each of two seeds: 1 and %d", len(settings), steps, seed)
	var total walkCounts
	for i, s := range settings {
		for _, seed := range []uint64{1, seed} {
			total.add(walk(t, s, rand.New(rand.NewPCG(seed, uint64(i))), steps))
		}
	}
	t.Logf("%+v", total)
	if total.late*1000 > total.checks {
		t.Errorf("%d of %d sessions that worked before were live too late", total.late, total.checks)
	}
	if total.checks == 0 || total.inTime*10 < total.checks*8 {
		t.Errorf("of %d sessions that worked before, only %d were live in time without a person", total.checks, total.inTime)
	}
}

// The rules hold where checks always get HTTP 500 too, but an account may wait for the
// hours that such checks take to be ignored.
func TestRandomWalkWhereChecksAlwaysFail(t *testing.T) {
	steps, most := cmp.Or(*walkSteps, 4_000), 2 // of ten sessions, that may be late
	if testing.Short() || lockout.RaceBuild {
		steps, most = steps/4, 4 // in so few steps, a wait of hours weighs more
	}
	seed := cmp.Or(*walkSeed, uint64(time.Now().UnixNano()))
	t.Logf("%d steps, seed %d", steps, seed)
	var total walkCounts
	for i, s := range allPairs() {
		s.noGet = true
		total.add(walk(t, s, rand.New(rand.NewPCG(seed, uint64(i))), steps))
	}
	t.Logf("%+v", total)
	if total.checks == 0 || total.inTime*10 < total.checks*(10-most) {
		t.Errorf("of %d sessions that worked before, only %d were live in time without a person", total.checks, total.inTime)
	}
}

type walkCounts struct {
	steps, wrongLogins, restarts, deadTokens  int
	checks, inTime, afterLock, person, unlock int
	secondInRow                               int
	lockedByDeadTokens                        int
	late                                      int
}

func (c *walkCounts) add(o walkCounts) {
	c.steps += o.steps
	c.wrongLogins += o.wrongLogins
	c.restarts += o.restarts
	c.deadTokens += o.deadTokens
	c.checks += o.checks
	c.inTime += o.inTime
	c.afterLock += o.afterLock
	c.person += o.person
	c.unlock += o.unlock
	c.secondInRow += o.secondInRow
	c.lockedByDeadTokens += o.lockedByDeadTokens
	c.late += o.late
}

// walker is a world in which things happen at random.
type walker struct {
	*world
	setting
	counts walkCounts
	faults int // since all were live, that may cost an unclear login
}

func walk(t *testing.T, s setting, rng *rand.Rand, steps int) walkCounts {
	w := &walker{world: newWorld(t, s.model), setting: s}
	w.rng, w.world.noGet = rng, s.noGet
	for range s.replicas - 1 {
		w.process("other")
	}
	for i := range s.accounts {
		account := fmt.Sprintf("account-%d", i)
		w.pbx().passwords[account] = 1
		w.add(account, 1).process = w.processes[i%s.replicas]
	}
	w.add("account-0", 1) // a second session of the same account
	w.run(time.Minute)
	for w.steps < steps {
		w.round()
	}
	w.counts.steps = w.steps
	w.counts.wrongLogins, w.counts.restarts, w.counts.deadTokens = w.pbx().wrongLogins, w.pbx().restarts, w.pbx().deadTokens
	w.counts.lockedByDeadTokens = w.pbx().causedByDead
	return w.counts
}

func (w *walker) pick(n int) int { return w.rng.IntN(n) }

// span is a duration between least and most, short ones as often as long ones.
func (w *walker) span(least, most time.Duration) time.Duration {
	d := least
	for d < most && w.pick(3) > 0 {
		d *= 2
	}
	return min(d+time.Duration(w.rng.Int64N(int64(d))), most)
}

func (w *walker) any() *session { return w.sessions[w.pick(len(w.sessions))] }

// round lets some things happen, ends all faults, and checks both promises.
func (w *walker) round() {
	most := 15 * time.Second
	start := w.now
	w.run(10 * time.Second) // responses lost in the last round are noticed now
	w.touchAll()
	for range 1 + w.pick(3) {
		allowed := w.trouble()

		if most = max(most, allowed); w.faults > 1 {
			// Two faults may cost one account two unclear logins. The last place is
			// then kept for after a lock.
			most = max(most, w.afterMuteLock())
		}
		w.run(w.span(20*time.Millisecond, time.Minute))
		w.touchAll()
		w.wantNoLock()
	}
	delete(w.path, theURL)
	for _, p := range w.processes {
		if p.stopped {
			w.boot(p)
		}
	}
	w.touchAll()
	w.wantProvenLive(max(most, 15*time.Second+min(w.now.Sub(start)/100, 5*time.Minute)))
	if w.pick(3) == 0 {
		w.people()
	}
	w.run(w.span(time.Second, 12*time.Hour))
	w.wantNoLock()
}

// trouble is one thing that goes wrong. It returns how long a session that
// worked before may then need.
func (w *walker) trouble() time.Duration {
	switch w.pick(12) {
	case 0, 1, 2:
		paths := []string{"refused", "reset", "mute", "502", "500", "lost", "sometimes lost", "reset after", "slow"}
		path := paths[w.pick(len(paths))]
		w.path[theURL] = path
		w.logf("path: %s", path)
		w.faults++
		if w.pick(2) == 0 {
			w.reboot()
		}
		for range w.pick(3) {
			if s := w.any(); s.token != 0 {
				w.drop(s)
			}
		}
		outage := w.span(2*time.Second, 2*time.Hour)
		w.run(outage)
		if w.pick(2) == 0 {
			delete(w.path, theURL)
			w.logf("path: good")
		}
		switch path {
		case "lost", "sometimes lost", "reset after", "slow":
			w.faults++ // checks succeed, so that a second login is lost as well
			return w.afterMuteLock()
		}
		return 15*time.Second + min(outage/100, 5*time.Minute)
	case 3:
		w.reboot()
	case 4:
		if w.forgetful {
			w.forget()
			break
		}
		p := w.processes[w.pick(len(w.processes))]
		w.logf("%s is killed", p.name)
		w.faults++
		w.kill(p)
		w.run(w.span(10*time.Millisecond, time.Minute))
		w.boot(p)
		return w.overdue()
	case 5, 6:
		w.changePassword(w.any().account)
	case 7:
		w.people()
	case 8:
		account := fmt.Sprintf("new-%d", w.pick(5))
		if w.pbx().passwords[account] == 0 {
			w.pbx().passwords[account] = 1
		}
		w.logf("a session for %s with a wrong password", account)
		s := w.add(account, 1000+w.pick(1000))
		s.process = w.processes[w.pick(len(w.processes))]
		if len(w.sessions) > w.accounts+6 {
			w.sessions = append(w.sessions[:w.accounts+1], w.sessions[w.accounts+2:]...)
		}
	case 9:
		for range 3 {
			w.retry(w.any())
			w.run(w.span(time.Second, time.Minute))
		}
	case 11:
		w.reboot()
		before := w.pbx().deadTokens
		w.touchInTurn()
		// One more for each process where a token was refused shortly before.
		if n := w.pbx().deadTokens - before; n > 3*len(w.processes) && w.login(w.sessions[0]).Limits.DeadTokens != pbx.DeadTokensIgnored {
			w.fatalf("%d dead tokens were sent, one account after another", n)
		}
	case 10:
		if w.pick(4) > 0 {
			break
		}
		account := w.any().account
		w.logf("somebody locks %s", account)
		w.pbx().lock(w.now, account)
		if w.pick(2) == 0 {
			w.reboot()
		}
	}
	return 0
}

// keepsLastPlace reports whether a session waits for a person because checks always fail.
func (w *walker) keepsLastPlace(s *session) bool {
	return w.setting.noGet && s.decision.Reason == lockout.NoEvidence && s.process.local.FailsLong(s.url, w.now)
}

// overdue is how long a proven account may wait for the login of a process that
// was killed.
func (w *walker) overdue() time.Duration { return 31 * time.Second }

// afterMuteLock is how long a proven account may wait where a mute lock cannot be
// told from lost responses.
func (w *walker) afterMuteLock() time.Duration {
	return lockout.Resolve(w.stated(), 0).Window + 3*time.Minute
}

func (w *walker) reboot() {
	w.logf("the PBX restarts")
	w.faults++ // a login in flight is lost
	w.pbx().reboot()
}

// forget brings back what the store held two seconds ago, or nothing. The
// processes hear of it, as from a store's Watch, and put back what they know.
func (w *walker) forget() {
	old, after := lockout.Host{}, time.Duration(0)
	if w.pick(3) > 0 {
		old, after = w.store.Clone(), 2*time.Second
	}
	w.after(after, func() {
		w.logf("the store forgets the last %v", after)
		w.store = old
		for _, p := range w.processes {
			w.save(p, w.load(p))
		}
	})
}

// changePassword changes it at the PBX. People follow in the CRM, sooner or later.
func (w *walker) changePassword(account string) {
	p := w.pbx()
	p.passwords[account]++
	version := p.passwords[account]
	w.logf("%s has password %d now", account, version)
	for token, of := range p.tokens {
		if of == account {
			delete(p.tokens, token)
		}
	}
	w.after(w.span(time.Minute, 3*time.Hour), func() { w.follow(account) })
}

func (w *walker) follow(account string) {
	for _, s := range w.sessions {
		if s.account == account && s.token == 0 && !s.flying {
			w.correct(s, w.pbx().passwords[account])
		}
	}
}

// people look at what waits for them. They correct passwords, retry without
// looking, mistype, and unlock the PBX.
func (w *walker) people() {
	for _, s := range w.sessions {
		if s.token != 0 || s.flying || s.decision.Verdict != lockout.WaitPerson && !w.keepsLastPlace(s) {
			continue
		}
		switch w.pick(4) {
		case 0:
			w.retry(s)
		case 1:
			w.correct(s, 1000+w.pick(1000))
		case 2:
			w.correct(s, w.pbx().passwords[s.account])
		}
	}
	for _, s := range w.sessions {
		if s.decision.Reason == lockout.NoPlace && s.token == 0 && w.pick(2) == 0 {
			w.logf("a person unlocks the PBX")
			w.counts.unlock++
			w.forgive()
			return
		}
	}
}

// wantProvenLive waits until the sessions are live whose credentials worked
// before and are still right. Each may wait for most, for the end of a lock that
// somebody else caused, or for a person.
func (w *walker) wantProvenLive(most time.Duration) {
	var proven []*session
	for _, s := range w.sessions {
		if s.worked == s.password && s.password == w.pbx().passwords[s.account] {
			proven = append(proven, s)
		}
	}
	start, step := w.now, 500*time.Millisecond
	if w.setting.noGet {
		most, step = most+73*time.Hour, 10*time.Second
	}
	wait := func(most time.Duration) {
		for start := w.now; w.now.Sub(start) < most && !w.allLive(proven); {
			w.run(step)
			w.touchAll() // a dead token is noticed when it is used
		}
	}
	wait(most)
	if slices.ContainsFunc(proven, func(s *session) bool { return s.flying }) {
		wait(10 * time.Second) // for its response
	}
	for _, s := range proven {
		if d := s.decision; !w.isLive(s) && d.Reason == lockout.Pause && d.Until.Sub(w.now) <= 30*time.Second {
			// An unclear login of the round before, without a verdict since, began
			// the row of unclear outcomes.
			w.counts.secondInRow++
			wait(35 * time.Second)
			break
		}
	}
	if w.look == "wrong" {
		wait(15 * time.Second) // what looked like a lock may have ended just now
	}
	took := w.now.Sub(start)
	recovery := 5 * time.Minute
	if w.look == "mute" || w.look == "reset" {
		recovery = w.afterMuteLock() // after the last login that met the lock
	}
	paused := func(s *session) bool { return !w.isLive(s) && (s.flying || s.decision.Reason == lockout.Pause) }
	if w.allLive(proven) && !slices.ContainsFunc(w.sessions, paused) {
		w.faults = 0
	}
	locked := w.pbx().lockEnds.Add(recovery).After(w.now)
	for _, s := range proven {
		w.counts.checks++
		d := s.decision
		switch {
		case w.isLive(s):
			w.counts.inTime++
		case d.Reason == lockout.PasswordRefused && w.look == "wrong", d.Reason == lockout.NoPlace, w.keepsLastPlace(s):
			w.counts.person++
		case locked, d.Reason == lockout.MayBeLocked && w.look == "wrong" && d.Until.Sub(w.now) <= w.afterMuteLock():
			w.counts.afterLock++
		default:
			// Several faults in one round can add up to more than each allows.
			w.counts.late++
			wait(w.afterMuteLock())
			if d := s.decision; !w.isLive(s) && d.Verdict != lockout.WaitPerson {
				w.fatalf("%s worked before, and is not live %v after %v (waited %v): %v until %v, flying %v\n%+v", s.name, took, start, most, d.Reason, d.Until, s.flying, w.setting)
			}
		}
	}
}
