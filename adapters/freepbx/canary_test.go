package freepbx_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/freepbx/freepbxsim"
	"github.com/pbxauth/pbx/adapters/internal/exposure"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Secrets that are found again wherever they show up.
const (
	canaryPassword = `canary"sëcret\word &+%/?`
	canarySecret   = `application-canary&+%/?`
	canaryToken    = "eyJhbGciOiJSUzI1NiJ9.eyJpYXQiOjAsImV4cCI6MzYwMH0.c0ffee-canary-token_c0ffee"
	canaryRefresh  = "def50200deadbeefcanarydeadbeef0123456789"
)

// echo is all that a PBX may send back, in a text.
var echo = canaryPassword + " " + canarySecret + " " + canaryToken + " " + canaryRefresh + " " + strings.ToUpper(canaryRefresh) + " " +
	url.QueryEscape(canaryPassword) + " " + url.QueryEscape(canarySecret) + " Bearer " + canaryToken

func echoed(format string) []byte {
	quoted, _ := json.Marshal(echo)
	return []byte(strings.ReplaceAll(format, "ECHO", string(quoted)))
}

func TestNoSecretIsEverShown(t *testing.T) {
	for name, fault := range map[string]pbxsim.Fault{
		"none":            {},
		"refused":         {Status: 401, Body: echoed(`{"error":"invalid_client","message":ECHO,"error_description":ECHO}`)},
		"a wrong user":    {Status: 400, Body: echoed(`{"error":"invalid_grant","message":ECHO,"hint":ECHO}`)},
		"an unknown code": {Status: 400, Body: echoed(`{"error":ECHO,"message":ECHO}`)},
		"a dead token":    {Status: 401, Body: echoed(`{"error":"access_denied","message":ECHO,"hint":ECHO}`)},
		"a query fails":   {Status: 400, Body: echoed(`{"errors":[{"message":ECHO,"status":false}]}`)},
		"success, more":   {Body: echoed(`{"access_token":"` + canaryToken + `","refresh_token":"` + canaryRefresh + `","expires_in":ECHO,"scope":ECHO,"debug":[ECHO]}`)},
		"half a pair":     {Body: echoed(`{"access_token":"` + canaryToken + `","scope":ECHO}`)},
		"text":            {Body: []byte(echo)},
		"web page":        {Body: []byte("<html><title>" + echo + "</title></html>")},
		"HTTP 404":        {Status: 404, Body: []byte(echo)},
		"HTTP 500":        {Status: 500, Body: []byte(echo)},
		"Retry-After":     {Status: 503, Header: http.Header{"Retry-After": {canaryToken}}},
		"redirect":        {Status: 302, Header: http.Header{"Location": {"https://pbx.example.com/?t=" + url.QueryEscape(canaryToken)}}},
		"half a response": {Truncate: true},
		"cut":             {Drop: pbxsim.DropAfter},
		"silence":         {Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := []string{canaryToken, canaryRefresh}
				sim := freepbxsim.New(&freepbxsim.Options{Application: freepbxsim.Application{ID: id, Secret: canarySecret}}, &pbxsim.Options{
					Accounts: map[string]string{"1000": canaryPassword},
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
	exercise(t, "https://pbx.example.com", exposure.Quoting{}, func() {})
}

// exercise opens the driver and uses all of it, arranging for trouble before each
// operation, and looks for the canaries in all that comes out.
func exercise(t *testing.T, address string, client http.RoundTripper, trouble func()) {
	t.Helper()
	x := exposure.New(t, map[string]string{
		"password": canaryPassword, "application's secret": canarySecret, "token": canaryToken, "refresh token": canaryRefresh,
	})
	cfg := ofUser(client)
	cfg.URL, cfg.Password, cfg.ClientSecret, cfg.Logger = address, pbx.NewSecret(canaryPassword), pbx.NewSecret(canarySecret), x.Logger()
	driver := open(t, cfg)
	token := &pbx.Token{Value: pbx.NewSecret(canaryToken), Refresh: pbx.NewSecret(canaryRefresh)}
	x.Exercise(driver, token, query(address), trouble)
	trouble()
	x.Fail(driver.Ping(t.Context(), token))
	for _, v := range []any{cfg, &cfg} {
		x.Print(v)
	}
	x.Scan("/admin/api/api/token")
}
