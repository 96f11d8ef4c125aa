// Package pbxsim is a simulated PBX: the server side of every test in this
// module, and of a third party's driver.
//
// Real PBXs lock the client's address after a few wrong logins, forget all
// tokens when they restart, report a failure under HTTP 200, and now and then
// respond with HTML, half a response, or nothing. A client that has not met this in a
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
// [PBX.SetPassword], [PBX.Fault], [PBX.Down]. Afterwards it looks at
// [PBX.Counts], which says how often the client tried, at [PBX.Locks], and at
// [PBX.Logins], which says with which password and when.
//
// Dialects are written from the vendors' documents, never to suit a client. They
// are strict: what a document does not allow is refused. Where it leaves a
// question open, an option plays it either way, and its comment says whose
// question it is.
//
// # Lockout
//
// Each dialect locks as its vendor documents, read literally: Yeastar's "five
// consecutive wrong logins" are never forgotten by time. Where the vendor says
// nothing, the harsher reading is the default. [Options].Lockout plays every
// other model, and [Lockout] says what they have in common. An account that does
// not exist counts like a wrong password.
//
// # Outages
//
// [PBX.Down] begins a state in which the PBX, its API or what stands in front of
// it does not work, and [PBX.Up] ends it. A [Fault] happens to single requests.
// A restart that loses the tokens is [PBX.Restart], at any time:
//
//	pbx.Down(pbxsim.Refusing)
//	time.Sleep(time.Minute)
//	pbx.Restart()
//	pbx.Up()
//
// # Time
//
// The clock is time.Now. In a testing/synctest bubble, with [ListenMemory], a
// lock of ten minutes and a week of keep-alives take no time at all.
package pbxsim
