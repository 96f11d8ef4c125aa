package session

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/lockout"
)

// use waits until the visitor's token, which was issued at that time, may be used in a
// request. done has to be called after the request. A token is on trial for at most the
// timeout of a request. use costs one atomic load while nothing is wrong at the host, and
// little more for a token that was issued after one was refused.
func (h *host) use(ctx context.Context, v *visitor, issued time.Time) (done func(), err error) {
	if !h.asks(issued) {
		return func() {}, nil
	}
	url := v.traits.URL
	for {
		h.lock()
		now := h.now()
		if until := h.coveredUntil(v, now); !until.IsZero() {
			h.unlock()
			return nil, lockedByPBX(pbx.OpRequest, until.Sub(now))
		}
		var busy chan struct{}
		switch {
		case h.isUntold(url, issued, now):
			busy = h.told
		case h.local.OneTokenAtATime(url, h.issued(issued, now), now):
			busy = h.trial[url]
		default:
			h.unlock()
			return func() {}, nil
		}
		if busy == nil {
			h.try(url)
			h.unlock()
			end := sync.OnceFunc(func() { h.endTrial(url) })
			last := time.AfterFunc(v.timeout, end) // the request may have more time
			return func() { last.Stop(); end() }, nil
		}
		h.unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrUnavailable, Err: ctx.Err(),
				Message: "not sent: after a refused token, the PBX is asked with one token at a time"}
		}
	}
}

// try and tried begin and end the trial of a token. h.mu is held.
func (h *host) try(url string) {
	if h.trial == nil {
		h.trial = map[string]chan struct{}{}
	}
	h.trial[url] = make(chan struct{})
}

func (h *host) tried(url string) {
	if c := h.trial[url]; c != nil {
		close(c)
		delete(h.trial, url)
	}
}

// endTrial ends the trial of a token, and has those ask again that may go then.
func (h *host) endTrial(url string) {
	h.lock()
	h.tried(url)
	h.unlockAndAdvance(h.now())
}

// oneLogout waits until no other logout to the URL pings its token. sure: this token
// need not be pinged, because the PBX has just accepted one that is no newer, or because
// no other session has a token there. Where dead tokens count, each is pinged.
func (h *host) oneLogout(ctx context.Context, v *visitor, t *pbx.Token) (done func(), sure bool, err error) {
	url := v.traits.URL
	for {
		h.lock()
		if v.traits.brand().Lockout.DeadTokens != pbx.DeadTokensCount && (v.store == nil && h.isAlone(v) || h.isAlive(url, t)) {
			h.unlock()
			return func() {}, true, nil
		}
		busy := h.trial[url]
		if busy == nil {
			h.try(url)
			h.unlock()
			return func() { h.endTrial(url) }, false, nil
		}
		h.unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// lifeLasts is for how long an accepted token vouches for those issued since: the PBX may
// restart.
const lifeLasts = 2 * time.Second

// isAlive reports whether the PBX has just accepted a token that is no newer than t. h.mu
// is held.
func (h *host) isAlive(url string, t *pbx.Token) bool {
	k, now := h.life[url], h.now()
	return time.Since(k.sent) <= lifeLasts && !t.IssuedAt.Before(k.issued) &&
		!h.local.OneTokenAtATime(url, h.issued(t.IssuedAt, now), now)
}

// accepted reports that the PBX accepted a token in a request that was sent at that time.
func (h *host) accepted(v *visitor, issued, sent time.Time) {
	if h.asks(issued) {
		h.alive(v, issued, sent)
	}
}

// alive notes that the PBX accepted a token.
func (h *host) alive(v *visitor, issued, sent time.Time) {
	h.lock()
	if h.life == nil {
		h.life = map[string]life{}
	}
	if k := h.life[v.traits.URL]; time.Since(k.sent) > lifeLasts || issued.Before(k.issued) {
		h.life[v.traits.URL] = life{issued, sent}
	}
	now := h.now()
	h.local.TokenAccepted(v.traits.URL, h.issued(issued, now), now.Add(-time.Since(sent)), now)
	h.look(now)
	h.unlockAndAdvance(now)
}

// isSuspect reports whether a token is not to be sent any more.
func (h *host) isSuspect(v *visitor, t *pbx.Token) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.books == nil {
		return false
	}
	return h.ledger.Suspect(v.traits.URL, h.issued(t.IssuedAt, h.now()))
}

// mayBeLost reports whether the PBX may have lost a token, so that such tokens have to be
// used one at a time.
func (h *host) mayBeLost(v *visitor, t *pbx.Token) bool {
	if !h.asks(t.IssuedAt) {
		return false
	}
	h.lock()
	defer h.unlock()
	now := h.now()
	return h.local.OneTokenAtATime(v.traits.URL, h.issued(t.IssuedAt, now), now)
}

// allTold follows a refusal that made tokens suspect: the sessions know.
func (h *host) allTold() {
	h.lock()
	if h.tells--; h.tells == 0 {
		close(h.told)
		h.told = nil
	}
	now := h.now()
	h.look(now)
	h.unlockAndAdvance(now)
}

// refused notes that the PBX refused a living token, and returns what is lost.
func (h *host) refused(v *visitor, died deadToken) (all []lost) {
	g := h.login(v, died.print, time.Time{})
	if g.Limits.None || g.Limits.DeadTokens == pbx.DeadTokensIgnored {
		return nil
	}
	counts := g.Limits.DeadTokens == pbx.DeadTokensCount
	h.lock()
	defer h.unlock()
	if !counts && (v.store == nil && h.isAlone(v) || h.isReplaced(v)) {
		return nil // it says nothing about the tokens of others
	}
	now := h.now()
	r := h.refusal(v, died, now)
	if h.stored() && !h.ledger.Suspect(r.URL, r.Issued) {
		h.news = append(h.news, moved(r, -h.offset, -h.offset))
	}
	var until time.Time
	if counts {
		until = h.ledger.TokensLost(now, r.URL, r.Read)
	} else {
		until = h.ledger.TokenRefused(now, &h.local, g, r)
	}
	if !until.IsZero() {
		all = append(all, h.lose(r.URL, until, died.read, now))
	}
	h.look(now)
	return all
}

// bookDead books the refusal of a token where that counts as a wrong login.
func (h *host) bookDead(v *visitor, died deadToken) {
	g := h.login(v, died.print, time.Time{})
	if g.Limits.None || g.Limits.DeadTokens != pbx.DeadTokensCount {
		return
	}
	h.apply(v.last, func(now time.Time, ledger *lockout.Host) {
		ledger.TokenRefused(now, &h.local, g, h.refusal(v, died, now))
	})
	h.lookAgain()
}

// isAlone reports whether no other visitor has the URL of this one. h.mu is held.
func (h *host) isAlone(v *visitor) bool {
	return !slices.ContainsFunc(h.members, func(m *visitor) bool { return m != v && m.traits.URL == v.traits.URL })
}

// isReplaced reports whether a login of another session has probably ended the visitor's
// token: they share an account that has one token at a time. h.mu is held.
func (h *host) isReplaced(v *visitor) bool {
	return v.hasOneToken() && v.traits.Account != "" && slices.ContainsFunc(h.members, func(m *visitor) bool {
		return m != v && m.traits.URL == v.traits.URL && m.traits.Account == v.traits.Account
	})
}
