package yeastarp_test

import (
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastarp"
)

func TestNoSecretIsEverShown(t *testing.T) {
	const (
		secret  = `zebra"sëcret\word &+%/?`
		access  = "c0ffee+canary/access=c0ffee0123456789"
		refresh = "c0ffee+canary/refresh=c0ffee012345678"
		pair    = `"access_token":"` + access + `","refresh_token":"` + refresh + `"`
	)
	drivertest.Secrets{
		Planted: map[string]string{"secret": secret, "token": access, "refresh token": refresh},
		Open: func(cfg pbx.Config) (drivertest.Driver, []any, error) {
			cfg.Username, cfg.Password = sampleID, pbx.NewSecret(secret)
			driver, err := yeastarp.New(cfg)
			return driver, []any{cfg, &cfg}, err
		},
		Token: &pbx.Token{Value: pbx.NewSecret(access), Refresh: pbx.NewSecret(refresh)},
		Request: func(base string) *http.Request {
			return drivertest.NewRequest(t, "GET", base+"/openapi/v1.0/system/information", "", "")
		},
		Logged:      "/openapi/v1.0/get_token",
		SaysNothing: true,
		Responses: map[string]drivertest.Response{
			"failure":               {Body: `{"errcode":-1,"errmsg":"ECHO","invalid_param_list":[{"field":"ECHO","value":"ECHO"}]}`},
			"wrong credentials":     {Body: `{"errcode":-1,"errmsg":"ECHO","invalid_param_list":[{"field":"username or password","value":"ECHO"}]}`},
			"unknown errcode":       {Body: `{"errcode":12345,"errmsg":"ECHO"}`},
			"errcode is text":       {Body: `{"errcode":"ECHO","errmsg":"ECHO"}`},
			"blocked":               {Body: `{"errcode":70004,"errmsg":"ECHO","block_expire_time":"ECHO"}`},
			"success":               {Body: `{"errcode":0,"errmsg":"ECHO"}`},
			"success, more":         {Body: `{"errcode":0,` + pair + `,"errmsg":"ECHO","access_token_expire_time":"ECHO"}`},
			"half a pair":           {Body: `{"errcode":0,"access_token":"` + access + `","errmsg":"ECHO"}`},
			"in part":               {Body: `{"errcode":1,` + pair + `,"errmsg":"ECHO"}`},
			"another family":        {Body: `{"status":"ECHO","errno":"ECHO"}`},
			"another family in XML": {Body: "<xml><status>ECHO</status></xml>"},
			"a dead token":          {Status: 401, Body: `{"errcode":10004,"errmsg":"ECHO"}`},
		},
	}.Test(t)
}
