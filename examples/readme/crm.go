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
//	s.Do(request) // a relative URL is resolved on the PBX's
//
// sends a request to the PBX's API, with the token where the brand expects it,
// and returns the failures that the brand reports under HTTP 200 as errors.
func Connect(customer, driver string, cfg pbx.Config) (*session.Session, error) {
	auth, err := pbx.Open(driver, cfg)
	if err != nil {
		return nil, err
	}
	return Fleet.Add(customer, auth)
}
