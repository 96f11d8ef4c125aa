package grandstream_test

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/grandstream"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
)

func TestNoSecretIsEverShown(t *testing.T) {
	const (
		password = `zebra"päss\word &+%/?`
		cookie   = `sidc0ffee5e"<\>&ba57face`
	)
	quoted, _ := json.Marshal(cookie)
	drivertest.Secrets{
		Planted: map[string]string{"password": password, "digest": fmt.Sprintf("%x", md5.Sum([]byte(sample+password))), "cookie": cookie},
		Open: func(c pbx.Config) (drivertest.Driver, []any, error) {
			c.Username, c.Password = user, pbx.NewSecret(password)
			cfg := grandstream.Config{Config: c}
			driver, err := grandstream.New(cfg)
			return driver, []any{cfg, &cfg, c, &c}, err
		},
		Token: &pbx.Token{Value: pbx.NewSecret(cookie)},
		Request: func(base string) *http.Request {
			return drivertest.NewRequest(t, "POST", base+"/api", "application/json", harmless)
		},
		Logged: "/api",
		First:  []drivertest.Response{{Body: challenged}},
		Responses: map[string]drivertest.Response{
			"success":           {Body: `{"response":{"challenge":"` + sample + `","cookie":` + string(quoted) + `},"status":0}`},
			"success, more":     {Body: `{"response":{"challenge":"` + sample + `","cookie":` + string(quoted) + `,"x":"ECHO"},"status":0,"msg":"ECHO"}`},
			"no cookie":         {Body: `{"response":{"challenge":"` + sample + `","error_msg":"ECHO"},"status":0}`},
			"a known status":    {Body: `{"response":{"error_msg":"ECHO"},"status":-37}`},
			"an unknown status": {Body: `{"response":{"error_msg":"ECHO"},"status":-9}`},
			"a text for one":    {Body: `{"response":{},"status":"ECHO"}`},
			"a dead cookie":     {Body: `{"response":{"error_msg":"ECHO"},"status":-6}`},
			"HTTP 401":          {Status: 401, Body: `{"response":{"error_msg":"ECHO"},"status":-5}`},
		},
	}.Test(t)
}
