package session_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// refresher is a brand whose keep-alive exchanges a refresh token.
func refresher(host string) *fake {
	f := &fake{traits: onHost(host), life: 30 * time.Minute}
	f.traits.KeepAlive = pbx.KeepAliveRefresh
	fresh := func(t *pbx.Token) *pbx.Token {
		t.Refresh = pbx.NewSecret("refresh-" + t.Value.Reveal())
		return t
	}
	f.login = func(context.Context) (*pbx.Token, error) { return fresh(f.token()), nil }
	return f
}

func TestAfterARefusedTokenARequestDoesNotKeepTheRefreshWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := refresher("pbx.test")
		d := f.keeping(func(context.Context, *pbx.Token) (*pbx.Token, error) {
			time.Sleep(time.Second)
			next := f.token()
			next.Refresh = pbx.NewSecret("refresh-" + next.Value.Reveal())
			return next, nil
		})
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", d)
		other := mustAdd(t, m, "8", &fake{traits: onHost("pbx.test")})
		mustToken(t, s)
		mustToken(t, other)
		time.Sleep(time.Minute)

		// The PBX restarts. The requests of both sessions come at the same time.
		pbxs := &gate{good: "token-2"}
		s.Invalidate(mustToken(t, s))
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://pbx.test/call", nil)
		_, err := s.Transport(pbxs).RoundTrip(r)
		if took := time.Since(start); err != nil || took > 5*time.Second {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

// ambiguous is a fake whose refusals are decided by a ping.
func TestAPingDoesNotWaitForTheRequestThatWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pinging{fake: &fake{traits: onHost("pbx.test"), life: time.Hour}}
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", p)
		other := mustAdd(t, m, "8", &fake{traits: onHost("pbx.test"), life: time.Hour})
		mustToken(t, s)
		time.Sleep(time.Minute)
		other.Invalidate(mustToken(t, other)) // from now on, one token at a time
		synctest.Wait()
		start := time.Now()
		r, _ := http.NewRequest(http.MethodGet, "https://pbx.test/call", nil)
		resp, err := s.Transport(answering(http.StatusUnauthorized)).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if took := time.Since(start); took > time.Second {
			t.Errorf("the response came after %s", took)
		}
	})
}

// doubtful is a PBX that responds to a dead token as to a failure, with HTTP 500.
type doubtful struct {
	*fake
	ping  error
	pings int
}

func (d *doubtful) Inspect(r *http.Response, _ []byte, _ *pbx.Token) error {
	if r.StatusCode != http.StatusInternalServerError {
		return nil
	}
	return &pbx.Error{Driver: "fake", Op: pbx.OpRequest, Kind: pbx.ErrUnavailable, Sent: true, Ambiguous: true}
}

func (d *doubtful) Ping(context.Context, *pbx.Token) error {
	d.pings++
	return d.ping
}

// A ping decides about the token, and the request is not sent again, because the PBX
// may have acted.
func TestAFailureThatMayBeADeadTokenIsDecidedByAPing(t *testing.T) {
	unsupported := told(pbx.OpPing, pbx.ErrNotSupported, false)
	for _, tt := range []struct {
		name          string
		ping          error
		pings, logins int // after three failures
	}{
		{"dead", told(pbx.OpPing, pbx.ErrTokenRejected, true), 3, 4},
		{"alive", nil, 1, 1},
		{"nobody knows", told(pbx.OpPing, pbx.ErrUnavailable, true), 3, 1},
		{"no ping", unsupported, 1, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &doubtful{fake: &fake{life: time.Hour}, ping: tt.ping}
			during(t, d, func(t *testing.T, s *session.Session) {
				sent := 0
				down := roundTrip(func(r *http.Request) (*http.Response, error) {
					sent++
					return answer(r, http.StatusInternalServerError, ""), nil
				})
				for range 3 {
					r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://pbx.test/call", nil)
					resp, err := s.Transport(down).RoundTrip(r)
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()
				}
				mustToken(t, s)
				if sent != 3 || d.pings != tt.pings {
					t.Errorf("%d requests and %d pings, want 3 and %d", sent, d.pings, tt.pings)
				}
				wantCounts(t, d.fake, tt.logins, 0, 0)
			})
		})
	}
	t.Run("a driver without a ping", func(t *testing.T) {
		f := &fake{life: time.Hour}
		during(t, doubtless{f}, func(t *testing.T, s *session.Session) {
			get(t, over(answering(http.StatusInternalServerError), s), "https://pbx.test/call")
			mustToken(t, s)
			wantCounts(t, f, 1, 0, 0)
		})
	})
}

// doubtless is doubtful without a ping.
type doubtless struct{ *fake }

func (d doubtless) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	return (&doubtful{fake: d.fake}).Inspect(r, body, t)
}

// Two Managers share a Guard, and the session of one checks for both.
func TestAKeepAliveIsNotForgottenWhenTheSessionThatChecksLeaves(t *testing.T) {
	for name, leave := range map[string]func(*session.Manager) error{
		"removed": func(m *session.Manager) error { return m.Remove(context.Background(), "7") },
		"replaced": func(m *session.Manager) error {
			return m.Replace(context.Background(), "7", &fake{traits: onHost("other.test")})
		},
		"closed": func(m *session.Manager) error { return m.Close(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				guard := &session.Guard{}
				var down atomic.Bool
				var managers [2]*session.Manager
				var sessions [2]*session.Session
				var fakes [2]*fake
				for i := range managers {
					f := &fake{traits: onHost("pbx.test"), life: 30 * time.Minute}
					managers[i] = session.NewManager(&session.Options{Guard: guard})
					defer managers[i].Close(context.Background())
					sessions[i] = mustAdd(t, managers[i], "7", f.keeping(func(_ context.Context, t *pbx.Token) (*pbx.Token, error) {
						if down.Load() {
							return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, false)
						}
						return f.dated(t.Value.Reveal()), nil
					}))
					mustToken(t, sessions[i])
					fakes[i] = f
				}
				set := func(yes bool) {
					down.Store(yes)
					for _, f := range fakes {
						f.set(func() { f.down = yes })
					}
				}
				time.Sleep(time.Second)
				set(true)
				for i := 0; sessions[0].Status().Check.IsZero() || sessions[1].Status().Check.IsZero(); i++ {
					if i > 30*60 {
						t.Fatal("the renewals do not wait for the PBX")
					}
					time.Sleep(time.Second)
				}
				checks, waits := 0, 1
				if fakes[0].checks == 0 {
					checks, waits = 1, 0
				}
				if err := leave(managers[checks]); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				set(false)
				time.Sleep(15 * time.Second)
				wantState(t, sessions[waits], session.Live)
			})
		})
	}
}

func TestARequestWithoutAResponseDoesNotKeepAllOthersWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		var all [3]*session.Session
		for i := range all {
			all[i] = mustAdd(t, m, string(rune('a'+i)), &fake{traits: onHost("pbx.test"), life: 10 * time.Hour})
			mustToken(t, all[i])
		}
		time.Sleep(time.Minute)
		all[0].Invalidate(mustToken(t, all[0])) // from now on, one token at a time
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		poll, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://pbx.test/events", nil)
		go all[1].Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})).RoundTrip(poll)
		synctest.Wait()
		start := time.Now()
		get(t, over(answering(http.StatusOK), all[2]), "https://pbx.test/call")
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("another session's request took %s", took)
		}
	})
}
