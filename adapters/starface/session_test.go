package starface_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/starface/starfacesim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// The vendor's own Java client logs in at every 401, for a missing permission
// without end. Here the permission costs no login and one ping.
func TestAMissingPermissionNeverCostsALogin(t *testing.T) {
	for _, status := range []int{401, 403} {
		for _, body := range []starfacesim.ErrorBody{starfacesim.JSONBody, starfacesim.TextBody, starfacesim.NoBody} {
			simulate(t, starfacesim.Options{NotAdministrator: status, Body: body}, nil, func(t *testing.T, s simulation) {
				kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
				defer kept.Close(context.Background())
				if _, err := kept.Token(t.Context()); err != nil {
					t.Fatal(err)
				}
				before := s.Counts()
				var all sync.WaitGroup
				for range 10 {
					all.Go(func() {
						ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
						defer cancel()
						r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.Server.URL+"/rest/users", nil)
						resp, err := kept.Client().Do(r)
						if err != nil {
							t.Error(err)
							return
						}
						defer resp.Body.Close()
						io.Copy(io.Discard, resp.Body)
						if resp.StatusCode != status {
							t.Errorf("HTTP status %d, want %d", resp.StatusCode, status)
						}
					})
				}
				all.Wait()
				counts := s.Counts()
				pings := counts.Requests - before.Requests - 10
				if counts.Logins != 1 || pings > 1 || status == 403 && pings != 0 {
					t.Errorf("%d with the body %q: %d logins, %d pings", status, body, counts.Logins, pings)
				}
			})
		}
	}
}

func TestADeadTokenCostsOneLogin(t *testing.T) {
	for _, body := range []starfacesim.ErrorBody{starfacesim.JSONBody, starfacesim.NoBody} {
		simulate(t, starfacesim.Options{Body: body}, nil, func(t *testing.T, s simulation) {
			kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
			defer kept.Close(context.Background())
			for range 2 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.Server.URL+"/rest/users", nil)
				resp, err := kept.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				cancel()
				if resp.StatusCode != 200 {
					t.Errorf("HTTP status %d", resp.StatusCode)
				}
				s.Restart()
			}
			if got := s.Counts().Logins; got != 2 {
				t.Errorf("%d logins, want 2", got)
			}
		})
	}
}

// traefik is what Traefik responds without its own user name and password.
var traefik = drivertest.Response{
	Status: 401, Header: http.Header{"Www-Authenticate": {`Basic realm="traefik"`}, "Content-Type": {"text/plain"}}, Body: "401 Unauthorized\n",
}

// What each response to an application's request means.
func TestResponsesToARequest(t *testing.T) {
	proxy := http.Header{"Www-Authenticate": {`Basic realm="office"`}}
	for name, tt := range map[string]struct {
		path      string
		response  drivertest.Response
		kind      error
		ambiguous bool
		good      bool
	}{
		"200":                       {path: "/rest/users", response: drivertest.Response{Body: `[]`}, good: true},
		"204":                       {path: "/rest/users/2", response: drivertest.Response{Status: 204}, good: true},
		"a picture":                 {path: "/rest/users/2/avatar", response: drivertest.Response{Body: "\x89PNG"}, good: true},
		"401":                       {path: "/rest/users", response: drivertest.Response{Status: 401, Body: `{"message":"no"}`}, kind: pbx.ErrTokenRejected, ambiguous: true},
		"401 with nothing":          {path: "/rest/users", response: drivertest.Response{Status: 401}, kind: pbx.ErrTokenRejected, ambiguous: true},
		"401 where no right counts": {path: "/rest/users/me", response: drivertest.Response{Status: 401}, kind: pbx.ErrTokenRejected},
		"401 of a proxy":            {path: "/rest/users", response: drivertest.Response{Status: 401, Header: proxy}, kind: pbx.ErrConfig},
		"401 of Traefik":            {path: "/rest/users", response: traefik, kind: pbx.ErrConfig},
		"401 of one with Digest":    {path: "/rest/users", response: drivertest.Response{Status: 401, Header: http.Header{"Www-Authenticate": {`Digest realm="office", nonce="x"`}}}, kind: pbx.ErrConfig},
		"401 of one with Windows":   {path: "/rest/users", response: drivertest.Response{Status: 401, Header: http.Header{"Www-Authenticate": {"Negotiate"}}}, kind: pbx.ErrConfig},
		"401 of an old Windows":     {path: "/rest/users", response: drivertest.Response{Status: 401, Header: http.Header{"Www-Authenticate": {"NTLM"}}}, kind: pbx.ErrConfig},
		"401 in words":              {path: "/rest/users", response: drivertest.Response{Status: 401, Header: proxy, Body: `{"message":"no"}`}, kind: pbx.ErrTokenRejected, ambiguous: true},
		"401 with a token's name":   {path: "/rest/users", response: drivertest.Response{Status: 401, Header: http.Header{"Www-Authenticate": {"authToken"}}}, kind: pbx.ErrTokenRejected, ambiguous: true},
		"403":                       {path: "/rest/users", response: drivertest.Response{Status: 403, Body: `{"message":"no"}`}, kind: pbx.ErrForbidden},
		"403 with nothing":          {path: "/rest/users", response: drivertest.Response{Status: 403}, kind: pbx.ErrForbidden},
		"403 of a proxy":            {path: "/rest/users", response: drivertest.Response{Status: 403, Body: pbxsim.HTMLPage}, kind: pbx.ErrConfig},
		"404":                       {path: "/rest/users/9", response: drivertest.Response{Status: 404, Body: `{"message":"no such user"}`}, kind: nil},
		"404 as text":               {path: "/rest/users/9", response: drivertest.Response{Status: 404, Header: http.Header{"Content-Type": {"text/plain;charset=utf-8"}}, Body: "no such user"}, kind: nil},
		"404 as a file":             {path: "/rest/users/9", response: drivertest.Response{Status: 404, Header: http.Header{"Content-Type": {"application/octet-stream"}}, Body: "no such user"}, kind: pbx.ErrProtocol},
		"404 of a web server":       {path: "/rest/users/9", response: drivertest.Response{Status: 404, Body: pbxsim.HTMLPage}, kind: pbx.ErrProtocol},
		"408":                       {path: "/rest/users", response: drivertest.Response{Status: 408, Body: `{"message":"late"}`}, kind: pbx.ErrUnavailable},
		"429":                       {path: "/rest/users", response: drivertest.Response{Status: 429, Body: `{"message":"slow"}`}, kind: pbx.ErrUnavailable},
		"500":                       {path: "/rest/users", response: drivertest.Response{Status: 500, Body: `{"message":"unexpected error"}`}, kind: pbx.ErrUnavailable},
	} {
		driver := on(t, drivertest.Responses(tt.response))
		r, err := http.NewRequest(http.MethodGet, "https://pbx.example.com"+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		given := &pbx.Token{Value: pbx.NewSecret(token)}
		if err := driver.Authorize(r, given); err != nil {
			t.Fatal(err)
		}
		resp, err := driver.Transport().RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		err = driver.Inspect(resp, body, given)
		if tt.good {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if got := failure(t, err); got.Kind != tt.kind || got.Ambiguous != tt.ambiguous || got.Op != pbx.OpRequest {
			t.Errorf("%s: %v, ambiguous %v, want %v, %v", name, err, got.Ambiguous, tt.kind, tt.ambiguous)
		}
	}
}

func TestAuthorizeSetsTheHeadersOfTheWiki(t *testing.T) {
	driver := on(t, drivertest.Unsent{T: t})
	for name, want := range map[string]string{"X-Version": "2", "Content-Type": "application/json"} {
		for _, given := range []string{"", "the application's"} {
			r, _ := http.NewRequest(http.MethodGet, "https://pbx.example.com/rest/users", nil)
			r.Header.Set("authToken", "an old one")
			want := want
			if given != "" {
				r.Header.Set(name, given)
				want = given
			}
			if err := driver.Authorize(r, &pbx.Token{Value: pbx.NewSecret(token)}); err != nil {
				t.Fatal(err)
			}
			if r.Header.Get("authToken") != token || len(r.Header.Values("authToken")) != 1 || r.Header.Get(name) != want {
				t.Errorf("%s: %v, want %q", name, r.Header, want)
			}
		}
	}
}

// The application sets no header: a STARFACE that insists on those of the wiki responds
// all the same.
func TestARequestOfASessionHasTheHeadersOfTheWiki(t *testing.T) {
	simulate(t, starfacesim.Options{}, nil, func(t *testing.T, s simulation) {
		live := s.Session()
		defer live.Close(t.Context())
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/rest/users", nil)
		resp, err := live.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	})
}

func TestALogoutIsProvenByAnEmptyResponse(t *testing.T) {
	for name, tt := range map[string]struct {
		response drivertest.Response
		good     bool
	}{
		"204":                 {drivertest.Response{Status: 204}, true},
		"200 with nothing":    {drivertest.Response{Status: 200}, true},
		"401, a dead token":   {drivertest.Response{Status: 401}, true},
		"200 with an object":  {drivertest.Response{Body: "{}"}, false},
		"200 with a page":     {drivertest.Response{Body: pbxsim.HTMLPage}, false},
		"401 of a proxy":      {drivertest.Response{Status: 401, Header: http.Header{"Www-Authenticate": {"Basic"}}}, false},
		"403":                 {drivertest.Response{Status: 403}, false},
		"404":                 {drivertest.Response{Status: 404}, false},
		"500, unexpected one": {drivertest.Response{Status: 500}, false},
	} {
		server := drivertest.Responses(tt.response)
		err := on(t, server).Logout(t.Context(), &pbx.Token{Value: pbx.NewSecret(token)})
		if (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
		if sent := server.Sent()[0]; sent.Method != http.MethodDelete || sent.Path != "/rest/login" || sent.Header.Get("authToken") != token {
			t.Errorf("%s: sent %+v", name, sent)
		}
	}
}

func TestAPingIsProvenByAUser(t *testing.T) {
	for body, good := range map[string]bool{
		`{"id":2,"login":"0001"}`: true, `{"login":"0001"}`: true, `{"id":"2"}`: true,
		`{}`: false, `{"message":"no"}`: false, `[]`: false, "": false, pbxsim.HTMLPage: false, `"ok"`: false,
	} {
		err := on(t, drivertest.Bodies(body)).Ping(t.Context(), &pbx.Token{Value: pbx.NewSecret(token)})
		if (err == nil) != good || errors.Is(err, pbx.ErrTokenRejected) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestOfTheVendorsWordsOnlyOneLineIsTakenOver(t *testing.T) {
	body := `{"message":"first\nsecond ` + strings.Repeat("x", 1000) + `"}`
	err := on(t, drivertest.Responses(drivertest.Response{Status: 400, Body: body})).Ping(t.Context(), &pbx.Token{Value: pbx.NewSecret(token)})
	if text := err.Error(); strings.Contains(text, "\n") || len(text) > 500 || !strings.Contains(text, "first second") {
		t.Errorf("%q", text)
	}
}

// Whatever header a 401 has: a dead token is replaced, and a wrong password is
// recognised. It is sent twice, because a lock may look the same.
func TestAChallengeChangesNothing(t *testing.T) {
	for _, settings := range []starfacesim.Options{
		{WrongLogin: 401, Challenge: `Basic realm="STARFACE"`},
		{WrongLogin: 401, Challenge: "authToken", Body: starfacesim.NoBody},
		{WrongLogin: 401, Challenge: "Bearer", Body: starfacesim.TextBody},
	} {
		simulate(t, settings, nil, func(t *testing.T, s simulation) {
			live := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
			defer live.Close(t.Context())
			get := func() error {
				r, err := http.NewRequest(http.MethodGet, s.Server.URL+"/rest/users", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := live.Do(r)
				if err == nil {
					resp.Body.Close()
				}
				return err
			}
			for range 2 {
				if err := get(); err != nil {
					t.Errorf("%q: %v", settings.Challenge, err)
				}
				s.Restart()
			}
			s.SetPassword(user, "another")
			get()
			time.Sleep(24 * time.Hour)
			if err := get(); !errors.Is(err, pbx.ErrInvalidCredentials) {
				t.Errorf("%q: %v, want %v", settings.Challenge, err, pbx.ErrInvalidCredentials)
			}
			if c := s.Counts(); c.GoodLogins != 2 || c.WrongLogins != 2 {
				t.Errorf("%q: %d good logins and %d wrong ones, want 2 and 2", settings.Challenge, c.GoodLogins, c.WrongLogins)
			}
		})
	}
}

func TestALockThatOthersCausedEndsWithIt(t *testing.T) {
	simulate(t, starfacesim.Options{}, nil, func(t *testing.T, s simulation) {
		s.LockedByOthers(t, user, password)
	})
}
