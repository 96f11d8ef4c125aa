package session_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
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
