package pbxsim

import (
	"slices"
	"time"
)

// A caller is what the PBX holds against one IP address.
type caller struct {
	wrong []time.Time // wrong logins since the last good one
	until time.Time   // locked until then
}

// Lock locks an IP address, as wrong logins would, for Options.LockoutFor.
func (p *PBX) Lock(ip string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.callers[ip] = &caller{until: time.Now().Add(p.opts.LockoutFor)}
}

// Unlock lifts the lock from an IP address, and forgets its wrong logins.
func (p *PBX) Unlock(ip string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.callers, ip)
}

// Locked tells whether an IP address is locked, and until when.
func (p *PBX) Locked(ip string) (until time.Time, locked bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.locked(ip, time.Now())
}

// locked is Locked for a caller that holds p.mu.
func (p *PBX) locked(ip string, now time.Time) (until time.Time, locked bool) {
	c := p.callers[ip]
	if c == nil || !now.Before(c.until) {
		return time.Time{}, false
	}
	return c.until, true
}

// countWrong holds a wrong login against ip. A lock is not extended by what is
// tried under it, and the login that fills the count is itself still answered
// as a wrong one. The caller holds p.mu.
func (p *PBX) countWrong(ip string, now time.Time) {
	if _, locked := p.locked(ip, now); locked || p.opts.LockoutAfter <= 0 {
		return
	}
	c := p.callers[ip]
	if c == nil {
		c = new(caller)
		p.callers[ip] = c
	}
	c.wrong = slices.DeleteFunc(c.wrong, func(at time.Time) bool {
		return now.Sub(at) >= p.opts.LockoutFor
	})
	c.wrong = append(c.wrong, now)
	if len(c.wrong) >= p.opts.LockoutAfter {
		*c = caller{until: now.Add(p.opts.LockoutFor)}
	}
}
