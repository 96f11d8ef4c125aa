package asterisk_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// inspect shows the driver an application's answer, to a request with a session
// that lives.
func inspect(driver pbx.Requester, status int, body string) error {
	return driver.Inspect(&http.Response{
		StatusCode: status,
		Header:     http.Header{"Set-Cookie": {`mansession_id="1c6c9072"; Version=1; Max-Age=60`}},
	}, []byte(body), &pbx.Token{Value: pbx.NewSecret("1c6c9072")})
}

// What each answer means to each operation. "" is no error.
func TestWhatAResponseMeans(t *testing.T) {
	const none = ""
	kinds := map[string]error{
		"credentials": pbx.ErrInvalidCredentials, "token": pbx.ErrTokenRejected, "forbidden": pbx.ErrForbidden, "sessions": pbx.ErrTooManySessions,
		"unavailable": pbx.ErrUnavailable, "protocol": pbx.ErrProtocol, "config": pbx.ErrConfig, "locked": pbx.ErrLocked, "unknown": nil,
	}
	const page = "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\r\n<html><head>\r\n<title>…</title>\r\n</head></html>\r\n"
	type seen struct{ challenge, login, ping, logoff, call string }
	all := func(s string) seen { return seen{s, s, s, s, s} }
	tests := []struct {
		name   string
		status int
		body   string
		want   seen
		says   string // in the error of a login's first step
	}{
		{"challenge", 200, challenged, seen{none, "protocol", "protocol", "protocol", none}, ""},
		{"accepted", 200, accepted, seen{"protocol", none, "protocol", "protocol", none}, "lacks the challenge"},
		{"accepted, and booted", 200, accepted + "Event: FullyBooted\r\nPrivilege: system,all\r\nUptime: 113\r\nLastReload: 62\r\nStatus: Fully Booted\r\n\r\n",
			seen{"protocol", none, "protocol", "protocol", none}, ""},
		{"pong", 200, "Response: Success\r\nPing: Pong\r\nTimestamp: 1795317535.967990\r\n\r\n", seen{"protocol", "protocol", none, "protocol", none}, ""},
		{"goodbye", 200, "Response: Goodbye\r\nMessage: Thanks for all the fish.\r\n\r\n", seen{"protocol", "protocol", "protocol", none, none}, ""},
		{"already authenticated", 200, "Response: Success\r\nMessage: Already authenticated\r\n\r\n", seen{"protocol", "protocol", "protocol", "protocol", none}, ""},
		{"a list with a field Ping", 200, "Response: Success\r\nPing: Keepalive command.  (Priv: <none>)\r\n\r\n", seen{"protocol", "protocol", "protocol", "protocol", none}, ""},
		{"the accepted of an event", 200, "Response: Success\r\n\r\nMessage: Authentication accepted\r\nPing: Pong\r\nChallenge: 1\r\n\r\n",
			seen{"protocol", "protocol", "protocol", "protocol", none}, ""},
		{"an event first", 200, "Event: FullyBooted\r\n\r\n" + accepted, seen{"protocol", "protocol", "protocol", "protocol", none}, ""},
		{"a forged line", 200, "Response: Error\r\nActionID: 7\r\nResponse: Success\r\nMessage: Authentication failed\r\n\r\n",
			seen{"protocol", "credentials", "unknown", "unknown", "unknown"}, ""},
		{"the words of a success in another response", 200, "Response: Goodbye\r\nMessage: Authentication accepted\r\nPing: Pong\r\n\r\n",
			seen{"protocol", "protocol", "protocol", none, none}, ""},
		{"in lower case", 200, strings.ToLower(accepted), seen{"protocol", "protocol", "protocol", "protocol", none}, ""},

		{"wrong secret", 200, refused("Authentication failed"), seen{"protocol", "credentials", "unknown", "unknown", "unknown"}, "wrong user name or secret"},
		{"in use", 200, refused("Login Already In Use"), all("sessions"), "allowmultiplelogin=no"},
		{"permission, same id", 200, refused("Permission denied"), seen{"unknown", "unknown", "token", "forbidden", "forbidden"}, ""},
		{"shutting down", 200, refused("Asterisk is shutting down"), all("unavailable"), "shutting down"},
		{"no AuthType", 200, refused("Must specify AuthType"), all("unknown"), "Asterisk refuses; the PBX says: Must specify AuthType"},
		{"no action", 200, refused("Missing action in request"), all("unknown"), "Asterisk refuses; the PBX says: Missing action in request"},
		{"no message", 200, "Response: Error\r\n\r\n", all("unknown"), "Asterisk refuses"},

		{"cut off", 200, "Response: Error\r\nMessage: Permission denied\r\n", seen{"protocol", "protocol", "protocol", "protocol", none}, ""},
		{"nothing", 200, "", seen{"protocol", "protocol", "protocol", "protocol", none}, "empty"},
		{"JSON", 200, `{"status":"Success"}`, seen{"protocol", "protocol", "protocol", "protocol", none}, ""},
		{"XML", 200, "<ajax-response>\n<response type='object' id='unknown'><generic response='Error' message='Authentication failed' /></response>\n</ajax-response>\n",
			seen{"protocol", "protocol", "protocol", "protocol", none}, ""},
		{"a web page", 200, page, seen{"protocol", "protocol", "protocol", "protocol", none}, "web page"},

		{"HTTP 400", 400, page, all("protocol"), "HTTP status 400"},
		{"HTTP 401", 401, page, all("config"), "something in front of it"},
		{"HTTP 403", 403, page, all("config"), "something in front of the PBX"},
		{"HTTP 403, ACL", 403, page + "Access denied by ACL", all("forbidden"), "ACL"},
		{"HTTP 404", 404, page, seen{"config", "unavailable", "unavailable", "unavailable", "unavailable"}, "https://pbx.example.com:8089/rawman"},
		{"HTTP 413", 413, page, all("protocol"), "HTTP status 413"},
		{"HTTP 500", 500, page, all("unavailable"), "HTTP status 500"},
		{"HTTP 501", 501, page, all("unavailable"), "HTTP status 501"},
		{"HTTP 503", 503, page, all("unavailable"), "HTTP status 503"},
		{"HTTP 503, shutdown", 503, page + "<p>Shutdown in progress</p>", all("unavailable"), "shutting down"},
		{"HTTP 503, a block", 503, refused("Authentication failed"), seen{"protocol", "credentials", "unknown", "unknown", "unknown"}, "wrong user name or secret"},
		{"HTTP 503, success", 503, accepted, all("unavailable"), "HTTP status 503"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token := &pbx.Token{Value: pbx.NewSecret("1c6c9072")}
			given := drivertest.Response{Status: tt.status, Body: tt.body}
			got := map[string]error{}
			_, got["challenge"] = on(t, withCookie{drivertest.Responses(given, drivertest.Response{Body: accepted})}).Login(t.Context())
			_, got["login"] = on(t, withCookie{drivertest.Responses(drivertest.Response{Body: challenged}, given)}).Login(t.Context())
			_, got["ping"] = on(t, withCookie{drivertest.Responses(given)}).KeepAlive(t.Context(), token)
			got["logoff"] = on(t, withCookie{drivertest.Responses(given)}).Logout(t.Context(), token)
			got["call"] = inspect(on(t, drivertest.Unsent{T: t}), tt.status, tt.body)

			ops := map[string]pbx.Op{"challenge": pbx.OpLogin, "login": pbx.OpLogin, "ping": pbx.OpKeepAlive, "logoff": pbx.OpLogout, "call": pbx.OpRequest}
			for step, want := range map[string]string{
				"challenge": tt.want.challenge, "login": tt.want.login, "ping": tt.want.ping, "logoff": tt.want.logoff, "call": tt.want.call,
			} {
				if want == none {
					if got[step] != nil {
						t.Errorf("%s: %v, want no error", step, got[step])
					}
					continue
				}
				failed := failure(t, got[step])
				sent := step != "challenge" // of a login: a proof
				if failed.Kind != kinds[want] || failed.Op != ops[step] || failed.HTTPStatus != tt.status || failed.Sent != sent {
					t.Errorf("%s: %v (HTTP status %d, sent %v), want kind %v", step, got[step], failed.HTTPStatus, failed.Sent, kinds[want])
				}
			}
			if tt.says != "" && !strings.Contains(got["challenge"].Error(), tt.says) {
				t.Errorf("%v does not say %q", got["challenge"], tt.says)
			}
		})
	}
}

// The advice names what has to be set, and the path that was tried.
func TestAMissingRawmanIsExplained(t *testing.T) {
	for name, settings := range map[string]asterisksim.Options{"a prefix": {Prefix: "asterisk"}, "webenabled=no": {WebDisabled: true}} {
		simulate(t, settings, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
			_, err := s.Driver.Login(t.Context())
			got := failure(t, err)
			if got.Kind != pbx.ErrConfig || got.HTTPStatus != 404 || got.Sent {
				t.Errorf("%s: %v", name, err)
			}
			for _, part := range []string{s.Server.URL + "/rawman", "webenabled=yes", "prefix"} {
				if !strings.Contains(got.Message, part) {
					t.Errorf("%s: %q does not say %q", name, got.Message, part)
				}
			}
		})
	}
}

// HTTP is up before the manager: a 404 where there was one is a restart.
func TestAnAsteriskThatStartsIsUnavailable(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		s.Fault(pbxsim.Fault{Times: -1, Status: 404, Body: []byte(pbxsim.HTMLPage)})
		_, login := s.Driver.Login(t.Context())
		_, ping := s.Driver.KeepAlive(t.Context(), token)
		_, call := act(t, s.Driver, token, "Action=ListCommands")
		for step, err := range map[string]error{"login": login, "ping": ping, "call": call} {
			if got := failure(t, err); got.Kind != pbx.ErrUnavailable || !strings.Contains(got.Message, "starting") {
				t.Errorf("%s: %v", step, err)
			}
		}
	})
}

// The session's end shows in the cookie, whatever form of the manager was asked.
// What else the web server has says nothing about it.
func TestTheEndOfASessionIsReadFromTheCookieOnEveryPathOfTheManager(t *testing.T) {
	const sent, other = "1c6c9072", "5119ea63"
	driver := on(t, drivertest.Unsent{T: t})
	for _, tt := range []struct {
		path, id string
		status   int
		want     error
	}{
		{"/rawman", sent, 200, nil},
		{"/rawman", other, 200, pbx.ErrTokenRejected},
		{"/mxml", sent, 200, nil},
		{"/mxml", other, 200, pbx.ErrTokenRejected},
		{"/manager/", other, 200, pbx.ErrTokenRejected},
		{"/prefix/mxml", strings.ToUpper(sent), 200, nil},
		{"/arawman", other, 401, nil},
		{"/ari/channels", "", 401, nil},
		{"/ari/channels", "", 500, nil},
		{"/static/x.wav", other, 404, nil},
		{"/rawman", "", 401, pbx.ErrConfig},
	} {
		resp := &http.Response{StatusCode: tt.status, Header: http.Header{"Www-Authenticate": {"Digest"}}, Request: &http.Request{URL: &url.URL{Path: tt.path}}}
		if tt.id != "" {
			resp.Header.Set("Set-Cookie", `mansession_id="`+tt.id+`"; Version=1; Max-Age=60`)
		}
		err := driver.Inspect(resp, []byte("<ajax-response/>"), &pbx.Token{Value: pbx.NewSecret(sent)})
		if tt.want == nil && err != nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s, HTTP %d, id %s: %v, want %v", tt.path, tt.status, tt.id, err, tt.want)
		}
	}
}

// People take the AMI's own port for the HTTP port.
func TestTheManagersTCPPortIsRecognised(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "Asterisk Call Manager/9.0.0\r\n")
			go func() { io.Copy(io.Discard, c); c.Close() }()
		}
	}()
	for _, scheme := range []string{"http", "https"} {
		driver, err := asterisk.New(asterisk.Config{Config: pbx.Config{URL: scheme + "://" + listener.Addr().String(), Username: user, Password: pbx.NewSecret(secret)}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = driver.Login(t.Context())
		if got := failure(t, err); got.Kind != pbx.ErrConfig || got.Setting != "URL" || got.Sent || !strings.Contains(got.Message, "configure its HTTP port") {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}

func TestAnAsteriskThatShutsDownIsUnavailable(t *testing.T) {
	simulate(t, asterisksim.Options{ShuttingDown: true}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		if _, err := s.Driver.Login(t.Context()); failure(t, err).Kind != pbx.ErrUnavailable || s.Counts().Logins != 0 {
			t.Errorf("%v, %d logins sent", err, s.Counts().Logins)
		}
	})
}

// The web server says so itself, once the manager is gone: httpd_process_request in
// main/http.c.
func TestAWebServerThatShutsDownJudgesNoSecret(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		s.Fault(pbxsim.Fault{On: pbxsim.Login, Status: 503, Body: []byte("<html><head><title>503 Service Unavailable</title></head><body><p>Shutdown in progress</p></body></html>")})
		if _, err := s.Driver.Login(t.Context()); failure(t, err).Kind != pbx.ErrUnavailable || !failure(t, err).NotJudged {
			t.Errorf("%v, NotJudged %t", err, failure(t, err).NotJudged)
		}
	})
}

func TestAnACLOfTheHTTPServerIsForbidden(t *testing.T) {
	simulate(t, asterisksim.Options{HTTPDenied: true}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		if _, err := s.Driver.Login(t.Context()); failure(t, err).Kind != pbx.ErrForbidden {
			t.Errorf("%v", err)
		}
	})
}

// "Wrong" is a word of the driver's own: it is not cut out where it is the
// password, which would tell it.
func TestThePasswordIsNotRevealedByWhatIsMissing(t *testing.T) {
	for _, word := range []string{"wrong", "secret", "user", "Asterisk"} {
		for _, message := range []string{"Authentication failed", "Must specify AuthType"} {
			client := withCookie{drivertest.Bodies(challenged, refused(message))}
			driver, err := asterisk.New(asterisk.Config{Config: pbx.Config{URL: "https://pbx.example.com", Username: user, Password: pbx.NewSecret(word), Transport: client}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = driver.Login(t.Context()); strings.Contains(err.Error(), pbx.Redacted) {
				t.Errorf("the password %q shows in %v", word, err)
			}
		}
	}
}

func TestRetryAfterIsHandedOn(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		s.Fault(pbxsim.Fault{On: asterisksim.Challenge, Status: 503, Header: http.Header{"Retry-After": {"120"}}})
		_, err := s.Driver.Login(t.Context())
		if got := failure(t, err); got.RetryAfter != 2*time.Minute || !errors.Is(err, pbx.ErrUnavailable) {
			t.Errorf("%v", err)
		}
	})
}
