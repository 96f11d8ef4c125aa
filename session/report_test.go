package session_test

import (
	"bytes"
	"context"
	"fmt"
	"github.com/rs/zerolog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

func TestAReportAboutNoTokenOrAnotherDoesNothing(t *testing.T) {
	f := &fake{life: time.Hour}
	during(t, f, func(t *testing.T, s *session.Session) {
		token := mustToken(t, s)
		s.Invalidate(nil)
		s.Invalidate(&pbx.Token{Value: pbx.NewSecret("another")})
		synctest.Wait()
		if mustToken(t, s) != token {
			t.Error("the token was replaced")
		}
		wantCounts(t, f, 1, 0, 0)
	})
}

func TestATokenThatThePBXTookAndNowRefusesIsReplaced(t *testing.T) {
	for _, age := range []time.Duration{10 * time.Second, 10 * time.Minute} {
		for _, early := range []int{0, 3} {
			t.Run(fmt.Sprintf("after %s, %d early ones before", age, early), func(t *testing.T) {
				f := &fake{life: time.Hour}
				during(t, f, func(t *testing.T, s *session.Session) {
					for range early {
						s.Invalidate(mustToken(t, s))
					}
					token := mustToken(t, s)
					get(t, &http.Client{Transport: s.Transport(answering(200))}, "http://pbx.test/call")
					time.Sleep(age)
					s.Invalidate(token)
					synctest.Wait()
					want := early + 2
					if early == 3 && age < time.Minute { // the PBX takes it elsewhere
						want--
					}
					wantCounts(t, f, want, 0, 0)
				})
			})
		}
	}
}

func TestAfterARefusalASessionIsConnectingThoughNoWorkerIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Workers: 1})
		defer m.Close(context.Background())
		s, err := m.Add("first", &fake{life: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		token := mustToken(t, s)
		if _, err := m.Add("busy", &fake{takes: 10 * time.Second}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		s.Invalidate(token)
		wantState(t, s, session.Connecting)
		mustToken(t, s)
	})
}

func TestThePaceOfLoginsIsCutDownStepByStepWhereEveryTokenIsRefused(t *testing.T) {
	f := &fake{life: time.Hour}
	during(t, f, func(t *testing.T, s *session.Session) {
		for range 3 {
			s.Invalidate(mustToken(t, s))
		}
		for _, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
			s.Invalidate(mustToken(t, s))
			wantState(t, s, session.Unavailable)
			wantWait(t, untilNext(s), wait)
			time.Sleep(untilNext(s))
			synctest.Wait()
			wantState(t, s, session.Live)
		}
	})
}

func TestATokenThatLastsForgivesTheEarlyOnesBeforeIt(t *testing.T) {
	f := &fake{life: time.Hour}
	during(t, f, func(t *testing.T, s *session.Session) {
		for range 3 {
			s.Invalidate(mustToken(t, s))
		}
		mustToken(t, s)
		time.Sleep(15*time.Minute + time.Second)
		for i := range 4 { // the first of them is not early
			s.Invalidate(mustToken(t, s))
			if state := s.Status().State; state == session.Unavailable {
				t.Fatalf("report %d: the session is %s", i, state)
			}
		}
		s.Invalidate(mustToken(t, s))
		wantState(t, s, session.Unavailable)
	})
}

func TestAResponseAboutAnEarlierTokenDoesNotRejectTheSession(t *testing.T) {
	for name, meanwhile := range map[string]func(f *fake, s *session.Session, token *pbx.Token){
		"there is another by now": func(_ *fake, s *session.Session, token *pbx.Token) { s.Invalidate(token) },
		"there is none by now": func(f *fake, s *session.Session, token *pbx.Token) {
			f.set(func() { f.login = fails(pbx.ErrUnavailable, false) })
			s.Invalidate(token)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{life: time.Hour}
			during(t, revoked{f}, func(t *testing.T, s *session.Session) {
				token := mustToken(t, s)
				get(t, &http.Client{Transport: s.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
					meanwhile(f, s, token)
					time.Sleep(100 * time.Millisecond)
					return answer(r, 200, "{}"), nil
				}))}, "http://pbx.test/call")
				if state := s.Status().State; state == session.Rejected {
					t.Fatal("the session is rejected")
				}
			})
		})
	}
}

func TestARenewalUnderWayDecidesAndNotARequestThatFoundTheCredentialsRefused(t *testing.T) {
	f := &fake{life: 30 * time.Minute}
	during(t, revoked{f}, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		f.set(func() { f.takes = 10 * time.Second })
		time.Sleep(untilNext(s) + time.Second)
		get(t, &http.Client{Transport: s.Transport(answering(200))}, "http://pbx.test/call")
		wantState(t, s, session.Renewing)
		time.Sleep(time.Minute)
		wantState(t, s, session.Live)
		wantCounts(t, f, 1, 1, 0)
	})
}

func TestRetrySendsALoginThoughTheOldTokenIsValid(t *testing.T) {
	f := &fake{life: time.Hour, traits: pbx.Traits{KeepAlive: pbx.KeepAliveNone}}
	during(t, f, func(t *testing.T, s *session.Session) {
		mustToken(t, s)
		f.set(func() { f.login = fails(pbx.ErrInvalidCredentials, true) })
		time.Sleep(untilNext(s))
		synctest.Wait()
		wantState(t, s, session.Rejected)
		f.set(func() { f.login = nil })
		s.Retry(t.Context())
		synctest.Wait()
		wantState(t, s, session.Live)
		wantCounts(t, f, 3, 0, 0)
	})
}

func TestAfterRetryTheWaitsBeginAnew(t *testing.T) {
	f := &fake{login: fails(pbx.ErrUnavailable, false)}
	during(t, f, func(t *testing.T, s *session.Session) {
		time.Sleep(10 * time.Minute)
		f.set(func() { f.login = fails(pbx.ErrInvalidCredentials, true) })
		time.Sleep(6 * time.Minute)
		wantState(t, s, session.Rejected)
		f.set(func() { f.login = fails(pbx.ErrUnavailable, false) })
		s.Retry(t.Context())
		synctest.Wait()
		wantWait(t, untilNext(s), time.Second)
	})
}

func TestALateReportDoesNotCutThePBXsRetryAfter(t *testing.T) {
	f := &fake{life: 10 * time.Minute, traits: pbx.Traits{KeepAlive: pbx.KeepAliveNone}}
	during(t, f, func(t *testing.T, s *session.Session) {
		old := mustToken(t, s)
		f.set(func() {
			f.login = func(context.Context) (*pbx.Token, error) {
				return nil, &pbx.Error{Driver: "fake", Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, HTTPStatus: 503, Sent: true, RetryAfter: time.Hour}
			}
		})
		time.Sleep(11 * time.Minute) // it has expired
		before, _, _ := f.counts()
		for range 30 {
			s.Invalidate(old)
			time.Sleep(time.Minute)
		}
		if logins, _, _ := f.counts(); logins != before {
			t.Errorf("%d logins, then %d", before, logins)
		}
	})
}

func TestARefreshThatKeepsBringingRefusedTokensBecomesALogin(t *testing.T) {
	f := &fake{life: time.Hour, traits: pbx.Traits{KeepAlive: pbx.KeepAliveRefresh}}
	refreshable := func(t *pbx.Token) *pbx.Token {
		t.Refresh = pbx.NewSecret("refresh")
		return t
	}
	f.login = func(context.Context) (*pbx.Token, error) { return refreshable(f.token()), nil }
	f.beat = func(_ context.Context, old *pbx.Token) (*pbx.Token, error) {
		return refreshable(f.dated(old.Value.Reveal() + "+")), nil
	}
	during(t, f, func(t *testing.T, s *session.Session) {
		for range 8 { // the PBX takes no token of a refresh
			token := mustToken(t, s)
			if !strings.Contains(token.Value.Reveal(), "+") && token.Value.Reveal() != "token-1" {
				return
			}
			s.Invalidate(token)
			time.Sleep(time.Second)
		}
		t.Error("no login follows")
	})
}

func TestASecondProgramOnTheAccountIsReported(t *testing.T) {
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		f := &fake{life: time.Hour}
		s := session.New(f, &session.Options{Guard: &session.Guard{}, Logger: zerolog.New(&log)})
		defer s.Close(context.Background())
		for range 3 { // each login of the other one ends this one's token
			s.Invalidate(mustToken(t, s))
			time.Sleep(time.Minute)
		}
		if _, err := s.Token(t.Context()); err != nil {
			t.Log(err)
		}
	})
	if !strings.Contains(log.String(), "another program may log in with this account") {
		t.Errorf("the log is %s", log.String())
	}
}
