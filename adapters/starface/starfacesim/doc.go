// Package starfacesim simulates the REST API of a STARFACE, as the vendor's wiki
// (knowledge.starface.de, REST-Schnittstelle), its OpenAPI file and its example
// clients (github.com/STARFACEGmbH/rest-examples) show it. It is a dialect of
// [pbxsim], which has the rest: accounts, tokens, the lockout, faults.
//
//	pbx := starfacesim.New(nil, &pbxsim.Options{Accounts: map[string]string{"0001": "secret"}})
//	server := pbxsim.ListenTLS(pbx)
//	defer server.Close()
//
// What the vendor leaves open is a field of [Options].
package starfacesim
