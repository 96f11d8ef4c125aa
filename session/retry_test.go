package session_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// goDown has a fake's PBX refuse connections, and comeUp has it respond again.
func goDown(f *fake) {
	f.set(func() { f.login, f.down = fails(pbx.ErrUnavailable, false), true })
}

func comeUp(f *fake) { f.set(func() { f.login, f.down = nil, false }) }

func (f *fake) checked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.checks
}

// betweenChecks waits until the next check is far away.
func betweenChecks(t *testing.T, s *session.Session) {
	t.Helper()
	for time.Until(s.Status().Check) < 25*time.Second {
		time.Sleep(time.Second)
		if s.Status().Check.IsZero() {
			t.Fatalf("no check is planned: %+v", s.Status())
		}
	}
}

func retry(t *testing.T, s *session.Session) {
	t.Helper()
	if err := s.Retry(t.Context()); err != nil {
		t.Fatalf("Retry: %v", err)
	}
}

func TestRetryFindsAPBXThatHasReturnedAtOnce(t *testing.T) {
	for name, open := range map[string]func(*testing.T, *fake) (*session.Session, func()){
		"a driver without fingerprints": func(_ *testing.T, f *fake) (*session.Session, func()) { return on(&session.Guard{}, f) },
		"one with fingerprints": func(_ *testing.T, f *fake) (*session.Session, func()) {
			return on(&session.Guard{}, &printed{fake: f, print: "7"})
		},
		"a store": func(t *testing.T, f *fake) (*session.Session, func()) {
			m := shares(t, (&store.Memory{}).Faults().Process("one"), "one")
			return mustAdd(t, m, "7", &printed{fake: f, print: "7"}), func() { m.Close(context.Background()) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{traits: onHost("pbx.test"), life: time.Hour}
				goDown(f)
				s, end := open(t, f)
				defer end()
				time.Sleep(6 * time.Hour)
				betweenChecks(t, s)
				comeUp(f)
				retry(t, s)
				time.Sleep(2 * time.Second)
				wantState(t, s, session.Live)
			})
		})
	}
}

// The session whose PBX asked for a pause does not wait for a check. Another one does.
func TestRetryCutsAPauseAndThePBXIsCheckedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard, f := &session.Guard{}, &fake{traits: onHost("pbx.test"), life: time.Hour, down: true}
		f.login = func(context.Context) (*pbx.Token, error) {
			return nil, &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, RetryAfter: 20 * time.Hour}
		}
		s, end := on(guard, f)
		defer end()
		synctest.Wait()
		other, end := on(guard, f)
		defer end()
		time.Sleep(6 * time.Hour)
		betweenChecks(t, other)
		comeUp(f)
		retry(t, s)
		time.Sleep(2 * time.Second)
		wantState(t, s, session.Live)
		wantState(t, other, session.Live)
	})
}

func TestAHundredRetriesDuringAnOutageMakeOneCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard, f := &session.Guard{}, &fake{traits: onHost("pbx.test"), life: time.Hour}
		goDown(f)
		s, end := on(guard, f)
		defer end()
		other, end := on(guard, f)
		defer end()
		time.Sleep(6 * time.Hour)
		betweenChecks(t, s)
		logins, _, _ := f.counts()
		before, checks := s.Status(), f.checked()
		retry(t, s)
		for range 99 {
			synctest.Wait()
			if err := s.Retry(t.Context()); err == nil {
				t.Fatal("a retry at once returns no error")
			}
			if err := other.Retry(t.Context()); err == nil {
				t.Fatal("a retry of another session at once returns no error")
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := f.checked() - checks; n != 1 {
			t.Errorf("%d checks", n)
		}
		if after := s.Status(); after.State != before.State || after.Err != before.Err || !after.Since.Equal(before.Since) || !after.Check.Equal(before.Check) {
			t.Errorf("status is %+v, and was %+v", after, before)
		}
		time.Sleep(100 * time.Millisecond)
		retry(t, other)
		synctest.Wait()
		if n := f.checked() - checks; n != 2 {
			t.Errorf("%d checks after 10 s", n)
		}
		wantCounts(t, f, logins, 0, 0)
	})
}

// Without a URL, nothing but the login can be sent.
func TestRetryOfASessionWhoseLoginIsTheCheckSendsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{login: fails(pbx.ErrUnavailable, false)}
		s, end := on(&session.Guard{}, f)
		defer end()
		time.Sleep(6 * time.Hour)
		for untilNext(s) < 25*time.Second {
			time.Sleep(time.Second)
		}
		logins, _, _ := f.counts()
		retry(t, s)
		synctest.Wait()
		wantCounts(t, f, logins+1, 0, 0)
		f.set(func() { f.login = nil })
		time.Sleep(10 * time.Second)
		retry(t, s)
		synctest.Wait()
		wantState(t, s, session.Live)
	})
}

// The check that a person asks for comes on top of the others.
func TestRetryMovesNoLaterCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var checks [2][]time.Duration
		for i := range checks {
			f := &fake{traits: onHost("pbx.test")}
			goDown(f)
			s, end := on(&session.Guard{}, f)
			start, n := time.Now(), 0
			for time.Since(start) < 3*time.Hour {
				if i == 1 && time.Since(start)%(10*time.Minute) == 7*time.Second {
					_ = s.Retry(t.Context())
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if f.checked() > n {
					n = f.checked()
					checks[i] = append(checks[i], time.Since(start))
				}
			}
			end()
		}
		for _, at := range checks[0] {
			if !slices.Contains(checks[1], at) {
				t.Fatalf("no check after %s: %v", at, checks[1])
			}
		}
		if more := len(checks[1]) - len(checks[0]); more < 5 || more > 18 {
			t.Errorf("%d more checks", more)
		}
	})
}

// dropping is a fake whose PBX does not respond while it is down, so that a check takes its
// time.
type dropping struct{ *fake }

func (d dropping) Transport() http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		resp, err := d.fake.Transport().RoundTrip(r)
		if err != nil {
			<-r.Context().Done()
		}
		return resp, err
	})
}

func TestRetryDuringACheckIsFollowedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{traits: onHost("pbx.test")}
		goDown(f)
		s, end := on(&session.Guard{}, dropping{f})
		defer end()
		time.Sleep(6 * time.Hour)
		betweenChecks(t, s)
		for n := f.checked(); f.checked() == n; time.Sleep(time.Second) {
		}
		n := f.checked() // this check got no response
		comeUp(f)
		retry(t, s)
		retry(t, s)
		synctest.Wait()
		if f.checked() != n {
			t.Error("two checks at a time")
		}
		time.Sleep(15 * time.Second)
		wantState(t, s, session.Live)
	})
}

// A keep-alive waits for a response of its PBX after one that failed.
func TestRetryOfARenewalThatWaitsForThePBX(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard, f := &session.Guard{}, &fake{traits: onHost("pbx.test"), life: 10 * time.Hour}
		s, end := on(guard, f)
		defer end()
		token := mustToken(t, s)
		time.Sleep(time.Minute)
		f.set(func() {
			f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
				return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, false)
			}
		})
		goDown(f)
		other, end := on(guard, f)
		defer end()
		for s.Status().State == session.Live {
			time.Sleep(time.Minute)
		}
		time.Sleep(time.Hour)
		betweenChecks(t, s)
		f.set(func() { f.beat = nil })
		comeUp(f)
		retry(t, s)
		time.Sleep(2 * time.Second)
		wantState(t, s, session.Live)
		wantState(t, other, session.Live)
		if !mustToken(t, s).Value.Equal(token.Value) {
			t.Error("a login renewed the token")
		}
	})
}

// A page in front of the PBX holds back all sessions together, but none of those that a
// person asks for one after another.
func TestEachRetryWhileAPageIsInFrontSendsALogin(t *testing.T) {
	for _, brand := range ofDrivers(t, "runtel", "yeastar-p") {
		t.Run(brand.Name(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOffice(t, brand, 8, pbxsim.Options{})
				defer o.close()
				o.addAll(8)
				time.Sleep(time.Minute)
				o.sim.Restart()
				o.sim.Down(pbxsim.Starting)
				for _, s := range o.sessions {
					o.loseToken(s, false)
				}
				time.Sleep(2 * time.Minute)
				for _, i := range []int{6, 3} {
					before := len(o.sim.Logins())
					if err := o.sessions[i].Retry(t.Context()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(3 * time.Second)
					if n := len(o.sim.Logins()) - before; n != 1 {
						t.Errorf("session %d: %d logins", i, n)
					}
				}
			})
		})
	}
}
