// Package yeastarsim simulates the API of a Yeastar S-Series PBX: API v1.1.0,
// the one with JSON, as help.yeastar.com documents it. It is a dialect of
// [pbxsim], which has the rest: accounts, tokens, the lockout, faults.
//
//	pbx := yeastarsim.New(&pbxsim.Options{Accounts: map[string]string{"api": "secret"}})
//	server := pbxsim.Listen(pbx)
//	defer server.Close()
//
// A factory PBX redirects its HTTP port to HTTPS on 8088. The status is not
// documented; to play it, let a fault answer:
//
//	pbx.Fault(pbxsim.Fault{Times: -1, Status: 302, Header: http.Header{"Location": {url}}})
package yeastarsim
