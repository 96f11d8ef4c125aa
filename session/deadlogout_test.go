package session_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// restarting is a driver whose PBX restarts, and counts tokens from before.
type restarting struct {
	*fake
	dead, counted *atomic.Int32
}

func (r restarting) judge(op pbx.Op) error {
	if r.dead.Load() == 0 {
		return nil
	}
	r.counted.Add(1)
	return told(op, pbx.ErrTokenRejected, true)
}

func (r restarting) Ping(context.Context, *pbx.Token) error   { return r.judge(pbx.OpPing) }
func (r restarting) Logout(context.Context, *pbx.Token) error { return r.judge(pbx.OpLogout) }

func TestReplacingManyDriversSendsOneDeadToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		var dead, counted atomic.Int32
		traits := onHost("pbx.test")
		traits.Lockout.DeadTokens = pbx.DeadTokensCount
		const sessions = 8
		for i := range sessions {
			mustToken(t, mustAdd(t, m, fmt.Sprint(i), restarting{&fake{traits: traits}, &dead, &counted}))
		}
		time.Sleep(time.Minute)
		dead.Store(1) // the PBX has restarted
		for i := range sessions {
			if err := m.Replace(t.Context(), fmt.Sprint(i), &fake{traits: traits}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if n := counted.Load(); n > 1 {
			t.Errorf("%d dead tokens were sent", n)
		}
	})
}

// slowToJudge is one whose PBX counts at once and responds after 200 ms.
type slowToJudge struct{ restarting }

func (r slowToJudge) Ping(ctx context.Context, _ *pbx.Token) error {
	err := r.judge(pbx.OpPing)
	select {
	case <-time.After(200 * time.Millisecond):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestRemovesWithLittleTimeSendOneDeadToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		var dead, counted atomic.Int32
		traits := onHost("pbx.test")
		traits.Lockout.DeadTokens = pbx.DeadTokensCount
		const sessions = 8
		for i := range sessions {
			mustToken(t, mustAdd(t, m, fmt.Sprint(i), slowToJudge{restarting{&fake{traits: traits}, &dead, &counted}}))
		}
		time.Sleep(time.Minute)
		dead.Store(1) // the PBX has restarted
		for i := range sessions {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if err := m.Remove(ctx, fmt.Sprint(i)); i == 0 {
				wantKind(t, err, context.DeadlineExceeded)
			}
			cancel()
		}
		if n := counted.Load(); n != 1 {
			t.Errorf("%d dead tokens were sent", n)
		}
	})
}
