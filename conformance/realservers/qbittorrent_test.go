//go:build linux

package realservers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/conformance/realservers/qbittorrent"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// webUI is how a qBittorrent is set up.
type webUI struct {
	Failures int           // consecutive wrong logins until it bans; 0: 5
	Ban      time.Duration // 0: 20 s
	Session  time.Duration // idle lifetime; 0: 20 s
}

// qBittorrent is a running qbittorrent-nox.
type qBittorrent struct {
	*process
	settings webUI
	dir      string
	port     int
}

func startQBittorrent(t *testing.T, settings webUI) *qBittorrent {
	t.Helper()
	requireProgram(t, "qbittorrent-nox")
	if settings.Failures == 0 {
		settings.Failures = 5
	}
	if settings.Ban == 0 {
		settings.Ban = 20 * time.Second
	}
	if settings.Session == 0 {
		settings.Session = 20 * time.Second
	}
	q := &qBittorrent{settings: settings, dir: t.TempDir(), port: freePort(t)}
	file := filepath.Join(q.dir, "qBittorrent", "config", "qBittorrent.conf")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	// Loopback only, and nothing that looks for other machines.
	text := fmt.Sprintf(`[LegalNotice]
Accepted=true

[BitTorrent]
Session\Interface=lo
Session\InterfaceName=lo
Session\InterfaceAddress=127.0.0.1
Session\DHTEnabled=false
Session\LSDEnabled=false
Session\PeXEnabled=false
Session\Port=%d

[Network]
PortForwardingEnabled=false

[Preferences]
Connection\UPnP=false
Connection\ResolvePeerCountries=false
General\Locale=en
WebUI\Address=127.0.0.1
WebUI\Port=%d
WebUI\LocalHostAuth=true
WebUI\MaxAuthenticationFailCount=%d
WebUI\BanDuration=%d
WebUI\SessionTimeout=%d
WebUI\UseUPnP=false
`, freePort(t), q.port, settings.Failures, int(settings.Ban.Seconds()), int(settings.Session.Seconds()))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	q.start(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("qBittorrent's log says: %s", q.countNow(t))
		}
	})
	return q
}

func (q *qBittorrent) start(t *testing.T) {
	t.Helper()
	q.process = startProcess(t, q.dir, "qbittorrent-nox", "--profile="+q.dir)
	q.ready(t, fmt.Sprintf("127.0.0.1:%d", q.port))
}

// crash ends qBittorrent with kill -9. Its sessions end with it.
func (q *qBittorrent) crash() { q.kill() }

func (q *qBittorrent) url() string { return fmt.Sprintf("http://127.0.0.1:%d", q.port) }

// account opens the driver for an account of this qBittorrent.
func (q *qBittorrent) account(t *testing.T, user, password string) func() pbx.Authenticator {
	return q.behind(t, q.url(), user, password, pbx.TLS{})
}

// behind does the same for a qBittorrent that is reached at another URL.
func (q *qBittorrent) behind(t *testing.T, url, user, password string, trust pbx.TLS) func() pbx.Authenticator {
	t.Helper()
	return func() pbx.Authenticator {
		t.Helper()
		auth, err := pbx.Open("qbittorrent", pbx.Config{
			URL: url, Username: user, Password: pbx.NewSecret(password), TLS: trust,
			Options: map[string]string{
				"session-timeout": q.settings.Session.String(),
				"ban-duration":    q.settings.Ban.String(),
				"failures":        strconv.Itoa(q.settings.Failures),
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
}

// good opens the driver with the credentials that a new qBittorrent has.
func (q *qBittorrent) good(t *testing.T) func() pbx.Authenticator {
	return q.account(t, "admin", "adminadmin")
}

// qbCounts is what qBittorrent's own log says.
type qbCounts struct {
	Good, Wrong int // logins
	Banned      int // logins that were refused because of a ban
	InARow      int // the highest count of consecutive wrong logins
}

func (c qbCounts) String() string {
	return fmt.Sprintf("%d good and %d wrong logins, at most %d wrong in a row, %d refused by a ban", c.Good, c.Wrong, c.InARow, c.Banned)
}

var attempt = regexp.MustCompile(`attempt count: (\d+)`)

// count waits until qBittorrent has written its log, which it does every 2 s.
func (q *qBittorrent) count(t *testing.T) qbCounts {
	t.Helper()
	pause(t, 2500*time.Millisecond)
	return q.countNow(t)
}

func (q *qBittorrent) countNow(t *testing.T) (c qbCounts) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(q.dir, "qBittorrent", "data", "logs", "qbittorrent.log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.Contains(line, "WebAPI login success"):
			c.Good++
		case strings.Contains(line, "IP has been banned"):
			c.Banned++
		case strings.Contains(line, "WebAPI login failure"):
			c.Wrong++
			if m := attempt.FindStringSubmatch(line); m != nil {
				n, _ := strconv.Atoi(m[1])
				c.InARow = max(c.InARow, n)
			}
		}
	}
	return c
}

// somebodyElse logs in wrongly from this address, without the library.
func (q *qBittorrent) somebodyElse(t *testing.T, times int) (last string) {
	t.Helper()
	for range times {
		resp, err := http.PostForm(q.url()+"/api/v2/auth/login", url.Values{"username": {"admin"}, "password": {"guess"}})
		if err != nil {
			t.Fatal(err)
		}
		last = body(t, resp)
	}
	return last
}

const versionPath = "/api/v2/app/webapiVersion"

// version is the response to a request of the application.
var version = regexp.MustCompile(`^[0-9]+\.[0-9.]+$`)

func works(t *testing.T, s *session.Session) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+versionPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		return err
	}
	text, err := read(resp)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !version.MatchString(text) {
		return fmt.Errorf("HTTP status %d: %.100s", resp.StatusCode, text)
	}
	return nil
}

func TestQBittorrentIsLoggedInToAndLeft(t *testing.T) {
	t.Parallel()
	q := startQBittorrent(t, webUI{})
	ctx := t.Context()

	auth := q.good(t)()
	token, err := auth.Login(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if lifetime := token.ExpiresAt.Sub(token.IssuedAt); lifetime != 20*time.Second {
		t.Errorf("a lifetime of %s", lifetime)
	}
	kept, err := auth.KeepAlive(ctx, token)
	if err != nil || !kept.Value.Equal(token.Value) || !kept.ExpiresAt.After(token.ExpiresAt) {
		t.Errorf("kept alive: %v, %v", kept, err)
	}
	pinger, ok := pbx.As[pbx.Pinger](auth)
	if !ok {
		t.Fatal("no Pinger")
	}
	if err := pinger.Ping(ctx, token); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := auth.Logout(ctx, token); err != nil {
			t.Errorf("logout: %v", err)
		}
	}
	if err := pinger.Ping(ctx, token); !errors.Is(err, pbx.ErrTokenRejected) {
		t.Errorf("ping after the logout: %v", err)
	}
	if _, err := auth.KeepAlive(ctx, token); !errors.Is(err, pbx.ErrTokenRejected) {
		t.Errorf("keep-alive after the logout: %v", err)
	}
	for _, wrong := range [][2]string{{"admin", "adminadmin "}, {"Admin", "adminadmin"}} {
		if _, err := q.account(t, wrong[0], wrong[1])().Login(ctx); !errors.Is(err, pbx.ErrInvalidCredentials) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	got := q.count(t)
	report(t, "%s", got)
	if want := (qbCounts{Good: 1, Wrong: 2, InARow: 2}); got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
}

// A probe asks again and again whether qBittorrent is up.
func TestQBittorrentDoesNotCountProbesAndDeadCookies(t *testing.T) {
	t.Parallel()
	q := startQBittorrent(t, webUI{})
	auth := q.good(t)()
	describer, _ := pbx.As[pbx.Describer](auth)
	for i := range 20 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, describer.Traits().Probe, nil)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			r.AddCookie(&http.Cookie{Name: "SID", Value: "5nbjQnRyNcTdtMwQkUmhXWPtYiqPNrNq"})
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if text := body(t, resp); resp.StatusCode != http.StatusForbidden || text != "Forbidden" {
			t.Fatalf("HTTP status %d: %s", resp.StatusCode, text)
		}
	}
	if _, err := auth.Login(t.Context()); err != nil {
		t.Error(err)
	}
	got := q.count(t)
	report(t, "%s", got)
	if want := (qbCounts{Good: 1}); got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
}

func TestAnIdleSessionOfQBittorrentStaysLive(t *testing.T) {
	t.Parallel()
	q := startQBittorrent(t, webUI{Session: 8 * time.Second})
	f := newFleet(t)
	idle := f.add(t, 1, q.good(t))
	allLive(t, time.Minute, idle)
	token, err := idle[0].Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	throughout(t, 25*time.Second, "the session is live", func() bool { return live(idle) == 1 })
	again, err := idle[0].Token(t.Context())
	if err != nil || !again.Value.Equal(token.Value) {
		t.Errorf("another token: %v", err)
	}
	if err := works(t, idle[0]); err != nil {
		t.Error(err)
	}
	if n := f.Stats().KeepAlives; n < 3 {
		t.Errorf("%d keep-alives in three lifetimes", n)
	}
	got := q.count(t)
	report(t, "%s", got)
	if want := (qbCounts{Good: 1}); got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
}

func TestABusySessionOfQBittorrentNeedsNoKeepAlive(t *testing.T) {
	t.Parallel()
	q := startQBittorrent(t, webUI{Session: 6 * time.Second})
	f := newFleet(t)
	busy := f.add(t, 1, q.good(t))
	allLive(t, time.Minute, busy)
	throughout(t, 14*time.Second, "requests are accepted", func() bool { return works(t, busy[0]) == nil })
	if n := f.Stats().KeepAlives; n > 0 {
		t.Errorf("%d keep-alives", n)
	}
	got := q.count(t)
	report(t, "%s", got)
	if want := (qbCounts{Good: 1}); got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
}

// The session has been told a lifetime of an hour, and the server has one of 3 s.
func TestADeadSessionOfQBittorrentIsReplacedOnce(t *testing.T) {
	t.Parallel()
	q := startQBittorrent(t, webUI{Session: 3 * time.Second})
	q.settings.Session = time.Hour
	f := newFleet(t)
	s := f.add(t, 1, q.good(t))
	allLive(t, time.Minute, s)
	const rounds = 2
	for range rounds {
		pause(t, 4500*time.Millisecond)
		var requests sync.WaitGroup
		for range 10 {
			requests.Go(func() {
				if err := works(t, s[0]); err != nil {
					t.Error(err)
				}
			})
		}
		requests.Wait()
	}
	got := q.count(t)
	report(t, "%s", got)
	if want := (qbCounts{Good: 1 + rounds}); got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
}

// A 401 that is not about the session.
func TestARefusedOriginIsNoDeadSessionOfQBittorrent(t *testing.T) {
	t.Parallel()
	q := startQBittorrent(t, webUI{})
	f := newFleet(t)
	s := f.add(t, 1, q.good(t))
	allLive(t, time.Minute, s)
	for range 4 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s[0].URL()+versionPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", "https://crm.example")
		resp, err := s[0].Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if text := body(t, resp); resp.StatusCode != http.StatusUnauthorized || text != "Unauthorized" {
			t.Errorf("HTTP status %d: %s", resp.StatusCode, text)
		}
	}
	if err := works(t, s[0]); err != nil {
		t.Error(err)
	}
	got := q.count(t)
	report(t, "%s", got)
	if want := (qbCounts{Good: 1}); got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
}

func TestAHundredSessionsSurviveACrashOfQBittorrentUnderLoad(t *testing.T) {
	t.Parallel()
	q := startQBittorrent(t, webUI{})
	f := newFleet(t)
	const fleetSize = 100
	all := f.add(t, fleetSize, q.good(t))
	t.Logf("%d sessions live after %s", fleetSize, allLive(t, 2*time.Minute, all).Round(time.Second))

	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var accepted, refused atomic.Int64
	for worker := range 4 {
		load.Go(func() {
			for i := worker; ctx.Err() == nil; i += 7 {
				if works(t, all[i%fleetSize]) == nil {
					accepted.Add(1)
				} else {
					refused.Add(1)
				}
				pause(t, 20*time.Millisecond)
			}
		})
	}
	pause(t, 2*time.Second)
	q.crash()
	pause(t, 5*time.Second)
	q.start(t)
	begin := time.Now()
	back := make([]bool, fleetSize)
	eventually(t, 60*time.Second, "a request of every session is accepted after the restart", func() bool {
		missing := false
		for i, s := range all {
			if !back[i] {
				back[i] = works(t, s) == nil
				missing = missing || !back[i]
			}
		}
		return !missing
	})
	t.Logf("all back %s after the restart; %d requests accepted, %d refused", time.Since(begin).Round(time.Second), accepted.Load(), refused.Load())
	stop()
	load.Wait()
	got := q.count(t)
	report(t, "%s", got)
	// The crash takes up to 2 s of the log with it.
	if got.Wrong != 0 || got.Banned != 0 || got.Good > 2*fleetSize {
		t.Errorf("the log has %s, want at most %d good logins", got, 2*fleetSize)
	}
}

func TestAWrongPasswordIsSentToQBittorrentOnce(t *testing.T) {
	t.Parallel()
	q := startQBittorrent(t, webUI{})
	f := newFleet(t)
	wrong := f.add(t, 30, q.account(t, "admin", "wrong")) // of one account
	eventually(t, time.Minute, "all are rejected", func() bool { return inState(wrong, session.Rejected) == len(wrong) })
	if _, err := wrong[0].Token(t.Context()); !errors.Is(err, pbx.ErrInvalidCredentials) {
		t.Errorf("a token: %v", err)
	}
	pause(t, 20*time.Second)
	got := q.count(t)
	report(t, "%s", got)
	if want := (qbCounts{Wrong: 1, InARow: 1}); got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
}

// Programs that do not take no for an answer.
func TestLoopsOfRetryAndAddDoNotBan(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		again func(t *testing.T, f *fleet, s *session.Session, auth func() pbx.Authenticator)
	}{
		{"Retry", func(t *testing.T, f *fleet, s *session.Session, auth func() pbx.Authenticator) { s.Retry(t.Context()) }},
		{"Remove and Add", func(t *testing.T, f *fleet, s *session.Session, auth func() pbx.Authenticator) {
			f.Remove(t.Context(), "wrong")
			if _, err := f.Add("wrong", auth()); err != nil {
				t.Error(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			q := startQBittorrent(t, webUI{})
			f := newFleet(t)
			good := f.add(t, 1, q.good(t))
			allLive(t, time.Minute, good)
			auth := q.account(t, "admin", "wrong")
			if _, err := f.Add("wrong", auth()); err != nil {
				t.Fatal(err)
			}
			throughout(t, 40*time.Second, "the good session works", func() bool {
				s, _ := f.Session("wrong")
				tt.again(t, f, s, auth)
				return live(good) == 1 && works(t, good[0]) == nil
			})
			got := q.count(t)
			report(t, "%s", got)
			if got.InARow >= 5 || got.Banned > 0 {
				t.Errorf("the log has %s, want less than 5 wrong logins in a row and no ban", got)
			}
		})
	}
}

// A service that is restarted again and again, with its ledger in files.
func TestRestartsWithALedgerInFilesSendAWrongPasswordOnce(t *testing.T) {
	t.Parallel()
	q := startQBittorrent(t, webUI{})
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	const restarts = 30
	for range restarts {
		files, err := store.Files(dir)
		if err != nil {
			t.Fatal(err)
		}
		guard, err := session.NewGuard(files)
		if err != nil {
			t.Fatal(err)
		}
		m := session.NewManager(&session.Options{Guard: guard})
		for name, auth := range map[string]pbx.Authenticator{"good": q.good(t)(), "wrong": q.account(t, "admin", "wrong")()} {
			if _, err := m.Add(name, auth); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := m.Ready(ctx); err != nil {
			t.Errorf("first verdicts: %v", err)
		}
		if good, _ := m.Session("good"); works(t, good) != nil {
			t.Errorf("the good session is %v", good.Status())
		}
		if wrong, _ := m.Session("wrong"); wrong.Status().State != session.Rejected {
			t.Errorf("the wrong one is %v", wrong.Status())
		}
		m.Close(ctx)
		cancel()
	}
	got := q.count(t)
	report(t, "%s in %d restarts", got, restarts)
	if want := (qbCounts{Good: restarts, Wrong: 1, InARow: 1}); got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
}

// wrongBeside adds 30 accounts with wrong passwords beside a good one.
func wrongBeside(t *testing.T, q *qBittorrent, f *fleet) (good, wrong []*session.Session) {
	t.Helper()
	good = f.add(t, 1, q.good(t))
	allLive(t, time.Minute, good) // of accounts of which none has logged in, nobody knows which is good
	for i := range 30 {
		wrong = append(wrong, f.add(t, 1, q.account(t, fmt.Sprintf("user%d", i), "wrong"))...)
	}
	return good, wrong
}

func TestThirtyWrongAccountsDoNotBanAGoodOne(t *testing.T) {
	t.Parallel()
	q := startQBittorrent(t, webUI{})
	f := newFleet(t)
	good, wrong := wrongBeside(t, q, f)
	throughout(t, 45*time.Second, "the good session works", func() bool { return live(good) == 1 && works(t, good[0]) == nil })
	got := q.count(t)
	report(t, "%s; %d of %d wrong accounts are refused", got, inState(wrong, session.Rejected), len(wrong))
	if got.InARow >= 5 || got.Banned > 0 || got.Wrong < 2 {
		t.Errorf("the log has %s, want less than 5 wrong logins in a row and no ban", got)
	}
}

// A good login clears qBittorrent's count, so every wrong account gets its turn.
func TestThirtyWrongAccountsAreAllRefusedInTenMinutes(t *testing.T) {
	onlyLong(t)
	t.Parallel()
	q := startQBittorrent(t, webUI{})
	f := newFleet(t)
	good, wrong := wrongBeside(t, q, f)
	throughout(t, 10*time.Minute, "the good session works", func() bool { return live(good) == 1 && works(t, good[0]) == nil })
	got := q.count(t)
	report(t, "%s", got)
	if got.InARow >= 5 || got.Banned > 0 || got.Wrong != len(wrong) {
		t.Errorf("the log has %s, want %d wrong logins, less than 5 in a row, and no ban", got, len(wrong))
	}
	if n := inState(wrong, session.Rejected); n != len(wrong) {
		t.Errorf("%d of %d wrong accounts are refused: %s", n, len(wrong), describe(wrong))
	}
}

func TestLiveSessionsSurviveABanThatSomebodyElseCaused(t *testing.T) {
	t.Parallel()
	q := startQBittorrent(t, webUI{Ban: 15 * time.Second, Session: 6 * time.Second})
	f := newFleet(t)
	alive := f.add(t, 10, q.good(t))
	allLive(t, time.Minute, alive)
	if last := q.somebodyElse(t, 6); !strings.Contains(last, "banned") {
		t.Fatalf("not banned: %s", last)
	}
	banned := time.Now()
	late := f.add(t, 3, q.good(t))
	eventually(t, 5*time.Second, "a new session reports the ban", func() bool { return inState(late, session.Locked) > 0 })
	throughout(t, 12*time.Second, "the other sessions work", func() bool {
		for _, s := range alive {
			if works(t, s) != nil {
				return false
			}
		}
		return true
	})
	allLive(t, 45*time.Second, late)
	t.Logf("the new sessions are live %s after a ban of %s began", time.Since(banned).Round(time.Second), q.settings.Ban)
	got := q.count(t)
	report(t, "%s", got)
	// One refused login is that of somebody else, and two may be under way before
	// the ban is known.
	if got.Wrong != 5 || got.Banned > 3 || got.Good != len(alive)+len(late) {
		t.Errorf("the log has %s, want 5 wrong logins and %d good ones", got, len(alive)+len(late))
	}
}

// A ban that began while no session had a token.
func TestSessionsAreBackAfterABan(t *testing.T) {
	t.Parallel()
	q := startQBittorrent(t, webUI{Ban: 10 * time.Second})
	if last := q.somebodyElse(t, 6); !strings.Contains(last, "banned") {
		t.Fatalf("not banned: %s", last)
	}
	f := newFleet(t)
	all := f.add(t, 10, q.good(t))
	t.Logf("all live after %s", allLive(t, time.Minute, all).Round(time.Second))
	for _, s := range all {
		if err := works(t, s); err != nil {
			t.Error(err)
		}
	}
	// One refused login is that of somebody else.
	got := q.count(t)
	report(t, "%s", got)
	if want := (qbCounts{Good: 10, Wrong: 5, Banned: 2, InARow: 5}); got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
}
