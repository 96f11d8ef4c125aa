package yeastar_test

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastar"
)

func TestNoSecretIsEverShown(t *testing.T) {
	const (
		password = `zebra"päss\word &+%/?`
		token    = "c0ffee+canary/token=c0ffee0123456789"
	)
	for _, family := range []yeastar.Family{yeastar.SV1, yeastar.CloudV1} {
		t.Run(string(family), func(t *testing.T) {
			drivertest.Secrets{
				Planted: map[string]string{"password": password, "digest": fmt.Sprintf("%x", md5.Sum([]byte(password))), "token": token},
				Open: func(cfg pbx.Config) (drivertest.Driver, []any, error) {
					cfg.Username, cfg.Password = sampleUser, pbx.NewSecret(password)
					typed := yeastar.Config{Family: family, Config: cfg}
					driver, err := yeastar.New(typed)
					return driver, []any{typed, &typed, cfg, &cfg}, err
				},
				Token: &pbx.Token{Value: pbx.NewSecret(token), Refresh: pbx.NewSecret(token)},
				Request: func(base string) *http.Request {
					return drivertest.NewRequest(t, "POST", base+"/api/v1.1.0/deviceinfo/query", "", "")
				},
				Logged:      "/api/v1.1.0/login",
				SaysNothing: true,
				Responses: map[string]drivertest.Response{
					"status":             {Body: `{"status":"ECHO"}`},
					"errno":              {Body: `{"status":"Failed","errno":"ECHO"}`},
					"known errno":        {Body: `{"status":"ECHO","errno":"20003","msg":"ECHO"}`},
					"unknown errno":      {Body: `{"status":"ECHO","errno":12345,"msg":"ECHO"}`},
					"refusal with token": {Body: `{"status":"ECHO","token":"ECHO"}`},
					"success":            {Body: `{"status":"Success","token":"","msg":"ECHO"}`},
					"success, more":      {Body: `{"status":"Success","token":"` + token + `","refreshtoken":"ECHO","msg":"ECHO"}`},
					"half a pair":        {Body: `{"status":"Success","token":"` + token + `","refreshtoken":"","msg":"ECHO"}`},
					"another family":     {Body: `{"errcode":-1,"errmsg":"ECHO"}`},
					"XML":                {Body: "<xml><status>ECHO</status></xml>"},
					"HTTP 401":           {Status: 401, Header: http.Header{"Www-Authenticate": {"Basic realm=x"}}, Body: `{"status":"ECHO","errno":"ECHO"}`},
				},
			}.Test(t)
		})
	}
}
