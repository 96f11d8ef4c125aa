package storetest_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pbxauth/pbx/session/store"
	"github.com/pbxauth/pbx/session/store/storetest"
)

func TestMemory(t *testing.T) {
	var m store.Memory
	f := m.Faults()
	var processes atomic.Int32
	each := func(do func(process string)) func(testing.TB) {
		return func(testing.TB) {
			for n := range processes.Load() {
				do(fmt.Sprint(n))
			}
		}
	}
	storetest.Run(t, func(testing.TB) store.Store {
		return f.Process(fmt.Sprint(processes.Add(1) - 1))
	}, storetest.Faults{
		Stop:   each(f.Cut),
		Start:  each(f.Rejoin),
		Hang:   func(testing.TB) { f.Intercept(func(store.Op) store.Fault { return store.Fault{Delay: time.Hour} }) },
		Resume: func(testing.TB) { f.Intercept(nil) },
		Disturb: func(testing.TB) func() {
			var n atomic.Int32
			lost := errors.New("lost")
			f.Intercept(func(op store.Op) store.Fault {
				switch n.Add(1) % 20 {
				case 7:
					return store.Fault{Before: lost}
				case 13:
					return store.Fault{After: lost}
				}
				return store.Fault{}
			})
			return func() { f.Intercept(nil) }
		},
		Forget: func(testing.TB) { f.ForgetAll() },
		Jump:   func(_ testing.TB, d time.Duration) { f.Jump(d) },
	})
}
