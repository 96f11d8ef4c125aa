package yeastar_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/pbxauth/pbx"
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

// exposure collects all that a program could print, and finds secrets in it.
type exposure struct {
	t     *testing.T
	shown []string
}

func (x *exposure) show(text string) { x.shown = append(x.shown, text) }

// print shows v in every way that a program prints a value.
func (x *exposure) print(v any) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		x.show(fmt.Sprintf(verb, v))
		x.show(fmt.Sprintf(verb, []any{v, struct{ v any }{v}}))
	}
	if data, err := json.Marshal(v); err == nil {
		x.show(string(data))
	}
	var log bytes.Buffer
	logger := zerolog.New(&log)
	logger.Info().Interface("v", v).Any("any", v).Msg("")
	slog.New(slog.NewTextHandler(&log, nil)).Info("", "v", v)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("", "v", v)
	x.show(log.String())
}

// fail shows err, and all that it is made of.
func (x *exposure) fail(err error) {
	if err == nil {
		return
	}
	x.print(err)
	x.show(err.Error())
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) {
		for _, inner := range several.Unwrap() {
			x.fail(inner)
		}
		return
	}
	x.fail(errors.Unwrap(err))
}

// spellings are the ways in which a secret may show.
func spellings(secret string) []string {
	quoted, _ := json.Marshal(secret)
	return []string{
		secret, string(quoted[1 : len(quoted)-1]), fmt.Sprintf("%q", secret),
		url.QueryEscape(secret), url.PathEscape(secret),
		fmt.Sprintf("%x", secret), base64.StdEncoding.EncodeToString([]byte(secret)),
	}
}

func (x *exposure) scan() {
	x.t.Helper()
	all := strings.ToLower(strings.Join(x.shown, "\n"))
	if len(x.shown) < 100 {
		x.t.Errorf("only %d texts were scanned", len(x.shown))
	}
	for name, secret := range map[string]string{"password": canaryPassword, "digest": canaryDigest, "token": canaryToken} {
		for _, spelling := range spellings(secret) {
			if at := strings.Index(all, strings.ToLower(spelling)); at >= 0 {
				x.t.Errorf("the %s shows: …%s…", name, all[max(0, at-100):min(len(all), at+len(spelling)+20)])
				break
			}
		}
	}
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
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := &exposure{t: t}
				sim := pbxsim.New(yeastarsim.Dialect{}, &pbxsim.Options{
					Accounts: map[string]string{sampleUser: canaryPassword},
					NewToken: func() string { return canaryToken },
				})
				server := pbxsim.ListenMemory(sim)
				defer server.Close()
				x.exercise(server.URL, server.Client(), func() {
					if fault.Status != 0 || fault.Body != nil || fault.Truncate || fault.Drop != 0 || fault.Hang {
						sim.Fault(fault)
					}
				})
				x.scan()
				if requests := sim.Counts().Requests; requests < 4 {
					t.Errorf("%d requests, want all operations", requests)
				}
			})
		})
	}
}

// A transport of the application's own may quote the request in its errors.
func TestNoSecretIsShownByATransportThatQuotes(t *testing.T) {
	x := &exposure{t: t}
	x.exercise("https://pbx.example.com", &http.Client{Transport: quoting{}}, func() {})
	x.scan()
}

type quoting struct{}

func (quoting) RoundTrip(r *http.Request) (*http.Response, error) {
	body := []byte("nothing")
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body.Close()
	}
	return nil, fmt.Errorf("proxy: %s %s: %v: %s", r.Method, r.URL, r.Header, body)
}

// exercise opens the driver and uses all of it, arranging for trouble before
// each operation, and shows all that comes out.
func (x *exposure) exercise(address string, client *http.Client, trouble func()) {
	var log bytes.Buffer
	cfg := yeastar.Config{Config: pbx.Config{
		URL: address, Username: sampleUser, Password: pbx.NewSecret(canaryPassword),
		HTTPClient: client, Logger: zerolog.New(&log).Level(zerolog.TraceLevel),
	}}
	driver, err := yeastar.New(cfg)
	if err != nil {
		x.t.Fatal(err)
	}
	token := &pbx.Token{Value: pbx.NewSecret(canaryToken)}
	ctx := context.Background()

	trouble()
	got, err := driver.Login(ctx)
	x.print(got)
	x.fail(err)
	if got != nil {
		x.show(string(got.Details))
	}
	trouble()
	got, err = driver.KeepAlive(ctx, token)
	x.print(got)
	x.fail(err)

	trouble()
	call, err := http.NewRequest("POST", address+"/api/v1.1.0/deviceinfo/query", nil)
	if err != nil {
		x.t.Fatal(err)
	}
	x.fail(driver.Authorize(call, token))
	callCtx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if resp, err := driver.RoundTrip(call.WithContext(callCtx)); err == nil { // its own error is the application's transport's
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		x.fail(driver.Inspect(resp, body))
		x.fail(driver.Inspect(resp, body[:len(body)/2]))
	}

	trouble()
	x.fail(driver.Logout(ctx, token))

	for _, v := range []any{cfg, &cfg, cfg.Config, &cfg.Config, driver, driver.Traits(), token, *token, token.Value} {
		x.print(v)
	}
	x.show(log.String())
	if !strings.Contains(log.String(), "/api/v1.1.0/login") {
		x.t.Errorf("the log says nothing of the login: %s", log.String())
	}
}
