package yeastarsim

import (
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// A family is one generation of the API. The same errno means different things
// in different families, so each one has its own table.
type family struct {
	versions []string // the path segments it answers to
	defaults pbxsim.Defaults
}

// sV1 is the S-Series with API v1.
//   - Every API call prolongs the token, not only the heartbeat.
//   - The fifth consecutive wrong login locks the caller's address.
var sV1 = family{
	versions: []string{"v1.1.0"},
	defaults: pbxsim.Defaults{
		Life:         30 * time.Minute,
		Sliding:      true,
		LockoutAfter: 5,
		LockoutFor:   10 * time.Minute,
	},
}

// The errno values of API v1 that the simulator itself answers.
const (
	noSuchRequest  = 10003
	parameterBlank = 10004
	notJSON        = 20000
	notPOST        = 20001
	lockedOut      = 20002
	wrongLogin     = 20003
	noSuchToken    = 20004
	tokenBlank     = 20005
	tokenTimedOut  = 20006
	wrongPort      = 20008
)

// errnos are the vendor's numbers for the verdicts of pbxsim.
var errnos = map[pbxsim.Verdict]int{
	pbxsim.WrongPassword: wrongLogin,
	pbxsim.Locked:        lockedOut,
	pbxsim.UnknownToken:  noSuchToken,
	pbxsim.ExpiredToken:  tokenTimedOut,
}
