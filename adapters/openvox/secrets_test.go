package openvox_test

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/openvox"
)

func TestNoSecretIsEverShown(t *testing.T) {
	const (
		password = `zebra"päss\word <&+%/?>`
		token    = "c0ffee+canary/token=c0ffee0123456789"
	)
	for _, format := range formats {
		t.Run(string(format), func(t *testing.T) {
			drivertest.Secrets{
				Planted: map[string]string{"password": password, "digest": fmt.Sprintf("%x", md5.Sum([]byte(password))), "token": token},
				Open: func(c pbx.Config) (drivertest.Driver, []any, error) {
					c.Username, c.Password = sampleUser, pbx.NewSecret(password)
					cfg := openvox.Config{Format: format, Config: c}
					driver, err := openvox.New(cfg)
					return driver, []any{cfg, &cfg}, err
				},
				Token: &pbx.Token{Value: pbx.NewSecret(token)},
				Request: func(base string) *http.Request {
					return drivertest.NewRequest(t, "POST", base+"/api/v0.0.1/extension/query", "", "")
				},
				Logged:      "/api/v0.0.1/login",
				SaysNothing: true,
				Responses: map[string]drivertest.Response{
					"status":             {Body: `<xml><status>ECHO</status></xml>`},
					"errno":              {Body: `<xml><status>Failed</status><errno>ECHO</errno></xml>`},
					"known errno":        {Body: `<xml><status>ECHO</status><errno>20003</errno><msg>ECHO</msg></xml>`},
					"unknown errno":      {Body: `{"status":"ECHO","errno":12345,"msg":"ECHO"}`},
					"refusal with token": {Body: `<xml><status>ECHO</status><token>ECHO</token></xml>`},
					"success":            {Body: `<xml><status>Success</status><msg>ECHO</msg></xml>`},
					"success, more":      {Body: `<xml><status>Success</status><token>` + token + `</token><msg>ECHO</msg></xml>`},
					"broken XML":         {Body: `<xml><status>ECHO</xml>`},
					"an entity":          {Body: `<!DOCTYPE ECHO><xml><status>&ECHO;</status></xml>`},
					"another family":     {Body: `{"errcode":-1,"errmsg":"ECHO"}`},
					"HTTP 401":           {Status: 401, Body: `<xml><status>ECHO</status></xml>`},
				},
			}.Test(t)
		})
	}
}
