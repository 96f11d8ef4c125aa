// Package lockout decides whether a login may be sent to a PBX without getting
// this client locked out. It holds rules, and nothing that runs: no clock, no
// lock, no goroutine, no network. Times, ids and outcomes are arguments.
//
// # Why
//
// PBXs count wrong logins, most of them by the client's address, and lock the
// address after a few. One wrong password then stops every account behind that
// address. Many vendors say "five wrong logins in a row" and name no time after
// which a wrong login is forgotten. So a client has to know what the PBX may
// have counted, also when a response was lost.
//
// # The values
//
// [Host] is what is known about one host: the bookings that count, the
// credentials that were refused or accepted, the PBX's own locks. Processes share
// it through a store: it encodes to JSON of at most 64 KB, and a [Replica] puts
// back what a store forgot.
//
// [Local] is what one process has seen itself: whether the host is in doubt, and
// which of its URLs responded lately. It is never shared, because a path that
// works for one process may be broken for another.
//
// [Limits] is what the driver states about the PBX, with the unknown filled in.
//
// # One login
//
//	d := host.Book(now, local, login, id)       // before sending
//	switch d.Verdict {
//	case lockout.Go:         // store the host, send the login, then:
//		host.Settle(now, local, login, d.Booking, lockout.Classify(err))
//	case lockout.Wait:       // until d.Until
//	case lockout.WaitEvent:  // until d.Reason is over, or d.Until
//	case lockout.WaitPerson: // d.Reason says what a person can do
//	}
//
// A login is booked before it is sent. The booking goes when the outcome shows
// that the PBX did not count it, and stays otherwise: refused logins, and unclear
// ones, where a proof may have reached the PBX and no verdict came back. A login
// goes only while few bookings stand. With N wrong logins that lock, proven
// credentials use at most N − 1 places and new ones N − 3, so that new accounts
// cannot keep good ones out. A login that renews a valid token (Login.Early) leaves the
// last places to sessions that have no token: a PBX may refuse it because of the token
// that is still valid.
//
// Bookings go when the same credentials succeed (the unclear ones), when a
// success resets the PBX's count as the driver states it, when the PBX has
// forgotten them (Lockout.Memory), and by [Host.Forgive]. Nothing else removes
// them.
//
// # After trouble
//
// After an outcome that is unclear or was not sent, the host is in doubt. The
// next login then needs evidence first: a response to a request that cannot count
// as a login. [Local.NextCheck] says when to look for it. So an outage costs one
// login, whatever stands in front of the PBX, and ends as soon as the PBX
// responds. A login that gets HTTP 401, 403 or 407 without the brand's words, or a
// redirect, may have met something in front of the PBX, or a wrong password. It
// counts, and a check that is refused or redirected is then no evidence: for an
// hour, for 8 hours after a second such login, and for 64 after each further one.
//
// The same holds for a login that gets another page or a gateway's JSON, as HTTP 404 of a
// proxy that has no backend. A check that gets the same status, and a body of the same
// length or of one byte more or less, is then no evidence: for 10 minutes, for 80 after a
// second login that gets it, and for 640 after each further one. If a login that goes all
// the same gets a verdict, the page is the PBX's own, and is evidence from then on. Such
// logins never use the last place, unless a person asks for it.
//
// HTTP 5xx to a check may come from an outage, or from a PBX whose server does not
// serve such a request. If checks have got nothing else for an hour, a login goes all
// the same, then after 8 hours more, then after 64 each, but never into the last place
// unless a person asks for it. If such a login gets a verdict, the status says nothing,
// and is evidence until a check gets a better one. The same status in an outage is then
// no longer known from a PBX that is up: the pauses alone hold logins back.
//
// A response that the vendor documents as no verdict ([NotJudged]) uses no place if
// the credentials have worked before. The account then pauses for 5 seconds or 1 %
// of the time so far, at most 5 minutes. Of other credentials it is unclear.
//
// Refused credentials are not sent again: not after a restart, and not by another
// process. A person's [Host.Retry] or other credentials end that. The one
// exception is a PBX whose lock looks like a wrong password
// (pbx.Lockout.LooksWrong): credentials that worked in the six hours before
// get one more try after the lock.
//
// # Dead tokens
//
// Some PBXs count a request with a dead token as a wrong login, and a restart ends all
// tokens. Where dead tokens count, a refused one is booked, and all tokens of that
// Traits.URL that were issued before the refusal are suspect: they are not sent any
// more, and a login replaces each.
//
// Where nobody says whether dead tokens count, one refusal is not enough, because a
// single token may have been revoked. After it, the tokens that were issued before it
// are used one at a time:
//
//   - If the PBX refuses another one, those that are left are suspect.
//   - If the PBX accepts one, it has lost neither that one nor any later one. If that
//     one is no newer than the refused one, it has lost none.
//
// A token that was issued after the refusal shows nothing about those before. All this
// ends when the PBX has forgotten a wrong login (Lockout.Memory), or after 24 hours, if
// that is sooner.
//
// Processes report such refusals to each other: see [Refusal]. Two processes that
// see the refusal of one token count it once.
//
// # What no client can promise
//
//   - If responses to logins are lost again and again after the PBX judged, while
//     everything else responds: at most N − 1 logins, then a person. The same if logins
//     get a web page, and checks get others.
//   - If a password is changed at the PBX and changed back while responses to
//     logins are lost: a success clears the unclear logins of its credentials,
//     and some of these may have been wrong when they were judged. The same if the
//     PBX judges a login after its client has given up, another login with these
//     credentials has succeeded, and the password has been changed.
//   - If a PBX counts a wrong login and responds with a code that its vendor
//     documents as no verdict: not more than N − 1 for credentials that have never
//     worked, and no bound if the password of proven ones has been changed.
//   - If the PBX never forgets and no success resets its count: N − 3 wrong logins
//     by people between two Forgives, N − 2 while nothing at the host is proven.
//   - If checks get HTTP 5xx, or what the last login got, though the PBX is up, and the
//     last place is all that is left: a person's Retry. If an outage of a few minutes has
//     the same status as these checks: at most N − 1 logins, then a person.
//   - If dead tokens count as wrong logins: one each time the PBX restarts, and the
//     requests under way at that moment. If the vendor does not say whether they count:
//     two, and one more if the first token came with a refresh token. If it takes a
//     ping to find the first one dead, what the ping sends comes on top. Processes that
//     share a store send no more than this in total, besides the requests under way. If
//     the store has no notices, as store.Files, each process may send as many.
//   - If a lock is mute or resets connections, and covers logins only: back within
//     Window + 3 minutes.
//   - With N ≤ 2, or N = 3 and one wrong login standing: one lost response more
//     waits for a person.
//   - Processes behind one address without a common store do not know of each
//     other's wrong logins: N − 1 for each.
//
// New credentials with two logins that nobody settled (the process was killed in
// the middle, twice) wait for a day, or for a person's Retry. A process that is
// killed again and again would otherwise send a wrong password N − 1 times.
package lockout
