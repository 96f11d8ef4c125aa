// Package grandstreamsim simulates the HTTPS API of a Grandstream UCM, as the
// vendor's page documentation.grandstream.com/knowledge-base/https-api and public
// client code show it. It is a dialect of [pbxsim], which has the rest: accounts,
// tokens, the lockout, faults.
//
//	pbx := grandstreamsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"cdrapi": "secret"}})
//	server := pbxsim.ListenTLS(pbx)
//	defer server.Close()
//
// What the vendor leaves open is a field of [Options].
package grandstreamsim
