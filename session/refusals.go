package session

import (
	"context"
	"errors"
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
}

// lose makes lost what is suspect at a URL. The caller then tells the visitors and calls
// allTold. h.mu is held.
func (h *host) lose(url string, until, now time.Time) lost {
	if h.tells++; h.told == nil {
		h.told = make(chan struct{})
	}
	k := lost{until: h.here(until, now)}
	for _, m := range h.members {
		if m.traits.URL == url {
			k.visitors = append(k.visitors, m)
		}
	}
	return k
}

// share reports to other processes which tokens the PBX has refused, and returns what
// is lost according to them. What the store does not get, they find out by themselves.
func (h *host) share(ctx context.Context) []lost {
	h.lock()
	news, now := h.news, h.now()
	h.news = nil
	h.unlock()
	if len(news) == 0 {
		return nil
	}
	c := h.common.cells
	e, known, err := c.refusals(ctx, h.name)
	for range mostSwaps {
		if err != nil {
			return nil
		}
		all, clock := known, h.common.clock(e)
		for _, r := range news {
			r.Issued, r.Read = moved(r.Issued, clock.Sub(now)), moved(r.Read, clock.Sub(now))
			all = all.With(clock, r)
		}
		var won bool
		if e, won, err = c.putRefusals(ctx, h.name, e.Rev, all); won {
			return h.hear(all, h.common.clock(e))
		}
		if err == nil {
			known, err = decodeRefusals(e)
		}
	}
	return nil
}

// reread looks at what other processes have seen refused.
func (h *host) reread(ctx context.Context) []lost {
	e, known, err := h.common.cells.refusals(ctx, h.name)
	if err != nil {
		return nil
	}
	return h.hear(known, h.common.clock(e))
}

// hear notes what other processes have seen refused, by the store's clock.
func (h *host) hear(all lockout.Refusals, clock time.Time) (found []lost) {
	h.lock()
	defer h.unlock()
	now := h.now()
	for _, r := range all {
		i := slices.IndexFunc(h.members, func(m *visitor) bool { return m.traits.URL == r.URL })
		if i < 0 || r.ID.Process == h.common.process {
			continue
		}
		r.Issued, r.Read = moved(r.Issued, now.Sub(clock)), moved(r.Read, now.Sub(clock))
		limits := h.login(h.members[i], fingerprint{}, time.Time{}).Limits
		if until := h.ledger.Hear(now, &h.local, limits, r); !until.IsZero() {
			found = append(found, h.lose(r.URL, until, now))
		}
	}
	h.look(now)
	return found
}

// moved is t by another clock. Zero stays zero.
func moved(t time.Time, by time.Duration) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(by)
}

// clock is the store's time of an entry.
func (c *common) clock(e store.Entry) time.Time {
	if e.Now.IsZero() {
		return c.now()
	}
	return e.Now
}

// refusals loads those of a host. What cannot be read is replaced by the next write,
// unless a newer version wrote it.
func (c *cells) refusals(ctx context.Context, host string) (store.Entry, lockout.Refusals, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	e, err := c.store.Load(ctx, tokencell.RefusalsKey(c.prefix, c.egress, host))
	if err != nil {
		return e, nil, err
	}
	all, err := decodeRefusals(e)
	return e, all, err
}

// putRefusals stores those of a host, unless another process was quicker.
func (c *cells) putRefusals(ctx context.Context, host string, rev uint64, all lockout.Refusals) (e store.Entry, won bool, err error) {
	data, err := all.MarshalJSON()
	if err != nil {
		return store.Entry{}, false, err
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	return c.store.Swap(ctx, tokencell.RefusalsKey(c.prefix, c.egress, host), rev, data, lockout.RefusalLasts)
}

func decodeRefusals(e store.Entry) (all lockout.Refusals, err error) {
	if e.Rev == 0 {
		return nil, nil
	}
	if err := all.UnmarshalJSON(e.Value); errors.Is(err, lockout.ErrNewer) {
		return nil, err
	}
	return all, nil
}
