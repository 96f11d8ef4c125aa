// Package runtelsim simulates the API of a Runtel PBX, as the vendor's page
// doc-cp.runtel.ru/api/api_auth.html shows it. It is a dialect of [pbxsim],
// which has the rest: accounts, tokens, the lockout, faults.
//
//	pbx := runtelsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"a@office.example": "secret"}})
//	server := pbxsim.Listen(pbx)
//	defer server.Close()
//
// The vendor shows one login, one logout and their good responses. Nothing else is
// documented: not a single failure, not the limits of its lockout, not the zone
// of the time at which a token ends. Each of these is a field of [Options].
package runtelsim
