package drivertest

import (
	"context"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/grandstream"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/threecx"
	"github.com/pbxauth/pbx/adapters/threecx/threecxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var accounts = pbxsim.Options{Accounts: map[string]string{"api": "secret"}}

func openGrandstream(cfg pbx.Config) (*grandstream.PBX, error) {
	cfg.Username, cfg.Password = "api", pbx.NewSecret("secret")
	return grandstream.New(grandstream.Config{Config: cfg})
}

// inTurn plays check against a driver whose logins take turns, and apart against
// one whose logins do not. It returns what check complains of.
func inTurn(t *testing.T, check func(testing.TB, Simulation[*grandstream.PBX])) (got []string) {
	Simulate(t, func() *pbxsim.PBX { return grandstreamsim.New(nil, &accounts) }, openGrandstream, func(t *testing.T, s Simulation[*grandstream.PBX]) {
		got = complaints(t, func(t testing.TB) { check(t, s) })
	})
	return got
}

func apart(t *testing.T, check func(testing.TB, Simulation[*threecx.PBX])) (got []string) {
	open := func(cfg pbx.Config) (*threecx.PBX, error) {
		cfg.Username, cfg.Password = "api", pbx.NewSecret("secret")
		return threecx.New(cfg)
	}
	Simulate(t, func() *pbxsim.PBX { return threecxsim.New(nil, &accounts) }, open, func(t *testing.T, s Simulation[*threecx.PBX]) {
		got = complaints(t, func(t testing.TB) { check(t, s) })
	})
	return got
}

func TestLoginsThatDoNotTakeTurnsAreReported(t *testing.T) {
	want(t, "in turn", "", inTurn(t, func(t testing.TB, s Simulation[*grandstream.PBX]) { s.LoginsTakeTurns(t, grandstreamsim.Challenge) }))
	want(t, "at once", "five logins take 1s", apart(t, func(t testing.TB, s Simulation[*threecx.PBX]) { s.LoginsTakeTurns(t, pbxsim.Login) }))
}

func TestALoginThatDoesNotWaitIsReported(t *testing.T) {
	want(t, "waits", "", inTurn(t, func(t testing.TB, s Simulation[*grandstream.PBX]) {
		s.AWaitingLoginSendsNothing(t, grandstreamsim.Challenge)
	}))
	want(t, "goes at once", "<nil> <nil>, want a *pbx.Error", apart(t, func(t testing.TB, s Simulation[*threecx.PBX]) {
		s.AWaitingLoginSendsNothing(t, pbxsim.Login)
	}))
}

// strict reports a logout of a token that it has logged out before as a failure.
type strict struct {
	*grandstream.PBX
	ended map[string]bool
}

func (s *strict) Logout(ctx context.Context, t *pbx.Token) error {
	if s.ended[t.Value.Reveal()] {
		return &pbx.Error{Driver: "strict", Op: pbx.OpLogout, Kind: pbx.ErrTokenRejected}
	}
	s.ended[t.Value.Reveal()] = true
	return s.PBX.Logout(ctx, t)
}

func TestALogoutThatFailsForADeadTokenIsReported(t *testing.T) {
	check := func(t testing.TB, s Simulation[*strict]) { s.LogoutOfADeadTokenIsDone(t) }
	open := func(cfg pbx.Config) (*strict, error) {
		driver, err := openGrandstream(cfg)
		return &strict{driver, map[string]bool{}}, err
	}
	Simulate(t, func() *pbxsim.PBX { return grandstreamsim.New(nil, &accounts) }, open, func(t *testing.T, s Simulation[*strict]) {
		want(t, "fails", "strict: logout: ", complaints(t, func(t testing.TB) { check(t, s) }))
	})
	want(t, "is done", "", inTurn(t, func(t testing.TB, s Simulation[*grandstream.PBX]) { s.LogoutOfADeadTokenIsDone(t) }))
}
