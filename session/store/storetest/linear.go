package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/pbxauth/pbx/session/store"
)

// input is an operation on a cell. Values are numbers that are written once; 0
// removes the cell.
type input struct {
	key   string
	swap  bool
	rev   uint64
	value int
}

// output is what an operation returned. The outcome of a Swap that returned an
// error is not known.
type output struct {
	known, won bool
	rev        uint64
	value      int
}

// state is a cell. A value with revision 0 was written by a Swap whose revision
// has not been seen yet.
type state struct {
	rev   uint64
	value int
}

// register is a cell as porcupine sees it.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := make(map[string][]porcupine.Operation)
		for _, op := range history {
			key := op.Input.(input).key
			byKey[key] = append(byKey[key], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return state{} },
	Step: func(s, in, out any) (bool, any) { return step(s.(state), in.(input), out.(output)) },
}

// step reports whether an operation may return out on a cell in state s, and the
// state after it.
func step(s state, in input, out output) (bool, state) {
	matches := in.rev == s.rev && (s.rev != 0 || s.value == 0)
	switch {
	case !in.swap || out.known && !out.won:
		seen := s.value == out.value && (s.rev == out.rev || s.rev == 0 && s.value != 0)
		return seen && !(in.swap && matches), state{out.rev, out.value}
	case out.known:
		return matches && out.value == in.value && (out.rev == 0) == (in.value == 0) && (in.value == 0 || out.rev > s.rev),
			state{out.rev, in.value}
	case matches:
		return true, state{0, in.value}
	}
	return true, s
}

// recorder collects the history of several clients.
type recorder struct {
	start time.Time

	mu  sync.Mutex
	ops []porcupine.Operation
}

func (r *recorder) record(client int, in input, began, ended time.Duration, out output) {
	if !out.known {
		if !in.swap {
			return // a Load that failed says nothing
		}
		ended = 1 << 62 // it may take effect at any time
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, porcupine.Operation{ClientId: client, Input: in, Call: int64(began), Output: out, Return: int64(ended)})
}

// errForeign says that a cell holds what no client wrote.
var errForeign = errors.New("a value that no process wrote")

// history has all clients work on two cells at random and returns what happened.
// during, if not nil, is called when each client has done half of its share.
func (c *check) history(perClient int, remove, tolerant bool, during func()) []porcupine.Operation {
	r := &recorder{start: time.Now()}
	limit := patience
	if tolerant {
		limit = time.Second
	}
	keys := []string{c.key("x"), c.key("y")}
	var half sync.WaitGroup
	half.Add(len(c.clients))
	resume := make(chan struct{})
	go func() {
		half.Wait()
		if during != nil {
			during()
		}
		close(resume)
	}()
	c.together(func(n int, s store.Store) error {
		random := rand.New(rand.NewPCG(uint64(n), 1))
		seen := make(map[string]uint64)
		for i := range perClient {
			if i == perClient/2 {
				half.Done()
				<-resume
			}
			in := input{key: keys[random.IntN(len(keys))], swap: random.IntN(2) == 0}
			if in.swap {
				in.rev = seen[in.key]
				if !remove || random.IntN(8) > 0 {
					in.value = 1 + n*perClient + i
				}
			}
			began := time.Since(r.start)
			ctx, cancel := context.WithTimeout(c.ctx, limit)
			out, err := do(ctx, s, in)
			cancel()
			ended := time.Since(r.start)
			if err != nil && (!tolerant || errors.Is(err, errForeign)) {
				if i < perClient/2 {
					half.Done()
				}
				return err
			}
			if err == nil {
				seen[in.key] = out.rev
			}
			r.record(n, in, began, ended, out)
		}
		return nil
	})
	return r.ops
}

func do(ctx context.Context, s store.Store, in input) (output, error) {
	var e store.Entry
	var won bool
	var err error
	if in.swap {
		var value []byte
		if in.value != 0 {
			value = []byte(strconv.Itoa(in.value))
		}
		e, won, err = s.Swap(ctx, in.key, in.rev, value, 0)
	} else {
		e, err = s.Load(ctx, in.key)
	}
	if err != nil {
		return output{}, err
	}
	out := output{known: true, won: won, rev: e.Rev}
	if len(e.Value) > 0 {
		if out.value, err = strconv.Atoi(string(e.Value)); err != nil {
			return output{}, fmt.Errorf("%w: %.40q", errForeign, e.Value)
		}
	}
	return out, nil
}

// judge reports whether the cells of a history were linearizable.
func judge(history []porcupine.Operation) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(register, withoutUnseen(history), patience)
}

// withoutUnseen leaves out the Swaps with an unknown outcome whose value no client
// has seen. They explain nothing, for only who has seen a value can replace it, and
// each of them doubles what porcupine has to try.
func withoutUnseen(history []porcupine.Operation) []porcupine.Operation {
	seen := make(map[int]bool)
	for _, op := range history {
		if out := op.Output.(output); out.known {
			seen[out.value] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(history), func(op porcupine.Operation) bool {
		in, out := op.Input.(input), op.Output.(output)
		return !out.known && in.value != 0 && !seen[in.value]
	})
}

func linearizable(c *check) {
	c.linear(c.history(150, true, false, nil))
}

func linearizableWhileFailing(c *check) {
	stop := c.faults.Disturb(c.t)
	defer stop()
	history := c.history(150, false, true, nil)
	failed := 0
	for _, op := range history {
		if !op.Output.(output).known {
			failed++
		}
	}
	if failed == 0 {
		c.failf("the fault Disturb made no Swap fail")
	}
	c.linear(history)
}

func (c *check) linear(history []porcupine.Operation) {
	if result := judge(history); result != porcupine.Ok {
		c.failf("%d operations of %d clients are not linearizable: porcupine says %s", len(history), len(c.clients), result)
	}
}
