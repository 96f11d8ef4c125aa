package session_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// A session that another process removed has ended here too: Done says so, its name is
// free, and the end of its Manager waits for nothing.
func TestASessionThatAnotherProcessRemovesIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, drivers := newShared(2, time.Hour)
		memory := &store.Memory{}
		one, two := shares(t, memory, "one"), shares(t, memory, "two")
		defer one.Close(context.Background())
		mustToken(t, mustAdd(t, one, "7", drivers[0]))
		s := mustAdd(t, two, "7", drivers[1])
		mustToken(t, s)
		if err := one.Remove(t.Context(), "7"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		select {
		case <-s.Done():
		default:
			t.Errorf("Done is open: %v", s.Status())
		}
		if _, there := two.Session("7"); there {
			t.Error("its Manager has it")
		}
		began := time.Now()
		if err := two.Close(t.Context()); err != nil || time.Since(began) > 0 {
			t.Errorf("after %s, Close returns %v", time.Since(began), err)
		}
		wantCounts(t, f, 1, 0, 1)
	})
}

// After a loss, another process has removed the session.
func TestASessionThatWasRemovedAfterALossIsNotPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, drivers := newShared(2, 30*time.Minute)
		faults, s, done := lost(t, f, drivers)
		defer done()
		two := shares(t, faults.Process("two"), "two")
		defer two.Close(context.Background())
		mustToken(t, mustAdd(t, two, "7", drivers[1]))
		if err := two.Remove(t.Context(), "7"); err != nil {
			t.Fatal(err)
		}
		faults.Rejoin("one")
		time.Sleep(time.Hour)
		wantState(t, s, session.Closed)
		if logins, _, _ := f.counts(); logins != 2 {
			t.Errorf("%d logins", logins)
		}
	})
}

// The first booking of a host counts as long as the others, although its process has
// not yet heard what time it is at the store.
func TestTheFirstBookingIsDatedByTheStoresClock(t *testing.T) {
	for _, ahead := range []time.Duration{72 * time.Hour, -72 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			memory := &store.Memory{}
			memory.Faults().Jump(ahead)
			m := shares(t, memory, "one")
			defer m.Close(context.Background())
			_, d := newWrong("night")
			mustAdd(t, m, "night", d)
			time.Sleep(time.Minute)
			if got := booked(t, memory); len(got) != 1 {
				t.Errorf("the store is %s ahead: after a wrong login: %v", ahead, got)
			}
		})
	}
}

// The reason says what is wrong with a damaged ledger.
func TestALedgerThatIsDamagedIsNotAStoreThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		if _, _, err := memory.Swap(t.Context(), "h/pbx.test", 0, []byte("not a ledger"), 0); err != nil {
			t.Fatal(err)
		}
		_, drivers := newShared(1, time.Hour)
		m := shares(t, memory, "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		time.Sleep(time.Minute)
		if text := s.Status().Err.Error(); !strings.Contains(text, "cannot be read") {
			t.Error(text)
		}
	})
}

// A store that serves reads and refuses writes, as one without memory does, is left
// alone like one that is away, and the reason is its own.
func TestAStoreThatRefusesWritesIsNotFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		faults.Intercept(func(op store.Op) (f store.Fault) {
			if op.Swap {
				f.Before = errors.New("out of memory")
			}
			return f
		})
		_, drivers := newShared(1, time.Hour)
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		time.Sleep(time.Minute)
		if n := m.Stats().Store.Operations; n > 400 {
			t.Errorf("%d operations in a minute", n)
		}
		if err := s.Status().Err; !strings.Contains(err.Error(), "out of memory") {
			t.Errorf("the reason is %v", err)
		}
	})
}
