//go:build linux

package realservers

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/session"
)

// forward passes all requests on to a server.
func forward(backend string) string {
	return "listen 127.0.0.1:$PORT; location / { proxy_pass " + backend + "; }"
}

// eachBrand runs a test for each brand at the same time.
func eachBrand(t *testing.T, test func(t *testing.T, b simulators.Simulator)) {
	t.Parallel()
	for _, b := range brands() {
		t.Run(b.Driver, func(t *testing.T) {
			t.Parallel()
			test(t, b)
		})
	}
}

// What a proxy may do to requests and responses without a session noticing: it
// is live, its requests are accepted, it notices that the PBX has restarted, and
// it logs out.
func TestASessionDoesNotNoticeAnNginxThat(t *testing.T) {
	t.Parallel()
	requireProgram(t, "nginx")
	tests := []struct {
		name   string
		scheme string
		path   string // of the URL
		server string // $BACKEND is the simulator
	}{
		{"ends TLS and adds a prefix", "https", "/customer/pbx-7",
			"listen 127.0.0.1:$PORT ssl; location /customer/pbx-7/ { proxy_pass $BACKEND/; }"},
		{"offers HTTP 2", "https", "",
			"listen 127.0.0.1:$PORT ssl http2; location / { proxy_pass $BACKEND; }"},
		{"keeps no connection", "http", "",
			"listen 127.0.0.1:$PORT; keepalive_timeout 0; location / { proxy_pass $BACKEND; }"},
		{"keeps connections for a second", "http", "",
			"listen 127.0.0.1:$PORT; keepalive_timeout 1; location / { proxy_pass $BACKEND; proxy_http_version 1.1; proxy_set_header Connection ''; }"},
		{"does not buffer", "http", "",
			"listen 127.0.0.1:$PORT; location / { proxy_pass $BACKEND; proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off; }"},
		{"compresses", "http", "",
			"listen 127.0.0.1:$PORT; gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any; location / { proxy_pass $BACKEND; }"},
		{"rewrites cookies", "https", "/pbx",
			"listen 127.0.0.1:$PORT ssl; location /pbx/ { proxy_pass $BACKEND/; proxy_cookie_path ~^ /pbx/; proxy_cookie_domain ~.* gw.example; proxy_cookie_flags ~ secure httponly samesite=strict; }"},
		{"adds headers and passes Host", "http", "",
			"listen 127.0.0.1:$PORT; add_header Set-Cookie 'route=7; path=/' always; add_header X-Frame-Options DENY always; location / { proxy_pass $BACKEND; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; }"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachBrand(t, func(t *testing.T, b simulators.Simulator) {
				sim := simulate(t, b, time.Hour)
				n := startNginx(t, strings.ReplaceAll(tt.server, "$BACKEND", sim.server.URL), "")
				trust := pbx.TLS{}
				if tt.scheme == "https" {
					trust = n.trust
				}
				f := newFleet(t)
				open := sim.open(t, tt.scheme+"://"+n.address()+tt.path, trust)
				traits := traitsOf(t, open())
				s := f.add(t, 1, open)
				allLive(t, time.Minute, s)
				for range 3 {
					if err := sim.request(t, s[0]); err != nil {
						t.Error(err)
					}
				}
				sim.Restart()
				if err := sim.request(t, s[0]); err != nil {
					t.Errorf("after a restart: %v", err)
				}
				f.close()
				c := sim.Counts()
				report(t, "%d logins, %d wrong", c.GoodLogins, c.WrongLogins)
				if c.GoodLogins != 2 || c.WrongLogins != 0 {
					t.Errorf("%d good logins, %d wrong ones; want 2, 0", c.GoodLogins, c.WrongLogins)
				}
				if traits.Logout == pbx.LogoutNone {
					return // the brand has no logout
				}
				if c.Logouts != 1 || traits.Logout == pbx.LogoutToken && len(sim.Tokens(user)) != 0 {
					t.Errorf("%d logouts, %d tokens left; want 1, 0", c.Logouts, len(sim.Tokens(user)))
				}
			})
		})
	}
}

// A program that unpacks responses itself, as with a client of its own.
func TestADeadTokenIsNoticedInAResponseThatNginxCompressed(t *testing.T) {
	eachBrand(t, func(t *testing.T, b simulators.Simulator) {
		sim := simulate(t, b, time.Hour)
		n := startNginx(t, "listen 127.0.0.1:$PORT; gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any; location / { proxy_pass "+sim.server.URL+"; }", "")
		f := newFleet(t)
		s := f.add(t, 1, sim.open(t, "http://"+n.address(), pbx.TLS{}))
		allLive(t, time.Minute, s)
		sim.Restart()
		r := b.Harmless.At(s[0].URL()).WithContext(t.Context())
		r.Header.Set("Accept-Encoding", "gzip")
		resp, err := s[0].Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body(t, resp)
		if resp.Header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("nginx did not compress: %v", resp.Header)
		}
		c := sim.Counts()
		report(t, "%d logins", c.GoodLogins)
		if c.GoodLogins != 2 || c.AppRequests != 1 {
			t.Errorf("%d logins and %d accepted requests, want 2 and 1", c.GoodLogins, c.AppRequests)
		}
	})
}

// nginx responds with 502 at once while the PBX is down. Ten sessions whose
// credentials worked before are live 15 s and 1 % of the outage after its end.
func TestSessionsAreBackAfterNginxHadNoBackend(t *testing.T) {
	t.Parallel()
	for _, outage := range []time.Duration{20 * time.Second, 70 * time.Second} {
		for _, lost := range []bool{false, true} {
			if outage > time.Minute && !lost {
				continue
			}
			name := fmt.Sprintf("for %s, tokens kept", outage)
			if lost {
				name = fmt.Sprintf("for %s, tokens lost", outage)
			}
			t.Run(name, func(t *testing.T) {
				eachBrand(t, func(t *testing.T, b simulators.Simulator) {
					sim := simulate(t, b, shortLife(t, b))
					n := startNginx(t, forward(sim.server.URL), "")
					outageBehind(t, sim, n, outage, func() {
						sim.server.Close()
					}, func() {
						if lost {
							sim.Restart()
						}
						sim.server.Reopen()
					})
				})
			})
		}
	}
}

// nginx responds with 404 or a page about maintenance, because its settings do not name
// the PBX for a while. The PBX has lost its tokens then.
func TestSessionsAreBackAfterNginxDidNotKnowThePBX(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]string{"404": "return 404;", "maintenance": "default_type text/html; return 200 '<html>Down for maintenance</html>';"} {
		t.Run(name, func(t *testing.T) {
			eachBrand(t, func(t *testing.T, b simulators.Simulator) {
				sim := simulate(t, b, shortLife(t, b))
				n := startNginx(t, forward(sim.server.URL), "")
				outageBehind(t, sim, n, 20*time.Second, func() {
					n.reconfigure(t, "listen 127.0.0.1:$PORT; location / { "+page+" }", "")
				}, func() {
					sim.Restart()
					n.reconfigure(t, forward(sim.server.URL), "")
				})
			})
		})
	}
}

// nginx responds with 504 after its own timeout while the PBX hangs.
func TestSessionsAreBackAfterTheBackendOfNginxHung(t *testing.T) {
	eachBrand(t, func(t *testing.T, b simulators.Simulator) {
		sim := simulate(t, b, shortLife(t, b))
		n := startNginx(t, "listen 127.0.0.1:$PORT; location / { proxy_pass "+sim.server.URL+"; proxy_read_timeout 3; }", "")
		outageBehind(t, sim, n, 30*time.Second, func() {
			sim.Restart()
			sim.Down(pbxsim.Silent)
		}, sim.Up)
	})
}

func traitsOf(t *testing.T, auth pbx.Authenticator) pbx.Traits {
	t.Helper()
	d, ok := pbx.As[pbx.Describer](auth)
	if !ok {
		t.Fatal("the driver does not describe itself")
	}
	return d.Traits()
}

// shortLife is the lifetime of tokens that have to be kept alive meanwhile. A brand
// without a keep-alive would log in each time.
func shortLife(t *testing.T, b simulators.Simulator) time.Duration {
	t.Helper()
	if traitsOf(t, simulate(t, b, time.Hour).open(t, "http://127.0.0.1", pbx.TLS{})()).KeepAlive == pbx.KeepAliveNone {
		return time.Hour
	}
	return 20 * time.Second
}

func outageBehind(t *testing.T, sim *simulated, n *nginx, outage time.Duration, begin, end func()) {
	t.Helper()
	f := newFleet(t)
	all := f.add(t, 10, sim.open(t, "http://"+n.address(), pbx.TLS{}))
	allLive(t, time.Minute, all)
	before := sim.Counts()
	begin()
	for deadline := time.Now().Add(outage); time.Now().Before(deadline); pause(t, time.Second) {
		for _, s := range all { // an application that goes on
			sim.request(t, s)
		}
	}
	end()
	took := allWork(t, 15*time.Second+outage/100, sim, all)
	after := sim.Counts()
	back := "not all"
	if !t.Failed() {
		back = fmt.Sprintf("%.1f s", took.Seconds())
	}
	report(t, "%s; %d logins; nginx %s", back, after.GoodLogins-before.GoodLogins, n.statuses(t))
	if after.WrongLogins != 0 || after.LockedLogins != 0 {
		t.Errorf("%d wrong logins, %d while locked", after.WrongLogins, after.LockedLogins)
	}
	// The outage may cut off the response to one login, which is then repeated.
	if n := after.GoodLogins - before.GoodLogins; n > len(all)+1 {
		t.Errorf("%d logins for %d sessions", n, len(all))
	}
}

// allWork waits until a request of every session was accepted.
func allWork(t *testing.T, within time.Duration, sim *simulated, sessions []*session.Session) time.Duration {
	t.Helper()
	begin := time.Now()
	works := make([]bool, len(sessions))
	for {
		n := 0
		var failed error
		for i, s := range sessions {
			if !works[i] {
				err := sim.request(t, s)
				works[i] = err == nil
				failed = errors.Join(failed, err)
			}
			if works[i] {
				n++
			}
		}
		if n == len(sessions) {
			return time.Since(begin)
		}
		if time.Since(begin) > within {
			first, _, _ := strings.Cut(failed.Error(), "\n")
			t.Errorf("after %s %d of %d sessions work: %s", within, n, len(sessions), first)
			return time.Since(begin)
		}
		pause(t, 200*time.Millisecond)
	}
}

// A 401 that asks for HTTP Basic is not about the PBX's accounts.
func TestBasicAuthInNginxIsNoVerdictOnThePassword(t *testing.T) {
	const basic = `listen 127.0.0.1:$PORT; location / { auth_basic "staff only"; auth_basic_user_file $DIR/users; proxy_pass $BACKEND; }`
	eachBrand(t, func(t *testing.T, b simulators.Simulator) {
		sim := simulate(t, b, time.Hour)
		n := startNginx(t, forward(sim.server.URL), "")
		if err := os.WriteFile(n.file("users"), []byte("staff:{PLAIN}another\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		closed := strings.NewReplacer("$DIR", n.dir, "$BACKEND", sim.server.URL).Replace(basic)
		f := newFleet(t)
		old := f.add(t, 1, sim.open(t, "http://"+n.address(), pbx.TLS{}))
		allLive(t, time.Minute, old)

		n.reconfigure(t, closed, "")
		fresh := f.add(t, 3, sim.open(t, "http://"+n.address(), pbx.TLS{}))
		for range 20 {
			sim.request(t, old[0])
			pause(t, 500*time.Millisecond)
		}
		named := 0 // by the one whose login was sent; the others wait until a check gets through
		for _, s := range fresh {
			switch st := s.Status(); {
			case errors.Is(st.Err, pbx.ErrConfig) && strings.Contains(st.Err.Error(), "Basic"):
				named++
			case st.State != session.Unavailable || !errors.Is(st.Err, pbx.ErrUnavailable):
				t.Errorf("%s: %v", st.State, st.Err)
			}
		}
		if named == 0 {
			t.Error("no error names what asks for authentication")
		}
		n.reconfigure(t, forward(sim.server.URL), "")
		allWork(t, 15*time.Second, sim, old)
		// These have never logged in. Their login is repeated slowly.
		allWork(t, 75*time.Second, sim, fresh)
		c := sim.Counts()
		report(t, "%d logins, %d wrong; nginx %s", c.GoodLogins, c.WrongLogins, n.statuses(t))
		most := 1 + len(fresh)
		if b.Driver == "3cx" { // whose login ends the token of the one before: the sessions share an account
			most *= 2
		}
		if c.GoodLogins > most || c.WrongLogins != 0 {
			t.Errorf("%d good logins, %d wrong ones; want at most %d, 0", c.GoodLogins, c.WrongLogins, most)
		}
	})
}

// A rate limit in front of the PBX is no lock of the PBX.
func TestARateLimitInNginxLocksNobody(t *testing.T) {
	eachBrand(t, func(t *testing.T, b simulators.Simulator) {
		sim := simulate(t, b, time.Hour)
		n := startNginx(t, "listen 127.0.0.1:$PORT; location / { limit_req zone=pbx burst=3 nodelay; limit_req_status 429; proxy_pass "+sim.server.URL+"; }",
			"limit_req_zone $binary_remote_addr zone=pbx:1m rate=2r/s;")
		f := newFleet(t)
		all := f.add(t, 10, sim.open(t, "http://"+n.address(), pbx.TLS{}))
		locked := 0
		begin := time.Now()
		for live(all) < len(all) && time.Since(begin) < 100*time.Second {
			locked = max(locked, inState(all, session.Locked))
			pause(t, 100*time.Millisecond)
		}
		report(t, "%d of %d live after %.0f s; nginx %s", live(all), len(all), time.Since(begin).Seconds(), n.statuses(t))
		if live(all) < len(all) || locked > 0 {
			t.Errorf("%d of %d sessions are live, %d were locked: %s", live(all), len(all), locked, describe(all))
		}
		if c := sim.Counts(); c.GoodLogins != len(all) || c.WrongLogins != 0 {
			t.Errorf("%d good logins, %d wrong ones; want %d, 0", c.GoodLogins, c.WrongLogins, len(all))
		}
	})
}

// What a person has to change in the settings. Nothing reaches the PBX, and
// nothing is counted as a login.
func TestASessionSaysWhatToChangeBehindAnNginxThat(t *testing.T) {
	t.Parallel()
	requireProgram(t, "nginx")
	tests := []struct {
		name, scheme, path, server string
		says                       string // $PORT is nginx's
	}{
		{"redirects to https", "http", "", "listen 127.0.0.1:$PORT; return 301 https://pbx.example:8443$request_uri;", "https://pbx.example:8443"},
		{"redirects to another path", "http", "/old", "listen 127.0.0.1:$PORT; location /old/ { rewrite ^/old/(.*)$ /new/$1 permanent; }", "/new"},
		{"redirects to a login page", "http", "", "listen 127.0.0.1:$PORT; return 302 /login.html;", "redirect"},
		{"listens for TLS on this port", "http", "", "listen 127.0.0.1:$PORT ssl;", "https"},
		{"does not listen for TLS on this port", "https", "", "listen 127.0.0.1:$PORT;", "http"},
		{"asks for a client certificate", "https", "", "listen 127.0.0.1:$PORT ssl; ssl_verify_client on; ssl_client_certificate certificate.pem;", "asks for a client certificate"},
		{"has other names", "https", "", "listen 127.0.0.1:$PORT ssl; ssl_reject_handshake on;", "no certificate for this name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachBrand(t, func(t *testing.T, b simulators.Simulator) {
				sim := simulate(t, b, time.Hour)
				n := startNginx(t, tt.server, "")
				trust := pbx.TLS{}
				if tt.scheme == "https" {
					trust = n.trust
				}
				auth := sim.open(t, tt.scheme+"://"+n.address()+tt.path, trust)()
				_, err := auth.Login(t.Context())
				if !errors.Is(err, pbx.ErrConfig) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%v, want %q", err, tt.says)
				}
			})
		})
	}
}

func TestNginxAtTheWrongPathIsNoVerdictOnThePassword(t *testing.T) {
	eachBrand(t, func(t *testing.T, b simulators.Simulator) {
		sim := simulate(t, b, time.Hour)
		n := startNginx(t, "listen 127.0.0.1:$PORT; location /pbx/ { proxy_pass "+sim.server.URL+"/; } location = /closed { deny all; }", "")
		for _, path := range []string{"", "/closed"} {
			_, err := sim.open(t, "http://"+n.address()+path, pbx.TLS{})().Login(t.Context())
			if err == nil || errors.Is(err, pbx.ErrInvalidCredentials) || errors.Is(err, pbx.ErrLocked) {
				t.Errorf("%q: %v", path, err)
			}
		}
	})
}

// qBittorrent checks the Host that nginx passes, and sets a cookie for a path.
func TestQBittorrentBehindNginx(t *testing.T) {
	t.Parallel()
	q := startQBittorrent(t, webUI{})
	n := startNginx(t, "listen 127.0.0.1:$PORT ssl; location /qbt/ { proxy_pass "+q.url()+"/; proxy_cookie_path / /qbt/; }", "")
	f := newFleet(t)
	open := q.behind(t, "https://"+n.address()+"/qbt", "admin", "adminadmin", n.trust)
	s := f.add(t, 1, open)
	allLive(t, time.Minute, s)
	for range 3 {
		if err := works(t, s[0]); err != nil {
			t.Error(err)
		}
	}

	n.reconfigure(t, "listen 127.0.0.1:$PORT ssl; location /qbt/ { proxy_pass "+q.url()+"/; proxy_set_header Host $http_host; }", "")
	var err error
	eventually(t, 10*time.Second, "nginx responds", func() bool { // not over a connection that it has just closed
		_, err = open().Login(t.Context())
		return !errors.Is(err, pbx.ErrUnavailable)
	})
	if !errors.Is(err, pbx.ErrConfig) {
		t.Errorf("with a Host that qBittorrent does not serve: %v", err)
	}
	got := q.count(t)
	report(t, "%s", got)
	if want := (qbCounts{Good: 1}); got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
}
