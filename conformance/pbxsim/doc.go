// Package pbxsim is a simulated PBX: the server side of every test in this
// module, and of a third party's driver.
//
// Real PBXs lock the caller's address after a few wrong logins, forget all
// tokens when they restart, answer a failure with HTTP 200, and now and then
// with HTML, half an answer, or nothing. A client that has not met this in a
// test meets it at a customer's. So the package has one state machine that all
// brands share, and each brand's simulator is a [Dialect] of it, which knows
// the wire format and nothing else:
//
//	client ── HTTP ──► PBX ──► Dialect          reads and writes the brand's words
//	                    │        │
//	                    │        ▼
//	                    │      accounts · tokens · lockout
//	                    ▼
//	                  faults · counts · log     what a test controls and sees
//
// A test makes a PBX (yeastarsim.New, or [New] with a dialect), puts it at an
// address with [Listen], [ListenTLS] or [ListenMemory], points the client there,
// and then makes things happen: [PBX.Restart], [PBX.Expire], [PBX.Lock],
// [PBX.SetPassword], [PBX.Fault], [Server.Close]. Afterwards it looks at
// [PBX.Counts], which says how often the client tried, and at [PBX.Log], which
// says with what.
//
// Dialects are written from the vendors' documents, never to suit a client. They
// are strict: what a document does not allow is refused. Where it leaves a
// question open, an option plays it either way, and its comment says whose
// question it is.
//
// # Lockout
//
// After Options.LockoutAfter consecutive wrong logins from one IP address, every
// login from there is answered as locked, also with the right password, until
// Options.LockoutFor has passed since the last of them. Attempts under the lock
// do not extend it. Wrong logins older than Options.LockoutFor are forgotten,
// and so are all of them upon a good login. An account that does not exist
// counts like a wrong password. Tokens are not affected, unless the dialect says
// otherwise.
//
// # Time
//
// The clock is time.Now. In a testing/synctest bubble, with [ListenMemory], a
// lock of ten minutes and a week of keep-alives take no time at all.
package pbxsim
