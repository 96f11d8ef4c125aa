package asterisk_test

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/adapters/internal/exposure"
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
			exercise(t, "https://pbx.example.com", echoing{&answering{answers: []answer{given}}})
			// The login's second step is reached only with a good first one.
			exercise(t, "https://pbx.example.com", echoing{&answering{answers: []answer{{body: challenged, cookie: canaryCookie}, given}}})
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
				sim := asterisksim.New(nil, &pbxsim.Options{Accounts: map[string]string{user: canaryPassword}, NewToken: func() string { return canaryID }})
				server := pbxsim.ListenMemory(sim)
				defer server.Close()
				for _, on := range []pbxsim.Action{asterisksim.Challenge, pbxsim.Login, pbxsim.KeepAlive, pbxsim.AppRequest, pbxsim.Logout} {
					fault.On = on
					sim.Fault(fault)
				}
				exercise(t, server.URL, server.Client().Transport)
				exercise(t, server.URL, server.Client().Transport) // now past the challenge
			})
		})
	}
}

// A transport of the application's own may quote the request in its errors.
func TestNoSecretIsShownByATransportThatQuotes(t *testing.T) {
	exercise(t, "https://pbx.example.com", quoting{})
}

type quoting struct{}

func (quoting) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	r.Body.Close()
	return nil, fmt.Errorf("proxy: %s %s: %v: %s", r.Method, r.URL, r.Header, body)
}

// exercise opens the driver, uses all of it, and looks for secrets in all that
// comes out.
func exercise(t *testing.T, address string, rt http.RoundTripper) {
	t.Helper()
	x := exposure.New(t, map[string]string{"password": canaryPassword, "key": canaryKey, "session's id": canaryID})
	cfg := asterisk.Config{Config: pbx.Config{
		URL: address, Username: user, Password: pbx.NewSecret(canaryPassword),
		Transport: exposure.Through(rt.RoundTrip), Logger: x.Logger(),
	}}
	driver, err := asterisk.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	token := &pbx.Token{Value: pbx.NewSecret(canaryID)}
	call, err := http.NewRequest("POST", address+"/rawman", strings.NewReader("Action=ListCommands"))
	if err != nil {
		t.Fatal(err)
	}
	call.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	x.Exercise(driver, token, call, func() {})
	for _, v := range []any{cfg, &cfg, cfg.Config, &cfg.Config} {
		x.Print(v)
	}
	x.Scan("/rawman")
}
