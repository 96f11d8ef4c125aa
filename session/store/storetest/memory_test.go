package storetest_test

import (
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
		Forget: func(testing.TB) { f.ForgetAll() },
		Jump:   func(_ testing.TB, d time.Duration) { f.Jump(d) },
	})
}
