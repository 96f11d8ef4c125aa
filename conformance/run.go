package conformance

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
)

// Run puts the driver to every rule, each in a subtest named by its ID.
func Run(t *testing.T, h Harness) {
	if err := h.check(); err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		t.Run(r.ID, func(t *testing.T) {
			got := inBubble(t, func() outcome { return r.examine(h) })
			switch {
			case got.skipped != "":
				t.Skip(got.skipped)
			case got.err != nil:
				t.Errorf("%s\n%s\nwhy: %s", r.Says, got.err, r.Why)
			}
		})
	}
}

// inBubble runs f in virtual time. A bubble that cannot end, since the driver
// waits for what never comes, is a failure of the rule and not of the process.
func inBubble(t *testing.T, f func() outcome) (got outcome) {
	defer func() {
		if v := recover(); v != nil {
			got = outcome{err: fmt.Errorf("goroutines of the driver wait for ever: %v", v)}
		}
	}()
	synctest.Test(t, func(*testing.T) { got = f() })
	return got
}

// outcome is what became of a rule: broken, skipped, or neither.
type outcome struct {
	err     error
	skipped string
}

// examine tries one rule. It must be called in a bubble, for it may take days.
func (r Rule) examine(h Harness) (got outcome) {
	if reason := h.Skip[r.ID]; reason != "" {
		return outcome{skipped: reason}
	}
	t, err := newTrial(h, r.options)
	if err != nil {
		return outcome{err: err}
	}
	defer func() {
		if v := recover(); v != nil { // in the Harness's funcs, or in Authorize or Inspect
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
