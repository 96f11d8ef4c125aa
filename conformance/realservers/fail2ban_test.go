//go:build linux

package realservers

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// asteriskFilter is the filter of Debian's package.
const asteriskFilter = "/etc/fail2ban/filter.d/asterisk.conf"

// maxRetry is the number of matching lines at which a jail bans: fail2ban's own
// default.
const maxRetry = 5

// asteriskMaxRetry is that of Debian's jail for Asterisk (jail.conf, [asterisk]).
const asteriskMaxRetry = 10

var matched = regexp.MustCompile(`(?m)^Lines: \d+ lines, \d+ ignored, (\d+) matched`)

// matches counts the lines of a log that fail2ban's filter matches.
func matches(t *testing.T, log string) int {
	t.Helper()
	file := filepath.Join(t.TempDir(), "messages")
	if err := os.WriteFile(file, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	output := run(t, "fail2ban-regex", file, asteriskFilter)
	m := matched.FindStringSubmatch(output)
	if m == nil {
		t.Fatalf("fail2ban-regex printed:\n%s", output)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// loggingAsterisk is the real one or the simulator.
type loggingAsterisk struct {
	url string
	log func(t *testing.T) string
	// changePassword gives the user other another password, and ends all sessions.
	changePassword func(t *testing.T)
}

// open opens the driver for an account.
func (a loggingAsterisk) open(t *testing.T, user, password string) func() pbx.Authenticator {
	t.Helper()
	return func() pbx.Authenticator {
		t.Helper()
		auth, err := pbx.Open("asterisk", pbx.Config{URL: a.url, Username: user, Password: pbx.NewSecret(password)})
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
}

// eachAsterisk runs a test with the simulator and with Asterisk itself.
func eachAsterisk(t *testing.T, test func(t *testing.T, a loggingAsterisk)) {
	t.Parallel()
	requireProgram(t, "fail2ban-regex")
	if _, err := os.Stat(asteriskFilter); err != nil {
		t.Skip(err)
	}
	t.Run("the simulator", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "messages.log")
		log, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { log.Close() })
		sim := asterisksim.New(&asterisksim.Options{Log: log, UsersDenied: []string{"denied"}, SystemPermission: true},
			&pbxsim.Options{Lifetime: httptimeout, Accounts: map[string]string{"crm": asteriskSecret, "other": asteriskSecret, "denied": asteriskSecret}})
		server := pbxsim.Listen(sim)
		t.Cleanup(server.Close)
		test(t, loggingAsterisk{server.URL, func(t *testing.T) string {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}, func(t *testing.T) {
			sim.SetPassword("other", "changed")
			sim.Restart()
		}})
	})
	t.Run("Asterisk", func(t *testing.T) {
		t.Parallel()
		a := startAsterisk(t)
		begun := len(a.log(t))
		test(t, loggingAsterisk{a.url(), func(t *testing.T) string { return a.log(t)[begun:] }, func(t *testing.T) {
			a.stop()
			a.configure(t, "changed")
			a.start(t)
		}})
	})
}

// What one request costs of the maxretry of a jail.
func TestLinesThatFail2banCounts(t *testing.T) {
	eachAsterisk(t, func(t *testing.T, a loggingAsterisk) {
		c := &amiClient{t: t, base: a.url}
		post := func(cookie, text string) { c.send(http.MethodPost, "/rawman", cookie, text) }
		challenge := func() string { post("", "Action=Challenge&AuthType=MD5"); return c.id }
		var counted []string
		const wrongKey = "&AuthType=MD5&Key=0123456789abcdef0123456789abcdef"
		for _, tt := range []struct {
			name  string
			lines int
			send  func()
		}{
			{"a wrong secret", 2, func() { post("", login("crm", "wrong", "")) }},
			{"a wrong MD5 key", 2, func() { post(challenge(), "Action=Login&Username=crm"+wrongKey) }},
			{"an unknown user", 3, func() { post("", login("nobody", "wrong", "")) }},
			{"an unknown user with MD5", 3, func() { post(challenge(), "Action=Login&Username=nobody"+wrongKey) }},
			{"a user whose address is denied", 2, func() { post("", login("denied", asteriskSecret, "")) }},
			{"a key without a challenge", 1, func() { post("", "Action=Login&Username=crm"+wrongKey) }},
			{"a login without a user", 0, func() { post("", "Action=Login") }},
			{"a challenge", 0, func() { challenge() }},
			{"a good login", 0, func() { post("", login("crm", asteriskSecret, "")) }},
			{"a dead session", 0, func() { post("deadbeef", "Action=Ping") }},
			{"a probe", 0, func() { c.probe() }},
			{"an action that is not permitted", 0, func() {
				post("", login("crm", asteriskSecret, ""))
				post(c.id, "Action=Command")
			}},
		} {
			before := len(a.log(t))
			tt.send()
			n := matches(t, a.log(t)[before:])
			counted = append(counted, fmt.Sprintf("%s %d", tt.name, n))
			if n != tt.lines {
				t.Errorf("%s: %d lines, want %d", tt.name, n, tt.lines)
			}
		}
		report(t, "%s", strings.Join(counted, ", "))
	})
}

// Two accounts whose passwords were changed, and two that do not exist, beside a
// good one. What the log shows in all has to stay below maxretry.
func TestWrongAccountsAreNotBannedByFail2ban(t *testing.T) {
	eachAsterisk(t, func(t *testing.T, a loggingAsterisk) {
		f := newFleet(t)
		good := f.add(t, 1, a.open(t, "crm", asteriskSecret))
		allLive(t, time.Minute, good)
		for i := range 2 {
			f.add(t, 1, a.open(t, fmt.Sprintf("nobody%d", i), "wrong"))
			f.add(t, 1, a.open(t, []string{"crm", "other"}[i], "wrong"))
		}
		throughout(t, 50*time.Second, "the good session works", func() bool { return live(good) == 1 && commandWorks(t, good[0]) == nil })
		log := a.log(t)
		n := matches(t, log)
		report(t, "%d wrong logins, %d lines that count; %d accounts are refused", strings.Count(log, "failed to authenticate as"), n, inState(f.sessions, session.Rejected))
		if n >= maxRetry {
			t.Errorf("%d lines count, a jail with maxretry %d bans", n, maxRetry)
		}
	})
}

// A login with an unknown user counts three times, and the next one twice: at
// maxRetry, and Guard.Limit has to be 1 there. Debian's jail allows it.
func TestAChangedPasswordAfterAnUnknownUserIsNotBannedByFail2ban(t *testing.T) {
	eachAsterisk(t, func(t *testing.T, a loggingAsterisk) {
		f := newFleet(t)
		good := f.add(t, 1, a.open(t, "crm", asteriskSecret))
		changed := f.add(t, 1, a.open(t, "other", asteriskSecret))
		allLive(t, time.Minute, append(good, changed...))
		f.add(t, 1, a.open(t, "nobody", "wrong"))
		eventually(t, 30*time.Second, "the unknown user is refused", func() bool { return inState(f.sessions, session.Rejected) == 1 })
		a.changePassword(t)
		for range 30 {
			commandWorks(t, changed[0])
			pause(t, 500*time.Millisecond)
		}
		// Nothing resets fail2ban's count, and one more wrong login could ban. A session
		// that has lost its token waits for a person.
		if err := commandWorks(t, good[0]); err != nil {
			if _, err := f.guard.Forgive(t.Context(), "127.0.0.1"); err != nil {
				t.Error(err)
			}
		}
		eventually(t, 15*time.Second, "the good session works", func() bool { return commandWorks(t, good[0]) == nil })
		log := a.log(t)
		n := matches(t, log)
		report(t, "%d wrong logins, %d lines that count", strings.Count(log, "failed to authenticate as"), n)
		if n >= asteriskMaxRetry {
			t.Errorf("%d lines count, a jail with maxretry %d bans", n, asteriskMaxRetry)
		}
	})
}
