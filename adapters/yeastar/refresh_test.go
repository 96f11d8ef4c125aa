package yeastar_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

var cloud = []yeastarsim.Options{{Family: yeastarsim.CloudV1}, {Family: yeastarsim.CloudV2}}

func TestACloudLoginBringsBothTokens(t *testing.T) {
	for _, d := range cloud {
		simulate(t, d, nil, func(t *testing.T, s simulation) {
			token := s.Login(t)
			if token.Refresh.IsZero() || token.Refresh.Equal(token.Value) {
				t.Errorf("%s: the refresh token is empty, or the same", d.Family)
			}
			if life := token.ExpiresAt.Sub(token.IssuedAt); life != 30*time.Minute || !token.RefreshExpiresAt.IsZero() {
				t.Errorf("%s: a life of %s, a refresh token until %s", d.Family, life, token.RefreshExpiresAt)
			}
		})
	}
}

// The K2's guide of API v2 has a refresh token, and says to keep a token alive by
// heartbeats. An application can use the refresh token itself.
func TestARefreshTokenOfAK2IsKeptThroughHeartbeats(t *testing.T) {
	simulate(t, yeastarsim.Options{Family: yeastarsim.SV2, RefreshTokenOfK2: true}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		if token.Refresh.IsZero() {
			t.Fatal("the login brought no refresh token")
		}
		prolonged, err := s.Driver.KeepAlive(t.Context(), token)
		if err != nil || !prolonged.Value.Equal(token.Value) || !prolonged.Refresh.Equal(token.Refresh) {
			t.Errorf("%v, %v; want the same token and refresh token", prolonged, err)
		}
		if got := s.Last().Path; got != s.api+"/heartbeat" {
			t.Errorf("kept alive by %s", got)
		}
		if got := s.Driver.Traits().KeepAlive; got != pbx.KeepAliveHeartbeat {
			t.Errorf("KeepAlive %v", got)
		}
	})
}

func TestARefreshReplacesBothTokens(t *testing.T) {
	for _, d := range cloud {
		simulate(t, d, nil, func(t *testing.T, s simulation) {
			token := s.Login(t)
			for range 48 {
				time.Sleep(29 * time.Minute)
				before := *token
				fresh, err := s.Driver.KeepAlive(t.Context(), token)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(&before, token); diff != "" {
					t.Fatalf("the old token was changed:\n%s", diff)
				}
				if fresh.Value.Equal(token.Value) || fresh.Refresh.Equal(token.Refresh) || fresh.Refresh.IsZero() {
					t.Fatal("not both values are new")
				}
				if fresh.IssuedAt != time.Now() || fresh.ExpiresAt != time.Now().Add(30*time.Minute) {
					t.Fatalf("%v at %s", fresh, time.Now())
				}
				sent := s.Last()
				if want := `{"refreshtoken":"` + token.Refresh.Reveal() + `"}`; string(sent.Body) != want || sent.RawQuery != "" {
					t.Fatalf("sent ?%s %s, want %s", sent.RawQuery, sent.Body, want)
				}
				if err := request(t, s, fresh); err != nil {
					t.Fatal(err)
				}
				token = fresh
			}
			if c := s.Counts(); c.Logins != 1 || c.RefusedTokens != 0 {
				t.Errorf("%+v, want one login, and no token refused", c)
			}
		})
	}
}

func TestAnIncompleteRefreshKeepsTheOldPair(t *testing.T) {
	const value = "1c0a3fd34ca5e5292042a77e4d9ff950"
	for _, body := range []string{
		`{"status":"Success"}`,
		`{"status":"Success","token":"` + value + `"}`,
		`{"status":"Success","token":"` + value + `","refreshtoken":""}`,
		`{"status":"Success","token":"` + value + `","refreshtoken":null}`,
		`{"status":"Success","token":"` + value + `","refreshtoken":1}`,
		`{"status":"Success","token":"","refreshtoken":"` + value + `"}`,
		`{"status":"Success","refreshtoken":"` + value + `"}`,
	} {
		for _, d := range cloud {
			simulate(t, d, nil, func(t *testing.T, s simulation) {
				token := s.Login(t)
				before := *token
				s.Fault(pbxsim.Fault{Body: []byte(body)})
				got, err := s.Driver.KeepAlive(t.Context(), token)
				if got != nil || failure(t, err).Kind != pbx.ErrProtocol {
					t.Errorf("%s: %v, %v; want %v", body, got, err, pbx.ErrProtocol)
				}
				if diff := cmp.Diff(&before, token); diff != "" {
					t.Errorf("the old token was changed:\n%s", diff)
				}
				if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil { // it never reached the PBX
					t.Errorf("the old pair no longer refreshes: %v", err)
				}
			})
		}
	}
}

// The vendor prints no code for it, so that any is taken that means nothing
// else.
func TestADeadRefreshTokenIsRecognisedWhateverItsErrno(t *testing.T) {
	for errno, want := range map[int]error{
		0: pbx.ErrTokenRejected, 20004: pbx.ErrTokenRejected, 20006: pbx.ErrTokenRejected,
		29999: pbx.ErrTokenRejected, 20011: pbx.ErrTokenRejected, 10005: pbx.ErrTokenRejected,
		20003: pbx.ErrTokenRejected, // the login that follows judges the password
		20010: pbx.ErrUnavailable, 30003: pbx.ErrUnavailable, 20015: pbx.ErrForbidden, 20002: pbx.ErrLocked,
		20000: pbx.ErrProtocol,
	} {
		for _, d := range cloud {
			d.RefreshErrno = errno
			simulate(t, d, nil, func(t *testing.T, s simulation) {
				token := s.Login(t)
				s.Restart()
				if _, err := s.Driver.KeepAlive(t.Context(), token); failure(t, err).Kind != want {
					t.Errorf("%s, %d: %v, want %v", d.Family, errno, err, want)
				}
			})
		}
	}
}

func TestARefreshWithoutAResponseIsNoRefusal(t *testing.T) {
	for name, fault := range map[string]pbxsim.Fault{
		"cut before":  {Drop: pbxsim.DropBefore},
		"cut after":   {Drop: pbxsim.DropAfter},
		"silence":     {Hang: true},
		"half of it":  {Truncate: true},
		"HTTP 502":    {Status: 502, Body: []byte(pbxsim.HTMLPage)},
		"HTTP 503":    {Status: 503, Header: http.Header{"Retry-After": {"5"}}},
		"a gateway":   {Status: 503, Body: []byte(`{"status":"error","message":"Service Unavailable"}`)},
		"429 of one":  {Status: 429, Body: []byte(`{"status":"429"}`)},
		"30001, full": {Body: []byte(`{"status":"Failed","errno":"30001"}`)},
	} {
		simulate(t, cloud[0], nil, func(t *testing.T, s simulation) {
			token := s.Login(t)
			s.Fault(fault)
			if _, err := s.Driver.KeepAlive(t.Context(), token); failure(t, err).Kind != pbx.ErrUnavailable {
				t.Errorf("%s: %v, want %v", name, err, pbx.ErrUnavailable)
			}
			if n := s.Counts().Requests; n != 2 {
				t.Errorf("%s: %d requests, want 2: a refresh is not repeated, for it may have happened", name, n)
			}
		})
	}
}

func TestACloudPBXOfAPIV2WithoutARefreshTokenIsKeptAliveByHeartbeat(t *testing.T) {
	for _, insists := range []bool{false, true} {
		d := yeastarsim.Options{Family: yeastarsim.CloudV2, NoRefreshToken: true, HeartbeatInsists: insists}
		simulate(t, d, nil, func(t *testing.T, s simulation) {
			token := s.Login(t)
			time.Sleep(20 * time.Minute)
			prolonged, err := s.Driver.KeepAlive(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			want := &pbx.Token{Value: token.Value, IssuedAt: time.Now(), ExpiresAt: time.Now().Add(30 * time.Minute)}
			if diff := cmp.Diff(want, prolonged); diff != "" {
				t.Errorf("token (-want +got):\n%s", diff)
			}
			if path := s.Last().Path; path != "/api/v2.0.0/heartbeat" {
				t.Errorf("kept alive by %s", path)
			}
		})
	}
}

func TestACloudPBXOfAPIV1WithoutARefreshTokenIsLoggedInToAhead(t *testing.T) {
	d := yeastarsim.Options{Family: yeastarsim.CloudV1, NoRefreshToken: true}
	simulate(t, d, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		if _, err := s.Driver.KeepAlive(t.Context(), token); failure(t, err).Kind != pbx.ErrNotSupported || failure(t, err).Sent {
			t.Errorf("%v, want %v, and nothing sent", err, pbx.ErrNotSupported)
		}
		if n := s.Counts().Requests; n != 1 {
			t.Errorf("%d requests, want that of the login", n)
		}
		live := session.New(s.Driver, &session.Options{Guard: &session.Guard{}})
		defer live.Close(t.Context())
		for range 24 * 60 {
			token, err := live.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := request(t, s, token); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if c := s.Counts(); c.KeepAlives != 0 || c.Logins > 90 || c.RefusedTokens != 0 {
			t.Errorf("%+v: want about 70 logins, and nothing else", c)
		}
	})
}

// A session over a Cloud PBX: refreshes carry it through the day, also past a
// time at which the PBX could not be reached.
func TestASessionOfACloudPBXLogsInOnceADayLong(t *testing.T) {
	for _, d := range cloud {
		simulate(t, d, nil, func(t *testing.T, s simulation) {
			live := session.New(s.Driver, &session.Options{Guard: &session.Guard{}})
			defer live.Close(t.Context())
			for minute := range 24 * 60 {
				switch minute {
				case 300: // longer than the token lives, shorter than what refreshes it
					s.Fault(pbxsim.Fault{Times: -1, Status: 502})
				case 345:
					s.ClearFaults()
				}
				token, err := live.Token(t.Context())
				if away := minute >= 300 && minute < 352; err != nil && !away {
					t.Fatalf("%s, minute %d: %v", d.Family, minute, err)
				}
				if err == nil && (minute < 300 || minute >= 352) {
					if err := request(t, s, token); err != nil {
						t.Fatalf("%s, minute %d: %v", d.Family, minute, err)
					}
				}
				time.Sleep(time.Minute)
			}
			if c := s.Counts(); c.Logins != 1 || c.RefusedTokens != 0 {
				t.Errorf("%s: %+v, want one login", d.Family, c)
			}
		})
	}
}

func TestASessionWhoseRefreshIsRefusedLogsInOnce(t *testing.T) {
	for _, d := range cloud {
		for _, errno := range []int{0, 29999} {
			d.RefreshErrno = errno
			simulate(t, d, nil, func(t *testing.T, s simulation) {
				live := session.New(s.Driver, &session.Options{Guard: &session.Guard{}})
				defer live.Close(t.Context())
				first, err := live.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				s.Restart()
				time.Sleep(29 * time.Minute)
				second, err := live.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if second.Value.Equal(first.Value) || errors.Is(request(t, s, second), pbx.ErrTokenRejected) {
					t.Errorf("%s, %d: the dead token is handed out", d.Family, errno)
				}
				if c := s.Counts(); c.Logins != 2 {
					t.Errorf("%s, %d: %d logins, want 2", d.Family, errno, c.Logins)
				}
			})
		}
	}
}

func TestAPIv1OfTheSeriesHasNoRefresh(t *testing.T) {
	driver := on(t, drivertest.Body(`{"status":"Success","token":"x","refreshtoken":"y"}`))
	token, err := driver.Login(t.Context())
	if err != nil || !token.Refresh.IsZero() {
		t.Errorf("%v, with a refresh token: %v", err, !token.Refresh.IsZero())
	}
}
