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
// Most vendors do not say whether a dead token counts as a wrong login. Then the last
// step is left out, and with it a keep-alive that replaces the token, unless
// [Options].MayUseDeadToken permits them. Otherwise the button could lock the client
// out with the right password.
//
// A failed step ends the test, but whatever fails after the login, the token is
// logged out. A step takes at most 30 seconds. When the context ends, a request
// that may bring a token gets five more seconds, and so does the logout. Nothing
// is sent twice that may have arrived.
//
// # A login that is held back
//
// After a few wrong passwords the budget also holds back the right one. [HeldBack]
// recognises this. Show the step's advice. If the person has unlocked this machine's
// address at the PBX, or insists, offer a second button that runs the test with
// [Forced]. Without an unlock, one more wrong password may lock the address.
//
// For a look at the address and the certificate alone, set an Options.Login that
// returns an error. The login is then a failed step, and nothing of it was sent.
//
// # A connection in use
//
// The test logs in beside the session. If an account has one token at a time
// (Traits.MaxTokens, as at 3CX), this ends the session's token. The session logs in
// again with its next request. After several tests it warns that another program may
// log in with the account, and logs in more slowly. So do not test settings that have
// not changed: Session.Status says whether they work.
//
// # Certificates
//
// If nothing vouches for the PBX's certificate, the step ends with the state
// [Decide], and nothing more is sent. [Report].Certificate has the fingerprint
// and the pin. If a person has compared it, run the test again with the pin in
// Config.TLS.PinSHA256.
package probe
