package pbxsim_test

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// renewing is a dialect whose logins bring a refresh token, which trades for
// another pair. It is asked without HTTP: only what the PBX says matters here.
type renewing struct{ plain }

func (renewing) Defaults() pbxsim.Defaults {
	return pbxsim.Defaults{Lifetime: 30 * time.Minute, RefreshLifetime: 24 * time.Hour, MaxTokens: 2, Lockout: pbxsim.Lockout{After: 3}}
}

// desk is a client of a PBX of that dialect.
type desk struct {
	*pbxsim.PBX
	t *testing.T
}

func (d desk) accounts() *pbxsim.Accounts {
	return pbxsim.AccountsOf(d.PBX, &pbxsim.Request{Request: new(http.Request), From: "192.0.2.7"})
}

func (d desk) login(want pbxsim.Verdict) pbxsim.Token {
	d.t.Helper()
	token, got := d.accounts().Login("api", func(string) bool { return true })
	if got != want {
		d.t.Errorf("login: %s, want %s", got, want)
	}
	return token
}

func (d desk) trade(refresh string, want pbxsim.Verdict) pbxsim.Token {
	d.t.Helper()
	token, got := d.accounts().Refresh(refresh)
	if got != want {
		d.t.Errorf("refresh: %s, want %s", got, want)
	}
	return token
}

func (d desk) use(token pbxsim.Token, want pbxsim.Verdict) {
	d.t.Helper()
	if got := d.accounts().Use(token.Value); got != want {
		d.t.Errorf("call: %s, want %s", got, want)
	}
}

func atDesk(t *testing.T, opts pbxsim.Options, f func(t *testing.T, d desk)) {
	synctest.Test(t, func(t *testing.T) {
		opts.Accounts = map[string]string{"api": "secret"}
		f(t, desk{pbxsim.New(renewing{}, &opts), t})
	})
}

func TestARefreshTradesBothTokensOnce(t *testing.T) {
	atDesk(t, pbxsim.Options{}, func(t *testing.T, d desk) {
		first := d.login(pbxsim.OK)
		if first.Refresh == "" || first.RefreshExpires.Sub(first.Issued) != 24*time.Hour {
			t.Errorf("the login brought %+v", first)
		}
		second := d.trade(first.Refresh, pbxsim.OK)
		if second.Value == first.Value || second.Refresh == first.Refresh || second.User != "api" {
			t.Errorf("%+v became %+v", first, second)
		}
		d.use(first, pbxsim.UnknownToken)
		d.use(second, pbxsim.OK)
		d.trade(first.Refresh, pbxsim.UnknownToken)
		if n := d.Counts().RefusedTokens; n != 2 {
			t.Errorf("%d refused tokens are counted, want 2", n)
		}
	})
}

func TestARefreshTokenIsValidAfterItsTokenHasExpired(t *testing.T) {
	atDesk(t, pbxsim.Options{}, func(t *testing.T, d desk) {
		token := d.login(pbxsim.OK)
		time.Sleep(24*time.Hour - time.Second)
		d.use(token, pbxsim.ExpiredToken)
		token = d.trade(token.Refresh, pbxsim.OK)
		d.use(token, pbxsim.OK)
		time.Sleep(24 * time.Hour)
		d.trade(token.Refresh, pbxsim.ExpiredToken)
	})
}

func TestWhatEndsATokenEndsItsRefreshToken(t *testing.T) {
	ends := map[string]func(desk, pbxsim.Token){
		"restart": func(d desk, _ pbxsim.Token) { d.Restart() },
		"revoke":  func(d desk, token pbxsim.Token) { d.Revoke(token.Value) },
		"logout":  func(d desk, token pbxsim.Token) { d.accounts().Logout(token.Value) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			atDesk(t, pbxsim.Options{}, func(t *testing.T, d desk) {
				token := d.login(pbxsim.OK)
				end(d, token)
				d.trade(token.Refresh, pbxsim.UnknownToken)
			})
		})
	}
}

func TestADeadRefreshTokenMayCountAsAWrongLogin(t *testing.T) {
	for _, counts := range []bool{false, true} {
		atDesk(t, pbxsim.Options{Lockout: pbxsim.Lockout{DeadTokens: counts}}, func(t *testing.T, d desk) {
			for range 3 {
				d.trade("made up", pbxsim.UnknownToken)
			}
			if _, locked := d.Locked("192.0.2.7"); locked != counts {
				t.Errorf("DeadTokens %v: locked %v", counts, locked)
			}
		})
	}
}

func TestALoginNeedsAPlace(t *testing.T) {
	atDesk(t, pbxsim.Options{}, func(t *testing.T, d desk) {
		first := d.login(pbxsim.OK)
		time.Sleep(time.Minute)
		d.login(pbxsim.OK)
		d.login(pbxsim.TooManyTokens)
		if c := d.Counts(); c.GoodLogins != 2 || c.CrowdedLogins != 1 || c.WrongLogins != 0 {
			t.Errorf("%+v, want two good logins and one for which there was no room", c)
		}
		d.accounts().Logout(first.Value)
		time.Sleep(10 * time.Minute)
		d.login(pbxsim.OK)
		time.Sleep(20 * time.Minute) // the second one has expired
		d.login(pbxsim.OK)
		d.login(pbxsim.TooManyTokens)
	})
}

func TestWithoutALimitThereIsAlwaysAPlace(t *testing.T) {
	atDesk(t, pbxsim.Options{MaxTokens: -1}, func(t *testing.T, d desk) {
		for range 20 {
			d.login(pbxsim.OK)
		}
	})
}

// Whether the old token lives on, and whether its place is free, are two
// questions.
func TestARefreshCanBePlayedInFourWays(t *testing.T) {
	for _, spares := range []bool{false, true} {
		for _, holds := range []bool{false, true} {
			atDesk(t, pbxsim.Options{RefreshSparesOld: spares, RefreshHoldsPlace: holds}, func(t *testing.T, d desk) {
				old := d.login(pbxsim.OK)
				time.Sleep(10 * time.Minute)
				fresh := d.trade(old.Refresh, pbxsim.OK)
				if lives := slices.Contains(d.Tokens("api"), old.Value); lives != spares {
					t.Errorf("spares %v, holds %v: the old token lives: %v", spares, holds, lives)
				}
				d.trade(old.Refresh, pbxsim.UnknownToken)
				if holds {
					d.login(pbxsim.TooManyTokens)
				} else {
					d.login(pbxsim.OK)
				}
				time.Sleep(20 * time.Minute) // to the end of the old one, in any case
				d.use(old, map[bool]pbxsim.Verdict{false: pbxsim.UnknownToken, true: pbxsim.ExpiredToken}[spares])
				d.use(fresh, pbxsim.OK)
				if holds {
					d.login(pbxsim.OK)
				}
				d.login(pbxsim.TooManyTokens)
			})
		}
	}
}
