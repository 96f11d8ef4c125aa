// Package conformance is what every driver has to pass, those of this module and
// other people's alike.
//
// An interface says what a driver's methods are called. It cannot say that a
// wrong password is sent once, that an HTTP 200 may be a failure, or that the
// token in the URL must not come out in an error. Each of these is a [Rule] here,
// with an ID that stays the same for ever, one sentence, and the reason, which is
// mostly something that a real client got wrong at a customer's.
//
// # Adoption
//
// A driver needs a simulated PBX that speaks its brand's words (a dialect of
// package pbxsim, written from the vendor's documents) and a test:
//
//	package acme_test
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Harness{
//			Driver:    "acme",
//			Simulator: acmesim.New,
//			Call: func(base string) *http.Request {
//				r, _ := http.NewRequest("POST", base+"/api/status", strings.NewReader("{}"))
//				return r
//			},
//			Skip: map[string]string{
//				"LOCKOUT-02": "Acme answers a locked caller like a wrong password (API guide, page 12)",
//			},
//		})
//	}
//
// A complete one for a brand that does not exist is in examples/newdriver.
// [Verify] is for programs: it returns a [Report], which prints as a table and
// encodes as JSON. The rules are listed in RULES.md, and what the drivers of this
// module make of them is in the folder reports.
//
// The suite opens the driver by its registered name, with
// [github.com/pbxauth/pbx.Config].Transport set to connections in memory, so a
// driver that does not use that client cannot be tested, nor be put behind a
// proxy by its users. For the rules of the group TLS it opens the driver without
// one: these have a PBX at a port of the loopback interface, and real time.
//
// # What happens
//
// Each rule is a subtest with a PBX, a driver and a lockout budget of its own, in
// a testing/synctest bubble: a day of keep-alives takes milliseconds, and nothing
// sleeps. The password is a canary, and so are all tokens. Whatever the driver
// says meanwhile (its errors, its log at trace level, and itself, its tokens and
// their details under %v, %+v, %#v and as JSON) is searched for them, and for
// the password's MD5. One appearance fails the rule that it happened under. What
// a driver writes to the process's own standard error is not seen.
//
// A rule that a driver cannot break, since its brand has no such thing, is
// skipped by name and with the reason: what the driver's Traits say, or what the
// harness says in Skip. Skipped is not passed.
//
// Virtual time stands still while anyone waits for a sync.Mutex, or for a
// network. A driver that holds a lock during a call fails after a minute, as
// nothing moves any more.
//
// Run the tests under the race detector: some rules are about it.
package conformance
