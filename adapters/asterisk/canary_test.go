package asterisk_test

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
	"github.com/pbxauth/pbx/adapters/asterisk"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Secrets that are found again wherever they show up. The password has what
// forms and URLs spell differently.
const (
	canaryPassword = `canary"päss\word &+%/?`
	canaryID       = "c0ffee5eba57face" // longer than a real one, to be found for certain
)

// canaryKey is the digest of a login by the challenge of the tests.
var canaryKey = fmt.Sprintf("%x", md5.Sum([]byte("325310457"+canaryPassword)))

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
	for name, secret := range map[string]string{"password": canaryPassword, "key": canaryKey, "session's id": canaryID} {
		for _, spelling := range spellings(secret) {
			if at := strings.Index(all, strings.ToLower(spelling)); at >= 0 {
				x.t.Errorf("the %s shows: …%s…", name, all[max(0, at-100):min(len(all), at+len(spelling)+20)])
				break
			}
		}
	}
}

// echo stands in an answer for all that its request carried, as it came and in
// capitals.
const echo = "ECHO"

// echoing fills in the echo.
type echoing struct{ http.RoundTripper }

func (e echoing) RoundTrip(r *http.Request) (*http.Response, error) {
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(sent))
	plain, _ := url.QueryUnescape(string(sent))
	carried := plain + " " + string(sent) + " " + r.Header.Get("Cookie")
	resp, err := e.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(strings.NewReader(strings.ReplaceAll(string(body), echo, carried+" "+strings.ToUpper(carried))))
	resp.ContentLength = -1
	return resp, err
}

const canaryCookie = `mansession_id="` + canaryID + `"; Version=1; Max-Age=60`

func TestNoSecretIsEverShown(t *testing.T) {
	for name, given := range map[string]answer{
		"success":           {body: "Response: Success\r\nChallenge: 325310457\r\nPing: Pong\r\nMessage: Authentication accepted\r\n\r\n"},
		"success, more":     {body: "Response: Success\r\nChallenge: 325310457\r\nPing: Pong\r\nMessage: Authentication accepted\r\nX: " + echo + "\r\n\r\n"},
		"error":             {body: refused(echo)},
		"known error":       {body: "Response: Error\r\nMessage: Authentication failed\r\nX: " + echo + "\r\n\r\n"},
		"permission denied": {body: "Response: Error\r\nActionID: " + echo + "\r\nMessage: Permission denied\r\n\r\n"},
		"response":          {body: "Response: " + echo + "\r\n\r\n"},
		"text":              {body: echo},
		"web page":          {body: "<html><title>" + echo + "</title></html>"},
		"HTTP 400":          {body: echo, status: 400},
		"HTTP 401":          {body: refused(echo), status: 401},
		"HTTP 403":          {body: echo, status: 403},
		"HTTP 404":          {body: "<html>" + echo, status: 404},
		"HTTP 500":          {body: echo, status: 500},
		"HTTP 503":          {body: refused(echo), status: 503},
	} {
		t.Run(name, func(t *testing.T) {
			if given.cookie == "" {
				given.cookie = canaryCookie
			}
			x := &exposure{t: t}
			x.exercise("https://pbx.example.com", echoing{&answering{answers: []answer{given}}})
			// The login's second step is reached only with a good first one.
			x.exercise("https://pbx.example.com", echoing{&answering{answers: []answer{{body: challenged, cookie: canaryCookie}, given}}})
			x.scan()
		})
	}
}

func TestNoSecretIsShownByABrokenLine(t *testing.T) {
	for name, fault := range map[string]pbxsim.Fault{
		"redirect":           {Status: 302, Header: http.Header{"Location": {"https://pbx.example.com/" + canaryID + "?p=" + url.QueryEscape(canaryPassword)}}},
		"redirect elsewhere": {Status: 302, Header: http.Header{"Location": {"%zz" + canaryID}}},
		"half an answer":     {Truncate: true},
		"cut":                {Drop: pbxsim.DropAfter},
		"silence":            {Hang: true},
		"Retry-After":        {Status: 503, Header: http.Header{"Retry-After": {canaryID}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := &exposure{t: t}
				sim := asterisksim.New(&pbxsim.Options{Accounts: map[string]string{user: canaryPassword}, NewToken: func() string { return canaryID }})
				server := pbxsim.ListenMemory(sim)
				defer server.Close()
				for _, on := range []pbxsim.Action{asterisksim.Challenge, pbxsim.Login, pbxsim.KeepAlive, pbxsim.Call, pbxsim.Logout} {
					fault.On = on
					sim.Fault(fault)
				}
				x.exercise(server.URL, server.Client().Transport)
				x.exercise(server.URL, server.Client().Transport) // now past the challenge
				x.scan()
			})
		})
	}
}

// A transport of the application's own may quote the request in its errors.
func TestNoSecretIsShownByATransportThatQuotes(t *testing.T) {
	x := &exposure{t: t}
	x.exercise("https://pbx.example.com", quoting{})
	x.scan()
}

type quoting struct{}

func (quoting) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	r.Body.Close()
	return nil, fmt.Errorf("proxy: %s %s: %v: %s", r.Method, r.URL, r.Header, body)
}

// exercise opens the driver and uses all of it, and shows all that comes out.
func (x *exposure) exercise(address string, rt http.RoundTripper) {
	var log bytes.Buffer
	cfg := asterisk.Config{Config: pbx.Config{
		URL: address, Username: user, Password: pbx.NewSecret(canaryPassword),
		HTTPClient: &http.Client{Transport: rt}, Logger: zerolog.New(&log).Level(zerolog.TraceLevel),
	}}
	driver, err := asterisk.New(cfg)
	if err != nil {
		x.t.Fatal(err)
	}
	token := &pbx.Token{Value: pbx.NewSecret(canaryID)}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	got, err := driver.Login(ctx)
	x.print(got)
	x.fail(err)
	got, err = driver.KeepAlive(ctx, token)
	x.print(got)
	x.fail(err)

	call, err := http.NewRequestWithContext(ctx, "POST", address+"/rawman", strings.NewReader("Action=ListCommands"))
	if err != nil {
		x.t.Fatal(err)
	}
	call.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	x.fail(driver.Authorize(call, token))
	if resp, err := driver.RoundTrip(call); err == nil { // its own error is the application's transport's
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		x.fail(driver.Inspect(resp, body))
		x.fail(driver.Inspect(resp, body[:len(body)/2]))
	}
	x.fail(driver.Logout(ctx, token))

	for _, v := range []any{cfg, &cfg, cfg.Config, &cfg.Config, driver, driver.Traits(), token, *token, token.Value} {
		x.print(v)
	}
	x.show(log.String())
	if !strings.Contains(log.String(), "/rawman") {
		x.t.Errorf("the log says nothing of the login: %s", log.String())
	}
}
