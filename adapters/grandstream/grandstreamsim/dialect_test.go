package grandstreamsim_test

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	password = "cdrapi123"
	success  = `{"response":{},"status":0}`
	invalid  = `{"response":{"error_msg":"Invalid parameters!"},"status":-1}`
)

func failed(status int) string { return fmt.Sprintf(`{"response":{},"status":%d}`, status) }

// inMemory gives f a UCM with one API user, in virtual time.
func inMemory(t *testing.T, settings grandstreamsim.Options, opts pbxsim.Options, f func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server)) {
	t.Helper()
	opts.Accounts = map[string]string{"cdrapi": password, `o"brien`: "пароль"}
	drivertest.InMemory(t, func() *pbxsim.PBX { return grandstreamsim.New(&settings, &opts) }, f)
}

// ask sends {"request":{…}}, and returns the answer.
func ask(t *testing.T, s *pbxsim.Server, fields string) string {
	t.Helper()
	resp, got := drivertest.Send(t, s, "POST", "/api", `{"request":{`+fields+`}}`)
	if resp.StatusCode != 200 {
		t.Errorf("%s: HTTP status %d, want 200 as always", fields, resp.StatusCode)
	}
	return got
}

// challenge returns the text that the UCM gives a user.
func challenge(t *testing.T, s *pbxsim.Server, user string) string {
	t.Helper()
	got := ask(t, s, fmt.Sprintf(`"action":"challenge","user":%q,"version":"1.0"`, user))
	m := regexp.MustCompile(`^{"response":{"challenge":"(\d{16})"},"status":0}$`).FindStringSubmatch(got)
	if m == nil {
		t.Fatalf("challenge: %s", got)
	}
	return m[1]
}

func proof(challenge, password string) string {
	return fmt.Sprintf("%x", md5.Sum([]byte(challenge+password)))
}

func answer(user, token string) string {
	return fmt.Sprintf(`"action":"login","user":%q,"token":%q`, user, token)
}

var cookies = regexp.MustCompile(`^{"response":{"cookie":"(sid\d{9}-\d+)"},"status":0}$`)

func login(t *testing.T, s *pbxsim.Server) string {
	t.Helper()
	got := ask(t, s, answer("cdrapi", proof(challenge(t, s, "cdrapi"), password)))
	m := cookies.FindStringSubmatch(got)
	if m == nil {
		t.Fatalf("login: %s", got)
	}
	return m[1]
}

// The samples' requests are answered with the samples' answers.
func TestTheSamples(t *testing.T) {
	const sample = "sid1616565943-1653038164"
	inMemory(t, grandstreamsim.Options{}, pbxsim.Options{NewToken: func() string { return sample }}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		var text string
		for _, name := range []string{"login-1-challenge", "login-2-login", "keepalive", "call", "logout", "cookie-error"} {
			x, err := golden.Load("../testdata/golden/" + name + ".http")
			if err != nil {
				t.Fatal(err)
			}
			body := x.Request.Body
			if name == "login-2-login" {
				body = regexp.MustCompile(`"token":"[0-9a-f]{32}"`).ReplaceAllString(body, `"token":"`+proof(text, password)+`"`)
			}
			resp, got := drivertest.Send(t, s, "POST", "/api", body)
			if m := regexp.MustCompile(`"challenge":"(\d+)"`).FindStringSubmatch(got); m != nil {
				text = m[1]
				got = strings.ReplaceAll(got, text, "0000001652831717")
			}
			if diff := cmp.Diff(x.Response.Body, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			if kind := resp.Header.Get("Content-Type"); kind != x.Response.Header.Get("Content-Type") {
				t.Errorf("%s: a %s", name, kind)
			}
		}
	})
}

func TestRequestsThatAreNone(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"nothing", "", invalid},
		{"a form", "action=challenge", invalid},
		{"no envelope", `{"action":"challenge","user":"cdrapi","version":"1.0"}`, invalid},
		{"a list", `[{"request":{"action":"challenge"}}]`, invalid},
		{"a request that is none", `{"request":"challenge"}`, invalid},
		{"no action", `{"request":{"user":"cdrapi"}}`, invalid},
		{"an action in capitals", `{"request":{"Action":"challenge"}}`, invalid},
		{"a number for an action", `{"request":{"action":1}}`, invalid},
		{"no user", `{"request":{"action":"challenge","version":"1.0"}}`, invalid},
		{"no version", `{"request":{"action":"challenge","user":"cdrapi"}}`, invalid},
		{"a login without a user", `{"request":{"action":"login","token":"x"}}`, invalid},
		{"a login without a token", `{"request":{"action":"login","user":"cdrapi"}}`, invalid},
		{"no cookie", `{"request":{"action":"listAccount"}}`, failed(-5)},
		{"a cookie elsewhere", `{"cookie":"sid1","request":{"action":"listAccount"}}`, failed(-5)},
		{"an unknown cookie", `{"request":{"action":"listAccount","cookie":"sid1"}}`, failed(-6)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, grandstreamsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
				if resp, got := drivertest.Send(t, s, "POST", "/api", tt.body); got != tt.want || resp.StatusCode != 200 {
					t.Errorf("HTTP status %d, %s, want %s", resp.StatusCode, got, tt.want)
				}
				if got := p.Counts().WrongLogins; got != 0 {
					t.Errorf("%d wrong logins", got)
				}
			})
		})
	}
}

func TestOnlyPOSTToTheAPIIsServed(t *testing.T) {
	inMemory(t, grandstreamsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		for target, want := range map[string]int{"POST /": 404, "POST /api/": 404, "POST /api/challenge": 404, "POST /cgi": 404, "GET /api": 405, "PUT /api": 405} {
			method, path, _ := strings.Cut(target, " ")
			if resp, _ := drivertest.Send(t, s, method, path, `{"request":{"action":"challenge","user":"cdrapi","version":"1.0"}}`); resp.StatusCode != want {
				t.Errorf("%s: HTTP status %d, want %d", target, resp.StatusCode, want)
			}
		}
	})
}

func TestALoginRespondsToItsOwnChallenge(t *testing.T) {
	const wrong = -37
	inMemory(t, grandstreamsim.Options{}, pbxsim.Options{Lockout: pbxsim.Lockout{After: -1}}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		check := func(name, user, token string, good bool) {
			t.Helper()
			if got := ask(t, s, answer(user, token)); cookies.MatchString(got) != good || !good && got != failed(wrong) {
				t.Errorf("%s: %s", name, got)
			}
		}
		text := challenge(t, s, "cdrapi")
		check("of another password", "cdrapi", proof(text, "another"), false)
		check("of the password alone", "cdrapi", proof("", password), false)
		check("the other way round", "cdrapi", proof(password, text), false)
		check("the password itself", "cdrapi", password, false)
		check("in capitals", "cdrapi", strings.ToUpper(proof(text, password)), false)
		check("of another user", `o"brien`, proof(text, "пароль"), false)
		check("of nobody", "nobody", proof(challenge(t, s, "nobody"), password), false)
		check("right", "cdrapi", proof(text, password), true)
		check("right again", "cdrapi", proof(text, password), false)
		check("of any text", `o"brien`, proof(challenge(t, s, `o"brien`), "пароль"), true)

		first, second := challenge(t, s, "cdrapi"), challenge(t, s, "cdrapi")
		check("the newest", "cdrapi", proof(second, password), true)
		time.Sleep(24 * time.Hour)
		check("an older one", "cdrapi", proof(first, password), true)
	})
	inMemory(t, grandstreamsim.Options{NewestOnly: true, ChallengeLifetime: time.Minute, WrongLogin: -71}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		first, second := challenge(t, s, "cdrapi"), challenge(t, s, "cdrapi")
		if got := ask(t, s, answer("cdrapi", proof(first, password))); got != failed(-71) {
			t.Errorf("an older one: %s", got)
		}
		time.Sleep(time.Minute)
		if got := ask(t, s, answer("cdrapi", proof(second, password))); got != failed(-71) {
			t.Errorf("an expired one: %s", got)
		}
		login(t, s)
	})
}

func TestTheFifthWrongLoginBansForFiveMinutes(t *testing.T) {
	for _, atChallenge := range []bool{false, true} {
		inMemory(t, grandstreamsim.Options{BanAtChallenge: atChallenge}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			cookie := login(t, s)
			for range 5 {
				if got := ask(t, s, answer("cdrapi", "x")); got != failed(-37) {
					t.Errorf("%s, want %s", got, failed(-37))
				}
			}
			time.Sleep(5*time.Minute - time.Nanosecond)
			if got := ask(t, s, answer("cdrapi", "x")); got != failed(-68) {
				t.Errorf("%s, want %s", got, failed(-68))
			}
			got := ask(t, s, `"action":"challenge","user":"cdrapi","version":"1.0"`)
			if banned := got == failed(-68); banned != atChallenge {
				t.Errorf("the challenge: %s", got)
			}
			if got := ask(t, s, `"action":"getSystemStatus","cookie":"`+cookie+`"`); got != success {
				t.Errorf("a cookie from before: %s", got)
			}
			time.Sleep(time.Nanosecond)
			login(t, s)
		})
	}
}

func TestACookieSlidesWithEveryCall(t *testing.T) {
	inMemory(t, grandstreamsim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		cookie := login(t, s)
		use := func(action string) string { return ask(t, s, `"action":"`+action+`","cookie":"`+cookie+`"`) }
		for action, want := range map[string]string{"getSystemStatus": success, "getSystemGeneralStatus": success, "anything": failed(-19)} {
			for range 3 {
				time.Sleep(10*time.Minute - time.Nanosecond)
				if got := use(action); got != want {
					t.Fatalf("%s: %s", action, got)
				}
			}
		}
		time.Sleep(10 * time.Minute)
		if got := use("listAccount"); got != failed(-6) {
			t.Errorf("after ten minutes: %s", got)
		}
		cookie = login(t, s)
		if got := use("logout"); got != success {
			t.Errorf("logout: %s", got)
		}
		if got := use("logout"); got != failed(-6) {
			t.Errorf("logout again: %s", got)
		}
		cookie = login(t, s)
		p.Restart()
		if got := use("getSystemStatus"); got != failed(-6) {
			t.Errorf("after a restart: %s", got)
		}
	})
	inMemory(t, grandstreamsim.Options{Fixed: true, DeadCookie: -5, NoLogout: true, StatusInString: true, KeepAlive: "listAccount"}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		text := regexp.MustCompile(`\d{16}`).FindString(ask(t, s, `"action":"challenge","user":"cdrapi","version":"1.0"`))
		cookie := regexp.MustCompile(`sid\d+-\d+`).FindString(ask(t, s, answer("cdrapi", proof(text, password))))
		use := func(action, want string) {
			t.Helper()
			if got := ask(t, s, `"action":"`+action+`","cookie":"`+cookie+`"`); got != want {
				t.Errorf("%s: %s, want %s", action, got, want)
			}
		}
		use("logout", `{"response":{"error_msg":"Invalid parameters!"},"status":"-1"}`)
		time.Sleep(10*time.Minute - time.Nanosecond)
		use("listAccount", `{"response":{},"status":"0"}`)
		time.Sleep(time.Nanosecond)
		use("listAccount", `{"response":{},"status":"-5"}`)
		use("logout", `{"response":{},"status":"-5"}`)
		if counts := p.Counts(); counts.KeepAlives != 2 || counts.Logouts != 2 {
			t.Errorf("%d keep-alives, %d logouts", counts.KeepAlives, counts.Logouts)
		}
	})
}

// Where a ban is stated at the challenge, it is also mute there, or looks like
// nothing.
func TestABanAtTheChallengeHasTheLocksResponse(t *testing.T) {
	for response, want := range map[pbxsim.LockResponse]error{
		pbxsim.Stated: nil, pbxsim.LooksWrong: nil, pbxsim.Mute: context.DeadlineExceeded, pbxsim.ResetConnection: syscall.ECONNRESET,
	} {
		opts := pbxsim.Options{Lockout: pbxsim.Lockout{Response: response}}
		inMemory(t, grandstreamsim.Options{BanAtChallenge: true}, opts, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			p.Lock("127.0.0.1")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			body := strings.NewReader(`{"request":{"action":"challenge","user":"cdrapi","version":"1.0"}}`)
			req, _ := http.NewRequestWithContext(ctx, "POST", s.URL+"/api", body)
			resp, err := s.Client().Do(req)
			if !errors.Is(err, want) {
				t.Fatalf("response %d: %v, want %v", response, err, want)
			}
			if err != nil {
				return
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			if banned := string(text) == failed(-68); banned != (response == pbxsim.Stated) {
				t.Errorf("response %d: %s", response, text)
			}
		})
	}
}
