package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var contextRules = []Rule{
	{
		ID:   "CONTEXT-01",
		Says: "Every operation, Ping too, returns at once when its context is cancelled, also while the PBX sends nothing, and its error matches context.Canceled.",
		Why:  "A user has closed the window, or the process stops. A PBX behind a firewall may never respond.",
		check: func(t *testbed) error {
			return obeys(t, context.Canceled, func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(context.Background())
				time.AfterFunc(contextEnd, cancel)
				return ctx, cancel
			})
		},
	},
	{
		ID:   "CONTEXT-02",
		Says: "Every operation, Ping too, returns at its context's deadline, and its error matches context.DeadlineExceeded.",
		Why:  "Sessions bound every operation. One that overruns takes the place of another PBX.",
		check: func(t *testbed) error {
			return obeys(t, context.DeadlineExceeded, func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(context.Background(), contextEnd)
			})
		},
	},
	{
		ID:    "CONTEXT-03",
		Says:  "With a context that has already ended, nothing is sent, and Sent is false.",
		Why:   "If nothing was sent, no wrong login can have been counted, and the lockout budget is not charged.",
		check: endedBefore,
	},
}

const contextEnd = 5 * time.Second

// obeys runs each operation against a silent PBX, with a context that ends with
// the error want after contextEnd.
func obeys(t *testbed, want error, begin func() (context.Context, context.CancelFunc)) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	for _, op := range t.sending(token) {
		t.sim.Fault(pbxsim.Fault{On: op.action, Hang: true, Times: -1})
		ctx, cancel := begin()
		start := time.Now()
		err := op.run(ctx)
		took := time.Since(start)
		cancel()
		t.sim.ClearFaults()
		switch {
		case took < contextEnd:
			return fmt.Errorf("%s returns before its context has ended: %v", op.name, err)
		case took > contextEnd+100*time.Millisecond:
			return fmt.Errorf("%s returns %s after its context has ended", op.name, took-contextEnd)
		case !errors.Is(err, want):
			return fmt.Errorf("%s: the error does not match %v: %v", op.name, want, err)
		}
		if err := errors.Join(ofKind(err), sent(err, true)); err != nil {
			return at(op.name, err)
		}
	}
	return nil
}

func endedBefore(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, op := range t.sending(token) {
		before := t.sim.Counts().Requests
		err := op.run(ctx)
		if t.sim.Counts().Requests != before {
			return fmt.Errorf("%s sends a request", op.name)
		}
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("%s: the error does not match context.Canceled: %v", op.name, err)
		}
		if err := sent(err, false); err != nil {
			return at(op.name, err)
		}
	}
	return nil
}
