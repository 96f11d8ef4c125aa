package starfacesim

import (
	"cmp"
	"crypto/rand"
	"math/big"
	"net/http"
	"sync"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Options are how one STARFACE differs from another: what the vendor does not say.
type Options struct {
	// ActiveDirectory makes the users those of an Active Directory: a login then
	// brings the password itself, in base64.
	ActiveDirectory bool

	// EnumNames writes the type of a login as the OpenAPI file names it, INTERNAL
	// and ACTIVE_DIRECTORY. The wiki's sample has Internal.
	EnumNames bool

	// WrongLogin is the HTTP status of a wrong login. 0 is 400, which the vendor
	// documents. Clients expect 401 too.
	WrongLogin int

	// Challenge is the WWW-Authenticate header of a 401, which RFC 9110 wants. No
	// document shows one. Empty: there is none.
	Challenge string

	// Body is what a failing response has for a body.
	Body ErrorBody

	// NonceLifetime is how long a nonce can be used. 0: it never expires.
	NonceLifetime time.Duration

	// NonceReusable lets a nonce be used more than once.
	NonceReusable bool

	// NewestNonce voids all nonces when the next one is asked for.
	NewestNonce bool

	// DeadLogout is the HTTP status of a logout with a dead token. 0 is 204.
	DeadLogout int

	// NotAdministrator is the HTTP status of requests that need an administrator,
	// for a user who is none: 401 or 403, both of which the vendor documents. 0:
	// all users are administrators.
	NotAdministrator int
}

// ErrorBody is the form of a failing response's body. Clients have read all three.
type ErrorBody string

const (
	JSONBody ErrorBody = ""     // {"message":"…"}
	TextBody ErrorBody = "text" // the message alone
	NoBody   ErrorBody = "none"
)

// New returns a STARFACE. nil options are zero ones.
func New(o *Options, common *pbxsim.Options) *pbxsim.PBX {
	s := &starface{nonces: map[string]time.Time{}}
	if o != nil {
		s.Options = *o
	}
	s.WrongLogin = cmp.Or(s.WrongLogin, http.StatusBadRequest)
	s.DeadLogout = cmp.Or(s.DeadLogout, http.StatusNoContent)
	return pbxsim.New(s, common)
}

// starface is the dialect. It holds the nonces, which pbxsim does not know.
type starface struct {
	Options

	mu     sync.Mutex           // guards nonces
	nonces map[string]time.Time // that can be used, and since when
}

func (*starface) Name() string { return "starface" }

// Defaults: a token is valid for 4 hours (wiki, since 6.4.2.12). That this is not
// extended by its use is an assumption. So is the lockout, after five wrong logins in a
// row of one address. Its ten minutes are those of the web interface (wiki: Black- und
// Whitelist).
func (*starface) Defaults() pbxsim.Defaults {
	return pbxsim.Defaults{Lifetime: 4 * time.Hour, Lockout: pbxsim.Lockout{
		After: 5, For: 10 * time.Minute,
		Memory: pbxsim.Forever, Per: pbxsim.Address, Reset: pbxsim.Nothing,
	}}
}

// NewToken returns an opaque token in the form of the wiki's nonce.
func (*starface) NewToken() string { return random() }

// random returns 26 digits of base 32, as pds24hmip1ctbogn1l8ujvs5u4 in the wiki.
func random() string {
	const length = 26
	most := new(big.Int).Exp(big.NewInt(32), big.NewInt(length), nil)
	least := new(big.Int).Div(most, big.NewInt(32))
	n, err := rand.Int(rand.Reader, new(big.Int).Sub(most, least))
	if err != nil {
		panic("starfacesim: " + err.Error())
	}
	return n.Add(n, least).Text(32)
}

const maxNonces = 10_000

// issue makes a nonce.
func (s *starface) issue() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.NewestNonce || len(s.nonces) >= maxNonces {
		clear(s.nonces)
	}
	nonce := random()
	s.nonces[nonce] = time.Now()
	return nonce
}

// use reports whether a nonce can be used, and uses it.
func (s *starface) use(nonce string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	since, known := s.nonces[nonce]
	if !s.NonceReusable {
		delete(s.nonces, nonce)
	}
	return known && (s.NonceLifetime == 0 || time.Since(since) < s.NonceLifetime)
}
