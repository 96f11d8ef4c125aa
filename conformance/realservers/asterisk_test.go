//go:build linux

package realservers

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

const form = "application/x-www-form-urlencoded"

// plainClient is a client that is not the library's.
var plainClient = &http.Client{
	Timeout:       20 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// amiClient sends actions as a person does with curl.
type amiClient struct {
	t    *testing.T
	base string
	id   string // of the session: the last one that a login was accepted with, or a challenge given for
}

// exchange is a response without what differs each time.
type exchange struct {
	Status      string
	ContentType string
	Session     string // whether the cookie that is set is the one that was sent
	Body        string
}

var (
	sessionCookie = regexp.MustCompile(`^mansession_id="([0-9a-f]{8})"; Version=1; Max-Age=20$`)
	changing      = regexp.MustCompile(`(Challenge: |Timestamp: |challenge='|timestamp='|<td>Timestamp</td><td>)[0-9.]+`)
	serverName    = regexp.MustCompile(`Asterisk/[^<\s]+`)
	tableRow      = regexp.MustCompile(`<tr><td>.*</td></tr>`)
	uptime        = regexp.MustCompile(`(Uptime|LastReload): \d+`)
)

func (c *amiClient) send(method, path, cookie, text string) exchange {
	c.t.Helper()
	target := c.base + path
	if method == http.MethodGet {
		target += "?" + text
		text = ""
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, target, strings.NewReader(text))
	if err != nil {
		c.t.Fatal(err)
	}
	if text != "" {
		r.Header.Set("Content-Type", form)
	}
	if cookie != "" {
		r.Header.Set("Cookie", "mansession_id="+cookie)
	}
	resp, err := plainClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	raw := body(c.t, resp)
	x := exchange{Status: resp.Status, ContentType: resp.Header.Get("Content-Type"), Session: "none"}
	if set := resp.Header.Get("Set-Cookie"); set != "" {
		m := sessionCookie.FindStringSubmatch(set)
		switch {
		case m == nil:
			x.Session = "unknown form: " + set
		case m[1] == cookie:
			x.Session = "the one that was sent"
		default:
			x.Session = "another"
			c.id = m[1]
		}
	}
	x.Body = changing.ReplaceAllString(raw, "${1}N")
	x.Body = serverName.ReplaceAllString(x.Body, "Asterisk")
	x.Body = uptime.ReplaceAllString(x.Body, "$1: N")
	if path == "/manager" { // the page's form is left out
		x.Body = strings.Join(tableRow.FindAllString(x.Body, -1), "\n")
	}
	return x
}

// probe sends what a session sends to learn whether Asterisk is up.
func (c *amiClient) probe() {
	c.t.Helper()
	auth, err := pbx.Open("asterisk", pbx.Config{URL: c.base, Username: "crm", Password: pbx.NewSecret(asteriskSecret)})
	if err != nil {
		c.t.Fatal(err)
	}
	describer, _ := pbx.As[pbx.Describer](auth)
	traits := describer.Traits()
	resp, err := plainClient.Get(cmp.Or(traits.Probe, traits.URL))
	if err != nil {
		c.t.Fatal(err)
	}
	body(c.t, resp)
}

func login(user, secret, more string) string {
	return "Action=Login&Username=" + url.QueryEscape(user) + "&Secret=" + url.QueryEscape(secret) + more
}

// asteriskScript does what a client may do, and returns what came back.
func asteriskScript(t *testing.T, base string) map[string]exchange {
	c := &amiClient{t: t, base: base}
	got := map[string]exchange{}
	step := func(name, method, path, cookie, text string) {
		t.Helper()
		got[name] = c.send(method, path, cookie, text)
	}
	post := func(name, cookie, text string) { step(name, "POST", "/rawman", cookie, text) }

	post("no session", "", "Action=Ping")
	post("an invented session", "deadbeef", "Action=Ping")
	post("the session of an error", c.id, "Action=Ping")
	post("no action", "", "x=y")
	post("an empty body", "", "")
	post("a wrong secret", "", login("crm", "wrong", ""))
	post("an unknown user", "", login("nobody", "wrong", ""))
	post("a user whose address is denied", "", login("denied", asteriskSecret, ""))
	post("a challenge without a type", "", "Action=Challenge")
	post("a challenge", "", "Action=Challenge&AuthType=md5")
	post("a wrong key", c.id, "Action=Login&AuthType=MD5&Username=crm&Key=0123456789abcdef0123456789abcdef")
	post("the session of a refused login", c.id, "Action=Ping")
	post("a challenge for an unknown user", "", "Action=Challenge&AuthType=MD5")
	post("an unknown user's key", c.id, "Action=Login&AuthType=MD5&Username=nobody&Key=0123456789abcdef0123456789abcdef")
	post("a key without a challenge", "", "Action=Login&AuthType=MD5&Username=crm&Key=0123456789abcdef0123456789abcdef")
	post("a login with events", "", login("crm", asteriskSecret, "&Events=on"))
	post("a login of another case", "", login("CRM", asteriskSecret, ""))
	post("a login", "", login("crm", asteriskSecret, "&Events=off"))
	id := c.id
	post("ping", id, "Action=Ping")
	post("ping in another case", id, "aCTION=pING&ActionID=7")
	post("a repeated action", id, "Action=Ping&Action=Challenge")
	post("an empty action first", id, "Action=&Action=Ping")
	post("an action that is not permitted", id, "Action=Command&Command=core+show+version")
	post("an action that does not exist", id, "Action=Nonsense")
	post("a login in a session", id, login("crm", "wrong", ""))
	post("a challenge in a session", id, "Action=Challenge&AuthType=MD5")
	step("a query", "GET", "/rawman", id, "Action=Ping")
	step("XML", "POST", "/mxml", id, "Action=Ping")
	step("XML, refused", "POST", "/mxml", "deadbeef", "Action=Ping")
	step("a page", "POST", "/manager", id, "Action=Ping")
	step("a page, refused", "POST", "/manager", "deadbeef", "Action=Ping")
	post("logoff", id, "Action=Logoff")
	post("logoff again", id, "Action=Logoff")
	post("ping after logoff", id, "Action=Ping")
	step("a path that does not exist", "POST", "/", "", "Action=Ping")
	step("a prefix that is not set", "POST", "/asterisk/rawman", "", "Action=Ping")
	step("PUT", "PUT", "/rawman", "", "Action=Ping")
	step("HTTP authentication", "POST", "/arawman", "", "Action=Ping")
	return got
}

// The simulator is judged by Asterisk itself: the same requests get the same
// responses, and leave the same lines in the log.
func TestTheSimulatorRespondsAndLogsAsAsteriskDoes(t *testing.T) {
	t.Parallel()
	a := startAsterisk(t)
	begun := len(a.log(t))
	want := asteriskScript(t, a.url())

	file := filepath.Join(t.TempDir(), "messages.log")
	log, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	server := pbxsim.Listen(asterisksim.New(&asterisksim.Options{Log: log, UsersDenied: []string{"denied"}, SystemPermission: true},
		&pbxsim.Options{Lifetime: httptimeout, Accounts: map[string]string{"crm": asteriskSecret, "denied": asteriskSecret}}))
	defer server.Close()
	got := asteriskScript(t, server.URL)
	for name := range want {
		if diff := gocmp.Diff(want[name], got[name]); diff != "" {
			t.Errorf("%s: Asterisk (-), the simulator (+):\n%s", name, diff)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(logLines(a.log(t)[begun:]), logLines(string(text))); diff != "" {
		t.Errorf("log: Asterisk (-), the simulator (+):\n%s", diff)
	}
}

var logMasks = []*regexp.Regexp{
	regexp.MustCompile(`^\[[^\]]+\] `),
	regexp.MustCompile(`\[\d+\]`),
	regexp.MustCompile(`"\d{4}-\d\d-\d\dT[0-9:.]+\+0000"`),
	regexp.MustCompile(`0x[0-9a-f]+`),
	regexp.MustCompile(`127\.0\.0\.1/\d+`),
	regexp.MustCompile(`Challenge="\d+"`),
	regexp.MustCompile(`ExpectedResponse="[0-9a-f]{32}"`),
}

// logLines returns the lines of a log, without what differs each time, in
// alphabetical order: Asterisk writes security events in a thread of their own.
func logLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		for _, m := range logMasks {
			line = m.ReplaceAllString(line, "*")
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func TestAsteriskForWhatItsProtocolAdds(t *testing.T) {
	t.Parallel()
	a := startAsterisk(t)
	c := &amiClient{t: t, base: a.url()}

	t.Run("a user may be logged in once", func(t *testing.T) {
		c.send("POST", "/rawman", "", login("single", asteriskSecret, ""))
		for _, text := range []string{login("single", asteriskSecret, ""), login("single", "wrong", ""), "Action=Challenge&AuthType=MD5&Username=single"} {
			if x := c.send("POST", "/rawman", "", text); x.Body != "Response: Error\r\nMessage: Login Already In Use\r\n\r\n" {
				t.Errorf("%s: %q", text, x.Body)
			}
		}
	})
	t.Run("a leading blank of a secret does not count and a trailing one does", func(t *testing.T) {
		for secret, accepted := range map[string]bool{" " + asteriskSecret: true, asteriskSecret + " ": false} {
			x := c.send("POST", "/rawman", "", login("crm", secret, ""))
			if strings.Contains(x.Body, "Authentication accepted") != accepted {
				t.Errorf("%q: %q", secret, x.Body)
			}
		}
	})
	t.Run("the port of the AMI says what it is", func(t *testing.T) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", a.ami))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, "Asterisk Call Manager/") {
			t.Errorf("%q, %v", line, err)
		}
	})
	t.Run("a session that is not logged in is gone soon after 5 s", func(t *testing.T) {
		c.send("POST", "/rawman", "", "Action=Challenge&AuthType=MD5")
		id := c.id
		if x := c.send("POST", "/rawman", id, "Action=Ping"); x.Session != "the one that was sent" {
			t.Errorf("at once: %+v", x)
		}
		pause(t, 12*time.Second) // each request gives it 5 s more, and it is removed late
		if x := c.send("POST", "/rawman", id, "Action=Ping"); x.Session != "another" {
			t.Errorf("12 s later: %+v", x)
		}
	})
	t.Run("a second WaitEvent ends the first", func(t *testing.T) {
		c.send("POST", "/rawman", "", login("crm", asteriskSecret, ""))
		id := c.id
		c.send("POST", "/rawman", id, "Action=WaitEvent&Timeout=1") // what happened before
		var first exchange
		var took time.Duration
		var waiting sync.WaitGroup
		begin := time.Now()
		waiting.Go(func() {
			first = (&amiClient{t: t, base: a.url()}).send("POST", "/rawman", id, "Action=WaitEvent&Timeout=9")
			took = time.Since(begin)
		})
		pause(t, time.Second)
		c.send("POST", "/rawman", id, "Action=WaitEvent&Timeout=2")
		waiting.Wait()
		t.Logf("the first WaitEvent ended after %.1f s with %q", took.Seconds(), first.Body)
		if first.Status != "200 OK" || first.Body != "" || took > 8*time.Second {
			t.Errorf("the first WaitEvent: %+v after %s", first, took)
		}
	})
	t.Run("it locks nobody out", func(t *testing.T) {
		var logins sync.WaitGroup
		for range 60 {
			logins.Go(func() { (&amiClient{t: t, base: a.url()}).send("POST", "/rawman", "", login("other", "wrong", "")) })
		}
		logins.Wait()
		if x := c.send("POST", "/rawman", "", login("other", asteriskSecret, "")); !strings.Contains(x.Body, "Authentication accepted") {
			t.Errorf("%q", x.Body)
		}
	})
}

// How long /rawman is 404 while the HTTP server is up already.
func TestAsteriskIsNotFoundWhileItStarts(t *testing.T) {
	t.Parallel()
	a := startAsterisk(t)
	seen := 0
	var longest time.Duration
	for range 5 {
		a.stop()
		var first time.Time
		stop := make(chan struct{})
		var watch sync.WaitGroup
		watch.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := plainClient.Post(a.url()+"/rawman", form, strings.NewReader("Action=Ping"))
				if err != nil {
					continue
				}
				resp.Body.Close()
				switch {
				case resp.StatusCode == http.StatusNotFound && first.IsZero():
					seen++
					first = time.Now()
				case resp.StatusCode == http.StatusOK:
					if !first.IsZero() {
						longest = max(longest, time.Since(first))
					}
					return
				}
			}
		})
		a.start(t)
		close(stop)
		watch.Wait()
	}
	report(t, "404 in %d of 5 starts, for up to %s", seen, longest.Round(time.Millisecond))
}

func commandWorks(t *testing.T, s *session.Session) error {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/rawman", strings.NewReader("Action=CoreStatus"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", form)
	resp, err := s.Client().Do(r)
	if err != nil {
		return err
	}
	text, err := read(resp)
	if err == nil && !strings.HasPrefix(text, "Response: Success\r\n") {
		err = fmt.Errorf("%.100q", text)
	}
	return err
}

func TestSessionsOfAsteriskSurviveRestarts(t *testing.T) {
	t.Parallel()
	a := startAsterisk(t)
	f := newFleet(t)
	all := f.add(t, 10, a.account(t, "crm", asteriskSecret))
	allLive(t, time.Minute, all)
	for _, crash := range []bool{false, true} {
		if crash {
			a.kill()
		} else {
			a.stop()
		}
		for range 5 { // an application that goes on
			for _, s := range all {
				commandWorks(t, s)
			}
			pause(t, time.Second)
		}
		a.start(t)
		begin := time.Now()
		works := map[*session.Session]bool{}
		eventually(t, 16*time.Second, "a request of every session is accepted", func() bool {
			for _, s := range all {
				works[s] = works[s] || commandWorks(t, s) == nil
				if !works[s] {
					return false
				}
			}
			return true
		})
		t.Logf("all back %.1f s after the restart", time.Since(begin).Seconds())
	}
	good, wrong := a.logins(t)
	report(t, "%d good logins, %d wrong", good, wrong)
	if good > 30 || wrong > 0 {
		t.Errorf("the log has %d good logins and %d wrong ones, want at most 30 and 0", good, wrong)
	}
}

func TestAnIdleSessionOfAsteriskStaysLive(t *testing.T) {
	t.Parallel()
	a := startAsterisk(t)
	f := newFleet(t)
	all := f.add(t, 3, a.account(t, "crm", asteriskSecret))
	allLive(t, time.Minute, all)
	throughout(t, 55*time.Second, "the sessions are live", func() bool { return live(all) == len(all) })
	for _, s := range all {
		if err := commandWorks(t, s); err != nil {
			t.Error(err)
		}
	}
	f.close()
	good, wrong := a.logins(t)
	report(t, "%d good logins, %d wrong", good, wrong)
	if good != 3 || wrong > 0 {
		t.Errorf("the log has %d good logins and %d wrong ones, want 3 and 0", good, wrong)
	}
}
