package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	acme "github.com/pbxauth/pbx/examples/newdriver"
	"github.com/pbxauth/pbx/examples/newdriver/acmesim"
)

// Brands differ from the two that the other tests use. Each of these passes
// every rule that applies to it, and says by its driver which do not.
func TestOtherKindsOfBrandsPass(t *testing.T) {
	for _, row := range []struct {
		name    string
		harness Harness
		skipped string // beside what acme skips too
	}{
		{"a key instead of an account", keyHarness(), "CONFIG-05 CONFIG-10 SESSION-09"},
		{"a password without a user name", passwordHarness(), ""},
		{"no lockout", mutateAs(unlockable(acmeHarness), func(m *mutant) {
			m.traits = func() pbx.Traits {
				traits := m.fullDriver.Traits()
				traits.Lockout = pbx.Lockout{None: true}
				return traits
			}
		}), "LOCKOUT-02 LOCKOUT-03 LOCKOUT-06 SESSION-08"},
		{"a lockout that looks like a wrong password", withOptions(withLockout(func(l *pbx.Lockout) { l.LooksWrong = true }), func(o *pbxsim.Options) {
			o.Lockout.Response = pbxsim.LooksWrong
		}), "LOCKOUT-02 SESSION-08"},
		{"a lockout that stops requests", withOptions(withLockout(func(l *pbx.Lockout) { l.CoversRequests = true }), func(o *pbxsim.Options) {
			o.Lockout.Covers = pbxsim.Everything
		}), ""},
		{"no logout", mutateAs(acmeHarness, func(m *mutant) {
			m.traits = func() pbx.Traits {
				traits := m.fullDriver.Traits()
				traits.Logout = pbx.LogoutNone
				return traits
			}
			m.logout = func(context.Context, *pbx.Token) error { return nil }
		}), "LOGOUT-01 LOGOUT-02 LOGOUT-03 LOGOUT-04 SESSION-05"},
		{"a logout of the refresh token only", refreshLogoutHarness(), ""},
		{"an empty response to a logout", emptyLogoutHarness(), ""},
		{"one token at a time", oneTokenHarness(), "LOGIN-02 LOGIN-07"},
		{"room for one token, and no more", roomForOneHarness(), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			report := Verify(row.harness)
			for _, f := range report.Failed {
				t.Errorf("%s fails: %s", f.Rule, f.Reason)
			}
			skipped := map[string]bool{}
			for _, f := range report.Skipped {
				skipped[f.Rule] = true
			}
			want := map[string]bool{"KEEPALIVE-04": true, "LOCKOUT-05": true, "SESSION-07": true}
			traits := traitsOf(t, row.harness).Lockout
			if !traits.CoversRequests {
				want["LOCKOUT-08"] = true
			}
			if !traits.LooksWrong {
				want["LOCKOUT-09"] = true
			}
			for _, id := range strings.Fields(row.skipped) {
				want[id] = true
			}
			if row.name != "no logout" {
				want["LOGOUT-05"] = true
			}
			if diff := cmp.Diff(want, skipped); diff != "" {
				t.Errorf("skipped (-want +got):\n%s", diff)
			}
		})
	}
}

// keyHarness is that of an acme driver that takes a key in Config.Secrets.
func keyHarness() Harness {
	d, _ := pbx.Lookup(acme.Name)
	open := d.Open
	d.AccountOptional = true
	d.Options = append(d.Options, pbx.Option{Name: "key", Kind: pbx.OptionSecret, Required: true, Help: "the API key"})
	d.Open = func(cfg pbx.Config) (pbx.Authenticator, error) {
		cfg.Username, cfg.Password, cfg.Secrets = account, cfg.Secrets["key"], nil
		return open(cfg)
	}
	h := Harness{Driver: acme.Name, Registry: new(pbx.Registry), Simulator: acmesim.New, Config: func(cfg pbx.Config) pbx.Config {
		if !cfg.Password.IsZero() {
			cfg.Secrets = map[string]pbx.Secret{"key": cfg.Password}
		}
		cfg.Username, cfg.Password = "", pbx.Secret{}
		return cfg
	}}
	h.Registry.Register(d)
	return h
}

// passwordHarness is that of an acme driver that takes a password alone.
func passwordHarness() Harness {
	d, _ := pbx.Lookup(acme.Name)
	open := d.Open
	d.NoUsername = true
	d.Open = func(cfg pbx.Config) (pbx.Authenticator, error) {
		if cfg.Username != "" {
			return nil, errors.New("there is a user name")
		}
		if ask := cfg.Credentials; ask != nil {
			cfg.Credentials = func(ctx context.Context) (pbx.Credentials, error) {
				got, err := ask(ctx)
				got.Username = account
				return got, err
			}
		} else {
			cfg.Username = account
		}
		return open(cfg)
	}
	h := Harness{Driver: acme.Name, Registry: new(pbx.Registry), Simulator: acmesim.New}
	h.Registry.Register(d)
	return h
}

// unlockable is h with a PBX that locks nobody out.
func unlockable(h Harness) Harness {
	return withOptions(h, func(o *pbxsim.Options) { o.Lockout.After = -1 })
}

// withOptions is h with a PBX that has other options.
func withOptions(h Harness, change func(*pbxsim.Options)) Harness {
	simulator := h.Simulator
	h.Simulator = func(o *pbxsim.Options) *pbxsim.PBX {
		other := *o
		change(&other)
		return simulator(&other)
	}
	return h
}

// traitsOf are the Traits of the driver.
func traitsOf(t *testing.T, h Harness) pbx.Traits {
	t.Helper()
	bed, err := newTestbed(h, Rule{})
	if err != nil {
		t.Fatal(err)
	}
	defer bed.end()
	return bed.auth.Traits()
}

// refreshLogoutHarness is that of an acme PBX whose logout leaves the token valid.
func refreshLogoutHarness() Harness {
	h := withTraits(acmeHarness, func(t *pbx.Traits) { t.Logout = pbx.LogoutRefresh })
	h = withLogoutAt(h, func(p *pbxsim.PBX, a *pbxsim.Accounts, token string) {
		// The refresh token is used up, and what it brings is ended.
		if pair, v := a.Refresh(a.Token(token).Refresh); v == pbxsim.OK {
			p.Revoke(pair.Value)
		}
	})
	return withOptions(h, func(o *pbxsim.Options) { o.RefreshSparesOld = true })
}

// oneTokenHarness is that of an acme PBX where each login ends the token before it.
func oneTokenHarness() Harness {
	h := withTraits(acmeHarness, func(t *pbx.Traits) { t.MaxTokens, t.NewestWins = 1, true })
	simulator := h.Simulator
	h.Simulator = func(o *pbxsim.Options) *pbxsim.PBX {
		one := *o
		one.SecondLoginKills = true
		return simulator(&one)
	}
	return h
}

// roomForOneHarness is that of an acme PBX that refuses a login while there is a token.
func roomForOneHarness() Harness {
	h := withTraits(acmeHarness, func(t *pbx.Traits) { t.MaxTokens = 1 })
	return withOptions(h, func(o *pbxsim.Options) {
		if o.MaxTokens == 0 {
			o.MaxTokens = 1
		}
	})
}

// emptyLogoutHarness is that of an acme PBX whose response to a logout is empty.
func emptyLogoutHarness() Harness {
	h := mutateAs(acmeHarness, func(m *mutant) {
		m.logout = func(ctx context.Context, t *pbx.Token) error { return emptyLogout(ctx, m.fullDriver, t) }
	})
	h.Simulator = func(o *pbxsim.Options) *pbxsim.PBX {
		return pbxsim.New(emptyLogoutDialect{acmesim.New(o).Dialect()}, o)
	}
	return h
}

type emptyLogoutDialect struct{ pbxsim.Dialect }

func (d emptyLogoutDialect) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	reply := d.Dialect.Serve(a, r)
	if r.Action == pbxsim.Logout {
		reply.Body = nil
	}
	return reply
}

// emptyLogout logs out at such a PBX.
func emptyLogout(ctx context.Context, auth fullDriver, t *pbx.Token) error {
	err := auth.Logout(ctx, t)
	var good *pbx.Error
	if errors.As(err, &good) && good.Kind == pbx.ErrProtocol && good.HTTPStatus == http.StatusOK && strings.Contains(good.Message, "empty") {
		return nil
	}
	return err
}

// A PBX that takes any password refuses no login, and its driver says so.
func TestADriverThatIsUnprovenIsNotFailedForIt(t *testing.T) {
	for id, want := range map[string]string{
		"LOGIN-03": "a login with a wrong password succeeds (Traits.Unproven)", "LOGIN-05": "",
		"LOCKOUT-01": "a login with a wrong password succeeds (Traits.Unproven)", "LOCKOUT-07": "",
		"PROTOCOL-05": "", "PROTOCOL-06": "a login with a wrong password succeeds (Traits.Unproven)",
		"SESSION-02": "a login with a wrong password succeeds (Traits.Unproven)",
		"SESSION-09": "a login with a wrong password succeeds (Traits.Unproven)",
	} {
		if got := ruleOf(t, id).try(t, unprovenHarness); got.err != nil || got.skipped != want {
			t.Errorf("%s: skipped: %q, error: %v; want skipped: %q", id, got.skipped, got.err, want)
		}
	}
}

func TestADriverThatDoesNotLogInIsDiagnosed(t *testing.T) {
	ignoring := func(change func(*pbxsim.Options)) Harness {
		h := acmeHarness
		h.Simulator = func(o *pbxsim.Options) *pbxsim.PBX {
			some := *o
			change(&some)
			return acmesim.New(&some)
		}
		return h
	}
	for name, row := range map[string]struct {
		harness Harness
		says    string
	}{
		"it ignores the transport": {brokenAs(acmeHarness, func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
			cfg.Transport = silentTransport{}
			return good(cfg)
		}), "fix LOGIN-01 first: the driver does not send over Config.Transport"},
		"it ignores the URL": {brokenAs(acmeHarness, func(cfg pbx.Config, good opener) (pbx.Authenticator, error) {
			cfg.URL = "https://localhost:1"
			return good(cfg)
		}), "fix LOGIN-01 first: the driver's requests do not go to Config.URL"},
		"its simulator ignores the accounts": {
			ignoring(func(o *pbxsim.Options) { o.Accounts = nil }), "does not pass Accounts on to pbxsim.New",
		},
		"its simulator ignores NewToken": {
			ignoring(func(o *pbxsim.Options) { o.NewToken = nil }), "does not pass NewToken on to pbxsim.New",
		},
		"it logs in": {acmeHarness, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := row.harness.unusable(t)
			if row.says == "" {
				if err != nil {
					t.Errorf("a good login is taken for a bad one: %v", err)
				}
				return
			}
			if got := fmt.Sprintf("fix LOGIN-01 first: %v", err); !strings.Contains(got, row.says) {
				t.Errorf("%s\nwant %q", got, row.says)
			}
			report := Verify(row.harness)
			if len(report.Failed) != 1 || len(report.Passed) != 0 || report.Failed[0].Rule != "LOGIN-01" || reason(report.Skipped, "CONFIG-01") != "fix LOGIN-01 first" {
				t.Errorf("the report goes on: %+v", report.Failed)
			}
		})
	}
}

// silentTransport reaches nothing.
type silentTransport struct{}

func (silentTransport) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, io.ErrUnexpectedEOF
}
