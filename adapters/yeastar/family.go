package yeastar

import (
	"fmt"
	"maps"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/sseries"
)

// Family is a product line and the generation of its API. Which one a PBX has,
// its model and its web interface say. The driver never finds out by trying, which
// would be a wrong login at all families but one.
type Family string

const (
	SV1     Family = "s-v1"     // S-Series, K2 and S1000, API v1
	SV2     Family = "s-v2"     // S-Series, K2 and S1000, API v2
	CloudV1 Family = "cloud-v1" // Cloud PBX, API v1
	CloudV2 Family = "cloud-v2" // Cloud PBX, API v2
)

// families are what differs between Yeastar's product lines, to be laid beside
// the vendor's pages: help.yeastar.com/en/ s-series-developer,
// s-series-developer-v2, cloudpbx-developer, cloudpbx-developer-v2. The pages of
// the K2 and the S1000 say the same as those of the S-Series.
//
// Of API v2 the vendor does not say whether requests start a token's lifetime
// anew, so that they are not relied on. The K2's guide of API v2 has a refresh token
// besides: it is kept in the [pbx.Token], and heartbeats keep the token alive.
// deviceinfo/query is documented for all four, without parameters.
var families = map[Family]*sseries.Variant{
	SV1: {
		Driver: Name, Port: 8088, Version: "v1.1.0",
		Harmless: "deviceinfo/query", Lifetime: 30 * time.Minute, Sliding: true, Lockout: lockout,
		Heartbeat: true,
		Errnos:    errnos(nil),
	},
	SV2: {
		Driver: Name, Port: 8088, Version: "v2.0.0",
		Harmless: "deviceinfo/query", Lifetime: 30 * time.Minute, Lockout: lockout,
		Heartbeat: true, KeepsRefresh: true, ReportsInBeat: true,
		Errnos: errnos(v2Errnos),
	},
	CloudV1: {
		Driver: Name, Port: 443, Version: "v1.1.0",
		Harmless: "deviceinfo/query", Lifetime: 30 * time.Minute, Lockout: lockout,
		Refresh: true,
		Errnos:  errnos(nil),
	},
	// There is a page of the heartbeat, and one of the refresh. What a login
	// returns is not printed, so that either may be the one to use.
	CloudV2: {
		Driver: Name, Port: 443, Version: "v2.0.0",
		Harmless: "deviceinfo/query", Lifetime: 30 * time.Minute, Lockout: lockout,
		Heartbeat: true, Refresh: true, ReportsInBeat: true,
		Errnos: errnos(v2Errnos),
	},
}

// variant returns the family's. The empty Family is SV1.
func (f Family) variant() (*sseries.Variant, error) {
	if f == "" {
		f = SV1
	}
	v, ok := families[f]
	if !ok {
		return nil, &pbx.Error{Driver: Name, Op: pbx.OpOpen, Kind: pbx.ErrConfig, Setting: "family",
			Message: fmt.Sprintf("Family (family) %q is not one of %s", string(f), "s-v1, s-v2, cloud-v1, cloud-v2")}
	}
	return v, nil
}

// familyChoices are the option's choices, the usual one first.
var familyChoices = []pbx.Choice{
	{Value: string(SV1), Label: "S-Series, K2, S1000: API v1"},
	{Value: string(SV2), Label: "S-Series, K2, S1000: API v2"},
	{Value: string(CloudV1), Label: "Cloud PBX: API v1"},
	{Value: string(CloudV2), Label: "Cloud PBX: API v2"},
}

// lockout: "5 consecutive" wrong logins lock the client's IP for "10 minutes" (the
// pages of login; that of the Cloud PBX v2 says the client's domain). No page has a
// time after which a wrong login is forgotten. "Consecutive" does not
// say what a success resets, so nothing. Whether dead tokens
// count, and whether a lock stops valid tokens, is not documented.
var lockout = pbx.Lockout{Attempts: 5, Window: 10 * time.Minute, Memory: pbx.Forever}

// errnos is the vendor's table (Error Code), as far as it concerns logins and
// tokens: that of API v1, and what a family adds. Each family has its own.
func errnos(added map[string]sseries.Errno) map[string]sseries.Errno {
	table := maps.Clone(v1Errnos)
	maps.Copy(table, added)
	return table
}

var v1Errnos = map[string]sseries.Errno{
	"10002": {Kind: pbx.ErrProtocol, Meaning: "XML is not supported", NotJudged: true},
	"10003": {Kind: pbx.ErrProtocol, Meaning: "no such request: check the options family and api_version", NotJudged: true},
	"10004": {Kind: pbx.ErrProtocol, Meaning: "a required parameter is blank; if it is a heartbeat's, set event_ipaddr and event_port", NotJudged: true},
	"10025": {Kind: pbx.ErrUnavailable, Meaning: "the configuration was applied too often: wait", NotJudged: true},
	"10032": {Meaning: "wrong password"}, // in which context is not documented
	"20000": {Kind: pbx.ErrProtocol, Meaning: "the request is not JSON", NotJudged: true},
	"20001": {Kind: pbx.ErrProtocol, Meaning: "the request is not a POST", NotJudged: true},
	"20002": {Kind: pbx.ErrLocked, Meaning: "too many failed logins: the PBX has locked this client's IP; it can be unlocked in the PBX's web interface"},
	"20003": {Kind: pbx.ErrInvalidCredentials, Meaning: "wrong user name or password: check the API account in the PBX's web interface"},
	"20004": {Kind: pbx.ErrTokenRejected, Meaning: "no such token"},
	"20005": {Kind: pbx.ErrTokenRejected, Meaning: "the token is blank"},
	"20006": {Kind: pbx.ErrTokenRejected, Meaning: "the token has timed out"},
	"20007": {Kind: pbx.ErrProtocol, Meaning: "the data is blank", NotJudged: true},
	"20008": {Kind: pbx.ErrConfig, Meaning: "wrong port: check event_port", Setting: "event_port", NotJudged: true},
	"20009": {Kind: pbx.ErrProtocol, Meaning: "the request is blank", NotJudged: true},
	"20010": {Kind: pbx.ErrUnavailable, Meaning: "the PBX could not hand the request to its API process", NotJudged: true},
	"20011": {Meaning: "the heartbeat could not be configured"}, // the token may still live
	"20015": {Kind: pbx.ErrForbidden, Meaning: "this client's IP is not allowed: add it to the API's list in the PBX's web interface", NotJudged: true},
	"30001": {Kind: pbx.ErrUnavailable, Meaning: "the PBX could not allocate memory", NotJudged: true},
	// The vendor's table says this, its sample of a failed login shows this
	// code: on a login it may stand for a wrong password.
	"30003": {Kind: pbx.ErrUnavailable, Meaning: "the PBX's API process is not running"},
}

// v2Errnos is one of many that API v2 adds for requests, and the only one that
// means something about tokens in another brand of the vendor's.
var v2Errnos = map[string]sseries.Errno{
	"10005": {Meaning: "the call ID does not exist"},
}
