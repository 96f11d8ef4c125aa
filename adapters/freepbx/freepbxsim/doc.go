// Package freepbxsim simulates the PBX API module of FreePBX 15, 16 and 17: its
// OAuth 2 token endpoint, GraphQL and a little of REST, as read in its source
// (github.com/FreePBX/api) and in that of league/oauth2-server, which it uses. It
// is a dialect of [pbxsim], which has the rest: accounts, tokens, faults.
//
//	pbx := freepbxsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"client id": "client secret"}})
//	server := pbxsim.ListenTLS(pbx)
//	defer server.Close()
//
// An account is an application: its client id and its secret. With
// [Options].Application, accounts are users of the PBX besides, who log in through
// that application.
package freepbxsim
