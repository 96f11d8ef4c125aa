package session

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pbxauth/pbx/session/internal/tokencell"
	"github.com/pbxauth/pbx/session/lockout"
	"github.com/pbxauth/pbx/session/store"
)

// lost are the tokens of some visitors that were issued until a time: they are suspect.
type lost struct {
	visitors []*visitor
	until    time.Time // by this process's clock
	read     time.Time // when the refusal was that shows it
}

// lose makes lost what is suspect at a URL. The caller then tells the visitors and calls
// allTold. h.mu is held.
func (h *host) lose(url string, until, read, now time.Time) lost {
	if h.tells++; h.told == nil {
		h.told = make(chan struct{})
	}
	k := lost{until: h.here(until, now), read: read}
	for _, m := range h.members {
		if m.traits.URL == url {
			k.visitors = append(k.visitors, m)
		}
	}
	return k
}

// refusal is that of a token, by the ledger's clock. Where a store keeps the ledger, others
// may have the same token.
func (h *host) refusal(v *visitor, died deadToken, now time.Time) lockout.Refusal {
	r := lockout.Refusal{ID: h.common.id(), URL: v.traits.URL, Issued: h.issued(died.token.IssuedAt, now), Read: h.issued(died.read, now)}
	if key := h.common.knownPrintKey(); h.stored() && key != nil {
		digest := hmac.New(sha256.New, key)
		fmt.Fprintf(digest, "%s\x00%s", v.traits.Account, died.token.Value.Reveal())
		r.Token = lockout.FingerprintOf(digest.Sum(nil))
	}
	return r
}

// share reports to other processes which tokens the PBX has refused, after it has read
// what they have seen, and passes what is lost on to tell. What the store does not get,
// they find out by themselves.
func (h *host) share(ctx context.Context, tell func([]lost)) {
	h.lock()
	news := h.news
	h.news = nil
	h.unlock()
	if len(news) == 0 {
		return
	}
	c := h.common.cells
	all, at, err := c.refusals(ctx, h)
	for range mostSwaps {
		if err != nil {
			return
		}
		tell(h.hear(all, at))
		var won bool
		if all, at, won, err = c.putRefusals(ctx, h, at, h.add(all, news, at)); won {
			return
		}
	}
}

// add returns all refusals, with the news.
func (h *host) add(all lockout.Refusals, news []lockout.Refusal, at seen) lockout.Refusals {
	h.lock()
	defer h.unlock()
	for _, r := range news {
		r.First = !h.ledger.Suspect(r.URL, r.Issued.Add(h.offset))
		all = all.With(at.clock, moved(r, at.clock.Sub(at.sent), at.clock.Sub(at.read)))
	}
	return all
}

// reread looks at what other processes have seen refused, until there are no new notices,
// and passes what is lost on to tell.
func (h *host) reread(ctx context.Context, tell func([]lost)) {
	for n := h.notices.Load(); ; n = h.notices.Load() {
		if all, at, err := h.common.cells.refusals(ctx, h); err == nil {
			tell(h.hear(all, at))
		}
		if h.notices.CompareAndSwap(n, 0) {
			return
		}
	}
}

// hear notes what other processes have seen refused, by the store's clock.
func (h *host) hear(all lockout.Refusals, at seen) (found []lost) {
	h.lock()
	defer h.unlock()
	now := h.now()
	for _, r := range all {
		i := slices.IndexFunc(h.members, func(m *visitor) bool { return m.traits.URL == r.URL })
		if i < 0 || r.ID.Process == h.common.process {
			continue
		}
		r = moved(r, at.read.Sub(at.clock)+h.offset, at.sent.Sub(at.clock)+h.offset)
		limits := h.login(h.members[i], fingerprint{}, time.Time{}).Limits
		if until := h.ledger.Hear(now, &h.local, limits, r); !until.IsZero() {
			found = append(found, h.lose(r.URL, until, h.here(r.Read, now), now))
		}
	}
	h.look(now)
	return found
}

// seen is what the store's clock showed while an operation was under way, and when that
// was by the Guard's. What the two leave open is decided so that a refusal is moved to the
// earliest time that is possible, and the issue of its token to the latest. Otherwise
// tokens that were issued after the refusal could seem lost.
type seen struct {
	rev               uint64
	sent, clock, read time.Time
}

// moved is r by another clock. Zero stays zero.
func moved(r lockout.Refusal, issued, read time.Duration) lockout.Refusal {
	if !r.Issued.IsZero() {
		r.Issued = r.Issued.Add(issued)
	}
	r.Read = r.Read.Add(read)
	return r
}

// see reads what the store returned for an operation that was sent at that time. What
// cannot be read is replaced by the next write, unless a newer version wrote it.
func (c *common) see(e store.Entry, sent time.Time) (all lockout.Refusals, at seen, err error) {
	at = seen{e.Rev, sent, e.Now, c.now()}
	if e.Now.IsZero() {
		at.sent, at.clock = at.read, at.read
	}
	if e.Rev == 0 {
		return nil, at, nil
	}
	if err := all.UnmarshalJSON(e.Value); errors.Is(err, lockout.ErrNewer) {
		return nil, at, err
	}
	return all, at, nil
}

// refusals loads those of a host.
func (c *cells) refusals(ctx context.Context, h *host) (all lockout.Refusals, at seen, err error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	sent := h.common.now()
	e, err := c.store.Load(ctx, tokencell.RefusalsKey(c.prefix, c.egress, h.name))
	if err != nil {
		return nil, at, err
	}
	return h.common.see(e, sent)
}

// putRefusals stores those of a host. If another process was quicker, it returns what
// that one has stored.
func (c *cells) putRefusals(ctx context.Context, h *host, last seen, all lockout.Refusals) (now lockout.Refusals, at seen, won bool, err error) {
	data, err := all.MarshalJSON()
	if err != nil {
		return nil, at, false, err
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	sent := h.common.now()
	e, won, err := c.store.Swap(ctx, tokencell.RefusalsKey(c.prefix, c.egress, h.name), last.rev, data, lockout.RefusalLasts)
	if err != nil || won {
		return nil, at, won, err
	}
	now, at, err = h.common.see(e, sent)
	return now, at, false, err
}
