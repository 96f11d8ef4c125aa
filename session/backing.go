package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx/session/internal/tokencell"
	"github.com/pbxauth/pbx/session/store"
)

const mostSwaps = 32 // that lose in a row

// backing is a store as this process uses it.
type backing struct {
	store   store.Store
	sealer  *tokencell.Sealer
	prefix  string
	process string
	timeout time.Duration

	writes   atomic.Uint64
	sessions atomic.Uint32
	down     breaker

	operations, errors atomic.Uint64
}

// writer returns a new name for a write.
func (b *backing) writer() string {
	return fmt.Sprintf("%s/%d", b.process, b.writes.Add(1))
}

// seal encodes r for its cell. Details that do not fit, or are not JSON, are left out:
// without the token, each process would log in.
func (b *backing) seal(key string, r *tokencell.Record) ([]byte, error) {
	data, err := b.sealer.Seal(key, *r)
	if err != nil || len(data) > store.MaxValue {
		r.Token.Details = nil
		data, err = b.sealer.Seal(key, *r)
	}
	return data, err
}

// Load and Swap are those of the store, within the timeout. A store that fails
// again and again is left alone, except for one operation per second, so that it
// holds no worker.
func (b *backing) Load(ctx context.Context, key string) (e store.Entry, err error) {
	err = b.within(ctx, func(ctx context.Context) error {
		e, err = b.store.Load(ctx, key)
		return err
	})
	return e, err
}

// Swap is documented at Load.
func (b *backing) Swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (e store.Entry, won bool, err error) {
	err = b.within(ctx, func(ctx context.Context) error {
		if e, won, err = b.store.Swap(ctx, key, rev, value, keep); err == nil {
			err = promised(rev, e, won)
		}
		return err
	})
	return e, won, err
}

// promised returns which promise of package store the outcome of a Swap breaks;
// nil: none that shows. The Swap named rev and wrote a value.
func promised(rev uint64, e store.Entry, won bool) error {
	const broken = "the store breaks its promise %s: check it with package storetest"
	switch {
	case won && (e.Rev == 0 || e.Rev == rev):
		return fmt.Errorf(broken, "ST-03, a Swap won and brought no new revision")
	case !won && e.Rev == rev:
		return fmt.Errorf(broken, "ST-01, a Swap lost against the revision that it named")
	case !won && e.Rev != 0 && len(e.Value) == 0:
		return fmt.Errorf(broken, "ST-04, the loser of a Swap got no value")
	}
	return nil
}

func (b *backing) within(ctx context.Context, do func(context.Context) error) error {
	if ctx.Err() != nil { // after a Manager.Close the application may have closed the store
		return ctx.Err()
	}
	if !b.down.enter(time.Now()) {
		return errStoreAway
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	err := do(ctx)
	ok := err == nil || errors.Is(err, store.ErrUnreadable)
	b.operations.Add(1)
	if !ok && caller.Err() != nil { // cut off: that says nothing about the store
		return err
	}
	if !ok {
		b.errors.Add(1)
	}
	b.down.leave(time.Now(), ok)
	return err
}

var errStoreAway = errors.New("the store has not responded to the last operations")

// breaker lets one operation per second through after three failures in a row.
type breaker struct {
	mu     sync.Mutex // guards what follows
	failed int
	since  time.Time // failed: the first time
	next   time.Time
}

func (b *breaker) enter(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed >= 3 && now.Before(b.next) {
		return false
	}
	b.next = now.Add(time.Second)
	return true
}

func (b *breaker) leave(now time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed == 0 {
		b.since = now
	}
	if b.failed++; ok {
		b.failed = 0
	}
	b.next = now.Add(time.Second)
}

// away is since when every operation has failed; zero: the last one did not.
func (b *breaker) away() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed == 0 {
		return time.Time{}
	}
	return b.since
}

func (b *backing) stats() StoreStats {
	return StoreStats{Operations: b.operations.Load(), Errors: b.errors.Load(), AwaySince: b.down.away()}
}
