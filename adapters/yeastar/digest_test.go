package yeastar_test

import (
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
