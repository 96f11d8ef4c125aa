package mikopbx_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/mikopbx"
	"github.com/pbxauth/pbx/adapters/mikopbx/mikopbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

func TestALoginBringsATokenAndACookie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			body, cookie, refresh string
			life                  time.Duration
			details               string
		}{
			"as the source has it":      {accepted, "refreshToken=" + cookie + "; path=/; HttpOnly; SameSite=Strict", cookie, 900 * time.Second, `{"expiresIn":900,"login":"admin","tokenType":"Bearer"}`},
			"a cookie with odd signs":   {accepted, "refreshToken=a%3Db==; path=/", "a%3Db==", 900 * time.Second, `{"expiresIn":900,"login":"admin","tokenType":"Bearer"}`},
			"a cookie in quotes":        {accepted, `refreshToken="a b"; path=/`, `"a b"`, 900 * time.Second, `{"expiresIn":900,"login":"admin","tokenType":"Bearer"}`},
			"no cookie":                 {accepted, "other=1", "", 900 * time.Second, `{"expiresIn":900,"login":"admin","tokenType":"Bearer"}`},
			"an empty cookie":           {accepted, "refreshToken=; path=/", "", 900 * time.Second, `{"expiresIn":900,"login":"admin","tokenType":"Bearer"}`},
			"another lifetime":          {`{"result":true,"data":{"accessToken":"` + token + `","expiresIn":"60"}}`, "", "", time.Minute, `{"expiresIn":"60"}`},
			"no lifetime":               {`{"result":true,"data":{"accessToken":"` + token + `"}}`, "", "", 900 * time.Second, ""},
			"a lifetime without sense":  {`{"result":true,"data":{"accessToken":"` + token + `","expiresIn":-1}}`, "", "", 900 * time.Second, `{"expiresIn":-1}`},
			"a lifetime in ms":          {`{"result":true,"data":{"accessToken":"` + token + `","expiresIn":900000}}`, "", "", 900 * time.Second, `{"expiresIn":900000}`},
			"a lifetime of three lives": {`{"result":true,"data":{"accessToken":"` + token + `","expiresIn":99999999999}}`, "", "", 900 * time.Second, `{"expiresIn":99999999999}`},
		} {
			server := drivertest.Responses(drivertest.Response{Header: http.Header{"Set-Cookie": {tt.cookie}}, Body: tt.body})
			got, err := on(t, server).Login(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want := &pbx.Token{Value: pbx.NewSecret(token), Refresh: pbx.NewSecret(tt.refresh), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(tt.life)}
			if tt.refresh != "" {
				want.RefreshExpiresAt = time.Now().Add(30 * 24 * time.Hour)
			}
			if tt.details != "" {
				want.Details = []byte(tt.details)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			sent := server.Sent()[0]
			if sent.Method != "POST" || sent.Path != "/pbxcore/api/v3/auth:login" || sent.Header.Get("Content-Type") != "application/json" ||
				sent.Body != `{"login":"admin","password":"s3cret-password","rememberMe":true}` {
				t.Errorf("%s: sent %+v", name, sent)
			}
		}
	})
}

func TestAWrongPasswordIsSentOnce(t *testing.T) {
	for language, length := range map[string]int{"": 208, "ru": 173} {
		simulate(t, mikopbxsim.Options{Language: language}, func(c *mikopbx.Config) { c.Password = pbx.NewSecret("wrong") }, func(t *testing.T, s simulation) {
			token, err := s.Driver.Login(t.Context())
			want := &pbx.Error{
				Driver: "mikopbx", Op: pbx.OpLogin, Kind: pbx.ErrInvalidCredentials, HTTPStatus: 401, Length: length, Sent: true,
				Message: "wrong login or password",
			}
			if diff := cmp.Diff(want, failure(t, err)); diff != "" || token != nil {
				t.Errorf("token %v, error (-want +got):\n%s", token, diff)
			}
			if counts := s.Counts(); counts.WrongLogins != 1 || counts.Requests != 1 {
				t.Errorf("%d requests, %d wrong logins", counts.Requests, counts.WrongLogins)
			}
		})
	}
}

// JSON would carry another one.
func TestAPasswordThatCanNeverBeRightIsNotSent(t *testing.T) {
	open := func(cfg pbx.Config) (pbx.Authenticator, error) { return mikopbx.New(mikopbx.Config{Config: cfg}) }
	for setting, account := range map[string]pbx.Credentials{
		"Password": {Username: user, Password: pbx.NewSecret("a\xffb")},
		"Username": {Username: "a\xffb", Password: pbx.NewSecret(password)},
	} {
		cfg := pbx.Config{URL: "https://pbx.example.com", Transport: drivertest.Unsent{T: t}}
		drivertest.Impossible(t, mikopbx.Name, open, cfg, account, setting, "not UTF-8")
	}
}

// The PBX changes some passwords when they are set, and in the same way when they are
// compared, so that each logs in as it was typed.
func TestAPasswordLogsInAsItWasTyped(t *testing.T) {
	for typed, stored := range map[string]string{
		"a<b>c": "a<b>c", "a<b": "a<b", "a < b <c": "a < b <c", "a > b": "a > b", `q"uo'te\ &=+%41?#/;{j}:@`: `q"uo'te\ &=+%41?#/;{j}:@`,
		"пароль 漢🙂": "пароль 漢🙂", "in ner": "in ner", "xhttp é": "xhttp é", "<\tx": "<\tx",
		" blank": "blank", "blank ": "blank", "\ttab": "tab",
		"http": "http", "https://<secret>": "https://<secret>", "http secret ": "httpsecret", "Http é": "Http",
	} {
		simulate(t, mikopbxsim.Options{}, func(c *mikopbx.Config) { c.Password = pbx.NewSecret(typed) }, func(t *testing.T, s simulation) {
			s.SetPassword(user, stored)
			if _, err := s.Driver.Login(t.Context()); err != nil {
				t.Errorf("%q: %v", typed, err)
			}
		})
	}
}

// The PBX counts in windows of 300 s of its own clock, whenever the wrong logins
// were in it.
func TestALockEndsWithTheWindowByThePBXsClock(t *testing.T) {
	for _, at := range []time.Duration{0, time.Second, 90*time.Second + 500*time.Millisecond, 299 * time.Second, 300 * time.Second, 301 * time.Second} {
		simulate(t, mikopbxsim.Options{}, nil, func(t *testing.T, s simulation) {
			time.Sleep(at)
			s.SetPassword(user, "another")
			for range 10 {
				if _, err := s.Driver.Login(t.Context()); failure(t, err).Kind != pbx.ErrInvalidCredentials {
					t.Errorf("%v", err)
				}
			}
			s.SetPassword(user, password)
			_, err := s.Driver.Login(t.Context())
			got := failure(t, err)
			until, locked := s.Locked("127.0.0.1")
			if !locked || got.Kind != pbx.ErrLocked || got.RetryAfter < time.Until(until) || got.RetryAfter >= time.Until(until)+time.Second {
				t.Errorf("after %s: %v, retry after %s, and the lock ends in %s", at, err, got.RetryAfter, time.Until(until))
			}
			time.Sleep(got.RetryAfter)
			s.Login(t)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		const locked = `{"result":false,"data":[],"messages":{"error":["x"]}}`
		for name, tt := range map[string]struct {
			header http.Header
			want   time.Duration
		}{
			"no Date":                   {nil, 300 * time.Second},
			"a Date that is odd":        {http.Header{"Date": {"now"}}, 300 * time.Second},
			"the beginning of a window": {http.Header{"Date": {"Mon, 13 Apr 2026 10:05:00 GMT"}}, 300 * time.Second},
			"the end of a window":       {http.Header{"Date": {"Mon, 13 Apr 2026 10:09:59 GMT"}}, time.Second},
			"a Retry-After":             {http.Header{"Date": {"Mon, 13 Apr 2026 10:09:59 GMT"}, "Retry-After": {"7"}}, 7 * time.Second},
		} {
			_, err := on(t, drivertest.Responses(drivertest.Response{Status: 429, Header: tt.header, Body: locked})).Login(t.Context())
			if got := failure(t, err); got.Kind != pbx.ErrLocked || got.RetryAfter != tt.want {
				t.Errorf("%s: %v, retry after %s, want %s", name, err, got.RetryAfter, tt.want)
			}
		}
	})
}

// fail2ban counts the same logins: 20 in 600 s ban the address. The budget of a
// session's Guard keeps below both limits, whatever the windows.
func TestSessionsStayBelowFail2banToo(t *testing.T) {
	fail2ban := pbxsim.Lockout{After: 20, For: 10 * time.Minute, Memory: pbxsim.SlidingWindow, Window: 10 * time.Minute, Response: pbxsim.Mute, Covers: pbxsim.Everything}
	opts := pbxsim.Options{Accounts: map[string]string{user: "another"}, Lockout: fail2ban}
	drivertest.InMemory(t, func() *pbxsim.PBX { return mikopbxsim.New(nil, &opts) }, func(t *testing.T, sim *pbxsim.PBX, server *pbxsim.Server) {
		guard := new(session.Guard)
		for i := range 40 {
			driver, err := mikopbx.New(mikopbx.Config{Config: pbx.Config{URL: server.URL, Username: user, Password: pbx.NewSecret("guess " + string(rune('A'+i))), Transport: server.Client().Transport}})
			if err != nil {
				t.Fatal(err)
			}
			kept := session.New(driver, &session.Options{Guard: guard})
			defer kept.Close(context.Background())
		}
		time.Sleep(8 * time.Hour)
		if counts := sim.Counts(); counts.Locks != 0 || counts.WrongLogins < 10 {
			t.Errorf("%d locks after %d wrong logins", counts.Locks, counts.WrongLogins)
		}
	})
}

// PHP programs delete a cookie before they set it anew.
func TestTheLastCookieCountsAndADeletedOneDoesNot(t *testing.T) {
	const deleted = "refreshToken=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/"
	for name, tt := range map[string]struct {
		cookies []string
		want    string
	}{
		"deleted, and set":           {[]string{deleted, "refreshToken=a; path=/"}, "a"},
		"only deleted":               {[]string{deleted}, ""},
		"deleted by Max-Age":         {[]string{"refreshToken=deleted; Max-Age=0"}, ""},
		"set twice":                  {[]string{"refreshToken=a", "refreshToken=b"}, "b"},
		"of a PBX with a dead clock": {[]string{"refreshToken=a; expires=Sat, 31 Jan 1970 00:00:00 GMT"}, "a"},
	} {
		server := drivertest.Responses(drivertest.Response{Header: http.Header{"Set-Cookie": tt.cookies}, Body: accepted})
		got, err := on(t, server).Login(t.Context())
		if err != nil || got.Refresh.Reveal() != tt.want {
			t.Errorf("%s: %q, %v, want %q", name, got.Refresh.Reveal(), err, tt.want)
		}
	}
}
