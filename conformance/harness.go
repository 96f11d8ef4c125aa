package conformance

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Harness is what the suite needs to know about a driver. Driver and Simulator
// must be set.
type Harness struct {
	// Driver is the name that the driver is registered under.
	Driver string

	// Registry is where it is registered. nil: the default one, in which a
	// driver's package puts it on import.
	Registry *pbx.Registry

	// Options are the driver's own, for [pbx.Config].Options. They must fit a
	// PBX with its factory settings.
	Options map[string]string

	// Config turns the suite's settings into the driver's. cfg has the account
	// in Username and Password. For a driver that takes something else, such as
	// a key in Config.Secrets, Config moves it there. nil: cfg is used as it is.
	Config func(cfg pbx.Config) pbx.Config

	// Simulator makes a PBX of the brand. It is called for every rule and has to
	// pass its options on to pbxsim.New: accounts and NewToken among them.
	Simulator func(*pbxsim.Options) *pbxsim.PBX

	// Call makes a harmless request to the PBX at base. The request needs a
	// token, but does not have it yet, and its body can be sent twice, as
	// http.NewRequest ensures for a strings.Reader. nil: the request that the
	// driver's pbx.Pinger sends, less its token.
	Call func(base string) *http.Request

	// Skip names rules that do not apply, each with the reason: what the vendor
	// does differently, or does not say.
	Skip map[string]string
}

// ready returns h with its defaults, or what is wrong with it.
func (h Harness) ready() (Harness, error) {
	if h.Driver == "" || h.Simulator == nil {
		return h, errors.New("conformance: Harness: Driver and Simulator must be set")
	}
	if _, ok := h.lookup(); !ok {
		return h, fmt.Errorf("conformance: Harness: no driver is registered as %q (is an import missing?)", h.Driver)
	}
	for id, reason := range h.Skip {
		if successor := retired[id]; successor != "" {
			return h, fmt.Errorf("conformance: Harness: Skip: %s is retired: see %s", id, successor)
		}
		if !slices.ContainsFunc(rules, func(r Rule) bool { return r.ID == id }) {
			return h, fmt.Errorf("conformance: Harness: Skip: there is no rule %q", id)
		}
		if reason == "" {
			return h, fmt.Errorf("conformance: Harness: Skip: %s is skipped without a reason", id)
		}
	}
	if h.Call == nil {
		call, err := h.pingRequest()
		if err != nil {
			return h, fmt.Errorf("conformance: Harness: %w", err)
		}
		h.Call = call
	}
	return h, nil
}

func (h Harness) lookup() (pbx.Driver, bool) {
	if h.Registry != nil {
		return h.Registry.Lookup(h.Driver)
	}
	return pbx.Lookup(h.Driver)
}

// converted is cfg in the form that the driver takes.
func (h Harness) converted(cfg pbx.Config) pbx.Config {
	if d, _ := h.lookup(); d.NoUsername {
		cfg.Username = ""
	}
	if h.Config == nil {
		return cfg
	}
	return h.Config(cfg)
}

func (h Harness) open(cfg pbx.Config) (auth pbx.Authenticator, err error) {
	defer func() {
		if v := recover(); v != nil {
			auth, err = nil, fmt.Errorf("the driver panics: %v%s", v, panicPlace())
		}
	}()
	if h.Registry != nil {
		return h.Registry.Open(h.Driver, cfg)
	}
	return pbx.Open(h.Driver, cfg)
}
