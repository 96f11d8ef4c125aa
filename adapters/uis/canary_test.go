package uis_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/exposure"
	"github.com/pbxauth/pbx/adapters/internal/scripted"
	"github.com/pbxauth/pbx/adapters/uis"
)

// Secrets that are found again wherever they show up. They have what JSON and
// URLs spell differently. A key has not: it is one that no setting would refuse.
const (
	canaryPassword = `canary"päss\word &+%/?`
	canaryToken    = `c0ffee5e"<\>&ba57face`
	canaryKey      = `k3y.canary/+=~<&>"\Z`
)

// The document says that an error's value gives back what was sent. Everything
// else may do so too.
func TestNoSecretIsEverShown(t *testing.T) {
	quoted, _ := json.Marshal(canaryToken)
	for name, given := range map[string]scripted.Response{
		"success":         {Body: `{"result":{"data":{"access_token":` + string(quoted) + `,"success":true,"expire_at":"ECHO"}}}`},
		"success, more":   {Body: `{"result":{"data":{"access_token":` + string(quoted) + `},"metadata":{"x":"ECHO","ECHO":["ECHO"]}}}`},
		"no token":        {Body: `{"result":{"data":{"access_token":"","x":"ECHO"}}}`},
		"a wrong login":   {Body: `{"error":{"code":-32001,"message":"ECHO","data":{"mnemonic":"auth_error","field":"password","value":"ECHO"}}}`},
		"a dead token":    {Body: `{"error":{"code":-32001,"message":"ECHO","data":{"mnemonic":"access_token_invalid","field":"access_token","value":"ECHO","params":{"object":"ECHO"}}}}`},
		"a wrong field":   {Body: `{"error":{"code":-32602,"message":"ECHO","data":{"mnemonic":"data_type_error","field":"ECHO","value":"ECHO"}}}`},
		"an unknown code": {Body: `{"error":{"code":-1,"message":"ECHO","data":{"mnemonic":"ECHO","field":"ECHO"}}}`},
		"a code of text":  {Body: `{"error":{"code":"ECHO","message":"ECHO"}}`},
		"an error text":   {Body: `{"error":"ECHO"}`},
		"text":            {Body: "ECHO"},
		"a web page":      {Body: "<html><title>ECHO</title></html>"},
		"HTTP 401":        {Status: 401, Header: http.Header{"Www-Authenticate": {"ECHO"}}, Body: "ECHO"},
		"HTTP 403":        {Status: 403, Body: "ECHO"},
		"HTTP 404":        {Status: 404, Body: "<html>ECHO"},
		"HTTP 500":        {Status: 500, Body: "ECHO"},
		"Retry-After":     {Status: 503, Header: http.Header{"Retry-After": {"ECHO"}}},
		"a redirect":      {Status: 302, Header: http.Header{"Location": {"https://pbx.example.com/ECHO"}}},
	} {
		t.Run(name, func(t *testing.T) {
			exercise(t, scripted.New(given), false)
			exercise(t, scripted.New(given), true)
		})
	}
}

// A transport of the application's own may quote the request in its errors.
func TestNoSecretIsShownByATransportThatQuotes(t *testing.T) {
	exercise(t, exposure.Quoting{}, false)
	exercise(t, exposure.Quoting{}, true)
}

// exercise opens the driver, uses all of it, and looks for secrets in all that
// comes out.
func exercise(t *testing.T, rt http.RoundTripper, keyed bool) {
	t.Helper()
	x := exposure.New(t, map[string]string{"password": canaryPassword, "token": canaryToken, "key": canaryKey})
	cfg := uis.Config{
		Config: pbx.Config{
			URL: "https://callapi.uiscom.ru", Username: user, Password: pbx.NewSecret(canaryPassword),
			Transport: exposure.Through(rt.RoundTrip), Logger: x.Logger(),
		},
		PingMethod: "list.calls",
	}
	token := &pbx.Token{Value: pbx.NewSecret(canaryToken)}
	if keyed {
		cfg.Username, cfg.Password, cfg.Key = "", pbx.Secret{}, pbx.NewSecret(canaryKey)
		token.Value = cfg.Key
	}
	driver, err := uis.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	call, err := http.NewRequest("POST", "https://callapi.uiscom.ru/v4.0", strings.NewReader(listCalls))
	if err != nil {
		t.Fatal(err)
	}
	x.Exercise(driver, token, call, func() {})
	x.Fail(driver.Ping(t.Context(), token))
	for _, v := range []any{cfg, &cfg, cfg.Config, &cfg.Config} {
		x.Print(v)
	}
	x.Scan("/v4.0")
}
