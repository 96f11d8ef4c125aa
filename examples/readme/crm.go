package crm

import (
	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters" // every driver; or import single ones
	"github.com/pbxauth/pbx/session"
)

// Fleet keeps the PBXs of all customers logged in.
var Fleet = session.NewManager(nil)

// Connect opens a customer's PBX, of whatever brand the settings name. An error
// says which setting to change, and nothing was sent. With the session,
//
//	s.Client().Post(s.URL()+"/api/...", "application/json", body)
//
// calls the PBX's API, with the token where the brand wants it.
func Connect(customer, driver string, cfg pbx.Config) (*session.Session, error) {
	auth, err := pbx.Open(driver, cfg)
	if err != nil {
		return nil, err
	}
	return Fleet.Add(customer, auth)
}
