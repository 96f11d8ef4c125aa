// Package pbx logs in to the HTTP APIs of telephone systems (PBXs) of many
// brands through one interface, and stays logged in without getting the client
// locked out.
//
// # Goals
//
//   - One program, any brand. A driver is selected by the name in the settings,
//     as in database/sql. A new brand is a new import.
//   - A refused password is not sent again. A PBX locks the client's address
//     after a few wrong logins, and with it every account behind that address.
//   - Success is proven, never assumed. Most brands report a failure under HTTP
//     200, so a driver reads the brand's own status field and requires a token.
//   - A dead token is noticed in any response and replaced once, however many
//     goroutines use it.
//   - No secret gets into an error, a log line or a print. Several brands carry
//     the token in the URL, where net/http's own errors show it.
//
// # The parts
//
//	your program
//	   │ pbx.Open("yeastar", cfg)         session.New(auth, nil) or a Manager
//	   ▼                                        │ Token, Do, Client
//	pbx: Registry ──► Authenticator ◄───────────┘ login, keep-alive, logout
//	                     ▲
//	adapters/yeastar, adapters/runtel, …        the brands, over adapters/wire
//
// An [Authenticator] speaks a brand's login protocol and keeps no token. A
// session (package session) owns the token: it renews the token before it
// expires, shares it, and decides what a failure means for the next attempt. An
// application that wants tokens or an http.Client uses a session. One that
// wants to control every login uses the Authenticator itself.
//
// Drivers register themselves when their package is imported. Importing
// github.com/pbxauth/pbx/adapters registers all that come with this module.
package pbx

import (
	"context"
	"net/http"
)

// Authenticator speaks the login protocol of one PBX for one account. It is safe
// for concurrent use, keeps no token, never retries a login, and returns an
// *[Error] for every failure, including that of a context. A token that it is given
// is one that it has issued, in this process or another, and not nil.
//
// An Authenticator may also implement [Requester], [Describer], [Pinger] and
// [Fingerprinter]. Find them with [As], which also looks inside wrappers.
type Authenticator interface {
	// Login sends the credentials once and returns the token that the PBX
	// issued for them.
	Login(ctx context.Context) (*Token, error)

	// KeepAlive extends or replaces t and returns the token to use from now on.
	// It does not change t, which stays in use if KeepAlive fails. A brand
	// without such a request returns ErrNotSupported and sends nothing.
	// ErrInvalidCredentials says that the request carried credentials, such as an
	// application's secret, and that a login with the same ones cannot help.
	KeepAlive(ctx context.Context, t *Token) (*Token, error)

	// Logout ends t. It returns nil if the PBX no longer knows t.
	Logout(ctx context.Context, t *Token) error
}

// Requester may be implemented by an Authenticator whose token goes into the
// application's own requests. If it is not, a session hands out tokens but no
// http.Client.
type Requester interface {
	// Authorize puts t where the brand expects it. r is a copy that may be
	// changed, and has a URL and a Header, which may be empty. A driver that
	// replaces the body sets Body, GetBody and ContentLength, and closes the old
	// Body.
	Authorize(r *http.Request, t *Token) error

	// Inspect reports what the response r says about t, the token that the
	// request was authorized with. It returns nil for a success and for a
	// response that it cannot read, such as a recording. Otherwise it returns
	// an *Error: of kind ErrTokenRejected if the PBX refused the token before
	// it did anything, of kind ErrInvalidCredentials if no login can help, and
	// of any other kind, or of none, for another failure that the brand reports,
	// with Ambiguous if the cause may be a dead token. body may be the beginning
	// of a longer one. Inspect does not read r.Body.
	Inspect(r *http.Response, body []byte, t *Token) error

	// Transport sends requests over the connections and TLS settings of this
	// PBX. It adds no token, follows no redirect and repeats nothing.
	Transport() http.RoundTripper
}

// Describer may be implemented by an Authenticator that knows how its PBX
// behaves. If it is not, the zero Traits are assumed.
type Describer interface {
	Traits() Traits
}

// Pinger may be implemented by an Authenticator whose brand has a request that
// changes nothing, needs a token and no special permission. If it is not, a
// session believes the first response that refuses a token.
type Pinger interface {
	// Ping sends that request with t. It returns nil if the PBX accepted t,
	// ErrTokenRejected if t is dead, and ErrNotSupported if this PBX does not
	// have the request.
	Ping(ctx context.Context, t *Token) error
}

// Fingerprinter may be implemented by an Authenticator that can name its
// credentials without showing them. If it is not, a session remembers refused
// credentials only for as long as the Authenticator is in use.
type Fingerprinter interface {
	// Fingerprint returns an HMAC-SHA256, under key, of the user name and
	// password that Login would send now. It sends nothing to the PBX.
	Fingerprint(ctx context.Context, key []byte) ([]byte, error)
}

// As finds the optional interface or concrete type T in auth, or in what auth
// wraps: a wrapper has the method
//
//	Unwrap() Authenticator
//
// so that a wrapper that only counts logins loses none of the driver's optional
// interfaces.
func As[T any](auth Authenticator) (T, bool) {
	for auth != nil {
		if t, ok := auth.(T); ok {
			return t, true
		}
		w, ok := auth.(interface{ Unwrap() Authenticator })
		if !ok {
			break
		}
		auth = w.Unwrap()
	}
	var none T
	return none, false
}
