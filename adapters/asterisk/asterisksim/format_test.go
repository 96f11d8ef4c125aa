package asterisksim_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func act(t *testing.T, s *pbxsim.Server, path, id, body string) reply {
	t.Helper()
	cookie := ""
	if id != "" {
		cookie = `mansession_id="` + id + `"`
	}
	return send(t, s, "POST", path, cookie, form, body)
}

func TestTheThreeFormatsShareTheirSessions(t *testing.T) {
	inMemory(t, asterisksim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		id := act(t, s, "/mxml", "", "Action=Login&Username=crm&Secret="+url.QueryEscape(secret)).id
		for path, want := range map[string]struct{ media, pong, denied string }{
			"/rawman":  {"text/plain", "Ping: Pong\r\n", "Message: Permission denied\r\n"},
			"/mxml":    {"text/xml", " ping='Pong'", " message='Permission denied'"},
			"/manager": {"text/html", "<td>Ping</td><td>Pong</td>", "<td>Message</td><td>Permission denied</td>"},
		} {
			got := act(t, s, path, id, "Action=Ping")
			if got.id != id || got.Header.Get("Content-Type") != want.media || !strings.Contains(got.body, want.pong) {
				t.Errorf("%s, alive: %s, id %s of %s:\n%s", path, got.Header, got.id, id, got.body)
			}
			// Alive but not permitted has the same words as gone, and the same id.
			got = act(t, s, path, id, "Action=Originate")
			if got.id != id || !strings.Contains(got.body, want.denied) {
				t.Errorf("%s, not permitted: id %s of %s:\n%s", path, got.id, id, got.body)
			}
			got = act(t, s, path, "0badcafe", "Action=Ping")
			if got.id == "0badcafe" || got.StatusCode != 200 || !strings.Contains(got.body, want.denied) {
				t.Errorf("%s, gone: id %s:\n%s", path, got.id, got.body)
			}
		}
	})
}

func TestNeighboursAskForHTTPAuthentication(t *testing.T) {
	inMemory(t, asterisksim.Options{Prefix: "asterisk"}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		id := act(t, s, "/asterisk/rawman", "", "Action=Login&Username=crm&Secret="+url.QueryEscape(secret)).id
		for path, scheme := range map[string]string{
			"/asterisk/ari/channels": "Basic", "/asterisk/arawman": "Digest", "/asterisk/amxml": "Digest", "/asterisk/amanager": "Digest",
		} {
			got := act(t, s, path, id, "Action=Ping")
			if got.StatusCode != 401 || !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), scheme+" ") || got.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s: %d %v", path, got.StatusCode, got.Header)
			}
		}
		for _, path := range []string{"/ari/channels", "/arawman", "/asterisk/arix", "/asterisk"} {
			if got := act(t, s, path, id, "Action=Ping"); got.StatusCode != 404 {
				t.Errorf("%s: %d, want 404", path, got.StatusCode)
			}
		}
		if got := act(t, s, "/asterisk/rawman", id, "Action=Ping"); got.id != id {
			t.Error("the session is gone")
		}
	})
}

func TestTheListOfEndpointsTakesAPermission(t *testing.T) {
	for _, permitted := range []bool{false, true} {
		inMemory(t, asterisksim.Options{SystemPermission: permitted}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			id := act(t, s, "/rawman", "", "Action=Login&Username=crm&Secret="+url.QueryEscape(secret)).id
			got := act(t, s, "/rawman", id, "Action=PJSIPShowEndpoints&ActionID=7")
			want := "Response: Error\r\nActionID: 7\r\nMessage: Permission denied\r\n\r\n"
			if permitted {
				want = "Response: Success\r\nActionID: 7\r\nEventList: start\r\nMessage: A listing of Endpoints follows, presented as EndpointList events\r\n\r\n" +
					"Event: EndpointList\r\nActionID: 7\r\nObjectType: endpoint\r\nObjectName: 1000\r\n"
			}
			if !strings.HasPrefix(got.body, want) || strings.Count(got.body, "Event: EndpointList\r\n") != map[bool]int{true: 2}[permitted] {
				t.Errorf("permitted %v:\n%s", permitted, got.body)
			}
			core := act(t, s, "/rawman", id, "Action=CoreStatus").body
			if strings.HasPrefix(core, "Response: Success") != permitted {
				t.Errorf("permitted %v:\n%s", permitted, core)
			}
		})
	}
}

// Debian's fail2ban with maxretry 5 bans at the third wrong login, because each
// writes two lines that match.
func TestFail2banBansAtTheThirdWrongLogin(t *testing.T) {
	inMemory(t, asterisksim.Options{}, pbxsim.Options{Lockout: pbxsim.Lockout{After: 5}}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		for i := range 3 {
			if _, locked := p.Locked("127.0.0.1"); locked {
				t.Errorf("banned after %d", i)
			}
			act(t, s, "/rawman", "", "Action=Login&Username=crm&Secret=wrong")
		}
		if _, locked := p.Locked("127.0.0.1"); !locked {
			t.Error("not banned after 3")
		}
	})
}
