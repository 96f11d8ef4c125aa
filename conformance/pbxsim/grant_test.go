package pbxsim_test

import (
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// direct is a dialect that does what a test wants with the accounts.
type direct struct {
	plain
	defaults pbxsim.Defaults
	serve    func(*pbxsim.Accounts)
}

func (d *direct) Defaults() pbxsim.Defaults { return d.defaults }

func (d *direct) Serve(a *pbxsim.Accounts, _ *pbxsim.Request) pbxsim.Reply {
	d.serve(a)
	return pbxsim.Reply{}
}

// directly gives f a PBX with the accounts api and other, in virtual time. with
// uses the accounts as a dialect does in one request.
func directly(t *testing.T, defaults pbxsim.Defaults, f func(t *testing.T, p *pbxsim.PBX, with func(func(*pbxsim.Accounts)))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &direct{defaults: defaults}
		p := pbxsim.New(d, &pbxsim.Options{Accounts: map[string]string{"api": "secret", "other": "secret"}})
		f(t, p, func(serve func(*pbxsim.Accounts)) {
			d.serve = serve
			p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/request", nil))
		})
	})
}

func right(string) bool { return true }

func TestAGrantIsTheSameForTheSameUserAndClient(t *testing.T) {
	directly(t, pbxsim.Defaults{Lifetime: time.Hour}, func(t *testing.T, p *pbxsim.PBX, with func(func(*pbxsim.Accounts))) {
		var grant string
		with(func(a *pbxsim.Accounts) {
			grant = a.Grant("api", "crm")
			if a.Grant("api", "crm") != grant {
				t.Error("the second grant is another")
			}
			if a.Grant("api", "other") == grant || a.Grant("other", "crm") == grant {
				t.Error("another's grant is the same")
			}
		})
		redeem := func(client string) (token pbxsim.Token, v pbxsim.Verdict) {
			with(func(a *pbxsim.Accounts) { token, v = a.Redeem(grant, client) })
			return token, v
		}
		for range 2 {
			time.Sleep(10000 * time.Hour)
			if token, v := redeem("crm"); v != pbxsim.OK || token.User != "api" || token.Refresh != "" {
				t.Errorf("%v, %+v", v, token)
			}
		}
		if _, v := redeem("other"); v != pbxsim.UnknownToken {
			t.Errorf("of another client: %v", v)
		}
		with(func(a *pbxsim.Accounts) { a.Withdraw("api", "crm") })
		if _, v := redeem("crm"); v != pbxsim.UnknownToken {
			t.Errorf("a withdrawn one: %v", v)
		}
		if got := p.CountsOf("api").RefusedTokens; got != 2 {
			t.Errorf("%d refused tokens of the user, want 2", got)
		}
		if got := len(p.Tokens("api")); got != 1 {
			t.Errorf("%d tokens are alive, want the last", got)
		}
		with(func(a *pbxsim.Accounts) { grant = a.Grant("api", "crm") })
		p.Restart()
		if _, v := redeem("crm"); v != pbxsim.UnknownToken {
			t.Errorf("after a restart: %v", v)
		}
	})
}

func TestAGrantNeedsRoomForItsToken(t *testing.T) {
	directly(t, pbxsim.Defaults{Lifetime: time.Hour, MaxTokens: 1}, func(t *testing.T, p *pbxsim.PBX, with func(func(*pbxsim.Accounts))) {
		with(func(a *pbxsim.Accounts) {
			a.Login("api", right)
			if _, v := a.Redeem(a.Grant("api", "crm"), "crm"); v != pbxsim.TooManyTokens {
				t.Errorf("%v, want too many tokens", v)
			}
		})
	})
}

func TestALockThatCoversEverythingStopsGrants(t *testing.T) {
	rules := pbxsim.Lockout{After: 3, Covers: pbxsim.Everything}
	directly(t, pbxsim.Defaults{Lifetime: time.Hour, Lockout: rules}, func(t *testing.T, p *pbxsim.PBX, with func(func(*pbxsim.Accounts))) {
		p.LockAccount("api")
		p.Lock("192.0.2.1") // httptest's
		with(func(a *pbxsim.Accounts) {
			if _, v := a.Redeem(a.Grant("api", "crm"), "crm"); v != pbxsim.Locked {
				t.Errorf("%v, want locked", v)
			}
		})
	})
}

func TestATokenHasTheLifetimeThatItsClientAskedFor(t *testing.T) {
	directly(t, pbxsim.Defaults{Lifetime: time.Hour}, func(t *testing.T, p *pbxsim.PBX, with func(func(*pbxsim.Accounts))) {
		var token pbxsim.Token
		with(func(a *pbxsim.Accounts) {
			token, _ = a.Login("api", right)
			token = a.SetLifetime(token.Value, time.Minute)
			if got := token.Expires.Sub(token.Issued); got != time.Minute {
				t.Errorf("a lifetime of %s", got)
			}
			if a.Token(token.Value) != token {
				t.Error("the token is described in another way")
			}
			if a.SetLifetime("unknown", time.Hour) != (pbxsim.Token{}) {
				t.Error("an unknown token has a lifetime")
			}
		})
		time.Sleep(time.Minute)
		with(func(a *pbxsim.Accounts) {
			if v := a.Use(token.Value); v != pbxsim.ExpiredToken {
				t.Errorf("after a minute: %v", v)
			}
			if a.Token(token.Value) != (pbxsim.Token{}) {
				t.Error("a dead token is described")
			}
		})
	})
}

func TestAnExpiredTokenTakesAPlaceUntilTheNextSweep(t *testing.T) {
	directly(t, pbxsim.Defaults{Lifetime: 90 * time.Second, MaxTokens: 1, Sweep: time.Minute}, func(t *testing.T, p *pbxsim.PBX, with func(func(*pbxsim.Accounts))) {
		login := func() (v pbxsim.Verdict) {
			with(func(a *pbxsim.Accounts) { _, v = a.Login("api", right) })
			return v
		}
		if v := login(); v != pbxsim.OK {
			t.Fatal(v)
		}
		time.Sleep(2*time.Minute - time.Nanosecond)
		if v := login(); v != pbxsim.TooManyTokens {
			t.Errorf("before the sweep: %v", v)
		}
		time.Sleep(time.Nanosecond)
		if v := login(); v != pbxsim.OK {
			t.Errorf("after the sweep: %v", v)
		}
	})
}
