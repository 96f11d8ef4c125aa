package runtel

import (
	"errors"
	"fmt"
	"time"

	"github.com/pbxauth/pbx"
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
	// login itself answers.
	//
	// Without it, exp is read in UTC, in the login's own zone and in Moscow's,
	// and the shortest life of at least a minute is taken: too early costs a
	// login, too late is noticed when the platform refuses the token. "tz" falls
	// back to that where the login's zone is unknown.
	//
	// A life is measured against the server's own Date, and is never under a
	// minute, so that a senseless exp does not cause a login every moment. Of
	// an hour that a change of the clocks repeats or skips, the earlier end is
	// taken. An exp that comes with an offset, or in Unix seconds, leaves
	// nothing to assume.
	ExpZone string

	// TokenTTL is a token's life, where the operator of the platform has told
	// it. It overrides whatever exp is taken to mean. 0: it does not.
	TokenTTL time.Duration

	// Key is a static key, made by hand in the PBX's interface (see the
	// vendor's page on CRM integration). It takes the place of an account:
	// Username, Password and Credentials must be empty, and so must ExpZone and
	// TokenTTL.
	//
	// Login then returns the key as a token without an end, and nothing but the
	// application's own requests is ever sent. A 401 to one of these is final,
	// for a login could only bring the same key again: Inspect reports
	// [pbx.ErrInvalidCredentials], a session goes on as it is, and the answer
	// reaches the application. Mending it takes a new key and a new PBX.
	Key pbx.Secret

	// Classify overrules how the driver reads a failing answer, for a platform
	// that is found to say it in another way. It is asked about every answer
	// that is not a proven success, before the driver's own reading is used.
	//
	// It returns nil to leave the answer to the driver, or the kind of failure:
	// one of pbx's sentinels itself, as in pbx.ErrInvalidCredentials. A failure
	// stays a failure whatever it returns. Not used are [pbx.ErrNotSupported],
	// for something was sent, and [pbx.ErrTokenRejected] on a login, which has
	// no token; with a Key, the latter means ErrInvalidCredentials.
	// A Logout that fails with ErrTokenRejected has reached its end, and
	// returns nil. If Classify panics or returns another error, the driver's own
	// reading holds, and the failure's Message says so.
	//
	// What it calls ErrUnavailable on a login, a session sends again; what it
	// calls ErrInvalidCredentials, never. It must be safe for concurrent use,
	// and not block.
	Classify func(Answer) error
}

func init() {
	pbx.Register(pbx.Driver{
		Name:  Name,
		Title: "Runtel cloud PBX",
		Options: []pbx.Option{
			{Name: "exp_zone", Kind: pbx.OptionString, Help: `time zone in which the platform writes the end of a token, as in Europe/Moscow, or "tz" for the user's own; without it, the earliest reading is taken`},
			{Name: "token_ttl", Kind: pbx.OptionDuration, Help: "life of a token as set on the platform, as in 4h; overrides the end that the platform writes"},
			{Name: "key", Kind: pbx.OptionSecret, Help: "key made in the PBX's interface, in place of a user name and password"},
		},
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
			options := cfg.Options
			key := cfg.Secrets["key"]
			cfg.Options, cfg.Secrets = nil, nil
			typed := Config{Config: cfg, ExpZone: options["exp_zone"], Key: key}
			typed.TokenTTL, _ = time.ParseDuration(options["token_ttl"]) // checked by the registry; absent is 0
			return New(typed)
		},
	})
}

// check returns what is wrong with the driver's own settings, and else how exp
// is to be read.
func (cfg Config) check() (clock, error) {
	account := cfg.Username != "" || !cfg.Password.IsZero() || cfg.Credentials != nil
	switch keyed := !cfg.Key.IsZero(); {
	case len(cfg.Options) > 0:
		return clock{}, errors.New("the Options are for pbx.Open: set the fields of runtel.Config")
	case cfg.TokenTTL < 0:
		return clock{}, fmt.Errorf("the TokenTTL %s is negative", cfg.TokenTTL)
	case keyed && account:
		return clock{}, errors.New("set either Key (key) or an account, not both: a key needs no user name and no password")
	case keyed && (cfg.ExpZone != "" || cfg.TokenTTL != 0):
		return clock{}, errors.New("the Key (key) has no end: ExpZone (exp_zone) and TokenTTL (token_ttl) are for a user name and password")
	case keyed && !bearable(cfg.Key.Reveal()):
		return clock{}, errors.New(`the Key (key) holds blanks or other signs that no header can carry: give the key alone, without "Bearer"`)
	case cfg.ExpZone == "" || cfg.ExpZone == zoneOfLogin:
		return clock{ttl: cfg.TokenTTL, ofLogin: cfg.ExpZone != ""}, nil
	}
	zone, ok := loadZone(cfg.ExpZone)
	if !ok {
		return clock{}, fmt.Errorf(`ExpZone (exp_zone) %q is neither "tz" nor a zone that this machine knows, as in Europe/Moscow; if it has no zone database, build with -tags timetzdata`, cfg.ExpZone)
	}
	return clock{ttl: cfg.TokenTTL, zone: zone}, nil
}
