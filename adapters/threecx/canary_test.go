package threecx_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/exposure"
	"github.com/pbxauth/pbx/adapters/threecx/threecxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Secrets that are found again wherever they show up.
const (
	canaryKey   = `canary"sëcret\word &+%/?`
	canaryToken = "eyJhbGciOiJFUzI1NiJ9.eyJpYXQiOjAsImV4cCI6MzYwMH0.c0ffee-canary-token_c0ffee"
)

// echo is all that a PBX may send back, in a text.
var echo = canaryKey + " " + canaryToken + " " + strings.ToUpper(canaryToken) + " " + url.QueryEscape(canaryKey) + " Bearer " + canaryToken

func echoed(format string) []byte {
	quoted, _ := json.Marshal(echo)
	return []byte(strings.ReplaceAll(format, "ECHO", string(quoted)))
}

func TestNoSecretIsEverShown(t *testing.T) {
	for name, fault := range map[string]pbxsim.Fault{
		"none":               {},
		"refused":            {Status: 401, Body: echoed(`{"error":"invalid_client","error_description":ECHO}`)},
		"an unknown code":    {Status: 400, Body: echoed(`{"error":ECHO,"error_description":ECHO}`)},
		"XAPI's error":       {Status: 400, Body: echoed(`{"error":{"code":ECHO,"message":ECHO}}`)},
		"a dead token":       {Status: 401, Body: echoed(`{"error":{"code":ECHO,"message":ECHO}}`)},
		"a role too low":     {Status: 403, Body: echoed(`{"error":{"code":ECHO,"message":ECHO}}`)},
		"success, more":      {Body: echoed(`{"access_token":"` + canaryToken + `","expires_in":ECHO,"refresh_token":ECHO,"scope":ECHO}`)},
		"text":               {Body: []byte(echo)},
		"web page":           {Body: []byte("<html><title>" + echo + "</title></html>")},
		"HTTP 404":           {Status: 404, Body: []byte(echo)},
		"HTTP 500":           {Status: 500, Body: []byte(echo)},
		"Retry-After":        {Status: 503, Header: http.Header{"Retry-After": {canaryToken}}},
		"redirect":           {Status: 302, Header: http.Header{"Location": {"https://pbx.example.com/?t=" + url.QueryEscape(canaryToken)}}},
		"redirect to a path": {Status: 302, Header: http.Header{"Location": {"/" + url.PathEscape(canaryKey)}}},
		"half a response":    {Truncate: true},
		"cut":                {Drop: pbxsim.DropAfter},
		"silence":            {Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := threecxsim.New(nil, &pbxsim.Options{
					Accounts: map[string]string{id: canaryKey}, NewToken: func() string { return canaryToken },
				})
				server := pbxsim.ListenMemory(sim)
				defer server.Close()
				exercise(t, server.URL, exposure.Through(server.Client().Transport.RoundTrip), func() {
					if fault.Status != 0 || fault.Body != nil || fault.Truncate || fault.Drop != 0 || fault.Hang {
						sim.Fault(fault)
					}
				})
				if requests := sim.Counts().Requests; requests < 3 {
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
	x := exposure.New(t, map[string]string{"key": canaryKey, "token": canaryToken, "signature": "c0ffee-canary-token"})
	cfg := pbx.Config{URL: address, Username: id, Password: pbx.NewSecret(canaryKey), Transport: client, Logger: x.Logger()}
	driver := open(t, cfg)
	request, err := http.NewRequest("GET", address+"/xapi/v1/Users", nil)
	if err != nil {
		t.Fatal(err)
	}
	token := &pbx.Token{Value: pbx.NewSecret(canaryToken)}
	x.Exercise(driver, token, request, trouble)
	trouble()
	x.Fail(driver.Ping(t.Context(), token))
	for _, v := range []any{cfg, &cfg} {
		x.Print(v)
	}
	x.Scan("/connect/token")
}
