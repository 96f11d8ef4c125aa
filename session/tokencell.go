package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/internal/tokencell"
	"github.com/pbxauth/pbx/session/store"
)

// tokenCell is a session's part of the store. One operation uses it at a time:
// that of the session's attempt. A fleet has one for each session, so it is small.
type tokenCell struct {
	visitor *visitor // whose it is

	written atomic.Int64           // when this process wrote last: Unix nanoseconds; 0: the notice of that has come
	holder  atomic.Pointer[string] // the process that brought the session's token
	lacks   atomic.Bool            // owed is set
	noticed atomic.Bool            // the store reports a change
	number  uint32                 // of the cell in this process, for by

	users uint16        // of turn; mu guards both
	seen  bool          // the session has seen the cell, not removed; guarded by the turn
	mu    sync.Mutex    // guards turn and users
	turn  chan struct{} // to put one in is to have the turn, and what follows; nil: nobody wants it

	known   bool              // record is what the store had at some time
	held    bool              // the claim is this session's
	ours    bool              // this process wrote the generation that it has
	resting bool              // record is nil, and says the same as token, gap, ends and later
	gap     uint32            // resting: how many generations ago the PBX refused one
	record  *tokencell.Record // nil while nobody has the turn and it says nothing more
	ends    int64             // resting: the token's expiry by the store's clock, Unix nanoseconds; 0: unknown
	later   time.Duration     // resting: from the token's other times to the record's
	rev     uint64
	offset  time.Duration // from this machine's clock to the store's
	have    uint64        // the generation of the session's token; 0: none
	token   *pbx.Token    // that token, as the session has it
	owed    *pbx.Token    // a token that the store does not have yet
}

// key is the store's name of the cell.
func (c *tokenCell) key() string {
	return tokencell.SessionKey(c.visitor.store.prefix, c.visitor.name, c.visitor.traits.URL, c.visitor.traits.Account)
}

// by is who claims, for other sessions and for people.
func (c *tokenCell) by() string {
	return fmt.Sprintf("%s/%d", c.visitor.store.process, c.number)
}

// settle puts the record away, if it says no more than that the session has its
// token. The turn is held, as in wake.
func (c *tokenCell) settle() {
	r := c.record
	if !c.known {
		c.record, c.resting = nil, false
		return
	}
	if c.token == nil || r.Generation == 0 {
		return
	}
	gap, later := r.Generation-r.Dead, r.Token.IssuedAt.Sub(c.token.IssuedAt.Round(0))
	c.gap, c.ends, c.later = uint32(gap), unixNano(r.Token.ExpiresAt), later
	if uint64(c.gap) == gap && c.rested().Same(*r) {
		c.record, c.resting = nil, true
	}
}

// wake makes the record anew.
func (c *tokenCell) wake() {
	if c.record != nil {
		return
	}
	c.record = &tokencell.Record{}
	if c.resting {
		*c.record, c.resting = c.rested(), false
	}
}

// rested is the record that resting stands for.
func (c *tokenCell) rested() tokencell.Record {
	t := c.token
	return tokencell.Record{Generation: c.have, Dead: c.have - uint64(c.gap), Token: tokencell.Token{
		Value: t.Value, Refresh: t.Refresh, Details: t.Details, By: c.broughtBy(),
		IssuedAt: shift(t.IssuedAt, c.later).UTC(), ExpiresAt: sinceUnix(c.ends), RefreshExpiresAt: shift(t.RefreshExpiresAt, c.later).UTC(),
	}}
}

// sinceUnix is the inverse of unixNano.
func sinceUnix(nanoseconds int64) time.Time {
	if nanoseconds == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds).UTC()
}

func newTokenCell(v *visitor) *tokenCell {
	return &tokenCell{visitor: v, number: v.store.sessions.Add(1)}
}

// enter waits for the turn, which another operation has for as long as the store
// takes.
func (c *tokenCell) enter(ctx context.Context) error {
	c.mu.Lock()
	if c.turn == nil {
		c.turn = make(chan struct{}, 1)
	}
	c.users++
	turn := c.turn
	c.mu.Unlock()
	select {
	case turn <- struct{}{}:
		c.wake()
		return nil
	case <-ctx.Done():
		c.quit()
		return ctx.Err()
	}
}

func (c *tokenCell) leave() {
	c.settle()
	<-c.turn
	c.quit()
}

// quit gives the channel up when nobody wants the turn.
func (c *tokenCell) quit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users--; c.users == 0 {
		c.turn = nil
	}
}

// claimGrace is how much longer a claim is held than the operation may take.
const claimGrace = 6 * time.Second

// claim looks what the other processes have done, and claims the token if take is
// set.
func (c *tokenCell) claim(ctx context.Context, need tokencell.Need, op pbx.Op, lasts time.Duration, take bool) (claimResult, error) {
	if err := c.enter(ctx); err != nil {
		return claimResult{}, err
	}
	defer c.leave()
	need.Process, need.Have, need.Seen = c.by(), c.have, c.seen
	fresh := false
	for range mostSwaps {
		if !c.known {
			if err := c.load(ctx); err != nil {
				return claimResult{}, err
			}
			fresh = true
		}
		now := time.Now().Add(c.offset)
		if c.forgotten() {
			need.Have, need.Refused = 0, false
		}
		if need.Refused && c.token != nil && c.record.Token.Value.Equal(c.token.Value) { // a heartbeat may have extended it
			need.Have = max(need.Have, c.record.Generation)
		}
		step := c.record.Decide(now, need)
		switch step.Verb {
		case tokencell.Adopt:
			return claimResult{verdict: adopted, token: c.adopt()}, nil
		case tokencell.Wait, tokencell.End:
			if !fresh {
				c.known = false
				continue
			}
			if step.Verb == tokencell.End {
				return claimResult{verdict: gone}, nil
			}
			return claimResult{verdict: occupied, until: step.Until.Add(-c.offset)}, nil
		}
		if !take {
			if fresh {
				return claimResult{}, nil
			}
			c.known = false
			continue
		}
		won, err := c.put(ctx, c.record.Claimed(c.visitor.store.writer(), need, op, now.Add(lasts+claimGrace)))
		if err != nil {
			return claimResult{}, err
		}
		if c.held = won; won {
			return claimResult{}, nil
		}
		fresh = true
	}
	return claimResult{}, errors.New("other processes change its token all the time")
}

// forgotten reports whether the store has forgotten the session's token and has
// another one since, whose generation is no higher.
func (c *tokenCell) forgotten() bool {
	return c.record.Generation > 0 && c.record.Removed.IsZero() && c.record.Generation <= c.have && !c.record.Token.Value.Equal(c.value()) && !c.behind()
}

// behind reports whether the store has forgotten the session's token, and has no
// other or an older one.
func (c *tokenCell) behind() bool {
	return c.token != nil && c.record.Behind(c.have, c.stored(c.token))
}

// value is the session's token.
func (c *tokenCell) value() pbx.Secret {
	if c.token == nil {
		return pbx.Secret{}
	}
	return c.token.Value
}

// adopt makes the record's token the session's.
func (c *tokenCell) adopt() *pbx.Token {
	c.have, c.token, c.ours = c.record.Generation, c.local(), false
	by := c.record.Token.By
	c.holder.Store(&by)
	return c.token
}

// commit writes a new token. If another process was quicker, it returns the
// token of that one, which is to be used instead. removed: another process has
// removed the session meanwhile.
func (c *tokenCell) commit(ctx context.Context, t *pbx.Token) (other *pbx.Token, removed bool) {
	if c.enter(ctx) != nil {
		return nil, false // the next start logs in
	}
	defer c.leave()
	c.owed = t
	c.holder.Store(&c.visitor.store.process)
	other = c.pay(ctx)
	c.lacks.Store(c.owed != nil)
	return other, c.known && !c.record.Removed.IsZero()
}

// pay writes the token that the store does not have yet. The turn is held.
func (c *tokenCell) pay(ctx context.Context) (other *pbx.Token) {
	for range mostSwaps {
		if !c.known && c.load(ctx) != nil {
			return nil
		}
		if !c.record.Removed.IsZero() { // nobody is to have it
			c.held, c.owed, c.have = false, nil, c.record.Generation
			return nil
		}
		if (c.record.Generation > c.have || c.forgotten()) && c.record.Valid(time.Now().Add(c.offset)) && !c.record.Token.Value.Equal(c.owed.Value) {
			c.held, c.owed = false, nil
			return c.adopt()
		}
		base := *c.record
		base.Generation = max(base.Generation, c.have) // a store that forgot
		won, err := c.put(ctx, base.Committed(c.visitor.store.writer(), c.stored(c.owed)))
		switch {
		case err != nil:
			c.held = false // the claim expires
			return nil
		case won:
			c.have, c.token = c.record.Generation, c.owed
			c.held, c.owed, c.ours = false, nil, true
			return nil
		}
	}
	return nil
}

// publish writes what the store lacks about the session's token: the token, if the store
// has forgotten it, or its expiry, if requests have extended it so far that by the store's
// at most half of the time is left. Otherwise a process that starts would log in. ends is
// the expiry; zero: there is none.
func (c *tokenCell) publish(ctx context.Context, t pbx.Secret, ends time.Time) {
	if c.enter(ctx) != nil {
		return
	}
	defer c.leave()
	for range mostSwaps {
		if !t.Equal(c.value()) || !c.known && c.load(ctx) != nil {
			return
		}
		writer := c.visitor.store.writer()
		next, lacks := c.record.Restored(writer, time.Now().Add(c.offset), c.have, c.stored(c.token))
		if !ends.IsZero() && time.Until(next.Token.ExpiresAt.Add(-c.offset)) <= time.Until(ends)/2 {
			var later bool
			next, later = next.Extended(writer, c.have, ends.Add(c.offset))
			lacks = lacks || later && t.Equal(c.record.Token.Value)
		}
		if !lacks {
			return
		}
		if won, err := c.put(ctx, next); err != nil || won {
			return
		}
	}
}

// broughtBy is the process that brought the session's token; empty if there is
// none, or an older version wrote it.
func (c *tokenCell) broughtBy() string {
	if by := c.holder.Load(); by != nil {
		return *by
	}
	return ""
}

// owing reports whether the store lacks the token, for all that is known.
func (c *tokenCell) owing() bool { return c.lacks.Load() }

// owes reports whether the store lacks the token, after another attempt to write
// it.
func (c *tokenCell) owes(ctx context.Context) (other *pbx.Token, owes bool) {
	if c.enter(ctx) != nil {
		return nil, true
	}
	defer c.leave()
	if c.owed != nil {
		other = c.pay(ctx)
		c.lacks.Store(c.owed != nil)
	}
	return other, c.owed != nil
}

// release gives up the claim, after an attempt that brought no token.
func (c *tokenCell) release(ctx context.Context) {
	if c.enter(ctx) != nil {
		return // it expires
	}
	defer c.leave()
	for c.held {
		next, mine := c.record.Released(c.visitor.store.writer(), c.by())
		if !mine {
			c.held = false
			return
		}
		won, err := c.put(ctx, next)
		c.held = err == nil && !won
	}
}

// remove writes that the session is gone, so that it ends in all processes.
func (c *tokenCell) remove(ctx context.Context) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.leave()
	c.owed = nil // it is logged out
	c.lacks.Store(false)
	for range mostSwaps {
		if !c.known {
			if err := c.load(ctx); err != nil {
				return err
			}
		}
		won, err := c.put(ctx, c.record.Gone(c.visitor.store.writer(), time.Now().Add(c.offset)))
		if err != nil || won {
			return err
		}
	}
	return nil
}

// wrote reports whether the store has the session's token from this process.
func (c *tokenCell) wrote(ctx context.Context) bool {
	if c.enter(ctx) != nil {
		return false
	}
	defer c.leave()
	return c.ours
}

func (c *tokenCell) load(ctx context.Context) error {
	e, err := c.visitor.store.Load(ctx, c.key())
	if err != nil {
		return err
	}
	return c.take(e)
}

// put writes next. A loser gets the present record. After an error the outcome is
// unknown: the record is loaded, and an own write is recognised by its writer.
func (c *tokenCell) put(ctx context.Context, next tokencell.Record) (won bool, err error) {
	key := c.key()
	data, err := c.visitor.store.seal(key, &next)
	if err != nil {
		return false, err
	}
	at := time.Now().UnixNano()
	c.written.Store(at) // the notice may be quicker than the response
	defer func() {
		if !won { // then there is none, or an unneeded look
			c.written.CompareAndSwap(at, 0)
		}
	}()
	var failed error
	for range 2 {
		rev := c.rev
		e, won, err := c.visitor.store.Swap(ctx, key, rev, data, c.keep(next))
		switch {
		case err != nil:
			if failed = err; c.load(ctx) != nil {
				c.known = false
				return false, failed
			}
		case won:
			c.written.CompareAndSwap(at, time.Now().UnixNano())
			c.hold(next, e)
			return true, nil
		default:
			if err := c.take(e); err != nil {
				return false, err
			}
		}
		if c.rev != rev {
			return c.record.Writer == next.Writer, nil
		}
	}
	return false, failed // the store serves reads and refuses writes
}

// echoLasts is for how long after a write its notice is waited for.
const echoLasts = 250 * time.Millisecond

// echoes reports whether a notice is that of this process's last write: the first
// one that comes soon after it. Those that follow are of other processes. The notice
// of a claim comes before the next write, because the PBX is slower than the store.
// If it does not, the session looks once more than it needs to.
func (c *tokenCell) echoes() bool {
	at := c.written.Load()
	return time.Now().UnixNano()-at < int64(echoLasts) && c.written.CompareAndSwap(at, 0)
}

// keep is for how long the store keeps a record: as long as it can be of use.
func (c *tokenCell) keep(r tokencell.Record) time.Duration {
	const unknown = 30 * 24 * time.Hour
	now := time.Now().Add(c.offset)
	keep := time.Hour
	for _, end := range []time.Time{r.Token.ExpiresAt, r.Token.RefreshExpiresAt} {
		if !end.IsZero() {
			keep = max(keep, min(end.Sub(now), unlimited)+time.Hour)
		}
	}
	if !r.Token.Value.IsZero() && r.Token.ExpiresAt.IsZero() || !r.Token.Refresh.IsZero() && r.Token.RefreshExpiresAt.IsZero() {
		keep = max(keep, unknown)
	}
	return keep
}

func (c *tokenCell) take(e store.Entry) error {
	r, err := c.visitor.store.sealer.Open(c.key(), e.Value)
	if err != nil {
		c.known = false
		return err
	}
	if !e.Now.IsZero() {
		r = r.At(e.Now)
	}
	c.hold(r, e)
	return nil
}

// hold notes what the store has, and what time it is there.
func (c *tokenCell) hold(r tokencell.Record, e store.Entry) {
	c.record, c.rev, c.known = &r, e.Rev, true
	c.seen = c.seen || r.Removed.IsZero()
	c.clock(e)
}

// clock notes what time it is at the store.
func (c *tokenCell) clock(e store.Entry) {
	if !e.Now.IsZero() {
		c.offset = time.Until(e.Now)
	}
}

// local is the record's token by this machine's clock.
func (c *tokenCell) local() *pbx.Token {
	t := c.record.Token
	return &pbx.Token{Value: t.Value, Refresh: t.Refresh, Details: t.Details,
		IssuedAt: shift(t.IssuedAt, -c.offset), ExpiresAt: shift(t.ExpiresAt, -c.offset), RefreshExpiresAt: shift(t.RefreshExpiresAt, -c.offset)}
}

// stored is a token by the store's clock.
func (c *tokenCell) stored(t *pbx.Token) tokencell.Token {
	return tokencell.Token{Value: t.Value, Refresh: t.Refresh, Details: t.Details,
		IssuedAt: shift(t.IssuedAt, c.offset), ExpiresAt: shift(t.ExpiresAt, c.offset), RefreshExpiresAt: shift(t.RefreshExpiresAt, c.offset), By: c.visitor.store.process}
}

func shift(t time.Time, by time.Duration) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(by).Round(0)
}
