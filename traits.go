package pbx

import (
	"math"
	"time"
)

// Traits is what a driver knows about its PBX before it sends anything.
type Traits struct {
	// URL is the PBX's address as requests use it, normalised: scheme, host,
	// port and base path, without a slash at the end. A session sends tokens to
	// this origin only. Sessions with the same host share one lockout budget.
	// Empty: a session accepts every URL, and has a budget of its own.
	URL string

	// Driver is the name that the driver is registered under, for metrics and
	// logs. Empty: its sessions are counted under no name.
	Driver string

	// Account identifies the account within the PBX, so that a stored token is
	// never used for another one: a user name or a client id. It is not a
	// secret. Empty: the account is not known before a login.
	Account string

	// Lifetime is how long a new token is valid if the response does not say.
	// 0: unknown.
	Lifetime time.Duration

	// Sliding: every accepted request starts the token's lifetime anew, so that
	// a busy session needs no keep-alive.
	Sliding bool

	// KeepAlive is what Authenticator.KeepAlive does for this brand.
	KeepAlive KeepAliveKind

	// Logout is what Authenticator.Logout does for this brand.
	Logout LogoutKind

	// MaxTokens is how many tokens of one account are valid at the same time.
	// 0: unknown or unlimited.
	MaxTokens int

	// NewestWins: a login beyond MaxTokens ends the oldest token. Otherwise it
	// is refused with ErrTooManySessions.
	NewestWins bool

	// Lockout is how the PBX counts wrong logins. The zero value is unknown.
	Lockout Lockout

	// Unproven: a login may succeed with a wrong password or key, because not every
	// version of the PBX checks it, or because nothing is sent. A test of the settings
	// says so.
	Unproven bool

	// Probe is a URL that a session may GET without credentials to learn whether the
	// PBX is up. The part of the PBX that serves it must be the part that serves the
	// login, and the request must never count as a login. Any status below 500 means
	// that the PBX is up, and so do 501 and 505. Choose a URL that a working PBX does
	// not refuse with HTTP status 401, 403 or 407 and does not redirect. Otherwise a
	// session cannot tell the PBX from a proxy in front, and recovers late after a proxy
	// has refused or redirected its logins. If a working PBX responds with another 5xx,
	// a session may recover an hour late; if with the page that its web server has while
	// the API starts, ten minutes late. Empty: URL is used.
	Probe string
}

// KeepAliveKind is how a brand keeps a token valid.
type KeepAliveKind int8

const (
	// KeepAliveUnknown: try KeepAlive, and log in again where the driver
	// returns ErrNotSupported.
	KeepAliveUnknown KeepAliveKind = iota
	// KeepAliveNone: the brand has no such request. A session logs in again
	// before the token expires.
	KeepAliveNone
	// KeepAliveHeartbeat extends a valid token and cannot revive an expired one.
	KeepAliveHeartbeat
	// KeepAliveRefresh exchanges Token.Refresh for a new token, also after the
	// old token has expired.
	KeepAliveRefresh
)

// LogoutKind is what a logout ends.
type LogoutKind int8

const (
	// LogoutToken ends the token and its refresh token.
	LogoutToken LogoutKind = iota
	// LogoutRefresh ends the refresh token only. The token stays valid until it
	// expires.
	LogoutRefresh
	// LogoutNone: the brand has no logout. Authenticator.Logout returns nil and
	// sends nothing.
	LogoutNone
)

// Forever is the Memory of a PBX that never forgets a wrong login by time.
const Forever = time.Duration(math.MaxInt64)

// Lockout is how a PBX counts wrong logins and what it does when there are too
// many. A driver states what its vendor documents. Zero values mean that the
// vendor does not say, and a session then assumes the cautious reading.
//
// A Memory or Reset that is too optimistic causes lockouts. Where the vendor's
// words can be read in two ways ("consecutive", "after five failures"), state
// Forever and ResetNothing.
type Lockout struct {
	// None: the brand locks nobody out. Wrong logins are not counted. A
	// refused password is still not sent again.
	None bool

	// Attempts is how many wrong logins of one client lock it. 0: unknown, 5 is assumed.
	Attempts int

	// Window is how long a lock lasts. 0: unknown, 10 minutes are assumed.
	Window time.Duration

	// Memory is how long the PBX counts a wrong login. Forever: until something
	// resets the count, as with "wrong logins in a row". 0: unknown, 24 hours
	// are assumed.
	Memory time.Duration

	// Reset is what a successful login clears at the PBX.
	Reset LockoutReset

	// PerAccount: the PBX counts and locks the account. Otherwise it counts and
	// locks the client's address.
	PerAccount bool

	// LooksWrong: a locked client gets the same response as one with a wrong
	// password.
	LooksWrong bool

	// DeadTokens is whether a request with an expired or revoked token counts as
	// a wrong login.
	DeadTokens DeadTokens

	// CoversRequests: a lock also stops requests that carry a valid token.
	CoversRequests bool
}

// LockoutReset is what a successful login clears of the PBX's count.
type LockoutReset int8

const (
	// ResetNothing: nothing, or the vendor does not say.
	ResetNothing LockoutReset = iota
	// ResetAccount: the wrong logins of the same account.
	ResetAccount
	// ResetAddress: all wrong logins from the client's address.
	ResetAddress
)

// DeadTokens is whether a PBX counts dead tokens as wrong logins.
type DeadTokens int8

const (
	// DeadTokensUnknown: the vendor does not say.
	DeadTokensUnknown DeadTokens = iota
	// DeadTokensCount: a request with a dead token counts as a wrong login.
	DeadTokensCount
	// DeadTokensIgnored: dead tokens do not count.
	DeadTokensIgnored
)
