// Package asterisksim simulates the manager interface of Asterisk over HTTP, as
// Asterisk 22 and 23 were seen to respond on the wire, and as main/manager.c and
// main/http.c read. It is a dialect of [pbxsim], which has the rest: accounts,
// tokens, faults.
//
//	pbx := asterisksim.New(nil, &pbxsim.Options{Accounts: map[string]string{"crm": "secret"}})
//	server := pbxsim.Listen(pbx)
//	defer server.Close()
//
// A session's lifetime is httptimeout, which is pbxsim's Options.Lifetime. A real
// Asterisk removes dead sessions up to 6 s late; this one does at once.
//
// A refused login takes a second, as in Asterisk.
//
// Asterisk locks nobody out. With pbxsim's Options.Lockout.After set to 5 it is
// behind Debian's fail2ban, which bans at the third wrong login; a locked client
// gets no response to anything. Asterisk has no words for a lock: one that is
// Stated looks like a wrong password.
//
// Over its limit of connections, 100 by default, Asterisk closes a new one
// without a byte. To play it, drop requests:
//
//	pbx.Fault(pbxsim.Fault{Times: -1, Drop: pbxsim.DropBefore})
//
// It closes connections that were idle for 15 s, which the servers of pbxsim do
// not. To play it, put the PBX into an [net/http.Server] with that IdleTimeout.
package asterisksim
