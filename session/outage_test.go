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
	"github.com/pbxauth/pbx/internal/resetting"
	"github.com/pbxauth/pbx/internal/thorough"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// office is a simulated PBX with the sessions of a CRM, in virtual time.
type office struct {
	t        *testing.T
	brand    simulators.Simulator
	sim      *pbxsim.PBX
	server   *pbxsim.Server
	guard    *session.Guard
	manager  *session.Manager
	sessions []*session.Session
	added    int
}

// newOffice starts a PBX with n accounts, user-0 and so on.
func newOffice(t *testing.T, brand simulators.Simulator, n int, options pbxsim.Options) *office {
	t.Helper()
	options.Accounts = map[string]string{}
	for i := range n {
		options.Accounts[fmt.Sprint("user-", i)] = fmt.Sprint("secret-", i)
	}
	o := &office{t: t, brand: brand, sim: brand.New(&options), guard: &session.Guard{}}
	o.server = pbxsim.ListenMemory(o.sim)
	o.manager = session.NewManager(&session.Options{Guard: o.guard})
	return o
}

func (o *office) close() {
	o.manager.Close(context.Background())
	o.server.Close()
}

// add adds the session of an account.
func (o *office) add(user, password string) *session.Session {
	o.t.Helper()
	return o.addAs(user, password, nil)
}

// addAs adds a session whose driver states another lockout.
func (o *office) addAs(user, password string, change func(*pbx.Lockout)) *session.Session {
	o.t.Helper()
	auth, err := pbx.Open(o.brand.Driver, pbx.Config{
		URL: o.server.URL, Username: user, Password: pbx.NewSecret(password), Options: o.brand.Options, Transport: o.server.Client().Transport,
	})
	if err != nil {
		o.t.Fatal(err)
	}
	if change != nil {
		auth = stating{auth, change}
	}
	o.added++
	s, err := o.manager.Add(fmt.Sprint(user, " ", o.added), auth)
	if err != nil {
		o.t.Fatal(err)
	}
	o.sessions = append(o.sessions, s)
	return s
}

// addAll adds n sessions whose passwords are right.
func (o *office) addAll(n int) {
	for i := range n {
		o.add(fmt.Sprint("user-", i), fmt.Sprint("secret-", i))
	}
}

// addProcesses adds a session in each of n processes that share a store. end ends them
// and the office.
func (o *office) addProcesses(n int) (end func()) {
	o.t.Helper()
	o.manager.Close(context.Background())
	shared := &store.Memory{}
	var all []*session.Manager
	for p := range n {
		o.manager = shares(o.t, shared, fmt.Sprint("p", p))
		all = append(all, o.manager)
		o.add(fmt.Sprint("user-", p), fmt.Sprint("secret-", p))
	}
	return func() {
		for _, m := range all {
			m.Close(context.Background())
		}
		o.server.Close()
	}
}

// works reports whether the PBX accepts the session's token.
func (o *office) works(s *session.Session) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	resp, err := s.Do(o.brand.Harmless.At(o.server.URL).WithContext(ctx))
	if resp != nil {
		resp.Body.Close()
	}
	return err
}

// wantAll checks that all sessions work and that nothing is booked.
func (o *office) wantAll() {
	o.t.Helper()
	for _, s := range o.sessions {
		if err := o.works(s); err != nil {
			o.t.Errorf("%v: %v", s.Status(), err)
		}
	}
	o.wantNoLock()
	for _, h := range o.guard.Hosts() {
		if len(h.Bookings) > 0 {
			o.t.Errorf("bookings are left: %+v", h.Bookings)
		}
	}
}

func (o *office) wantNoLock() {
	o.t.Helper()
	if locks := o.sim.Locks(); len(locks) > 0 {
		o.t.Errorf("the PBX has locked this client: %+v", locks)
	}
}

// brands is one simulator of each driver.
func brands() (all []simulators.Simulator) {
	seen := map[string]bool{}
	for _, s := range simulators.All() {
		if !seen[s.Driver] {
			seen[s.Driver] = true
			all = append(all, s)
		}
	}
	return all
}

// Each brand meets each outage, of one of the lengths with one session and of another
// with ten. With PBX_TESTS=all, it meets all lengths with both, and under the race
// detector one of them.
func TestAnOutageCostsNoMoreThanTheOutage(t *testing.T) {
	outages := []pbxsim.Outage{
		pbxsim.Refusing, pbxsim.Resetting, pbxsim.Silent, pbxsim.BadGateway, pbxsim.Failing, pbxsim.Starting, pbxsim.APIDown,
		pbxsim.AsksForPassword, pbxsim.Forbidden, pbxsim.ProxyAsksForPassword, pbxsim.Redirecting, pbxsim.Maintaining, pbxsim.NoRoute,
	}
	for b, brand := range brands() {
		for o, outage := range outages {
			for l, length := range []time.Duration{5 * time.Second, 20 * time.Second, 70 * time.Second, time.Hour} {
				for i, n := range []int{1, 10} {
					plays := (b+o+l+2*i)%4 == 0
					switch {
					case session.RaceDetector:
						plays = (b+o+l+4*i)%8 == 0
					case thorough.Tests():
						plays = true
					}
					if !plays {
						continue
					}
					t.Run(fmt.Sprintf("%s, %s for %s, %d sessions", brand.Name(), outage, length, n), func(t *testing.T) {
						t.Parallel()
						synctest.Test(t, func(t *testing.T) {
							o := newOffice(t, brand, n, pbxsim.Options{})
							defer o.close()
							o.addAll(n)
							time.Sleep(time.Minute)
							o.wantAll()
							o.sim.Restart() // the tokens are dead
							o.sim.Down(outage)
							for _, s := range o.sessions {
								if token, err := s.Token(expired); err == nil {
									s.Invalidate(token)
								}
							}
							time.Sleep(length)
							o.sim.Up()
							time.Sleep(15*time.Second + length/100)
							o.wantAll()
						})
					})
				}
			}
		}
	}
}

// Tokens expire meanwhile, and their renewal gets the page as well.
func TestAPageInFrontWhileTokensExpire(t *testing.T) {
	for b, brand := range brands() {
		for i, outage := range []pbxsim.Outage{pbxsim.Starting, pbxsim.AsksForPassword, pbxsim.Maintaining, pbxsim.NoRoute} {
			for l, length := range []time.Duration{20 * time.Second, 70 * time.Second, time.Hour} {
				if session.RaceDetector && (b+i+l)%3 != 0 {
					continue
				}
				t.Run(fmt.Sprintf("%s, %s for %s", brand.Name(), outage, length), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						o := newOffice(t, brand, 2, pbxsim.Options{Lifetime: 30 * time.Second})
						defer o.close()
						o.addAll(2)
						time.Sleep(time.Minute)
						o.wantAll()
						o.sim.Down(outage)
						time.Sleep(length)
						o.sim.Up()
						for _, s := range o.sessions {
							o.works(s) // a driver may not know that its token has expired
						}
						time.Sleep(15*time.Second + length/100)
						o.wantAll()
					})
				})
			}
		}
	}
}

// A renewal failed in an outage. Nobody has waited for the PBX since, because the token
// worked: the request that finds it dead waits for the check.
func TestARequestWaitsForTheCheckAfterAnOutage(t *testing.T) {
	for _, brand := range ofDrivers(t, "runtel", "starface", "wazo") {
		for _, outage := range []pbxsim.Outage{pbxsim.Silent, pbxsim.BadGateway, pbxsim.AsksForPassword, pbxsim.Maintaining} {
			t.Run(fmt.Sprintf("%s, %s", brand.Name(), outage), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					o := newOffice(t, brand, 1, pbxsim.Options{Lifetime: 2 * time.Minute})
					defer o.close()
					o.addAll(1)
					synctest.Wait()
					o.sim.Down(outage)
					s := o.sessions[0]
					for s.Status().Err == nil {
						time.Sleep(time.Second)
					}
					if state := s.Status().State; state != session.Renewing {
						t.Fatalf("the session is %v", state)
					}
					o.sim.Up()
					o.sim.Restart()
					time.Sleep(6 * time.Second) // the pause after the login, and a check without a response
					o.wantAll()
				})
			})
		}
	}
}

// A check that gets no evidence ends the wait of those who hope for one.
func TestNobodyWaitsForGoodInAnOutage(t *testing.T) {
	for _, brand := range brands() {
		for _, outage := range []pbxsim.Outage{pbxsim.Refusing, pbxsim.BadGateway, pbxsim.Starting, pbxsim.AsksForPassword, pbxsim.Redirecting, pbxsim.NoRoute} {
			t.Run(fmt.Sprintf("%s, %s", brand.Name(), outage), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					o := newOffice(t, brand, 4, pbxsim.Options{})
					defer o.close()
					o.addAll(1)
					time.Sleep(time.Minute)
					o.sim.Down(outage)
					for i := 1; i < 4; i++ {
						o.add(fmt.Sprint("user-", i), fmt.Sprint("secret-", i))
					}
					time.Sleep(20 * time.Second)
					for _, s := range o.sessions[1:] {
						if got := s.Status(); got.State != session.Unavailable || got.Err == nil {
							t.Errorf("%v: %v", got.State, got)
						}
					}
				})
			})
		}
	}
}

// A proxy without a backend responds with HTTP 404 to everything. One login finds out, and
// not one of each process.
func TestAPageInFrontCostsProcessesOneLoginTogether(t *testing.T) {
	for _, brand := range ofDrivers(t, "yeastar", "runtel", "yeastar-p") {
		t.Run(brand.Name(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOffice(t, brand, 4, pbxsim.Options{})
				defer o.addProcesses(4)()
				time.Sleep(time.Minute)
				before := len(o.sim.Logins())
				o.sim.Restart()
				o.sim.Down(pbxsim.Starting)
				for _, s := range o.sessions {
					o.loseToken(s, false)
					time.Sleep(time.Second)
				}
				time.Sleep(9 * time.Minute)
				if n := len(o.sim.Logins()) - before; n != 1 {
					t.Errorf("%d logins in the outage", n)
				}
				time.Sleep(51 * time.Minute)
				o.sim.Up()
				time.Sleep(15*time.Second + 36*time.Second)
				for _, s := range o.sessions {
					if err := o.works(s); err != nil {
						t.Errorf("%v: %v", s.Status(), err)
					}
				}
			})
		})
	}
}

// A login may take ten seconds, and a check five.
func TestAPBXThatIsTooSlowForAQuickCheckIsLiveAfterALostResponse(t *testing.T) {
	for _, brand := range ofDrivers(t, "yeastar", "runtel") {
		t.Run(brand.Name(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOffice(t, brand, 1, pbxsim.Options{})
				defer o.close()
				o.addAll(1)
				time.Sleep(time.Minute)
				s := o.sessions[0]
				o.loseToken(s, true)
				o.sim.Fault(pbxsim.Fault{Times: -1, Delay: 6 * time.Second})
				time.Sleep(11 * time.Minute)
				if _, err := s.Token(t.Context()); err != nil {
					t.Errorf("%v: %v", s.Status(), err)
				}
			})
		})
	}
}

// While the login of one is under way, the others miss what their checks have shown.
func TestProcessesAreLiveTogetherAtAPBXThatIsTooSlowForAQuickCheck(t *testing.T) {
	for _, brand := range ofDrivers(t, "yeastar", "runtel") {
		t.Run(brand.Name(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOffice(t, brand, 4, pbxsim.Options{})
				defer o.addProcesses(4)()
				time.Sleep(time.Minute)
				o.sim.Restart()
				o.sim.Fault(pbxsim.Fault{On: pbxsim.Login, Drop: pbxsim.DropAfter, Times: 1})
				o.sim.Fault(pbxsim.Fault{Times: -1, Delay: 6 * time.Second})
				for _, s := range o.sessions {
					o.loseToken(s, false)
				}
				time.Sleep(12 * time.Minute)
				for _, s := range o.sessions {
					if _, err := s.Token(expired); err != nil {
						t.Errorf("%v: %v", s.Status(), err)
					}
				}
			})
		})
	}
}

func TestAServiceThatStartsDuringAnOutageIsLiveSoonAfterIt(t *testing.T) {
	for _, brand := range brands() {
		for _, outage := range []pbxsim.Outage{pbxsim.Refusing, pbxsim.Silent, pbxsim.BadGateway, pbxsim.Starting, pbxsim.AsksForPassword, pbxsim.Forbidden, pbxsim.Redirecting, pbxsim.Maintaining, pbxsim.NoRoute} {
			t.Run(fmt.Sprintf("%s, %s", brand.Name(), outage), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					o := newOffice(t, brand, 10, pbxsim.Options{})
					defer o.close()
					o.sim.Down(outage)
					o.addAll(10)
					time.Sleep(50 * time.Second)
					o.sim.Up()
					time.Sleep(15 * time.Second)
					o.wantAll()
				})
			})
		}
	}
}

func TestAPBXThatHangsOnAnotherPortDoesNotHoldUpItsNeighbour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := &fake{life: time.Hour, traits: onHost("pbx.test"), down: true}
		hung.traits.URL = "https://pbx.test:9999"
		hung.login = func(ctx context.Context) (*pbx.Token, error) {
			<-ctx.Done()
			return nil, &pbx.Error{Driver: "fake", Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, Sent: true, Err: ctx.Err()}
		}
		good := &fake{life: time.Hour, traits: onHost("pbx.test")}
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		neighbour, err := m.Add("good", good)
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, neighbour)
		if _, err := m.Add("hung", hung); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			time.Sleep(20 * time.Minute)
			neighbour.Invalidate(mustToken(t, neighbour))
			time.Sleep(15 * time.Second)
			wantState(t, neighbour, session.Live)
		}
	})
}

// over2 is a fake whose Transport speaks HTTP/2.
type over2 struct {
	*fake
	base    http.RoundTripper
	checked chan error
}

func (o *over2) Transport() http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		resp, err := o.base.RoundTrip(r)
		o.checked <- err
		return resp, err
	})
}

// net/http would send a check again and again that the server ends by a reset.
func TestACheckIsSentOnceOverHTTP2(t *testing.T) {
	home, got, base := resetting.Serve(t)
	o := &over2{&fake{traits: pbx.Traits{URL: home}, login: fails(pbx.ErrUnavailable, true)}, base, make(chan error, 9)}
	s, end := on(&session.Guard{}, o)
	defer end()
	_, _ = s.Token(t.Context())
	if err := <-o.checked; err == nil || got.Load() != 1 {
		t.Errorf("a check is sent %d times: %v", got.Load(), err)
	}
}
