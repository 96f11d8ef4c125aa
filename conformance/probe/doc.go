// Package probe checks one real PBX with one login, step by step: for a settings
// page with a button "Test connection", and for the command pbxprobe.
//
//	report := probe.Run(ctx, probe.Options{
//		Driver: "yeastar",
//		Config: cfg,
//		OnStep: func(s probe.Step) { … },
//	})
//
// A login of the test spends the budget of wrong logins that the sessions of the
// process share, so that pressing the button again and again locks nobody out. If
// the sessions have a Guard or a Store of their own, name it: Login is then
// probe.Within(guard) or probe.Within(shared.Guard()).
//
// # What it sends
//
// At most this, in this order:
//
//	settings          nothing: the driver is opened
//	address           a GET without credentials, of Traits.Probe
//	certificate       nothing more: it is that of the connection
//	login             one
//	harmless request  one, the driver's Ping
//	keep-alive        one, if the brand has it
//	logout            one. If the keep-alive replaced the token, one more
//	dead token        the harmless request, or else a heartbeat, with the token
//	                  that was logged out: the PBX has to refuse it
//
// A failed step ends the test, but whatever fails after the login, the token is
// logged out. A step takes at most 30 seconds. When the context ends, a request
// that may bring a token gets five more seconds, and so does the logout. Nothing
// is sent twice that may have arrived.
//
// # Certificates
//
// If nothing vouches for the PBX's certificate, the step ends with the state
// [Decide], and nothing more is sent. [Report].Certificate has the fingerprint
// and the pin. If a person has compared it, run the test again with the pin in
// Config.TLS.PinSHA256.
package probe
