package freepbxsim

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Options are how one PBX differs from another. The zero value is FreePBX 16.
type Options struct {
	// Version is that of FreePBX: 15, 16 or 17. 0: 16.
	Version int

	// AnySecret does not check an application's secret, as releases of the module for
	// 17 before 17.0.8 (CVE-2026-44237).
	AnySecret bool

	// EmptyFailure leaves out the page of HTTP 500, with which 17 responds to a dead
	// token on gql.
	EmptyFailure bool

	// Application is one through which users log in by their passwords.
	Application Application

	// NoScope refuses what the token's scopes do not cover: here, the lists of
	// extensions and of users. GraphQL does so with HTTP 400, and REST with 401.
	NoScope bool

	// ModuleOff has the web interface's login page instead of the API.
	ModuleOff bool
}

// Application is an application's client id and secret.
type Application struct{ ID, Secret string }

const (
	tokenLifetime   = time.Hour           // PT1H, in the module's source
	refreshLifetime = 30 * 24 * time.Hour // P1M: one month
)

// New returns a FreePBX. nil options are zero ones.
func New(o *Options, common *pbxsim.Options) *pbxsim.PBX {
	d := dialect{lifetime: tokenLifetime}
	if o != nil {
		d.Options = *o
	}
	if d.Version == 0 {
		d.Version = 16
	}
	if common != nil && common.Lifetime != 0 {
		d.lifetime = common.Lifetime
	}
	return pbxsim.New(d, common)
}

// dialect is the wire format.
type dialect struct {
	Options
	lifetime time.Duration
}

func (dialect) Name() string { return "freepbx" }

// Defaults: the module locks nobody out. The distribution runs fail2ban and a
// firewall, whose numbers are not documented: 5 and ten minutes are assumed, and
// that a barred client gets no response.
func (d dialect) Defaults() pbxsim.Defaults {
	defaults := pbxsim.Defaults{Lifetime: tokenLifetime, Lockout: pbxsim.Lockout{
		After: 5, For: 10 * time.Minute, Memory: pbxsim.SlidingWindow, Per: pbxsim.Address, Reset: pbxsim.Nothing,
		Response: pbxsim.Mute, Covers: pbxsim.Everything,
	}}
	if d.Application.ID != "" {
		defaults.RefreshLifetime = refreshLifetime
	}
	return defaults
}

// NewToken returns a JWT of now, for RS256. The signature is noise. Release 8 of
// league/oauth2-server, in 17, writes times with microseconds, the expiry a little
// before the rest.
func (d dialect) NewToken() string {
	now := time.Now()
	iat, exp := float64(now.Unix()), float64(now.Add(d.lifetime).Unix())
	if d.Version >= 17 {
		iat = float64(now.UnixMicro()) / 1e6
		exp = float64(now.Add(d.lifetime).UnixMicro()-150) / 1e6
	}
	signature := make([]byte, 256)
	rand.Read(signature)
	return part(map[string]any{"typ": "JWT", "alg": "RS256"}) + "." +
		part(map[string]any{"aud": "application", "jti": rand.Text(), "iat": iat, "nbf": iat, "exp": exp, "sub": "", "scopes": []string{}}) + "." +
		base64.RawURLEncoding.EncodeToString(signature)
}

func part(fields map[string]any) string {
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return base64.RawURLEncoding.EncodeToString(text)
}
