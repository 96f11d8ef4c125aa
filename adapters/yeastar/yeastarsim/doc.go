// Package yeastarsim simulates the API of Yeastar's PBXs, as help.yeastar.com
// documents it: S-Series, K2, S1000 and Cloud PBX, with API v1 and v2. It is a
// dialect of [pbxsim], which has the rest: accounts, tokens, the lockout, faults.
//
//	pbx := yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}})
//	server := pbxsim.Listen(pbx)
//	defer server.Close()
//
// Without options it is an S-Series with API v1. Other families, and other
// readings of what the pages leave open, are fields of [Options]:
//
//	pbx := yeastarsim.New(&yeastarsim.Options{Family: yeastarsim.CloudV1}, common)
//
// A factory PBX redirects its HTTP port to HTTPS on 8088. The status is not
// documented; to play it, use a fault:
//
//	pbx.Fault(pbxsim.Fault{Times: -1, Status: 302, Header: http.Header{"Location": {url}}})
package yeastarsim
