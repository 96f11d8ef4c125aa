package session_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/session"
)

// withoutGet is a transport to a server that responds to each GET with a status of its
// own, whether the PBX is up or not.
type withoutGet struct {
	http.RoundTripper
	status int
}

func (w withoutGet) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(r)
	if err == nil && r.Method == http.MethodGet && resp.StatusCode < 500 {
		resp.StatusCode = w.status
	}
	return resp, err
}

// addWithoutGet adds a session at a server without GET, whose checks get HTTP 500.
func (o *office) addWithoutGet(user, password string) *session.Session {
	o.t.Helper()
	auth, err := pbx.Open(o.brand.Driver, pbx.Config{
		URL: o.server.URL, Username: user, Password: pbx.NewSecret(password), Options: o.brand.Options,
		Transport: withoutGet{o.server.Client().Transport, http.StatusInternalServerError},
	})
	if err != nil {
		o.t.Fatal(err)
	}
	o.added++
	s, err := o.manager.Add(fmt.Sprint(user, " ", o.added), auth)
	if err != nil {
		o.t.Fatal(err)
	}
	o.sessions = append(o.sessions, s)
	return s
}

// ofDrivers is one simulator of each of the drivers.
func ofDrivers(t *testing.T, names ...string) (all []simulators.Simulator) {
	for _, brand := range brands() {
		for _, name := range names {
			if brand.Driver == name {
				all = append(all, brand)
			}
		}
	}
	if len(all) != len(names) {
		t.Fatalf("%d of %d drivers", len(all), len(names))
	}
	return all
}

// loseToken has a session log in anew. Its response is lost if lost is true.
func (o *office) loseToken(s *session.Session, lost bool) {
	if lost {
		o.sim.Fault(pbxsim.Fault{On: pbxsim.Login, Drop: pbxsim.DropAfter, Times: 1})
	}
	if token, err := s.Token(expired); err == nil {
		s.Invalidate(token)
	}
}

func TestAPBXWhoseChecksAlwaysFailIsLiveWithinTheHourAndThenWithoutIt(t *testing.T) {
	for _, brand := range ofDrivers(t, "yeastar", "uis") {
		for _, trouble := range []string{"a lost response", "a neighbour's wrong password"} {
			t.Run(fmt.Sprintf("%s, %s", brand.Name(), trouble), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					o := newOffice(t, brand, 3, pbxsim.Options{})
					defer o.close()
					for i := range 2 {
						o.addWithoutGet(fmt.Sprint("user-", i), fmt.Sprint("secret-", i))
					}
					time.Sleep(time.Minute)
					for round := range 3 {
						lost := trouble == "a lost response"
						if !lost && round == 0 {
							o.addWithoutGet("user-2", "wrong")
							o.sessions = o.sessions[:2]
							time.Sleep(time.Minute)
						}
						for _, s := range o.sessions {
							o.loseToken(s, lost)
							lost = false
						}
						if round == 0 {
							time.Sleep(time.Hour)
						}
						time.Sleep(time.Minute)
						for _, s := range o.sessions {
							if err := o.works(s); err != nil {
								t.Errorf("round %d: %v: %v", round, s.Status(), err)
							}
						}
						o.wantNoLock()
						time.Sleep(time.Hour)
					}
				})
			})
		}
	}
}

// An outage in which a proxy responds looks like a PBX whose checks always fail.
func TestALongOutageCostsFewLoginsAndKeepsTheLastPlace(t *testing.T) {
	for _, brand := range brands() {
		for _, outage := range []pbxsim.Outage{pbxsim.BadGateway, pbxsim.Failing} {
			t.Run(fmt.Sprintf("%s, %s", brand.Name(), outage), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					const length = 10 * time.Hour
					o := newOffice(t, brand, 3, pbxsim.Options{})
					defer o.close()
					o.addAll(3)
					time.Sleep(time.Minute)
					o.sim.Restart()
					o.sim.Down(outage)
					for _, s := range o.sessions {
						o.loseToken(s, false)
					}
					time.Sleep(time.Minute)
					before := o.sim.Counts().Logins
					time.Sleep(length)
					if n := o.sim.Counts().Logins - before; n > 2 {
						t.Errorf("%d logins in the outage", n)
					}
					o.sim.Up()
					time.Sleep(15*time.Second + 5*time.Minute)
					o.wantAll()
				})
			})
		}
	}
}

func TestAnAccountThatKeepsItsLastPlaceDoesNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		add := func(account, key string) (*printed, *session.Session) {
			p := &printed{fake: &fake{traits: onHost("pbx.test"), life: 24 * time.Hour}, print: key, wrong: key == "wrong"}
			p.traits.Account, p.traits.Lockout = account, pbx.Lockout{Attempts: 4, PerAccount: true, Memory: pbx.Forever}
			return p, mustAdd(t, m, account+" "+key, responding{p, http.StatusInternalServerError})
		}
		lost, first := add("a", "one")
		_, second := add("a", "two")
		_, neighbour := add("b", "three")
		sessions := []*session.Session{first, second, neighbour}
		var tokens []*pbx.Token
		for _, s := range sessions {
			tokens = append(tokens, mustToken(t, s))
		}
		add("a", "wrong")
		time.Sleep(time.Second)
		lost.set(func() { lost.login = fails(pbx.ErrUnavailable, true) })
		for i, s := range sessions { // the account has one place left after the first
			s.Invalidate(tokens[i])
			time.Sleep(2 * time.Second)
		}
		time.Sleep(time.Hour + time.Minute)
		wantState(t, neighbour, session.Live)
	})
}
