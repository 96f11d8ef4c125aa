package yeastar_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/wire"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// What clients of this API have been seen to get wrong, each mistake a test.

func TestHTTP200IsNotTakenForSuccess(t *testing.T) {
	for _, word := range []string{"Failed", "Failure", "success", "SUCCESS", "Success ", "OK", "0"} {
		t.Run(word, func(t *testing.T) {
			const token = "48a7d7481a5355aa4fb5dc285edeb40e"
			driver := on(t, drivertest.Body(`{"status":"`+word+`","token":"`+token+`"}`))
			got, err := driver.Login(t.Context())
			if got != nil || failure(t, err).HTTPStatus != 200 {
				t.Errorf("Login: %v, %v", got, err)
			}
			got, err = driver.KeepAlive(t.Context(), &pbx.Token{Value: pbx.NewSecret(token)})
			if got != nil || failure(t, err).HTTPStatus != 200 {
				t.Errorf("KeepAlive: %v, %v", got, err)
			}
			if err := driver.Logout(t.Context(), &pbx.Token{Value: pbx.NewSecret(token)}); failure(t, err).HTTPStatus != 200 {
				t.Errorf("Logout: %v", err)
			}
		})
	}
}

func TestAnEmptyTokenIsNotKept(t *testing.T) {
	for _, body := range []string{
		`{"status":"Success"}`,
		`{"status":"Success","token":""}`,
		`{"status":"Success","token":null}`,
		`{"status":"Success","token":0}`,
		`{"status":"Success","token":["48a7d7481a5355aa4fb5dc285edeb40e"]}`,
		`{"status":"Success","refreshtoken":"48a7d7481a5355aa4fb5dc285edeb40e"}`,
	} {
		got, err := on(t, drivertest.Body(body)).Login(t.Context())
		if got != nil || !errors.Is(err, pbx.ErrProtocol) {
			t.Errorf("%s: %v, %v; want %v", body, got, err, pbx.ErrProtocol)
		}
	}
}

func TestAnExpiredTokenIsRecognised(t *testing.T) {
	ends := map[string]func(s simulation, token string){
		"idle for 30 minutes": func(simulation, string) { time.Sleep(30 * time.Minute) },
		"timed out":           func(s simulation, token string) { s.Expire(token) },
		"revoked":             func(s simulation, token string) { s.Revoke(token) },
		"PBX restarted":       func(s simulation, _ string) { s.Restart() },
	}
	for name, end := range ends {
		for _, d := range []yeastarsim.Options{{}, {NumericErrno: true}, {FailingStatus: "Failure"}, {HeartbeatInsists: true}} {
			t.Run(name, func(t *testing.T) {
				simulate(t, d, nil, func(t *testing.T, s simulation) {
					token := s.Login(t)
					if err := request(t, s, token); err != nil {
						t.Fatalf("a live token: %v", err)
					}
					end(s, token.Value.Reveal())
					if err := request(t, s, token); failure(t, err).Kind != pbx.ErrTokenRejected {
						t.Errorf("a call: %v, want %v", err, pbx.ErrTokenRejected)
					}
					if _, err := s.Driver.KeepAlive(t.Context(), token); failure(t, err).Kind != pbx.ErrTokenRejected {
						t.Errorf("KeepAlive: %v, want %v", err, pbx.ErrTokenRejected)
					}
				})
			})
		}
	}
}

func TestAWrongPasswordIsSentOnce(t *testing.T) {
	wrong := func(cfg *yeastar.Config) { cfg.Password = pbx.NewSecret("Yeastar203") }
	simulate(t, yeastarsim.Options{}, wrong, func(t *testing.T, s simulation) {
		got, err := s.Driver.Login(t.Context())
		if got != nil || failure(t, err).Kind != pbx.ErrInvalidCredentials {
			t.Errorf("%v, %v; want %v", got, err, pbx.ErrInvalidCredentials)
		}
		if counts := s.Counts(); counts.Requests != 1 || counts.WrongLogins != 1 {
			t.Errorf("%+v, want one request, one wrong login", counts)
		}
	})
}

// What the PBX answered to a login does not matter: it may have counted it.
func TestALoginIsNeverRepeated(t *testing.T) {
	tests := []struct {
		name  string
		fault pbxsim.Fault
		kind  error
	}{
		{"connection cut before", pbxsim.Fault{Drop: pbxsim.DropBefore}, pbx.ErrUnavailable},
		{"connection cut after", pbxsim.Fault{Drop: pbxsim.DropAfter}, pbx.ErrUnavailable},
		{"silence", pbxsim.Fault{Hang: true}, pbx.ErrUnavailable},
		{"half an answer", pbxsim.Fault{Truncate: true}, pbx.ErrUnavailable},
		{"HTTP 500", pbxsim.Fault{Status: 500}, pbx.ErrUnavailable},
		{"HTTP 503 with Retry-After", pbxsim.Fault{Status: 503, Header: http.Header{"Retry-After": {"1"}}}, pbx.ErrUnavailable},
		{"HTTP 429 with Retry-After", pbxsim.Fault{Status: 429, Header: http.Header{"Retry-After": {"1"}}}, pbx.ErrUnavailable},
		{"a web page", pbxsim.Fault{Body: []byte(pbxsim.HTMLPage)}, pbx.ErrProtocol},
		{"30003", pbxsim.Fault{Body: []byte(`{"status":"Failed","errno":"30003"}`)}, pbx.ErrUnavailable},
		{"a mebibyte and more", pbxsim.Fault{Huge: wire.MaxBody + 1}, pbx.ErrProtocol},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			simulate(t, yeastarsim.Options{}, nil, func(t *testing.T, s simulation) {
				s.Fault(tt.fault)
				got, err := s.Driver.Login(t.Context())
				if got != nil || failure(t, err).Kind != tt.kind {
					t.Errorf("%v, %v; want %v", got, err, tt.kind)
				}
				if !failure(t, err).Sent {
					t.Errorf("%v: Sent is false", err)
				}
				time.Sleep(24 * time.Hour)
				if n := s.Counts().Requests; n != 1 {
					t.Errorf("%d requests, want 1", n)
				}
			})
		})
	}
}

// Other families have other paths and other error tables. A login there with
// credentials from here is a wrong login.
func TestOtherFamiliesAreNotProbed(t *testing.T) {
	for _, family := range []string{yeastarsim.SV1, yeastarsim.SV2, yeastarsim.CloudV1, yeastarsim.CloudV2} {
		for _, fault := range []pbxsim.Fault{
			{Status: 404, Body: []byte(pbxsim.HTMLPage)},
			{Body: []byte(`{"status":"Failed","errno":"10003"}`)},
			{Body: []byte(`{"errcode":10001,"errmsg":"INTERFACE NOT EXISTED"}`)},
			{Body: []byte(`<?xml version="1.0"?><xml><status>Failed</status></xml>`)},
		} {
			simulate(t, yeastarsim.Options{Family: family}, nil, func(t *testing.T, s simulation) {
				s.Fault(fault)
				if got, err := s.Driver.Login(t.Context()); got != nil || failure(t, err).Kind != pbx.ErrProtocol {
					t.Errorf("%v, %v; want %v", got, err, pbx.ErrProtocol)
				}
				var paths []string
				for _, record := range s.Log() {
					paths = append(paths, record.Method+" "+record.Path)
				}
				if diff := cmp.Diff([]string{"POST " + s.api + "/login"}, paths); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestTheHeartbeatsTokenIsInTheQueryAndNotInTheBody(t *testing.T) {
	simulate(t, yeastarsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		beat := s.Last()
		if want := "token=" + token.Value.Reveal(); beat.RawQuery != want {
			t.Errorf("query %q, want %q", beat.RawQuery, want)
		}
		if strings.Contains(string(beat.Body), token.Value.Reveal()) {
			t.Errorf("the body holds the token: %s", beat.Body)
		}
	})
}

// One heartbeat is one request, and none is sent unless asked for: how often is
// the session's to say, which has from Traits all that it needs.
func TestNoHeartbeatIsSentUnasked(t *testing.T) {
	simulate(t, yeastarsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		time.Sleep(29 * time.Minute)
		if n := s.Counts().Requests; n != 1 {
			t.Errorf("%d requests after the login alone, want 1", n)
		}
		if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		if counts := s.Counts(); counts.Requests != 2 || counts.KeepAlives != 1 {
			t.Errorf("%+v, want two requests, one a heartbeat", counts)
		}
	})
}

func TestAFailedHeartbeatProlongsNothing(t *testing.T) {
	for name, fault := range map[string]pbxsim.Fault{
		"20011":            {Times: -1, Body: []byte(`{"status":"Failed","errno":"20011"}`)},
		"20006":            {Body: []byte(`{"status":"Failed","errno":"20006"}`)},
		"no errno":         {Body: []byte(`{"status":"Failed"}`)},
		"another family":   {Body: []byte(`{"errcode":0,"errmsg":"SUCCESS"}`)},
		"empty":            {Body: []byte{}},
		"a web page":       {Body: []byte(pbxsim.HTMLPage)},
		"success as text":  {Body: []byte("Success")},
		"success with 500": {Status: 500, Body: []byte(`{"status":"Success"}`)},
		"half an answer":   {Truncate: true},
		"cut":              {Drop: pbxsim.DropAfter},
		"silence":          {Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, yeastarsim.Options{}, nil, func(t *testing.T, s simulation) {
				token := s.Login(t)
				before := *token
				time.Sleep(20 * time.Minute)
				s.Fault(fault)
				got, err := s.Driver.KeepAlive(t.Context(), token)
				if got != nil {
					t.Errorf("a token came back: %v", got)
				}
				if failure(t, err).Op != pbx.OpKeepAlive {
					t.Errorf("%v is of the operation %q", err, failure(t, err).Op)
				}
				if diff := cmp.Diff(&before, token); diff != "" {
					t.Errorf("the token was changed:\n%s", diff)
				}
			})
		})
	}
}

// TestNoSecretIsEverShown is in canary_test.go.

func TestAQuoteInAPasswordBreaksNothing(t *testing.T) {
	accounts := []struct{ user, password, digest string }{ // digests by md5sum(1)
		{"api", "123456", "e10adc3949ba59abbe56e057f20f883e"},
		{"api", `Yea"star\202`, "1122250b733e63a275b9b263e6ed1fee"},
		{`o"brien`, "пароль", "e242f36f4f95f12966da8fa2efd59992"},
		{`back\slash`, "密码", "a8105204604a0b11e916f3879aae3b0b"},
		{"Мария", " with blanks ", "e7265c3e40b77ce3acc7aef8e4ee73cf"},
		{"<a&b>", "%00&token=x", "0c384d0dd0adea84a48ab9f46b092e80"},
		{"a\ttab", "\x01\xff", "90b82cfd67e3a72ceb8d642b3085f86d"},
	}
	for _, a := range accounts {
		t.Run(a.user, func(t *testing.T) {
			account := func(cfg *yeastar.Config) { cfg.Username, cfg.Password = a.user, pbx.NewSecret(a.password) }
			simulate(t, yeastarsim.Options{}, account, func(t *testing.T, s simulation) {
				s.SetPassword(a.user, a.password)
				if _, err := s.Driver.Login(t.Context()); err != nil {
					t.Error(err)
				}
				var sent map[string]string
				if err := json.Unmarshal(s.Last().Body, &sent); err != nil {
					t.Fatalf("%v: %s", err, s.Last().Body)
				}
				want := map[string]string{"username": a.user, "password": a.digest, "port": "8260"}
				if diff := cmp.Diff(want, sent); diff != "" {
					t.Errorf("sent (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAnUnknownCertificateIsRefusedUntilItIsTrusted(t *testing.T) {
	sim := yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{sampleUser: samplePassword}})
	server := pbxsim.ListenTLS(sim)
	defer server.Close()
	login := func(trust pbx.TLS) error {
		driver, err := yeastar.New(yeastar.Config{Config: pbx.Config{
			URL: server.URL, Username: sampleUser, Password: pbx.NewSecret(samplePassword), TLS: trust,
		}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = driver.Login(t.Context())
		return err
	}
	pin := pbx.Pin(server.Certificate())

	err := login(pbx.TLS{})
	if failure(t, err).Kind != pbx.ErrConfig || !strings.Contains(err.Error(), pin) {
		t.Errorf("%v, want %v and the pin %s", err, pbx.ErrConfig, pin)
	}
	if n := sim.Counts().Requests; n != 0 {
		t.Errorf("%d requests reached a PBX that is not trusted", n)
	}
	if err := login(pbx.TLS{PinSHA256: pin}); err != nil {
		t.Errorf("pinned: %v", err)
	}
}

func TestOneLoginServesManyCallsAndIsLoggedOut(t *testing.T) {
	simulate(t, yeastarsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		for range 100 {
			if err := request(t, s, token); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Driver.Logout(t.Context(), token); err != nil {
			t.Error(err)
		}
		if counts := s.Counts(); counts.Logins != 1 || counts.AppRequests != 100 || counts.Logouts != 1 {
			t.Errorf("%+v, want one login, 100 calls, one logout", counts)
		}
		if live := s.Tokens(sampleUser); live != nil {
			t.Errorf("%d tokens left behind", len(live))
		}
	})
}

// A factory PBX redirects port 80 to 8088, and a client that follows turns the
// login into a GET.
func TestARedirectIsNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		simulate(t, yeastarsim.Options{}, nil, func(t *testing.T, s simulation) {
			s.Fault(pbxsim.Fault{Status: status, Header: http.Header{"Location": {"https://192.168.5.150:8088/api/v1.1.0/login"}}})
			_, err := s.Driver.Login(t.Context())
			if failure(t, err).Kind != pbx.ErrConfig || !strings.Contains(err.Error(), "https://192.168.5.150:8088") {
				t.Errorf("%d: %v, want %v and the URL to configure", status, err, pbx.ErrConfig)
			}
			if n := s.Counts().Requests; n != 1 {
				t.Errorf("%d: %d requests, want 1", status, n)
			}
		})
	}
}

func TestTheContextEndsALogin(t *testing.T) {
	simulate(t, yeastarsim.Options{}, nil, func(t *testing.T, s simulation) {
		s.Fault(pbxsim.Fault{Hang: true})
		ctx, cancel := context.WithCancel(t.Context())
		var err error
		go func() { _, err = s.Driver.Login(ctx) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !errors.Is(err, context.Canceled) || !failure(t, err).Sent {
			t.Errorf("%v, want %v, sent", err, context.Canceled)
		}
	})
}
