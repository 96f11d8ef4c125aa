package session_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

func TestClientsThatWaitGetTheCloseAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session.New(&fake{takes: time.Second}, &session.Options{Guard: &session.Guard{}})
		start := time.Now()
		time.AfterFunc(100*time.Millisecond, func() { s.Close(context.Background()) })
		_, err := s.Token(t.Context())
		wantKind(t, err, session.ErrClosed)
		if took := time.Since(start); took != 100*time.Millisecond {
			t.Errorf("a client got the error after %s", took)
		}
		time.Sleep(3 * time.Second)
	})
}

func TestASecondCloseWaitsForTheFirstAsLongAsItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{logout: func(context.Context, *pbx.Token) error { time.Sleep(10 * time.Second); return nil }}
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		mustToken(t, s)
		go s.Close(context.Background())
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if err := s.Close(t.Context()); err != nil || time.Since(start) != 10*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		wantCounts(t, f, 1, 0, 1)
	})
}

func TestACloseWithoutTimeLogsNothingOut(t *testing.T) {
	for name, f := range map[string]*fake{"a token": {}, "no token": {login: fails(pbx.ErrInvalidCredentials, true)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := session.New(f, &session.Options{Guard: &session.Guard{}})
				_, none := s.Token(t.Context())
				err := s.Close(expired)
				if none != nil {
					if err != nil {
						t.Errorf("Close: %v", err)
					}
				} else {
					wantKind(t, err, pbx.ErrUnavailable)
					wantKind(t, err, context.Canceled)
				}
				wantCounts(t, f, 1, 0, 0)
			})
		})
	}
}

func TestOnlyALivingTokenIsLoggedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{login: fails(pbx.ErrInvalidCredentials, true)}
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		s.Token(t.Context())
		s.Close(t.Context())
		wantCounts(t, f, 1, 0, 0)

		f = &fake{life: time.Hour, traits: pbx.Traits{KeepAlive: pbx.KeepAliveNone}}
		s = session.New(f, &session.Options{Guard: &session.Guard{}})
		mustToken(t, s)
		f.set(func() { f.login = fails(pbx.ErrInvalidCredentials, true) })
		time.Sleep(2 * time.Hour)
		s.Close(t.Context())
		wantCounts(t, f, 2, 0, 0)
	})
}

func TestLogoutsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		i := 0
		fleet(t, m, 4, func(f *fake) {
			if i++; i == 1 {
				f.logout = func(context.Context, *pbx.Token) error { return errors.New("it broke") }
			}
		})
		synctest.Wait()
		m.Close(t.Context())
		if stats := m.Stats(); stats.Logouts != 4 || stats.FailedLogouts != 1 {
			t.Errorf("stats %+v", stats)
		}
	})
}

func TestEveryDoneChannelIsClosedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session.New(&fake{}, &session.Options{Guard: &session.Guard{}})
		first, second := s.Done(), s.Done()
		s.Close(t.Context())
		<-first
		<-second
		<-s.Done()
	})
}

func TestACloseEndsALoginThatItHasNoTimeToWaitFor(t *testing.T) {
	for name, login := range map[string]func(f *fake, ctx context.Context) (*pbx.Token, error){
		"one that gives up":     func(_ *fake, ctx context.Context) (*pbx.Token, error) { <-ctx.Done(); return nil, ctx.Err() },
		"one that still brings": func(f *fake, ctx context.Context) (*pbx.Token, error) { <-ctx.Done(); return f.token(), nil },
		"one that is late": func(f *fake, ctx context.Context) (*pbx.Token, error) {
			<-ctx.Done()
			time.Sleep(500 * time.Millisecond)
			return f.token(), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := session.NewManager(&session.Options{Guard: &session.Guard{}})
				defer m.Close(context.Background())
				f := &fake{life: time.Hour}
				f.login = func(ctx context.Context) (*pbx.Token, error) { return login(f, ctx) }
				s, err := m.Add("crm-7", f)
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				start := time.Now()
				s.Close(ctx)
				if took := time.Since(start); took > 3*time.Second {
					t.Errorf("Close took %s", took)
				}
				time.Sleep(time.Minute)
				if status := s.Status(); status.State != session.Closed || !status.Next.IsZero() {
					t.Errorf("status %+v", status)
				}
			})
		})
	}
}
