package wazo_test

import (
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/wazo"
)

func TestNoSecretIsEverShown(t *testing.T) {
	const (
		password = `zebra"sëcret\word &+%/?`
		access   = "c0ffee00-cafe-4bad-8dad-c0ffee012345"
		refresh  = "deadbeef-cafe-4bad-8dad-deadbeef0123"
	)
	drivertest.Secrets{
		Planted: map[string]string{
			"password": password, "token": access, "refresh token": refresh,
			"authorization": base64.StdEncoding.EncodeToString([]byte(user + ":" + password)),
		},
		Open: func(c pbx.Config) (drivertest.Driver, []any, error) {
			c.Username, c.Password = user, pbx.NewSecret(password)
			cfg := wazo.Config{ClientID: "crm", Config: c}
			driver, err := wazo.New(cfg)
			return driver, []any{cfg, &cfg}, err
		},
		Token: &pbx.Token{Value: pbx.NewSecret(access), Refresh: pbx.NewSecret(refresh)},
		Request: func(base string) *http.Request {
			return drivertest.NewRequest(t, "GET", base+"/api/confd/1.1/extensions", "", "")
		},
		Logged:      "/api/auth/0.1/token",
		SaysNothing: true,
		Responses: map[string]drivertest.Response{
			"refused":             {Status: 401, Body: `{"reason":["ECHO"],"timestamp":[1],"status_code":401}`},
			"full":                {Status: 429, Body: `{"reason":["ECHO"],"status_code":429}`},
			"not permitted":       {Status: 400, Body: `{"reason":["ECHO"],"status_code":400}`},
			"dead":                {Status: 401, Body: `{"message":"ECHO","error_id":"unauthorized","details":{"invalid_token":"ECHO","reason":"not_found_or_expired","required_access":"ECHO"}}`},
			"denied":              {Status: 401, Body: `{"message":"ECHO","error_id":"unauthorized","details":{"invalid_token":"ECHO","reason":"missing_permission_or_invalid_tenant"}}`},
			"without a reason":    {Status: 401, Body: `{"message":"ECHO","error_id":"ECHO","details":{"invalid_token":"ECHO"}}`},
			"a reason of its own": {Status: 401, Body: `{"message":"ECHO","error_id":"unauthorized","details":{"reason":"ECHO"}}`},
			"a foreign tenant":    {Status: 401, Body: `{"message":"ECHO","error_id":"unauthorized-tenant","details":{"tenant_uuid":"ECHO"}}`},
			"success":             {Body: `{"data":{"token":"` + access + `","refresh_token":"` + refresh + `","auth_id":"ECHO","metadata":{"jwt":"ECHO"},"acl":["ECHO"],"utc_issued_at":"ECHO","user_agent":"ECHO"}}`},
			"success, no token":   {Body: `{"data":{"message":"ECHO"}}`},
			"an unknown path":     {Status: 404, Body: `{"reason":["ECHO"],"status_code":404,"error_id":"ECHO"}`},
			"a failure":           {Status: 500, Body: `{"message":"ECHO","error_id":"ECHO"}`},
		},
	}.Test(t)
}
