package storetest

import (
	"fmt"
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/pbxauth/pbx/session/store"
)

// memoryCheck is a check of a Memory whose clients are processes 1 to 4.
func memoryCheck(t *testing.T) (*check, *store.Faults) {
	var m store.Memory
	f := m.Faults()
	n := 0
	open := func(testing.TB) store.Store { n++; return f.Process(fmt.Sprint(n)) }
	return newCheck(t, open, Faults{}), f
}

func judged(t *testing.T, c *check, during func()) porcupine.CheckResult {
	var history []porcupine.Operation
	if err := c.run(rule{test: func(c *check) { history = c.history(100, false, false, during) }}); err != nil {
		t.Fatal(err)
	}
	return judge(history)
}

// A checker that finds nothing wrong with a store that forgets would find nothing
// wrong with any.
func TestForgettingIsNotLinearizable(t *testing.T) {
	c, f := memoryCheck(t)
	if result := judged(t, c, f.ForgetAll); result != porcupine.Illegal {
		t.Errorf("porcupine says %s", result)
	}
}

func TestEachWrongResponseIsIllegal(t *testing.T) {
	present := state{rev: 5, value: 50}
	unseen := state{value: 60} // written, its revision not seen
	for _, c := range []struct {
		name string
		s    state
		in   input
		out  output
		want bool
	}{
		{"load of the present", present, input{}, output{known: true, rev: 5, value: 50}, true},
		{"load of another value", present, input{}, output{known: true, rev: 5, value: 49}, false},
		{"load of another revision", present, input{}, output{known: true, rev: 4, value: 50}, false},
		{"load of nothing", present, input{}, output{known: true}, false},
		{"load of a value that was removed", state{}, input{}, output{known: true, rev: 5, value: 50}, false},
		{"load shows the revision", unseen, input{}, output{known: true, rev: 6, value: 60}, true},
		{"win", present, input{swap: true, rev: 5, value: 51}, output{known: true, won: true, rev: 6, value: 51}, true},
		{"win with another revision", present, input{swap: true, rev: 4, value: 51}, output{known: true, won: true, rev: 6, value: 51}, false},
		{"win over nothing", present, input{swap: true, value: 51}, output{known: true, won: true, rev: 6, value: 51}, false},
		{"win without a higher revision", present, input{swap: true, rev: 5, value: 51}, output{known: true, won: true, rev: 5, value: 51}, false},
		{"win that returns another value", present, input{swap: true, rev: 5, value: 51}, output{known: true, won: true, rev: 6, value: 50}, false},
		{"win over an unseen revision", unseen, input{swap: true, rev: 5, value: 51}, output{known: true, won: true, rev: 6, value: 51}, false},
		{"removal", present, input{swap: true, rev: 5}, output{known: true, won: true}, true},
		{"removal that keeps a revision", present, input{swap: true, rev: 5}, output{known: true, won: true, rev: 6}, false},
		{"loss", present, input{swap: true, rev: 4, value: 51}, output{known: true, rev: 5, value: 50}, true},
		{"loss with the present revision", present, input{swap: true, rev: 5, value: 51}, output{known: true, rev: 5, value: 50}, false},
		{"loss of nothing to nothing", state{}, input{swap: true, value: 51}, output{known: true}, false},
		{"loss that returns another value", present, input{swap: true, rev: 4, value: 51}, output{known: true, rev: 5, value: 49}, false},
	} {
		if got, _ := step(c.s, c.in, c.out); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
