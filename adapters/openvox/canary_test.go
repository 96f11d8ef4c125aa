package openvox_test

import (
	"crypto/md5"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/exposure"
	"github.com/pbxauth/pbx/adapters/openvox"
	"github.com/pbxauth/pbx/adapters/openvox/openvoxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Secrets that are found again wherever they show up. The password has what
// JSON, XML and URLs spell differently.
const (
	canaryPassword = `canary"päss\word <&+%/?>`
	canaryToken    = "c0ffee+canary/token=c0ffee0123456789"
)

var canaryDigest = fmt.Sprintf("%x", md5.Sum([]byte(canaryPassword)))

// echo is all that a PBX may send back, in a text.
var echo = canaryPassword + " " + canaryDigest + " " + strings.ToUpper(canaryDigest) + " " + canaryToken + " " +
	url.QueryEscape(canaryPassword) + " " + url.QueryEscape(canaryToken) + " " + url.PathEscape(canaryToken)

// echoed puts the echo into an answer, as its format writes it.
func echoed(format string) []byte {
	if strings.HasPrefix(format, "<") {
		var text strings.Builder
		xml.EscapeText(&text, []byte(echo))
		return []byte(strings.ReplaceAll(format, "ECHO", text.String()))
	}
	quoted, _ := json.Marshal(echo)
	return []byte(strings.ReplaceAll(format, "ECHO", string(quoted)))
}

func TestNoSecretIsEverShown(t *testing.T) {
	for name, fault := range map[string]pbxsim.Fault{
		"none":               {},
		"status":             {Body: echoed(`<xml><status>ECHO</status></xml>`)},
		"errno":              {Body: echoed(`<xml><status>Failed</status><errno>ECHO</errno></xml>`)},
		"known errno":        {Body: echoed(`<xml><status>ECHO</status><errno>20003</errno><msg>ECHO</msg></xml>`)},
		"unknown errno":      {Body: echoed(`{"status":ECHO,"errno":12345,"msg":ECHO}`)},
		"refusal with token": {Body: echoed(`<xml><status>ECHO</status><token>ECHO</token></xml>`)},
		"success":            {Body: echoed(`<xml><status>Success</status><msg>ECHO</msg></xml>`)},
		"success, more":      {Body: echoed(`<xml><status>Success</status><token>` + canaryToken + `</token><msg>ECHO</msg></xml>`)},
		"broken XML":         {Body: echoed(`<xml><status>ECHO</xml>`)},
		"entity":             {Body: echoed(`<!DOCTYPE ECHO><xml><status>&ECHO;</status></xml>`)},
		"another family":     {Body: echoed(`{"errcode":-1,"errmsg":ECHO}`)},
		"text":               {Body: []byte(echo)},
		"web page":           {Body: echoed(`<html><title>ECHO</title></html>`)},
		"HTTP 401":           {Status: 401, Body: echoed(`<xml><status>ECHO</status></xml>`)},
		"HTTP 500":           {Status: 500, Body: []byte(echo)},
		"redirect":           {Status: 302, Header: http.Header{"Location": {"https://pbx.example.com/login?d=" + canaryDigest + "&token=" + url.QueryEscape(canaryToken)}}},
		"half an answer":     {Truncate: true},
		"cut":                {Drop: pbxsim.DropAfter},
		"silence":            {Hang: true},
	} {
		for _, format := range formats {
			t.Run(string(format)+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					sim := openvoxsim.New(&openvoxsim.Options{}, &pbxsim.Options{
						Accounts: map[string]string{sampleUser: canaryPassword},
						NewToken: func() string { return canaryToken },
					})
					server := pbxsim.ListenMemory(sim)
					defer server.Close()
					exercise(t, format, server.URL, server.Client().Transport, func() {
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
}

// A transport of the application's own may quote the request in its errors.
func TestNoSecretIsShownByATransportThatQuotes(t *testing.T) {
	for _, format := range formats {
		exercise(t, format, "https://pbx.example.com", exposure.Quoting{}, func() {})
	}
}

// exercise opens the driver and uses all of it, arranging for trouble before
// each operation, and looks for the canaries in all that comes out.
func exercise(t *testing.T, format openvox.Format, address string, client http.RoundTripper, trouble func()) {
	t.Helper()
	x := exposure.New(t, map[string]string{"password": canaryPassword, "digest": canaryDigest, "token": canaryToken})
	cfg := openvox.Config{Format: format, Config: pbx.Config{
		URL: address, Username: sampleUser, Password: pbx.NewSecret(canaryPassword), Transport: client, Logger: x.Logger(),
	}}
	driver, err := openvox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	call, err := http.NewRequest("POST", address+"/api/v0.0.1/extension/query", nil)
	if err != nil {
		t.Fatal(err)
	}
	x.Exercise(driver, &pbx.Token{Value: pbx.NewSecret(canaryToken)}, call, trouble)
	for _, v := range []any{cfg, &cfg} {
		x.Print(v)
	}
	x.Scan("/api/v0.0.1/login")
}
