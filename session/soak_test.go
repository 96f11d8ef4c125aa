package session_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/internal/thorough"
	"github.com/pbxauth/pbx/session"
	"github.com/rs/zerolog"
)

var (
	soakSessions = flag.Int("soak-sessions", 60, "sessions of TestSoak")
	soakTime     = flag.Duration("soak-time", 0, "virtual time of TestSoak; 0: a day with PBX_TESTS=all, otherwise eight hours, or four under the race detector")
)

// soaked is one PBX of the soak and what this side knows of its account.
type soaked struct {
	brand   simulators.Simulator
	sim     *pbxsim.PBX
	session *session.Session

	mu       sync.Mutex
	password string    // what the CRM's settings say
	foreign  time.Time // the end of a lock that somebody else caused
	caused   bool
}

const canary = "c4n4ry" // in every password and token

// TestSoak keeps a fleet of all brands logged in for eight hours (a day with
// PBX_TESTS=all; a week, and a thousand of them, with -soak-time 168h
// -soak-sessions 1000) of virtual time, while one response in ten is faulty, PBXs
// restart, passwords change, and other people get this machine locked out.
func TestSoak(t *testing.T) {
	t.Parallel()
	took := *soakTime
	switch {
	case took > 0:
	case session.RaceDetector:
		took = 4 * time.Hour
	case thorough.Tests():
		took = 24 * time.Hour
	default:
		took = 8 * time.Hour
	}
	log := &searchedLog{secrets: map[string]bool{}}
	logger := zerolog.New(log)
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(7, 0))
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Logger: logger})
		var fleet []*soaked
		brands := simulators.All() // a session of each in turn
		for i := range *soakSessions {
			brand := brands[i%len(brands)]
			password := fmt.Sprintf("%s-password-%d", canary, i)
			options := &pbxsim.Options{Accounts: map[string]string{"api": password}}
			if brand.Driver != "asterisk" { // whose ids have no room for it
				serial := 0
				options.NewToken = func() string { serial++; return fmt.Sprintf("%s%08d%018d", canary, i, serial) }
			}
			sim := brand.New(options)
			server := pbxsim.ListenMemory(sim)
			defer server.Close()
			p := &soaked{brand: brand, sim: sim, password: password}
			auth, err := pbx.Open(brand.Driver, pbx.Config{
				URL: server.URL, Options: brand.Options, Logger: logger,
				Transport: &faulty{next: server.Client().Transport, random: rand.New(rand.NewPCG(uint64(i), 1))},
				Credentials: func(context.Context) (pbx.Credentials, error) {
					p.mu.Lock()
					defer p.mu.Unlock()
					return pbx.Credentials{Username: "api", Password: pbx.NewSecret(p.password)}, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			p.session, err = m.Add(fmt.Sprint(i), auth)
			if err != nil {
				t.Fatal(err)
			}
			fleet = append(fleet, p)
		}

		available, asked := 0, 0
		for start := time.Now(); time.Since(start) < took; {
			time.Sleep(time.Minute)
			for _, p := range fleet {
				if time.Since(start) > 10*time.Minute { // all are logged in by then
					asked++
					if token, err := p.session.Token(expired); err == nil {
						available++
						log.lookFor(token.Value)
						log.lookFor(token.Refresh)
					}
				}
				if until, locked := p.sim.Locked("127.0.0.1"); locked && until.After(p.foreign) {
					p.caused = true
				}
			}
			if operator := time.Since(start) % (6 * time.Hour); operator < time.Minute {
				for _, p := range fleet {
					p.session.Retry(context.Background()) // of those that are rejected
				}
			}
			for range int(float64(len(fleet))/720 + random.Float64()) { // each PBX meets each of these about twice a day
				pick := func() *soaked { return fleet[random.IntN(len(fleet))] }
				pick().sim.Restart()
				p := pick()
				p.sim.Lock("127.0.0.1")
				p.foreign, _ = p.sim.Locked("127.0.0.1")
				if p := pick(); random.IntN(14) == 0 { // about once a week
					p.changePassword(fmt.Sprintf("%s-password-%d", canary, random.Uint64()), time.Duration(random.IntN(60))*time.Minute)
				}
				go pick().call(t)
			}
		}
		time.Sleep(2 * time.Hour) // for the last changes of passwords
		stats := m.Stats()
		if err := m.Close(t.Context()); err != nil && !errors.Is(err, pbx.ErrUnavailable) && !errors.Is(err, pbx.ErrProtocol) {
			t.Errorf("Close: %v", err)
		}

		var total pbxsim.Counts
		caused := 0
		for _, p := range fleet {
			c := p.sim.Counts()
			total.Logins += c.Logins
			total.WrongLogins += c.WrongLogins
			total.LockedLogins += c.LockedLogins
			total.KeepAlives += c.KeepAlives
			if p.caused {
				caused++
			}
		}
		share := 100 * float64(available) / float64(asked)
		t.Logf("%d sessions, %s: a token at hand %.3f %% of the time; %d logins (%d wrong, %d while locked by others), %d keep-alives; %d lockouts caused",
			len(fleet), took, share, total.Logins, total.WrongLogins, total.LockedLogins, total.KeepAlives, caused)
		t.Logf("at the end: %+v", stats)
		if caused > 0 {
			t.Errorf("%d PBXs were led to lock this machine out", caused)
		}
		if share < 95 || stats.Live+stats.Renewing < len(fleet)*9/10 {
			t.Errorf("a token was at hand %.2f %% of the time; %+v", share, stats)
		}
	})
	for _, line := range log.leaks {
		t.Errorf("a secret is in the log: %s", line)
	}
	t.Logf("%d secrets in %d lines, %d KB of log", len(log.leaks), log.lines, log.bytes>>10)
	if log.lines < *soakSessions {
		t.Error("nothing was logged: this test looks at nothing")
	}
}

// searchedLog looks at each line as it is written, for a week's log is too large
// to keep. What it takes for secrets: the canary, which is in passwords and in
// tokens; every token that a session got; and anything of 32 hexadecimal digits,
// which is what digests look like, for one is made anew for each challenge.
type searchedLog struct {
	mu           sync.Mutex
	secrets      map[string]bool
	lines, bytes int
	leaks        []string
}

func (l *searchedLog) lookFor(secret pbx.Secret) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secrets[secret.Reveal()] = true
}

func (l *searchedLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines++
	l.bytes += len(line)
	leaks := bytes.Contains(line, []byte(canary))
	for word := range bytes.FieldsFuncSeq(line, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		leaks = leaks || l.secrets[string(word)] || len(word) >= 32 && len(bytes.Trim(word, "0123456789abcdefABCDEF")) == 0
	}
	if leaks && len(l.leaks) < 20 {
		l.leaks = append(l.leaks, string(line))
	}
	return len(line), nil
}

func TestTheSearchedLogFindsSecrets(t *testing.T) {
	for line, want := range map[string]bool{
		`{"level":"debug","host":"pbx1.test:8088","op":"login"}`:                         false,
		`{"level":"debug","path":"/api/login?token=` + canary + `00000001"}`:             true,
		`{"level":"debug","cookie":"mansession_id=0badcafe"}`:                            true,
		`{"level":"debug","body":"{\"password\":\"5f4dcc3b5aa765d61d8327deb882cf99\"}"}`: true,
	} {
		log := &searchedLog{secrets: map[string]bool{}}
		log.lookFor(pbx.NewSecret("0badcafe"))
		io.WriteString(log, line)
		if got := len(log.leaks) == 1; got != want {
			t.Errorf("%s: found is %v", line, got)
		}
	}
}

// changePassword changes it at the PBX now and in the settings later, as people
// do.
func (p *soaked) changePassword(to string, later time.Duration) {
	p.sim.SetPassword("api", to)
	p.sim.Restart()
	time.AfterFunc(later, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.password = to
	})
}

// call sends a few requests, whose errors must hold no secret either.
func (p *soaked) call(t *testing.T) {
	for range 5 {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		r := p.brand.Harmless.At(p.session.URL()).WithContext(ctx)
		if resp, err := p.session.Client().Do(r); err == nil {
			resp.Body.Close()
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("a secret is in an error: %v", err)
		}
		cancel()
		time.Sleep(time.Second)
	}
}

// faulty spoils one response in ten.
type faulty struct {
	next   http.RoundTripper
	mu     sync.Mutex
	random *rand.Rand
}

func (f *faulty) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	kind := f.random.IntN(60)
	f.mu.Unlock()
	if kind == 0 { // it never arrives
		return nil, errors.New("connection reset")
	}
	resp, err := f.next.RoundTrip(r)
	if err != nil || kind > 5 {
		return resp, err
	}
	spoil := func(status int, body string) (*http.Response, error) {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		resp.StatusCode, resp.ContentLength = status, int64(len(body))
		resp.Body = io.NopCloser(strings.NewReader(body))
		return resp, nil
	}
	switch kind {
	case 1:
		resp.Body.Close()
		return nil, io.ErrUnexpectedEOF
	case 2:
		return spoil(500, "")
	case 3:
		return spoil(502, pbxsim.HTMLPage)
	case 4:
		return spoil(200, pbxsim.HTMLPage)
	}
	return spoil(200, `{"status":`)
}
