package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/internal/leak"
	"github.com/pbxauth/pbx/session"
	"github.com/rs/zerolog"
)

const (
	account       = "crm@office.example"
	password      = "canary-password-8f2Kq7Zw"
	clientAddress = "127.0.0.1" // that the PBX locks
)

// testbed is what a rule is checked with: a fresh PBX, the driver opened for it,
// and a leak.Detector for everything that the driver says.
type testbed struct {
	harness   Harness
	sim       *pbxsim.PBX
	server    *pbxsim.Server
	transport *interceptor
	auth      *observedDriver
	leaks     leak.Detector

	stopLog func() // see hearStandardLog

	mu       sync.Mutex // guards the fields below
	faults   []error
	opened   []pbx.Authenticator
	sessions []*session.Session
	issued   []string // by the PBX: tokens, refresh tokens among them
}

// newTestbed makes the PBX that a rule needs, with the suite's account, and
// opens the driver.
func newTestbed(h Harness, r Rule) (*testbed, error) {
	t := &testbed{harness: h}
	t.leaks.Plant("password", password)
	settings := &pbxsim.Options{Accounts: map[string]string{account: password}}
	settings.NewToken = func() string {
		token := t.sim.Dialect().NewToken()
		t.leaks.Plant("token", token)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.issued = append(t.issued, token)
		return token
	}
	if r.options != nil {
		r.options(settings)
	}
	t.sim = h.Simulator(settings)
	t.server = r.listen(t.sim)
	_, host, _ := strings.Cut(t.server.URL, "://")
	t.transport = &interceptor{base: t.server.Client().Transport, host: host, progress: r.progress}
	t.stopLog = hearStandardLog(&t.leaks)
	auth, err := t.open(nil)
	if err != nil {
		t.stopLog()
		t.server.Close()
		return nil, fmt.Errorf("opening the driver: %w", err)
	}
	t.auth = auth
	return t, nil
}

// listen puts the PBX where the rule needs it.
func (r Rule) listen(p *pbxsim.PBX) *pbxsim.Server {
	if r.overTLS {
		return pbxsim.ListenTLS(p)
	}
	return pbxsim.ListenMemory(p)
}

// open opens the driver for this PBX once more, with changes to its settings.
func (t *testbed) open(change func(*pbx.Config)) (*observedDriver, error) {
	return t.openWith(t.config(change))
}

// config is the settings for this PBX and the suite's account, with changes, in
// the form that the driver takes.
func (t *testbed) config(change func(*pbx.Config)) pbx.Config {
	cfg := pbx.Config{
		URL:       t.server.URL,
		Username:  account,
		Password:  pbx.NewSecret(password),
		Options:   maps.Clone(t.harness.Options),
		Transport: t.transport,
		Logger:    t.logger(),
	}
	if change != nil {
		change(&cfg)
	}
	return t.harness.converted(cfg)
}

func (t *testbed) openWith(cfg pbx.Config) (*observedDriver, error) {
	auth, err := t.harness.open(cfg)
	t.observe("the error of opening", err)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opened = append(t.opened, auth)
	return &observedDriver{Authenticator: auth, bed: t}, nil
}

func (t *testbed) logger() zerolog.Logger {
	return zerolog.New(&t.leaks).Level(zerolog.TraceLevel)
}

// session starts a session over the driver, with a lockout budget of its own.
func (t *testbed) session() *session.Session {
	s := session.New(t.auth, &session.Options{Guard: new(session.Guard), Logger: t.logger()})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sessions = append(t.sessions, s)
	return s
}

// maxError is how long an error may be, in bytes.
const maxError = 64 << 10

// observe searches what v prints for secrets, at the end of the rule.
func (t *testbed) observe(where string, v any) {
	if err, ok := v.(error); ok {
		if text := err.Error(); len(text) > maxError {
			t.fault("%s has %d KiB", where, len(text)>>10)
			t.leaks.Text(where, text[:maxError])
			return
		}
	}
	t.leaks.Print(where, v)
}

// fault records what breaks any rule, such as a panic.
func (t *testbed) fault(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, fmt.Errorf(format, args...))
}

// end closes everything, and returns what breaks any rule: operations that
// panicked or did not return, and leaked secrets.
func (t *testbed) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, s := range t.sessions {
		t.observe("an error of Session.Close", s.Close(ctx))
	}
	t.server.Close()
	if n := t.transport.closeBodies(); n > 0 {
		t.fault("response bodies that are not closed, each of which keeps a connection: %d", n)
	}
	if host := t.transport.elsewhere.Load(); host != nil {
		t.fault("a request goes to %s, which is not the host in Config.URL", *host)
	}
	for _, auth := range t.opened {
		t.observe("the Authenticator", auth)
	}
	t.stopLog()
	var leaks []error
	for _, line := range t.leaks.Leaks() {
		leaks = append(leaks, errors.New(line))
	}
	return errors.Join(append(t.faults, leaks...)...)
}

// tokenLifetime is how long a token is valid at the PBX.
func (t *testbed) tokenLifetime() time.Duration { return t.sim.Dialect().Defaults().Lifetime }

// alive reports whether the PBX still accepts the token, without using it.
func (t *testbed) alive(token *pbx.Token) bool {
	return slices.Contains(t.sim.Tokens(account), token.Value.Reveal())
}

// login logs in, and returns an error unless that succeeds.
func (t *testbed) login() (*pbx.Token, error) {
	token, err := t.auth.Login(context.Background())
	switch {
	case err != nil:
		return nil, fmt.Errorf("a good login fails: %w", err)
	case token == nil || token.Value.IsZero():
		return nil, errors.New("a good login returns no token")
	}
	return token, nil
}

// call sends the harmless request with a token, and returns what the driver says
// about the response.
func (t *testbed) call(token *pbx.Token) error { return t.callIn(context.Background(), token) }

func (t *testbed) callIn(ctx context.Context, token *pbx.Token) error {
	r := t.harness.Call(t.server.URL).WithContext(ctx)
	if err := t.auth.Authorize(r, token); err != nil {
		return fmt.Errorf("Authorize: %w", err)
	}
	resp, err := t.auth.Transport().RoundTrip(r)
	if err != nil {
		return fmt.Errorf("the request gets no response: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("the response to the request breaks off: %w", err)
	}
	return t.auth.Inspect(resp, body, token)
}

// operation is Login, KeepAlive or Logout of the driver.
type operation struct {
	name   string
	action pbxsim.Action
	run    func(context.Context) error
}

// operations returns those that the brand has. KeepAlive and Logout use token.
func (t *testbed) operations(token *pbx.Token) []operation {
	all := []operation{{"Login", pbxsim.Login, func(ctx context.Context) error {
		return noToken(t.auth.Login(ctx))
	}}}
	if t.auth.keepAlive() != pbx.KeepAliveNone {
		all = append(all, operation{"KeepAlive", pbxsim.KeepAlive, func(ctx context.Context) error {
			return noToken(t.auth.KeepAlive(ctx, token))
		}})
	}
	if t.auth.Traits().Logout != pbx.LogoutNone {
		all = append(all, operation{"Logout", pbxsim.Logout, func(ctx context.Context) error {
			return t.auth.Logout(ctx, token)
		}})
	}
	return all
}

// sending returns the operations, and the Ping if the driver has one.
func (t *testbed) sending(token *pbx.Token) []operation {
	all := t.operations(token)
	if pinger(t) == "" {
		all = append(all, operation{"Ping", "", func(ctx context.Context) error { return t.auth.Ping(ctx, token) }})
	}
	return all
}

// uses returns what sends something, and the harmless request if the driver can
// authorize it.
func (t *testbed) uses(token *pbx.Token) []operation {
	all := t.sending(token)
	if requester(t) == "" {
		all = append(all, operation{"a request", pbxsim.AppRequest, func(ctx context.Context) error { return t.callIn(ctx, token) }})
	}
	return all
}

// emptyResponse reports whether the brand's good response to an operation on a
// token has an empty body. Then an empty or truncated one proves no failure. It
// is found out at a PBX of its own.
func (t *testbed) emptyResponse(action pbxsim.Action) (bool, error) {
	if action == pbxsim.Login {
		return false, nil // it brings the token
	}
	other, err := newTestbed(t.harness, Rule{})
	if err != nil {
		return false, err
	}
	defer other.end()
	token, err := other.login()
	if err != nil {
		return false, err
	}
	for _, op := range other.operations(token) {
		if op.action != action {
			continue
		}
		if err := op.run(context.Background()); err != nil {
			return false, fmt.Errorf("a good %s fails: %w", op.name, err)
		}
	}
	log := other.sim.Log()
	last := log[len(log)-1]
	return last.Action == action && len(last.Reply) == 0, nil
}

// count is how many requests of an action have reached the PBX.
func (t *testbed) count(action pbxsim.Action) int {
	counts := t.sim.Counts()
	switch action {
	case pbxsim.Login:
		return counts.Logins
	case pbxsim.KeepAlive:
		return counts.KeepAlives
	case pbxsim.Logout:
		return counts.Logouts
	}
	return counts.Requests - counts.Logins - counts.KeepAlives - counts.Logouts
}

// newest is the secret that the PBX issued last, or the one that many before it.
// In a pair, the refresh token is the later one.
func (t *testbed) newest(back int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.issued[len(t.issued)-1-back]
}
