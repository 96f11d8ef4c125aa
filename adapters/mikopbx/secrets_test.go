package mikopbx_test

import (
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/mikopbx"
)

func TestNoSecretIsEverShown(t *testing.T) {
	const (
		password = `zebra"päss\word &+%/?` // no <, which the driver would refuse
		token    = `eyJc0ffee.5e/+=~&>"ba57.face`
		cookie   = `c00k1e-0f-%3Dc4nary==`
		key      = `k3y.c4nary/+=~&>"Z`
		issued   = `"accessToken":"eyJc0ffee.5e\/+=~\u0026>\"ba57.face"`
	)
	set := http.Header{"Set-Cookie": {"refreshToken=" + cookie + "; path=/"}}
	secrets := drivertest.Secrets{
		Planted: map[string]string{"password": password, "token": token, "refresh token": cookie, "key": key},
		Request: func(base string) *http.Request {
			return drivertest.NewRequest(t, "GET", base+"/pbxcore/api/v3/extensions", "", "")
		},
		Logged: "/pbxcore/api/v3",
		Responses: map[string]drivertest.Response{
			"success":         {Header: set, Body: `{"result":true,"data":{` + issued + `,"expiresIn":900,"login":"admin"}}`},
			"success, more":   {Header: set, Body: `{"result":true,"data":{` + issued + `,"expiresIn":"ECHO","login":"ECHO","ECHO":["ECHO",{"x":"` + cookie + `"}]},"messages":["ECHO"]}`},
			"no token":        {Header: set, Body: `{"result":true,"data":{"accessToken":"","x":"ECHO"}}`},
			"a token of two":  {Header: set, Body: `{"result":true,"data":{"accessToken":"a b ECHO"}}`},
			"an empty cookie": {Header: http.Header{"Set-Cookie": {"refreshToken=; ECHO"}}, Body: `{"result":true,"data":{` + issued + `}}`},
			"HTTP 400":        {Status: 400, Body: `{"result":false,"messages":{"error":["ECHO"]}}`},
			"HTTP 401":        {Status: 401, Body: `{"result":false,"messages":{"error":["ECHO"]}}`},
			"HTTP 403":        {Status: 403, Body: `{"result":false,"messages":{"error":["ECHO"]}}`},
			"HTTP 409":        {Status: 409, Body: `{"result":false,"messages":{"error":["ECHO"]}}`},
			"HTTP 429":        {Status: 429, Header: http.Header{"Date": {"ECHO"}}, Body: `{"result":false,"messages":{"error":["ECHO"]}}`},
			"nginx":           {Status: 403, Body: "The user isn't authenticated. ECHO"},
		},
	}
	for name, keyed := range map[string]bool{"account": false, "key": true} {
		t.Run(name, func(t *testing.T) {
			secrets.Token = &pbx.Token{Value: pbx.NewSecret(token), Refresh: pbx.NewSecret(cookie)}
			if keyed {
				secrets.Token = &pbx.Token{Value: pbx.NewSecret(key)}
			}
			secrets.Open = func(c pbx.Config) (drivertest.Driver, []any, error) {
				c.Username, c.Password = user, pbx.NewSecret(password)
				cfg := mikopbx.Config{Config: c}
				if keyed {
					cfg.Username, cfg.Password, cfg.Key = "", pbx.Secret{}, pbx.NewSecret(key)
				}
				driver, err := mikopbx.New(cfg)
				return driver, []any{cfg, &cfg, c, &c}, err
			}
			secrets.Test(t)
		})
	}
}
