package crm

import (
	"net/http"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters" // every driver; or import single ones
	"github.com/pbxauth/pbx/session"
)

// Fleet keeps the PBXs of all customers logged in.
var Fleet = session.NewManager(nil)

// Connect opens a customer's PBX, of whatever brand the settings name.
func Connect(customer, driver string, cfg pbx.Config) (*http.Client, error) {
	auth, err := pbx.Open(driver, cfg)
	if err != nil {
		return nil, err // says which setting to mend; nothing was sent
	}
	s, err := Fleet.Add(customer, auth)
	if err != nil {
		return nil, err
	}
	return s.Client(), nil
}
