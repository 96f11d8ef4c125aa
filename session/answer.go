package session

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/lockout"
)

// answer says what a decision of the ledger means for a session. h.mu is held.
func (h *host) answer(g lockout.Login, d lockout.Decision, now time.Time) answer {
	a := answer{verdict: waitEvent, until: h.here(d.Until, now), state: Connecting}
	if d.Verdict == lockout.WaitPerson {
		a.verdict = person
	}
	wait := max(d.Until.Sub(now), 0)
	fault := func(kind error, message string) {
		a.err = &pbx.Error{Op: pbx.OpLogin, Kind: kind, Message: "not sent: " + message, RetryAfter: wait}
	}
	switch d.Reason {
	case lockout.PasswordRefused:
		a.state = Rejected
		fault(pbx.ErrInvalidCredentials, "the PBX refused these credentials at "+h.clock(d.Since, now)+"; correct them, or retry if they are right by now (Session.Retry)")
	case lockout.MayBeLocked:
		a.state, a.holder = Locked, LockedByPBX
		fault(pbx.ErrLocked, "the PBX refused credentials that worked shortly before, so it may have locked this client; one more login follows")
	case lockout.LockedByPBX:
		a.state, a.holder, a.err = Locked, LockedByPBX, lockedByPBX(pbx.OpLogin, wait)
	case lockout.NoPlace:
		if d.Verdict == lockout.WaitEvent {
			break // what is under way decides
		}
		a.state, a.holder = Locked, LockedByBudget
		fault(pbx.ErrLocked, h.noPlace(g, d, now))
	case lockout.RetriedJustNow:
		fault(pbx.ErrUnavailable, d.Reason.String())
	case lockout.AccountPaused, lockout.Pause:
		a.state = Unavailable
		fault(pbx.ErrUnavailable, d.Reason.String())
	case lockout.NoEvidence:
		c := h.checks[g.URL]
		a.checking = c != nil && !c.failed && !h.local.NextCheck(g.URL).After(now)
		switch {
		case !h.local.InDoubt().IsZero():
			a.state = Unavailable
			fault(pbx.ErrUnavailable, "the PBX did not respond to the last login; "+d.Reason.String())
		case c != nil && c.failed:
			a.state = Unavailable
			fault(pbx.ErrUnavailable, "the PBX does not respond; "+d.Reason.String())
		}
	}
	return a
}

// lockedByPBX is the error of a request that is not sent because of the PBX's own
// lock.
func lockedByPBX(op pbx.Op, wait time.Duration) error {
	return &pbx.Error{Op: op, Kind: pbx.ErrLocked, Message: "not sent: the PBX has locked this client", RetryAfter: wait}
}

// noPlace says whose logins used the places of the budget, and what to do.
func (h *host) noPlace(g lockout.Login, d lockout.Decision, now time.Time) string {
	const most = 5
	var used []string
	for i, u := range d.Used {
		if i == most {
			used = append(used, fmt.Sprintf("and %d more", len(d.Used)-most))
			break
		}
		used = append(used, fmt.Sprintf("%s (%s, %s)", cmp.Or(u.Account, "an account of "+cmp.Or(u.URL, "this driver")), u.What, h.clock(u.Since, now)))
	}
	host, forgive := h.name, fmt.Sprintf("call Guard.Forgive(%q)", h.name)
	if host == "" { // no other session shares this budget
		host, forgive = "the PBX", "make this session anew (Guard.Forgive needs a driver that states its URL)"
	}
	why := "one more wrong login could make"
	if g.Early {
		why = "the renewal waits for the token's expiry, because a few more wrong logins could make"
	}
	forgets := "The PBX forgets them in time. To log in sooner"
	if g.Limits.Memory == pbx.Forever || d.Verdict == lockout.WaitPerson {
		forgets = "The PBX does not forget them by itself"
	}
	return fmt.Sprintf("%s %s lock this client. The logins that it may have counted are of %s. Correct these accounts. %s: clear its list of blocked addresses, then %s",
		why, host, strings.Join(used, ", "), forgets, forgive)
}

// clock writes a time of the ledger for people.
func (h *host) clock(t, now time.Time) string { return h.here(t, now).Format(time.RFC3339) }
