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
// PBXs lock a client's address after a few wrong logins. There is at most one
// wrong login in a run. After it, pbxprobe sends no login to the same host,
// whatever the port and the account, until the PBX's lockout window has passed:
// ten minutes if the driver does not know it. A login without a response, or with
// one that the driver does not understand, may have been a wrong one and is
// remembered too, and so is a lock that the PBX reports. A run in that time says
// until when, sends no login, and ends with status 1.
//
// -force "reason" sends the login all the same. It asks on the terminal first, and
// does nothing without one.
//
// Most vendors do not say whether a dead token counts as a wrong login. The step
// that sends one comes last, and once per host and window. Later runs in that
// time leave it out, and with it a keep-alive that replaces the token, because the
// replaced one may be dead when it is logged out.
//
// The memory is a file per host, without any secret, in the directory pbxprobe of
// the user's cache folder, or where -memory or the environment variable
// PBXPROBE_MEMORY say. It is written before the login is sent, so that a run that
// was killed is remembered too. If you have unlocked the PBX by hand, delete the
// file, or use -force.
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
