package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/lockout"
	"github.com/pbxauth/pbx/session/store"
)

// enter and exit begin and end a use of the cell.
func (h *host) enter() *cell {
	h.lock()
	defer h.unlock()
	h.cell.users++
	return h.cell
}

func (h *host) exit(c *cell) {
	h.lock()
	defer h.unlock()
	c.users--
}

// change decides with decide, which gets the present ledger and says whether it has
// changed it, and stores the change. decide may run several times. Without an
// error, the change is in the store.
func (h *host) change(ctx context.Context, decide func(time.Time, *lockout.Host) bool) error {
	if !h.stored() {
		h.lock()
		defer h.unlock()
		decide(h.now(), &h.ledger)
		return nil
	}
	c := h.enter()
	defer h.exit(c)
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	fresh := false // the ledger at hand is the store's
	for range mostSwaps {
		h.lock()
		next := h.ledger.Clone()
		changed := decide(h.now(), &next)
		h.unlock()
		if !changed && fresh && !c.lacking {
			return nil
		}
		if !fresh && (!changed || c.rev == 0) { // without the store's clock, nothing is booked
			if err := h.load(ctx); err != nil {
				return err
			}
			fresh = true
			continue
		}
		won, err := h.put(ctx, &next)
		if err != nil || won {
			return err
		}
		fresh = true // the loser was given the present cell
	}
	return h.unstored(errors.New("other processes change it all the time"))
}

// apply changes the ledger by what has happened, whatever the store does, and then
// stores it. What the store does not get now, it gets with the next change. If ctx
// ends while another operation has the turn, the change is dropped: a booking that
// is not settled counts as a possible wrong login.
func (h *host) apply(ctx context.Context, change func(time.Time, *lockout.Host)) {
	if !h.stored() {
		h.lock()
		defer h.unlock()
		change(h.now(), &h.ledger)
		return
	}
	c := h.enter()
	defer h.exit(c)
	select {
	case c.turn <- struct{}{}: // if the turn is free, after the end of ctx too: other Managers may share the ledger
	default:
		select {
		case c.turn <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
	defer func() { <-c.turn }()
	if c.rev == 0 { // the store's clock may not be known
		_ = h.load(ctx)
	}
	h.lock()
	change(h.now(), &h.ledger)
	next := h.ledger.Clone()
	h.unlock()
	c.replica.Keep(&next)
	for range mostSwaps {
		won, err := h.put(ctx, &next)
		if err != nil || won {
			return
		}
		h.lock()
		next = h.ledger.Clone()
		h.unlock()
	}
}

// putBack writes what the store has lost of the ledger, if it may have lost any.
func (h *host) putBack(ctx context.Context) {
	h.mu.Lock()
	lost := h.forgotten
	h.forgotten = false
	h.mu.Unlock()
	if lost {
		_ = h.change(ctx, func(time.Time, *lockout.Host) bool { return false }) // without the store, its return is another reason
	}
}

// load brings the ledger up to date. The cell's turn is held, as in what follows.
func (h *host) load(ctx context.Context) error {
	ctx, cancel := h.cell.bound(ctx)
	defer cancel()
	e, err := h.cell.store.Load(ctx, h.cell.key)
	if err != nil {
		return h.unstored(err)
	}
	return h.merge(e)
}

// put stores the ledger. If another process was quicker, it merges the store's.
func (h *host) put(ctx context.Context, next *lockout.Host) (won bool, err error) {
	c := h.cell
	data, err := next.MarshalJSON()
	if err != nil {
		return false, h.unstored(err)
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	e, won, err := c.store.Swap(ctx, c.key, c.rev, data, 0)
	if err == nil {
		err = promised(c.rev, e, won)
	}
	if err != nil {
		return false, h.unstored(err)
	}
	if !won {
		return false, h.merge(e)
	}
	c.lacking = false
	h.take(next, e)
	return true, nil
}

func (h *host) merge(e store.Entry) error {
	var next lockout.Host
	if e.Rev != 0 {
		if err := next.UnmarshalJSON(e.Value); err != nil {
			return h.unstored(unreadable{err})
		}
	}
	now := e.Now
	if now.IsZero() {
		now = h.common.now()
	}
	h.cell.lacking = h.cell.replica.Merge(now, &next)
	if k := h.cell.printKey; k != nil && e.Rev == 0 && h.cell.lacking { // the store has lost what it had
		k.lost.Store(true)
	}
	h.take(&next, e)
	return nil
}

// take makes next the ledger at hand.
func (h *host) take(next *lockout.Host, e store.Entry) {
	h.cell.rev = e.Rev
	h.cell.replica.Keep(next)
	h.lock()
	defer h.unlock()
	if !e.Now.IsZero() {
		was := h.offset
		h.offset = e.Now.Sub(h.common.now())
		h.local.Shift(h.offset.Truncate(time.Millisecond) - was.Truncate(time.Millisecond)) // so that many small ones add up
	}
	next.KeepSuspects(h.now(), &h.ledger)
	h.ledger = *next
	h.look(h.now())
}

// unstored is the error of a login that is not sent because of the store.
func (h *host) unstored(err error) error {
	what := "the store does not respond"
	if errors.Is(err, store.ErrUnreadable) {
		what = "what the store has about it cannot be read"
	}
	return &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, Err: err,
		Message: fmt.Sprintf("not sent: the wrong logins of %s are not known, because %s", h.name, what)}
}
