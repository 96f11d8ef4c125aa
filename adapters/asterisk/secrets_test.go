package asterisk_test

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
)

func TestNoSecretIsEverShown(t *testing.T) {
	const (
		password = `zebra"päss\word &+%/?`
		id       = "c0ffee5eba57face" // longer than a real one, to be found for certain
	)
	cookie := http.Header{"Set-Cookie": {`mansession_id="` + id + `"; Version=1; Max-Age=60`}}
	responses := map[string]drivertest.Response{
		"success":           {Body: "Response: Success\r\nChallenge: 325310457\r\nPing: Pong\r\nMessage: Authentication accepted\r\n\r\n"},
		"success, more":     {Body: "Response: Success\r\nChallenge: 325310457\r\nPing: Pong\r\nMessage: Authentication accepted\r\nX: ECHO\r\n\r\n"},
		"error":             {Body: refused("ECHO")},
		"known error":       {Body: "Response: Error\r\nMessage: Authentication failed\r\nX: ECHO\r\n\r\n"},
		"permission denied": {Body: "Response: Error\r\nActionID: ECHO\r\nMessage: Permission denied\r\n\r\n"},
		"response":          {Body: "Response: ECHO\r\n\r\n"},
		"text":              {Body: "ECHO"},
		"error, HTTP 401":   {Status: 401, Body: refused("ECHO")},
		"error, HTTP 503":   {Status: 503, Body: refused("ECHO")},
	}
	for name, r := range responses {
		r.Header = cookie
		responses[name] = r
	}
	drivertest.Secrets{
		Planted: map[string]string{"password": password, "key": fmt.Sprintf("%x", md5.Sum([]byte("325310457"+password))), "session's id": id},
		Open: func(c pbx.Config) (drivertest.Driver, []any, error) {
			c.Username, c.Password = user, pbx.NewSecret(password)
			cfg := asterisk.Config{Config: c}
			driver, err := asterisk.New(cfg)
			return driver, []any{cfg, &cfg, c, &c}, err
		},
		Token: &pbx.Token{Value: pbx.NewSecret(id)},
		Request: func(base string) *http.Request {
			return drivertest.NewRequest(t, "POST", base+"/rawman", "application/x-www-form-urlencoded", "Action=ListCommands")
		},
		Logged:    "/rawman",
		First:     []drivertest.Response{{Header: cookie, Body: challenged}},
		Responses: responses,
	}.Test(t)
}
