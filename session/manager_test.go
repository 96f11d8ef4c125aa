package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/rs/zerolog"
)

func TestAManagerKeepsManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		var fakes []*fake
		for i := range 100 {
			f := &fake{life: 30 * time.Minute}
			fakes = append(fakes, f)
			if _, err := m.Add(fmt.Sprint(i), f); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Hour)
		for i, f := range fakes {
			s, ok := m.Session(fmt.Sprint(i))
			if !ok {
				t.Fatalf("session %d is not found", i)
			}
			mustToken(t, s)
			if logins, beats, _ := f.counts(); logins != 1 || beats < 25 || beats > 33 {
				t.Fatalf("%d logins and %d keep-alives in ten hours", logins, beats)
			}
		}
		if err := m.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, f := range fakes {
			wantCounts(t, f, 1, f.beats, 1)
		}
		if _, ok := m.Session("0"); ok {
			t.Fatal("a closed session is still found")
		}
		_, err := m.Add("late", &fake{})
		wantKind(t, err, session.ErrClosed)
	})
}

func TestNoMoreCallsThanWorkersAreUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Workers: 4})
		defer m.Close(context.Background())
		f := &fake{life: time.Hour, takes: time.Second}
		for i := range 40 {
			if _, err := m.Add(fmt.Sprint(i), f); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		for i := range 40 {
			s, _ := m.Session(fmt.Sprint(i))
			mustToken(t, s)
		}
		if took := time.Since(start); took != 10*time.Second || f.together != 4 {
			t.Fatalf("%d at once, in %s", f.together, took)
		}
	})
}

func TestANameIsTakenOnlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		s, err := m.Add("crm-7", &fake{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Add("crm-7", &fake{}); err == nil || !strings.Contains(err.Error(), `"crm-7" is taken`) {
			t.Fatalf("error is %v", err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Add("crm-7", &fake{}); err != nil {
			t.Fatalf("the name of a closed session is not free: %v", err)
		}
	})
}

func TestCloseReportsWhoCouldNotBeLoggedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		bad := &fake{life: time.Hour, logout: func(context.Context, *pbx.Token) error {
			return &pbx.Error{Driver: "fake", Op: pbx.OpLogout, Kind: pbx.ErrUnavailable}
		}}
		for name, f := range map[string]*fake{"good": {life: time.Hour}, "bad": bad} {
			s, err := m.Add(name, f)
			if err != nil {
				t.Fatal(err)
			}
			mustToken(t, s)
		}
		err := m.Close(t.Context())
		if !errors.Is(err, pbx.ErrUnavailable) || err.Error() != "session bad: fake: logout: unavailable" {
			t.Fatalf("error is %v", err)
		}
	})
}

func TestOneLogLinePerChangeOfStateAndNoneForTheRoutine(t *testing.T) {
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Logger: zerolog.New(&log).Level(zerolog.InfoLevel)})
		f := &fake{life: 30 * time.Minute, traits: onHost("pbx.test")}
		s, err := m.Add("crm-7", f)
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, s)
		time.Sleep(10 * time.Hour) // some thirty keep-alives
		f.set(func() { f.login = fails(pbx.ErrInvalidCredentials, true) })
		s.Reject(mustToken(t, s))
		s.Token(t.Context())
		m.Close(t.Context())
	})
	var got []string
	for line := range strings.Lines(log.String()) {
		var fields struct{ Level, Session, PBX, From, State, Error string }
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		if fields.Session != "crm-7" || fields.PBX != "https://pbx.test" {
			t.Errorf("line %s", line)
		}
		got = append(got, fields.Level+" "+fields.From+" "+fields.State+" "+fields.Error)
	}
	want := []string{
		"info connecting live ",
		"info live connecting ",
		"warn connecting rejected fake: login: invalid credentials: as told",
		"info rejected closed ",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("lines\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What was handed to one process, by Detach, is where the next one begins.
func TestATokenOfAnEarlierProcessIsResumed(t *testing.T) {
	for _, row := range []struct {
		name          string
		away          time.Duration
		change        func(f *fake, t *pbx.Token)
		logins, beats int // of the second process, at once
	}{
		{"alive", 10 * time.Minute, nil, 0, 0},
		{"nearly dead", 29*time.Minute + 58*time.Second, nil, 0, 1},
		{"dead", time.Hour, nil, 1, 0},
		{"dead, with a refresh token that lives", time.Hour, func(f *fake, t *pbx.Token) {
			f.traits.KeepAlive = pbx.KeepAliveRefresh
			t.Refresh = pbx.NewSecret("refresh")
		}, 0, 1},
		{"without an end", time.Hour, func(f *fake, t *pbx.Token) { f.life, t.ExpiresAt = 0, time.Time{} }, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{life: 30 * time.Minute, traits: onHost("pbx.test")}
				first := session.New(f, &session.Options{Guard: &session.Guard{}})
				mustToken(t, first)
				kept := *first.Detach(t.Context())
				if row.change != nil {
					row.change(f, &kept)
				}
				time.Sleep(row.away)

				m := session.NewManager(&session.Options{Guard: &session.Guard{}})
				defer m.Close(context.Background())
				s, err := m.Resume("7", f, &kept)
				if err != nil {
					t.Fatal(err)
				}
				mustToken(t, s)
				time.Sleep(2 * time.Second)
				wantState(t, s, session.Live)
				wantCounts(t, f, 1+row.logins, row.beats, 0)
				if n := m.Stats().Live; n != 1 {
					t.Errorf("%d sessions are live", n)
				}
				time.Sleep(24 * time.Hour)
				wantState(t, s, session.Live)
			})
		})
	}
}

func TestAResumedTokenThatThePBXHasForgottenIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{life: time.Hour, traits: onHost("pbx.test")}
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		s, err := m.Resume("7", inspecting{f}, &pbx.Token{Value: pbx.NewSecret("of yesterday"), ExpiresAt: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		gate := &gate{good: "token-1"}
		get(t, &http.Client{Transport: s.Transport(gate)}, "https://pbx.test/api/call")
		if token := mustToken(t, s); token.Value.Reveal() != "token-1" {
			t.Errorf("the token is %s", token.Value.Reveal())
		}
		wantCounts(t, f, 1, 0, 0)
	})
}

func TestThereIsNoResumingWithoutAToken(t *testing.T) {
	m := session.NewManager(nil)
	defer m.Close(context.Background())
	for _, none := range []*pbx.Token{nil, {}} {
		if _, err := m.Resume("7", &fake{}, none); err == nil || !strings.Contains(err.Error(), "use Add") {
			t.Errorf("error is %v", err)
		}
	}
	if _, there := m.Session("7"); there {
		t.Error("there is a session")
	}
}

// Otherwise the first to hear of it would be whoever gets no token.
func TestARenewalThatBeginsToFailIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Logger: zerolog.New(&logged).Level(zerolog.WarnLevel)})
		defer m.Close(context.Background())
		f := &fake{life: 30 * time.Minute, traits: onHost("pbx.test")}
		s, err := m.Add("7", f)
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, s)
		told := 0
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for _, status := range m.Watch(ctx) {
				if status.State == session.Renewing && status.Err != nil {
					told++
				}
			}
		}()
		f.set(func() {
			f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
				return nil, &pbx.Error{Op: pbx.OpKeepAlive, Kind: pbx.ErrUnavailable, Sent: true}
			}
		})
		time.Sleep(time.Until(s.Status().ExpiresAt) - time.Minute)
		cancel()
		synctest.Wait()
		mustToken(t, s)
		if _, beats, _ := f.counts(); beats < 3 || told != 1 || strings.Count(logged.String(), "\n") != 1 {
			t.Errorf("%d keep-alives failed, the watcher was told %d times, logged:\n%s", beats, told, logged.String())
		}
	})
}

func TestASessionClosedBeforeItBeganStaysClosed(t *testing.T) {
	for range 5_000 { // to meet the moment between its name and its beginning
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		added := make(chan *session.Session)
		go func() {
			s, _ := m.Resume("7", &fake{life: time.Hour}, &pbx.Token{Value: pbx.NewSecret("kept"), ExpiresAt: time.Now().Add(time.Hour)})
			added <- s
		}()
		for _, there := m.Session("7"); !there; _, there = m.Session("7") { // at once
		}
		m.Close(context.Background())
		if _, err := (<-added).Token(context.Background()); !errors.Is(err, session.ErrClosed) {
			t.Fatalf("Token of a closed session: %v", err)
		}
		if n := m.Stats().Sessions(); n != 0 {
			t.Fatalf("%d sessions are left", n)
		}
	}
}
