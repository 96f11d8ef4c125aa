package uis_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/uis"
)

// The document says that an error's value gives back what was sent. Everything
// else may do so too.
func TestNoSecretIsEverShown(t *testing.T) {
	const (
		password = `zebra"päss\word &+%/?`
		token    = `c0ffee5e"<\>&ba57face`
		key      = `k3y.canary/+=~<&>"\Z`
	)
	quoted, _ := json.Marshal(token)
	secrets := drivertest.Secrets{
		Planted: map[string]string{"password": password, "token": token, "key": key},
		Request: func(base string) *http.Request {
			return drivertest.NewRequest(t, "POST", base+"/v4.0", "", listCalls)
		},
		Logged: "/v4.0",
		Responses: map[string]drivertest.Response{
			"success":         {Body: `{"result":{"data":{"access_token":` + string(quoted) + `,"success":true,"expire_at":"ECHO"}}}`},
			"success, more":   {Body: `{"result":{"data":{"access_token":` + string(quoted) + `},"metadata":{"x":"ECHO","ECHO":["ECHO"]}}}`},
			"no token":        {Body: `{"result":{"data":{"access_token":"","x":"ECHO"}}}`},
			"a wrong login":   {Body: `{"error":{"code":-32001,"message":"ECHO","data":{"mnemonic":"auth_error","field":"password","value":"ECHO"}}}`},
			"a dead token":    {Body: `{"error":{"code":-32001,"message":"ECHO","data":{"mnemonic":"access_token_invalid","field":"access_token","value":"ECHO","params":{"object":"ECHO"}}}}`},
			"a wrong field":   {Body: `{"error":{"code":-32602,"message":"ECHO","data":{"mnemonic":"data_type_error","field":"ECHO","value":"ECHO"}}}`},
			"an unknown code": {Body: `{"error":{"code":-1,"message":"ECHO","data":{"mnemonic":"ECHO","field":"ECHO"}}}`},
			"a code of text":  {Body: `{"error":{"code":"ECHO","message":"ECHO"}}`},
			"an error text":   {Body: `{"error":"ECHO"}`},
		},
	}
	for name, keyed := range map[string]bool{"account": false, "key": true} {
		t.Run(name, func(t *testing.T) {
			secrets.Token = &pbx.Token{Value: pbx.NewSecret(token)}
			if keyed {
				secrets.Token.Value = pbx.NewSecret(key)
			}
			secrets.Open = func(c pbx.Config) (drivertest.Driver, []any, error) {
				c.Username, c.Password = user, pbx.NewSecret(password)
				cfg := uis.Config{Config: c, PingMethod: "list.calls"}
				if keyed {
					cfg.Username, cfg.Password, cfg.Key = "", pbx.Secret{}, pbx.NewSecret(key)
				}
				driver, err := uis.New(cfg)
				return driver, []any{cfg, &cfg, c, &c}, err
			}
			secrets.Test(t)
		})
	}
}
