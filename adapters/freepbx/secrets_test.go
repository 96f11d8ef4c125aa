package freepbx_test

import (
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/freepbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
)

func TestNoSecretIsEverShown(t *testing.T) {
	const (
		password    = `zebra"sëcret\word &+%/?`
		application = `application-canary&+%/?`
		access      = "eyJhbGciOiJSUzI1NiJ9.eyJpYXQiOjAsImV4cCI6MzYwMH0.c0ffee-canary-token_c0ffee"
		refresh     = "def50200deadbeefcanarydeadbeef0123456789"
		pair        = `"access_token":"` + access + `","refresh_token":"` + refresh + `"`
	)
	drivertest.Secrets{
		Planted: map[string]string{"password": password, "application's secret": application, "token": access, "refresh token": refresh},
		Open: func(c pbx.Config) (drivertest.Driver, []any, error) {
			cfg := ofUser(c.Transport)
			cfg.URL, cfg.Logger, cfg.Password, cfg.ClientSecret = c.URL, c.Logger, pbx.NewSecret(password), pbx.NewSecret(application)
			driver, err := freepbx.New(cfg)
			return driver, []any{cfg, &cfg}, err
		},
		Token:       &pbx.Token{Value: pbx.NewSecret(access), Refresh: pbx.NewSecret(refresh)},
		Request:     query,
		Logged:      "/admin/api/api/token",
		SaysNothing: true,
		Responses: map[string]drivertest.Response{
			"refused":         {Status: 401, Body: `{"error":"invalid_client","message":"ECHO","error_description":"ECHO"}`},
			"a wrong user":    {Status: 400, Body: `{"error":"invalid_grant","message":"ECHO","hint":"ECHO"}`},
			"an unknown code": {Status: 400, Body: `{"error":"ECHO","message":"ECHO"}`},
			"a dead token":    {Status: 401, Body: `{"error":"access_denied","message":"ECHO","hint":"ECHO"}`},
			"a query fails":   {Status: 400, Body: `{"errors":[{"message":"ECHO","status":false}]}`},
			"success, more":   {Body: `{` + pair + `,"expires_in":"ECHO","scope":"ECHO","debug":["ECHO"]}`},
			"half a pair":     {Body: `{"access_token":"` + access + `"}`},
		},
	}.Test(t)
}
