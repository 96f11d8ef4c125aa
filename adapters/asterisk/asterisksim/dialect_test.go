package asterisksim_test

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const secret = "s3cret pässword"

// inMemory gives f an Asterisk with the users of testdata/real, in virtual time.
func inMemory(t *testing.T, settings asterisksim.Options, opts pbxsim.Options, f func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server)) {
	t.Helper()
	opts.Accounts = map[string]string{"crm": secret, "single": secret, "denied": secret}
	drivertest.InMemory(t, func() *pbxsim.PBX { return asterisksim.New(&settings, &opts) }, f)
}

// reply is an answer, read to its end.
type reply struct {
	*http.Response
	body string
	id   string // the session's that it sets
	took time.Duration
}

// send sends a request as it is given; an empty cookie sends none.
func send(t *testing.T, s *pbxsim.Server, method, target, cookie, contentType, body string) reply {
	t.Helper()
	var header []string
	if contentType != "" {
		header = append(header, "Content-Type", contentType)
	}
	if cookie != "" {
		header = append(header, "Cookie", cookie)
	}
	start := time.Now()
	resp, text := drivertest.Send(t, s, method, target, body, header...)
	got := reply{resp, text, "", time.Since(start)}
	if m := regexp.MustCompile(`^mansession_id="([0-9a-f]{8})"; Version=1; Max-Age=\d+$`).FindStringSubmatch(resp.Header.Get("Set-Cookie")); m != nil {
		got.id = m[1]
	}
	if (got.id != "") != (resp.StatusCode == 200) {
		t.Errorf("HTTP status %d sets the cookie %q", resp.StatusCode, resp.Header.Get("Set-Cookie"))
	}
	return got
}

const form = "application/x-www-form-urlencoded"

// post sends a form in the session id; empty: in none.
func post(t *testing.T, s *pbxsim.Server, id, params string) reply {
	t.Helper()
	if id != "" {
		id = "mansession_id=" + id
	}
	return send(t, s, "POST", "/rawman", id, form, params)
}

func login(t *testing.T, s *pbxsim.Server) string {
	t.Helper()
	got := post(t, s, "", "Action=Login&Username=crm&Secret="+url.QueryEscape(secret))
	if got.body != accepted {
		t.Fatalf("login: %s", got.body)
	}
	return got.id
}

// challenge returns a session that is not logged in, and the key for it.
func challenge(t *testing.T, s *pbxsim.Server, secret string) (id, key string) {
	t.Helper()
	got := post(t, s, "", "Action=Challenge&AuthType=MD5")
	m := regexp.MustCompile(`^Response: Success\r\nChallenge: (\d+)\r\n\r\n$`).FindStringSubmatch(got.body)
	if m == nil {
		t.Fatalf("challenge: %q", got.body)
	}
	return got.id, fmt.Sprintf("%x", md5.Sum([]byte(m[1]+secret)))
}

const (
	accepted = "Response: Success\r\nMessage: Authentication accepted\r\n\r\n"
	goodbye  = "Response: Goodbye\r\nMessage: Thanks for all the fish.\r\n\r\n"
)

func failed(message string) string { return "Response: Error\r\nMessage: " + message + "\r\n\r\n" }

// Asterisk 22.10.1 was asked the recorded requests; this one answers the same,
// but for the moment, the challenge and the ids.
func TestTheRecordedRequestsGetTheRecordedResponses(t *testing.T) {
	inMemory(t, asterisksim.Options{}, pbxsim.Options{Lifetime: 20 * time.Second}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		var id, key string
		play := func(name string) reply {
			t.Helper()
			x, err := golden.Load("../testdata/golden/" + name + ".http")
			if err != nil {
				t.Fatal(err)
			}
			cookie := x.Request.Header.Get("Cookie")
			body := x.Request.Body
			if cookie != "" {
				cookie = "mansession_id=" + id
				body = regexp.MustCompile(`Key=[0-9a-f]{32}`).ReplaceAllString(body, "Key="+key)
			}
			_, target, _ := strings.Cut(x.Request.Line, " ")
			target, _, _ = strings.Cut(target, " ")
			got := send(t, s, "POST", target, cookie, x.Request.Header.Get("Content-Type"), body)

			moment := regexp.MustCompile(`(Challenge|Timestamp): [\d.]+`)
			want := moment.ReplaceAllString(strings.ReplaceAll(x.Response.Body, "\n", "\r\n"), "$1: …")
			if diff := cmp.Diff(want, moment.ReplaceAllString(got.body, "$1: …")); diff != "" {
				t.Errorf("%s: body (-want +got):\n%s", name, diff)
			}
			head := got.Header.Clone()
			head.Del("Content-Length")
			for _, h := range []http.Header{head, x.Response.Header} {
				h.Del("Date")
				if h.Get("Set-Cookie") != "" {
					h.Set("Set-Cookie", regexp.MustCompile(`"[0-9a-f]{8}"`).ReplaceAllString(h.Get("Set-Cookie"), `"…"`))
				}
			}
			if diff := cmp.Diff(x.Response.Header, head); diff != "" {
				t.Errorf("%s: header (-want +got):\n%s", name, diff)
			}
			if line := fmt.Sprintf("HTTP/1.1 %s", got.Status); line != x.Response.Line {
				t.Errorf("%s: %s, want %s", name, line, x.Response.Line)
			}
			return got
		}
		begin := func(name, secret string) {
			t.Helper()
			id, key = challenge(t, s, secret)
			if again := play(name).id; again == id {
				t.Errorf("%s: two sessions have the same id", name)
			}
		}
		same := func(name string) {
			t.Helper()
			if got := play(name); got.id != id {
				t.Errorf("%s: the id %s, want %s as sent", name, got.id, id)
			}
		}
		begin("login-1-challenge", secret)
		same("login-2-login")
		same("ping")
		same("not-permitted")
		same("logoff")
		if got := play("session-gone"); got.id == id {
			t.Error("session-gone: the id is that of the session that is gone")
		}
		begin("wrong-1-challenge", "wrong")
		same("wrong-2-login")
		play("not-found")
	})
	inMemory(t, asterisksim.Options{SingleLogin: true}, pbxsim.Options{Lifetime: 20 * time.Second}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		id, key := challenge(t, s, secret)
		post(t, s, "", "Action=Login&Username=single&Secret="+url.QueryEscape(secret))
		if got := post(t, s, id, "Action=Login&AuthType=MD5&Username=single&Key="+key); got.body != failed("Login Already In Use") || got.id != id {
			t.Errorf("%q", got.body)
		}
	})
}

func TestALoginIsReadAsAsteriskReadsIt(t *testing.T) {
	tests := []struct{ name, params, want string }{
		{"right", "Action=Login&Username=crm&Secret=s3cret+p%C3%A4ssword", accepted},
		{"percent for plus", "Action=Login&Username=crm&Secret=s3cret%20p%c3%a4ssword", accepted},
		{"names in any case", "ACTION=login&userNAME=Crm&SECRET=s3cret+p%C3%A4ssword", accepted},
		{"a repeated parameter", "Action=Login&Username=x&Username=crm&Secret=y&Secret=s3cret+p%C3%A4ssword", accepted},
		{"a repeated action", "Action=&Action=Login&Action=Ping&Username=crm&Secret=s3cret+p%C3%A4ssword", accepted},
		{"the last one wrong", "Action=Login&Username=crm&Secret=s3cret+p%C3%A4ssword&Secret=y", failed("Authentication failed")},
		{"blanks before the secret", "Action=Login&Username=crm&Secret=+%09%0D%0As3cret+p%C3%A4ssword", accepted},
		{"a blank behind it", "Action=Login&Username=crm&Secret=s3cret+p%C3%A4ssword+", failed("Authentication failed")},
		{"another case", "Action=Login&Username=crm&Secret=S3cret+p%C3%A4ssword", failed("Authentication failed")},
		{"an unknown user", "Action=Login&Username=nobody&Secret=s3cret+p%C3%A4ssword", failed("Authentication failed")},
		{"a user whom an ACL stops", "Action=Login&Username=DENIED&Secret=s3cret+p%C3%A4ssword", failed("Authentication failed")},
		{"no secret", "Action=Login&Username=crm", failed("Authentication failed")},
		{"a key without a challenge", "Action=Login&AuthType=MD5&Username=crm&Key=" + fmt.Sprintf("%x", md5.Sum([]byte(secret))), failed("Authentication failed")},
		{"events", "Action=Login&Username=crm&Secret=s3cret+p%C3%A4ssword&Events=on",
			accepted + "Event: FullyBooted\r\nPrivilege: system,all\r\nUptime: 113\r\nLastReload: 62\r\nStatus: Fully Booted\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, asterisksim.Options{UsersDenied: []string{"denied"}}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
				got := post(t, s, "", tt.params)
				if diff := cmp.Diff(tt.want, got.body); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				wrong, took := 0, time.Duration(0)
				if tt.want == failed("Authentication failed") {
					wrong, took = 1, time.Second
				}
				if counts := p.Counts(); counts.WrongLogins != wrong || counts.GoodLogins != 1-wrong || got.took != took {
					t.Errorf("%d good and %d wrong logins in %s", counts.GoodLogins, counts.WrongLogins, got.took)
				}
			})
		})
	}
}

func TestAKeyRespondsToTheChallengeOfItsSession(t *testing.T) {
	inMemory(t, asterisksim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		check := func(name, id, params, want string) {
			t.Helper()
			if got := post(t, s, id, params); got.body != want {
				t.Errorf("%s: %q, want %q", name, got.body, want)
			}
		}
		with := func(key string) string { return "Action=Login&AuthType=MD5&Username=crm&Key=" + key }
		no := failed("Authentication failed")

		id, key := challenge(t, s, secret)
		check("in capitals", id, with(strings.ToUpper(key)), no)
		check("right, but the session is gone", id, with(key), no)
		id, key = challenge(t, s, "another")
		check("of another secret", id, with(key), no)
		id, key = challenge(t, s, secret)
		check("in no session", "", with(key), no)
		check("in another session", login(t, s), with(key), "Response: Success\r\nMessage: Already authenticated\r\n\r\n")
		check("in its own", id, "AuthType=md5&"+with(key), accepted)

		id, key = challenge(t, s, secret)
		time.Sleep(5*time.Second - time.Nanosecond)
		check("just in time", id, with(key), accepted)
		id, key = challenge(t, s, secret)
		time.Sleep(5 * time.Second)
		check("too late", id, with(key), no)
		again := "Action=Challenge&AuthType=MD5"
		id, _ = challenge(t, s, secret)
		check("asked for again", id, again, post(t, s, id, again).body) // the same
		check("of what type?", id, "Action=Challenge", failed("Must specify AuthType"))
	})
}

func TestTheResponseOfASessionThatIsGoneHasAnotherID(t *testing.T) {
	inMemory(t, asterisksim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		id := login(t, s)
		check := func(name, id, params, want string, same bool) {
			t.Helper()
			got := post(t, s, id, params)
			if got.body != want || (got.id == id) != same {
				t.Errorf("%s: %q, same id %v; want %q, %v", name, got.body, got.id == id, want, same)
			}
		}
		denied := failed("Permission denied")
		check("not permitted", id, "Action=Command", denied, true)
		check("unknown", id, "Action=x%0D%0Ay", failed("Invalid/unknown command: x\r\ny. Use Action: ListCommands to show available commands."), true)
		check("no action", id, "", failed("Missing action in request"), true)
		check("another user, any secret", id, "Action=Login&Username=nobody&Secret=x", "Response: Success\r\nMessage: Already authenticated\r\n\r\n", true)
		check("logoff", id, "Action=Logoff", goodbye, true)
		check("logoff again", id, "Action=Logoff", goodbye, false)
		check("ping", id, "Action=Ping", denied, false)
		check("command", id, "Action=Command", denied, false)
		check("unknown", id, "Action=x", denied, false)
		check("no session", "", "Action=Ping", denied, false)

		stray := post(t, s, "", "Action=Ping").id
		check("that of an error", stray, "Action=Ping", denied, true)
		time.Sleep(5 * time.Second)
		check("that of an error, later", stray, "Action=Ping", denied, false)

		id = login(t, s)
		p.Restart()
		check("after a restart", id, "Action=Ping", denied, false)
	})
}

func TestOfSeveralCookiesTheLastCounts(t *testing.T) {
	inMemory(t, asterisksim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		id := login(t, s)
		for cookie, alive := range map[string]bool{
			"mansession_id=" + id:                              true,
			`mansession_id="` + id + `"`:                       true,
			"MANSESSION_ID=" + strings.ToUpper(id):             true,
			"a=b; mansession_id=" + id + "; c=d":               true,
			"mansession_id=deadbeef; mansession_id=" + id:      true,
			"mansession_id=" + id + "; mansession_id=deadbeef": false,
			"mansession_id=0" + id:                             true,
			"session_id=" + id:                                 false,
		} {
			got := send(t, s, "POST", "/rawman", cookie, form, "Action=Ping")
			if (got.id == id) != alive || strings.HasPrefix(got.body, "Response: Success\r\nPing: Pong\r\nTimestamp: ") != alive {
				t.Errorf("%s: %q", cookie, got.body)
			}
		}
	})
}

func TestTheLifetimeSlidesWithEveryRequest(t *testing.T) {
	for _, params := range []string{"Action=Ping", "Action=ListCommands", "Action=Command", "Action=x", "Action=Login"} {
		inMemory(t, asterisksim.Options{}, pbxsim.Options{Lifetime: 20 * time.Second}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			got := post(t, s, "", "Action=Login&Username=crm&Secret="+url.QueryEscape(secret))
			if cookie := got.Header.Get("Set-Cookie"); !strings.HasSuffix(cookie, "; Max-Age=20") {
				t.Errorf("cookie %s", cookie)
			}
			for range 5 {
				time.Sleep(20*time.Second - time.Nanosecond)
				if again := post(t, s, got.id, params); again.id != got.id {
					t.Fatalf("%s: the session is gone", params)
				}
			}
			time.Sleep(20 * time.Second)
			if again := post(t, s, got.id, params); again.id == got.id {
				t.Errorf("%s: the session lives on", params)
			}
		})
	}
	for life, want := range map[time.Duration]string{time.Millisecond: "1", time.Second: "1", 3500 * time.Millisecond: "3", time.Hour: "3600"} {
		inMemory(t, asterisksim.Options{}, pbxsim.Options{Lifetime: life}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			if cookie := post(t, s, "", "Action=Ping").Header.Get("Set-Cookie"); !strings.HasSuffix(cookie, "; Max-Age="+want) {
				t.Errorf("a life of %s: %s", life, cookie)
			}
		})
	}
}

func TestOneSessionPerUser(t *testing.T) {
	inMemory(t, asterisksim.Options{SingleLogin: true}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		id := login(t, s)
		busy := failed("Login Already In Use")
		for _, params := range []string{
			"Action=Login&Username=CRM&Secret=" + url.QueryEscape(secret),
			"Action=Login&Username=crm&Secret=wrong",
			"Action=Challenge&AuthType=MD5&Username=crm",
		} {
			if got := post(t, s, "", params); got.body != busy || got.took != time.Second {
				t.Errorf("%s: %q after %s", params, got.body, got.took)
			}
		}
		if counts := p.Counts(); counts.WrongLogins != 0 {
			t.Errorf("%d wrong logins: the secret is not looked at", counts.WrongLogins)
		}
		for _, params := range []string{"Action=Login&Username=single&Secret=" + url.QueryEscape(secret), "Action=Challenge&AuthType=MD5"} {
			if got := post(t, s, "", params); !strings.HasPrefix(got.body, "Response: Success\r\n") {
				t.Errorf("%s: %q", params, got.body)
			}
		}
		post(t, s, id, "Action=Logoff")
		login(t, s)
		time.Sleep(time.Minute)
		login(t, s)
	})
}

func TestAnActionIDComesBackRaw(t *testing.T) {
	inMemory(t, asterisksim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		got := post(t, s, "", "Action=Ping&ActionID=7%0D%0AResponse:%20Success")
		if want := "Response: Error\r\nActionID: 7\r\nResponse: Success\r\nMessage: Permission denied\r\n\r\n"; got.body != want {
			t.Errorf("%q, want %q", got.body, want)
		}
	})
}

func TestThePagesOfTheHTTPServerHaveNoCookie(t *testing.T) {
	long := strings.Repeat("y", 40<<10)
	tests := []struct {
		name                              string
		settings                          asterisksim.Options
		method, target, contentType, body string
		status                            int
		text                              string
	}{
		{"another path", asterisksim.Options{}, "POST", "/", form, "Action=Ping", 404, "The requested URL was not found on this server."},
		{"below it", asterisksim.Options{}, "POST", "/rawman/x", form, "Action=Ping", 404, ""},
		{"a prefix that is not set", asterisksim.Options{}, "POST", "/asterisk/rawman", form, "Action=Ping", 404, ""},
		{"a prefix that is set", asterisksim.Options{Prefix: "asterisk"}, "POST", "/asterisk/rawman", form, "Action=Ping", 200, ""},
		{"a prefix in capitals", asterisksim.Options{Prefix: "/asterisk"}, "POST", "/ASTERISK/rawman", form, "Action=Ping", 200, ""},
		{"a prefix that is left out", asterisksim.Options{Prefix: "asterisk"}, "POST", "/rawman", form, "Action=Ping", 404, ""},
		{"webenabled=no", asterisksim.Options{WebDisabled: true}, "POST", "/rawman", form, "Action=Ping", 404, ""},
		{"capitals", asterisksim.Options{}, "POST", "/RAWMAN", form, "Action=Ping", 200, ""},
		{"a slash", asterisksim.Options{}, "POST", "/rawman/", form, "Action=Ping", 200, ""},
		{"an ACL", asterisksim.Options{HTTPDenied: true}, "POST", "/rawman", form, "Action=Ping", 403, "Access denied by ACL"},
		{"PUT", asterisksim.Options{}, "PUT", "/rawman", form, "Action=Ping", 501, "Attempt to use unimplemented / unsupported method"},
		{"DELETE", asterisksim.Options{}, "DELETE", "/rawman", form, "", 501, ""},
		{"OPTIONS", asterisksim.Options{}, "OPTIONS", "/rawman", form, "", 501, ""},
		{"a body of 40 KB", asterisksim.Options{}, "POST", "/rawman", form, ("Action=Ping&x=" + long)[:40<<10], 200, ""},
		{"a byte more", asterisksim.Options{}, "POST", "/rawman", form, ("Action=Ping&x=" + long)[:40<<10+1], 413, "Body too large"},
		{"a line of 4 KB", asterisksim.Options{}, "GET", ("/rawman?Action=Ping&x=" + long)[:4093-len("GET  HTTP/1.1")], "", "", 200, ""},
		{"a byte more", asterisksim.Options{}, "GET", ("/rawman?Action=Ping&x=" + long)[:4093-len("GET  HTTP/1.1")+1], "", "", 400, "Request line too long"},

		{"a query", asterisksim.Options{}, "GET", "/rawman?Action=Ping", "", "", 200, "Permission denied"},
		{"a query of a POST", asterisksim.Options{}, "POST", "/rawman?Action=Ping", form, "x=y", 200, "Missing action in request"},
		{"a body of a GET", asterisksim.Options{}, "GET", "/rawman", form, "Action=Ping", 200, "Missing action in request"},
		{"JSON", asterisksim.Options{}, "POST", "/rawman", "application/json", `{"Action":"Ping"}`, 200, "Missing action in request"},
		{"a form with a charset", asterisksim.Options{}, "POST", "/rawman", form + "; charset=utf-8", "Action=Ping", 200, "Permission denied"},
		{"no type", asterisksim.Options{}, "POST", "/rawman", "", "Action=Ping", 200, "Missing action in request"},
		{"shutting down", asterisksim.Options{ShuttingDown: true}, "POST", "/rawman", form, "Action=Login&Username=crm&Secret=x", 200, "Asterisk is shutting down"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inMemory(t, tt.settings, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
				got := send(t, s, tt.method, tt.target, "", tt.contentType, tt.body)
				if got.StatusCode != tt.status || !strings.Contains(got.body, tt.text) {
					t.Errorf("HTTP status %d, want %d: %s", got.StatusCode, tt.status, got.body)
				}
				want := "text/html"
				if tt.status == 200 {
					want = "text/plain"
				}
				if kind := got.Header.Get("Content-Type"); kind != want {
					t.Errorf("a %s, want %s", kind, want)
				}
			})
		})
	}
}

// In the field it is fail2ban that locks, and it drops all packets.
func TestALockedClientGetsNoResponse(t *testing.T) {
	inMemory(t, asterisksim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		for range 60 { // Asterisk itself locks nobody
			post(t, s, "", "Action=Login&Username=crm&Secret=wrong")
		}
		login(t, s)
		p.Lock("127.0.0.1")
		client := *s.Client()
		client.Timeout = time.Hour
		if resp, err := client.Post(s.URL+"/rawman", form, strings.NewReader("Action=Ping")); err == nil {
			t.Errorf("HTTP status %d", resp.StatusCode)
		}
	})
}
