// Package conformance is the suite that every driver has to pass, those of this
// module and third-party ones alike.
//
// An interface says what a driver's methods are called. It cannot say that a
// wrong password is sent once, that an HTTP 200 may be a failure, or that the
// token in the URL must not appear in an error. Each of these is a [Rule] here,
// with an ID that never changes its meaning, and the reason, which is mostly
// something that a real client got wrong.
//
// # Adoption
//
// A driver needs a simulated PBX that speaks its brand's protocol (a dialect of
// package pbxsim, written from the vendor's documents) and a test:
//
//	package acme_test
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Harness{
//			Driver:    "acme",
//			Simulator: acmesim.New,
//			Skip: map[string]string{
//				"LOGIN-06": "Acme's passwords are digits only (API guide, page 12)",
//			},
//		})
//	}
//
// A complete driver for a brand that does not exist is in examples/newdriver.
// [Verify] is for programs: it returns a [Report], which prints as a table and
// encodes as JSON. The rules are listed in RULES.md, and the reports of this
// module's drivers are in the folder reports.
//
// The suite opens the driver by its registered name, with
// [github.com/pbxauth/pbx.Config].Transport set to connections in memory. A
// driver that does not use that transport cannot be tested, nor can its users
// put it behind a proxy. For the rules of the group TLS, the suite opens the
// driver without a transport: the PBX is at a loopback port, and time is real.
//
// # What happens
//
// Each rule is a subtest with a PBX, a driver and a lockout budget of its own, in
// a testing/synctest bubble: a day of keep-alives takes milliseconds, and nothing
// sleeps. The password and all tokens are planted secrets. Whatever the driver
// says meanwhile (its errors, its log at trace level, and itself, its tokens and
// their details under %v, %+v, %#v and as JSON) is searched for them, and for the
// password's MD5. So is what anyone writes to the standard logger of package log
// during the rule. One appearance fails the rule under which it happened. What a
// driver writes to standard output or standard error by itself is not seen. A rule
// also fails if a response's body is not closed, if a request goes to another host, or
// if a goroutine of the driver remains.
//
// A rule that does not apply to a brand is skipped with the reason: the driver's
// [github.com/pbxauth/pbx.Traits] say so (no lockout, no logout, no keep-alive),
// it lacks an optional interface, or the harness names the rule in Skip. A
// skipped rule was not passed.
//
// LOGIN-01 comes first. If it fails, the suite stops and says what is likely to
// be wrong with the driver or the harness.
//
// Virtual time stands still while anyone waits for a sync.Mutex or for a network.
// A driver that holds a lock during a request fails after a minute, because
// nothing moves any more.
//
// Run the tests under the race detector: some rules depend on it. Run them once in a
// time zone other than UTC too, as in TZ=Asia/Kolkata go test -count=1: in UTC, a
// driver that takes local time for UTC is right.
package conformance
