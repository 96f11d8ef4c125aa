package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

func TestReadyWaitsForTheFirstVerdictOfEachSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 1})
		defer m.Close(context.Background())
		if err := m.Ready(t.Context()); err != nil {
			t.Errorf("an empty fleet: %v", err)
		}
		kinds := []error{nil, pbx.ErrInvalidCredentials, pbx.ErrLocked, pbx.ErrUnavailable, pbx.ErrConfig}
		for i := range 20 {
			f := &fake{traits: onHost(fmt.Sprint(i, ".test")), life: time.Hour}
			if kind := kinds[i%len(kinds)]; kind != nil {
				f.login, f.down = fails(kind, kind != pbx.ErrUnavailable), true
			}
			mustAdd(t, m, fmt.Sprint(i), f)
		}
		begun := time.Now()
		if err := m.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < 15*time.Second || took > 30*time.Second {
			t.Errorf("at one login per second, 20 sessions were ready after %s", took)
		}
		for name, s := range m.All() {
			if status := s.Status(); status.State == session.Connecting && status.Err == nil {
				t.Errorf("session %s has no verdict: %s", name, status)
			}
		}
		if err := m.Ready(t.Context()); err != nil {
			t.Errorf("the second time: %v", err)
		}
	})
}

func TestReadyDoesNotWaitForSessionsThatAreAddedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		mustAdd(t, m, "first", &fake{life: time.Hour, takes: 2 * time.Second})
		begun := time.Now()
		go func() {
			time.Sleep(time.Second)
			mustAdd(t, m, "later", &fake{life: time.Hour, takes: 9 * time.Second})
		}()
		if err := m.Ready(t.Context()); err != nil || time.Since(begun) != 2*time.Second {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
	})
}

func TestReadyObeysItsContextAndSaysHowManyAreMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		mustAdd(t, m, "quick", &fake{life: time.Hour})
		mustAdd(t, m, "slow", &fake{life: time.Hour, takes: 9 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := m.Ready(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 of 2 sessions have no verdict yet") {
			t.Errorf("error %v", err)
		}
	})
}

func TestReadyEndsWithTheManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		mustAdd(t, m, "slow", &fake{life: time.Hour, takes: 5 * time.Second})
		ready := make(chan error)
		go func() { ready <- m.Ready(t.Context()) }()
		synctest.Wait()
		m.Close(context.Background())
		if err := <-ready; !errors.Is(err, session.ErrClosed) {
			t.Errorf("error %v", err)
		}
		if err := m.Ready(t.Context()); !errors.Is(err, session.ErrClosed) {
			t.Errorf("after Close: error %v", err)
		}
	})
}
