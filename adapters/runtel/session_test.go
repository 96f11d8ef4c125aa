package runtel_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/runtel"
	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// live makes a session with a lockout budget of its own.
func live(t *testing.T, cfg runtel.Config) *session.Session {
	t.Helper()
	return session.New(open(t, cfg), &session.Options{Guard: &session.Guard{}})
}

// The vendor says neither whether a second login ends the first token, nor
// whether a logout ends one token or all.
func TestASessionLogsInAgainAheadOfTheEnd(t *testing.T) {
	for _, kills := range []bool{false, true} {
		for _, all := range []bool{false, true} {
			t.Run(fmt.Sprintf("second login kills %v, logout ends all %v", kills, all), func(t *testing.T) {
				opts := pbxsim.Options{SecondLoginKills: kills, LogoutEndsAll: all}
				simulated(t, runtelsim.Options{}, opts, func(t *testing.T, sim *pbxsim.PBX, server *pbxsim.Server, cfg runtel.Config) {
					s := live(t, cfg)
					calls := 0
					for end := time.Now().Add(3 * 24 * time.Hour); time.Now().Before(end); time.Sleep(7 * time.Minute) {
						if status, body := call(t, s, server.URL); status != 200 || !strings.Contains(body, `"code":200`) {
							t.Fatalf("after %d calls: HTTP %d %s", calls, status, body)
						}
						calls++
					}
					got := sim.Counts()
					// exp is read an hour ahead, and renewed after two thirds of that.
					if got.Logins < 3*24 || got.Logins > 3*24*2 {
						t.Errorf("%d logins in three days, want one in 40 minutes or so", got.Logins)
					}
					want := pbxsim.Counts{Requests: got.Logins + calls, Logins: got.Logins, GoodLogins: got.Logins, AppRequests: calls}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("the platform saw (-want +got):\n%s", diff)
					}
					if tokens := len(sim.Tokens(user)); kills != (tokens == 1) {
						t.Errorf("%d tokens are alive", tokens)
					}

					before := len(sim.Tokens(user))
					if err := s.Close(t.Context()); err != nil {
						t.Error(err)
					}
					left := before - 1
					if all {
						left = 0
					}
					if got := len(sim.Tokens(user)); got != left {
						t.Errorf("%d tokens are alive after the logout, want %d", got, left)
					}
				})
			})
		}
	}
}

func TestALateHolderOfTheOldTokenCausesNoLogin(t *testing.T) {
	simulated(t, runtelsim.Options{}, pbxsim.Options{SecondLoginKills: true}, func(t *testing.T, sim *pbxsim.PBX, server *pbxsim.Server, cfg runtel.Config) {
		s := live(t, cfg)
		defer s.Close(t.Context())
		old, err := s.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Minute)
		logins := sim.Counts().Logins
		p := open(t, cfg)
		r, _ := http.NewRequest("POST", server.URL+"/api/", strings.NewReader(`{"action":"list","obj":"Call","action_id":"1","params":{}}`))
		p.Authorize(r, old)
		resp, err := p.Transport().RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if err := p.Inspect(resp, nil, new(pbx.Token)); !errors.Is(err, pbx.ErrTokenRejected) {
			t.Errorf("the old token: error %v, want a rejected one", err)
		}
		s.Invalidate(old)
		if status, _ := call(t, s, server.URL); status != 200 {
			t.Errorf("HTTP %d", status)
		}
		if got := sim.Counts().Logins; logins != 2 || got != 2 {
			t.Errorf("%d logins before the report, %d after, want 2", logins, got)
		}
	})
}

func TestAnEndReadTooLateCostsNoCall(t *testing.T) {
	omsk, err := time.LoadLocation("Asia/Omsk")
	if err != nil {
		t.Fatal(err)
	}
	// Neither UTC nor Moscow nor the login's zone is the one that exp is in.
	d := runtelsim.Options{ExpZone: omsk, TZ: "Europe/Prague"}
	simulated(t, d, pbxsim.Options{Lifetime: 30 * time.Minute}, func(t *testing.T, sim *pbxsim.PBX, server *pbxsim.Server, cfg runtel.Config) {
		s := live(t, cfg)
		for range 48 {
			if status, body := call(t, s, server.URL); status != 200 {
				t.Fatalf("HTTP %d %s", status, body)
			}
			time.Sleep(10 * time.Minute)
		}
		if got := sim.Counts(); got.RefusedTokens == 0 || got.GoodLogins != 1+got.RefusedTokens {
			t.Errorf("%d refused tokens and %d logins, want some, and one login more", got.RefusedTokens, got.GoodLogins)
		}
		s.Close(t.Context())

		cfg.ExpZone = "Asia/Omsk"
		refused := sim.Counts().RefusedTokens
		s = live(t, cfg)
		defer s.Close(t.Context())
		for range 48 {
			if status, body := call(t, s, server.URL); status != 200 {
				t.Fatalf("HTTP %d %s", status, body)
			}
			time.Sleep(10 * time.Minute)
		}
		if got := sim.Counts().RefusedTokens - refused; got != 0 {
			t.Errorf("%d refused tokens although the zone is set", got)
		}
	})
}

// Three hours in UTC is no time at all in Moscow, give or take what the login
// took.
func TestNoLifetimeCausesAStormOfLogins(t *testing.T) {
	for _, life := range []time.Duration{
		time.Hour, 2 * time.Hour, 3 * time.Hour, 3*time.Hour + time.Second/2, 3*time.Hour - time.Second/2, 3*time.Hour + 30*time.Second, 4 * time.Hour,
	} {
		for _, tz := range []string{"Europe/Moscow", "Europe/Prague", "Asia/Kamchatka"} {
			simulated(t, runtelsim.Options{TZ: tz}, pbxsim.Options{Lifetime: life}, func(t *testing.T, sim *pbxsim.PBX, server *pbxsim.Server, cfg runtel.Config) {
				s := live(t, cfg)
				time.Sleep(24 * time.Hour)
				s.Close(t.Context())
				if got := sim.Counts().Logins; got > 48 {
					t.Errorf("a life of %v, tz %s: %d logins in a day", life, tz, got)
				}
			})
		}
	}
}

func TestAWrongPasswordIsSentOnceWhateverTheResponse(t *testing.T) {
	for _, d := range []runtelsim.Options{
		{Failure: runtelsim.HTTP401},
		{Failure: runtelsim.Code401},
		{Failure: runtelsim.HTTP403},
		{Failure: runtelsim.HTML},
		{Failure: runtelsim.Empty},
		{Failure: runtelsim.Silence},
		{Failure: runtelsim.Code401, Refusal: 403},
		{Failure: runtelsim.Code401, Refusal: 400},
		{Failure: runtelsim.Code401, Refusal: 422},
		{Failure: runtelsim.Code401, Echo: runtelsim.EchoNone},
	} {
		simulated(t, d, pbxsim.Options{}, func(t *testing.T, sim *pbxsim.PBX, server *pbxsim.Server, cfg runtel.Config) {
			cfg.Password = pbx.NewSecret("wrong")
			s := live(t, cfg)
			defer s.Close(t.Context())
			for range 24 {
				if _, err := s.Token(t.Context()); !errors.Is(err, pbx.ErrInvalidCredentials) {
					t.Errorf("%s %d: error %v", d.Failure, d.Refusal, err)
				}
				time.Sleep(time.Hour)
			}
			if got := sim.Counts().Logins; got != 1 || s.Status().State != session.Rejected {
				t.Errorf("%s %d: %d logins, state %v", d.Failure, d.Refusal, got, s.Status().State)
			}
		})
	}
}

// A code that nobody knows is no reason to give up, and none to risk a block.
func TestAnUnknownCodeIsNotRepeatedIntoABlock(t *testing.T) {
	d := runtelsim.Options{Failure: runtelsim.Code401, Refusal: 1001}
	// The guard forgets as a sliding window does.
	window := pbxsim.Lockout{Memory: pbxsim.SlidingWindow}
	simulated(t, d, pbxsim.Options{Lockout: window}, func(t *testing.T, sim *pbxsim.PBX, server *pbxsim.Server, cfg runtel.Config) {
		cfg.Password = pbx.NewSecret("wrong")
		s := live(t, cfg)
		defer s.Close(t.Context())
		for range 24 * 60 {
			time.Sleep(time.Minute)
			if _, locked := sim.Locked("127.0.0.1"); locked {
				t.Fatalf("blocked after %d logins", sim.Counts().Logins)
			}
		}
	})
}

func TestAHostThatHasToWaitWaits(t *testing.T) {
	d := runtelsim.Options{Failure: runtelsim.Code401, Block: http.StatusTooManyRequests}
	simulated(t, d, pbxsim.Options{Lockout: pbxsim.Lockout{For: 20 * time.Minute}}, func(t *testing.T, sim *pbxsim.PBX, server *pbxsim.Server, cfg runtel.Config) {
		sim.Lock("127.0.0.1")
		s := live(t, cfg)
		defer s.Close(t.Context())
		time.Sleep(19 * time.Minute)
		if got := s.Status(); got.State != session.Locked || sim.Counts().Logins != 1 {
			t.Errorf("%v after %d logins, want it locked after 1", got.State, sim.Counts().Logins)
		}
		time.Sleep(2 * time.Minute)
		if _, err := s.Token(t.Context()); err != nil {
			t.Error(err)
		}
		if got := sim.Counts(); got.Logins != 2 || got.GoodLogins != 1 {
			t.Errorf("%+v, want two logins, the second good", got)
		}
	})
}

// A platform may say 403 of a dead token. Nothing in the answer tells that from
// a call that is not permitted, so it takes a person who has seen it.
func TestClassifyBringsASessionBackFromAPlatformThatSays403(t *testing.T) {
	d := runtelsim.Options{Failure: runtelsim.HTTP403, Notifies: json.RawMessage(`[{"text":"no such token"}]`)}
	simulated(t, d, pbxsim.Options{}, func(t *testing.T, sim *pbxsim.PBX, server *pbxsim.Server, cfg runtel.Config) {
		cfg.Classify = func(a runtel.Failure) error {
			if a.Code == "403" && slices.Contains(a.Notices, "no such token") {
				return pbx.ErrTokenRejected
			}
			return nil
		}
		s := live(t, cfg)
		defer s.Close(t.Context())
		for range 3 {
			if status, body := call(t, s, server.URL); status != 200 {
				t.Errorf("HTTP %d %s", status, body)
			}
			sim.Restart()
		}
		if got := sim.Counts().GoodLogins; got != 3 {
			t.Errorf("%d logins, want one more for each of two restarts", got)
		}
	})
}

// Nobody knows how the platform refuses a login. In each shape, a wrong password stays
// below what locks a host out.
func TestAWrongLoginIsNotSentAgainWhateverItsShape(t *testing.T) {
	success := func(body any) func(*pbxsim.Request, *pbxsim.Reply) {
		return func(_ *pbxsim.Request, r *pbxsim.Reply) {
			var e map[string]any
			json.Unmarshal(r.Body, &e)
			e["code"], e["body"] = 200, body
			r.Status = 200
			r.Body, _ = json.Marshal(e)
		}
	}
	for _, tt := range []struct {
		name    string
		dialect runtelsim.Options
		edit    func(*pbxsim.Request, *pbxsim.Reply)
		logins  int // in a week
	}{
		{"code 401", runtelsim.Options{Failure: runtelsim.Code401}, nil, 1},
		{"code 200 without a body", runtelsim.Options{}, success(nil), 1},
		{"code 200 with an empty body", runtelsim.Options{}, success(map[string]any{}), 1},
		{"code 200 with a token that is null", runtelsim.Options{}, success(map[string]any{"token": nil}), 1},
		{"HTTP 403 with a page", runtelsim.Options{Failure: runtelsim.HTML, Refusal: 403}, nil, 1},
		{"HTTP 403 with nothing", runtelsim.Options{Failure: runtelsim.Empty, Refusal: 403}, nil, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			simulated(t, tt.dialect, pbxsim.Options{}, func(t *testing.T, sim *pbxsim.PBX, _ *pbxsim.Server, cfg runtel.Config) {
				sim.SetPassword(user, "changed")
				if tt.edit != nil {
					sim.Fault(pbxsim.Fault{On: pbxsim.Login, Times: -1, Edit: tt.edit})
				}
				s := live(t, cfg)
				defer s.Close(t.Context())
				time.Sleep(7 * 24 * time.Hour)
				if got := sim.Counts(); got.Logins != tt.logins || got.Locks != 0 {
					t.Errorf("%d logins and %d locks in a week, %s", got.Logins, got.Locks, s.Status())
				}
			})
		})
	}
}

// What is in front of the platform refuses every request for an hour, and the
// credentials are right: nobody has to act.
func TestAnHourOfAProxysRefusalsCostsNoCredentials(t *testing.T) {
	simulated(t, runtelsim.Options{}, pbxsim.Options{}, func(t *testing.T, sim *pbxsim.PBX, _ *pbxsim.Server, cfg runtel.Config) {
		s := live(t, cfg)
		defer s.Close(t.Context())
		if _, err := s.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute)
		sim.Fault(pbxsim.Fault{Times: -1, Status: http.StatusForbidden, Body: []byte(pbxsim.HTMLPage)})
		time.Sleep(time.Hour)
		sim.ClearFaults()
		time.Sleep(5 * time.Minute)
		if state := s.Status(); state.State != session.Live {
			t.Errorf("%s", state)
		}
		if got := sim.Counts().Logins; got != 3 {
			t.Errorf("%d logins, want one that met the proxy between two good ones", got)
		}
	})
}
