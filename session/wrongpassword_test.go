package session_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/internal/thorough"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// The tests in this file play what happens around wrong passwords in the life of a
// CRM, over HTTP, against each brand's simulator with the lockout that its vendor
// documents: wrong logins count in a row.

// wrongOf is how many wrong logins one wrong password may cost.
func wrongOf(brand simulators.Simulator) int {
	switch brand.Driver {
	case "runtel", "3cx", "starface", "uis": // whose lock may look like a wrong password: one more try
		return 2
	}
	return 1
}

// silent are brands whose vendor says nothing of how long a wrong login counts:
// 24 hours are assumed.
func silent(brand simulators.Simulator) bool {
	switch brand.Driver {
	case "runtel", "3cx", "starface", "uis", "freepbx":
		return true
	}
	return false
}

// forgiving are brands that lock nobody out, or that forget wrong logins within
// minutes.
func forgiving(brand simulators.Simulator) bool {
	return brand.Driver == "wazo" || brand.Driver == "mikopbx" || brand.Driver == "asterisk"
}

// wordless are brands that have no response for a lock.
func wordless(brand simulators.Simulator) bool {
	switch brand.Driver {
	case "asterisk", "wazo", "uis", "freepbx":
		return true
	}
	return false
}

// aDay is a day, or six hours without PBX_TESTS=all, or two under the race detector.
func aDay() time.Duration {
	switch {
	case session.RaceDetector:
		return 2 * time.Hour
	case thorough.Tests():
		return 24 * time.Hour
	}
	return 6 * time.Hour
}

// longHours is three days, or 30 hours without PBX_TESTS=all. Of silent brands, 24 hours
// are assumed.
func longHours() int {
	if thorough.Tests() && !session.RaceDetector {
		return 72
	}
	return 30
}

func eachBrand(t *testing.T, test func(t *testing.T, brand simulators.Simulator)) {
	for _, brand := range brands() {
		t.Run(brand.Name(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { test(t, brand) })
		})
	}
}

func TestAChangedPasswordOfEightSessionsIsSentOnce(t *testing.T) {
	eachBrand(t, func(t *testing.T, brand simulators.Simulator) {
		o := newOffice(t, brand, 4, pbxsim.Options{})
		defer o.close()
		o.addAll(4)
		others := o.sessions[1:]
		for range 7 {
			o.add("user-0", "secret-0")
		}
		time.Sleep(time.Minute)
		o.wantAll()
		o.sim.SetPassword("user-0", "changed")
		o.sim.Restart()
		for _, s := range o.sessions { // the others log in at that moment too
			if token, err := s.Token(expired); err == nil {
				s.Invalidate(token)
			}
		}
		time.Sleep(time.Minute)
		for _, s := range others[:3] {
			if err := o.works(s); err != nil {
				t.Errorf("%v: %v", s.Status(), err)
			}
		}
		time.Sleep(aDay())
		if wrong := o.sim.Counts().WrongLogins; wrong > wrongOf(brand) {
			t.Errorf("%d wrong logins", wrong)
		}
		o.wantNoLock()
	})
}

func TestRemovingAndAddingAnAccountSendsItsWrongPasswordOnce(t *testing.T) {
	eachBrand(t, func(t *testing.T, brand simulators.Simulator) {
		o := newOffice(t, brand, 1, pbxsim.Options{})
		defer o.close()
		for range longHours() * 6 {
			s := o.add("user-0", "wrong")
			time.Sleep(10 * time.Minute)
			wantState(t, s, session.Rejected)
			if err := o.manager.Remove(t.Context(), s.Name()); err != nil {
				t.Fatal(err)
			}
		}
		if wrong := o.sim.Counts().WrongLogins; wrong != 1 {
			t.Errorf("%d wrong logins", wrong)
		}
	})
}

func TestRetriesWithAWrongPasswordStopShortOfTheLockout(t *testing.T) {
	eachBrand(t, func(t *testing.T, brand simulators.Simulator) {
		options := pbxsim.Options{}
		if silent(brand) {
			options.Lockout = pbxsim.Lockout{Memory: pbxsim.SlidingWindow, Window: 24 * time.Hour}
		}
		o := newOffice(t, brand, 1, options)
		defer o.close()
		s := o.add("user-0", "wrong")
		var err error
		for range longHours() * 6 {
			time.Sleep(10 * time.Minute)
			err = s.Retry(t.Context())
		}
		o.wantNoLock()
		if wrong := o.sim.Counts().WrongLogins; wrong > 3 && !silent(brand) && !forgiving(brand) {
			t.Errorf("%d wrong logins", wrong)
		}
		if !forgiving(brand) {
			wantKind(t, err, pbx.ErrLocked)
		}
	})
}

func TestARestartRemembersARefusedPassword(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ledger")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	files, err := store.Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	brand := brands()[1]
	sim := brand.New(&pbxsim.Options{Accounts: map[string]string{"user": "secret"}})
	server := pbxsim.Listen(sim)
	defer server.Close()
	for range 1_000 {
		guard, err := session.NewGuard(files)
		if err != nil {
			t.Fatal(err)
		}
		auth, err := pbx.Open(brand.Driver, pbx.Config{URL: server.URL, Username: "user", Password: pbx.NewSecret("wrong"), Options: brand.Options, Transport: server.Client().Transport})
		if err != nil {
			t.Fatal(err)
		}
		s := session.New(auth, &session.Options{Guard: guard})
		_, err = s.Token(t.Context())
		wantKind(t, err, pbx.ErrInvalidCredentials)
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if wrong := sim.Counts().WrongLogins; wrong != 1 {
		t.Errorf("%d wrong logins", wrong)
	}
}

func TestProcessesOverOneStoreSendAWrongPasswordOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &store.Memory{}
		brand := brands()[1]
		sim := brand.New(&pbxsim.Options{Accounts: map[string]string{"user": "secret", "good": "secret"}})
		server := pbxsim.ListenMemory(sim)
		defer server.Close()
		transport := roundTrip(func(r *http.Request) (*http.Response, error) { return serve(sim, r) })
		for i := range 16 {
			guard, err := session.NewGuard(shared)
			if err != nil {
				t.Fatal(err)
			}
			m := session.NewManager(&session.Options{Guard: guard})
			defer m.Close(context.Background())
			for user, password := range map[string]string{"user": "wrong", "good": "secret"} {
				auth, err := pbx.Open(brand.Driver, pbx.Config{URL: server.URL, Username: user, Password: pbx.NewSecret(password), Options: brand.Options, Transport: transport})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := m.Add(fmt.Sprint(user, i), auth); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(aDay())
		if counts := sim.Counts(); counts.WrongLogins != 1 || counts.LockedLogins > 0 {
			t.Errorf("counts %+v", counts)
		}
	})
}

// stating is a driver that states another lockout.
type stating struct {
	pbx.Authenticator
	change func(*pbx.Lockout)
}

func (s stating) Unwrap() pbx.Authenticator { return s.Authenticator }

func (s stating) Traits() pbx.Traits {
	d, _ := pbx.As[pbx.Describer](s.Authenticator)
	traits := d.Traits()
	s.change(&traits.Lockout)
	return traits
}

func TestASuccessThatResetsTheCountMakesRoomForNewAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t, brands()[1], 8, pbxsim.Options{Lockout: pbxsim.Lockout{Memory: pbxsim.Forever, Reset: pbxsim.Address}})
		defer o.close()
		resets := func(l *pbx.Lockout) { l.Reset = pbx.ResetAddress }
		proven := o.addAs("user-0", "secret-0", resets)
		mustToken(t, proven)
		for i := range 20 {
			o.addAs(fmt.Sprint("nobody-", i), "wrong", resets)
		}
		var good []*session.Session
		for i := 1; i < 8; i++ {
			good = append(good, o.addAs(fmt.Sprint("user-", i), fmt.Sprint("secret-", i), resets))
		}
		time.Sleep(20 * time.Minute)
		for _, s := range append(good, proven) {
			if err := o.works(s); err != nil {
				t.Errorf("%v: %v", s.Status(), err)
			}
		}
		o.wantNoLock()
	})
}

func TestDeadTokensThatCountAreNotSentInARow(t *testing.T) {
	for _, brand := range []string{"yeastar", "grandstream"} {
		t.Run(brand, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, b := range brands() {
					if b.Driver != brand {
						continue
					}
					o := newOffice(t, b, 30, pbxsim.Options{Lockout: pbxsim.Lockout{DeadTokens: true}})
					count := func(l *pbx.Lockout) { l.DeadTokens = pbx.DeadTokensCount }
					for i := range 30 {
						o.addAs(fmt.Sprint("user-", i), fmt.Sprint("secret-", i), count)
					}
					time.Sleep(3 * time.Minute)
					for _, s := range o.sessions {
						if _, err := s.Token(expired); err != nil {
							t.Fatalf("%v", s.Status())
						}
					}
					o.sim.Restart()
					time.Sleep(time.Hour) // their keep-alives find it
					for _, s := range o.sessions {
						if err := o.works(s); err != nil {
							t.Errorf("%v: %v", s.Status(), err)
						}
					}
					o.wantNoLock()
					o.sim.Unlock("127.0.0.1")
					if _, err := o.guard.Forgive(t.Context(), o.server.URL); err != nil {
						t.Fatal(err)
					}
					o.sim.Restart()
					o.close() // its logouts
					o.wantNoLock()
				}
			})
		})
	}
}

func TestAPBXThatRestartsHourlyIsLiveSoon(t *testing.T) {
	eachBrand(t, func(t *testing.T, brand simulators.Simulator) {
		o := newOffice(t, brand, 30, pbxsim.Options{})
		defer o.close()
		o.addAll(30)
		restarts := 2
		switch {
		case session.RaceDetector:
			restarts = 1
		case thorough.Tests():
			restarts = 4
		}
		for range restarts {
			time.Sleep(time.Hour)
			o.sim.Restart()
			for _, s := range o.sessions {
				go o.works(s)
			}
			time.Sleep(10 * time.Second)
			for _, s := range o.sessions {
				if err := o.works(s); err != nil {
					t.Errorf("%v: %v", s.Status(), err)
				}
			}
		}
		o.wantNoLock()
	})
}

func TestASessionWaitsForALockThatSomebodyElseCaused(t *testing.T) {
	eachBrand(t, func(t *testing.T, brand simulators.Simulator) {
		for _, response := range []pbxsim.LockResponse{pbxsim.Stated, pbxsim.Mute, pbxsim.ResetConnection} {
			if wordless(brand) && response == pbxsim.Stated {
				continue
			}
			o := newOffice(t, brand, 3, pbxsim.Options{Lockout: pbxsim.Lockout{Response: response}})
			o.addAll(3)
			time.Sleep(time.Minute)
			o.wantAll()
			o.sim.Lock("127.0.0.1")
			began := time.Now()
			o.sim.Restart()
			for _, s := range o.sessions {
				if token, err := s.Token(expired); err == nil {
					s.Invalidate(token)
				}
			}
			until, _ := o.sim.Locked("127.0.0.1")
			window := until.Sub(began)
			time.Sleep(window + 15*time.Second)
			if response != pbxsim.Stated {
				time.Sleep(3*time.Minute - 15*time.Second)
			}
			for _, s := range o.sessions {
				if err := o.works(s); err != nil {
					t.Errorf("response %d, %s after the lock began: %v: %v", response, time.Since(began), s.Status(), err)
				}
			}
			if n := len(o.sim.Locks()); n != 1 {
				t.Errorf("response %d: %d locks", response, n)
			}
			o.close()
		}
	})
}
