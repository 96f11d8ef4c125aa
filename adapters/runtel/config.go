package runtel

import (
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/statickey"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Config is the typed form of the driver's settings. Options of the embedded
// Config must be empty: they are for [pbx.Open].
//
// Username is the login with its domain, as in a@office.example. URL is the
// platform's address as its operator gives it, a base path included.
type Config struct {
	pbx.Config

	// ExpZone is the zone of a login's exp, which is printed without one: the
	// IANA name of a zone, as in "Europe/Moscow", or "tz" for the zone that the
	// login itself returns.
	//
	// Without it, exp is read in UTC, in the login's own zone and in Moscow's,
	// and the shortest lifetime of at least a minute is taken: too early costs a
	// login, too late is noticed when the platform refuses the token. "tz" falls
	// back to that if the login's zone is unknown.
	//
	// A lifetime is measured against the server's own Date, and is never under a
	// minute, so that a senseless exp does not cause a login every moment. Of
	// an hour that a change of the clocks repeats or skips, the earlier time is
	// taken. An exp that comes with an offset, or in Unix seconds, leaves
	// nothing to assume.
	ExpZone string

	// TokenTTL is a token's lifetime, if the operator of the platform has named
	// it. It overrides whatever exp is taken to mean. 0: exp counts.
	TokenTTL time.Duration

	// Key is a static key, made by hand in the PBX's interface (see the
	// vendor's page on CRM integration). It replaces an account: Username,
	// Password and Credentials must be empty, and so must ExpZone and TokenTTL.
	//
	// Login then sends the request of Ping with it, and returns the key as a token
	// that does not expire. A 401 to any request is final, because a login could only bring the
	// same key again: Inspect reports [pbx.ErrInvalidCredentials], a session goes
	// on as it is, and the response reaches the application. If the 401 is not in the
	// platform's form, a session sends the request of Ping first, whose response decides.
	// A new key needs a new PBX.
	Key pbx.Secret

	// Classify overrules how the driver reads a failing response, for a platform
	// that is found to say it in another way. It is asked about every response
	// that is not a proven success, before the driver's own reading is used.
	//
	// It returns nil to leave the response to the driver, or the kind of failure:
	// one of pbx's sentinels itself, as in pbx.ErrInvalidCredentials. A failure
	// stays a failure whatever it returns. [pbx.ErrNotSupported] is ignored, because
	// something was sent, and so is [pbx.ErrTokenRejected] on a login, which has
	// no token. With a Key, the latter means ErrInvalidCredentials.
	// A Logout that fails with ErrTokenRejected has done what it should, and
	// returns nil. If Classify panics or returns another error, the driver's own
	// reading holds, and the failure's Message says so.
	//
	// A session sends a login again that failed with ErrUnavailable, and never
	// one that failed with ErrInvalidCredentials. It must be safe for concurrent use,
	// and not block.
	Classify func(Failure) error
}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "Runtel cloud PBX",

		UserLabel: "Login", PasswordLabel: "Password",
		AccountOptional: true, // with a key
		Setup:           "The account is a user of the platform, with its domain, as in a@office.example. A key is made in the PBX's interface, under integration with a CRM. A blocked client can be unblocked by the platform's operator only.",
		Docs:            "https://doc-cp.runtel.ru/api/api_auth.html",

		Options: []pbx.Option{
			{Name: "exp_zone", Label: "Time zone of expiries", Kind: pbx.OptionString,
				Help: `The time zone in which the platform writes when a token expires, as in Europe/Moscow, or "tz" for the user's own. Without it, the earliest reading is taken.`},
			{Name: "token_ttl", Label: "Token lifetime", Kind: pbx.OptionDuration,
				Help: "How long a token is valid, as set on the platform, as in 4h. It overrides what the platform writes."},
			{Name: statickey.Option, Label: "Key", Kind: pbx.OptionSecret,
				Help: "A key made in the PBX's interface, instead of a user name and password."},
		},
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			options := cfg.Options
			key := cfg.Secrets[statickey.Option]
			cfg.Options, cfg.Secrets = nil, nil
			typed := Config{Config: cfg, ExpZone: options["exp_zone"], Key: key}
			typed.TokenTTL, _ = time.ParseDuration(options["token_ttl"]) // checked by the registry; absent is 0
			return New(typed)
		},
	})
}

// clock returns how exp has to be read.
func (cfg Config) clock() (clock, error) {
	fault := func(setting, format string, args ...any) (clock, error) {
		return clock{}, wire.Misconfigured(Name, setting, format, args...)
	}
	switch keyed := !cfg.Key.IsZero(); {
	case cfg.TokenTTL != 0 && cfg.TokenTTL < time.Second:
		return fault("token_ttl", "TokenTTL (token_ttl) %s is negative, or less than a second: is its unit missing?", cfg.TokenTTL)
	case keyed && (cfg.ExpZone != "" || cfg.TokenTTL != 0):
		return fault(statickey.Option, "Key (key) does not expire: ExpZone (exp_zone) and TokenTTL (token_ttl) are for a user name and password")
	case cfg.ExpZone == "" || cfg.ExpZone == zoneOfLogin:
		return clock{ttl: cfg.TokenTTL, ofLogin: cfg.ExpZone != ""}, nil
	}
	zone, ok := loadZone(cfg.ExpZone)
	if !ok {
		return fault("exp_zone", `ExpZone (exp_zone) %q is neither "tz" nor a zone that this machine knows, as in Europe/Moscow; if it has no zone database, build with -tags timetzdata`, cfg.ExpZone)
	}
	return clock{ttl: cfg.TokenTTL, zone: zone}, nil
}
