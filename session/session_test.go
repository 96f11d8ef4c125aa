package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

func TestAHundredGoroutinesWithAWrongPasswordCauseOneLogin(t *testing.T) {
	f := &fake{login: fails(pbx.ErrInvalidCredentials, true), takes: 30 * time.Millisecond}
	during(t, f, func(t *testing.T, s *session.Session) {
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				for range 50 { // every 20 ms for a second
					if _, err := s.Token(t.Context()); !errors.Is(err, pbx.ErrInvalidCredentials) {
						t.Errorf("Token: %v", err)
					}
					time.Sleep(20 * time.Millisecond)
				}
			})
		}
		callers.Wait()
		time.Sleep(24 * time.Hour)
		wantState(t, s, session.Rejected)
		wantCounts(t, f, 1, 0, 0)
		t.Logf("%d login for 5000 calls, and for the day after", f.logins)
	})
}

func TestTheErrorOfARejectedSessionSaysWhatToDo(t *testing.T) {
	f := &fake{login: fails(pbx.ErrInvalidCredentials, true)}
	during(t, f, func(t *testing.T, s *session.Session) {
		_, err := s.Token(t.Context())
		var state *session.Error
		if !errors.As(err, &state) || state.State != session.Rejected {
			t.Fatalf("error is %v", err)
		}
		if !strings.Contains(err.Error(), "no login until Retry is called or the credentials change: fake: login: invalid credentials") {
			t.Fatalf("error is %q", err)
		}
	})
}

func TestTheEndOfAnOldTokenDoesNotSendAWrongPasswordAgain(t *testing.T) {
	for name, end := range map[string]func(s *session.Session, old *pbx.Token){
		"it expires":     func(*session.Session, *pbx.Token) {},
		"it is rejected": func(s *session.Session, old *pbx.Token) { s.Invalidate(old) },
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{life: time.Hour, traits: pbx.Traits{KeepAlive: pbx.KeepAliveNone}}
			during(t, f, func(t *testing.T, s *session.Session) {
				old := mustToken(t, s)
				f.set(func() { f.login = fails(pbx.ErrInvalidCredentials, true) })
				time.Sleep(50 * time.Minute)
				wantState(t, s, session.Rejected)
				mustToken(t, s) // it lives on
				end(s, old)
				time.Sleep(24 * time.Hour)
				_, err := s.Token(t.Context())
				wantKind(t, err, pbx.ErrInvalidCredentials)
				wantCounts(t, f, 2, 0, 0)
			})
		})
	}
}

func TestRetrySendsOneMoreLogin(t *testing.T) {
	f := &fake{login: fails(pbx.ErrInvalidCredentials, true), life: time.Hour}
	during(t, f, func(t *testing.T, s *session.Session) {
		synctest.Wait()
		s.Retry(t.Context())
		_, err := s.Token(t.Context())
		wantKind(t, err, pbx.ErrInvalidCredentials)
		wantCounts(t, f, 2, 0, 0)

		f.set(func() { f.login = nil })
		if err := s.Retry(t.Context()); err == nil || !strings.Contains(err.Error(), "the last retry was 0s ago, and one in 10s works") {
			t.Errorf("a second retry at once: %v", err)
		}
		time.Sleep(10 * time.Second)
		if err := s.Retry(t.Context()); err != nil {
			t.Errorf("Retry: %v", err)
		}
		mustToken(t, s)
		wantCounts(t, f, 3, 0, 0)
		if err := s.Retry(t.Context()); err == nil || !strings.Contains(err.Error(), "a token that works") {
			t.Errorf("a retry of a live session: %v", err)
		}
		synctest.Wait()
		wantCounts(t, f, 3, 0, 0)
	})
}

// A session whose password was refused looks at its settings now and then, which
// is no attempt.
func TestARejectedSessionHasNoNextAttempt(t *testing.T) {
	f := changing{&fake{login: fails(pbx.ErrInvalidCredentials, true)}}
	during(t, f, func(t *testing.T, s *session.Session) {
		_, err := s.Token(t.Context())
		var failure *session.Error
		if !errors.As(err, &failure) || !failure.Next.IsZero() || !s.Status().Next.IsZero() {
			t.Errorf("%v, status %+v", err, s.Status())
		}
	})
}

// changing is a driver that can show new credentials, of which there are none.
type changing struct{ *fake }

func (changing) Fingerprint(context.Context, []byte) ([]byte, error) { return fingerprint(false, nil) }

func TestRetryCutsTheWaitOfAnUnavailableSession(t *testing.T) {
	f := &fake{login: fails(pbx.ErrConfig, false), life: time.Hour}
	during(t, f, func(t *testing.T, s *session.Session) {
		time.Sleep(time.Second)
		wantState(t, s, session.Unavailable)
		f.set(func() { f.login = nil })
		s.Retry(t.Context())
		mustToken(t, s)
		wantCounts(t, f, 2, 0, 0)
	})
}

func TestGoroutinesShareOneLogin(t *testing.T) {
	f := &fake{life: time.Hour, takes: 500 * time.Millisecond}
	during(t, f, func(t *testing.T, s *session.Session) {
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() { mustToken(t, s) })
		}
		callers.Wait()
		wantCounts(t, f, 1, 0, 0)
	})
}

func TestTokenWaitsNoLongerThanItsContext(t *testing.T) {
	f := &fake{life: time.Hour, takes: 500 * time.Millisecond}
	during(t, f, func(t *testing.T, s *session.Session) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := s.Token(ctx)
		wantKind(t, err, context.DeadlineExceeded)
		if want := "session: connecting since 2000-01-01T00:00:00Z: context deadline exceeded"; err.Error() != want {
			t.Errorf("Token: %v", err)
		}
		waited := time.Since(start)
		t.Logf("waited %s for a login of 500ms", waited)
		if waited != 20*time.Millisecond {
			t.Fatalf("waited %s", waited)
		}
	})
}

func TestALoginGoesOnWhenNobodyWaitsForIt(t *testing.T) {
	f := &fake{life: time.Hour, takes: 500 * time.Millisecond}
	f.login = func(ctx context.Context) (*pbx.Token, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return f.token(), nil
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Token(ctx)
		wantKind(t, err, context.Canceled)
		time.Sleep(time.Second)
		wantState(t, s, session.Live)
		wantCounts(t, f, 1, 0, 0)
	})
}

func TestTenReportsOfOneDeadTokenCauseOneLogin(t *testing.T) {
	f := &fake{life: time.Hour, takes: 50 * time.Millisecond}
	during(t, f, func(t *testing.T, s *session.Session) {
		dead := mustToken(t, s)
		var holders sync.WaitGroup
		for i := range 10 {
			holders.Go(func() {
				time.Sleep(time.Duration(i) * 20 * time.Millisecond) // some while the login runs, some after
				s.Invalidate(dead)
				if next := mustToken(t, s); next.Value.Equal(dead.Value) {
					t.Error("the dead token was handed out again")
				}
			})
		}
		holders.Wait()
		wantCounts(t, f, 2, 0, 0)
		t.Logf("%d login for 10 reports", f.logins-1)
	})
}

func TestALateReportOfAReissuedValueDoesNothing(t *testing.T) {
	// A PBX that gives the same token out again: the report is about the login
	// before.
	f := &fake{life: time.Hour}
	f.login = func(context.Context) (*pbx.Token, error) { return f.dated("always the same"), nil }
	during(t, f, func(t *testing.T, s *session.Session) {
		first := mustToken(t, s)
		time.Sleep(time.Second)
		s.Invalidate(first)
		mustToken(t, s)
		s.Invalidate(first)
		synctest.Wait()
		wantCounts(t, f, 2, 0, 0)
		wantState(t, s, session.Live)
	})
}

func TestAPBXThatRefusesEveryTokenIsNotFlooded(t *testing.T) {
	for _, row := range []struct {
		name  string
		value func(serial int) string
	}{
		{"new ones", func(serial int) string { return fmt.Sprint("token ", serial) }},
		{"the same one every time", func(int) string { return "always the same" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fake{life: time.Hour}
			f.login = func(context.Context) (*pbx.Token, error) { return f.dated(row.value(f.logins)), nil }
			during(t, f, func(t *testing.T, s *session.Session) {
				mustToken(t, s)
				end := time.Now().Add(time.Hour)
				for time.Now().Before(end) {
					if token, err := s.Token(t.Context()); err == nil {
						s.Invalidate(token)
					} else {
						wantKind(t, err, pbx.ErrTokenRejected)
						wantKind(t, s.Status().Err, pbx.ErrTokenRejected)
					}
					time.Sleep(100 * time.Millisecond)
				}
				if logins, _, _ := f.counts(); logins > 30 {
					t.Fatalf("%d logins in an hour", logins)
				}
			})
		})
	}
}

func TestTheTokenIsKeptAliveAheadOfItsEnd(t *testing.T) {
	f := &fake{life: 30 * time.Minute}
	during(t, f, func(t *testing.T, s *session.Session) {
		for range 24 * 60 {
			mustToken(t, s)
			time.Sleep(time.Minute)
		}
		logins, beats, _ := f.counts()
		if logins != 1 || beats < 24*2 || float64(beats) > 24*3.2 {
			t.Fatalf("%d logins and %d keep-alives in a day", logins, beats)
		}
	})
}

func TestTrafficReplacesKeepAlives(t *testing.T) {
	for _, sliding := range []bool{true, false} {
		f := &fake{life: 30 * time.Minute, traits: pbx.Traits{Sliding: sliding}}
		during(t, f, func(t *testing.T, s *session.Session) {
			client := s.Client()
			client.Transport = s.Transport(answering(200))
			for range 24 * 6 {
				get(t, client, "http://pbx.test/call")
				time.Sleep(10 * time.Minute)
			}
			_, beats, _ := f.counts()
			t.Logf("sliding %v: %d keep-alives in a busy day", sliding, beats)
			if (beats == 0) != sliding {
				t.Fatalf("sliding %v: %d keep-alives in a busy day", sliding, beats)
			}
			wantState(t, s, session.Live)
		})
	}
}

func TestWithoutKeepAliveTheSessionLogsInAheadAndLeavesTheOldTokenAlone(t *testing.T) {
	unsupported := func(context.Context, *pbx.Token) (*pbx.Token, error) {
		return nil, &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Kind: pbx.ErrNotSupported}
	}
	for name, f := range map[string]*fake{
		"as described": {life: time.Hour, traits: pbx.Traits{KeepAlive: pbx.KeepAliveNone}, beat: unsupported},
		"found out":    {life: time.Hour, beat: unsupported},
	} {
		t.Run(name, func(t *testing.T) {
			during(t, f, func(t *testing.T, s *session.Session) {
				first := mustToken(t, s)
				time.Sleep(50 * time.Minute)
				if next := mustToken(t, s); next.Value.Equal(first.Value) {
					t.Fatal("still the first token")
				}
				logins, beats, logouts := f.counts()
				if logins != 2 || beats > 1 || logouts != 0 {
					t.Fatalf("%d logins, %d keep-alives, %d logouts", logins, beats, logouts)
				}
			})
		})
	}
}

func TestWhileTheOldTokenIsValidAFailedRenewalIsNoError(t *testing.T) {
	f := &fake{life: 30 * time.Minute}
	f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
		return nil, &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Kind: pbx.ErrUnavailable, Sent: true}
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(25 * time.Minute)
		mustToken(t, s)
		wantState(t, s, session.Renewing)
		wantKind(t, s.Status().Err, pbx.ErrUnavailable)
		_, beats, _ := f.counts()
		if beats < 3 || beats > 12 {
			t.Fatalf("%d keep-alives in the five minutes after the first failed", beats)
		}
		f.set(func() { f.beat = nil })
		time.Sleep(3 * time.Minute)
		wantState(t, s, session.Live)
	})
}

func TestWhenTheTokenExpiresUnrenewedTheSessionLogsIn(t *testing.T) {
	f := &fake{life: 30 * time.Minute}
	f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
		return nil, &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Kind: pbx.ErrUnavailable, Sent: true}
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		first := mustToken(t, s)
		time.Sleep(30*time.Minute + time.Second)
		if next := mustToken(t, s); next.Value.Equal(first.Value) {
			t.Fatal("the dead token was handed out")
		}
	})
}

func TestAKeepAliveThatFindsTheTokenDeadIsFollowedByALogin(t *testing.T) {
	f := &fake{life: 30 * time.Minute}
	f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
		return nil, &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Kind: pbx.ErrTokenRejected, Sent: true}
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(25 * time.Minute)
		wantCounts(t, f, 2, 1, 0)
		wantState(t, s, session.Live)
	})
}

func TestATokenRefusedWhileItIsKeptAliveIsNotRevived(t *testing.T) {
	f := &fake{life: 30 * time.Minute, takes: 10 * time.Second}
	during(t, f, func(t *testing.T, s *session.Session) {
		first := mustToken(t, s)
		for s.Status().State != session.Renewing {
			time.Sleep(time.Second)
		}
		s.Invalidate(first)
		if next := mustToken(t, s); next.Value.Equal(first.Value) {
			t.Fatal("the keep-alive revived a refused token")
		}
		wantCounts(t, f, 2, 1, 0)
	})
}

func TestADeadAccessTokenWithALivingRefreshTokenIsRefreshed(t *testing.T) {
	refreshed := errors.New("set by the rows")
	for _, row := range []struct {
		name          string
		err           error
		logins, beats int
	}{
		{"the refresh works", nil, 1, 1},
		{"the refresh is refused: one login", pbx.ErrTokenRejected, 2, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			refreshed = row.err
			f := &fake{life: 30 * time.Minute, traits: pbx.Traits{KeepAlive: pbx.KeepAliveRefresh}}
			f.login = func(context.Context) (*pbx.Token, error) {
				token := f.token()
				token.Refresh = pbx.NewSecret("refresh")
				return token, nil
			}
			f.beat = func(_ context.Context, old *pbx.Token) (*pbx.Token, error) {
				if refreshed != nil {
					return nil, &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Kind: refreshed, Sent: true}
				}
				token := f.dated("refreshed")
				token.Refresh = pbx.NewSecret("refresh 2")
				return token, nil
			}
			during(t, f, func(t *testing.T, s *session.Session) {
				s.Invalidate(mustToken(t, s))
				mustToken(t, s)
				wantCounts(t, f, row.logins, row.beats, 0)
			})
		})
	}
}

func TestAnUnreachablePBXIsTriedLessAndLessOften(t *testing.T) {
	f := &fake{login: fails(pbx.ErrUnavailable, false)}
	during(t, f, func(t *testing.T, s *session.Session) {
		start := time.Now()
		_, err := s.Token(t.Context())
		wantKind(t, err, pbx.ErrUnavailable)
		var state *session.Error
		if !errors.As(err, &state) || !state.Next.After(start) {
			t.Fatalf("the error does not tell the next attempt: %v", err)
		}
		time.Sleep(time.Hour)
		if logins, _, _ := f.counts(); logins < 200 || logins > 350 {
			t.Fatalf("%d attempts in an hour", logins)
		}
		time.Sleep(23 * time.Hour)
		if logins, _, _ := f.counts(); logins > 800 {
			t.Fatalf("%d attempts in a day", logins)
		}
		f.set(func() { f.login = nil })
		time.Sleep(6 * time.Minute)
		wantState(t, s, session.Live)
	})
}

func TestBetweenAttemptsTokenReturnsTheErrorAtOnce(t *testing.T) {
	f := &fake{login: fails(pbx.ErrUnavailable, false)}
	during(t, f, func(t *testing.T, s *session.Session) {
		synctest.Wait()
		start := time.Now()
		_, err := s.Token(t.Context())
		wantKind(t, err, pbx.ErrUnavailable)
		if time.Since(start) != 0 {
			t.Fatalf("waited %s", time.Since(start))
		}
	})
}

func TestThePBXsRetryAfterIsHonoured(t *testing.T) {
	f := &fake{}
	f.login = func(context.Context) (*pbx.Token, error) {
		return nil, &pbx.Error{Driver: "fake", Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, HTTPStatus: 503, RetryAfter: 20 * time.Minute, Sent: true}
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		time.Sleep(19 * time.Minute)
		wantCounts(t, f, 1, 0, 0)
		time.Sleep(2 * time.Minute)
		wantCounts(t, f, 2, 0, 0)
	})
}

func TestFailuresThatTakeAPersonAreRepeatedSlowly(t *testing.T) {
	for _, kind := range []error{pbx.ErrConfig, pbx.ErrTooManySessions} {
		f := &fake{login: fails(kind, false)}
		during(t, f, func(t *testing.T, s *session.Session) {
			time.Sleep(53 * time.Second)
			wantCounts(t, f, 1, 0, 0)
			wantState(t, s, session.Unavailable)
		})
	}
}

func TestCloseLogsOutAndEndsEverything(t *testing.T) {
	f := &fake{life: 30 * time.Minute}
	synctest.Test(t, func(t *testing.T) {
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		mustToken(t, s)
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantCounts(t, f, 1, 0, 1)
		_, err := s.Token(t.Context())
		wantKind(t, err, session.ErrClosed)
		wantState(t, s, session.Closed)
		if err := s.Close(t.Context()); err != nil {
			t.Fatalf("second Close: %v", err)
		}
		s.Retry(t.Context())
		s.Invalidate(nil)
		time.Sleep(24 * time.Hour)
		wantCounts(t, f, 1, 0, 1)
	})
}

func TestCloseWaitsForALoginUnderWayAndLogsItOut(t *testing.T) {
	f := &fake{life: 30 * time.Minute, takes: time.Second}
	synctest.Test(t, func(t *testing.T) {
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		time.Sleep(time.Millisecond)
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantCounts(t, f, 1, 0, 1)
	})
}

func TestCloseIsBoundedByItsContext(t *testing.T) {
	f := &fake{life: 30 * time.Minute}
	f.logout = func(ctx context.Context, _ *pbx.Token) error {
		<-ctx.Done()
		return ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		mustToken(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Close: %v", err)
		}
		if time.Since(start) != 2*time.Second {
			t.Fatalf("Close took %s", time.Since(start))
		}
	})
}

func TestATokenThatIsWaitedForReturnsErrClosedOnClose(t *testing.T) {
	f := &fake{life: 30 * time.Minute, takes: time.Second}
	synctest.Test(t, func(t *testing.T) {
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		told := make(chan error)
		go func() {
			_, err := s.Token(t.Context())
			told <- err
		}()
		time.Sleep(time.Millisecond)
		go s.Close(context.Background())
		wantKind(t, <-told, session.ErrClosed)
		time.Sleep(2 * time.Second)
	})
}

func TestTokensOfAnyLifetimeAreRenewedWithoutStorms(t *testing.T) {
	for _, life := range []time.Duration{time.Millisecond, time.Second, 30 * time.Minute, 100 * 365 * 24 * time.Hour, 1<<63 - 1} {
		f := &fake{life: life}
		during(t, f, func(t *testing.T, s *session.Session) {
			mustToken(t, s)
			time.Sleep(time.Minute)
			mustToken(t, s)
			if logins, beats, _ := f.counts(); logins+beats > 62 {
				t.Errorf("life %s: %d logins and %d keep-alives in a minute", life, logins, beats)
			}
		})
	}
}

func TestATokenWithoutAnEndIsNeverRenewed(t *testing.T) {
	f := &fake{}
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(30 * 24 * time.Hour)
		mustToken(t, s)
		wantCounts(t, f, 1, 0, 0)
		if status := s.Status(); !status.Next.IsZero() || !status.ExpiresAt.IsZero() {
			t.Fatalf("status %+v", status)
		}
	})
}

// refreshing is a fake with refresh tokens, whose refresh a test decides.
func refreshing(beat func(context.Context, *pbx.Token) (*pbx.Token, error)) *fake {
	f := &fake{life: 30 * time.Minute, traits: pbx.Traits{KeepAlive: pbx.KeepAliveRefresh}, beat: beat}
	f.login = func(context.Context) (*pbx.Token, error) {
		token := f.token()
		token.Refresh = pbx.NewSecret("refresh")
		return token, nil
	}
	return f
}

func TestADeadTokenThatCannotBeRefreshedLeadsToALogin(t *testing.T) {
	for name, err := range map[string]error{
		"there is no such call":   &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Kind: pbx.ErrNotSupported},
		"the code is unknown":     &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Code: "-1", HTTPStatus: 200, Sent: true},
		"the answer is not known": &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Kind: pbx.ErrProtocol, HTTPStatus: 200, Sent: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := refreshing(func(context.Context, *pbx.Token) (*pbx.Token, error) { return nil, err })
			during(t, f, func(t *testing.T, s *session.Session) {
				s.Invalidate(mustToken(t, s))
				s.Token(t.Context())
				time.Sleep(time.Minute)
				mustToken(t, s)
				if logins, beats, _ := f.counts(); logins != 2 || beats > 2 {
					t.Fatalf("%d logins and %d refreshes", logins, beats)
				}
			})
		})
	}
}

func TestAnUnreachablePBXDoesNotSpendALoginInPlaceOfARefresh(t *testing.T) {
	f := refreshing(func(context.Context, *pbx.Token) (*pbx.Token, error) {
		return nil, &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Kind: pbx.ErrUnavailable}
	})
	during(t, f, func(t *testing.T, s *session.Session) {
		s.Invalidate(mustToken(t, s))
		time.Sleep(time.Hour)
		if logins, beats, _ := f.counts(); logins != 1 || beats < 10 {
			t.Fatalf("%d logins and %d refreshes", logins, beats)
		}
	})
}

func TestReportsInALoopAreNotRefreshedInALoop(t *testing.T) {
	serial := 0
	var f *fake
	f = refreshing(func(context.Context, *pbx.Token) (*pbx.Token, error) {
		serial++
		token := f.dated(fmt.Sprint("refreshed ", serial))
		token.Refresh = pbx.NewSecret("refresh")
		return token, nil
	})
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(2 * time.Minute)
		for range 6000 {
			if token, err := s.Token(t.Context()); err == nil {
				s.Invalidate(token)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if _, beats, _ := f.counts(); beats > 15 {
			t.Fatalf("%d refreshes in a minute", beats)
		}
	})
}

func TestAReportAboutATokenWithoutADateIsHeeded(t *testing.T) {
	f := &fake{life: 30 * time.Minute}
	f.beat = func(_ context.Context, old *pbx.Token) (*pbx.Token, error) {
		return &pbx.Token{Value: old.Value, ExpiresAt: time.Now().Add(30 * time.Minute)}, nil
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(25 * time.Minute)
		s.Invalidate(mustToken(t, s))
		mustToken(t, s)
		wantCounts(t, f, 2, 1, 0)
	})
}

func TestATokenThatAKeepAliveReturnsUnchangedIsNotRenewedInALoop(t *testing.T) {
	f := &fake{life: time.Hour}
	f.beat = func(_ context.Context, old *pbx.Token) (*pbx.Token, error) { return old, nil }
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(59 * time.Minute)
		if _, beats, _ := f.counts(); beats > 20 {
			t.Fatalf("%d keep-alives in an hour", beats)
		}
	})
}

// Close waits for what is under way, and no longer than the shortest context of
// those that were given to Close.
func TestASecondCloseIsBoundedByItsOwnContext(t *testing.T) {
	for name, first := range map[string]func(*session.Session){
		"after a Close": func(s *session.Session) { s.Close(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := session.NewManager(&session.Options{Guard: &session.Guard{}})
				f := &fake{login: func(ctx context.Context) (*pbx.Token, error) { <-ctx.Done(); return nil, ctx.Err() }}
				s, err := m.Add("7", f)
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				go first(s)
				synctest.Wait()
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				start := time.Now()
				m.Close(ctx)
				if took := time.Since(start); took != time.Second {
					t.Errorf("Close took %s", took)
				}
			})
		})
	}
}

func TestOnlyOneLookForCredentialsIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := slowVault(&fake{login: fails(pbx.ErrInvalidCredentials, true)})
		s := session.New(f, &session.Options{Guard: &session.Guard{}, Timeout: 10 * time.Minute})
		time.Sleep(70 * time.Second) // the first is under way
		s.Retry(t.Context())         // in vain
		time.Sleep(70 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		s.Close(ctx)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("Close took %s: it does not know of the first look", took)
		}
	})
}

func TestARefreshThatIsNeverServedIsGivenUpForALogin(t *testing.T) {
	for name, beat := range map[string]func(context.Context, *pbx.Token) (*pbx.Token, error){
		"HTTP 500": func(context.Context, *pbx.Token) (*pbx.Token, error) {
			return nil, &pbx.Error{Op: pbx.OpKeepAlive, Kind: pbx.ErrUnavailable, HTTPStatus: 500, Sent: true}
		},
		"a panic":   func(context.Context, *pbx.Token) (*pbx.Token, error) { panic("no") },
		"no answer": func(ctx context.Context, _ *pbx.Token) (*pbx.Token, error) { <-ctx.Done(); return nil, ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{life: time.Hour, beat: beat, traits: pbx.Traits{KeepAlive: pbx.KeepAliveRefresh}}
			f.login = func(context.Context) (*pbx.Token, error) {
				token := f.token()
				token.Refresh = pbx.NewSecret("refresh")
				return token, nil
			}
			during(t, f, func(t *testing.T, s *session.Session) {
				mustToken(t, s)
				time.Sleep(24 * time.Hour)
				if logins, beats, _ := f.counts(); logins < 10 || logins > 30 || beats < 10 {
					t.Errorf("%d logins and %d refreshes in a day", logins, beats)
				}
			})
		})
	}
}

func TestATokenDatedBeforeItsLoginCanStillBeReported(t *testing.T) {
	f := &fake{life: time.Hour}
	f.beat = func(_ context.Context, t *pbx.Token) (*pbx.Token, error) { // a clock was set back
		return &pbx.Token{Value: pbx.NewSecret("renewed"), IssuedAt: t.IssuedAt.Add(-time.Hour), ExpiresAt: time.Now().Add(time.Hour)}, nil
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(50 * time.Minute)
		dead := mustToken(t, s)
		s.Invalidate(dead)
		if mustToken(t, s).Value.Equal(dead.Value) {
			t.Error("the report is not heeded")
		}
	})
}
