package drivertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// LoginsTakeTurns checks a driver whose logins go one after the other, because its PBX
// may remember one challenge only. first is the first request of a login.
func (s Simulation[D]) LoginsTakeTurns(t testing.TB, first pbxsim.Action) {
	t.Helper()
	s.Fault(pbxsim.Fault{On: first, Delay: time.Second, Times: -1})
	done := make(chan error, 5)
	start := time.Now()
	for range 5 {
		go func() {
			_, err := s.Driver.Login(t.Context())
			done <- err
		}()
	}
	for range 5 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(start); took != 5*time.Second {
		t.Errorf("five logins take %s", took)
	}
}

// AWaitingLoginSendsNothing checks that a login whose context ends while it waits for
// its turn ends with it, has sent nothing, and holds up no other.
func (s Simulation[D]) AWaitingLoginSendsNothing(t testing.TB, first pbxsim.Action) {
	t.Helper()
	s.Fault(pbxsim.Fault{On: first, Delay: 10 * time.Second})
	done := make(chan error, 1)
	go func() {
		_, err := s.Driver.Login(t.Context())
		done <- err
	}()
	time.Sleep(time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	start := time.Now()
	_, err := s.Driver.Login(ctx)
	took := time.Since(start)
	if got := Failure(t, s.Driver.Traits().Driver, err); got.Kind != pbx.ErrUnavailable || got.Sent || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, sent %v", err, got.Sent)
	}
	if took != time.Second {
		t.Errorf("its context ends after a second, and the login waits for %s", took)
	}
	if err := <-done; err != nil {
		t.Errorf("the first login: %v", err)
	}
	s.Login(t) // there is nobody to wait for any more
}
