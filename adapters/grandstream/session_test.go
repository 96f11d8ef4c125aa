package grandstream_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/grandstream"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

const harmless = `{"request":{"action":"getSystemGeneralStatus"}}`

func TestADeadCookieIsNoticedWhateverItsStatus(t *testing.T) {
	for _, settings := range []grandstreamsim.Options{{}, {DeadCookie: -5}, {DeadCookie: -6}, {StatusInString: true}} {
		simulate(t, settings, nil, func(t *testing.T, s simulation) {
			token := s.Login(t)
			if err := request(t, s, token, harmless); err != nil {
				t.Error(err)
			}
			s.Restart()
			if err := request(t, s, token, harmless); failure(t, err).Kind != pbx.ErrTokenRejected {
				t.Errorf("%+v: %v", settings, err)
			}
		})
	}
}

// Whether requests prolong a cookie is not documented. If they do not, a session
// believes in a dead one, until the PBX refuses it, and then logs in again.
func TestASessionSurvivesACookieThatNothingProlongs(t *testing.T) {
	simulate(t, grandstreamsim.Options{Fixed: true}, nil, func(t *testing.T, s simulation) {
		kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
		defer kept.Close(context.Background())
		for range 24 * 60 {
			if _, err := kept.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		counts := s.Counts()
		if most := 24*60/10 + 1; counts.Logins > most || counts.WrongLogins != 0 {
			t.Errorf("%d logins in a day, want %d at most, and %d were wrong", counts.Logins, most, counts.WrongLogins)
		}
	})
}

// An application that seldom asks meets a dead cookie now and then. That is no sign of
// another program with the same account, and each request is answered.
func TestRequestsAreSentOnceMoreWhereNothingProlongsACookie(t *testing.T) {
	simulate(t, grandstreamsim.Options{Fixed: true}, nil, func(t *testing.T, s simulation) {
		kept := s.Session()
		defer kept.Close(context.Background())
		for hour := range 7 * 24 {
			resp, err := kept.Client().Post(s.Server.URL+"/api", "application/json", strings.NewReader(harmless))
			if err != nil {
				t.Fatalf("hour %d: %v", hour, err)
			}
			resp.Body.Close()
			time.Sleep(time.Hour)
		}
	})
}

// -7 and -8 are a dead cookie to the PBX's own web interface. They may come after
// the PBX has acted, so a session asks before it gives up the token.
func TestATimeOutOfThePBXIsAmbiguous(t *testing.T) {
	simulate(t, grandstreamsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		for _, status := range []string{"-7", "-8"} {
			s.Fault(pbxsim.Fault{Body: []byte(`{"response":{},"status":` + status + `}`)})
			err := request(t, s, token, harmless)
			if got := failure(t, err); got.Kind != pbx.ErrUnavailable || !got.Ambiguous {
				t.Errorf("%v, ambiguous %v", err, got.Ambiguous)
			}
			if err := s.Driver.Ping(t.Context(), token); err != nil {
				t.Errorf("Ping: %v", err)
			}
		}
	})
}

// The PBX may have acted before it ran out of time, also where it responds so to the
// ping as well: an application's request is sent once, and the token is replaced.
func TestARequestThatMetATimeOutOfThePBXIsNotRepeated(t *testing.T) {
	for _, status := range []int{-7, -8} {
		simulate(t, grandstreamsim.Options{DeadCookie: status}, nil, func(t *testing.T, s simulation) {
			kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
			defer kept.Close(context.Background())
			send := func() error {
				resp, err := kept.Do(drivertest.NewRequest(t, http.MethodPost, s.Server.URL+"/api", "", harmless))
				if resp != nil {
					resp.Body.Close()
				}
				return err
			}
			if err := send(); err != nil {
				t.Fatal(err)
			}
			s.Restart()
			before := s.Counts().AppRequests
			if err := send(); failure(t, err).Kind != pbx.ErrUnavailable {
				t.Errorf("status %d: %v", status, err)
			}
			if n := s.Counts().AppRequests - before; n != 0 {
				t.Errorf("status %d: the request was repeated", status)
			}
			if err := send(); err != nil {
				t.Errorf("status %d, with another token: %v", status, err)
			}
		})
	}
}

// A user that may not make the keep-alive's call keeps its cookie to its end, and
// then logs in again. The error names the permission.
func TestAKeepAliveThatIsNotPermittedEndsNoSession(t *testing.T) {
	simulate(t, grandstreamsim.Options{}, nil, func(t *testing.T, s simulation) {
		kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
		defer kept.Close(context.Background())
		s.Fault(pbxsim.Fault{On: pbxsim.KeepAlive, Body: []byte(`{"response":{},"status":-47}`), Times: -1})
		for range 60 {
			if _, err := kept.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if counts := s.Counts(); counts.Logins < 5 || counts.Logins > 7 {
			t.Errorf("%d logins in an hour, want one for each life of ten minutes", counts.Logins)
		}
	})
}

// Other sessions of this machine wait as well, and no attempt is counted.
func TestTooFrequentIsAPauseAndNoWrongPassword(t *testing.T) {
	simulate(t, grandstreamsim.Options{}, nil, func(t *testing.T, s simulation) {
		s.Fault(pbxsim.Fault{On: pbxsim.Login, Body: []byte(`{"response":{},"status":-45}`), Times: 6})
		start := time.Now()
		kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
		defer kept.Close(context.Background())
		for {
			if _, err := kept.Token(t.Context()); err == nil {
				break
			} else if errors.Is(err, pbx.ErrInvalidCredentials) || time.Since(start) > 5*time.Minute {
				t.Fatalf("after %s: %v", time.Since(start), err)
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(start); took < 90*time.Second {
			t.Errorf("six pauses of 15 s take %s", took)
		}
	})
}

func TestAnIdleLifetimeThatTheOperatorSetHolds(t *testing.T) {
	simulate(t, grandstreamsim.Options{}, func(c *grandstream.Config) { c.TokenTTL = 2 * time.Minute }, func(t *testing.T, s simulation) {
		kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
		defer kept.Close(context.Background())
		time.Sleep(time.Hour)
		if counts := s.Counts(); counts.Logins != 1 || counts.KeepAlives < 30 || counts.KeepAlives > 60 {
			t.Errorf("%d logins and %d keep-alives in 30 lives", counts.Logins, counts.KeepAlives)
		}
	})
}
