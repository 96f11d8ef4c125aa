package yeastar_test

import (
	"context"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
)

func TestAPasswordMayBeGivenAsItsDigest(t *testing.T) {
	for _, digest := range []string{sampleDigest, strings.ToUpper(sampleDigest)} {
		digested := func(c *yeastar.Config) { c.Password, c.PasswordIsMD5 = pbx.NewSecret(digest), true }
		simulate(t, yeastarsim.Options{}, digested, func(t *testing.T, s simulation) {
			s.Login(t)
			if body := string(s.Last().Body); !strings.Contains(body, `"`+sampleDigest+`"`) {
				t.Errorf("sent %s", body)
			}
		})
	}
}

func TestADigestIsNeverGuessedByItsLooks(t *testing.T) {
	const digestOfDigest = "2ed68370f6175be48318cfcab973cccc" // by md5sum(1) of sampleDigest
	looksLikeOne := func(c *yeastar.Config) { c.Password = pbx.NewSecret(sampleDigest) }
	simulate(t, yeastarsim.Options{}, looksLikeOne, func(t *testing.T, s simulation) {
		s.SetPassword(sampleUser, sampleDigest)
		s.Login(t)
		if body := string(s.Last().Body); !strings.Contains(body, digestOfDigest) {
			t.Errorf("for a password of 32 hexadecimal digits, %s was sent, want its digest %s", body, digestOfDigest)
		}
	})
}

func TestWhatIsToBeADigestAndIsNoneIsNotSent(t *testing.T) {
	for _, password := range []string{samplePassword, sampleDigest[1:], sampleDigest + "0", sampleDigest[1:] + "g", sampleDigest[1:] + " "} {
		cfg := yeastar.Config{Config: config(t), PasswordIsMD5: true}
		cfg.Password = pbx.NewSecret(password)
		_, err := yeastar.New(cfg)
		drivertest.Misconfigured(t, yeastar.Name, err == nil, err, "", "password_form")
		if strings.Contains(err.Error(), password[:8]) {
			t.Errorf("the error quotes the password: %v", err)
		}

		cfg.Username, cfg.Password = "", pbx.Secret{}
		cfg.Credentials = func(context.Context) (pbx.Credentials, error) {
			return pbx.Credentials{Username: sampleUser, Password: pbx.NewSecret(password)}, nil
		}
		driver, err := yeastar.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = driver.Login(t.Context())
		if got := failure(t, err); got.Kind != pbx.ErrConfig || got.Op != pbx.OpLogin || got.Sent || strings.Contains(err.Error(), password[:8]) {
			t.Errorf("%v, want %v, and nothing sent", err, pbx.ErrConfig)
		}
	}
}

func TestTheFormOfThePasswordIsAnOption(t *testing.T) {
	cfg := config(t)
	cfg.Options = map[string]string{"password_form": "md5"}
	_, err := pbx.Open(yeastar.Name, cfg)
	drivertest.Misconfigured(t, yeastar.Name, err == nil, err, "", "password_form")
	cfg.Password = pbx.NewSecret(sampleDigest)
	if _, err := pbx.Open(yeastar.Name, cfg); err != nil {
		t.Error(err)
	}
	cfg.Options["password_form"] = "sha1"
	_, err = pbx.Open(yeastar.Name, cfg)
	drivertest.Misconfigured(t, yeastar.Name, err == nil, err, "", "password_form", "plain, md5")
}

// JSON would carry another name, and that would be a wrong login.
func TestAUserNameThatIsNotUTF8IsNotSent(t *testing.T) {
	cfg := yeastar.Config{Config: config(t)}
	cfg.Username = "api\xff"
	driver, err := yeastar.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = driver.Login(t.Context())
	if got := failure(t, err); got.Kind != pbx.ErrConfig || got.Sent {
		t.Errorf("%v, want %v, and nothing sent", err, pbx.ErrConfig)
	}
}
