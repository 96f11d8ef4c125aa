package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
