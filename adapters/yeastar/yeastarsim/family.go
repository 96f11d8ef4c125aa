package yeastarsim

import (
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// The families, by the names that the driver's option has for them.
const (
	SV1     = "s-v1"     // S-Series, K2, S1000 with API v1
	SV2     = "s-v2"     // the same with API v2
	CloudV1 = "cloud-v1" // Cloud PBX with API v1
	CloudV2 = "cloud-v2" // Cloud PBX with API v2
)

// A family is one product line and generation of the API.
type family struct {
	version   string // the path segment that it serves
	defaults  pbxsim.Defaults
	heartbeat bool
	refresh   bool // a login brings a refreshtoken too
	transport bool // a login says how events are reported
	port      bool // a login has to name one, whatever the report method

	lists map[string]Extensions // by the name of the request
}

// Extensions is a list of extensions as a response has it, under one of two
// names.
type Extensions struct {
	List  []Extension `json:"extlist,omitempty"`
	Infos []Extension `json:"extinfos,omitempty"`
}

// An Extension has its number under one of two names. AgentID is not in all
// lists.
type Extension struct {
	ExtNumber string  `json:"extnumber,omitempty"`
	Number    string  `json:"number,omitempty"`
	Status    string  `json:"status"`
	Type      string  `json:"type"`
	Username  string  `json:"username"`
	AgentID   *string `json:"agentid,omitempty"`
}

var noAgent = ""

// The lists have the fields of the samples on the pages api_query_extension_list
// (API v1) and extension-list (API v2).
var (
	listsV1 = map[string]Extensions{"extensionlist/query": {List: []Extension{
		{ExtNumber: "1000", Status: "Registered", Type: "SIP", Username: "Reception", AgentID: &noAgent},
		{ExtNumber: "1001", Status: "Unavailable", Type: "SIP", Username: "Sales", AgentID: &noAgent},
	}}}
	listsV2 = map[string]Extensions{"extension/list": {List: []Extension{
		{Number: "1000", Status: "Idle", Type: "SIP", Username: "Reception"},
		{Number: "1001", Status: "Registered", Type: "SIP", Username: "Sales"},
	}}}
)

// families say what the vendor's pages say:
//   - With API v1 every request prolongs an S-Series' token. Of API v2 that is not
//     said; see [Options].CallsSlide.
//   - The fifth consecutive wrong login locks the client's address for 10 minutes.
//     No page has a time after which a wrong login is forgotten, and none says
//     that a good login of one account ends the row of another.
//   - The lifetime of a refresh token is not documented. It is played as a day, which
//     is that of the vendor's P-Series.
var families = map[string]family{
	SV1: {
		version: "v1.1.0", defaults: defaults(true, 0), heartbeat: true, port: true,
		lists: listsV1,
	},
	SV2: {
		version: "v2.0.0", defaults: defaults(false, 0), heartbeat: true, transport: true,
		lists: listsV2,
	},
	CloudV1: {
		version: "v1.1.0", defaults: defaults(false, refreshLifetime), refresh: true, port: true,
		lists: listsV1,
	},
	CloudV2: {
		version: "v2.0.0", defaults: defaults(false, refreshLifetime), heartbeat: true, refresh: true,
		lists: listsV2,
	},
}

// refreshLifetime is that of the vendor's P-Series.
const refreshLifetime = 24 * time.Hour

func defaults(sliding bool, refreshLife time.Duration) pbxsim.Defaults {
	return pbxsim.Defaults{
		Lifetime:        30 * time.Minute,
		Sliding:         sliding,
		RefreshLifetime: refreshLife,
		Lockout: pbxsim.Lockout{
			After: 5, For: 10 * time.Minute,
			Memory: pbxsim.Forever, Per: pbxsim.Address, Reset: pbxsim.Account,
		},
	}
}

// The errno values that the simulator itself sends: the same in all families,
// as far as the vendor prints them.
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
