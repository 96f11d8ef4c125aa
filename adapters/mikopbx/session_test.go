package mikopbx_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/mikopbx/mikopbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

func TestARefreshKeepsWhatTheResponseDoesNotReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := held()
		old.IssuedAt, old.ExpiresAt = time.Now(), time.Now().Add(900*time.Second)
		old.RefreshExpiresAt = time.Now().Add(time.Hour)
		old.Details = []byte(`{"login":"admin"}`)
		before := *old
		time.Sleep(10 * time.Minute)
		for set, want := range map[string]pbx.Token{
			"":                             {Refresh: old.Refresh, RefreshExpiresAt: old.RefreshExpiresAt},
			"refreshToken=another; path=/": {Refresh: pbx.NewSecret("another"), RefreshExpiresAt: time.Now().Add(30 * 24 * time.Hour)},
		} {
			want.Value, want.IssuedAt, want.ExpiresAt, want.Details = pbx.NewSecret(token), time.Now(), time.Now().Add(900*time.Second), old.Details
			server := drivertest.Responses(drivertest.Response{Header: http.Header{"Set-Cookie": {set}}, Body: accepted})
			got, err := on(t, server).KeepAlive(t.Context(), old)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("Set-Cookie %q (-want +got):\n%s", set, diff)
			}
			if diff := cmp.Diff(&before, old); diff != "" {
				t.Errorf("the given token is changed:\n%s", diff)
			}
			sent := server.Sent()[0]
			if sent.Path != "/pbxcore/api/v3/auth:refresh" || sent.Body != "{}" || sent.Header.Get("Cookie") != "refreshToken="+cookie || sent.Header.Get("Authorization") != "" {
				t.Errorf("sent %+v", sent)
			}
		}
	})
}

func TestATokenWithoutARefreshTokenIsReplacedByALogin(t *testing.T) {
	_, err := on(t, drivertest.Unsent{T: t}).KeepAlive(t.Context(), &pbx.Token{Value: pbx.NewSecret(token)})
	if got := failure(t, err); got.Kind != pbx.ErrTokenRejected || got.Sent {
		t.Errorf("%v, sent %v", err, got.Sent)
	}
}

func TestTheCookieIsHandedBackByteForByte(t *testing.T) {
	for _, value := range []string{"a%3Db==", `"a b"`, "plain"} {
		server := drivertest.Responses(drivertest.Response{Header: http.Header{"Set-Cookie": {"refreshToken=" + value + "; path=/; HttpOnly"}}, Body: accepted})
		driver := on(t, server)
		got, err := driver.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		driver.KeepAlive(t.Context(), got)
		driver.Logout(t.Context(), got)
		for _, sent := range server.Sent()[1:] {
			if sent.Header.Get("Cookie") != "refreshToken="+value {
				t.Errorf("sent %q, want %q", sent.Header.Get("Cookie"), value)
			}
		}
	}
}

// A logout ends the refresh token only, and only with a live access token.
func TestWhatALogoutEnds(t *testing.T) {
	simulate(t, mikopbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		if err := s.Driver.Logout(t.Context(), token); err != nil {
			t.Error(err)
		}
		if err := request(t, s, token); err != nil {
			t.Errorf("the access token after the logout: %v", err)
		}
		if _, err := s.Driver.KeepAlive(t.Context(), token); failure(t, err).Kind != pbx.ErrTokenRejected {
			t.Errorf("a refresh after the logout: %v", err)
		}

		token = s.Login(t)
		time.Sleep(26 * time.Minute)
		if err := s.Driver.Logout(t.Context(), token); err != nil {
			t.Errorf("with an expired access token: %v", err)
		}
		if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil {
			t.Errorf("its refresh token: %v", err)
		}
	})
}

// The PBX accepts a token for ten minutes more than it says, which a session does
// not depend on.
func TestATokenIsRenewedBeforeItSaysThatItExpires(t *testing.T) {
	simulate(t, mikopbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
		defer kept.Close(context.Background())
		for range 24 * 60 {
			token, err := kept.Token(t.Context())
			if err != nil || time.Since(token.IssuedAt) > 15*time.Minute {
				t.Fatalf("%v, %v", token, err)
			}
			time.Sleep(time.Minute)
		}
		if counts := s.Counts(); counts.Logins != 1 || counts.KeepAlives < 96 || counts.KeepAlives > 192 {
			t.Errorf("%d logins and %d refreshes in a day", counts.Logins, counts.KeepAlives)
		}
	})
}

// What conformance's rule SESSION-10 asks for, but for the number of valid tokens.
func TestTwoOrdinaryDays(t *testing.T) {
	for _, settings := range []mikopbxsim.Options{{}, {Rotate: true}, {Gate: true}, {Deletes: true}, {Deletes: true, Rotate: true}} {
		simulate(t, settings, nil, func(t *testing.T, s simulation) {
			kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
			defer kept.Close(context.Background())
			for hour := range 2 * 24 {
				if hour%24 == 3 {
					s.Restart()
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.Server.URL+"/pbxcore/api/v3/extensions", nil)
				resp, err := kept.Client().Do(r)
				if err != nil || resp.StatusCode != 200 {
					t.Fatalf("%+v: hour %d: %v", settings, hour, err)
				}
				resp.Body.Close()
				cancel()
				time.Sleep(time.Hour)
			}
			if got := s.Counts().Logins; got > 3 {
				t.Errorf("%+v: %d logins, want one at first and one for each restart", settings, got)
			}
		})
	}
}

// A refresh token lasts 30 days, and a refresh does not extend it, also if it sets
// the cookie anew.
func TestAfterThirtyDaysASessionLogsIn(t *testing.T) {
	for _, settings := range []mikopbxsim.Options{{}, {Deletes: true}} {
		simulate(t, settings, nil, thirtyDays)
	}
}

func thirtyDays(t *testing.T, s simulation) {
	kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
	defer kept.Close(context.Background())
	for range 31 * 24 {
		if _, err := kept.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
	}
	if counts := s.Counts(); counts.Logins != 2 || counts.RefusedTokens > 1 {
		t.Errorf("%d logins and %d refused tokens in 31 days, want 2 and 1 at most", counts.Logins, counts.RefusedTokens)
	}
}

func TestAKeyIsATokenWithoutAnEnd(t *testing.T) {
	simulate(t, mikopbxsim.Options{}, withKey, func(t *testing.T, s simulation) {
		s.AddKey(key)
		got := s.Login(t)
		want := &pbx.Token{Value: pbx.NewSecret(key), IssuedAt: time.Now()}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		kept, err := s.Driver.KeepAlive(t.Context(), got)
		if diff := cmp.Diff(want, kept); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
		if err := s.Driver.Logout(t.Context(), got); err != nil {
			t.Error(err)
		}
		if counts := s.Counts(); counts != (pbxsim.Counts{Requests: 1, AppRequests: 1}) {
			t.Errorf("%+v, want the proof of the key alone", counts)
		}
		traits := s.Driver.Traits()
		if traits.KeepAlive != pbx.KeepAliveNone || traits.Logout != pbx.LogoutNone || traits.Lifetime != 0 || traits.Lockout.Attempts != 10 {
			t.Errorf("%+v", traits)
		}
	})
}

// The PBX refuses a key for a request that it has no right to as it refuses one that it
// does not know. What a request gets is therefore decided by a ping, and what that gets is
// final.
func TestARefusedKeyIsFinal(t *testing.T) {
	for _, settings := range []mikopbxsim.Options{{}, {Gate: true}} {
		simulate(t, settings, withKey, func(t *testing.T, s simulation) {
			_, err := s.Driver.Login(t.Context())
			if got := failure(t, err); got.Kind != pbx.ErrInvalidCredentials || got.Op != pbx.OpLogin || got.Setting != "key" || !got.Sent || strings.Contains(err.Error(), key) {
				t.Errorf("%v, setting %q", err, got.Setting)
			}
			s.AddKey(key)
			token := s.Login(t)
			kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
			defer kept.Close(context.Background())
			if _, err := get(t, kept, s); err != nil {
				t.Fatal(err)
			}
			s.Revoke(key)
			if got := failure(t, request(t, s, token)); got.Kind != pbx.ErrTokenRejected || !got.Ambiguous {
				t.Errorf("a request: %v, ambiguous %t", got, got.Ambiguous)
			}
			if err := s.Driver.Ping(t.Context(), token); !errors.Is(err, pbx.ErrInvalidCredentials) {
				t.Errorf("a ping: %v", err)
			}
			get(t, kept, s) // gets the PBX's refusal
			before := s.Counts().Requests
			for range 5 {
				if _, err := get(t, kept, s); !errors.Is(err, pbx.ErrInvalidCredentials) {
					t.Errorf("a revoked key: %v", err)
				}
				time.Sleep(time.Hour)
			}
			if sent := s.Counts().Requests - before; sent > 1 {
				t.Errorf("%d requests with a revoked key", sent)
			}
		})
	}
}

// get sends a request of the application through a session.
func get(t *testing.T, kept *session.Session, s simulation) (status int, err error) {
	t.Helper()
	return send(t, kept, s, http.MethodGet)
}

func send(t *testing.T, kept *session.Session, s simulation, method string) (status int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, method, s.Server.URL+"/pbxcore/api/v3/extensions", nil)
	resp, err := kept.Client().Do(r)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

// A key may be bound to paths. What it has no right to is refused like a key that the PBX
// does not know, and costs neither the session nor a login.
func TestARequestThatTheKeyHasNoRightToKeepsTheSession(t *testing.T) {
	simulate(t, mikopbxsim.Options{}, withKey, func(t *testing.T, s simulation) {
		s.AddKey(key)
		kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
		defer kept.Close(context.Background())
		for range 3 {
			if status, err := get(t, kept, s); status != 200 {
				t.Fatalf("HTTP status %d, %v", status, err)
			}
			s.Fault(pbxsim.Fault{On: pbxsim.AppRequest, Status: 401, Body: []byte(`{"result":false,"data":[],"messages":{"error":["The user isn't authenticated."]}}`), Times: 1})
			if status, err := get(t, kept, s); status != 401 {
				t.Fatalf("without the right: HTTP status %d, %v", status, err)
			}
			time.Sleep(time.Hour)
		}
		if status, err := get(t, kept, s); status != 200 {
			t.Errorf("HTTP status %d, %v", status, err)
		}
	})
}

// The PBX does not say that it knows a key which has no right to the proof.
func TestAKeyNeedsTheRightToThePing(t *testing.T) {
	simulate(t, mikopbxsim.Options{Denied: true}, withKey, func(t *testing.T, s simulation) {
		s.AddKey(key)
		_, err := s.Driver.Login(t.Context())
		if got := failure(t, err); got.Kind != pbx.ErrInvalidCredentials || got.Setting != "key" || !strings.Contains(got.Message, "/pbxcore/api/v3/extensions") {
			t.Errorf("%v, setting %q", err, got.Setting)
		}
	})
	_, err := on(t, drivertest.Responses(drivertest.Response{Status: 503}), withKey).Login(t.Context())
	if got := failure(t, err); got.Kind != pbx.ErrUnavailable || got.Op != pbx.OpLogin {
		t.Errorf("%v", err)
	}
}
