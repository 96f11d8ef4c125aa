// Command pbxprobe checks a real PBX, carefully.
//
//	go run ./conformance/pbxprobe -driver yeastar -url https://pbx.example.com:8088 -user api
//
// The password is read from the environment variable PBX_PASSWORD, or asked for
// without echo. It has no flag, because flags show in process lists. Neither have
// a driver's secret options: the option key is read from PBX_OPTION_KEY. -list
// prints the drivers and their options.
//
// # What it sends
//
// The steps are those of package probe, which says what each of them sends: one
// login at most, a few requests with its token, and its logout. Nothing is sent
// twice that may have arrived. After an interrupt, a request that may bring a
// token gets five more seconds, and so does the logout. A second interrupt does
// not wait.
//
// If nothing vouches for the PBX's certificate, no login is sent. pbxprobe prints
// the certificate's fingerprint and the flag -tls-pin that trusts it. Compare the
// fingerprint with the one that a browser shows in the PBX's own network.
//
// # What it remembers
//
// PBXs lock a client's address after a few wrong logins. pbxprobe keeps them in a
// ledger, as every session does, and by the same rules (package
// session/lockout): a refused password is not sent again, by no later run. Another
// password is sent, as long as a wrong one could not lock this machine out. A
// login without a response, or with one that the driver does not understand, may
// have been a wrong one and counts too. It is booked before it is sent, so that a
// run that was killed counts as well.
//
// -force "reason" sends a login that the ledger holds back, and makes the ledger
// forget the wrong logins to that host. It asks on the terminal first, and does
// nothing without one.
//
// The ledger is a directory, pbxprobe/ledger in the user's cache folder, or what
// -ledger or the environment variable PBXPROBE_LEDGER name. Name the directory of a
// program that logs in to the same PBX (session.NewGuard over store.Files), and
// both share one budget. It holds no password and no token.
//
// Most vendors do not say whether a dead token counts as a wrong login. The step
// that sends one comes last, and once per host and lockout window. Later runs in
// that time leave it out, and with it a keep-alive that replaces the token,
// because the replaced one may be dead when it is logged out.
//
// # What it prints
//
// A line per step as it ends, advice after a failed one, and one sentence at the
// end. The exit status is 0 if all is fine, 1 if a step failed or waits for a
// decision, and 2 for wrong use, wrong settings included: then standard error has
// one line, and nothing was sent.
//
// With -json, standard output is one object, a [probe.Report], and nothing else.
// Its field schema is the version of its form. The advice goes to standard error
// too:
//
//	{
//	  "schema": 1,
//	  "driver": "yeastar",
//	  "host": "pbx.example.com:8088",
//	  "steps": [
//	    {"name": "settings", "state": "done", "ms": 0, "message": "https://pbx.example.com:8088", …},
//	    {"name": "login", "state": "failed", "ms": 41, "kind": "invalid credentials", "advice": "Compare …", …}
//	  ],
//	  "certificate": null,
//	  "token": null,
//	  "left": false,
//	  "ok": false
//	}
//
// [probe.Report]: https://pkg.go.dev/github.com/pbxauth/pbx/conformance/probe#Report
package main
