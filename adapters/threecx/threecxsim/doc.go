// Package threecxsim simulates the API of 3CX v20 for API clients: the token
// endpoint and a little of XAPI, as the vendor's tutorial client and its OpenAPI
// file show them (github.com/3cx/xapi-tutorial), and as others have seen them on
// the wire. It is a dialect of [pbxsim], which has the rest: accounts, tokens,
// faults.
//
//	pbx := threecxsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"crm": "key"}})
//	server := pbxsim.ListenTLS(pbx)
//	defer server.Close()
//
// An account is an API client: its id and its key. What the vendor leaves open is
// a field of [Options].
package threecxsim
