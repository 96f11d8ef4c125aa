// Package wazosim simulates the authentication API of the Wazo Platform
// (wazo-auth), as seen at a real server of release 26.04, with its source and its
// OpenAPI text (github.com/wazo-platform/wazo-auth). It is a dialect of [pbxsim],
// which has the rest: accounts, tokens, faults.
//
//	pbx := wazosim.New(nil, &pbxsim.Options{Accounts: map[string]string{"crm": "secret"}})
//	server := pbxsim.ListenTLS(pbx)
//	defer server.Close()
//
// Releases differ, and so do servers: see [Options].
package wazosim
