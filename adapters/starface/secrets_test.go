package starface_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/starface"
)

func TestNoSecretIsEverShown(t *testing.T) {
	const (
		password = `zebra"päss\word &+%/?`
		token    = `c0ffee5e<\>&ba57face`
	)
	quoted, _ := json.Marshal(token)
	drivertest.Secrets{
		Planted: map[string]string{
			"password": password, "token": token,
			"digest":         sha(user + nonce + sha(password)),
			"encoded secret": base64.StdEncoding.EncodeToString([]byte(user + nonce + password)),
		},
		Open: func(cfg pbx.Config) (drivertest.Driver, []any, error) {
			cfg.Username, cfg.Password = user, pbx.NewSecret(password)
			driver, err := starface.New(cfg)
			return driver, []any{cfg, &cfg}, err
		},
		Token: &pbx.Token{Value: pbx.NewSecret(token)},
		Request: func(base string) *http.Request {
			return drivertest.NewRequest(t, "GET", base+"/rest/users", "", "")
		},
		Logged: "/rest/login",
		First:  []drivertest.Response{{Body: template}, {Body: strings.Replace(template, "Internal", "ActiveDirectory", 1)}},
		Responses: map[string]drivertest.Response{
			"success":         {Body: `{"token":` + string(quoted) + `}`},
			"success, more":   {Body: `{"token":` + string(quoted) + `,"message":"ECHO"}`},
			"no token":        {Body: `{"token":"","message":"ECHO"}`},
			"a token of two":  {Body: `{"token":"a b ECHO"}`},
			"wrong":           {Status: 400, Body: `{"message":"ECHO"}`},
			"wrong, a token":  {Status: 400, Body: `{"token":` + string(quoted) + `,"message":"ECHO"}`},
			"wrong, in text":  {Status: 400, Header: http.Header{"Content-Type": {"text/plain"}}, Body: "ECHO"},
			"HTTP 401":        {Status: 401, Body: `{"message":"ECHO"}`},
			"HTTP 403":        {Status: 403, Body: `{"message":"ECHO"}`},
			"HTTP 404":        {Status: 404, Body: `{"message":"ECHO"}`},
			"HTTP 500":        {Status: 500, Body: `{"message":"ECHO"}`},
			"an unknown type": {Body: `{"loginType":"ECHO","nonce":"x"}`},
		},
	}.Test(t)
}
