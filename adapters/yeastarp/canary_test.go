package yeastarp_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/exposure"
	"github.com/pbxauth/pbx/adapters/yeastarp"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Secrets that are found again wherever they show up, with what JSON and URLs
// spell differently.
const (
	canarySecret  = `canary"sëcret\word &+%/?`
	canaryAccess  = "c0ffee+canary/access=c0ffee0123456789"
	canaryRefresh = "c0ffee+canary/refresh=c0ffee012345678"
)

func canaries(t *testing.T) *exposure.Exposure {
	return exposure.New(t, map[string]string{"secret": canarySecret, "token": canaryAccess, "refresh token": canaryRefresh})
}

// echo is all that a PBX may send back, in a text.
var echo = canarySecret + " " + canaryAccess + " " + strings.ToUpper(canaryAccess) + " " + canaryRefresh + " " +
	url.QueryEscape(canarySecret) + " " + url.QueryEscape(canaryAccess) + " " + url.PathEscape(canaryRefresh)

func echoed(format string) []byte {
	quoted, _ := json.Marshal(echo)
	return []byte(strings.ReplaceAll(format, "ECHO", string(quoted)))
}

const pairOf = `"access_token":"` + canaryAccess + `","refresh_token":"` + canaryRefresh + `"`

func TestNoSecretIsEverShown(t *testing.T) {
	for name, fault := range map[string]pbxsim.Fault{
		"none":                  {},
		"failure":               {Body: echoed(`{"errcode":-1,"errmsg":ECHO,"invalid_param_list":[{"field":ECHO,"value":ECHO}]}`)},
		"wrong credentials":     {Body: echoed(`{"errcode":-1,"errmsg":ECHO,"invalid_param_list":[{"field":"username or password","value":ECHO}]}`)},
		"unknown errcode":       {Body: echoed(`{"errcode":12345,"errmsg":ECHO}`)},
		"errcode is text":       {Body: echoed(`{"errcode":ECHO,"errmsg":ECHO}`)},
		"blocked":               {Body: echoed(`{"errcode":70004,"errmsg":ECHO,"block_expire_time":ECHO}`)},
		"success":               {Body: echoed(`{"errcode":0,"errmsg":ECHO}`)},
		"success, more":         {Body: echoed(`{"errcode":0,` + pairOf + `,"errmsg":ECHO,"access_token_expire_time":ECHO}`)},
		"half a pair":           {Body: echoed(`{"errcode":0,"access_token":"` + canaryAccess + `","errmsg":ECHO}`)},
		"in part":               {Body: echoed(`{"errcode":1,` + pairOf + `,"errmsg":ECHO}`)},
		"another family":        {Body: echoed(`{"status":ECHO,"errno":ECHO}`)},
		"another family in XML": {Body: []byte("<xml><status>" + canaryAccess + "</status></xml>")},
		"text":                  {Body: []byte(echo)},
		"web page":              {Body: []byte("<html><title>" + echo + "</title></html>")},
		"HTTP 400":              {Status: 400, Body: []byte(echo)},
		"HTTP 401":              {Status: 401, Body: echoed(`{"errcode":10004,"errmsg":ECHO}`)},
		"HTTP 500":              {Status: 500, Body: []byte(echo)},
		"Retry-After":           {Status: 503, Header: http.Header{"Retry-After": {canaryAccess}}},
		"redirect":              {Status: 302, Header: http.Header{"Location": {"https://pbx.example.com/login?p=" + url.QueryEscape(canarySecret) + "&token=" + url.QueryEscape(canaryAccess)}}},
		"redirect to a path":    {Status: 302, Header: http.Header{"Location": {"/" + url.PathEscape(canaryAccess)}}},
		"redirect to nowhere":   {Status: 302, Header: http.Header{"Location": {"%zz" + canaryAccess}}},
		"half an answer":        {Truncate: true},
		"cut":                   {Drop: pbxsim.DropAfter},
		"silence":               {Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fresh := []string{canaryAccess, canaryRefresh}
				sim := yeastarpsim.New(&yeastarpsim.Options{}, &pbxsim.Options{
					Accounts: map[string]string{sampleID: canarySecret},
					NewToken: func() string { fresh[0], fresh[1] = fresh[1], fresh[0]; return fresh[1] },
				})
				server := pbxsim.ListenMemory(sim)
				defer server.Close()
				exercise(t, server.URL, server.Client().Transport, func() {
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

// exercise opens the driver and uses all of it, arranging for trouble before
// each operation, and looks for the canaries in all that comes out.
func exercise(t *testing.T, address string, client http.RoundTripper, trouble func()) {
	t.Helper()
	x := canaries(t)
	cfg := pbx.Config{URL: address, Username: sampleID, Password: pbx.NewSecret(canarySecret), Transport: client, Logger: x.Logger()}
	driver, err := yeastarp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	call, err := http.NewRequest("GET", address+"/openapi/v1.0/system/information", nil)
	if err != nil {
		t.Fatal(err)
	}
	token := &pbx.Token{Value: pbx.NewSecret(canaryAccess), Refresh: pbx.NewSecret(canaryRefresh)}
	x.Exercise(driver, token, call, trouble)
	for _, v := range []any{cfg, &cfg} {
		x.Print(v)
	}
	x.Scan("/openapi/v1.0/get_token")
}
