//go:build linux

package realservers

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

var (
	long    = flag.Bool("long", false, "run the tests that take many minutes")
	verbose = flag.Bool("sessions", false, "print the sessions' log")
	tables  = flag.Bool("table", false, "print the tables of README.md")
)

// Most tests wait for a server most of the time.
func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		flag.Set("test.parallel", "24")
	}
	status := m.Run()
	if *tables {
		printTables(os.Stdout)
	}
	os.Exit(status)
}

func onlyLong(t *testing.T) {
	t.Helper()
	if !*long {
		t.Skip("takes many minutes: run it with -long")
	}
}

// fleet is a Manager with a lockout budget of its own: the servers of all tests
// have the same host.
type fleet struct {
	*session.Manager
	guard    *session.Guard
	sessions []*session.Session
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{guard: &session.Guard{}}
	options := &session.Options{Guard: f.guard, PerHost: 8}
	if *verbose {
		options.Logger = zerolog.New(zerolog.ConsoleWriter{Out: os.Stderr, NoColor: true}).With().Timestamp().Str("test", t.Name()).Logger()
	}
	f.Manager = session.NewManager(options)
	t.Cleanup(f.close)
	return f
}

// close ends the sessions. The servers may be gone by then.
func (f *fleet) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	f.Manager.Close(ctx)
}

// add makes n sessions of one account.
func (f *fleet) add(t *testing.T, n int, auth func() pbx.Authenticator) []*session.Session {
	t.Helper()
	var added []*session.Session
	for range n {
		s, err := f.Add(fmt.Sprintf("s%d", len(f.sessions)+1), auth())
		if err != nil {
			t.Fatal(err)
		}
		f.sessions = append(f.sessions, s)
		added = append(added, s)
	}
	return added
}

// live counts the sessions that have a token.
func live(sessions []*session.Session) (n int) {
	for _, s := range sessions {
		if st := s.Status().State; st == session.Live || st == session.Renewing {
			n++
		}
	}
	return n
}

// inState counts the sessions in a state.
func inState(sessions []*session.Session, state session.State) (n int) {
	for _, s := range sessions {
		if s.Status().State == state {
			n++
		}
	}
	return n
}

// allLive waits until all sessions have a token, and returns how long it took.
func allLive(t *testing.T, within time.Duration, sessions []*session.Session) time.Duration {
	t.Helper()
	begin := time.Now()
	for live(sessions) < len(sessions) {
		if time.Since(begin) > within {
			t.Errorf("after %s %d of %d sessions are live: %s", within, live(sessions), len(sessions), describe(sessions))
			break
		}
		pause(t, 50*time.Millisecond)
	}
	return time.Since(begin)
}

// describe says why the first of the sessions that are not live is not.
func describe(sessions []*session.Session) string {
	for _, s := range sessions {
		if st := s.Status(); st.State != session.Live && st.State != session.Renewing {
			wait := "no next attempt"
			if !st.Next.IsZero() {
				wait = "next attempt in " + time.Until(st.Next).Round(time.Second).String()
			}
			return fmt.Sprintf("%s: %v, %s", s, st.Err, wait)
		}
	}
	return ""
}

func read(resp *http.Response) (string, error) {
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return string(text), err
}

// body is for responses that have to be whole.
func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	text, err := read(resp)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
