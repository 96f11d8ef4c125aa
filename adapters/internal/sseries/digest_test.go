package sseries_test

import (
	"context"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/internal/sseries"
)

func TestADigestIsNeverGuessedByItsLooks(t *testing.T) {
	const digestOfDigest = "2ed68370f6175be48318cfcab973cccc" // by md5sum(1) of digest
	looksLikeOne := func(c *sseries.Settings) { c.Password = pbx.NewSecret(digest) }
	simulate(t, false, looksLikeOne, func(t *testing.T, s simulation) {
		s.SetPassword(user, digest)
		s.Login(t)
		if body := string(s.Last().Body); !strings.Contains(body, digestOfDigest) {
			t.Errorf("for a password of 32 hexadecimal digits, %s was sent, want its digest %s", body, digestOfDigest)
		}
	})
}

func TestWhatIsToBeADigestAndIsNoneIsNotSent(t *testing.T) {
	for _, given := range []string{password, digest[1:], digest + "0", digest[1:] + "g", digest[1:] + " "} {
		cfg := settings(drivertest.Unsent{T: t})
		cfg.PasswordIsMD5 = true
		cfg.Password = pbx.NewSecret(given)
		opened, err := sseries.New(&plain, cfg)
		drivertest.Misconfigured(t, driver, opened != nil, err, "", "password_form")
		if strings.Contains(err.Error(), given[:8]) {
			t.Errorf("the error quotes the password: %v", err)
		}

		cfg.Username, cfg.Password = "", pbx.Secret{}
		cfg.Credentials = func(context.Context) (pbx.Credentials, error) {
			return pbx.Credentials{Username: user, Password: pbx.NewSecret(given)}, nil
		}
		_, err = open(t, &plain, cfg).Login(t.Context())
		if got := failure(t, err); got.Kind != pbx.ErrConfig || got.Op != pbx.OpLogin || got.Sent || strings.Contains(err.Error(), given[:8]) {
			t.Errorf("%v, want %v, and nothing sent", err, pbx.ErrConfig)
		}
	}
}

// JSON would carry another name, and that would be a wrong login.
func TestAUserNameThatIsNotUTF8IsNotSent(t *testing.T) {
	cfg := settings(drivertest.Unsent{T: t})
	open := func(c pbx.Config) (pbx.Authenticator, error) {
		s := cfg
		s.Config = c
		return sseries.New(&plain, s)
	}
	drivertest.Impossible(t, plain.Driver, open, cfg.Config, pbx.Credentials{Username: "api\xff", Password: cfg.Password}, "Username", "not UTF-8")
}
