package session_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// A wrong login of another account counts, so that the PBX has to respond to a check
// before the next login, though the last login got a response.
func TestASessionWhosePBXDoesNotRespondToAnyCheckIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		f := &fake{traits: onHost("pbx.test"), life: time.Hour}
		s := mustAdd(t, m, "7", f)
		mustToken(t, s)
		wrong := &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true)}
		mustAdd(t, m, "8", wrong)
		time.Sleep(time.Minute)
		f.set(func() { f.down = true })
		wrong.set(func() { wrong.down = true })
		s.Invalidate(mustToken(t, s))
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := s.Token(ctx)
		wantKind(t, err, pbx.ErrUnavailable)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("Token took %s", took)
		}
		wantState(t, s, session.Unavailable)
		time.Sleep(time.Minute)
		f.set(func() { f.down = false })
		wrong.set(func() { wrong.down = false })
		time.Sleep(15 * time.Second)
		wantState(t, s, session.Live)
		wantCounts(t, f, 2, 0, 0)
	})
}

// slowlyChecked is a driver whose checks take longer than a login.
type slowlyChecked struct{ *printed }

func (s slowlyChecked) Transport() http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		time.Sleep(2 * time.Second)
		return s.printed.Transport().RoundTrip(r)
	})
}

// While a login is under way, the next one waits for a response of the PBX. It learns
// of the outage that the first one meets.
func TestASessionThatWaitsWhileAnotherLoginFailsIsUnavailableToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		add := func(account string, down bool) *session.Session {
			f := &fake{traits: onHost("pbx.test"), takes: time.Second, down: down, life: time.Hour}
			if f.traits.Account = account; down {
				f.login = fails(pbx.ErrUnavailable, false)
			}
			return mustAdd(t, m, account, slowlyChecked{&printed{fake: f, print: account}})
		}
		for _, account := range []string{"1", "2"} {
			mustToken(t, add(account, false))
			if err := m.Remove(t.Context(), account); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(4 * time.Second)
		one, two := add("1", true), add("2", true)
		time.Sleep(time.Minute)
		wantState(t, one, session.Unavailable)
		wantState(t, two, session.Unavailable)
	})
}

// A check without credentials gets the page that the first login got, so that the others
// wait for another response. They learn of it, in another process too.
func TestASessionThatWaitsWhileAnotherLoginMeetsAPageIsUnavailableToo(t *testing.T) {
	for _, processes := range []int{1, 2} {
		t.Run(fmt.Sprint(processes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var managers []*session.Manager
				shared := &store.Memory{}
				for p := range processes {
					defer time.Sleep(2 * time.Second) // a check that is under way
					managers = append(managers, shares(t, shared, fmt.Sprint("p", p)))
					defer managers[p].Close(context.Background())
				}
				var sessions []*session.Session
				for i := range 4 {
					f := &fake{traits: onHost("pbx.test"), takes: time.Second, login: meetsPage}
					f.traits.Account = fmt.Sprint(i)
					sessions = append(sessions, mustAdd(t, managers[i%processes], f.traits.Account, slowlyChecked{&printed{fake: f, print: f.traits.Account}}))
				}
				time.Sleep(time.Minute)
				for _, s := range sessions {
					wantState(t, s, session.Unavailable)
				}
			})
		})
	}
}

// meetsPage is a login that gets what the checks of a fake get.
func meetsPage(context.Context) (*pbx.Token, error) {
	return nil, &pbx.Error{Driver: "fake", Op: pbx.OpLogin, Kind: pbx.ErrProtocol, HTTPStatus: http.StatusNotFound, Sent: true, Message: "as told"}
}

// The check that a request waits for gets the page that another session's login has got.
func TestARequestDoesNotWaitUntilAPageInFrontHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(2 * time.Second) // a check that is under way
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		var fakes []*fake
		var sessions []*session.Session
		for _, account := range []string{"1", "2"} {
			f := &fake{traits: onHost("pbx.test"), life: time.Hour}
			f.traits.Account = account
			s := mustAdd(t, m, account, slowlyChecked{&printed{fake: f, print: account}})
			mustToken(t, s)
			fakes, sessions = append(fakes, f), append(sessions, s)
		}
		for _, f := range fakes {
			f.set(func() { f.login = meetsPage })
		}
		sessions[0].Invalidate(mustToken(t, sessions[0]))
		time.Sleep(time.Minute)
		time.Sleep(time.Until(sessions[0].Status().Check) + time.Second) // a check is under way
		sessions[1].Invalidate(mustToken(t, sessions[1]))
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := sessions[1].Token(ctx)
		wantKind(t, err, pbx.ErrUnavailable)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("Token took %s", took)
		}
	})
}

// So many PBXs hang that each check is late. When one is over, the next is due already.
func TestSessionsAreUnavailableThoughChecksAreLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hosts = 100
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: hosts, Workers: 4})
		defer m.Close(context.Background())
		var sessions []*session.Session
		for i := range hosts {
			f := &fake{traits: onHost(fmt.Sprintf("pbx%d.test", i)), life: 30 * time.Minute}
			s := mustAdd(t, m, fmt.Sprint("good ", i), dropping{f})
			mustToken(t, s)
			sessions = append(sessions, s)
			wrong := &fake{traits: f.traits, login: fails(pbx.ErrInvalidCredentials, true)}
			wrong.traits.Account = "wrong"
			rejected := mustAdd(t, m, fmt.Sprint("wrong ", i), wrong)
			if _, err := rejected.Token(t.Context()); err == nil {
				t.Fatal("the wrong password works")
			}
			f.set(func() {
				f.down = true
				f.beat = func(ctx context.Context, _ *pbx.Token) (*pbx.Token, error) {
					<-ctx.Done()
					return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, false)
				}
			})
		}
		time.Sleep(2 * time.Hour)
		for _, s := range sessions {
			wantState(t, s, session.Unavailable)
		}
	})
}

// responding is a driver whose checks get a response with one HTTP status.
type responding struct {
	*printed
	status int
}

func (r responding) Transport() http.RoundTripper { return answering(r.status) }

// A server without GET may say so with HTTP 501.
func TestAServerThatRefusesTheMethodOfACheckIsUp(t *testing.T) {
	for _, status := range []int{http.StatusNotImplemented, http.StatusHTTPVersionNotSupported} {
		synctest.Test(t, func(t *testing.T) {
			m := session.NewManager(&session.Options{Guard: &session.Guard{}})
			defer m.Close(context.Background())
			f := &fake{traits: onHost("pbx.test"), life: time.Hour}
			s := mustAdd(t, m, "7", responding{&printed{fake: f, print: "7"}, status})
			old := mustToken(t, s)
			f.set(func() { f.login = fails(pbx.ErrUnavailable, true) })
			s.Invalidate(old)
			time.Sleep(500 * time.Millisecond) // the next login comes after a second
			f.set(func() { f.login = nil })
			time.Sleep(15 * time.Second)
			wantState(t, s, session.Live)
			wantCounts(t, f, 3, 0, 0)
		})
	}
}
