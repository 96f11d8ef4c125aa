package conformance

import (
	"slices"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Rule is one thing that every driver must do. The check behind it returns
// errors and knows nothing of package testing.
type Rule struct {
	// ID is the group and a number. It never changes its meaning; the number of
	// a rule that is withdrawn is not used again.
	ID string
	// Says is the rule in one sentence, Why its reason.
	Says string
	Why  string

	needs   []need
	options func(*pbxsim.Options) // what is special about this rule's PBX
	check   func(*trial) error
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
	keepAliveRules,
	logoutRules,
	lockoutRules,
	expiryRules,
	contextRules,
	transportRules,
	protocolRules,
	secretRules,
	concurrencyRules,
	sessionRules,
)

// A need is something that a rule takes for granted in the driver: it returns
// "" where that is there, else why the rule does not apply.
type need func(*trial) string

func authorizer(t *trial) string {
	if _, ok := t.auth.Authenticator.(pbx.Authorizer); !ok {
		return "the driver is no pbx.Authorizer"
	}
	return ""
}

func keepAlive(t *trial) string {
	if t.auth.keepAlive() == pbx.KeepAliveNone {
		return "the brand has no keep-alive"
	}
	return ""
}

func noKeepAlive(t *trial) string {
	if t.auth.keepAlive() != pbx.KeepAliveNone {
		return "the brand has a keep-alive"
	}
	return ""
}

func lockoutLimit(t *trial) string {
	if t.auth.Traits().Lockout.Attempts == 0 {
		return "the driver does not say after how many wrong logins the PBX locks (Traits.Lockout)"
	}
	return ""
}
