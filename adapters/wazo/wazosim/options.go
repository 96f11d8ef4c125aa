package wazosim

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Options are how one server differs from another. The zero value is release
// 26.04 with a user who may do everything.
type Options struct {
	// NoUTC leaves out utc_issued_at and utc_expires_at, as old releases do.
	NoUTC bool

	// Zone is the server's own, in which issued_at and expires_at are written. nil:
	// UTC.
	Zone *time.Location

	// NoReason leaves out the reason of a refused request, as before release 22.05.
	NoReason bool

	// Denied is the beginning of the paths for which the user has no permission,
	// as in "/api/confd/". Empty: none.
	Denied string

	// Forbidden403 refuses a missing permission with HTTP 403 and the error_id
	// forbidden, as the daemons' library of 2026 does (xivo-lib-python, git 5318d23:
	// http_exceptions.py), and not with 401.
	Forbidden403 bool
}

// New returns a Wazo server. nil options are zero ones.
func New(o *Options, common *pbxsim.Options) *pbxsim.PBX {
	if o == nil {
		o = &Options{}
	}
	return pbxsim.New(dialect{*o}, common)
}

// dialect is the wire format.
type dialect struct{ Options }

func (dialect) Name() string { return "wazo" }

const (
	defaultExpiration = 7200 * time.Second
	maxExpiration     = 10 * 365 * 24 * time.Hour
)

// Defaults are those of the server's config.py: 7200 s, at most 100 sessions of a
// user, and expired ones forgotten every 60 s. Nobody is locked out. A lockout
// that a test plays all the same is that of fail2ban in front, or of no one.
func (dialect) Defaults() pbxsim.Defaults {
	return pbxsim.Defaults{
		Lifetime: defaultExpiration, MaxTokens: 100, Sweep: time.Minute,
		Lockout: pbxsim.Lockout{After: -1},
	}
}

// NewToken returns a UUID, which tokens and refresh tokens are.
func (dialect) NewToken() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return uuid(b[:])
}

func uuid(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// uuidOf is the same for the same name.
func uuidOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return uuid(sum[:16])
}

// Tenant is the tenant of all users.
const Tenant = "5b4d2a26-4d3c-4a0e-8b7e-0f6a3a9d5c11"
