package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
)

// fake is a driver that pbxprobe knows nothing of. Its tokens live until they
// are logged out.
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

// current is the PBX that the driver "fake" opens.
var current *fake

func init() {
	pbx.Register(pbx.Driver{Name: "fake", Open: func(pbx.Config) (pbx.Authenticator, error) {
		if current.traits != nil {
			return describing{current}, nil
		}
		return current, nil
	}})
}

// probeFake runs pbxprobe on f.
func probeFake(ctx context.Context, d *desk, f *fake, args ...string) (status int, out, errs string) {
	f.live = map[string]bool{}
	current = f
	return d.runContext(ctx, on("fake", "https://Pbx.test:8443/base", args...)...)
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

func TestADriverThatTellsNothingIsProbedAllTheSame(t *testing.T) {
	f := &fake{}
	status, out, errs := probeFake(t.Context(), newDesk(t), f, "-json")
	want := report{Driver: "fake", Host: "Pbx.test:8443", OK: true, Token: &life{}, Steps: []step{
		{Name: "configuration", OK: true}, {Name: "memory", OK: true}, {Name: "login", OK: true},
		{Name: "call", OK: true, Kind: "skipped", Error: "for this driver no call is known that is documented and surely harmless"},
		{Name: "keep-alive", OK: true, Kind: "skipped", Error: "the brand has none: a session logs in again ahead of the token's end"},
		{Name: "logout", OK: true},
		{Name: "dead-call", OK: true, Kind: "skipped", Error: "for this driver no call is known that is documented and surely harmless"},
		{Name: "dead-logout", OK: true},
	}}
	if diff := cmp.Diff(want, decoded(t, out)); diff != "" || status != exitFine || errs != "" {
		t.Errorf("status %d, %q (-want +got):\n%s", status, errs, diff)
	}
	if !strings.Contains(out, `"expires_in_s": null`) || !strings.Contains(out, `"sliding": null`) {
		t.Errorf("what is not known is not null:\n%s", out)
	}
	if diff := cmp.Diff([]string{"login", "logout 1", "logout 1"}, f.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestAHeartbeatShowsADeadTokenWhereNoCallIsKnown(t *testing.T) {
	beating := &pbx.Traits{URL: "https://pbx.test", KeepAlive: pbx.KeepAliveHeartbeat}
	for name, row := range map[string]struct {
		fake   *fake
		calls  []string
		status int
		says   string
	}{
		"refused": {
			&fake{traits: beating, beat: heartbeat},
			[]string{"login", "keep-alive 1", "logout 1", "keep-alive 1", "logout 1"}, exitFine, "all of it works",
		},
		"taken": {
			&fake{traits: beating, beat: func(f *fake, t *pbx.Token) (*pbx.Token, error) { return t, nil }},
			[]string{"login", "keep-alive 1", "logout 1", "keep-alive 1", "logout 1"}, exitFailed, "still takes the token",
		},
		"refused for another reason": {
			&fake{traits: beating, beat: func(f *fake, t *pbx.Token) (*pbx.Token, error) {
				if f.live[t.Value.Reveal()] {
					return t, nil
				}
				return nil, &pbx.Error{Driver: "fake", Op: pbx.OpKeepAlive, Kind: pbx.ErrForbidden, Sent: true, HTTPStatus: 403}
			}},
			[]string{"login", "keep-alive 1", "logout 1", "keep-alive 1", "logout 1"}, exitFailed, "would not notice that its token has ended",
		},
		"of a refresh, which could bring a new token, no use is made": {
			&fake{traits: &pbx.Traits{KeepAlive: pbx.KeepAliveRefresh}, beat: heartbeat},
			[]string{"login", "keep-alive 1", "logout 1", "logout 1"}, exitFine, "not to be seen",
		},
		"nor of what is not known": {
			&fake{beat: heartbeat},
			[]string{"login", "keep-alive 1", "logout 1", "logout 1"}, exitFine, "not to be seen",
		},
	} {
		status, out, _ := probeFake(t.Context(), newDesk(t), row.fake)
		if diff := cmp.Diff(row.calls, row.fake.calls); diff != "" || status != row.status || !strings.Contains(out, row.says) {
			t.Errorf("%s: status %d, calls (-want +got):\n%s\n%s", name, status, diff, out)
		}
	}
}

func TestATokenThatTheKeepAliveReplacedIsGivenBackToo(t *testing.T) {
	for _, at := range []pbx.Op{"", pbx.OpKeepAlive, pbx.OpLogout} {
		ctx, interrupt := context.WithCancel(t.Context())
		defer interrupt()
		f := &fake{
			beat: func(f *fake, t *pbx.Token) (*pbx.Token, error) { return f.issue() }, // and the old one lives on
			called: func(op pbx.Op) {
				if op == at {
					interrupt()
				}
			},
		}
		status, out, _ := probeFake(ctx, newDesk(t), f)
		if want := map[bool]int{true: exitFine, false: exitFailed}[at == ""]; status != want || len(f.live) != 0 {
			t.Errorf("interrupted at %q: status %d, %d tokens left:\n%s", at, status, len(f.live), out)
		}
		if diff := cmp.Diff([]string{"login", "keep-alive 1", "logout 2", "logout 1"}, f.calls); diff != "" {
			t.Errorf("interrupted at %q: calls (-want +got):\n%s", at, diff)
		}
	}
}

func TestARunThatIsInterruptedBeforeItsLoginSendsNone(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	d := newDesk(t)
	f := &fake{}
	status, out, _ := probeFake(ctx, d, f, "-json")
	got := decoded(t, out)
	if status != exitFailed || len(f.calls) != 0 || got.Steps[len(got.Steps)-1].Kind != "interrupted" {
		t.Errorf("status %d, %v, %+v", status, f.calls, got)
	}
	if status, out, _ := probeFake(t.Context(), d, f); status != exitFine {
		t.Errorf("the run after it: status %d:\n%s", status, out)
	}
}

func TestNothingIsDoneWithADeadTokenAfterAnInterrupt(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	f := &fake{
		traits: &pbx.Traits{URL: "https://pbx.test", KeepAlive: pbx.KeepAliveHeartbeat},
		beat:   heartbeat,
		called: func(op pbx.Op) {
			if op == pbx.OpLogout {
				interrupt()
			}
		},
	}
	d := newDesk(t)
	status, out, _ := probeFake(ctx, d, f)
	if diff := cmp.Diff([]string{"login", "keep-alive 1", "logout 1"}, f.calls); diff != "" || status != exitFailed || !strings.Contains(out, "No token is left behind") {
		t.Errorf("status %d, calls (-want +got):\n%s\n%s", status, diff, out)
	}
	f.calls, f.called = nil, nil
	if probeFake(t.Context(), d, f); len(f.calls) != 5 {
		t.Errorf("and yet it is remembered: %v", f.calls)
	}
}

func TestALogoutOfADeadTokenThatErrsFails(t *testing.T) {
	f := &fake{logout: func(f *fake, t *pbx.Token) error {
		if !f.live[t.Value.Reveal()] {
			return &pbx.Error{Driver: "fake", Op: pbx.OpLogout, Code: "4711", HTTPStatus: 200, Sent: true}
		}
		delete(f.live, t.Value.Reveal())
		return nil
	}}
	status, out, _ := probeFake(t.Context(), newDesk(t), f)
	if status != exitFailed || !strings.Contains(out, "(code 4711)") || !strings.Contains(out, "A session's Close would report this") ||
		!strings.Contains(out, "No token is left behind") {
		t.Errorf("status %d:\n%s", status, out)
	}
}

func TestADriverThatBreaksItsWordIsToldOf(t *testing.T) {
	for name, row := range map[string]struct {
		login func() (*pbx.Token, error)
		says  string
		held  bool
	}{
		"no token":       {func() (*pbx.Token, error) { return nil, nil }, "returns no token", false},
		"an empty token": {func() (*pbx.Token, error) { return &pbx.Token{}, nil }, "returns no token", false},
		"an end before the beginning": {func() (*pbx.Token, error) {
			now := time.Now()
			return &pbx.Token{Value: pbx.NewSecret(tokenPrefix + "1"), IssuedAt: now, ExpiresAt: now.Add(-time.Hour)}, nil
		}, "has expired already", false},
		"an error of its own, with the password in it": {func() (*pbx.Token, error) { return nil, errors.New("bad password " + secret) }, "bad password [redacted]", true},
		"the same, wrapped": {func() (*pbx.Token, error) {
			return nil, fmt.Errorf("post /login?password=%s: %w", secret, &pbx.Error{Kind: pbx.ErrUnavailable})
		}, "[redacted]", false},
	} {
		d := newDesk(t)
		f := &fake{login: row.login}
		status, out, _ := probeFake(t.Context(), d, f)
		if held := strings.Contains(out, "No login is sent to pbx.test before"); status != exitFailed || !strings.Contains(out, row.says) || held != row.held {
			t.Errorf("%s: status %d:\n%s", name, status, out)
		}
	}
}

func TestAWindowIsTheBrandsOwnWhereItIsKnown(t *testing.T) {
	d := newDesk(t)
	f := &fake{
		traits: &pbx.Traits{URL: "https://pbx.test", Lockout: pbx.Lockout{Attempts: 5, Window: time.Hour}},
		login: func() (*pbx.Token, error) {
			return nil, &pbx.Error{Driver: "fake", Op: pbx.OpLogin, Kind: pbx.ErrInvalidCredentials, Sent: true}
		},
	}
	_, out, _ := probeFake(t.Context(), d, f)
	if !strings.Contains(out, "before 2026-03-01 13:00:00 UTC") {
		t.Error(out)
	}
	d.now = d.now.Add(time.Hour - time.Second)
	if _, out, _ := probeFake(t.Context(), d, f); len(f.calls) != 1 || !strings.Contains(out, "(1s)") {
		t.Errorf("%v:\n%s", f.calls, out)
	}
}
