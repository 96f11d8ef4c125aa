package conformance

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Harness is what the suite has to know of a driver. All fields but Driver,
// Simulator and Call may be left out.
type Harness struct {
	// Driver is the name that the driver is registered under.
	Driver string

	// Registry is where. nil means the default one, in which a driver's package
	// puts it on import.
	Registry *pbx.Registry

	// Options are the driver's own, for [pbx.Config].Options. They must be good
	// for a PBX in its factory settings.
	Options map[string]string

	// Simulator makes a PBX of the brand. It is called for every rule, and has
	// to pass the options on: accounts and NewToken among them.
	Simulator func(*pbxsim.Options) *pbxsim.PBX

	// Call makes a request to the PBX at base that does no harm there and needs
	// a token, but does not have it yet. It must be possible to send its body
	// twice, as http.NewRequest sees to for a strings.Reader.
	Call func(base string) *http.Request

	// Skip names rules that do not apply, each with the reason: what the vendor
	// does otherwise, or does not tell.
	Skip map[string]string
}

// check returns what is wrong with the harness itself.
func (h Harness) check() error {
	if h.Driver == "" || h.Simulator == nil || h.Call == nil {
		return errors.New("conformance: Harness: Driver, Simulator and Call must be set")
	}
	if _, ok := h.lookup(); !ok {
		return fmt.Errorf("conformance: Harness: no driver is registered as %q (forgotten import?)", h.Driver)
	}
	for id, reason := range h.Skip {
		if !slices.ContainsFunc(rules, func(r Rule) bool { return r.ID == id }) {
			return fmt.Errorf("conformance: Harness: Skip: there is no rule %q", id)
		}
		if reason == "" {
			return fmt.Errorf("conformance: Harness: Skip: %s is skipped without a reason", id)
		}
	}
	return nil
}

func (h Harness) lookup() (pbx.Driver, bool) {
	if h.Registry != nil {
		return h.Registry.Lookup(h.Driver)
	}
	return pbx.Lookup(h.Driver)
}

func (h Harness) open(cfg pbx.Config) (auth pbx.Authenticator, err error) {
	defer func() {
		if v := recover(); v != nil {
			auth, err = nil, fmt.Errorf("the driver panics: %v", v)
		}
	}()
	if h.Registry != nil {
		return h.Registry.Open(h.Driver, cfg)
	}
	return pbx.Open(h.Driver, cfg)
}
