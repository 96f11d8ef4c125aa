package yeastarp_test

import (
	"errors"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// However a refresh is taken by the PBX, a session never needs more than one
// more place than its own.
func TestASessionRefreshesForAWeekAndLogsInOnce(t *testing.T) {
	for _, opts := range []pbxsim.Options{{}, {RefreshSparesOld: true}, {RefreshHoldsPlace: true}, {RefreshSparesOld: true, RefreshHoldsPlace: true}} {
		opts.MaxTokens = 8
		simulate(t, yeastarpsim.Options{}, &opts, func(t *testing.T, s simulation) {
			live := s.Session()
			defer live.Close(t.Context())
			most := 0
			for range 7 * 24 * 6 {
				token, err := live.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := request(t, s, token); err != nil {
					t.Fatal(err)
				}
				most = max(most, len(s.Tokens(sampleID)))
				time.Sleep(10 * time.Minute)
			}
			c := s.Counts()
			if c.Logins != 1 || c.RefusedTokens != 0 || float64(c.KeepAlives) > 7*24*3.2 {
				t.Errorf("%+v: want one login, no token refused, about three refreshes an hour", c)
			}
			if most > 2 {
				t.Errorf("%d tokens at once", most)
			}
		})
	}
}

func TestAnExpiredTokenIsRefreshedAsLongAsItsRefreshTokenIsValid(t *testing.T) {
	simulate(t, yeastarpsim.Options{}, nil, func(t *testing.T, s simulation) {
		live := s.Session()
		defer live.Close(t.Context())
		if _, err := live.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Fault(pbxsim.Fault{Times: -1, Status: 502})
		time.Sleep(time.Hour)
		var state *session.Error
		if _, err := live.Token(t.Context()); !errors.As(err, &state) || state.State != session.Unavailable {
			t.Errorf("while the PBX is away: %v", err)
		}
		s.ClearFaults()
		time.Sleep(6 * time.Minute)
		token, err := live.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := request(t, s, token); err != nil {
			t.Error(err)
		}
		if c := s.Counts(); c.Logins != 1 {
			t.Errorf("%d logins, want 1: the refresh token lives for a day", c.Logins)
		}
	})
}

func TestARequestThatFindsTheTokenDeadSucceedsAfterARefresh(t *testing.T) {
	simulate(t, yeastarpsim.Options{}, nil, func(t *testing.T, s simulation) {
		live := s.Session()
		defer live.Close(t.Context())
		token, err := live.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Expire(token.Value.Reveal()) // earlier than it said
		resp, err := live.Client().Get(s.Server.URL + "/openapi/v1.0/system/information")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if c := s.Counts(); c.Logins != 1 || c.KeepAlives != 1 || c.AppRequests != 1 {
			t.Errorf("%+v, want one login, one refresh, one good call", c)
		}
	})
}

// All eight places are taken by others. The session waits and asks now and then,
// and gets its token when one has expired.
func TestWithoutAPlaceASessionDoesNotLoop(t *testing.T) {
	simulate(t, yeastarpsim.Options{}, nil, func(t *testing.T, s simulation) {
		for range 8 {
			s.Login(t)
		}
		if _, err := s.Driver.Login(t.Context()); failure(t, err).Kind != pbx.ErrTooManySessions || failure(t, err).Code != "60002" {
			t.Errorf("the ninth login: %v, want %v", err, pbx.ErrTooManySessions)
		}
		before := s.Counts()
		live := s.Session()
		defer live.Close(t.Context())
		if _, err := live.Token(t.Context()); !errors.Is(err, pbx.ErrTooManySessions) {
			t.Errorf("%v, want %v", err, pbx.ErrTooManySessions)
		}
		time.Sleep(29 * time.Minute)
		if n := s.Counts().Logins - before.Logins; n < 3 || n > 15 {
			t.Errorf("%d logins in half an hour without a place", n)
		}
		if c := s.Counts(); c.WrongLogins != 0 || c.LockedLogins != 0 {
			t.Errorf("%+v: to find no place is no wrong login", c)
		}
		time.Sleep(7 * time.Minute)
		token, err := live.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := request(t, s, token); err != nil {
			t.Error(err)
		}
	})
}

func TestALogoutMakesRoom(t *testing.T) {
	simulate(t, yeastarpsim.Options{}, nil, func(t *testing.T, s simulation) {
		var last *pbx.Token
		for range 8 {
			last = s.Login(t)
		}
		if err := s.Driver.Logout(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		s.Login(t)
	})
}

func TestALogoutOfADeadTokenIsDone(t *testing.T) {
	for _, forgives := range []bool{false, true} {
		simulate(t, yeastarpsim.Options{LogoutForgives: forgives}, nil, func(t *testing.T, s simulation) {
			s.LogoutOfADeadTokenIsDone(t)
		})
	}
}

func TestAWrongSecretIsSentOnceByASession(t *testing.T) {
	simulate(t, yeastarpsim.Options{}, nil, func(t *testing.T, s simulation) {
		s.SetPassword(sampleID, "another")
		live := s.Session()
		defer live.Close(t.Context())
		for range 100 {
			if _, err := live.Token(t.Context()); !errors.Is(err, pbx.ErrInvalidCredentials) {
				t.Fatalf("%v, want %v", err, pbx.ErrInvalidCredentials)
			}
			time.Sleep(time.Minute)
		}
		if c := s.Counts(); c.Requests != 1 || c.WrongLogins != 1 {
			t.Errorf("%+v, want one wrong login", c)
		}
	})
}

func TestFirmwareWithoutTheHarmlessRequestIsAskedForAnother(t *testing.T) {
	none := drivertest.Response{Body: `{"errcode":10001,"errmsg":"INTERFACE NOT EXISTED"}`}
	fine := drivertest.Response{Body: `{"errcode":0,"errmsg":"SUCCESS"}`}
	if err := on(t, drivertest.Responses(none, fine)).Ping(t.Context(), given()); err != nil {
		t.Error(err)
	}
	if err := on(t, drivertest.Responses(none, none)).Ping(t.Context(), given()); !errors.Is(err, pbx.ErrNotSupported) {
		t.Errorf("%v, want %v", err, pbx.ErrNotSupported)
	}
}

// A PBX may have thousands of extensions.
func TestThePingAsksForOneExtension(t *testing.T) {
	simulate(t, yeastarpsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		s.Fault(pbxsim.Fault{Body: []byte(`{"errcode":10001,"errmsg":"INTERFACE NOT EXISTED"}`)})
		if err := s.Driver.Ping(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		sent, want := s.Last(), "access_token="+token.Value.Reveal()+"&page=1&page_size=1"
		if sent.Path != "/openapi/v1.0/extension/list" || sent.RawQuery != want {
			t.Errorf("%s?%s, want the query %s", sent.Path, sent.RawQuery, want)
		}
	})
}
