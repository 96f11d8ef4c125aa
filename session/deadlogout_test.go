package session_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// restarts is a PBX that loses its tokens when it restarts, and counts dead tokens.
type restarts struct {
	last        atomic.Int64 // Unix nanoseconds
	dead, pings atomic.Int32
}

func (p *restarts) restart() {
	p.last.Store(time.Now().UnixNano())
	time.Sleep(time.Millisecond) // the next token is newer
}

func (p *restarts) judge(op pbx.Op, t *pbx.Token) error {
	if t.IssuedAt.UnixNano() > p.last.Load() {
		return nil
	}
	p.dead.Add(1)
	return told(op, pbx.ErrTokenRejected, true)
}

// restarting is a driver at such a PBX.
type restarting struct {
	*fake
	at *restarts
}

func (r restarting) Ping(_ context.Context, t *pbx.Token) error {
	r.at.pings.Add(1)
	return r.at.judge(pbx.OpPing, t)
}

func (r restarting) Logout(_ context.Context, t *pbx.Token) error { return r.at.judge(pbx.OpLogout, t) }

func TestReplacingManyDriversSendsOneDeadToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		at := &restarts{}
		traits := onHost("pbx.test")
		traits.Lockout.DeadTokens = pbx.DeadTokensCount
		const sessions = 8
		for i := range sessions {
			mustToken(t, mustAdd(t, m, fmt.Sprint(i), restarting{&fake{traits: traits}, at}))
		}
		time.Sleep(time.Minute)
		at.restart()
		for i := range sessions {
			if err := m.Replace(t.Context(), fmt.Sprint(i), &fake{traits: traits}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if n := at.dead.Load(); n > 1 {
			t.Errorf("%d dead tokens were sent", n)
		}
	})
}

// slowToJudge is one whose PBX counts at once and responds after 200 ms.
type slowToJudge struct{ restarting }

func (r slowToJudge) Ping(ctx context.Context, t *pbx.Token) error {
	err := r.at.judge(pbx.OpPing, t)
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
		at := &restarts{}
		traits := onHost("pbx.test")
		traits.Lockout.DeadTokens = pbx.DeadTokensCount
		const sessions = 8
		for i := range sessions {
			mustToken(t, mustAdd(t, m, fmt.Sprint(i), slowToJudge{restarting{&fake{traits: traits}, at}}))
		}
		time.Sleep(time.Minute)
		at.restart()
		for i := range sessions {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if err := m.Remove(ctx, fmt.Sprint(i)); i == 0 {
				wantKind(t, err, context.DeadlineExceeded)
			}
			cancel()
		}
		if n := at.dead.Load(); n != 1 {
			t.Errorf("%d dead tokens were sent", n)
		}
	})
}

// branch is a Manager with sessions at such a PBX, whose tokens were issued one after
// another and have no end.
type branch struct {
	*restarts
	t        *testing.T
	manager  *session.Manager
	sessions []*session.Session
}

// eachBranch runs a test with n sessions. Nobody says whether dead tokens count.
func eachBranch(t *testing.T, n int, test func(b *branch)) {
	for name, login := range map[string]func(f *fake) *pbx.Token{
		"dated tokens":   (*fake).token,
		"undated tokens": func(f *fake) *pbx.Token { return &pbx.Token{Value: f.token().Value} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &branch{&restarts{}, t, session.NewManager(&session.Options{Guard: &session.Guard{}}), nil}
				defer b.manager.Close(context.Background())
				for range n {
					mustToken(t, b.add(func(f *fake) { f.login = func(context.Context) (*pbx.Token, error) { return login(f), nil } }))
					time.Sleep(time.Second)
				}
				test(b)
			})
		})
	}
}

func (b *branch) add(change func(f *fake)) *session.Session {
	b.t.Helper()
	f := &fake{traits: onHost("pbx.test")}
	change(f)
	s := mustAdd(b.t, b.manager, fmt.Sprint(len(b.sessions)), restarting{f, b.restarts})
	b.sessions = append(b.sessions, s)
	return s
}

func (b *branch) remove(sessions ...*session.Session) {
	b.t.Helper()
	for _, s := range sessions {
		if err := b.manager.Remove(context.Background(), s.Name()); err != nil {
			b.t.Error(err)
		}
	}
}

// lifeLasts is a little longer than an accepted token is taken as a sign that newer ones
// are alive.
const lifeLasts = 2100 * time.Millisecond

func TestRemovesAfterARestartSendTwoDeadTokens(t *testing.T) {
	for name, happens := range map[string]func(b *branch){
		"it accepted a token some time before it": func(b *branch) {
			b.remove(b.sessions[0])
			b.restart()
			time.Sleep(lifeLasts)
		},
		"it accepted a token just before it, and then refused one": func(b *branch) {
			b.remove(b.sessions[0])
			b.restart()
			b.sessions[1].Invalidate(mustToken(b.t, b.sessions[1]))
		},
		"it accepts a token from after it": func(b *branch) {
			b.restart()
			time.Sleep(time.Second)
			s := b.add(func(*fake) {})
			mustToken(b.t, s)
			b.remove(s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachBranch(t, 8, func(b *branch) {
				happens(b)
				b.remove(b.sessions[2:8]...)
				if n := b.dead.Load(); n > 2 {
					b.t.Errorf("%d dead tokens were sent", n)
				}
			})
		})
	}
}

func TestALogoutPingsNoTokenThatIsKnownToWork(t *testing.T) {
	eachBranch(t, 7, func(b *branch) {
		wrong := b.add(func(f *fake) { f.login = fails(pbx.ErrInvalidCredentials, true) })
		time.Sleep(time.Second)
		wantState(b.t, wrong, session.Rejected) // so that the host notes what requests find
		for _, step := range []struct {
			why    string
			remove int // of the sessions
			pings  int32
			then   func()
		}{
			{"no token is known to work", 5, 1, nil},
			{"a newer one works", 1, 1, nil},
			{"an older one works", 2, 0, func() { get(b.t, over(answering(http.StatusOK), b.sessions[6]), "https://pbx.test/call") }},
			{"an older one and a newer one work", 3, 0, func() { time.Sleep(lifeLasts) }},
			{"an older one worked some time ago", 4, 1, nil},
			{"an older one works again", 6, 0, nil},
		} {
			before := b.pings.Load()
			b.remove(b.sessions[step.remove])
			if n := b.pings.Load() - before; n != step.pings {
				b.t.Errorf("%s: %d pings, want %d", step.why, n, step.pings)
			}
			if step.then != nil {
				step.then()
			}
		}
	})
}
