package drivertest

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// Simulation is a simulated PBX in virtual time, and a driver opened on it.
type Simulation[D Driver] struct {
	*pbxsim.PBX
	Server *pbxsim.Server
	Driver D
}

// Simulate runs f in virtual time. open gets the URL and the transport of the PBX that
// simulated makes.
func Simulate[D Driver](t *testing.T, simulated func() *pbxsim.PBX, open func(pbx.Config) (D, error), f func(t *testing.T, s Simulation[D])) {
	t.Helper()
	InMemory(t, simulated, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		driver, err := open(pbx.Config{URL: s.URL, Transport: s.Client().Transport})
		if err != nil {
			t.Fatal(err)
		}
		f(t, Simulation[D]{p, s, driver})
	})
}

// Login logs in.
func (s Simulation[D]) Login(t testing.TB) *pbx.Token {
	t.Helper()
	token, err := s.Driver.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Session starts a session with a lockout budget of its own.
func (s Simulation[D]) Session() *session.Session {
	return session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
}

// Last returns the newest request.
func (s Simulation[D]) Last() pbxsim.Record {
	log := s.Log()
	return log[len(log)-1]
}

// Bodies returns the bodies of the requests so far with this action, or of all if it is
// empty.
func (s Simulation[D]) Bodies(action pbxsim.Action) []string {
	var bodies []string
	for _, record := range s.Log() {
		if action == "" || record.Action == action {
			bodies = append(bodies, string(record.Body))
		}
	}
	return bodies
}

// LogoutOfADeadTokenIsDone checks that a logout succeeds of a token that is logged out,
// has expired, or is unknown to the PBX.
func (s Simulation[D]) LogoutOfADeadTokenIsDone(t testing.TB) {
	t.Helper()
	loggedOut, expired, forgotten := s.Login(t), s.Login(t), s.Login(t)
	if err := s.Driver.Logout(t.Context(), loggedOut); err != nil {
		t.Fatal(err)
	}
	s.Expire(expired.Value.Reveal())
	s.Revoke(forgotten.Value.Reveal())
	for _, token := range []*pbx.Token{loggedOut, expired, forgotten} {
		if err := s.Driver.Logout(t.Context(), token); err != nil {
			t.Error(err)
		}
	}
}

// RoundTrip sends a request of the application with token, and returns the response
// and its body, for the driver to inspect.
func RoundTrip(t testing.TB, driver Driver, r *http.Request, token *pbx.Token) (*http.Response, []byte) {
	t.Helper()
	r = r.WithContext(t.Context())
	if err := driver.Authorize(r, token); err != nil {
		t.Fatal(err)
	}
	resp, err := driver.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

// LockedByOthers checks that a lock which looks like a wrong password, and which others
// have caused, ends a session for no longer than it lasts. It begins at a renewal.
func (s Simulation[D]) LockedByOthers(t *testing.T, user, password string) {
	t.Helper()
	kept := s.Session()
	defer kept.Close(t.Context())
	if _, err := kept.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	for renewal := range 3 {
		s.SetPassword(user, password+", during the lock")
		for before := s.Counts().WrongLogins; s.Counts().WrongLogins == before; {
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Minute)
		s.SetPassword(user, password)
		time.Sleep(time.Minute)
		if got := kept.Status(); got.State != session.Live {
			t.Fatalf("a minute after lock %d: %s", renewal+1, got)
		}
	}
	if got := s.Counts(); got.WrongLogins != 3 || got.Locks != 0 {
		t.Errorf("%+v", got)
	}
}
