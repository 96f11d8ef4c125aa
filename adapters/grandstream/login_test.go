package grandstream_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/grandstream"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func TestALoginIsAChallengeAndItsResponse(t *testing.T) {
	server := drivertest.Bodies(challenged, accepted)
	token, err := on(t, server).Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if token.Value.Reveal() != cookie || token.ExpiresAt.Sub(token.IssuedAt) != 10*time.Minute || token.Details != nil {
		t.Errorf("token %q, %v, details %s", token.Value.Reveal(), token, token.Details)
	}
	want := []string{
		`{"request":{"action":"challenge","user":"cdrapi","version":"1.0"}}`,
		`{"request":{"action":"login","user":"cdrapi","token":"` + digest + `"}}`,
	}
	if diff := cmp.Diff(want, server.SentBodies()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestThePasswordNeverTravels(t *testing.T) {
	simulate(t, grandstreamsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		s.Driver.KeepAlive(t.Context(), token)
		s.Driver.Logout(t.Context(), token)
		for _, record := range s.Log() {
			if strings.Contains(string(record.Body), password) || record.RawQuery != "" || record.Header.Get("Cookie") != "" {
				t.Errorf("%s ?%s %v", record.Body, record.RawQuery, record.Header)
			}
		}
	})
}

func TestAWrongPasswordIsSentOnce(t *testing.T) {
	for name, change := range map[string]func(*grandstream.Config){
		"a wrong password": func(c *grandstream.Config) { c.Password = pbx.NewSecret("wrong") },
		"an unknown user":  func(c *grandstream.Config) { c.Username = "nobody" },
	} {
		simulate(t, grandstreamsim.Options{}, change, func(t *testing.T, s simulation) {
			token, err := s.Driver.Login(t.Context())
			want := &pbx.Error{
				Driver: "grandstream", Op: pbx.OpLogin, Kind: pbx.ErrInvalidCredentials, Code: "-37", HTTPStatus: 200, Length: 28, Sent: true,
				Message: "wrong user name or password: check the API's user in the PBX's web interface",
			}
			if diff := cmp.Diff(want, failure(t, err)); diff != "" || token != nil {
				t.Errorf("%s: token %v, error (-want +got):\n%s", name, token, diff)
			}
			if counts := s.Counts(); counts.WrongLogins != 1 || counts.Requests != 2 {
				t.Errorf("%s: %d requests, %d wrong logins", name, counts.Requests, counts.WrongLogins)
			}
		})
	}
}

func TestABannedAddressIsDistinguishedFromAWrongPassword(t *testing.T) {
	for _, settings := range []grandstreamsim.Options{{}, {BanAtChallenge: true}} {
		simulate(t, settings, nil, func(t *testing.T, s simulation) {
			s.SetPassword(user, "another")
			for range 5 {
				if _, err := s.Driver.Login(t.Context()); failure(t, err).Kind != pbx.ErrInvalidCredentials {
					t.Errorf("%v", err)
				}
			}
			s.SetPassword(user, password)
			_, err := s.Driver.Login(t.Context())
			if got := failure(t, err); got.Kind != pbx.ErrLocked || got.Code != "-68" || got.RetryAfter != 5*time.Minute {
				t.Errorf("%v", err)
			}
			time.Sleep(5 * time.Minute)
			s.Login(t)
		})
	}
}

// A cloud-hosted UCM answered so to a login without a url. Whether it was for that is not
// known, so that none is sent without the option.
func TestAUCMThatWantsAURLInTheLoginGetsIt(t *testing.T) {
	simulate(t, grandstreamsim.Options{WantsURL: true}, nil, func(t *testing.T, s simulation) {
		_, err := s.Driver.Login(t.Context())
		if got := failure(t, err); got.Code != "-1" || !strings.Contains(got.Message, "login_url") {
			t.Errorf("%v, want the option to be named", got)
		}
	})
	const url = "https://office.ucm.example:8089/api"
	simulate(t, grandstreamsim.Options{WantsURL: true}, func(c *grandstream.Config) { c.LoginURL = url }, func(t *testing.T, s simulation) {
		s.Login(t)
		if body := string(s.Last().Body); !strings.Contains(body, `"url":"`+url+`"`) {
			t.Errorf("sent %s", body)
		}
	})
}

// The answer to a login does not name the challenge, so a PBX may remember one
// only.
func TestLoginsTakeTurns(t *testing.T) {
	simulate(t, grandstreamsim.Options{NewestOnly: true}, nil, func(t *testing.T, s simulation) {
		s.LoginsTakeTurns(t, grandstreamsim.Challenge)
	})
}

func TestALoginThatWaitsForAnotherHasSentNothing(t *testing.T) {
	simulate(t, grandstreamsim.Options{}, nil, func(t *testing.T, s simulation) {
		s.AWaitingLoginSendsNothing(t, grandstreamsim.Challenge)
	})
}

func TestAUserNameThatJSONCannotCarryIsRefused(t *testing.T) {
	open := func(c pbx.Config) (pbx.Authenticator, error) { return grandstream.New(grandstream.Config{Config: c}) }
	cfg := config(t)
	drivertest.Impossible(t, grandstream.Name, open, cfg, pbx.Credentials{Username: "cdr\xffapi", Password: cfg.Password}, "Username", "not UTF-8")
}

func TestAPasswordOfAnyBytesIsHashedAsItIs(t *testing.T) {
	simulate(t, grandstreamsim.Options{}, func(c *grandstream.Config) { c.Password = pbx.NewSecret("пароль\xff\"\\ ") }, func(t *testing.T, s simulation) {
		s.SetPassword(user, "пароль\xff\"\\ ")
		s.Login(t)
	})
}

func TestTroubleAtTheChallengeEndsTheLogin(t *testing.T) {
	for name, tt := range map[string]struct {
		fault pbxsim.Fault
		want  error
	}{
		"HTTP 503":     {pbxsim.Fault{Status: 503}, pbx.ErrUnavailable},
		"a web page":   {pbxsim.Fault{Body: []byte(pbxsim.HTMLPage)}, pbx.ErrProtocol},
		"no challenge": {pbxsim.Fault{Body: []byte(`{"response":{},"status":0}`)}, pbx.ErrProtocol},
		"a redirect":   {pbxsim.Fault{Status: 302}, pbx.ErrProtocol},
		"no response":  {pbxsim.Fault{Drop: pbxsim.DropBefore}, pbx.ErrUnavailable},
	} {
		simulate(t, grandstreamsim.Options{}, nil, func(t *testing.T, s simulation) {
			tt.fault.On = grandstreamsim.Challenge
			s.Fault(tt.fault)
			_, err := s.Driver.Login(t.Context())
			if got := failure(t, err); got.Kind != tt.want || got.Op != pbx.OpLogin || got.Sent || s.Counts().Logins != 0 {
				t.Errorf("%s: %v, %d logins sent", name, err, s.Counts().Logins)
			}
			s.Login(t)
		})
	}
}
