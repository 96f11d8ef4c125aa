package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// first is the rule that every other one builds on.
const first = "LOGIN-01"

// Run checks every rule, each in a subtest named by its ID. If LOGIN-01 fails, it
// stops there, and says what is wrong with the driver or the harness, as far as
// it is known.
func Run(t *testing.T, h Harness) {
	h, err := h.ready()
	if err != nil {
		t.Fatal(err)
	}
	if reason := h.unusable(t); reason != nil {
		t.Fatalf("fix %s first: %s", first, reason)
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

// Verify checks every rule and reports. It works in any program, not only in a
// test, and its time is virtual all the same: package synctest asks for a
// *testing.T, and gets an empty one, on which it only counts failures. Package
// testing does not promise that this works, so a test here builds such a program
// and runs it. Verify registers no flags and prints nothing. A driver that panics
// in a goroutine of its own ends the program.
//
// If LOGIN-01 fails, the report has that failure alone, and all other rules are
// skipped. Verify panics if the Harness is not usable.
func Verify(h Harness) Report {
	h, err := h.ready()
	if err != nil {
		panic(err)
	}
	report := newReport(h)
	reason := h.unusable(new(testing.T))
	for _, r := range rules {
		switch {
		case reason == nil:
			report.add(r.ID, r.try(new(testing.T), h))
		case r.ID == first:
			report.add(r.ID, outcome{err: reason})
		default:
			report.add(r.ID, outcome{skipped: "fix " + first + " first"})
		}
	}
	return report
}

// unusable returns why the first rule fails, and what is likely to be wrong. It
// is nil if the rule is passed or skipped.
func (h Harness) unusable(t *testing.T) error {
	i := slices.IndexFunc(rules, func(r Rule) bool { return r.ID == first })
	rule := rules[i]
	rule.check = func(bed *testbed) error {
		err := rules[i].check(bed)
		switch hint := bed.diagnosis(err); {
		case hint == "":
			return err
		case err == nil:
			return errors.New(hint)
		default:
			return fmt.Errorf("%s: %w", hint, err)
		}
	}
	return rule.try(t, h).err
}

// diagnosis says what is wrong with a driver or harness whose first login ended
// with err, as far as it is known.
func (t *testbed) diagnosis(err error) string {
	t.mu.Lock()
	issued := len(t.issued)
	t.mu.Unlock()
	counts := t.sim.Counts()
	switch {
	case t.transport.requests.Load() == 0:
		return "the driver does not send over Config.Transport, the only way to the suite's PBX"
	case counts.Requests == 0:
		return "the driver's requests do not go to Config.URL"
	case counts.GoodLogins > 0 && issued == 0:
		return "Harness.Simulator does not pass NewToken on to pbxsim.New: it must pass on all of its options"
	case err == nil:
		return ""
	}
	t.sim.SetPassword(account, password)
	if _, err := t.auth.Login(context.Background()); err == nil && counts.WrongLogins > 0 {
		return "Harness.Simulator does not pass Accounts on to pbxsim.New: it must pass on all of its options"
	}
	return ""
}

// stuckAfter is how long, in real time, nothing may happen between the driver and
// the PBX: a thousand times what that takes on an idle machine.
var stuckAfter = time.Minute

// try checks a rule, and returns whatever the driver does. A stuck goroutine is
// left behind, because nothing can end it.
func (r Rule) try(t *testing.T, h Harness) outcome {
	result := make(chan outcome, 1)
	progress := new(atomic.Int64)
	r.progress = progress
	go func() {
		got := outcome{err: errors.New("the race detector has found a race: see standard error")}
		defer func() { result <- got }() // also where synctest, counting a failure, ends this goroutine
		defer func() {
			if v := recover(); v != nil { // a bubble that cannot end
				got = outcome{err: fmt.Errorf("goroutines of the driver wait without end: %v", v)}
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
	for seen := progress.Load(); ; {
		select {
		case got := <-result:
			return got
		case <-time.After(stuckAfter):
		}
		if now := progress.Load(); now != seen {
			seen = now
			continue
		}
		return outcome{err: fmt.Errorf("after %s nothing moves: does the driver hold a lock during a request? Waiting for a lock cannot be cancelled", stuckAfter)}
	}
}

// outcome is the result of a rule: failed, skipped, or neither.
type outcome struct {
	err     error
	skipped string
}

// examine checks one rule. Unless that is over TLS, it must be called in a
// synctest bubble, because it may take days.
func (r Rule) examine(h Harness) (got outcome) {
	if reason := h.Skip[r.ID]; reason != "" {
		return outcome{skipped: reason}
	}
	defer func() {
		if v := recover(); v != nil { // in Harness.Simulator
			got = outcome{err: fmt.Errorf("panic: %v%s", v, panicPlace())}
		}
	}()
	t, err := newTestbed(h, r)
	if err != nil {
		return outcome{err: err}
	}
	defer func() {
		if v := recover(); v != nil { // in the Harness's Call, or in Authorize or Inspect
			t.fault("panic: %v%s", v, panicPlace())
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
