// Command pbxprobe checks a real PBX, carefully.
//
//	go run ./conformance/pbxprobe -driver yeastar -url https://pbx.example.com:8088 -user api
//
// The password comes from the environment variable PBX_PASSWORD, or is asked for
// without echo. It has no flag, for flags stand in process lists; neither have
// the secret ones among a driver's options: the option key, say, is taken from
// PBX_OPTION_KEY. The drivers and their options are listed by
//
//	go run ./examples/quickstart -list
//
// # What it sends
//
// At most this, in this order:
//
//	configuration  nothing: the settings are checked
//	memory         nothing: see below
//	login          one
//	call           one authorized request, if a harmless one is known for the driver
//	keep-alive     one, where the brand has it
//	logout         one, of the newest token
//	dead-call      that request with the dead token: the PBX has to refuse it.
//	               Where no request is known, a heartbeat, if the brand has that
//	dead-logout    a logout of the dead token, which is to be no error. If the
//	               keep-alive has replaced the token, it is the replaced one
//	               that is logged out here, so that neither is left behind
//
// A step may take 30 seconds. After an interrupt the request under way gets five
// more seconds, if it may bring a token, and each logout as many; a second
// interrupt does not wait. Nothing is sent twice that may have arrived.
//
// # What it remembers
//
// PBXs lock the address of a caller after a few wrong logins. So there is never
// more than one wrong login in a run, and no second login to the same host, on
// whatever port and with whatever account, until the PBX's lockout window after
// it is over (ten minutes where the brand does not tell). A login that was sent
// and not answered, or answered by what the driver does not understand, may have
// been a wrong one and is remembered like it; so is a lock that the PBX reports.
// Such a run says until when, sends nothing, and ends with status 1.
//
// Whether a dead token counts as a wrong login is not documented for any brand.
// The two steps with it therefore come last, and once per host and window: a run
// that follows sooner leaves them out, and a keep-alive that replaces the token
// with them, since the replaced one may be dead when it is given back.
//
// The memory is a small file per host, without any secret, in the directory
// pbxprobe of the user's cache folder, or where -memory or the environment
// variable PBXPROBE_MEMORY say. It is written before the login goes out, so that
// a run that was killed is remembered too. Who has unlocked the PBX by hand
// deletes the file, whose name is told.
//
// # What it says
//
// A line per step, after a failure one with advice, and a sentence at the end.
// The exit status is 0 if all is fine, 1 if a step failed, and 2 for wrong use,
// wrong settings included: then standard error has one line, and nothing was sent.
//
// With -json, standard output has one object and nothing else, and the advice
// goes to standard error:
//
//	{
//	  "driver": "yeastar",
//	  "host": "pbx.example.com:8088",
//	  "steps": [{"name": "login", "ok": true, "ms": 41, "kind": "", "error": ""}],
//	  "token": {"expires_in_s": 1800, "sliding": true},
//	  "ok": true
//	}
//
// A step's kind is that of its error, in the words of pbx's sentinels ("invalid
// credentials"), or "unknown" where it has none; "skipped" for a step that was left
// out, which is ok, and whose reason is in error; "remembered" where the memory
// forbids a login; "interrupted" for the step at which an interrupt was met.
// token is null without one. In it, expires_in_s is null where no end is known,
// and sliding, whether calls prolong a token, is what the brand's driver knows:
// it cannot be seen in a short run.
package main
