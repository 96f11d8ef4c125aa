package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/rs/zerolog"
)

func TestAStatusHasAllThatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{life: time.Hour, takes: time.Second}
		f.login = func(context.Context) (*pbx.Token, error) {
			token := f.token()
			token.Details = json.RawMessage(`{"role":"admin"}`)
			return token, nil
		}
		start := time.Now()
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		defer s.Close(context.Background())
		if got := s.Status(); got.State != session.Connecting || !got.Since.Equal(start) {
			t.Errorf("at first: %+v", got)
		}
		mustToken(t, s)
		got := s.Status()
		if got.State != session.Live || !got.Since.Equal(start.Add(time.Second)) || !got.ExpiresAt.Equal(start.Add(time.Second+time.Hour)) ||
			!got.Next.After(start) || !got.Next.Before(got.ExpiresAt) || string(got.Details) != `{"role":"admin"}` || got.Err != nil {
			t.Errorf("with a token: %+v", got)
		}
	})
}

func TestAStatusPrintsItsErrorBeforeItsWarning(t *testing.T) {
	since := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	status := session.Status{
		State: session.Rejected, Since: since, Warning: "another program may log in with this account",
		Err: &pbx.Error{Driver: "acme", Op: pbx.OpLogin, Kind: pbx.ErrInvalidCredentials},
	}
	const want = "rejected since 2026-11-27T12:00:00Z: acme: login: invalid credentials; warning: another program may log in with this account"
	if got := status.String(); got != want {
		t.Errorf("it is %q, want %q", got, want)
	}
}

func TestALockedSessionPromisesNoRequest(t *testing.T) {
	since := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	status := session.Status{State: session.Locked, LockedBy: session.LockedByBudget, Since: since, Next: since.Add(5 * time.Minute)}
	const want = "locked since 2026-11-27T12:00:00Z, locked by the budget, looks again at 2026-11-27T12:05:00Z"
	if got := status.String(); got != want {
		t.Errorf("it is %q, want %q", got, want)
	}
}

func TestASessionPrintsAsItsNamePBXAndState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		s, err := m.Add("crm-7", &fake{life: time.Hour, traits: onHost("pbx.test")})
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, s)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
			if got := fmt.Sprintf(verb, s); got != "session crm-7 https://pbx.test live" {
				t.Errorf("%s: %q", verb, got)
			}
			if got := fmt.Sprintf(verb, m); got != "session manager with 1 sessions" {
				t.Errorf("%s: %q", verb, got)
			}
		}
	})
}

func TestAnErrorsText(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cause := errors.New("no route")
	for _, row := range []struct {
		err  session.Error
		want string
	}{
		{session.Error{State: session.Unavailable, Since: since}, "session: unavailable since 2026-01-02T03:04:05Z"},
		{session.Error{Session: "crm-7", State: session.Unavailable, Since: since, Next: since.Add(time.Minute), Err: cause},
			"session crm-7: unavailable since 2026-01-02T03:04:05Z, next attempt at 2026-01-02T03:05:05Z at the latest: no route"},
		{session.Error{State: session.Locked, Since: since, Next: since.Add(time.Minute), Err: cause},
			"session: locked since 2026-01-02T03:04:05Z, looks again at 2026-01-02T03:05:05Z: no route"},
		{session.Error{Session: "crm-7", State: session.Rejected, Since: since, Next: since.Add(time.Minute), Err: cause},
			"session crm-7: rejected since 2026-01-02T03:04:05Z, no login until Retry is called or the credentials change: no route"},
		{session.Error{State: session.State(99), Since: since, Err: cause}, "session: unknown since 2026-01-02T03:04:05Z: no route"},
		{session.Error{State: session.State(-1), Since: since, Err: cause}, "session: unknown since 2026-01-02T03:04:05Z: no route"},
		{session.Error{State: session.Closed + 1, Since: since, Err: cause}, "session: unknown since 2026-01-02T03:04:05Z: no route"},
	} {
		if got := row.err.Error(); got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
}

func TestAnErrorSaysWhichSessionAndSinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		s, err := m.Add("crm-7", &fake{login: fails(pbx.ErrInvalidCredentials, true)})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for _, want := range []session.State{session.Rejected, session.Closed} {
			_, err := s.Token(t.Context())
			var got *session.Error
			if !errors.As(err, &got) || got.Session != "crm-7" || got.State != want || !got.Since.Equal(start) {
				t.Errorf("error is %#v", err)
			}
			time.Sleep(time.Second)
			s.Close(t.Context())
			start = start.Add(time.Second)
		}
	})
}

func TestTheLevelOfALogLineDistinguishesTroubleFromRoutine(t *testing.T) {
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		f := &fake{life: 30 * time.Minute}
		s := session.New(f, &session.Options{Guard: &session.Guard{}, Logger: zerolog.New(&log)})
		mustToken(t, s)
		time.Sleep(22 * time.Minute) // a renewal
		f.set(func() {
			f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
				return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, true)
			}
		})
		time.Sleep(20*time.Minute + 30*time.Second) // one that fails for a while
		f.set(func() { f.beat = nil })
		time.Sleep(8 * time.Minute)
		wantState(t, s, session.Live)
		f.set(func() { f.login = fails(pbx.ErrUnavailable, false) })
		s.Invalidate(mustToken(t, s))
		synctest.Wait()
		f.set(func() { f.login = fails(pbx.ErrLocked, true) })
		time.Sleep(2 * time.Second)
		s.Close(t.Context())
	})
	var got []string
	for line := range strings.Lines(log.String()) {
		var fields map[string]string
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		if _, there := fields["pbx"]; there {
			t.Errorf("a line has the address of a PBX that is not known: %s", line)
		}
		if _, there := fields["session"]; there {
			t.Errorf("a line has the name of a session that has none: %s", line)
		}
		trouble := ""
		if fields["error"] != "" {
			trouble = "!"
		}
		got = append(got, fields["level"]+" "+fields["from"]+" "+fields["state"]+trouble)
	}
	want := []string{
		"info connecting live", "debug live renewing", "debug renewing live",
		"debug live renewing", "warn renewing renewing!", "info renewing live",
		"info live connecting", "warn connecting unavailable!", "info unavailable connecting!", "warn connecting locked!", "info locked closed",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("lines\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAWatcherSeesANewSessionBeforeItsFirstChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var seen []string
		go func() {
			for s, status := range m.Watch(ctx) {
				seen = append(seen, s.Name()+" "+status.State.String())
			}
		}()
		synctest.Wait()
		if _, err := m.Add("crm-7", &fake{takes: time.Second}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(seen) != 1 || seen[0] != "crm-7 connecting" {
			t.Errorf("seen: %q", seen)
		}
		m.Close(context.Background())
	})
}

// A program sends a Status to its user interface as it is.
func TestAStatusInJSONHasWhatThereIsAndItsErrorAsText(t *testing.T) {
	since := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	refused := &pbx.Error{Driver: "acme", Op: pbx.OpLogin, Kind: pbx.ErrLocked}
	for want, status := range map[string]session.Status{
		`{"state":"connecting","since":"2026-11-27T12:00:00Z"}`: {Since: since},
		`{"state":"locked","since":"2026-11-27T12:00:00Z","next":"2026-11-27T12:10:00Z","locked_by":"PBX","error":"acme: login: locked out"}`: {
			State: session.Locked, LockedBy: session.LockedByPBX, Since: since, Next: since.Add(10 * time.Minute), Err: refused},
		`{"state":"live","since":"2026-11-27T12:00:00Z","expires":"2026-11-27T13:00:00Z","warning":"look","process":"crm-1","details":{"role":"admin"},"error":"text <only>"}`: {
			State: session.Live, Since: since, ExpiresAt: since.Add(time.Hour), Warning: "look", Process: "crm-1",
			Details: json.RawMessage(`{"role":"admin"}`), Err: errors.New("text <only>")},
	} {
		text, err := json.Marshal(status)
		var got, wanted map[string]any
		if err != nil || json.Unmarshal(text, &got) != nil || json.Unmarshal([]byte(want), &wanted) != nil || !reflect.DeepEqual(got, wanted) {
			t.Errorf("%s, %v, want %s", text, err, want)
		}
	}
}

func TestAStateIsItsNameInJSON(t *testing.T) {
	text, err := json.Marshal(map[string]session.State{"state": session.Live})
	if err != nil || string(text) != `{"state":"live"}` {
		t.Errorf("%s, %v", text, err)
	}
}

func TestALookAtTheCredentialsLeavesTheStateOfAWaitingSessionAsItIs(t *testing.T) {
	unchanged := func(context.Context, int32) (bool, error) { return false, nil }
	for name, row := range map[string]struct {
		f     *fake
		wrong int // logins to the host before
		state session.State
	}{
		"an outage":             {&fake{traits: onHost("pbx.test"), down: true, login: fails(pbx.ErrUnavailable, false)}, 0, session.Unavailable},
		"no room in the budget": {&fake{traits: onHost("pbx.test")}, 3, session.Locked},
		"the PBX has locked us": {&fake{traits: onHost("pbx.test"), login: fails(pbx.ErrLocked, true)}, 0, session.Locked},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				guard := &session.Guard{}
				for range row.wrong {
					_, end := on(guard, &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true)})
					defer end()
					synctest.Wait()
				}
				l := &looking{fake: row.f, look: unchanged}
				s := session.New(l, &session.Options{Guard: guard, Logger: zerolog.New(&log)})
				defer s.Close(context.Background())
				start := time.Now()
				time.Sleep(9*time.Minute + 30*time.Second)
				synctest.Wait() // until the log is written
				got, looks := s.Status(), l.looks.Load()
				if got.State != row.state || got.Since.Sub(start) > time.Second {
					t.Errorf("after %s: %s", time.Since(start), got)
				}
				if looks == 0 {
					t.Error("it did not look")
				}
				if lines := strings.Count(log.String(), "\n"); lines > 2 {
					t.Errorf("%d lines for %d looks:\n%s", lines, looks, &log)
				}
			})
		})
	}
}
