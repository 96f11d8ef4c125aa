package session_test

import (
	"context"
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
