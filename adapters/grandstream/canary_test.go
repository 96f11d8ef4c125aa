package grandstream_test

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/grandstream"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/internal/exposure"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Secrets that are found again wherever they show up. They have what JSON and
// URLs spell differently.
const (
	canaryPassword = `canary"päss\word &+%/?`
	canaryCookie   = `sidc0ffee5e"<\>&ba57face`
)

// canaryDigest is that of a login by the challenge of the tests.
var canaryDigest = fmt.Sprintf("%x", md5.Sum([]byte(sample+canaryPassword)))

// echo stands in an answer for all that its request carried, as it came, as it
// reads, and in capitals.
const echo = "ECHO"

// echoing fills in the echo, as the inside of a JSON string.
type echoing struct{ http.RoundTripper }

func (e echoing) RoundTrip(r *http.Request) (*http.Response, error) {
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(sent))
	var envelope struct{ Request map[string]string }
	json.Unmarshal(sent, &envelope)
	carried := fmt.Sprint(string(sent), envelope.Request)
	quoted, _ := json.Marshal(carried + strings.ToUpper(carried))
	resp, err := e.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(strings.NewReader(strings.ReplaceAll(string(body), echo, string(quoted[1:len(quoted)-1]))))
	resp.ContentLength = -1
	return resp, err
}

func TestNoSecretIsEverShown(t *testing.T) {
	quoted, _ := json.Marshal(canaryCookie)
	good := `{"response":{"challenge":"` + sample + `","cookie":` + string(quoted) + `},"status":0}`
	for name, given := range map[string]answer{
		"success":        {body: good},
		"success, more":  {body: `{"response":{"challenge":"` + sample + `","cookie":` + string(quoted) + `,"x":"ECHO"},"status":0,"msg":"ECHO"}`},
		"no cookie":      {body: `{"response":{"challenge":"` + sample + `","error_msg":"ECHO"},"status":0}`},
		"known status":   {body: `{"response":{"error_msg":"ECHO"},"status":-37}`},
		"unknown status": {body: `{"response":{"error_msg":"ECHO"},"status":-9}`},
		"a text for one": {body: `{"response":{},"status":"ECHO"}`},
		"a dead cookie":  {body: `{"response":{"error_msg":"ECHO"},"status":-6}`},
		"text":           {body: echo},
		"web page":       {body: "<html><title>ECHO</title></html>"},
		"HTTP 400":       {body: echo, status: 400},
		"HTTP 401":       {body: `{"response":{"error_msg":"ECHO"},"status":-5}`, status: 401},
		"HTTP 403":       {body: echo, status: 403},
		"HTTP 404":       {body: "<html>ECHO", status: 404},
		"HTTP 500":       {body: echo, status: 500},
	} {
		t.Run(name, func(t *testing.T) {
			exercise(t, "https://pbx.example.com", echoing{&answering{answers: []answer{given}}})
			// The login's second step is reached only with a good first one.
			exercise(t, "https://pbx.example.com", echoing{&answering{answers: []answer{{body: challenged}, given}}})
		})
	}
}

func TestNoSecretIsShownByABrokenLine(t *testing.T) {
	for name, fault := range map[string]pbxsim.Fault{
		"redirect":           {Status: 302, Header: http.Header{"Location": {"https://pbx.example.com/" + url.PathEscape(canaryCookie) + "?p=" + url.QueryEscape(canaryPassword)}}},
		"redirect elsewhere": {Status: 302, Header: http.Header{"Location": {"%zz" + canaryDigest}}},
		"half an answer":     {Truncate: true},
		"cut":                {Drop: pbxsim.DropAfter},
		"silence":            {Hang: true},
		"Retry-After":        {Status: 503, Header: http.Header{"Retry-After": {canaryDigest}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := grandstreamsim.New(nil, &pbxsim.Options{Accounts: map[string]string{user: canaryPassword}, NewToken: func() string { return canaryCookie }})
				server := pbxsim.ListenMemory(sim)
				defer server.Close()
				for _, on := range []pbxsim.Action{grandstreamsim.Challenge, pbxsim.Login, pbxsim.KeepAlive, pbxsim.AppRequest, pbxsim.Logout} {
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
	x := exposure.New(t, map[string]string{"password": canaryPassword, "digest": canaryDigest, "cookie": canaryCookie})
	cfg := grandstream.Config{Config: pbx.Config{
		URL: address, Username: user, Password: pbx.NewSecret(canaryPassword),
		Transport: exposure.Through(rt.RoundTrip), Logger: x.Logger(),
	}}
	driver, err := grandstream.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	token := &pbx.Token{Value: pbx.NewSecret(canaryCookie)}
	call, err := http.NewRequest("POST", address+"/api", strings.NewReader(harmless))
	if err != nil {
		t.Fatal(err)
	}
	call.Header.Set("Content-Type", "application/json")
	x.Exercise(driver, token, call, func() {})
	for _, v := range []any{cfg, &cfg, cfg.Config, &cfg.Config} {
		x.Print(v)
	}
	x.Scan("/api")
}
