package starface_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/exposure"
	"github.com/pbxauth/pbx/adapters/internal/scripted"
	"github.com/pbxauth/pbx/adapters/starface"
)

// Secrets that are found again wherever they show up. They have what JSON and
// URLs spell differently.
const (
	canaryPassword = `canary"päss\word &+%/?`
	canaryToken    = `c0ffee5e<\>&ba57face`
)

func TestNoSecretIsEverShown(t *testing.T) {
	quoted, _ := json.Marshal(canaryToken)
	issued := `{"token":` + string(quoted) + `}`
	directory := strings.Replace(template, "Internal", "ActiveDirectory", 1)
	for name, given := range map[string]scripted.Response{
		"success":         {Body: issued},
		"success, more":   {Body: `{"token":` + string(quoted) + `,"message":"ECHO"}`},
		"no token":        {Body: `{"token":"","message":"ECHO"}`},
		"a token of two":  {Body: `{"token":"a b ECHO"}`},
		"wrong":           {Status: 400, Body: `{"message":"ECHO"}`},
		"wrong, in text":  {Status: 400, Header: http.Header{"Content-Type": {"text/plain"}}, Body: "ECHO"},
		"401":             {Status: 401, Body: `{"message":"ECHO"}`},
		"401 of a proxy":  {Status: 401, Header: http.Header{"Www-Authenticate": {"ECHO"}}, Body: "ECHO"},
		"403":             {Status: 403, Body: `{"message":"ECHO"}`},
		"404":             {Status: 404, Body: `{"message":"ECHO"}`},
		"500":             {Status: 500, Body: `{"message":"ECHO"}`},
		"a web page":      {Body: "<html><title>ECHO</title></html>"},
		"an unknown type": {Body: `{"loginType":"ECHO","nonce":"x"}`},
		"text":            {Body: "ECHO"},
		"Retry-After":     {Status: 503, Header: http.Header{"Retry-After": {"ECHO"}}},
		"a redirect":      {Status: 302, Header: http.Header{"Location": {"https://pbx.example.com/ECHO"}}},
	} {
		t.Run(name, func(t *testing.T) {
			exercise(t, scripted.New(given))
			exercise(t, scripted.New(scripted.Response{Body: template}, given))
			exercise(t, scripted.New(scripted.Response{Body: directory}, given))
		})
	}
}

// A transport of the application's own may quote the request in its errors.
func TestNoSecretIsShownByATransportThatQuotes(t *testing.T) {
	exercise(t, exposure.Quoting{})
}

// exercise opens the driver, uses all of it, and looks for secrets in all that
// comes out.
func exercise(t *testing.T, rt http.RoundTripper) {
	t.Helper()
	x := exposure.New(t, map[string]string{
		"password": canaryPassword, "token": canaryToken,
		"digest":         sha(user + nonce + sha(canaryPassword)),
		"encoded secret": base64.StdEncoding.EncodeToString([]byte(user + nonce + canaryPassword)),
	})
	cfg := pbx.Config{
		URL: "https://pbx.example.com", Username: user, Password: pbx.NewSecret(canaryPassword),
		Transport: exposure.Through(rt.RoundTrip), Logger: x.Logger(),
	}
	driver, err := starface.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	token := &pbx.Token{Value: pbx.NewSecret(canaryToken)}
	call, err := http.NewRequest("GET", "https://pbx.example.com/rest/users", nil)
	if err != nil {
		t.Fatal(err)
	}
	x.Exercise(driver, token, call, func() {})
	x.Fail(driver.Ping(t.Context(), token))
	for _, v := range []any{cfg, &cfg} {
		x.Print(v)
	}
	x.Scan("/rest/login")
}
