package session_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/rs/zerolog"
)

// Where a host lets in few requests at a time, sessions wait in a queue, and each
// calls the next one. Whatever becomes of one that is called, no session may be
// left waiting while no request is under way.
func TestNoSessionIsForgottenInTheQueue(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, 4, rand.Uint64()} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { lineWalk(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func lineWalk(t *testing.T, random *rand.Rand) {
	guard := &session.Guard{}
	m := session.NewManager(&session.Options{Guard: guard, PerHost: 1 + random.IntN(2), Timeout: 5 * time.Second, LoginRate: 1000})
	defer m.Close(context.Background())
	outcomes := []func(context.Context) (*pbx.Token, error){
		nil, nil, nil, nil, // a token
		fails(pbx.ErrInvalidCredentials, true), fails(pbx.ErrUnavailable, false), fails(pbx.ErrUnavailable, true), fails(pbx.ErrForbidden, true),
		func(context.Context) (*pbx.Token, error) {
			return nil, &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrLocked, RetryAfter: time.Minute, Sent: true}
		},
		func(ctx context.Context) (*pbx.Token, error) { <-ctx.Done(); return nil, ctx.Err() },
	}
	type member struct {
		*session.Session
		judging
	}
	made := 0
	open := func() member {
		made++
		f := &fake{life: 10 * time.Minute, takes: time.Duration(random.IntN(3000)) * time.Millisecond, traits: onHost("one.test")}
		f.traits.Lockout.Attempts, f.traits.Lockout.Window, f.traits.Lockout.Memory = 3+made%2, time.Minute, time.Minute
		j := judging{f}
		s, err := m.Add(fmt.Sprint(made), j)
		if err != nil {
			t.Fatal(err)
		}
		return member{s, j}
	}
	members := make([]member, 12)
	for i := range members {
		members[i] = open()
	}
	for range 3000 {
		i := random.IntN(len(members))
		s := members[i]
		switch random.IntN(7) {
		case 0:
			outcome := outcomes[random.IntN(len(outcomes))]
			s.set(func() {
				s.login, s.beat = outcome, nil
				if outcome != nil {
					s.beat = func(ctx context.Context, _ *pbx.Token) (*pbx.Token, error) { return outcome(ctx) }
				}
			})
		case 1:
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(2))*time.Second)
			s.Close(ctx)
			cancel()
			members[i] = open()
		case 2:
			s.Retry(t.Context())
		case 3:
			if token, err := s.Token(expired); err == nil {
				s.Invalidate(token)
			}
		case 4: // the application makes a call, and the PBX says that token or password is wrong
			says := []string{"old token", "wrong password"}[random.IntN(2)]
			base := roundTrip(func(r *http.Request) (*http.Response, error) { return answer(r, 200, says), nil })
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			r, _ := http.NewRequestWithContext(ctx, http.MethodPost, "https://one.test/", nil)
			if resp, err := s.Transport(base).RoundTrip(r); err == nil {
				resp.Body.Close()
			}
			cancel()
		default:
			time.Sleep(time.Duration(random.IntN(5000)) * time.Millisecond)
		}
		synctest.Wait()
		if n := guard.Standing(); n > 0 {
			t.Fatalf("%d sessions stand in line, and no call is under way", n)
		}
	}
	for _, s := range members {
		s.set(func() { s.login, s.beat = nil, nil })
	}
	for range 30 {
		time.Sleep(10 * time.Minute)
		for _, s := range members {
			s.Retry(t.Context()) // of those that are rejected
		}
	}
	for _, s := range members {
		for range 30 { // it may be just being renewed
			if s.Status().State != session.Live {
				time.Sleep(10 * time.Second)
			}
		}
		wantState(t, s.Session, session.Live)
	}
}

// The session that is called may have to wait for a worker, and no longer need its
// request when it gets one.
func TestTheNextInTheQueueGoesIfTheFirstEnds(t *testing.T) {
	for name, leave := range map[string]func(*session.Session){
		"closed": func(s *session.Session) { s.Close(context.Background()) },
		"refused": func(s *session.Session) {
			base := roundTrip(func(r *http.Request) (*http.Response, error) { return answer(r, 200, "wrong password"), nil })
			r, _ := http.NewRequest(http.MethodPost, "https://one.test/", nil)
			s.Transport(base).RoundTrip(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := session.NewManager(&session.Options{Guard: &session.Guard{}, PerHost: 1, Workers: 2, Timeout: time.Hour})
				defer m.Close(context.Background())
				add := func(name, host string, takes time.Duration) *session.Session {
					s, err := m.Add(name, judging{&fake{life: 30 * time.Minute, takes: takes, traits: onHost(host)}})
					if err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					return s
				}
				first := add("first", "one.test", 0)
				time.Sleep(time.Until(first.Status().Next) - 5*time.Second)
				add("calling", "one.test", 10*time.Second)
				time.Sleep(6 * time.Second) // first stands in line for its keep-alive
				second := add("second", "one.test", 0)
				add("busy", "two.test", 20*time.Second)
				add("busy too", "three.test", 20*time.Second)
				time.Sleep(5 * time.Second) // the call is over, first is called, and no worker is free
				leave(first)
				time.Sleep(time.Minute)
				wantState(t, second, session.Live)
			})
		})
	}
}

// judging finds both in an answer: a refused token and refused credentials.
type judging struct{ *fake }

func (judging) Inspect(_ *http.Response, body []byte, _ *pbx.Token) error {
	switch string(body) {
	case "old token":
		return &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrTokenRejected, Sent: true}
	case "wrong password":
		return &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrInvalidCredentials, Sent: true}
	}
	return nil
}

// BenchmarkLine measures what a login costs if thousands of sessions wait for one
// host that lets in one login at a time.
func BenchmarkLine(b *testing.B) {
	for _, n := range []int{500, 1000, 2000, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 1_000_000})
				ends := make([]*session.Session, n)
				for i := range ends {
					f := &fake{life: time.Hour, traits: onHost("one.test")}
					f.traits.Lockout.Attempts = 3
					ends[i], _ = m.Add(fmt.Sprint(i), f)
				}
				for _, s := range ends {
					if _, err := s.Token(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				m.Close(context.Background())
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/login")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func TestTheQueueIsFirstComeFirstServedAndKeepAlivesFirst(t *testing.T) {
	t.Run("one call at a time", func(t *testing.T) { servedInOrder(t, 1, 10) })
	t.Run("one login at a time", func(t *testing.T) { servedInOrder(t, 4, 9) })
}

// servedInOrder has fifty newcomers stand in line, each taking a second, when a
// session that is logged in wants its keep-alive; it is to come at a certain
// place.
func servedInOrder(t *testing.T, perHost, place int) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{Limit: 1}, PerHost: perHost, LoginRate: 1000})
		defer m.Close(context.Background())
		var mu sync.Mutex
		var order []string
		add := func(name string) *session.Session {
			f := &fake{life: 30 * time.Minute, traits: onHost("one.test")}
			serve := func(takes time.Duration) {
				time.Sleep(takes)
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
			}
			f.login = func(context.Context) (*pbx.Token, error) { serve(time.Second); return f.token(), nil }
			f.beat = func(_ context.Context, token *pbx.Token) (*pbx.Token, error) {
				serve(0)
				return f.dated(token.Value.Reveal()), nil
			}
			s, err := m.Add(name, f)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return s
		}
		old := add("old")
		mustToken(t, old)
		time.Sleep(time.Until(old.Status().Next) - 9500*time.Millisecond) // it comes while the tenth is served
		mu.Lock()
		order = nil
		mu.Unlock()
		var want []string
		for i := range 50 {
			name := fmt.Sprint("new ", i)
			add(name)
			want = append(want, name)
			time.Sleep(90 * time.Millisecond) // they come faster than they are served
		}
		time.Sleep(time.Minute)
		want = slices.Insert(want, place, "old")
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("served (-want +got):\n%s", diff)
		}
	})
}

func TestManagersWithDifferentLimitsShareTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		one := session.NewManager(&session.Options{Guard: guard, PerHost: 1})
		four := session.NewManager(&session.Options{Guard: guard, PerHost: 4})
		defer one.Close(context.Background())
		defer four.Close(context.Background())
		var all []*session.Session
		for i, m := range []*session.Manager{one, four, four, four, one, four} {
			traits := onHost("one.test")
			traits.Lockout.Attempts = 100
			s, err := m.Add(fmt.Sprint(i), &fake{life: time.Hour, takes: time.Duration(3+i) * time.Second, traits: traits})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			all = append(all, s)
		}
		time.Sleep(time.Minute)
		for _, s := range all {
			wantState(t, s, session.Live)
		}
	})
}

func TestAQuestionThatComesLateTakesNoPlaceInTheQueueAway(t *testing.T) {
	for _, late := range []pbx.Op{pbx.OpPing, pbx.OpKeepAlive, pbx.OpLogin} {
		t.Run(string(late), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts, hold, end := line()
				defer end()
				s := session.New(&fake{traits: onHost("pbx.test")}, opts)
				defer s.Close(context.Background())
				mustToken(t, s)
				hold(time.Second)
				s.Invalidate(mustToken(t, s))
				synctest.Wait() // the login stands in the queue
				s.AskLate(late)
				start := time.Now()
				mustToken(t, s)
				if took := time.Since(start); took > time.Second {
					t.Errorf("the login took %s", took)
				}
			})
		})
	}
}

// line is a host that lets in one request at a time. hold keeps it busy with a ping
// that takes so long; end is for the test's end.
func line() (opts *session.Options, hold func(time.Duration), end func()) {
	opts = &session.Options{Guard: &session.Guard{}, PerHost: 1, Timeout: 2 * time.Hour}
	holder := &pinging{fake: &fake{traits: onHost("pbx.test")}}
	s := session.New(holder, opts)
	s.Token(context.Background())
	hold = func(takes time.Duration) {
		holder.set(func() { holder.takes = takes })
		r, _ := http.NewRequest(http.MethodGet, "https://pbx.test/call", nil)
		go s.Transport(answering(http.StatusUnauthorized)).RoundTrip(r)
		synctest.Wait()
	}
	return opts, hold, func() { s.Close(context.Background()) }
}

// pinging is a fake whose refusals are decided by a ping.
type pinging struct{ *fake }

func (p *pinging) Ping(context.Context, *pbx.Token) error {
	defer p.enter(&p.beats)()
	return nil
}

func (*pinging) Inspect(r *http.Response, _ []byte, _ *pbx.Token) error {
	if r.StatusCode == http.StatusUnauthorized {
		return &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrTokenRejected, Sent: true, Ambiguous: true}
	}
	return nil
}

func TestAfterItsTurnInTheQueueASessionKeepsNoOtherWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts, hold, end := line()
		defer end()
		hold(time.Second)
		s := session.New(&fake{traits: onHost("pbx.test"), login: fails(pbx.ErrUnavailable, false)}, opts)
		defer s.Close(context.Background())
		time.Sleep(1100 * time.Millisecond)
		start := time.Now()
		_, err := s.Token(t.Context())
		wantKind(t, err, pbx.ErrUnavailable)
		if took := time.Since(start); took != 0 {
			t.Fatalf("it took %s", took)
		}
		time.Sleep(time.Minute)
	})
}

func TestTheStateInTheQueueIsThatOfTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts, hold, end := line()
		defer end()
		f := &fake{traits: onHost("pbx.test"), life: 30 * time.Minute}
		live := session.New(f, opts)
		defer live.Close(context.Background())
		mustToken(t, live)
		time.Sleep(untilNext(live) - time.Millisecond)
		hold(6 * time.Minute)
		fresh := session.New(&fake{traits: onHost("pbx.test")}, opts)
		defer fresh.Close(context.Background())
		time.Sleep(330 * time.Second) // both stand in line by now
		wantState(t, live, session.Live)
		wantState(t, fresh, session.Connecting)
		wantCounts(t, f, 1, 0, 0)
		time.Sleep(time.Minute)
		wantCounts(t, f, 1, 1, 0)
	})
}

func TestTokenWaitsForASessionWhoseTokenExpiresInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts, hold, end := line()
		defer end()
		f := &fake{traits: onHost("pbx.test"), life: 30 * time.Minute}
		f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
			return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, true)
		}
		s := session.New(f, opts)
		defer s.Close(context.Background())
		mustToken(t, s)
		time.Sleep(untilNext(s) + 500*time.Millisecond) // it has failed once
		wantState(t, s, session.Renewing)
		hold(time.Hour)
		time.Sleep(30 * time.Minute)
		mustToken(t, s)
		wantCounts(t, f, 2, 1, 0)
		time.Sleep(time.Hour)
	})
}

func TestASessionThatEndsInTheQueueIsPlannedForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts, hold, end := line()
		defer end()
		hold(time.Minute)
		s := session.New(&fake{traits: onHost("pbx.test")}, opts)
		synctest.Wait()
		s.Close(t.Context())
		time.Sleep(2 * time.Minute)
		if status := s.Status(); status.State != session.Closed || !status.Next.IsZero() {
			t.Fatalf("status %+v", status)
		}
	})
}

func TestCredentialsRefusedWhileInTheQueueAreNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts, hold, end := line()
		defer end()
		f := &fake{traits: onHost("pbx.test"), life: 30 * time.Minute}
		var log bytes.Buffer
		own := *opts
		own.Logger = zerolog.New(&log)
		s := session.New(revoked{f}, &own)
		mustToken(t, s)
		time.Sleep(untilNext(s) - time.Second)
		hold(time.Minute)
		time.Sleep(10 * time.Second)
		get(t, &http.Client{Transport: s.Transport(answering(200))}, "https://pbx.test/call")
		time.Sleep(time.Hour)
		wantState(t, s, session.Rejected)
		wantCounts(t, f, 1, 0, 0)
		s.Close(t.Context())
		if strings.Contains(log.String(), "panic") {
			t.Errorf("log:\n%s", log.String())
		}
	})
}

// A platform may give each of its customers a URL of their own. What one waits for is
// then found out once, and not for each URL again.
func TestManyURLsAtOneHostDoNotSlowLoginsDown(t *testing.T) {
	if session.RaceDetector {
		t.Skip("it measures time")
	}
	start := func(n int, url func(i int) string) (seconds float64) {
		synctest.Test(t, func(t *testing.T) {
			m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 100_000})
			defer m.Close(context.Background())
			before := cpuSeconds()
			for i := range n {
				f := &fake{traits: onHost("pbx.test"), takes: time.Millisecond}
				f.traits.URL = url(i)
				mustAdd(t, m, strconv.Itoa(i), f)
			}
			if err := m.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			seconds = cpuSeconds() - before
		})
		return seconds
	}
	many := func(i int) string { return fmt.Sprint("https://pbx.test/customers/", i) }
	few, more := start(200, many), start(800, many)
	t.Logf("%.2f s for 200 customers, %.2f s for 800", few, more)
	if more > 32*few+0.1 { // 16 if it grows with their square, 64 with their cube
		t.Errorf("800 customers take %.0f times as long as 200", more/few)
	}
}
