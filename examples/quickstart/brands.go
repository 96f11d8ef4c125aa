package main

import (
	"net/http"

	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

// brand is what the quickstart has to know of a brand beyond its driver's name.
type brand struct {
	driver   string
	options  map[string]string // of the driver
	ttl      bool              // the driver has to be told the short life: its PBX does not tell
	simulate func(*pbxsim.Options) *pbxsim.PBX
	call     apiCall
}

// apiCall is a call of a brand's API that changes nothing.
type apiCall struct {
	simulators.Request
	// forReal is false where nobody documents a harmless call, so that this one
	// is for the simulator only.
	forReal bool
}

var brands = func() (all []brand) {
	for _, s := range simulators.All() {
		all = append(all, brand{
			driver:   s.Driver,
			options:  s.Options,
			ttl:      s.Driver != "yeastar-p" && s.Driver != "asterisk",
			simulate: s.New,
			call:     apiCall{s.Harmless, s.Driver != "openvox" && s.Driver != "runtel"},
		})
	}
	return all
}()

// name is the driver's, with its options.
func (b brand) name() string {
	name := b.driver
	for option, value := range b.options {
		name += " " + option + "=" + value
	}
	return name
}

// request makes the harmless call to the PBX at base.
func (c apiCall) request(base string) *http.Request { return c.At(base) }
