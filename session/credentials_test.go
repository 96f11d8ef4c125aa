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

func TestALookThatHungIsRepeatedWhenItHasReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &looking{fake: &fake{life: 24 * time.Hour, login: fails(pbx.ErrInvalidCredentials, true)}}
		f.look = func(_ context.Context, n int32) (bool, error) {
			if n == 1 {
				time.Sleep(2 * time.Hour)
			}
			return n > 1, nil
		}
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		defer s.Close(context.Background())
		time.Sleep(time.Hour)
		wantCounts(t, f.fake, 1, 0, 0)
		wantState(t, s, session.Rejected)
		f.set(func() { f.login = nil })
		time.Sleep(time.Hour + 5*time.Minute)
		wantState(t, s, session.Live)
		wantCounts(t, f.fake, 2, 0, 0)
	})
}

func TestCloseEndsALookForCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &looking{fake: &fake{login: fails(pbx.ErrInvalidCredentials, true)}}
		f.look = func(ctx context.Context, _ int32) (bool, error) { <-ctx.Done(); return false, ctx.Err() }
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		time.Sleep(75 * time.Second) // a look is under way
		start := time.Now()
		s.Close(t.Context())
		if took := time.Since(start); took != 0 || f.looks.Load() != 1 {
			t.Fatalf("Close took %s, after %d looks", took, f.looks.Load())
		}
	})
}

func TestARequestThatFindsTheCredentialsRefusedIsFollowedByLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &lookingRevoked{looking{fake: &fake{life: 24 * time.Hour}}}
		f.look = func(context.Context, int32) (bool, error) { return true, nil }
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		defer s.Close(context.Background())
		get(t, &http.Client{Transport: s.Transport(answering(200))}, "http://pbx.test/call")
		wantState(t, s, session.Rejected)
		time.Sleep(2 * time.Minute)
		wantState(t, s, session.Live)
		wantCounts(t, f.fake, 2, 0, 0)
	})
}

type lookingRevoked struct{ looking }

func (*lookingRevoked) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	return revoked{}.Inspect(r, body, t)
}

func TestARejectedSessionThatCannotLookHasNoNextAttempt(t *testing.T) {
	during(t, revoked{&fake{life: time.Hour}}, func(t *testing.T, s *session.Session) {
		get(t, &http.Client{Transport: s.Transport(answering(200))}, "http://pbx.test/call")
		wantState(t, s, session.Rejected)
		if status := s.Status(); !status.Next.IsZero() {
			t.Fatalf("next attempt at %s", status.Next)
		}
	})
	during(t, &fake{login: fails(pbx.ErrInvalidCredentials, true)}, func(t *testing.T, s *session.Session) {
		synctest.Wait()
		wantState(t, s, session.Rejected)
		if status := s.Status(); !status.Next.IsZero() {
			t.Fatalf("next attempt at %s", status.Next)
		}
	})
}
