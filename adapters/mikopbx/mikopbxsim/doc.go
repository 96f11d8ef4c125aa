// Package mikopbxsim simulates the REST API v3 of MikoPBX, as its source has it
// (github.com/mikopbx/Core, src/PBXCoreREST). It is a dialect of [pbxsim], which
// has the rest: accounts, tokens, the lockout, faults.
//
//	pbx := mikopbxsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"admin": "secret"}})
//	server := pbxsim.ListenTLS(pbx)
//	defer server.Close()
//
// Two things are not as in the source. MikoPBX lets requests from its own machine in
// without a token, and the simulator does not, because a test's requests come from
// there. And two logins within one second bring the same token, while each token of
// a simulator is another.
package mikopbxsim
