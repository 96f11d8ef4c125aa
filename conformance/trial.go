package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
	"github.com/rs/zerolog"
)

const (
	account  = "crm@office.example"
	password = "canary-password-8f2Kq7Zw"
	caller   = "127.0.0.1" // whom the PBX locks
)

// A trial is the world of one rule: a fresh PBX, the driver opened for it, and
// an ear for all that is said.
type trial struct {
	harness Harness
	sim     *pbxsim.PBX
	server  *pbxsim.Server
	tap     *tap
	auth    *driver
	ear     ear

	mu       sync.Mutex // guards what follows
	faults   []error
	opened   []pbx.Authenticator
	sessions []*session.Session
	issued   []string // by the PBX: tokens, refresh tokens among them
}

// newTrial makes the PBX that a rule wants, with the canary account, and opens
// the driver.
func newTrial(h Harness, r Rule) (*trial, error) {
	t := &trial{harness: h}
	t.ear.plant("password", password)
	settings := &pbxsim.Options{Accounts: map[string]string{account: password}}
	settings.NewToken = func() string {
		token := t.sim.Dialect().NewToken()
		t.ear.plant("token", token)
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
	t.tap = &tap{base: t.server.Client().Transport}
	auth, err := t.open(nil)
	if err != nil {
		t.server.Close()
		return nil, fmt.Errorf("opening the driver: %w", err)
	}
	t.auth = auth
	return t, nil
}

// listen puts the PBX where the rule wants it.
func (r Rule) listen(p *pbxsim.PBX) *pbxsim.Server {
	if r.overTLS {
		return pbxsim.ListenTLS(p)
	}
	return pbxsim.ListenMemory(p)
}

// open opens the driver for this PBX once more, with changes to its settings.
func (t *trial) open(change func(*pbx.Config)) (*driver, error) {
	cfg := pbx.Config{
		URL:       t.server.URL,
		Username:  account,
		Password:  pbx.NewSecret(password),
		Options:   maps.Clone(t.harness.Options),
		Transport: t.tap,
		Logger:    t.logger(),
	}
	if change != nil {
		change(&cfg)
	}
	auth, err := t.harness.open(cfg)
	t.ear.hear("the error of opening", err)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opened = append(t.opened, auth)
	return &driver{Authenticator: auth, trial: t}, nil
}

func (t *trial) logger() zerolog.Logger {
	return zerolog.New(&t.ear.log).Level(zerolog.TraceLevel)
}

// session starts a session over the driver, with a lockout budget of its own.
func (t *trial) session() *session.Session {
	s := session.New(t.auth, &session.Options{Guard: new(session.Guard), Logger: t.logger()})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sessions = append(t.sessions, s)
	return s
}

// fault notes what breaks any rule, such as a panic.
func (t *trial) fault(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, fmt.Errorf(format, args...))
}

// end takes the world down, and returns what was wrong whatever the rule: calls
// that panicked or did not return, and secrets that got out.
func (t *trial) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, s := range t.sessions {
		t.ear.hear("an error of Session.Close", s.Close(ctx))
	}
	t.server.Close()
	for _, auth := range t.opened {
		t.ear.hear("the Authenticator", auth)
	}
	return errors.Join(append(t.faults, t.ear.leaks())...)
}

// life is how long the PBX lets a token live.
func (t *trial) life() time.Duration { return t.sim.Dialect().Defaults().Life }

// alive tells whether the PBX still accepts the token, without spending it.
func (t *trial) alive(token *pbx.Token) bool {
	return slices.Contains(t.sim.Tokens(account), token.Value.Reveal())
}

// login logs in where no more is expected of it than success.
func (t *trial) login() (*pbx.Token, error) {
	token, err := t.auth.Login(context.Background())
	switch {
	case err != nil:
		return nil, fmt.Errorf("a good login fails: %w", err)
	case token == nil || token.Value.IsZero():
		return nil, errors.New("a good login returns no token")
	}
	return token, nil
}

// call makes the harmless request with a token, and returns what the driver
// makes of the answer.
func (t *trial) call(token *pbx.Token) error {
	r := t.harness.Call(t.server.URL)
	if err := t.auth.Authorize(r, token); err != nil {
		return fmt.Errorf("Authorize: %w", err)
	}
	resp, err := t.auth.Transport().RoundTrip(r)
	if err != nil {
		return fmt.Errorf("the call gets no answer: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("the call's answer breaks off: %w", err)
	}
	return t.auth.Inspect(resp, body, token)
}

// An operation is one of the three calls of a driver.
type operation struct {
	name   string
	action pbxsim.Action
	run    func(context.Context) error
}

// operations are those that the driver has. The latter two are with token.
func (t *trial) operations(token *pbx.Token) []operation {
	login := operation{"Login", pbxsim.Login, func(ctx context.Context) error {
		got, err := t.auth.Login(ctx)
		return noToken(got, err)
	}}
	beat := operation{"KeepAlive", pbxsim.KeepAlive, func(ctx context.Context) error {
		got, err := t.auth.KeepAlive(ctx, token)
		return noToken(got, err)
	}}
	logout := operation{"Logout", pbxsim.Logout, func(ctx context.Context) error {
		return t.auth.Logout(ctx, token)
	}}
	if t.auth.keepAlive() == pbx.KeepAliveNone {
		return []operation{login, logout}
	}
	return []operation{login, beat, logout}
}

// count is how many requests for an action have reached the PBX.
func (t *trial) count(action pbxsim.Action) int {
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

// newest is the secret that the PBX issued last, or so many before it. Of a pair
// the refresh token is the later one.
func (t *trial) newest(back int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.issued[len(t.issued)-1-back]
}
