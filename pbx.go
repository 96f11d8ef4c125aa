// Package pbx logs in to the HTTP APIs of telephone systems (PBXs) of many
// brands through one interface, and stays logged in without getting the caller
// locked out.
//
// # Goals
//
//   - One program, any brand: a driver is chosen by the name in the settings,
//     as in database/sql, and a new brand is a new import.
//   - A refused password is not sent again. PBXs lock the caller's IP address after a
//     few, and with it every other account that the same server looks after.
//   - Success is proven, never assumed: most brands answer a failure with HTTP
//     200, so a driver reads the brand's own status field and wants a token.
//   - A dead token is noticed wherever it shows, and replaced once, however many
//     callers hold it.
//   - No secret gets into an error, a log line or a print. Tokens of several
//     brands ride in the URL, so this takes more than care.
//
// # The parts
//
//	your program
//	   │ pbx.Open("yeastar", cfg)         session.New(auth, nil) or a Manager
//	   ▼                                        │ Token, Transport, Client
//	pbx: Registry ──► Authenticator ◄───────────┘ upkeep: login, keep-alive, logout
//	                     ▲
//	adapters/yeastar, adapters/runtel, …        the brands, over adapters/wire
//
// An [Authenticator] only speaks a brand's login protocol: one call, one answer,
// no memory. A session (package session) owns the token: it renews it ahead of
// time, shares it, and decides what a failure means for the next attempt. An
// application that asks for tokens wants a session; one that wants to see every
// login uses the Authenticator itself.
//
// Drivers register themselves when their package is imported; importing
// github.com/pbxauth/pbx/adapters registers all that come with this module.
//
// # Design decisions
//
// An Authenticator has no Token method and no background work, as an OAuth 2
// token source would: such an interface cannot report a refused token, cannot
// be given a context, and hides every login. The optional interfaces below are
// found by type assertion so that the required one can stay at three methods.
// Drivers never retry a login: whether a second attempt is safe depends on what
// other accounts on the same PBX did in the last minutes, which only the
// session's lockout guard knows.
//
// # What the brands taught the interface
//
// The first two brands carry the token in the query and in a header. Two that
// differ in kind were written before the interface was called done.
//
// Grandstream wants its cookie inside the JSON of every body. So an [Authorizer]
// gets the whole request and may replace its body; a session calls it on a copy,
// and takes the original's body for a repetition.
//
// Asterisk answers "gone" and "not permitted" with the same words, and only the
// id in the answer's cookie, held against the one that was sent, tells them
// apart. So an [Inspector] sees the request as it was authorized. Its id is good
// for the idle time that the login's own answer names, so a lifetime belongs to
// the [Token] and [Traits] only fill in where an answer is silent.
//
// Both log in by challenge, in two requests. Login stays one method: what lies
// between its two requests is nobody's business, and [Error].Sent speaks of the
// login as a whole.
//
// Connections with the PBX's own TLS settings turned out to be needed by every
// application that calls the API, hence the http.RoundTripper; and a password
// that changes while its old one is latched, hence [CredentialWatcher].
package pbx

import (
	"context"
	"net/http"
	"time"
)

// Authenticator speaks the login protocol of one PBX for one account. It is
// safe for concurrent use, keeps no token, and returns an *[Error] for every
// failure, also for that of a context.
//
// An Authenticator may also implement [Authorizer], [Inspector], [Describer],
// [CredentialWatcher] and [http.RoundTripper]. The last one sends a request over the connections
// and the TLS settings of this PBX, redirects not followed; without it, an
// application's requests go over http.DefaultTransport, which does not know a
// pinned certificate.
type Authenticator interface {
	// Login sends the credentials, once, and returns a token that the PBX
	// issued for them.
	Login(ctx context.Context) (*Token, error)

	// KeepAlive prolongs or replaces t and returns the token to use from now
	// on; t itself is not changed, and stays in use if KeepAlive fails. A brand
	// without such a call returns ErrNotSupported without sending anything.
	KeepAlive(ctx context.Context, t *Token) (*Token, error)

	// Logout ends t. It returns nil where the PBX no longer knows t.
	Logout(ctx context.Context, t *Token) error
}

// Authorizer may be implemented by an Authenticator whose brand has a place for
// the token in a request. If it is not, a session can hand out tokens but not
// an http.Client.
type Authorizer interface {
	// Authorize puts t where the brand wants it. r is a copy, to be changed: for
	// a token in the body, Body, GetBody and ContentLength together, and the Body
	// that is replaced is to be closed.
	Authorize(r *http.Request, t *Token) error
}

// Inspector may be implemented by an Authenticator whose brand says "token
// refused" in the body of an answer, often under HTTP 200. If it is not, a
// session takes HTTP 401 for that, and nothing else.
type Inspector interface {
	// Inspect returns nil for a good answer and for one that it cannot read, and
	// an *Error for a refusal: of kind ErrTokenRejected if the PBX refused the
	// token before doing anything, of kind ErrInvalidCredentials if no login can
	// mend it. r.Request is the request as it was authorized. body
	// may be the beginning of a longer one; r.Body is not to be read.
	Inspect(r *http.Response, body []byte) error
}

// Describer may be implemented by an Authenticator that knows how its PBX
// behaves. If it is not, a session assumes the zero Traits.
type Describer interface {
	Traits() Traits
}

// CredentialWatcher may be implemented by an Authenticator whose credentials can
// change while it is in use: see [Config.Credentials]. If it is not, a session
// whose credentials were refused waits for a person.
type CredentialWatcher interface {
	// CredentialsChanged reports whether Login would now send other credentials
	// than it did last. It sends nothing to the PBX.
	CredentialsChanged(ctx context.Context) (bool, error)
}

// Traits is what is known about a PBX before it was asked anything.
type Traits struct {
	// URL is the PBX's address as requests use it: scheme, host, port and base
	// path, normalised. A session sends tokens to this origin only, and
	// sessions with the same host share one lockout budget. Empty: a session
	// trusts the URLs that it is given, and has a budget of its own.
	URL string

	// Lifetime is how long a fresh token lives if the answer does not tell.
	// 0: unknown.
	Lifetime time.Duration

	// Sliding: every authorized request sets the token's life back to its
	// beginning, so that a busy session needs no keep-alive.
	Sliding bool

	// KeepAlive is what KeepAlive does for this brand.
	KeepAlive KeepAlive

	// Lockout is when the PBX locks a caller out. Zero fields are unknown.
	Lockout Lockout

	// MaxTokens is how many tokens of one account live at once. 0: unknown, or
	// no limit. A session uses one; whoever gives an account several sessions or
	// processes has to count.
	MaxTokens int
}

// KeepAlive tells the brands' ways of keeping a token alive apart.
type KeepAlive int

const (
	// KeepAliveUnknown: try it, and log in again where it is not supported.
	KeepAliveUnknown KeepAlive = iota
	// KeepAliveNone: there is no call for it. A session logs in again ahead of
	// time and lets the old token run out.
	KeepAliveNone
	// KeepAliveHeartbeat prolongs a living token and cannot revive a dead one.
	KeepAliveHeartbeat
	// KeepAliveRefresh trades Token.Refresh for a new pair, also when the
	// access token is dead already.
	KeepAliveRefresh
)

// Lockout is a PBX's defence against password guessing: after Attempts wrong
// logins from one caller it refuses all logins from there for Window.
type Lockout struct {
	Attempts int
	Window   time.Duration
}
