package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

func TestALoginThatIsForbiddenIsNotRepeated(t *testing.T) {
	f := &fake{login: fails(pbx.ErrForbidden, true)}
	during(t, f, func(t *testing.T, s *session.Session) {
		time.Sleep(24 * time.Hour)
		wantState(t, s, session.Rejected)
		wantCounts(t, f, 1, 0, 0)
	})
}

// A driver may give a login up by itself before anything is sent.
func TestALoginThatTheDriverGivesUpIsRepeatedSlowly(t *testing.T) {
	f := &fake{login: func(context.Context) (*pbx.Token, error) {
		return nil, &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, Err: context.Canceled, Message: "given up"}
	}}
	during(t, f, func(t *testing.T, s *session.Session) {
		time.Sleep(10 * time.Minute)
		if n, _, _ := f.counts(); n > 10 {
			t.Errorf("%d logins in ten minutes", n)
		}
	})
}

func TestALoginThatIsNotSupportedIsRepeatedSlowly(t *testing.T) {
	f := &fake{login: fails(pbx.ErrNotSupported, false)}
	during(t, f, func(t *testing.T, s *session.Session) {
		synctest.Wait()
		wantState(t, s, session.Unavailable)
		time.Sleep(53 * time.Second)
		wantCounts(t, f, 1, 0, 0)
	})
}

func TestAKeepAliveThatSaysNoLeadsToALoginAtOnce(t *testing.T) {
	for _, kind := range []error{pbx.ErrNotSupported, pbx.ErrTokenRejected} {
		t.Run(kind.Error(), func(t *testing.T) {
			f := &fake{life: 30 * time.Minute}
			f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
				return nil, told(pbx.OpKeepAlive, kind, kind != pbx.ErrNotSupported)
			}
			during(t, f, func(t *testing.T, s *session.Session) {
				mustToken(t, s)
				time.Sleep(untilNext(s))
				synctest.Wait()
				wantCounts(t, f, 2, 1, 0)
				wantState(t, s, session.Live)
			})
		})
	}
}

// A refresh may carry credentials, such as an application's secret: a login would
// be the second time that they are sent.
func TestAKeepAliveWhoseCredentialsAreRefusedIsFollowedByNoLogin(t *testing.T) {
	f := &fake{life: 30 * time.Minute}
	f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
		return nil, told(pbx.OpKeepAlive, pbx.ErrInvalidCredentials, true)
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		token := mustToken(t, s)
		time.Sleep(untilNext(s))
		synctest.Wait()
		wantState(t, s, session.Rejected)
		wantKind(t, s.Status().Err, pbx.ErrInvalidCredentials)
		if mustToken(t, s) != token {
			t.Error("the token is not handed out until it expires")
		}
		time.Sleep(24 * time.Hour)
		wantState(t, s, session.Rejected)
		wantCounts(t, f, 1, 1, 0)
		if _, err := s.Token(t.Context()); !errors.Is(err, pbx.ErrInvalidCredentials) {
			t.Errorf("Token returns %v", err)
		}
		f.set(func() { f.beat = nil })
		if err := s.Retry(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		wantState(t, s, session.Live)
	})
}

func TestAKeepAliveThatIsForbiddenIsRepeatedWhileTheTokenIsValid(t *testing.T) {
	f := &fake{life: 30 * time.Minute}
	f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
		return nil, told(pbx.OpKeepAlive, pbx.ErrForbidden, true)
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(untilNext(s))
		synctest.Wait()
		wantState(t, s, session.Renewing)
		wantWait(t, untilNext(s), time.Second) // no login was spent: it need not wait for eight
		f.set(func() { f.beat = nil })
		time.Sleep(2 * time.Second)
		wantState(t, s, session.Live)
		wantCounts(t, f, 1, 2, 0)
	})
}

func TestTheReasonStaysWhileTheNextAttemptIsUnderWay(t *testing.T) {
	f := &fake{login: fails(pbx.ErrUnavailable, false), takes: 10 * time.Second}
	during(t, f, func(t *testing.T, s *session.Session) {
		time.Sleep(15 * time.Second)
		wantCounts(t, f, 2, 0, 0)
		wantState(t, s, session.Connecting)
		wantKind(t, s.Status().Err, pbx.ErrUnavailable)
	})
	refused := &fake{life: 30 * time.Minute}
	refused.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
		return nil, told(pbx.OpKeepAlive, pbx.ErrTokenRejected, true)
	}
	during(t, refused, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		refused.set(func() { refused.takes = 10 * time.Second })
		time.Sleep(untilNext(s) + 15*time.Second)
		wantState(t, s, session.Connecting)
		wantKind(t, s.Status().Err, pbx.ErrTokenRejected)
	})
}

// A driver that does not say where its PBX is cannot be checked without a login.
func TestWithoutAnAddressTheLoginItselfIsTheCheck(t *testing.T) {
	f := &fake{login: fails(pbx.ErrUnavailable, false)}
	during(t, f, func(t *testing.T, s *session.Session) {
		for i := range 12 {
			synctest.Wait()
			wantCounts(t, f, i+1, 0, 0)
			wait := 5 * time.Second
			if i < 3 {
				wait = time.Second << i
			}
			wantWait(t, untilNext(s), wait)
			time.Sleep(untilNext(s))
		}
	})
}

func TestFailedKeepAlivesAreRepeatedLessAndLessOften(t *testing.T) {
	f := &fake{life: 24 * time.Hour}
	f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
		return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, true)
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(untilNext(s))
		for i := range 12 {
			synctest.Wait()
			wantCounts(t, f, 1, i+1, 0)
			wait := 5 * time.Minute
			if i < 9 {
				wait = time.Second << i
			}
			wantWait(t, untilNext(s), wait)
			time.Sleep(untilNext(s))
		}
	})
}

func TestAFailedKeepAliveIsRepeatedWhenThePBXRespondsToACheck(t *testing.T) {
	f := &fake{life: 24 * time.Hour, traits: onHost("pbx.test"), down: true}
	f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
		return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, true)
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(untilNext(s) + 2*time.Hour)
		wantCounts(t, f, 1, 1, 0)
		wantState(t, s, session.Renewing)
		if check := time.Until(s.Status().Check); check < 0 || check > 5*time.Minute {
			t.Errorf("the next check is in %s", check)
		}
		f.set(func() { f.down, f.beat = false, nil })
		time.Sleep(15*time.Second + 2*time.Hour/100)
		wantCounts(t, f, 1, 2, 0)
		wantState(t, s, session.Live)
	})
}

func TestSessionsThatFailTogetherDoNotComeBackTogether(t *testing.T) {
	for kind, wait := range map[error]time.Duration{pbx.ErrConfig: time.Minute, pbx.ErrTooManySessions: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 1000})
			defer m.Close(context.Background())
			_, sessions := fleet(t, m, 100, func(f *fake) { f.login = fails(kind, true) })
			synctest.Wait()
			least, most := time.Hour, time.Duration(0)
			for _, s := range sessions {
				least, most = min(least, untilNext(s)), max(most, untilNext(s))
			}
			if least < wait*90/100 || least > wait*94/100 || most < wait*106/100 || most > wait*110/100 {
				t.Errorf("%v: they come back after %s to %s", kind, least, most)
			}
		})
	}
}

func TestFailuresThatTakeAPersonAreRepeatedLessAndLessOftenToo(t *testing.T) {
	f := &fake{login: fails(pbx.ErrConfig, false)}
	during(t, f, func(t *testing.T, s *session.Session) {
		time.Sleep(10 * time.Hour)
		if logins, _, _ := f.counts(); logins > 150 {
			t.Fatalf("%d logins in ten hours", logins)
		}
	})
}

func TestALateRenewalIsRepeatedBeforeTheTokenExpires(t *testing.T) {
	f := &fake{life: 2 * time.Minute}
	f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
		return nil, told(pbx.OpKeepAlive, pbx.ErrConfig, true)
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(untilNext(s))
		synctest.Wait()
		f.set(func() { f.beat = nil })
		time.Sleep(30 * time.Second)
		wantState(t, s, session.Live)
		wantCounts(t, f, 1, 2, 0)
	})
}

func TestAWaitLongerThanTheTokenIsValidEndsWithIt(t *testing.T) {
	f := &fake{life: 30 * time.Minute}
	f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
		return nil, &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Kind: pbx.ErrUnavailable, HTTPStatus: 503, RetryAfter: time.Hour, Sent: true}
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(29 * time.Minute)
		wantCounts(t, f, 1, 1, 0)
		time.Sleep(time.Minute + time.Second)
		wantCounts(t, f, 2, 1, 0)
	})
}

func TestASessionIsLockedWhenItsTokenExpiresBeforeTheLockEnds(t *testing.T) {
	locked := &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Kind: pbx.ErrLocked, RetryAfter: time.Hour, Sent: true}
	for name, lock := range map[string]func(f *fake, guard *session.Guard){
		"by its own keep-alive": func(f *fake, _ *session.Guard) {
			f.set(func() { f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) { return nil, locked } })
		},
		"by another session": func(_ *fake, guard *session.Guard) {
			_, end := on(guard, &fake{traits: onHost("pbx.test"), login: func(context.Context) (*pbx.Token, error) { return nil, locked }})
			synctest.Wait()
			end()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				guard := &session.Guard{}
				f := &fake{traits: onHost("pbx.test"), life: 30 * time.Minute}
				f.traits.Lockout.CoversRequests = true
				s, end := on(guard, f)
				defer end()
				mustToken(t, s)
				time.Sleep(15 * time.Minute)
				lock(f, guard)
				time.Sleep(14 * time.Minute)
				wantState(t, s, session.Renewing)
				mustToken(t, s)
				time.Sleep(time.Minute + time.Second)
				wantState(t, s, session.Locked)
				if wait := untilNext(s); wait < 40*time.Minute {
					t.Errorf("next attempt in %s", wait)
				}
				time.Sleep(time.Hour)
				wantState(t, s, session.Live)
			})
		})
	}
}

func TestAfterAShortLockTheTokenIsKeptAliveStill(t *testing.T) {
	f := &fake{life: 30 * time.Minute}
	f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
		return nil, &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Kind: pbx.ErrLocked, RetryAfter: time.Minute, Sent: true}
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(untilNext(s))
		synctest.Wait()
		f.set(func() { f.beat = nil })
		time.Sleep(2 * time.Minute)
		wantCounts(t, f, 1, 2, 0)
		wantState(t, s, session.Live)
	})
}

func TestAKeepAliveDuringWhichItsTokenExpiresFailsLikeALogin(t *testing.T) {
	for name, kind := range map[string]error{"locked": pbx.ErrLocked, "unavailable": pbx.ErrUnavailable} {
		t.Run(name, func(t *testing.T) {
			f := &fake{life: 15 * time.Second}
			var failed, next time.Time
			during(t, f.keeping(func(context.Context, *pbx.Token) (*pbx.Token, error) {
				time.Sleep(8 * time.Second)
				failed = time.Now()
				return nil, told(pbx.OpKeepAlive, kind, true)
			}), func(t *testing.T, s *session.Session) {
				mustToken(t, s)
				f.set(func() {
					f.login = func(context.Context) (*pbx.Token, error) { next = time.Now(); return f.token(), nil }
				})
				time.Sleep(untilNext(s) + 8*time.Second)
				synctest.Wait()
				if kind == pbx.ErrLocked {
					wantState(t, s, session.Locked)
					return
				}
				wantState(t, s, session.Unavailable)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				wantWait(t, next.Sub(failed), time.Second)
			})
		})
	}
}

func TestAfterTheTokensEndTheStateIsThatOfALogin(t *testing.T) {
	f := &fake{life: 30 * time.Minute}
	f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
		return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, true)
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(29*time.Minute + 59*time.Second)
		f.set(func() {
			f.login = func(context.Context) (*pbx.Token, error) { time.Sleep(10 * time.Second); return f.token(), nil }
		})
		time.Sleep(5 * time.Second)
		if logins, _, _ := f.counts(); logins != 2 {
			t.Fatalf("%d logins", logins)
		}
		wantState(t, s, session.Connecting)
	})
}

func TestTokenWaitsForAKeepAliveDuringWhichTheTokenExpires(t *testing.T) {
	f := &fake{life: 15 * time.Second}
	during(t, f.keeping(func(_ context.Context, old *pbx.Token) (*pbx.Token, error) {
		time.Sleep(8 * time.Second)
		return f.dated(old.Value.Reveal()), nil
	}), func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(16 * time.Second)
		mustToken(t, s)
		wantCounts(t, f, 1, 1, 0)
	})
}

func TestTokenWaitsIfTheTokenHasJustExpired(t *testing.T) {
	during(t, &fake{life: time.Millisecond}, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(500 * time.Millisecond)
		mustToken(t, s)
	})
}

func TestTheRefreshTokenIsUsedWhereThereIsOne(t *testing.T) {
	for _, row := range []struct {
		name          string
		kind          pbx.KeepAliveKind
		refresh       string
		lives         time.Duration // 0: without an end
		logins, beats int
	}{
		{"it lives", pbx.KeepAliveRefresh, "refresh", time.Hour, 1, 1},
		{"it has no end", pbx.KeepAliveRefresh, "refresh", 0, 1, 1},
		{"it is dead", pbx.KeepAliveRefresh, "refresh", 5 * time.Minute, 2, 0},
		{"there is none", pbx.KeepAliveRefresh, "", 0, 2, 0},
		{"the brand has only heartbeats", pbx.KeepAliveHeartbeat, "refresh", 0, 2, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fake{life: 30 * time.Minute, traits: pbx.Traits{KeepAlive: row.kind}}
			f.login = func(context.Context) (*pbx.Token, error) {
				token := f.token()
				token.Refresh = pbx.NewSecret(row.refresh)
				if row.lives > 0 {
					token.RefreshExpiresAt = time.Now().Add(row.lives)
				}
				return token, nil
			}
			f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) { return f.dated("refreshed"), nil }
			during(t, f, func(t *testing.T, s *session.Session) {
				token := mustToken(t, s)
				time.Sleep(10 * time.Minute)
				s.Invalidate(token)
				mustToken(t, s)
				wantCounts(t, f, row.logins, row.beats, 0)
			})
		})
	}
}

func TestADriversPlainErrorEndsTheRefreshes(t *testing.T) {
	f := refreshing(func(context.Context, *pbx.Token) (*pbx.Token, error) { return nil, errors.New("it broke") })
	during(t, f, func(t *testing.T, s *session.Session) {
		s.Invalidate(mustToken(t, s))
		time.Sleep(time.Minute)
		mustToken(t, s)
		wantCounts(t, f, 2, 1, 0)
	})
}

func TestARefreshThatThePBXDidNotJudgeIsRepeated(t *testing.T) {
	for name, err := range map[string]error{
		"no answer": told(pbx.OpKeepAlive, pbx.ErrUnavailable, true),
		"not sent":  told(pbx.OpKeepAlive, pbx.ErrConfig, false),
	} {
		t.Run(name, func(t *testing.T) {
			f := refreshing(func(context.Context, *pbx.Token) (*pbx.Token, error) { return nil, err })
			during(t, f, func(t *testing.T, s *session.Session) {
				s.Invalidate(mustToken(t, s))
				time.Sleep(time.Hour)
				if logins, beats, _ := f.counts(); logins != 1 || beats < 10 {
					t.Fatalf("%d logins and %d refreshes", logins, beats)
				}
			})
		})
	}
}

func TestARefreshThatFailsWhileTheTokenIsValidIsTriedAgainAfterItsExpiry(t *testing.T) {
	f := refreshing(nil)
	during(t, f, func(t *testing.T, s *session.Session) {
		end := mustToken(t, s).ExpiresAt
		f.set(func() {
			f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
				if time.Now().Before(end) {
					return nil, told(pbx.OpKeepAlive, pbx.ErrProtocol, true)
				}
				return f.dated("refreshed"), nil
			}
		})
		time.Sleep(31 * time.Minute)
		wantState(t, s, session.Live)
		if logins, _, _ := f.counts(); logins != 1 {
			t.Fatalf("%d logins", logins)
		}
	})
}

func TestWhatARefusalDuringARenewalLeadsTo(t *testing.T) {
	for _, row := range []struct {
		name          string
		keep          func(f *fake) (*pbx.Token, error)
		logins, beats int
	}{
		{"the renewal brings another token", func(f *fake) (*pbx.Token, error) { return f.token(), nil }, 1, 1},
		{"the renewal brings the same", func(f *fake) (*pbx.Token, error) { return f.dated("token-1"), nil }, 2, 1},
		{"the renewal fails", func(*fake) (*pbx.Token, error) { return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, true) }, 2, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fake{life: 30 * time.Minute}
			during(t, f.keeping(func(context.Context, *pbx.Token) (*pbx.Token, error) {
				time.Sleep(10 * time.Second)
				return row.keep(f)
			}), func(t *testing.T, s *session.Session) {
				first := mustToken(t, s)
				time.Sleep(untilNext(s) + time.Second)
				s.Invalidate(first)
				time.Sleep(time.Minute)
				if next := mustToken(t, s); next.Value.Equal(first.Value) {
					t.Error("the refused token is handed out")
				}
				wantCounts(t, f, row.logins, row.beats, 0)
			})
		})
	}
	t.Run("a login that brings the same", func(t *testing.T) {
		f := &fake{life: 30 * time.Minute, traits: pbx.Traits{KeepAlive: pbx.KeepAliveNone}}
		f.login = func(context.Context) (*pbx.Token, error) { return f.dated("always the same"), nil }
		during(t, f, func(t *testing.T, s *session.Session) {
			first := mustToken(t, s)
			f.set(func() { f.takes = 10 * time.Second })
			time.Sleep(untilNext(s) + time.Second)
			s.Invalidate(first)
			time.Sleep(time.Minute)
			wantState(t, s, session.Live)
			wantCounts(t, f, 2, 0, 0)
		})
	})
}

func TestAFailedKeepAliveIsRepeatedThoughTrafficProlongedTheToken(t *testing.T) {
	f := &fake{life: 30 * time.Minute, traits: pbx.Traits{Sliding: true}}
	f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
		return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, true)
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		time.Sleep(untilNext(s))
		synctest.Wait()
		wantState(t, s, session.Renewing)
		f.set(func() { f.beat = nil })
		get(t, &http.Client{Transport: s.Transport(answering(200))}, "http://pbx.test/call")
		time.Sleep(5 * time.Second)
		wantState(t, s, session.Live)
		wantCounts(t, f, 1, 2, 0)
	})
}

func TestAnEarlierRequestWithALaterResponseDoesNotShortenTheToken(t *testing.T) {
	f := &fake{life: time.Hour, traits: pbx.Traits{Sliding: true}}
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		base := s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/slow" {
				time.Sleep(20 * time.Second)
			}
			return answer(r, 200, "{}"), nil
		}))
		time.Sleep(time.Minute)
		slow := make(chan struct{})
		go func() {
			defer close(slow)
			get(t, &http.Client{Transport: base}, "http://pbx.test/slow")
		}()
		time.Sleep(10 * time.Second)
		get(t, &http.Client{Transport: base}, "http://pbx.test/call")
		end := time.Now().Add(time.Hour)
		<-slow
		if got := s.Status().ExpiresAt; !got.Equal(end) {
			t.Fatalf("the token ends at %s, want %s", got, end)
		}
	})
}

func TestABrandsLifetimeHoldsWhereTheTokenStatesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{traits: pbx.Traits{Lifetime: 30 * time.Minute}}
		s := session.New(f, &session.Options{Guard: &session.Guard{}})
		defer s.Close(context.Background())
		start := time.Now()
		mustToken(t, s)
		if end := s.Status().ExpiresAt; !end.Equal(start.Add(30 * time.Minute)) {
			t.Errorf("the token ends at %s", end)
		}
		time.Sleep(25 * time.Minute)
		wantCounts(t, f, 1, 1, 0)
	})
}

func TestTrafficGivesATokenItsFullLifetimeAgain(t *testing.T) {
	for _, row := range []struct {
		name                string
		issued              time.Duration // ago; 0: it does not tell
		full                time.Duration
		renewedLate, before time.Duration
	}{
		{"a third of it is left", 20 * time.Minute, 30 * time.Minute, 6 * time.Minute, 7 * time.Minute},
		{"it does not tell its beginning", 0, 10 * time.Minute, 6 * time.Minute, 7 * time.Minute},
		{"it begins later, by this machine's clock", -8 * time.Minute, 10 * time.Minute, 6 * time.Minute, 7 * time.Minute},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &fake{traits: pbx.Traits{Sliding: true}}
			f.login = func(context.Context) (*pbx.Token, error) {
				token := &pbx.Token{Value: pbx.NewSecret("token"), ExpiresAt: time.Now().Add(10 * time.Minute)}
				if row.issued != 0 {
					token.IssuedAt = time.Now().Add(-row.issued)
				}
				return token, nil
			}
			during(t, f, func(t *testing.T, s *session.Session) {
				mustToken(t, s)
				if wait := untilNext(s); wait < row.renewedLate || wait > row.before {
					t.Errorf("it is renewed in %s", wait)
				}
				time.Sleep(time.Minute)
				get(t, &http.Client{Transport: s.Transport(answering(200))}, "http://pbx.test/call")
				if left := time.Until(s.Status().ExpiresAt); left != row.full {
					t.Errorf("%s are left, want %s", left, row.full)
				}
			})
		})
	}
}

// After an outage a fleet refreshes its tokens together, once.
func TestAFleetThatRefreshesTogetherDoesNotGoOnSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 1000})
		defer m.Close(context.Background())
		_, sessions := fleet(t, m, 200, func(f *fake) {
			f.traits.KeepAlive = pbx.KeepAliveRefresh
			token := func() *pbx.Token {
				f.serial++
				return &pbx.Token{
					Value: pbx.NewSecret(fmt.Sprint("token-", f.serial)), Refresh: pbx.NewSecret("refresh"),
					IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour), RefreshExpiresAt: time.Now().Add(24 * time.Hour),
				}
			}
			f.login = func(context.Context) (*pbx.Token, error) { return token(), nil }
			f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) { return token(), nil }
		})
		time.Sleep(time.Minute)
		for _, s := range sessions {
			s.Invalidate(mustToken(t, s))
		}
		time.Sleep(time.Second)
		early := 0
		for _, s := range sessions {
			if untilNext(s) < 30*time.Minute {
				early++
			}
		}
		if early < 50 {
			t.Errorf("%d of 200 renew in the first half of their lives", early)
		}
	})
}

func TestRenewalsAreSpread(t *testing.T) {
	within := func(t *testing.T, what string, sessions []*session.Session, from, to float64) {
		t.Helper()
		least, most := 1.0, 0.0
		for _, s := range sessions {
			share := float64(untilNext(s)) / float64(time.Until(s.Status().ExpiresAt))
			least, most = min(least, share), max(most, share)
		}
		edge := (to - from) / 5
		if least < from || least > from+edge || most > to || most < to-edge {
			t.Errorf("%s are at %.3f to %.3f of a life, want %.3f to %.3f", what, least, most, from, to)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var alone []*session.Session
		for range 100 {
			s, end := on(&session.Guard{}, &fake{life: time.Hour})
			defer end()
			alone = append(alone, s)
		}
		synctest.Wait()
		within(t, "renewals", alone, 0.6, 0.7)
	})
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 1000})
		defer m.Close(context.Background())
		_, sessions := fleet(t, m, 200, func(f *fake) { f.life = time.Hour; f.traits.KeepAlive = pbx.KeepAliveNone })
		synctest.Wait()
		within(t, "a fleet's first renewals", sessions, 0.065, 0.65)
		for _, s := range sessions {
			now := time.Now()
			time.Sleep(max(0, untilNext(s)))
			synctest.Wait()
			if next := float64(untilNext(s)) / float64(time.Hour); time.Since(now) > 0 && (next < 0.6 || next > 0.7) {
				t.Fatalf("the second renewal is at %.3f of a life", next)
			}
		}
	})
}

func TestATokenFromBeforeAKeepAliveIsTheTokenAtHand(t *testing.T) {
	f := &fake{life: 30 * time.Minute}
	during(t, f, func(t *testing.T, s *session.Session) {
		before := mustToken(t, s)
		time.Sleep(22 * time.Minute)
		wantCounts(t, f, 1, 1, 0)
		s.Invalidate(before)
		mustToken(t, s)
		wantCounts(t, f, 2, 1, 0)
	})
}

func TestAfterALoginTheWaitsBeginAnew(t *testing.T) {
	f := &fake{login: fails(pbx.ErrUnavailable, false)}
	during(t, f, func(t *testing.T, s *session.Session) {
		time.Sleep(10 * time.Minute)
		f.set(func() { f.login = nil })
		time.Sleep(6 * time.Minute)
		token := mustToken(t, s)
		f.set(func() { f.login = fails(pbx.ErrUnavailable, false) })
		s.Invalidate(token)
		synctest.Wait()
		wantWait(t, untilNext(s), time.Second)
	})
}

// A PBX that restarts every night refuses a young token now and then. Only
// refusals of one token after the other show that something is wrong.
func TestARenewedTokenEndsTheRowOfRefusedOnes(t *testing.T) {
	f := &fake{life: 5 * time.Minute}
	auth := f.keeping(func(context.Context, *pbx.Token) (*pbx.Token, error) { return f.token(), nil })
	during(t, auth, func(t *testing.T, s *session.Session) {
		for night := range 10 {
			mustToken(t, s)
			time.Sleep(untilNext(s) + time.Minute) // the token is renewed, and a minute old
			s.Invalidate(mustToken(t, s))
			synctest.Wait()
			if got := s.Status(); got.State != session.Live {
				t.Fatalf("night %d: %v", night, got)
			}
		}
		wantCounts(t, f, 11, 10, 0)
	})
}
