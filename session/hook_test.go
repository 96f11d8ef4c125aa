package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/rs/zerolog"
)

func TestOnOpGetsEveryOperationInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, OnOp: func(o session.OpInfo) {
			told = append(told, fmt.Sprintf("%s %s %s %s %s %v", o.Session, o.Driver, o.URL, o.Op, o.Took, o.Err))
			if o.Started.IsZero() {
				t.Error("an operation that never began")
			}
		}})
		f := &fake{traits: named("a", "pbx.test"), life: time.Hour, takes: time.Second}
		mustAdd(t, m, "7", f)
		time.Sleep(time.Minute)
		f.set(func() {
			f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) { return nil, errors.New("broken") }
		})
		time.Sleep(45 * time.Minute)
		m.Close(context.Background())
		url := f.traits.URL
		want := []string{
			"7 a " + url + " login 1s <nil>",
			"7 a " + url + " keep-alive 1s broken",
			"7 a " + url + " logout 1s <nil>",
		}
		if len(told) < 3 || told[0] != want[0] || told[1] != want[1] || told[len(told)-1] != want[2] {
			t.Errorf("got %q, want %q", told, want)
		}
	})
}

// What OnOp does is its own affair: sessions go on.
func TestAnOnOpThatBlocksHoldsNothingUpAndLosesWhatIsTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		release := make(chan struct{})
		var mu sync.Mutex
		told := 0
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Workers: 1, Logger: zerolog.New(&log),
			OnOp: func(session.OpInfo) { <-release; mu.Lock(); told++; mu.Unlock() }})
		mustAdd(t, m, "7", &fake{life: 10 * time.Second})
		time.Sleep(24 * time.Hour)
		done := m.Stats().KeepAlives + m.Stats().Logins
		if done < 12_000 {
			t.Fatalf("%d operations in a day", done)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		m.Close(ctx) // ends with ctx
		close(release)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if lost := int(done) + 1 - told; told != 10_001 || !strings.Contains(log.String(), fmt.Sprintf(`"operations":%d`, lost)) {
			t.Errorf("OnOp got %d of %d, and the log says %s", told, done, log.String())
		}
	})
}

func TestRemoveWaitsForTheOperationsSoFarAndNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var over atomic.Bool
		var logouts atomic.Int32
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Timeout: time.Hour, OnOp: func(o session.OpInfo) {
			if !over.Load() {
				time.Sleep(2 * time.Second)
			}
			if o.Session == "0" && o.Op == pbx.OpLogout {
				logouts.Add(1)
			}
		}})
		for i := range 50 { // more than a keep-alive each 2 s
			mustAdd(t, m, fmt.Sprint(i), &fake{life: time.Minute, traits: onHost(fmt.Sprint(i, ".test"))})
		}
		time.Sleep(3 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		if err := m.Remove(ctx, "0"); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 50*time.Minute { // it has an hour
			t.Errorf("Remove took %s", took)
		}
		if logouts.Load() != 1 {
			t.Error("it did not wait for its own logout")
		}
		over.Store(true)
		m.Close(t.Context())
	})
}

func TestAnOnOpThatPanicsOrEndsItsGoroutineIsContained(t *testing.T) {
	for name, row := range map[string]struct {
		fail func()
		says string
	}{
		"panics":             {func() { panic("the password is " + canaryOnOp) }, "panic in Options.OnOp"},
		"ends its goroutine": {runtime.Goexit, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log lockedBuffer
				told := 0
				m := session.NewManager(&session.Options{Guard: &session.Guard{}, Logger: zerolog.New(&log),
					OnOp: func(session.OpInfo) { told++; row.fail() }})
				s := mustAdd(t, m, "7", &fake{life: time.Hour})
				mustToken(t, s)
				m.Close(context.Background())
				if told != 2 {
					t.Errorf("got %d operations, want a login and a logout", told)
				}
				if !strings.Contains(log.String(), row.says) || strings.Contains(log.String(), canaryOnOp) {
					t.Errorf("the log says %s", log.String())
				}
			})
		})
	}
}

const canaryOnOp = "canary-onop-81f2"

// lockedBuffer may be written and read at once.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// panicsOnce is a writer whose first write panics.
type panicsOnce struct{ lockedBuffer }

func (p *panicsOnce) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.b.Len() == 0 {
		p.b.WriteString("panicked\n")
		panic("the disk is full")
	}
	return p.b.Write(line)
}

func TestALogWriterThatPanicsLosesOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log panicsOnce
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Logger: zerolog.New(&log)})
		mustToken(t, mustAdd(t, m, "7", &fake{life: time.Hour}))
		mustToken(t, mustAdd(t, m, "8", &fake{life: time.Hour}))
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		m.Close(ctx)
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %s", took)
		}
		if got := strings.Count(log.String(), "\n"); got != 4 { // two logins and two ends, and one of these is lost
			t.Errorf("%d lines, want 4:\n%s", got, log.String())
		}
	})
}
