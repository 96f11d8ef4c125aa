package wazo_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/exposure"
	"github.com/pbxauth/pbx/adapters/wazo"
	"github.com/pbxauth/pbx/adapters/wazo/wazosim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Secrets that are found again wherever they show up.
const (
	canaryPassword = `canary"sëcret\word &+%/?`
	canaryAccess   = "c0ffee00-cafe-4bad-8dad-c0ffee012345"
	canaryRefresh  = "deadbeef-cafe-4bad-8dad-deadbeef0123"
)

var basic = base64.StdEncoding.EncodeToString([]byte(user + ":" + canaryPassword))

// echo is all that a server may send back, in a text.
var echo = canaryPassword + " " + canaryAccess + " " + strings.ToUpper(canaryAccess) + " " + canaryRefresh + " " +
	url.QueryEscape(canaryPassword) + " Basic " + basic

func echoed(format string) []byte {
	quoted, _ := json.Marshal(echo)
	return []byte(strings.ReplaceAll(format, "ECHO", string(quoted)))
}

func TestNoSecretIsEverShown(t *testing.T) {
	for name, fault := range map[string]pbxsim.Fault{
		"none":                {},
		"refused":             {Status: 401, Body: echoed(`{"reason":[ECHO],"timestamp":[1],"status_code":401}`)},
		"full":                {Status: 429, Body: echoed(`{"reason":[ECHO],"status_code":429}`)},
		"not permitted":       {Status: 400, Body: echoed(`{"reason":[ECHO],"status_code":400}`)},
		"dead":                {Status: 401, Body: echoed(`{"message":ECHO,"error_id":"unauthorized","details":{"invalid_token":ECHO,"reason":"not_found_or_expired","required_access":ECHO}}`)},
		"denied":              {Status: 401, Body: echoed(`{"message":ECHO,"error_id":"unauthorized","details":{"invalid_token":ECHO,"reason":"missing_permission_or_invalid_tenant"}}`)},
		"without a reason":    {Status: 401, Body: echoed(`{"message":ECHO,"error_id":ECHO,"details":{"invalid_token":ECHO}}`)},
		"a reason of its own": {Status: 401, Body: echoed(`{"message":ECHO,"error_id":"unauthorized","details":{"reason":ECHO}}`)},
		"a foreign tenant":    {Status: 401, Body: echoed(`{"message":ECHO,"error_id":"unauthorized-tenant","details":{"tenant_uuid":ECHO}}`)},
		"success":             {Body: echoed(`{"data":{"token":"` + canaryAccess + `","refresh_token":"` + canaryRefresh + `","auth_id":ECHO,"metadata":{"jwt":ECHO},"acl":[ECHO],"utc_issued_at":ECHO,"user_agent":ECHO}}`)},
		"success, no token":   {Body: echoed(`{"data":{"message":ECHO}}`)},
		"text":                {Body: []byte(echo)},
		"web page":            {Body: []byte("<html><title>" + echo + "</title></html>")},
		"HTTP 404":            {Status: 404, Body: echoed(`{"reason":[ECHO],"status_code":404,"error_id":ECHO}`)},
		"HTTP 500":            {Status: 500, Body: echoed(`{"message":ECHO,"error_id":ECHO}`)},
		"Retry-After":         {Status: 503, Header: http.Header{"Retry-After": {canaryAccess}}},
		"redirect":            {Status: 302, Header: http.Header{"Location": {"https://wazo.example.com/login?token=" + canaryAccess}}},
		"redirect to itself":  {Status: 302, Header: http.Header{"Location": {"https://wazo.example.com/api/auth/0.1/token/" + canaryAccess}}},
		"half a response":     {Truncate: true},
		"cut":                 {Drop: pbxsim.DropAfter},
		"silence":             {Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := []string{canaryAccess, canaryRefresh}
				sim := wazosim.New(nil, &pbxsim.Options{
					Accounts: map[string]string{user: canaryPassword},
					NewToken: func() string { next[0], next[1] = next[1], next[0]; return next[1] },
				})
				server := pbxsim.ListenMemory(sim)
				defer server.Close()
				exercise(t, server.URL, exposure.Through(server.Client().Transport.RoundTrip), func() {
					if fault.Status != 0 || fault.Body != nil || fault.Truncate || fault.Drop != 0 || fault.Hang {
						sim.Fault(fault)
					}
				})
				if requests := sim.Counts().Requests; requests < 4 {
					t.Errorf("%d requests, want all operations", requests)
				}
			})
		})
	}
}

// A transport of the application's own may quote the request in its errors.
func TestNoSecretIsShownByATransportThatQuotes(t *testing.T) {
	exercise(t, "https://wazo.example.com", exposure.Quoting{}, func() {})
}

// exercise opens the driver and uses all of it, arranging for trouble before each
// operation, and looks for the canaries in all that comes out.
func exercise(t *testing.T, address string, client http.RoundTripper, trouble func()) {
	t.Helper()
	x := exposure.New(t, map[string]string{"password": canaryPassword, "token": canaryAccess, "refresh token": canaryRefresh, "authorization": basic})
	cfg := wazo.Config{ClientID: "crm", Config: pbx.Config{URL: address, Username: user, Password: pbx.NewSecret(canaryPassword), Transport: client, Logger: x.Logger()}}
	driver := open(t, cfg)
	request, err := http.NewRequest("GET", address+"/api/confd/1.1/extensions", nil)
	if err != nil {
		t.Fatal(err)
	}
	token := &pbx.Token{Value: pbx.NewSecret(canaryAccess), Refresh: pbx.NewSecret(canaryRefresh)}
	x.Exercise(driver, token, request, trouble)
	trouble()
	x.Fail(driver.Ping(t.Context(), token))
	for _, v := range []any{cfg, &cfg} {
		x.Print(v)
	}
	x.Scan("/api/auth/0.1/token")
}
