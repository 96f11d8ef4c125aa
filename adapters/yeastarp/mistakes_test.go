package yeastarp_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// What clients of this API have been seen to get wrong, each mistake a test.

func TestANewTokenIsNotTakenForEveryRequest(t *testing.T) {
	simulate(t, yeastarpsim.Options{}, nil, func(t *testing.T, s simulation) {
		live := s.Session()
		client := live.Client()
		for range 100 {
			resp, err := client.Get(s.Server.URL + "/openapi/v1.0/system/information")
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		if c := s.Counts(); c.Logins != 1 || c.AppRequests != 100 || len(s.Tokens(sampleID)) != 1 {
			t.Errorf("%+v, want one login for 100 calls", c)
		}
		if err := live.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if left := s.Tokens(sampleID); left != nil {
			t.Errorf("%d tokens are left behind", len(left))
		}
	})
}

func TestTheRefreshHasTheRightField(t *testing.T) {
	simulate(t, yeastarpsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		want := `{"refresh_token":"` + token.Refresh.Reveal() + `"}`
		sent := s.Last()
		if sent.Method != "POST" || sent.Path != "/openapi/v1.0/refresh_token" || sent.RawQuery != "" || string(sent.Body) != want {
			t.Errorf("%s %s?%s %s, want %s, and no access token in the URL", sent.Method, sent.Path, sent.RawQuery, sent.Body, want)
		}
	})
}

func TestANetworkErrorOfARefreshCostsNoPlaceWhileTheOldTokenIsValid(t *testing.T) {
	for name, fault := range map[string]pbxsim.Fault{
		"cut":      {Drop: pbxsim.DropBefore},
		"silence":  {Hang: true},
		"HTTP 502": {Status: 502, Body: []byte(pbxsim.HTMLPage)},
		"-2":       {Body: []byte(`{"errcode":-2,"errmsg":"FAILURE"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, yeastarpsim.Options{}, nil, func(t *testing.T, s simulation) {
				live := s.Session()
				defer live.Close(t.Context())
				first, err := live.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				fault.Times = -1
				s.Fault(fault)
				time.Sleep(28 * time.Minute) // renewals have been tried for some while
				if c := s.Counts(); c.Logins != 1 || c.KeepAlives < 1 || c.Requests < 10 {
					t.Errorf("%+v, want no second login, some refreshes, and checks between them", c)
				}
				if token, err := live.Token(t.Context()); err != nil || token != first {
					t.Errorf("%v, %v: the old token lives, and is to be used", token, err)
				}
				s.ClearFaults()
				time.Sleep(20 * time.Minute)
				token, err := live.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := request(t, s, token); err != nil {
					t.Error(err)
				}
				if c := s.Counts(); c.Logins != 1 || len(s.Tokens(sampleID)) != 1 {
					t.Errorf("%+v, %d tokens; want one login, and one token", c, len(s.Tokens(sampleID)))
				}
			})
		})
	}
}

func TestAnUnsupportedVersionIsNotAnExpiredToken(t *testing.T) {
	for _, code := range []int{10002, 10003} {
		for op, err := range operations(t, fmt.Sprintf(`{"errcode":%d,"errmsg":"FAILURE"}`, code)) {
			if errors.Is(err, pbx.ErrTokenRejected) || !errors.Is(err, pbx.ErrProtocol) {
				t.Errorf("%d: %s: %v, want %v", code, op, err, pbx.ErrProtocol)
			}
		}
	}
}

func TestALostRefreshTokenFallsBackToOneLogin(t *testing.T) {
	t.Run("nothing to refresh with", func(t *testing.T) {
		driver := on(t, drivertest.Unsent{T: t})
		got, err := driver.KeepAlive(t.Context(), &pbx.Token{Value: pbx.NewSecret(sampleAccess)})
		if got != nil || failure(t, err).Kind != pbx.ErrTokenRejected || failure(t, err).Sent {
			t.Errorf("%v, %v; want %v, and nothing sent", got, err, pbx.ErrTokenRejected)
		}
	})
	for _, errcode := range []int{10004, -1, 10005, 40001, 40002, 12345} { // none is documented
		for name, spoil := range map[string]func(s simulation){
			"the PBX restarted": func(s simulation) { s.Restart() },
			"it was revoked":    func(s simulation) { s.Revoke(s.Tokens(sampleID)[0]) },
			"it ran out": func(s simulation) {
				s.Fault(pbxsim.Fault{Times: -1, Status: 503})
				time.Sleep(25 * time.Hour)
				s.ClearFaults()
			},
		} {
			t.Run(fmt.Sprint(errcode, ", ", name), func(t *testing.T) {
				simulate(t, yeastarpsim.Options{RefreshErrcode: errcode}, nil, func(t *testing.T, s simulation) {
					live := s.Session()
					defer live.Close(t.Context())
					if _, err := live.Token(t.Context()); err != nil {
						t.Fatal(err)
					}
					before := s.Counts()
					spoil(s)
					time.Sleep(29 * time.Minute)
					token, err := live.Token(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if err := request(t, s, token); err != nil {
						t.Error(err)
					}
					if n := s.Counts().GoodLogins - before.GoodLogins; n != 1 {
						t.Errorf("%d logins, want 1", n)
					}
				})
			})
		}
	}
}

func TestNoErrorRevokesAToken(t *testing.T) {
	bodies := []string{"", "{}", pbxsim.HTMLPage, `{"status":"Failed","errno":"20004"}`}
	for _, tt := range errcodes {
		bodies = append(bodies, fmt.Sprintf(`{"errcode":%d,"errmsg":"FAILURE"}`, tt.code))
	}
	for _, body := range bodies {
		simulate(t, yeastarpsim.Options{}, nil, func(t *testing.T, s simulation) {
			token := s.Login(t)
			s.Fault(pbxsim.Fault{Times: -1, Body: []byte(body)})
			request(t, s, token)
			s.Driver.KeepAlive(t.Context(), token)
			s.Driver.Login(t.Context())
			if n := s.Counts().Logouts; n != 0 {
				t.Errorf("%s: %d revocations that nobody asked for", body, n)
			}
			s.Driver.Logout(t.Context(), token)
			if n := s.Counts().Logouts; n != 1 {
				t.Errorf("%s: a revocation is sent %d times", body, n)
			}
		})
	}
}

// That no answer with tokens gets into a log is in canary_test.go.

func TestAnIncompleteRefreshKeepsTheOldPair(t *testing.T) {
	for _, body := range []string{
		`{"errcode":0,"errmsg":"SUCCESS"}`,
		`{"errcode":0,"access_token":"` + sampleAccess + `"}`,
		`{"errcode":0,"access_token":"` + sampleAccess + `","refresh_token":""}`,
		`{"errcode":0,"access_token":"` + sampleAccess + `","refresh_token":null}`,
		`{"errcode":0,"access_token":"","refresh_token":"` + sampleFresh + `"}`,
		`{"errcode":0,"refresh_token":"` + sampleFresh + `"}`,
		`{"errcode":0,"access_token":["` + sampleAccess + `"],"refresh_token":"` + sampleFresh + `"}`,
	} {
		token := given()
		before := *token
		got, err := on(t, drivertest.Body(body)).KeepAlive(t.Context(), token)
		if got != nil || failure(t, err).Kind != pbx.ErrProtocol {
			t.Errorf("%s: %v, %v; want %v", body, got, err, pbx.ErrProtocol)
		}
		if diff := cmp.Diff(&before, token); diff != "" {
			t.Errorf("%s: the old token was changed:\n%s", body, diff)
		}
	}
}

// A login that brings an access token has taken a place: to give it up for want
// of a refresh token would only take another.
func TestALoginWithoutARefreshTokenIsALogin(t *testing.T) {
	got, err := on(t, drivertest.Body(`{"errcode":0,"access_token":"`+sampleAccess+`"}`)).Login(t.Context())
	if err != nil || got.Value.Reveal() != sampleAccess || !got.Refresh.IsZero() || !got.RefreshExpiresAt.IsZero() {
		t.Errorf("%v, %v", got, err)
	}
	for _, body := range []string{
		`{"errcode":0}`, `{"errcode":0,"access_token":""}`, `{"errcode":0,"access_token":null}`, `{"errcode":0,"access_token":1}`,
		`{"errcode":0,"refresh_token":"` + sampleFresh + `"}`,
	} {
		if got, err := on(t, drivertest.Body(body)).Login(t.Context()); got != nil || failure(t, err).Kind != pbx.ErrProtocol {
			t.Errorf("%s: %v, %v; want %v", body, got, err, pbx.ErrProtocol)
		}
	}
}

func TestALoginIsNeverRepeated(t *testing.T) {
	for name, fault := range map[string]pbxsim.Fault{
		"cut before":                {Drop: pbxsim.DropBefore},
		"cut after":                 {Drop: pbxsim.DropAfter},
		"silence":                   {Hang: true},
		"HTTP 500":                  {Status: 500},
		"HTTP 503 with Retry-After": {Status: 503, Header: http.Header{"Retry-After": {"1"}}},
		"60002":                     {Body: []byte(`{"errcode":60002,"errmsg":"FAILURE"}`)},
		"10004":                     {Body: []byte(`{"errcode":10004,"errmsg":"FAILURE"}`)},
	} {
		simulate(t, yeastarpsim.Options{}, nil, func(t *testing.T, s simulation) {
			s.Fault(fault)
			if got, err := s.Driver.Login(t.Context()); got != nil || err == nil {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			time.Sleep(24 * time.Hour)
			if n := s.Counts().Requests; n != 1 {
				t.Errorf("%s: %d requests, want 1", name, n)
			}
		})
	}
}

func TestOtherFamiliesAreNotProbed(t *testing.T) {
	for _, fault := range []pbxsim.Fault{
		{Status: 404, Body: []byte(pbxsim.HTMLPage)},
		{Body: []byte(`{"errcode":10001,"errmsg":"FAILURE"}`)},
		{Body: []byte(`{"errcode":10003,"errmsg":"FAILURE"}`)},
		{Body: []byte(`{"status":"Failed","errno":"10003"}`)},
	} {
		simulate(t, yeastarpsim.Options{}, nil, func(t *testing.T, s simulation) {
			s.Fault(fault)
			if got, err := s.Driver.Login(t.Context()); got != nil || failure(t, err).Kind != pbx.ErrProtocol {
				t.Errorf("%v, %v; want %v", got, err, pbx.ErrProtocol)
			}
			if log := s.Log(); len(log) != 1 || log[0].Path != "/openapi/v1.0/get_token" {
				t.Errorf("%d requests, the last for %s", len(log), s.Last().Path)
			}
		})
	}
}
