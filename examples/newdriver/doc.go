// Package acme is a complete driver for a brand that does not exist, to copy
// from: README.md beside it says in which order.
//
// # What the vendor says
//
// A real driver says here, in its own words and with the page's address, what
// the vendor's documents say. This one says what they would.
//
// POST /v1/session takes the user name and the password and returns an access
// token, which expires after 15 minutes whatever is done with it, and a refresh
// token for 24 hours. POST /v1/session/refresh trades the latter for a new pair,
// once. POST /v1/session/end ends a session. Requests carry the access token in the
// header X-Acme-Token. An account may have 4 sessions. Five wrong logins in
// a row lock the client's IP for 15 minutes. A failure is HTTP 200 with "result"
// other than "ok" and a number in "code".
//
// # What this driver makes of it
//
// [pbx.Token].Details is what a login returns besides the tokens: the account's
// role.
package acme
