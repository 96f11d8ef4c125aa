package conformance

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

//go:generate go test -run TestTheCatalogueIsThatOfTheCode . -update

// Rule is one thing that every driver must do. Its check returns errors and
// knows nothing of package testing.
type Rule struct {
	// ID is the group and a number. Its meaning never changes. The number of a
	// retired rule is not used again.
	ID string
	// Says is the rule in one or two sentences. Why is its reason.
	Says string
	Why  string

	needs   []precondition
	options func(*pbxsim.Options) // what is special about this rule's PBX
	overTLS bool                  // the PBX is at a loopback port, and time is real
	check   func(*testbed) error

	progress *atomic.Int64 // counts the driver's requests; nil: nobody looks
}

// Group is the part of the ID before the number, as in "LOGIN".
func (r Rule) Group() string {
	group, _, _ := strings.Cut(r.ID, "-")
	return group
}

// Rules returns all rules, in the order in which they are run.
func Rules() []Rule { return slices.Clone(rules) }

var rules = slices.Concat(
	configRules,
	loginRules,
	tokenRules,
	pingRules,
	keepAliveRules,
	logoutRules,
	lockoutRules,
	expiryRules,
	contextRules,
	transportRules,
	tlsRules,
	protocolRules,
	secretRules,
	concurrencyRules,
	sessionRules,
)

// retired maps the IDs of retired rules to their successors.
var retired = map[string]string{
	"CONFIG-02":  "CONFIG-08",
	"CONFIG-06":  "CONFIG-07",
	"SESSION-06": "SESSION-13",
}

// precondition returns why a rule does not apply to the driver, or "".
type precondition func(*testbed) string

func requester(t *testbed) string {
	if _, ok := pbx.As[pbx.Requester](t.auth.Authenticator); ok {
		return ""
	}
	if missing := missingMethods(t.auth.Authenticator); missing != "" {
		return "the driver does not implement pbx.Requester: it lacks " + missing
	}
	return "the driver does not implement pbx.Requester"
}

// missingMethods names what an almost complete [pbx.Requester] lacks.
func missingMethods(auth pbx.Authenticator) string {
	var missing []string
	if _, ok := pbx.As[interface {
		Authorize(*http.Request, *pbx.Token) error
	}](auth); !ok {
		missing = append(missing, "Authorize(*http.Request, *pbx.Token) error")
	}
	if _, ok := pbx.As[interface {
		Inspect(*http.Response, []byte, *pbx.Token) error
	}](auth); !ok {
		missing = append(missing, "Inspect(*http.Response, []byte, *pbx.Token) error")
	}
	if _, ok := pbx.As[interface{ Transport() http.RoundTripper }](auth); !ok {
		missing = append(missing, "Transport() http.RoundTripper")
	}
	if len(missing) == 3 {
		return ""
	}
	return strings.Join(missing, " and ")
}

func pinger(t *testbed) string {
	if _, ok := pbx.As[pbx.Pinger](t.auth.Authenticator); !ok {
		return "the driver does not implement pbx.Pinger"
	}
	other, err := newTestbed(t.harness, Rule{})
	if err != nil {
		return ""
	}
	defer other.end()
	token, err := other.login()
	if err != nil {
		return ""
	}
	if errorKind(other.auth.Ping(context.Background(), token)) == pbx.ErrNotSupported {
		return "the driver knows no harmless request (Ping is ErrNotSupported)"
	}
	return ""
}

func keepAlive(t *testbed) string {
	if t.auth.keepAlive() == pbx.KeepAliveNone {
		return "the brand has no keep-alive"
	}
	return ""
}

func noKeepAlive(t *testbed) string {
	if t.auth.keepAlive() != pbx.KeepAliveNone {
		return "the brand has a keep-alive"
	}
	return ""
}

func refresh(t *testbed) string {
	if t.auth.keepAlive() != pbx.KeepAliveRefresh {
		return "the brand has no refresh tokens"
	}
	return ""
}

func logout(t *testbed) string {
	if t.auth.Traits().Logout == pbx.LogoutNone {
		return "the brand has no logout (Traits.Logout)"
	}
	return ""
}

func noLogout(t *testbed) string {
	if t.auth.Traits().Logout != pbx.LogoutNone {
		return "the brand has a logout"
	}
	return ""
}

func tokenLimit(t *testbed) string {
	switch traits := t.auth.Traits(); {
	case traits.MaxTokens == 0:
		return "the driver does not say how many tokens of an account are valid at once (Traits.MaxTokens)"
	case traits.NewestWins:
		return "a login beyond the limit ends the oldest token (Traits.NewestWins)"
	}
	return ""
}

// roomForAll is for a rule that logs in more often than some brands have room for.
func roomForAll(o *pbxsim.Options) { o.MaxTokens = -1 }

func severalTokens(t *testbed) string {
	if traits := t.auth.Traits(); traits.MaxTokens == 1 && traits.NewestWins {
		return "a login ends the token before it (Traits.MaxTokens, Traits.NewestWins)"
	}
	return ""
}

func fingerprinter(t *testbed) string {
	if _, ok := pbx.As[pbx.Fingerprinter](t.auth.Authenticator); !ok {
		return "the driver does not implement pbx.Fingerprinter"
	}
	return ""
}

// credentials is for rules in which a Credentials func replaces the account.
func credentials(t *testbed) string {
	if cfg := t.config(nil); cfg.Password.IsZero() {
		return "the harness gives the driver no password (Harness.Config)"
	}
	return ""
}

func slides(t *testbed) string {
	if !t.auth.Traits().Sliding {
		return "the driver does not say that requests extend a token (Traits.Sliding)"
	}
	return ""
}

// applies is for rules that build on another one.
func applies(id string) precondition {
	return func(t *testbed) string {
		if reason := t.harness.Skip[id]; reason != "" {
			return id + " does not apply: " + reason
		}
		return ""
	}
}

func locks(t *testbed) string {
	if t.auth.Traits().Lockout.None {
		return "the brand locks nobody out (Traits.Lockout)"
	}
	return ""
}

// proves is for rules in which a login with a wrong password is refused. A driver
// without Traits.Unproven has to have that.
func proves(t *testbed) string {
	if !t.auth.Traits().Unproven {
		return ""
	}
	other, err := newTestbed(t.harness, Rule{})
	if err != nil {
		return ""
	}
	defer other.end()
	wrongPasswordAt(other.sim)
	// What the PBX refuses is no success, whatever the driver makes of it.
	if _, err := other.auth.Login(context.Background()); err == nil && other.sim.Counts().WrongLogins == 0 {
		return "a login with a wrong password succeeds (Traits.Unproven)"
	}
	return ""
}

func lockShows(t *testbed) string {
	if t.auth.Traits().Lockout.LooksWrong {
		return "a lockout looks like a wrong password (Traits.Lockout)"
	}
	return ""
}

// secondLogin is for rules in which other credentials follow a refused login
// within the hour. A session sends none that could be the last before a lock.
func secondLogin(t *testbed) string {
	l := t.auth.Traits().Lockout
	attempts := cmp.Or(l.Attempts, 5)
	if l.DeadTokens == pbx.DeadTokensCount {
		attempts--
	}
	if !l.None && attempts < 4 && cmp.Or(l.Memory, day) > time.Hour {
		return fmt.Sprintf("after a wrong login, no other credentials are sent until the PBX has forgotten it: it locks after %d (Traits.Lockout)", l.Attempts)
	}
	return ""
}

func lockoutLimit(t *testbed) string {
	if lockout := t.auth.Traits().Lockout; lockout.Attempts == 0 && !lockout.None {
		return "the driver does not say after how many wrong logins the PBX locks (Traits.Lockout)"
	}
	return ""
}
