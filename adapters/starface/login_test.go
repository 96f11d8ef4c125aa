package starface_test

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/starface"
	"github.com/pbxauth/pbx/adapters/starface/starfacesim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func sha(text string) string { return fmt.Sprintf("%x", sha512.Sum512([]byte(text))) }

func TestALoginReturnsTheNonceWithASecret(t *testing.T) {
	for kind, secret := range map[string]string{
		"Internal":         user + ":" + sha(user+nonce+sha(password)),
		"INTERNAL":         user + ":" + sha(user+nonce+sha(password)),
		"ActiveDirectory":  base64.StdEncoding.EncodeToString([]byte(user + nonce + password)),
		"ACTIVE_DIRECTORY": base64.StdEncoding.EncodeToString([]byte(user + nonce + password)),
	} {
		server := drivertest.Bodies(strings.Replace(template, "Internal", kind, 1), accepted)
		got, err := on(t, server).Login(t.Context())
		if err != nil {
			t.Fatal(kind, err)
		}
		if got.Value.Reveal() != token || got.ExpiresAt.Sub(got.IssuedAt) != 4*time.Hour || got.Details != nil {
			t.Errorf("%s: token %q, %v, details %s", kind, got.Value.Reveal(), got, got.Details)
		}
		header := http.Header{"Content-Type": {"application/json"}, "X-Version": {"2"}}
		want := []drivertest.Request{
			{Method: "GET", Path: "/rest/login", Header: header},
			{Method: "POST", Path: "/rest/login", Header: header, Body: `{"loginType":"` + kind + `","nonce":"` + nonce + `","secret":"` + secret + `"}`},
		}
		if diff := cmp.Diff(want, server.Sent()); diff != "" {
			t.Errorf("%s: sent (-want +got):\n%s", kind, diff)
		}
	}
}

// Anyone on the path could ask for the password by a change of one word.
func TestAPasswordIsNotSentOverPlainHTTP(t *testing.T) {
	server := drivertest.Bodies(strings.Replace(template, "Internal", "ActiveDirectory", 1), accepted)
	driver, err := starface.New(pbx.Config{URL: "http://pbx.example.com", AllowPlainHTTP: true, Username: user, Password: pbx.NewSecret(password), Transport: server})
	if err != nil {
		t.Fatal(err)
	}
	_, err = driver.Login(t.Context())
	if got := failure(t, err); got.Kind != pbx.ErrConfig || got.Setting != "URL" || got.Sent || len(server.Sent()) != 1 {
		t.Errorf("%v, setting %q, sent %v, %d requests", err, got.Setting, got.Sent, len(server.Sent()))
	}
	driver, err = starface.New(pbx.Config{URL: "http://pbx.example.com", AllowPlainHTTP: true, Username: user, Password: pbx.NewSecret(password), Transport: drivertest.Bodies(template, accepted)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := driver.Login(t.Context()); err != nil {
		t.Errorf("a digest over plain http, which is permitted: %v", err)
	}
}

func TestAWrongPasswordIsSentOnce(t *testing.T) {
	for name, change := range map[string]func(*pbx.Config){
		"a wrong password": func(c *pbx.Config) { c.Password = pbx.NewSecret("wrong") },
		"an unknown user":  func(c *pbx.Config) { c.Username = "0002" },
	} {
		simulate(t, starfacesim.Options{}, change, func(t *testing.T, s simulation) {
			token, err := s.Driver.Login(t.Context())
			want := &pbx.Error{
				Driver: "starface", Op: pbx.OpLogin, Kind: pbx.ErrInvalidCredentials, HTTPStatus: 400, Length: 27, Sent: true,
				Message: "wrong login ID or password: check the user in the web interface; the PBX says: invalid login",
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

func TestLoginsTakeTurns(t *testing.T) {
	simulate(t, starfacesim.Options{NewestNonce: true}, nil, func(t *testing.T, s simulation) {
		s.LoginsTakeTurns(t, starfacesim.Nonce)
	})
}

func TestALoginThatWaitsForAnotherHasSentNothing(t *testing.T) {
	simulate(t, starfacesim.Options{}, nil, func(t *testing.T, s simulation) {
		s.AWaitingLoginSendsNothing(t, starfacesim.Nonce)
	})
}

func TestALoginIDThatJSONCannotCarryIsRefused(t *testing.T) {
	open := func(c pbx.Config) (pbx.Authenticator, error) { return starface.New(c) }
	cfg := pbx.Config{URL: "https://pbx.example.com", Transport: drivertest.Unsent{T: t}}
	drivertest.Impossible(t, starface.Name, open, cfg, pbx.Credentials{Username: "00\xff01", Password: pbx.NewSecret(password)}, "Username", "not UTF-8")
}

// What comes before the proof proves nothing about the password.
func TestTroubleAtTheNonceEndsTheLogin(t *testing.T) {
	for name, tt := range map[string]struct {
		fault pbxsim.Fault
		want  error
	}{
		"HTTP 400":             {pbxsim.Fault{Status: 400, Body: []byte(`{"message":"invalid login"}`)}, pbx.ErrProtocol},
		"HTTP 401":             {pbxsim.Fault{Status: 401}, pbx.ErrConfig},
		"HTTP 403":             {pbxsim.Fault{Status: 403}, pbx.ErrConfig},
		"HTTP 404":             {pbxsim.Fault{Status: 404}, pbx.ErrProtocol},
		"HTTP 503":             {pbxsim.Fault{Status: 503}, pbx.ErrUnavailable},
		"a web page":           {pbxsim.Fault{Body: []byte(pbxsim.HTMLPage)}, pbx.ErrProtocol},
		"no nonce":             {pbxsim.Fault{Body: []byte(`{"loginType":"Internal","nonce":null}`)}, pbx.ErrProtocol},
		"a nonce of no string": {pbxsim.Fault{Body: []byte(`{"loginType":"Internal","nonce":7}`)}, pbx.ErrProtocol},
		"an unknown type":      {pbxsim.Fault{Body: []byte(`{"loginType":"Kerberos","nonce":"x"}`)}, pbx.ErrProtocol},
		"no response":          {pbxsim.Fault{Drop: pbxsim.DropBefore}, pbx.ErrUnavailable},
	} {
		simulate(t, starfacesim.Options{}, nil, func(t *testing.T, s simulation) {
			tt.fault.On = starfacesim.Nonce
			s.Fault(tt.fault)
			_, err := s.Driver.Login(t.Context())
			if got := failure(t, err); got.Kind != tt.want || got.Op != pbx.OpLogin || got.Sent || s.Counts().Logins != 0 {
				t.Errorf("%s: %v, sent %v, %d logins sent", name, err, got.Sent, s.Counts().Logins)
			}
			s.Login(t)
		})
	}
}

// What each response to the second step means.
func TestResponsesToALogin(t *testing.T) {
	proxy := http.Header{"Www-Authenticate": {`Basic realm="office"`}}
	for name, tt := range map[string]struct {
		response drivertest.Response
		kind     error
		sent     bool
	}{
		"400":                     {drivertest.Response{Status: 400, Body: `{"message":"invalid login"}`}, pbx.ErrInvalidCredentials, true},
		"400 with text":           {drivertest.Response{Status: 400, Body: "invalid login"}, pbx.ErrInvalidCredentials, true},
		"400 with a page":         {drivertest.Response{Status: 400, Body: pbxsim.HTMLPage}, pbx.ErrInvalidCredentials, true},
		"400 with nothing":        {drivertest.Response{Status: 400}, pbx.ErrInvalidCredentials, true},
		"401":                     {drivertest.Response{Status: 401, Body: `{"message":"invalid login"}`}, pbx.ErrInvalidCredentials, true},
		"401 with nothing":        {drivertest.Response{Status: 401}, pbx.ErrInvalidCredentials, true},
		"401 of a proxy":          {drivertest.Response{Status: 401, Header: proxy}, pbx.ErrConfig, true},
		"401 of Traefik":          {traefik, pbx.ErrConfig, true},
		"401 in words":            {drivertest.Response{Status: 401, Header: proxy, Body: `{"message":"invalid login"}`}, pbx.ErrInvalidCredentials, true},
		"401 with a token's name": {drivertest.Response{Status: 401, Header: http.Header{"Www-Authenticate": {"authToken"}}}, pbx.ErrInvalidCredentials, true},
		"403":                     {drivertest.Response{Status: 403, Body: `{"message":"no"}`}, pbx.ErrConfig, true},
		"404":                     {drivertest.Response{Status: 404}, pbx.ErrProtocol, true},
		"429":                     {drivertest.Response{Status: 429}, pbx.ErrUnavailable, true},
		"500, an unexpected one":  {drivertest.Response{Status: 500, Body: `{"message":"unexpected error"}`}, pbx.ErrUnavailable, true},
		"no token":                {drivertest.Response{Body: `{}`}, pbx.ErrProtocol, true},
		"a token that is null":    {drivertest.Response{Body: `{"token":null}`}, pbx.ErrProtocol, true},
		"a token with a blank":    {drivertest.Response{Body: `{"token":"a b"}`}, pbx.ErrProtocol, true},
		"a token with line break": {drivertest.Response{Body: `{"token":"a\nb"}`}, pbx.ErrProtocol, true},
		"a list":                  {drivertest.Response{Body: `["token"]`}, pbx.ErrProtocol, true},
	} {
		got, err := on(t, drivertest.Responses(drivertest.Response{Body: template}, tt.response)).Login(t.Context())
		if f := failure(t, err); f.Kind != tt.kind || f.Sent != tt.sent || f.HTTPStatus == 0 || got != nil {
			t.Errorf("%s: %v, sent %v, want %v, %v", name, err, f.Sent, tt.kind, tt.sent)
		}
	}
}

func TestTheSecretIsOfAnyPassword(t *testing.T) {
	for _, settings := range []starfacesim.Options{{}, {ActiveDirectory: true}} {
		odd := `"пароль\ :` + nonce + "<é>漢 "
		simulate(t, settings, func(c *pbx.Config) { c.Password = pbx.NewSecret(odd) }, func(t *testing.T, s simulation) {
			s.SetPassword(user, odd)
			s.Login(t)
			var sent struct{ Secret string }
			last := s.Logins()[0]
			if json.Unmarshal(last.Body, &sent) != nil || last.Password != odd {
				t.Errorf("sent %s", last.Body)
			}
		})
	}
}
