package yeastar_test

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/exposure"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Secrets that are found again wherever they show up. The password has what
// JSON and URLs spell differently.
const (
	canaryPassword = `canary"päss\word &+%/?`
	canaryToken    = "c0ffee+canary/token=c0ffee0123456789"
)

var canaryDigest = fmt.Sprintf("%x", md5.Sum([]byte(canaryPassword)))

func canaries(t *testing.T) *exposure.Exposure {
	return exposure.New(t, map[string]string{"password": canaryPassword, "digest": canaryDigest, "token": canaryToken})
}

// echo is all that a PBX may send back, in a text.
var echo = canaryPassword + " " + canaryDigest + " " + strings.ToUpper(canaryDigest) + " " + canaryToken + " " +
	url.QueryEscape(canaryPassword) + " " + url.QueryEscape(canaryToken) + " " + url.PathEscape(canaryToken)

func echoed(format string) []byte {
	quoted, _ := json.Marshal(echo)
	return []byte(strings.ReplaceAll(format, "ECHO", string(quoted)))
}

func TestNoSecretIsEverShown(t *testing.T) {
	faults := map[string]pbxsim.Fault{
		"none":                {},
		"status":              {Body: echoed(`{"status":ECHO}`)},
		"errno":               {Body: echoed(`{"status":"Failed","errno":ECHO}`)},
		"known errno":         {Body: echoed(`{"status":ECHO,"errno":"20003","msg":ECHO}`)},
		"unknown errno":       {Body: echoed(`{"status":ECHO,"errno":12345,"msg":ECHO}`)},
		"refusal with token":  {Body: echoed(`{"status":ECHO,"token":ECHO}`)},
		"success":             {Body: echoed(`{"status":"Success","token":"","msg":ECHO}`)},
		"success, more":       {Body: echoed(`{"status":"Success","token":"` + canaryToken + `","refreshtoken":ECHO,"msg":ECHO}`)},
		"another family":      {Body: echoed(`{"errcode":-1,"errmsg":ECHO}`)},
		"XML":                 {Body: []byte("<xml><status>" + canaryDigest + canaryToken + "</status></xml>")},
		"half a pair":         {Body: echoed(`{"status":"Success","token":"` + canaryToken + `","refreshtoken":"","msg":ECHO}`)},
		"text":                {Body: []byte(echo)},
		"web page":            {Body: []byte("<html><title>" + echo + "</title></html>")},
		"HTTP 400":            {Status: 400, Body: []byte(echo)},
		"HTTP 401":            {Status: 401, Header: http.Header{"Www-Authenticate": {"Basic realm=x"}}, Body: echoed(`{"status":ECHO,"errno":ECHO}`)},
		"HTTP 500":            {Status: 500, Body: []byte(echo)},
		"Retry-After":         {Status: 503, Header: http.Header{"Retry-After": {canaryDigest}}},
		"redirect":            {Status: 302, Header: http.Header{"Location": {"https://pbx.example.com/login?p=" + url.QueryEscape(canaryPassword) + "&d=" + canaryDigest + "&token=" + url.QueryEscape(canaryToken)}}},
		"redirect to a path":  {Status: 302, Header: http.Header{"Location": {"/" + url.PathEscape(canaryToken) + "/" + canaryDigest}}},
		"redirect to nowhere": {Status: 302, Header: http.Header{"Location": {"%zz" + canaryDigest}}},
		"half an answer":      {Truncate: true},
		"cut":                 {Drop: pbxsim.DropAfter},
		"silence":             {Hang: true},
	}
	for name, fault := range faults {
		for _, family := range []string{yeastarsim.SV1, yeastarsim.CloudV1} {
			t.Run(family+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					x := canaries(t)
					sim := yeastarsim.New(&yeastarsim.Options{Family: family}, &pbxsim.Options{
						Accounts: map[string]string{sampleUser: canaryPassword},
						NewToken: func() string { return canaryToken }, // what refreshes it too
					})
					server := pbxsim.ListenMemory(sim)
					defer server.Close()
					exercise(t, x, family, server.URL, exposure.Through(server.Client().Transport.RoundTrip), func() {
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
	for _, family := range []string{yeastarsim.SV1, yeastarsim.CloudV1} {
		exercise(t, canaries(t), family, "https://pbx.example.com", exposure.Quoting{}, func() {})
	}
}

// exercise opens the driver and uses all of it, arranging for trouble before
// each operation, and looks for the canaries in all that comes out.
func exercise(t *testing.T, x *exposure.Exposure, family, address string, client http.RoundTripper, trouble func()) {
	t.Helper()
	cfg := yeastar.Config{Family: yeastar.Family(family), Config: pbx.Config{
		URL: address, Username: sampleUser, Password: pbx.NewSecret(canaryPassword), Transport: client, Logger: x.Logger(),
	}}
	driver, err := yeastar.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	call, err := http.NewRequest("POST", address+"/api/v1.1.0/deviceinfo/query", nil)
	if err != nil {
		t.Fatal(err)
	}
	token := &pbx.Token{Value: pbx.NewSecret(canaryToken), Refresh: pbx.NewSecret(canaryToken)}
	x.Exercise(driver, token, call, trouble)
	for _, v := range []any{cfg, &cfg, cfg.Config, &cfg.Config} {
		x.Print(v)
	}
	x.Scan("/api/v1.1.0/login")
}
