package probe_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/probe"
)

// fake is a driver that says nothing about itself. Its tokens are valid until
// they are logged out.
type fake struct {
	live  map[string]bool
	calls []string // what it was asked for, in order

	login  func() (*pbx.Token, error)                      // nil: issues a token
	beat   func(f *fake, t *pbx.Token) (*pbx.Token, error) // nil: there is none
	logout func(f *fake, t *pbx.Token) error               // nil: ends the token
	called func(op pbx.Op)                                 // nil: nothing
	traits *pbx.Traits                                     // nil: does not describe itself
}

func (f *fake) ask(op pbx.Op, t *pbx.Token) {
	text := string(op)
	if t != nil {
		text += " " + strings.TrimPrefix(t.Value.Reveal(), tokenPrefix)
	}
	f.calls = append(f.calls, text)
	if f.called != nil {
		f.called(op)
	}
}

func (f *fake) issue() (*pbx.Token, error) {
	value := fmt.Sprint(tokenPrefix, len(f.live)+1)
	f.live[value] = true
	return &pbx.Token{Value: pbx.NewSecret(value), IssuedAt: time.Now()}, nil
}

func (f *fake) Login(context.Context) (*pbx.Token, error) {
	f.ask(pbx.OpLogin, nil)
	if f.login != nil {
		return f.login()
	}
	return f.issue()
}

func (f *fake) KeepAlive(_ context.Context, t *pbx.Token) (*pbx.Token, error) {
	if f.beat == nil {
		return nil, &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Kind: pbx.ErrNotSupported}
	}
	f.ask(pbx.OpKeepAlive, t)
	return f.beat(f, t)
}

func (f *fake) Logout(ctx context.Context, t *pbx.Token) error {
	f.ask(pbx.OpLogout, t)
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.logout != nil {
		return f.logout(f, t)
	}
	delete(f.live, t.Value.Reveal())
	return nil
}

// describing is a fake with traits.
type describing struct{ *fake }

func (d describing) Traits() pbx.Traits { return *d.traits }

const secret = `canary-Horse/9 "`
const tokenPrefix = "canaryToken"

// direct is a login without a budget, for tests of what a driver does.
func direct(ctx context.Context, auth pbx.Authenticator) (*pbx.Token, error) { return auth.Login(ctx) }

// run tests f.
func run(ctx context.Context, f *fake, options probe.Options) *probe.Report {
	f.live = map[string]bool{}
	registry := new(pbx.Registry)
	registry.Register(pbx.Driver{Name: "fake", Open: func(pbx.Config) (pbx.Authenticator, error) {
		if f.traits != nil {
			return describing{f}, nil
		}
		return f, nil
	}})
	options.Driver, options.Registry, options.Login = "fake", registry, direct
	options.Config = pbx.Config{URL: "https://pbx.test:8443/base", Username: "api", Password: pbx.NewSecret(secret)}
	return probe.Run(ctx, options)
}

// state is that of a step, "" if it was not taken.
func state(r *probe.Report, name probe.Name) probe.State {
	for _, s := range r.Steps {
		if s.Name == name {
			return s.State
		}
	}
	return ""
}

// message is that of a step.
func message(r *probe.Report, name probe.Name) string {
	for _, s := range r.Steps {
		if s.Name == name {
			return s.Message
		}
	}
	return ""
}

func rejected(op pbx.Op) error {
	return &pbx.Error{Driver: "fake", Op: op, Kind: pbx.ErrTokenRejected, Sent: true, HTTPStatus: 200}
}

// heartbeat prolongs a living token.
func heartbeat(f *fake, t *pbx.Token) (*pbx.Token, error) {
	if !f.live[t.Value.Reveal()] {
		return nil, rejected(pbx.OpKeepAlive)
	}
	return t, nil
}

func TestADriverThatSaysNothingIsTestedAllTheSame(t *testing.T) {
	f := &fake{}
	report := run(t.Context(), f, probe.Options{})
	var got []string
	for _, s := range report.Steps {
		got = append(got, fmt.Sprintf("%s: %s", s.Name, s.State))
	}
	want := []string{"settings: done", "address: skipped", "certificate: skipped", "login: done", "harmless request: skipped",
		"keep-alive: skipped", "logout: done", "dead token: not checked"}
	if diff := cmp.Diff(want, got); diff != "" || !report.OK || report.Left {
		t.Errorf("%+v (-want +got):\n%s", report, diff)
	}
	if diff := cmp.Diff([]string{"login", "logout 1"}, f.calls); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if report.Token == nil || report.Token.ExpiresInS != nil || report.Token.Sliding != nil {
		t.Errorf("what is not known is not nil: %+v", report.Token)
	}
}

func yes() error { return nil }

func TestAHeartbeatShowsADeadTokenIfThereIsNoHarmlessRequest(t *testing.T) {
	beating := &pbx.Traits{URL: "https://pbx.test", KeepAlive: pbx.KeepAliveHeartbeat}
	whole := []string{"login", "keep-alive 1", "logout 1", "keep-alive 1"}
	short := []string{"login", "keep-alive 1", "logout 1"}
	for name, row := range map[string]struct {
		fake  *fake
		calls []string
		state probe.State
	}{
		"refused": {&fake{traits: beating, beat: heartbeat}, whole, probe.Done},
		"accepted": {
			&fake{traits: beating, beat: func(f *fake, t *pbx.Token) (*pbx.Token, error) { return t, nil }}, whole, probe.Failed,
		},
		"refused for another reason": {&fake{traits: beating, beat: func(f *fake, t *pbx.Token) (*pbx.Token, error) {
			if f.live[t.Value.Reveal()] {
				return t, nil
			}
			return nil, &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Kind: pbx.ErrForbidden, Sent: true, HTTPStatus: 403}
		}}, whole, probe.Failed},
		"a refresh could bring a new token": {&fake{traits: &pbx.Traits{KeepAlive: pbx.KeepAliveRefresh}, beat: heartbeat}, short, probe.NotChecked},
		"an unknown kind could, too":        {&fake{beat: heartbeat}, short, probe.NotChecked},
		"dead tokens count as wrong logins": {&fake{traits: &pbx.Traits{KeepAlive: pbx.KeepAliveHeartbeat,
			Lockout: pbx.Lockout{DeadTokens: pbx.DeadTokensCount}}, beat: heartbeat}, short, probe.NotChecked},
		"a logout that ends the refresh token only": {&fake{traits: &pbx.Traits{KeepAlive: pbx.KeepAliveHeartbeat, Logout: pbx.LogoutRefresh},
			beat: heartbeat}, short, probe.Skipped},
	} {
		report := run(t.Context(), row.fake, probe.Options{MayUseDeadToken: yes})
		if diff := cmp.Diff(row.calls, row.fake.calls); diff != "" || state(report, probe.DeadToken) != row.state || report.OK == (row.state == probe.Failed) {
			t.Errorf("%s: %+v, requests (-want +got):\n%s", name, report.Steps, diff)
		}
	}
}

func TestATokenThatTheKeepAliveReplacedIsLoggedOutToo(t *testing.T) {
	for _, at := range []pbx.Op{"", pbx.OpKeepAlive, pbx.OpLogout} {
		ctx, interrupt := context.WithCancel(t.Context())
		defer interrupt()
		f := &fake{
			beat: func(f *fake, t *pbx.Token) (*pbx.Token, error) { return f.issue() }, // and the old one stays valid
			called: func(op pbx.Op) {
				if op == at {
					interrupt()
				}
			},
		}
		report := run(ctx, f, probe.Options{})
		if report.OK != (at == "") || len(f.live) != 0 || report.Left {
			t.Errorf("interrupted at %q: %d tokens left: %+v", at, len(f.live), report)
		}
		if diff := cmp.Diff([]string{"login", "keep-alive 1", "logout 2", "logout 1"}, f.calls); diff != "" {
			t.Errorf("interrupted at %q: requests (-want +got):\n%s", at, diff)
		}
	}
}

func TestATestThatIsInterruptedBeforeItsLoginSendsNone(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	f := &fake{}
	report := run(ctx, f, probe.Options{})
	if report.OK || len(f.calls) != 0 || report.Steps[len(report.Steps)-1].Kind != "interrupted" {
		t.Errorf("%v, %+v", f.calls, report)
	}
}

func TestNothingIsDoneWithADeadTokenAfterAnInterrupt(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	f := &fake{
		traits: &pbx.Traits{KeepAlive: pbx.KeepAliveHeartbeat},
		beat:   heartbeat,
		called: func(op pbx.Op) {
			if op == pbx.OpLogout {
				interrupt()
			}
		},
	}
	asked := 0
	report := run(ctx, f, probe.Options{MayUseDeadToken: func() error { asked++; return nil }})
	if diff := cmp.Diff([]string{"login", "keep-alive 1", "logout 1"}, f.calls); diff != "" || report.OK || report.Left || asked != 0 {
		t.Errorf("%+v, asked %d times, requests (-want +got):\n%s", report, asked, diff)
	}
}

func TestADeadTokenIsSentOnlyIfThatIsPermitted(t *testing.T) {
	const unknown = "the vendor does not say whether a dead token counts as a wrong login"
	for want, may := range map[string]func() error{"not today": func() error { return errors.New("not today") }, unknown: nil} {
		f := &fake{traits: &pbx.Traits{KeepAlive: pbx.KeepAliveHeartbeat}, beat: heartbeat}
		report := run(t.Context(), f, probe.Options{MayUseDeadToken: may})
		if diff := cmp.Diff([]string{"login", "keep-alive 1", "logout 1"}, f.calls); diff != "" || message(report, probe.DeadToken) != want || !report.OK {
			t.Errorf("%+v, requests (-want +got):\n%s", report, diff)
		}
		// A refresh may leave a dead token to log out, so it is left out too.
		f = &fake{traits: &pbx.Traits{KeepAlive: pbx.KeepAliveRefresh}, beat: heartbeat}
		report = run(t.Context(), f, probe.Options{MayUseDeadToken: may})
		if diff := cmp.Diff([]string{"login", "logout 1"}, f.calls); diff != "" || message(report, probe.KeepAlive) != want {
			t.Errorf("%+v, requests (-want +got):\n%s", report, diff)
		}
	}
	for name, lockout := range map[string]pbx.Lockout{"no lockout": {None: true}, "dead tokens are ignored": {DeadTokens: pbx.DeadTokensIgnored}} {
		f := &fake{traits: &pbx.Traits{KeepAlive: pbx.KeepAliveHeartbeat, Lockout: lockout}, beat: heartbeat}
		if report := run(t.Context(), f, probe.Options{}); state(report, probe.DeadToken) != probe.Done {
			t.Errorf("%s: %+v", name, report)
		}
	}
}

func TestADriverThatBreaksItsContractIsReported(t *testing.T) {
	for name, row := range map[string]struct {
		login func() (*pbx.Token, error)
		says  string
	}{
		"no token":       {func() (*pbx.Token, error) { return nil, nil }, "returns no token"},
		"an empty token": {func() (*pbx.Token, error) { return &pbx.Token{}, nil }, "returns no token"},
		"an expiry before the login": {func() (*pbx.Token, error) {
			now := time.Now()
			return &pbx.Token{Value: pbx.NewSecret(tokenPrefix + "1"), IssuedAt: now, ExpiresAt: now.Add(-time.Hour)}, nil
		}, "has already expired"},
		"an error of its own, with the password in it": {func() (*pbx.Token, error) { return nil, errors.New("bad password " + secret) }, "[redacted]"},
		"the same, wrapped": {func() (*pbx.Token, error) {
			return nil, fmt.Errorf("post /login?password=%s: %w", secret, &pbx.Error{Kind: pbx.ErrUnavailable})
		}, "[redacted]"},
	} {
		report := run(t.Context(), &fake{login: row.login}, probe.Options{})
		if report.OK || !strings.Contains(message(report, probe.Login), row.says) || strings.Contains(fmt.Sprint(report.Steps), secret) {
			t.Errorf("%s: %+v", name, report.Steps)
		}
	}
}

func TestEveryStepIsReportedAsItBeginsAndEnds(t *testing.T) {
	var got []string
	run(t.Context(), &fake{}, probe.Options{OnStep: func(s probe.Step) { got = append(got, fmt.Sprintf("%s %s", s.Name, s.State)) }})
	if len(got) != 2*len(probe.Names()) || got[0] != "settings running" || got[1] != "settings done" || got[6] != "login running" {
		t.Errorf("%q", got)
	}
	for _, name := range probe.Names() {
		if name.Title() == "" {
			t.Errorf("%s has no title", name)
		}
	}
}
