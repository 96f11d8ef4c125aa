package threecx_test

import (
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/threecx"
)

func TestNoSecretIsEverShown(t *testing.T) {
	const (
		key   = `zebra"sëcret\word &+%/?`
		token = "eyJhbGciOiJFUzI1NiJ9.eyJpYXQiOjAsImV4cCI6MzYwMH0.c0ffee-canary-token_c0ffee"
	)
	drivertest.Secrets{
		Planted: map[string]string{"key": key, "token": token, "signature": "c0ffee-canary-token"},
		Open: func(cfg pbx.Config) (drivertest.Driver, []any, error) {
			cfg.Username, cfg.Password = id, pbx.NewSecret(key)
			driver, err := threecx.New(cfg)
			return driver, []any{cfg, &cfg}, err
		},
		Token: &pbx.Token{Value: pbx.NewSecret(token)},
		Request: func(base string) *http.Request {
			return drivertest.NewRequest(t, "GET", base+"/xapi/v1/Users", "", "")
		},
		Logged:      "/connect/token",
		SaysNothing: true,
		Responses: map[string]drivertest.Response{
			"refused":         {Status: 401, Body: `{"error":"invalid_client","error_description":"ECHO"}`},
			"an unknown code": {Status: 400, Body: `{"error":"ECHO","error_description":"ECHO"}`},
			"XAPI's error":    {Status: 400, Body: `{"error":{"code":"ECHO","message":"ECHO"}}`},
			"a dead token":    {Status: 401, Body: `{"error":{"code":"ECHO","message":"ECHO"}}`},
			"a role too low":  {Status: 403, Body: `{"error":{"code":"ECHO","message":"ECHO"}}`},
			"success, more":   {Body: `{"access_token":"` + token + `","expires_in":"ECHO","refresh_token":"ECHO","scope":"ECHO"}`},
		},
	}.Test(t)
}
