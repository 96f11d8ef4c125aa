// Package store holds small values that several goroutines, processes or
// machines share: each value is a cell with a key, and a cell changes only by
// compare-and-swap. It knows neither sessions nor lockouts.
//
// Three kinds of store implement [Store]:
//
//   - [Memory] shares within one process and forgets when the process ends.
//   - [Files] shares between the processes of one machine and survives restarts.
//   - The modules session/store/redisstore and session/store/pgstore share
//     between machines.
//
// A type of your own can implement Store too. The module session/store/storetest
// checks it against the rules below.
//
// # What a Store promises
//
//   - ST-01: A Swap takes effect as a whole or not at all, and only if the
//     revision it names is the present one. Of concurrent Swaps that name the
//     same revision exactly one wins.
//   - ST-02: Each cell is linearizable. An operation that begins after a Swap
//     returned sees the result of that Swap or of a later one, unless the store
//     forgot it (ST-09).
//   - ST-03: A cell never has the same revision twice: not after expiry, removal,
//     a restart or forgetting. The larger of the previous revision + 1 and the
//     microseconds since 1970 on the store's clock is such a revision.
//   - ST-04: A Swap that loses returns the present value, so that the loser
//     needs no Load.
//   - ST-05: The store counts the time to keep a cell from the Swap. The cell is
//     not dropped earlier and is gone some time later. A time of 0 keeps it until
//     it is removed.
//   - ST-06: Entry.Now is one clock for all processes per cell. Compare times in
//     a cell with the Now of that cell and with nothing else. The rate of the
//     clock is true to 1 %. The clock may jump.
//   - ST-07: An error says nothing about whether a Swap took effect, except for
//     bad input, which has no effect.
//   - ST-08: An operation returns within a second after its context ends, and
//     leaves nothing running.
//   - ST-09: A store may forget the last Swaps or everything, for example at a
//     failover. It never invents: no torn, mixed or foreign value.
//   - ST-10: Keys have 1 to [MaxKey] bytes of a-z, 0-9 and ._:/- and values have
//     up to [MaxValue] bytes of any kind. Anything else is an error.
//   - ST-11: "Nothing there", "out of reach" and "unreadable" are three different
//     responses: revision 0 without an error, an error, and an error that matches
//     [ErrUnreadable].
//   - ST-12: A [Watcher] reports each change, or a gap in which it may have been
//     lost, also after the store was out of reach.
//
// # What a user of a Store has to tolerate
//
//   - After an error the outcome of a Swap is unknown. Write something unique
//     into each value, Load again, and recognize your own write.
//   - The store forgets. Keep what must not be lost, and put it back.
//   - Two processes can both believe that they hold a claim, because one of them
//     was paused. Only the revision of a Swap decides.
//   - Notices of a [Watcher] are late, repeated or lost.
//   - Now jumps, and is zero if the store has no clock.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Store holds cells that several processes share. The package documentation
// lists what it promises. Its methods may be called by several goroutines at
// once.
type Store interface {
	// Load returns the cell under key. If there is none, the Entry's Rev is 0
	// and the error is nil.
	Load(ctx context.Context, key string) (Entry, error)

	// Swap writes value to the cell under key if the revision of the cell is
	// still rev (0: there is none), and reports whether it did. An empty value
	// removes the cell. The Entry is the cell as it is then: the new one after a
	// win, the present one after a loss.
	//
	// The store may drop the cell once keep has passed. 0 keeps it until it is
	// removed. A negative keep is an error.
	Swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (Entry, bool, error)
}

// An Entry is a cell at one moment.
type Entry struct {
	Value []byte
	Rev   uint64    // 0: there is no cell
	Now   time.Time // the store's clock at that moment; zero if it has none
}

// A Watcher may be implemented by a Store that reports changes. If it is not,
// other processes notice a change when they Load or Swap.
type Watcher interface {
	// Watch calls changed with the key soon after a Swap by any process, until
	// ctx ends, and returns ctx.Err() then. Notices may be late, repeated or
	// lost. Watch calls changed("") when it begins to listen and after each gap
	// in which notices may have been lost: any cell may have changed. It does not
	// call changed concurrently with itself. Any other error says that it cannot
	// watch.
	Watch(ctx context.Context, changed func(key string)) error
}

// Limits of keys and values.
const (
	MaxKey   = 200      // bytes
	MaxValue = 64 << 10 // bytes
)

// ErrUnreadable is matched by the error of a Load or Swap whose cell exists and
// cannot be read: it is damaged, or a newer version wrote it. The cell is left
// as it is.
var ErrUnreadable = errors.New("unreadable cell")

// Check reports what is wrong with the arguments of a Load or Swap, or nil.
// Every Store calls it before it does anything. A Load passes no value and no
// keep.
func Check(key string, value []byte, keep time.Duration) error {
	if key == "" || len(key) > MaxKey {
		return fmt.Errorf("store: key of %d bytes: use 1 to %d", len(key), MaxKey)
	}
	for _, c := range []byte(key) {
		if !isKeyByte(c) {
			return fmt.Errorf("store: key %.40q: use only a-z, 0-9 and ._:/-", key)
		}
	}
	if len(value) > MaxValue {
		return fmt.Errorf("store: %s: value of %d bytes: use at most %d", key, len(value), MaxValue)
	}
	if keep < 0 {
		return fmt.Errorf("store: %s: keep is %v: use 0 to keep the cell, or a positive time", key, keep)
	}
	return nil
}

func isKeyByte(c byte) bool {
	switch c {
	case '.', '_', ':', '/', '-':
		return true
	}
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
}

// revisionAfter returns the revision of a Swap at now, given the highest one
// before it.
func revisionAfter(last uint64, now time.Time) uint64 {
	return max(last+1, uint64(max(now.UnixMicro(), 1)))
}

// Durable reports whether a cell is one whose loss could cause a lockout: its key begins
// with "h/" (the wrong logins at a host) or "k/" (the key of their fingerprints). A Store
// that can write more or less durably takes the greater care with these.
func Durable(key string) bool {
	return strings.HasPrefix(key, "h/") || strings.HasPrefix(key, "k/")
}
