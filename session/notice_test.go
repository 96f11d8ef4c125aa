package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
	"github.com/rs/zerolog"
)

func TestASessionThatAnotherProcessRemovesEndsAtOnce(t *testing.T) {
	for _, name := range []string{
		"Büro 7/a_b", // a name that keys cannot have
		"Общество с ограниченной ответственностью «Ромашка», Москва, Тверская улица, 7", // and is too long for them
		strings.Repeat("x", 96), strings.Repeat("x", 97), strings.Repeat("x", 1000),
	} {
		synctest.Test(t, func(t *testing.T) {
			memory := &store.Memory{}
			_, drivers := newShared(2, time.Hour)
			one, two := shares(t, memory, "one"), shares(t, memory, "two")
			defer one.Close(context.Background())
			defer two.Close(context.Background())
			mustToken(t, mustAdd(t, one, name, drivers[0]))
			s := mustAdd(t, two, name, drivers[1])
			mustToken(t, s)
			time.Sleep(time.Millisecond) // else the store reports the adoption and the removal as one change
			if err := one.Remove(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if got := s.Status(); got.State != session.Closed {
				t.Errorf("%s: a second later: %v", name, got)
			}
		})
	}
}

func TestAStoreThatIsBackIsUsedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		for i := range 50 {
			f := &fake{life: 30 * time.Minute, traits: onHost(fmt.Sprintf("pbx-%d.test", i))}
			f.traits.Account = "sales"
			mustToken(t, mustAdd(t, m, fmt.Sprint(i), f))
		}
		faults.Cut("one")
		for _, s := range m.All() {
			s.Invalidate(mustToken(t, s))
		}
		time.Sleep(time.Hour)
		if n := m.Stats().Unavailable; n != 50 {
			t.Fatalf("without the store, %d of 50 are unavailable", n)
		}
		faults.Rejoin("one")
		time.Sleep(1100 * time.Millisecond)
		if n := m.Stats().Live; n != 50 {
			t.Errorf("a second after the store is back, %d of 50 are live", n)
		}
	})
}

// Pauses are kept, whatever other processes write. Else processes would drive each
// other on while their PBX fails.
func TestANoticeEndsNoPause(t *testing.T) {
	beats := func(s store.Store) (n int) {
		synctest.Test(t, func(t *testing.T) {
			f, drivers := newShared(4, 10*time.Hour)
			f.takes = time.Second
			for i, auth := range drivers {
				m := shares(t, s, string(rune('a'+i)))
				defer m.Close(context.Background())
				mustToken(t, mustAdd(t, m, "7", auth))
			}
			f.set(func() {
				f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
					return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, true)
				}
			})
			time.Sleep(9 * time.Hour)
			_, n, _ = f.counts()
		})
		return n
	}
	with, without := beats(&store.Memory{}), beats(tacit{&store.Memory{}})
	if without < 20 || with > 2*without {
		t.Errorf("%d keep-alives that fail, %d without notices", with, without)
	}
}

// loud is a store whose notices a test makes.
type loud struct {
	store.Store
	changed chan func(key string)
	err     error // of Watch
}

func (l *loud) Watch(ctx context.Context, changed func(string)) error {
	if l.err != nil {
		return l.err
	}
	l.changed <- changed
	<-ctx.Done()
	return ctx.Err()
}

// Notices that come together lead to one look, and those of other cells to none.
func TestNoticesLeadToFewLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		_, drivers := newShared(1, time.Hour)
		l := &loud{Store: faults.Process("one"), changed: make(chan func(string), 1)}
		m := shares(t, l, "one")
		defer m.Close(context.Background())
		var key atomic.Pointer[string]
		var loads, swaps atomic.Int64
		faults.Intercept(func(op store.Op) store.Fault {
			if strings.HasPrefix(op.Key, "s/") {
				key.Store(&op.Key)
			}
			if op.Swap {
				swaps.Add(1)
			} else {
				loads.Add(1)
			}
			return store.Fault{}
		})
		mustToken(t, mustAdd(t, m, "7", drivers[0]))
		time.Sleep(time.Second)
		changed := <-l.changed
		loads.Store(0)
		swaps.Store(0)
		for range 1000 {
			for _, other := range []string{"h/pbx.test", "s/8/0123456789abcdef", "s/7/0123456789abcdef", "s/_7", "?"} {
				changed(other)
			}
			time.Sleep(time.Millisecond)
		}
		if loads.Load()+swaps.Load() != 0 {
			t.Errorf("%d loads, %d swaps for notices that do not concern the session", loads.Load(), swaps.Load())
		}
		for range 1000 {
			changed(*key.Load())
			time.Sleep(time.Millisecond)
		}
		if n := loads.Load(); n < 40 || n > 51 || swaps.Load() != 0 {
			t.Errorf("%d loads, %d swaps in a second of notices", n, swaps.Load())
		}
	})
}

func TestAStoreThatCannotReportChangesIsWarnedOfOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, drivers := newShared(1, time.Hour)
		var log bytes.Buffer
		m := session.NewManager(&session.Options{Logger: zerolog.New(&log),
			Store: share(t, &loud{Store: &store.Memory{}, err: errors.New("no notices here")}, "one")})
		mustToken(t, mustAdd(t, m, "7", drivers[0]))
		time.Sleep(24 * time.Hour)
		if err := m.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if text := log.String(); strings.Count(text, "no notices here") != 1 || strings.Count(text, `"level":"warn"`) != 1 {
			t.Errorf("the log is %s", text)
		}
	})
}

// A Remove also ends the sessions of other processes that have no token: they would
// log in later, and so bring the session back.
func TestASessionWithoutATokenThatAnotherProcessRemovesEndsAtOnce(t *testing.T) {
	for name, fails := range map[string]error{
		"a wrong password": told(pbx.OpLogin, pbx.ErrInvalidCredentials, true),
		"an outage":        told(pbx.OpLogin, pbx.ErrUnavailable, false),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := &store.Memory{}
				f, drivers := newShared(3, time.Hour)
				f.down = true
				f.login = func(context.Context) (*pbx.Token, error) { return nil, fails }
				one, two := shares(t, memory, "one"), shares(t, memory, "two")
				defer one.Close(context.Background())
				defer two.Close(context.Background())
				mustAdd(t, one, "7", drivers[0])
				s := mustAdd(t, two, "7", drivers[1])
				time.Sleep(10 * time.Minute)
				if err := one.Remove(t.Context(), "7"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				wantState(t, s, session.Closed)
				f.set(func() { f.down, f.login = false, nil })
				drivers[2].(*printed).print = "sales:corrected"
				again := mustAdd(t, one, "7", drivers[2]) // it was removed before that
				time.Sleep(time.Minute)
				wantState(t, again, session.Live)
			})
		})
	}
}

// lateWatch is a store that takes its time until it reports changes.
type lateWatch struct{ *store.Memory }

func (l lateWatch) Watch(ctx context.Context, changed func(string)) error {
	time.Sleep(time.Second)
	return l.Memory.Watch(ctx, changed)
}

func TestWhatHappensBeforeAStoreReportsChangesIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, drivers := newShared(2, time.Hour)
		late := lateWatch{&store.Memory{}}
		one, two := shares(t, late, "one"), shares(t, late, "two")
		defer one.Close(context.Background())
		defer two.Close(context.Background())
		mustToken(t, mustAdd(t, one, "7", drivers[0]))
		s := mustAdd(t, two, "7", drivers[1])
		mustToken(t, s)
		if err := one.Remove(t.Context(), "7"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		wantState(t, s, session.Closed)
	})
}

// Of the notices after a write of its own, a session takes one for the notice of that
// write, and the next for another process's.
func TestASessionThatAnotherProcessRemovesJustAfterAWriteOfItsOwnEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, drivers := newShared(2, time.Hour)
		f.takes = 100 * time.Millisecond
		p := newPair(t, f, func(i int) pbx.Authenticator { return drivers[i] })
		defer p.close()
		time.Sleep(time.Minute)
		s := p.sessions[1]
		s.Invalidate(mustToken(t, s))
		mustToken(t, s)
		synctest.Wait() // it has just been written, and the notice of that is there
		if err := p.managers[0].Remove(t.Context(), "7"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		wantState(t, s, session.Closed)
	})
}

// Sessions that wait for the PBX write nothing: else each would be told of what the
// other has written, look, and write as well.
func TestSessionsThatWaitForThePBXDoNotKeepEachOtherBusy(t *testing.T) {
	for name, kind := range map[string]pbx.KeepAliveKind{"for a login": pbx.KeepAliveNone, "for a keep-alive": pbx.KeepAliveHeartbeat} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, drivers := newShared(2, 10*time.Hour)
				f.traits.KeepAlive = kind
				p := newPair(t, f, func(i int) pbx.Authenticator { return drivers[i] })
				defer p.close()
				down := told(pbx.OpLogin, pbx.ErrUnavailable, false)
				f.set(func() {
					f.down = true
					f.login = func(context.Context) (*pbx.Token, error) { return nil, down }
					f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) { return nil, down }
				})
				if kind == pbx.KeepAliveNone {
					for _, s := range p.sessions {
						s.Invalidate(mustToken(t, s))
					}
				} else {
					time.Sleep(8 * time.Hour) // it is to be renewed
				}
				time.Sleep(10 * time.Minute)
				var operations atomic.Int64
				p.faults.Intercept(func(store.Op) store.Fault {
					operations.Add(1)
					return store.Fault{}
				})
				time.Sleep(time.Hour)
				if n := operations.Load(); n > 500 {
					t.Errorf("%d operations of the store in an hour", n)
				}
				f.set(func() { f.down, f.login, f.beat = false, nil, nil })
				time.Sleep(time.Hour) // a keep-alive has its pause
				for _, s := range p.sessions {
					wantState(t, s, session.Live)
				}
			})
		})
	}
}
