package mikopbx_test

import (
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/exposure"
	"github.com/pbxauth/pbx/adapters/internal/scripted"
	"github.com/pbxauth/pbx/adapters/mikopbx"
)

// Secrets that are found again wherever they show up. They have what JSON and URLs
// spell differently, but no <, which the driver would refuse in a password.
const (
	canaryPassword = `canary"päss\word &+%/?`
	canaryToken    = `eyJc0ffee.5e/+=~&>"ba57.face`
	canaryCookie   = `c00k1e-0f-%3Dc4nary==`
	canaryKey      = `k3y.c4nary/+=~&>"Z`
)

func TestNoSecretIsEverShown(t *testing.T) {
	issued := `{"result":true,"data":{"accessToken":"eyJc0ffee.5e\/+=~\u0026>\"ba57.face","expiresIn":900,"login":"admin"}}`
	set := http.Header{"Set-Cookie": {"refreshToken=" + canaryCookie + "; path=/"}}
	for name, given := range map[string]scripted.Response{
		"success":         {Header: set, Body: issued},
		"success, more":   {Header: set, Body: `{"result":true,"data":{"accessToken":"eyJc0ffee.5e\/+=~\u0026>\"ba57.face","expiresIn":"ECHO","login":"ECHO","ECHO":["ECHO",{"x":"` + canaryCookie + `"}]},"messages":["ECHO"]}`},
		"no token":        {Header: set, Body: `{"result":true,"data":{"accessToken":"","x":"ECHO"}}`},
		"a token of two":  {Header: set, Body: `{"result":true,"data":{"accessToken":"a b ECHO"}}`},
		"HTTP 400":        {Status: 400, Body: `{"result":false,"messages":{"error":["ECHO"]}}`},
		"HTTP 401":        {Status: 401, Body: `{"result":false,"messages":{"error":["ECHO"]}}`},
		"HTTP 403":        {Status: 403, Body: `{"result":false,"messages":{"error":["ECHO"]}}`},
		"HTTP 409":        {Status: 409, Body: `{"result":false,"messages":{"error":["ECHO"]}}`},
		"HTTP 429":        {Status: 429, Header: http.Header{"Date": {"ECHO"}}, Body: `{"result":false,"messages":{"error":["ECHO"]}}`},
		"nginx":           {Status: 403, Body: "The user isn't authenticated. ECHO"},
		"text":            {Body: "ECHO"},
		"a web page":      {Body: "<html><title>ECHO</title></html>"},
		"a proxy's 401":   {Status: 401, Header: http.Header{"Www-Authenticate": {"ECHO"}}, Body: "ECHO"},
		"HTTP 404":        {Status: 404, Body: "<html>ECHO"},
		"HTTP 500":        {Status: 500, Body: "ECHO"},
		"Retry-After":     {Status: 503, Header: http.Header{"Retry-After": {"ECHO"}}},
		"a redirect":      {Status: 302, Header: http.Header{"Location": {"https://pbx.example.com/ECHO"}}},
		"an empty cookie": {Header: http.Header{"Set-Cookie": {"refreshToken=; ECHO"}}, Body: issued},
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
	x := exposure.New(t, map[string]string{"password": canaryPassword, "token": canaryToken, "refresh token": canaryCookie, "key": canaryKey})
	cfg := mikopbx.Config{Config: pbx.Config{
		URL: "https://pbx.example.com", Username: user, Password: pbx.NewSecret(canaryPassword),
		Transport: exposure.Through(rt.RoundTrip), Logger: x.Logger(),
	}}
	token := &pbx.Token{Value: pbx.NewSecret(canaryToken), Refresh: pbx.NewSecret(canaryCookie)}
	if keyed {
		cfg.Username, cfg.Password, cfg.Key = "", pbx.Secret{}, pbx.NewSecret(canaryKey)
		token = &pbx.Token{Value: cfg.Key}
	}
	driver, err := mikopbx.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	call, err := http.NewRequest("GET", "https://pbx.example.com/pbxcore/api/v3/extensions", nil)
	if err != nil {
		t.Fatal(err)
	}
	x.Exercise(driver, token, call, func() {})
	x.Fail(driver.Ping(t.Context(), token))
	for _, v := range []any{cfg, &cfg, cfg.Config, &cfg.Config} {
		x.Print(v)
	}
	x.Scan("/pbxcore/api/v3")
}
