package session

import (
	"unique"

	"github.com/pbxauth/pbx"
)

// traits are a driver's as its session keeps them. What all sessions of a brand
// have in common is kept once for the process.
type traits struct {
	URL, Account string
	common       unique.Handle[pbx.Traits] // without URL, Account and Probe
}

func keep(t pbx.Traits) traits {
	kept := traits{URL: t.URL, Account: t.Account}
	t.URL, t.Account, t.Probe = "", "", ""
	kept.common = unique.Make(t)
	return kept
}

// statedBy asks a driver for its traits. One that states none has the zero value.
func statedBy(auth pbx.Authenticator) pbx.Traits {
	if describer, ok := pbx.As[pbx.Describer](auth); ok {
		return describer.Traits()
	}
	return pbx.Traits{}
}

// brand is what does not differ from PBX to PBX. Its URL, Account and Probe are
// empty.
func (t *traits) brand() pbx.Traits { return t.common.Value() }
