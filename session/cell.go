package session

import (
	"context"
	"time"

	"github.com/pbxauth/pbx/session/internal/tokencell"
	"github.com/pbxauth/pbx/session/lockout"
	"github.com/pbxauth/pbx/session/store"
)

const (
	storeTimeout = 2 * time.Second // of one operation
	storePause   = 5 * time.Second // after one that failed, before another attempt to log in
	othersPause  = time.Second     // before another look whether another process's login has ended
)

// cells are the ledgers of a Guard in a store.
type cells struct {
	store          store.Store
	timeout        time.Duration // of an operation; 0: the store sees to it
	prefix, egress string
	printKey       *printKey // nil: the Guard has the key of fingerprints
}

// cell is the ledger of one host in a store. What it says is merged with what this
// process has seen, because a store may forget.
type cell struct {
	*cells
	key   string
	users int           // of the cell; host.mu guards it
	turn  chan struct{} // to put one in is to have the turn: one operation, and what follows

	rev     uint64
	replica *lockout.Replica
	lacking bool // the store lacks what this process has seen
}

func (c *cells) of(host, process string) *cell {
	return &cell{cells: c, key: tokencell.HostKey(c.prefix, c.egress, host), turn: make(chan struct{}, 1), replica: lockout.NewReplica(process)}
}

// bound returns the context of an operation.
func (c *cells) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.timeout)
}

// busy reports whether somebody uses the cell.
func (c *cell) busy() bool { return c != nil && c.users > 0 }

// unreadable is the error of a ledger that cannot be decoded.
type unreadable struct{ error }

func (unreadable) Is(target error) bool { return target == store.ErrUnreadable }

func (u unreadable) Unwrap() error { return u.error }
