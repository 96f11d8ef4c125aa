package conformance

import (
	"slices"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

//go:generate go test -run TestTheCatalogueIsThatOfTheCode . -update

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
	overTLS bool                  // it is at a port of the loopback interface, and time is real
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
	tlsRules,
	protocolRules,
	secretRules,
	concurrencyRules,
	sessionRules,
)

// A need is something that a rule takes for granted in the driver: it returns
// "" where that is there, else why the rule does not apply.
type need func(*trial) string

func authorizer(t *trial) string {
	if _, ok := pbx.As[pbx.Requester](t.auth.Authenticator); !ok {
		return "the driver is no pbx.Requester"
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

func refresh(t *trial) string {
	if t.auth.keepAlive() != pbx.KeepAliveRefresh {
		return "the brand has no refresh tokens"
	}
	return ""
}

func tokenLimit(t *trial) string {
	if t.auth.Traits().MaxTokens == 0 {
		return "the driver names no number of tokens that an account has room for (Traits.MaxTokens)"
	}
	return ""
}

func fingerprinter(t *trial) string {
	if _, ok := pbx.As[pbx.Fingerprinter](t.auth.Authenticator); !ok {
		return "the driver is no pbx.Fingerprinter"
	}
	return ""
}

func slides(t *trial) string {
	if !t.auth.Traits().Sliding {
		return "the driver does not say that calls prolong a token (Traits.Sliding)"
	}
	return ""
}

// applies is for rules that build on another one.
func applies(id string) need {
	return func(t *trial) string {
		if reason := t.harness.Skip[id]; reason != "" {
			return id + " does not apply: " + reason
		}
		return ""
	}
}

func lockoutLimit(t *trial) string {
	if t.auth.Traits().Lockout.Attempts == 0 {
		return "the driver does not say after how many wrong logins the PBX locks (Traits.Lockout)"
	}
	return ""
}
