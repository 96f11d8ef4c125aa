package pbxsim

import (
	"cmp"
	"slices"
	"time"
)

// A Lockout is how a PBX defends itself against guessed passwords. A zero field
// means the dialect's default: what its vendor documents, read literally. Where
// neither says anything, a lock lasts ten minutes, wrong logins are counted per
// address and never forgotten, a good login clears nothing, and the lock is
// stated and concerns logins only.
//
// The login that fills the count is still judged as a wrong one. A lock takes
// the wrong logins that caused it out of the count, so when it ends the count
// starts anew. Logins under a lock are not judged, whatever the password, and
// do not count.
type Lockout struct {
	// After is the number of wrong logins that lock. Negative: never.
	After int

	// For is how long a lock lasts. Negative: until [PBX.Unlock].
	For time.Duration

	// Memory says for how long a wrong login counts.
	Memory Memory

	// Window is that of SlidingWindow and ClockWindow. 0 means For, or ten
	// minutes where a lock never ends.
	Window time.Duration

	// UntilWindowEnds makes a lock end with the ClockWindow in which it began,
	// instead of after For.
	UntilWindowEnds bool

	// Per says whose wrong logins are counted together and whom a lock stops:
	// an Address, an Account, or AddressAndAccount.
	Per Scope

	// Reset says whose wrong logins a good login clears: those of its Address,
	// of its Account, of its AddressAndAccount, or of Nothing.
	Reset Scope

	// DeadTokens makes every token that is refused count as a wrong login of the
	// account that it was issued to. An invented one is nobody's, and counts
	// where addresses are counted.
	DeadTokens bool

	// Prolong starts a lock's time anew at each login that it refuses.
	Prolong bool

	// Weight is how much one wrong login counts. It is 2 for fail2ban with an
	// Asterisk that logs security events, because two lines match its filter.
	Weight int

	// Covers says what a lock stops.
	Covers Coverage

	// Response says what a client sees of a lock.
	Response LockResponse
}

// Memory says for how long a wrong login counts.
type Memory int

const (
	Forever       Memory = iota + 1 // "in a row": time clears nothing
	SlidingWindow                   // as long as it is younger than Lockout.Window
	ClockWindow                     // to the end of a window that began at a multiple of Lockout.Window
)

// A Scope is a part of the logins that a PBX sees.
type Scope int

const (
	Nothing           Scope = iota + 1
	Address                 // all logins from one IP address
	Account                 // all logins with one user name
	AddressAndAccount       // the logins from one IP address with one user name
)

// Coverage says which requests a lock stops.
type Coverage int

const (
	LoginsOnly Coverage = iota + 1
	Everything          // tokens as well; where the lock is Mute or ResetConnection and an address's, every connection
)

// LockResponse says what a client sees of a lock.
type LockResponse int

const (
	Stated          LockResponse = iota + 1 // the brand's words for a lock
	Mute                                    // no response, as from a firewall that drops
	ResetConnection                         // as from a firewall that rejects
	LooksWrong                              // the words for a wrong password, or for a dead token
)

var lockoutDefaults = Lockout{
	For: 10 * time.Minute, Memory: Forever, Per: Address, Reset: Nothing,
	Weight: 1, Covers: LoginsOnly, Response: Stated,
}

// or returns l with its zero fields taken from def.
func (l Lockout) or(def Lockout) Lockout {
	return Lockout{
		After:      cmp.Or(l.After, def.After),
		For:        cmp.Or(l.For, def.For),
		Memory:     cmp.Or(l.Memory, def.Memory),
		Window:     cmp.Or(l.Window, def.Window),
		Per:        cmp.Or(l.Per, def.Per),
		Reset:      cmp.Or(l.Reset, def.Reset),
		DeadTokens: l.DeadTokens || def.DeadTokens,
		Prolong:    l.Prolong || def.Prolong,
		Weight:     cmp.Or(l.Weight, def.Weight),
		Covers:     cmp.Or(l.Covers, def.Covers),
		Response:   cmp.Or(l.Response, def.Response),

		UntilWindowEnds: l.UntilWindowEnds || def.UntilWindowEnds,
	}
}

// check returns what is wrong with l, or "".
func (l Lockout) check() string {
	switch {
	case l.Per == Nothing:
		return "Lockout.Per is Nothing: set Address, Account or AddressAndAccount, or After to -1"
	case l.Weight < 0 || l.Window < 0:
		return "Lockout.Weight and Lockout.Window must not be negative"
	}
	return ""
}

// A Lock is one that has begun.
type Lock struct {
	Address string // "" where the lock is an account's
	Account string // "" where the lock is an address's
	At      time.Time
	Until   time.Time // as it was when the lock began; the zero time: until Unlock

	// By is the login, or the dead token, that filled the count: its address and
	// user name. Both are empty for a lock by [PBX.Lock] or [PBX.LockAccount].
	ByAddress, ByAccount string
}

// A lockKey says whom a lock stops. An empty field stops all.
type lockKey struct{ address, account string }

type wrongLogin struct {
	lockKey
	at time.Time
}

// lockouts is what a PBX holds against its clients. It knows no clock and has no
// mutex.
type lockouts struct {
	rules Lockout
	wrong []wrongLogin          // those that count, a dead token included
	until map[lockKey]time.Time // of locks; the zero time: it never ends
}

func newLockouts(rules Lockout) *lockouts {
	return &lockouts{rules: rules, until: make(map[lockKey]time.Time)}
}

// scoped returns what scope leaves of who.
func (s Scope) scoped(who lockKey) lockKey {
	switch s {
	case Address:
		who.account = ""
	case Account:
		who.address = ""
	}
	return who
}

// stops reports whether a lock of k concerns who.
func (k lockKey) stops(who lockKey) bool {
	return (k.address == "" || k.address == who.address) && (k.account == "" || k.account == who.account)
}

// lockedUntil returns when the last lock that stops who ends; the zero time: never.
func (s *lockouts) lockedUntil(who lockKey, now time.Time) (until time.Time, locked bool) {
	for k, end := range s.until {
		switch {
		case !end.IsZero() && !now.Before(end):
			delete(s.until, k)
		case !k.stops(who):
		case end.IsZero():
			return end, true
		case end.After(until):
			until, locked = end, true
		}
	}
	return until, locked
}

// lock locks k and returns until when.
func (s *lockouts) lock(k lockKey, now time.Time) time.Time {
	var end time.Time
	switch {
	case s.rules.UntilWindowEnds && s.rules.Memory == ClockWindow:
		end = now.Truncate(s.rules.window()).Add(s.rules.window())
	case s.rules.For > 0:
		end = now.Add(s.rules.For)
	}
	s.until[k] = end
	s.forget(k)
	return end
}

// forget takes the wrong logins that k stops out of the count.
func (s *lockouts) forget(k lockKey) {
	s.wrong = slices.DeleteFunc(s.wrong, func(w wrongLogin) bool { return k.stops(w.lockKey) })
}

// unlock ends the locks of k and of its parts, and forgets its wrong logins.
func (s *lockouts) unlock(k lockKey) {
	for locked := range s.until {
		if k.stops(locked) {
			delete(s.until, locked)
		}
	}
	s.forget(k)
}

// refused is a login under a lock.
func (s *lockouts) refused(who lockKey, now time.Time) {
	if !s.rules.Prolong || s.rules.For < 0 {
		return
	}
	for k, end := range s.until {
		if k.stops(who) && !end.IsZero() {
			s.until[k] = now.Add(s.rules.For)
		}
	}
}

// succeeded is a good login.
func (s *lockouts) succeeded(who lockKey) {
	if s.rules.Reset != Nothing {
		s.forget(s.rules.Reset.scoped(who))
	}
}

// failed is a wrong login, or a dead token that counts as one. It returns the
// lock that begins with it.
func (s *lockouts) failed(who lockKey, now time.Time) (begun Lock, locks bool) {
	key := s.rules.Per.scoped(who)
	if s.rules.After <= 0 || key == (lockKey{}) || s.rules.Per != Address && who.account == "" {
		return Lock{}, false
	}
	s.wrong = slices.DeleteFunc(s.wrong, func(w wrongLogin) bool { return s.forgotten(w.at, now) })
	for range s.rules.Weight {
		s.wrong = append(s.wrong, wrongLogin{who, now})
	}
	count := 0
	for _, w := range s.wrong {
		if key.stops(w.lockKey) {
			count++
		}
	}
	if count < s.rules.After {
		return Lock{}, false
	}
	end := s.lock(key, now)
	return Lock{
		Address: key.address, Account: key.account, At: now, Until: end,
		ByAddress: who.address, ByAccount: who.account,
	}, true
}

// window is that of SlidingWindow and ClockWindow.
func (l Lockout) window() time.Duration {
	switch {
	case l.Window > 0:
		return l.Window
	case l.For > 0:
		return l.For
	}
	return lockoutDefaults.For
}

// forgotten reports whether a wrong login no longer counts.
func (s *lockouts) forgotten(at, now time.Time) bool {
	window := s.rules.window()
	switch s.rules.Memory {
	case SlidingWindow:
		return now.Sub(at) >= window
	case ClockWindow:
		return !now.Truncate(window).Equal(at.Truncate(window))
	}
	return false
}

// Lock locks an IP address, as when somebody else behind it has typed wrong
// passwords.
func (p *PBX) Lock(address string) { p.lockNow(lockKey{address: address}) }

// LockAccount locks an account, as when somebody else has typed wrong passwords
// for it.
func (p *PBX) LockAccount(user string) { p.lockNow(lockKey{account: user}) }

func (p *PBX) lockNow(k lockKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.begun(Lock{Address: k.address, Account: k.account, At: now, Until: p.lockouts.lock(k, now)})
}

// begun counts a lock. p.mu is held.
func (p *PBX) begun(l Lock) {
	p.tally(cmp.Or(l.ByAccount, l.Account), func(c *Counts) { c.Locks++ })
	p.locks = append(p.locks, l)
}

// Locks returns all locks that have begun, the oldest first.
func (p *PBX) Locks() []Lock {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.locks)
}

// Unlock ends the lock of an IP address and forgets the wrong logins from it, as
// a person does in the PBX's web interface.
func (p *PBX) Unlock(address string) { p.unlockNow(lockKey{address: address}) }

// UnlockAccount ends the lock of an account and forgets its wrong logins.
func (p *PBX) UnlockAccount(user string) { p.unlockNow(lockKey{account: user}) }

func (p *PBX) unlockNow(k lockKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lockouts.unlock(k)
}

// Locked reports whether an IP address is locked, and until when. The zero time
// means until [PBX.Unlock].
func (p *PBX) Locked(address string) (until time.Time, locked bool) {
	return p.lockedNow(lockKey{address: address})
}

// LockedAccount reports whether logins with a user name are locked from an IP
// address, and until when: by a lock of the address, of the account, or of both
// together.
func (p *PBX) LockedAccount(address, user string) (until time.Time, locked bool) {
	return p.lockedNow(lockKey{address, user})
}

func (p *PBX) lockedNow(who lockKey) (until time.Time, locked bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lockouts.lockedUntil(who, time.Now())
}

// wrong counts a wrong login or a dead token. p.mu is held.
func (p *PBX) wrong(who lockKey, now time.Time) {
	if lock, locks := p.lockouts.failed(who, now); locks {
		p.begun(lock)
	}
}

// underLock returns the verdict on a request that a lock stops, and notes what
// the client is to see of it. p.mu is held.
func (p *PBX) underLock(r *Request, user string, until time.Time, looksLike Verdict) Verdict {
	r.judge(user, Locked)
	if p.lockouts.rules.Response == LooksWrong {
		return looksLike
	}
	if r.judgement != nil {
		r.judgement.response, r.judgement.until = p.lockouts.rules.Response, until
	}
	return Locked
}

// loginUnderLock counts a login that a lock refuses. p.mu is held.
func (p *PBX) loginUnderLock(who lockKey, now time.Time) {
	p.tally(who.account, func(c *Counts) { c.LockedLogins++ })
	p.lockouts.refused(who, now)
}

// tokenUnderLock reports whether a lock stops the token of a user too. p.mu is held.
func (p *PBX) tokenUnderLock(r *Request, user string, now time.Time) (until time.Time, stopped bool) {
	if p.lockouts.rules.Covers != Everything {
		return time.Time{}, false
	}
	return p.lockouts.lockedUntil(lockKey{r.From, user}, now)
}

// barred reports whether a lock keeps r from the dialect altogether, and how:
// a mute or resetting lock of an address that covers everything.
func (p *PBX) barred(r *Request) (LockResponse, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rules, now := p.lockouts.rules, time.Now()
	if rules.Covers != Everything || rules.Response != Mute && rules.Response != ResetConnection {
		return 0, false
	}
	who := lockKey{address: r.From}
	if _, locked := p.lockouts.lockedUntil(who, now); !locked {
		return 0, false
	}
	if r.Action == Login {
		p.loginUnderLock(who, now)
	}
	r.judge("", Locked)
	return rules.Response, true
}
