// Package uissim simulates the Call API v4.0 of UIS and CoMagic, as the vendor's
// document shows it (uiscom.ru and comagic.ru, «Call API»). It is a dialect of
// [pbxsim], which has the rest: accounts, tokens, the lockout, faults.
//
//	pbx := uissim.New(nil, &pbxsim.Options{Accounts: map[string]string{"crm": "secret"}})
//	server := pbxsim.ListenTLS(pbx)
//	defer server.Close()
//
// What the vendor leaves open is a field of [Options].
package uissim
