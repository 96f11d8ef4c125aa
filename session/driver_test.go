package session_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// Drivers are other people's code: whatever one does, its session says so and
// the rest go on.

// A driver whose Traits panic is one that states nothing about its brand.
func TestTraitsThatPanicAreContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session.New(&undescribed{fake{life: time.Hour, takes: time.Second}}, &session.Options{Guard: &session.Guard{}})
		defer s.Close(context.Background())
		wantKind(t, s.Status().Err, pbx.ErrUnavailable)
		mustToken(t, s)
		if status := s.Status(); status.State != session.Live || status.Err != nil {
			t.Errorf("status %+v", status)
		}
	})
}

type undescribed struct{ fake }

func (*undescribed) Traits() pbx.Traits { panic("the password is 123456") }

func TestABadDriverIsContained(t *testing.T) {
	for _, row := range []struct {
		name string
		kind error
		says string
		bad  func(f *fake) func(context.Context) (*pbx.Token, error)
	}{
		{"panics", pbx.ErrUnavailable, "the driver panicked: a string", func(*fake) func(context.Context) (*pbx.Token, error) {
			return func(context.Context) (*pbx.Token, error) { panic("the password is 123456") }
		}},
		{"dereferences nil", pbx.ErrUnavailable, "the driver panicked: runtime error", func(*fake) func(context.Context) (*pbx.Token, error) {
			return func(context.Context) (*pbx.Token, error) {
				var t *pbx.Token
				return &pbx.Token{Value: t.Value}, nil
			}
		}},
		{"ignores its context", pbx.ErrUnavailable, "does not return", func(*fake) func(context.Context) (*pbx.Token, error) {
			return func(context.Context) (*pbx.Token, error) { time.Sleep(time.Hour); return nil, nil }
		}},
		{"returns nil and no error", pbx.ErrProtocol, "returns no token", func(*fake) func(context.Context) (*pbx.Token, error) {
			return func(context.Context) (*pbx.Token, error) { return nil, nil }
		}},
		{"returns an empty token", pbx.ErrProtocol, "returns no token", func(*fake) func(context.Context) (*pbx.Token, error) {
			return func(context.Context) (*pbx.Token, error) { return &pbx.Token{}, nil }
		}},
		{"returns an expired token", pbx.ErrProtocol, "expired already", func(f *fake) func(context.Context) (*pbx.Token, error) {
			return func(context.Context) (*pbx.Token, error) {
				return &pbx.Token{Value: pbx.NewSecret("old"), ExpiresAt: time.Now().Add(-time.Second)}, nil
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := session.NewManager(&session.Options{Guard: &session.Guard{}, Timeout: 5 * time.Second, Workers: 1})
				defer time.Sleep(time.Hour) // for the one that hangs
				defer m.Close(context.Background())
				bad, good := &fake{}, &fake{life: time.Hour}
				bad.login = row.bad(bad)
				badSession, err := m.Add("bad", bad)
				if err != nil {
					t.Fatal(err)
				}
				goodSession, err := m.Add("good", good)
				if err != nil {
					t.Fatal(err)
				}
				_, err = badSession.Token(t.Context())
				wantKind(t, err, row.kind)
				if !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "123456") {
					t.Fatalf("error is %q", err)
				}
				wantKind(t, badSession.Status().Err, row.kind)
				mustToken(t, goodSession)
				time.Sleep(24 * time.Hour)
				mustToken(t, goodSession)
				if logins, _, _ := bad.counts(); logins > 24*6*3+3 {
					t.Fatalf("%d logins of the bad driver in a day: more than the lockout budget", logins)
				}
			})
		})
	}
}

func TestADriverThatHangsInLogoutDoesNotHoldUpClose(t *testing.T) {
	f := &fake{life: time.Hour}
	f.logout = func(context.Context, *pbx.Token) error { time.Sleep(time.Hour); return nil }
	synctest.Test(t, func(t *testing.T) {
		s := session.New(f, &session.Options{Guard: &session.Guard{}, Timeout: 5 * time.Second})
		mustToken(t, s)
		start := time.Now()
		wantKind(t, s.Close(t.Context()), pbx.ErrUnavailable)
		if took := time.Since(start); took > 7*time.Second {
			t.Fatalf("Close took %s", took)
		}
		time.Sleep(time.Hour)
	})
}

func TestADriverThatEndsItsGoroutineIsContained(t *testing.T) {
	f := &fake{}
	f.login = func(context.Context) (*pbx.Token, error) { runtime.Goexit(); return nil, nil }
	during(t, f, func(t *testing.T, s *session.Session) {
		_, err := s.Token(t.Context())
		wantKind(t, err, pbx.ErrUnavailable)
	})
}

func TestAHungLookForCredentialsIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &looking{fake: &fake{login: fails(pbx.ErrInvalidCredentials, true)}}
		f.look = func(context.Context, int32) (bool, error) { time.Sleep(36 * time.Hour); return false, nil } // a vault that hangs
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		time.Sleep(24 * time.Hour)
		if n := f.looks.Load(); n != 1 {
			t.Errorf("%d looks", n)
		}
		s.Close(t.Context())
		time.Sleep(24 * time.Hour)
	})
}

func TestARetryDuringALookForCredentialsSendsOneLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &looking{fake: &fake{login: fails(pbx.ErrInvalidCredentials, true)}}
		f.look = func(_ context.Context, n int32) (bool, error) {
			if n == 1 {
				time.Sleep(25 * time.Second)
			}
			return true, nil
		}
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		defer s.Close(context.Background())
		time.Sleep(75 * time.Second) // a look is under way
		s.Retry(t.Context())
		time.Sleep(30 * time.Second) // it said that they had changed, before the retry
		wantCounts(t, f.fake, 2, 0, 0)
	})
}

func TestADriverThatHungIsCalledAgainWhenItHasReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{life: 24 * time.Hour}
		hangs := func(context.Context) (*pbx.Token, error) { time.Sleep(time.Hour); return f.token(), nil }
		f.login = hangs
		s := session.New(f, &session.Options{Guard: &session.Guard{}, Timeout: 5 * time.Second})
		_, err := s.Token(t.Context())
		wantKind(t, err, context.DeadlineExceeded)
		for round := range 3 {
			time.Sleep(59 * time.Minute)
			wantCounts(t, f, 2*round+1, 0, round)
			wantKind(t, s.Status().Err, pbx.ErrUnavailable)
			f.set(func() { f.login = nil })
			time.Sleep(7 * time.Minute)
			wantState(t, s, session.Live)
			wantCounts(t, f, 2*round+2, 0, round+1) // the late token is not wanted any more
			f.set(func() { f.login = hangs })
			s.Invalidate(mustToken(t, s))
		}
		s.Close(t.Context())
		time.Sleep(2 * time.Hour)
	})
}

func TestOnlyALateLoginsTokenIsLoggedOut(t *testing.T) {
	for name, late := range map[string]func(f *fake) (*pbx.Token, error){
		"no token":           func(*fake) (*pbx.Token, error) { return nil, nil },
		"an error":           func(*fake) (*pbx.Token, error) { return nil, errors.New("it broke") },
		"an error and token": func(f *fake) (*pbx.Token, error) { return f.token(), errors.New("it broke") },
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			f.login = func(context.Context) (*pbx.Token, error) { time.Sleep(time.Minute); return late(f) }
			during(t, f, func(t *testing.T, s *session.Session) {
				time.Sleep(61 * time.Second)
				wantCounts(t, f, 1, 0, 0)
				f.set(func() { f.login = nil })
				time.Sleep(15 * time.Minute)
				wantCounts(t, f, 2, 0, 0)
			})
		})
	}
	t.Run("a keep-alive's token", func(t *testing.T) {
		f := &fake{life: 30 * time.Minute}
		slow := f.keeping(func(_ context.Context, old *pbx.Token) (*pbx.Token, error) {
			if _, beats, _ := f.counts(); beats == 1 {
				time.Sleep(time.Minute)
			}
			return f.dated(old.Value.Reveal()), nil
		})
		during(t, slow, func(t *testing.T, s *session.Session) {
			time.Sleep(25 * time.Minute)
			mustToken(t, s)
			if logins, beats, logouts := f.counts(); logins != 1 || beats == 0 || logouts != 0 {
				t.Errorf("%d logins, %d keep-alives, %d logouts", logins, beats, logouts)
			}
		})
	})
}

func TestALoginOfABadDriverCountsAgainstTheBudget(t *testing.T) {
	for name, bad := range map[string]func(context.Context) (*pbx.Token, error){
		"no token":           func(context.Context) (*pbx.Token, error) { return nil, nil },
		"panics":             func(context.Context) (*pbx.Token, error) { panic("oh") },
		"ends its goroutine": func(context.Context) (*pbx.Token, error) { runtime.Goexit(); return nil, nil },
		"hangs": func(context.Context) (*pbx.Token, error) {
			time.Sleep(7 * time.Second)
			return nil, errors.New("it broke")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{traits: onHost("pbx.test"), login: bad}
				s := session.New(f, &session.Options{Guard: &session.Guard{}, Timeout: 5 * time.Second})
				defer s.Close(context.Background())
				time.Sleep(23 * time.Hour)
				if logins, _, _ := f.counts(); logins < 3 || logins > 4 {
					t.Fatalf("%d logins in a day: five wrong ones lock", logins)
				}
			})
		})
	}
}

func TestATokenThatExpiresThisMomentHasExpired(t *testing.T) {
	f := &fake{}
	f.login = func(context.Context) (*pbx.Token, error) {
		return &pbx.Token{Value: pbx.NewSecret("token"), ExpiresAt: time.Now()}, nil
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		_, err := s.Token(t.Context())
		wantKind(t, err, pbx.ErrProtocol)
	})
}

func TestARequestsContextEndsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var login, look context.Context
		f := &looking{fake: &fake{}}
		f.login = func(ctx context.Context) (*pbx.Token, error) {
			login = ctx
			return nil, told(pbx.OpLogin, pbx.ErrInvalidCredentials, true)
		}
		f.look = func(ctx context.Context, _ int32) (bool, error) { look = ctx; return false, nil }
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		synctest.Wait()
		if login.Err() == nil {
			t.Error("a login's context is not released")
		}
		time.Sleep(70 * time.Second)
		synctest.Wait()
		if look.Err() == nil {
			t.Error("a look's context is not released")
		}
		s.Close(t.Context())
	})
}
