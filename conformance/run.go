package conformance

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Run puts the driver to every rule, each in a subtest named by its ID.
func Run(t *testing.T, h Harness) {
	if err := h.check(); err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		t.Run(r.ID, func(t *testing.T) {
			got := r.try(t, h)
			switch {
			case got.skipped != "":
				t.Skip(got.skipped)
			case got.err != nil:
				t.Errorf("%s\n%s\nwhy: %s", r.Says, got.err, r.Why)
			}
		})
	}
}

// Verify puts the driver to every rule and reports. It is for any program, with
// or without a test around it, and its time is virtual all the same: package
// synctest asks for a *testing.T, and makes do with an empty one, on which it
// only counts failures. It registers no flags and prints nothing; but a driver
// that panics in a goroutine of its own takes the program with it. That an empty
// one will do is not promised by package testing; a test here builds such a
// program and runs it.
//
// It panics if the Harness is not usable.
func Verify(h Harness) Report {
	if err := h.check(); err != nil {
		panic(err)
	}
	report := newReport(h)
	for _, r := range rules {
		report.add(r.ID, r.try(new(testing.T), h))
	}
	return report
}

// stuckAfter is how long, in real time, a rule may take: some hundred times what
// the longest takes on an idle machine.
var stuckAfter = time.Minute

// try examines a rule, and comes back whatever the driver does. What is stuck
// is left behind: nothing can end it.
func (r Rule) try(t *testing.T, h Harness) outcome {
	result := make(chan outcome, 1)
	go func() {
		got := outcome{err: errors.New("the race detector has found something, and says on standard error what")}
		defer func() { result <- got }() // also where synctest, counting a failure, ends this goroutine
		defer func() {
			if v := recover(); v != nil { // a bubble that cannot end
				got = outcome{err: fmt.Errorf("goroutines of the driver wait for ever: %v", v)}
			}
		}()
		if r.overTLS {
			got = r.examine(h)
			return
		}
		var found outcome
		synctest.Test(t, func(*testing.T) { found = r.examine(h) })
		got = found
	}()
	stuck := time.NewTimer(stuckAfter)
	defer stuck.Stop()
	select {
	case got := <-result:
		return got
	case <-stuck.C:
		return outcome{err: fmt.Errorf("after %s nothing moves: does the driver hold a lock during a call? Who waits for one cannot be cancelled", stuckAfter)}
	}
}

// outcome is what became of a rule: broken, skipped, or neither.
type outcome struct {
	err     error
	skipped string
}

// examine looks at one rule. Unless that is over TLS, it must be called in a
// bubble, for it may take days.
func (r Rule) examine(h Harness) (got outcome) {
	if reason := h.Skip[r.ID]; reason != "" {
		return outcome{skipped: reason}
	}
	defer func() {
		if v := recover(); v != nil { // in Harness.Simulator
			got = outcome{err: fmt.Errorf("panic: %v", v)}
		}
	}()
	t, err := newTrial(h, r)
	if err != nil {
		return outcome{err: err}
	}
	defer func() {
		if v := recover(); v != nil { // in the Harness's Call, or in Authorize or Inspect
			t.fault("panic: %v", v)
		}
		if err := t.end(); got.skipped == "" {
			got.err = errors.Join(got.err, err)
		}
	}()
	for _, need := range r.needs {
		if reason := need(t); reason != "" {
			return outcome{skipped: reason}
		}
	}
	return outcome{err: r.check(t)}
}
