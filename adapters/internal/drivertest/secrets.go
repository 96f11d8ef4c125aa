package drivertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/internal/leak"
)

// Echo stands in the body or a header of a [Secrets] response for the planted
// secrets that the request and the response carry, in every spelling of package
// leak.
const Echo = "ECHO"

// Driver is an Authenticator with the optional interfaces that every driver of this
// module has.
type Driver interface {
	pbx.Authenticator
	pbx.Requester
	pbx.Describer
	pbx.Fingerprinter
}

// Secrets plants secrets in a driver and in what its PBX says. Conformance does so
// too, with the responses that the simulator gives. Here are those that it does not
// give, and the driver's own Config.
type Secrets struct {
	// Planted are the secrets by what they are called: the credentials, what is
	// computed of them, the tokens.
	Planted map[string]string

	// Open opens the driver with the planted credentials and these settings, which
	// have the URL, the transport and the logger. settings are what the driver was
	// opened with, to be printed.
	Open func(cfg pbx.Config) (driver Driver, settings []any, err error)

	// Token is what the session holds.
	Token *pbx.Token

	// Request makes a request of the application to the PBX at base.
	Request func(base string) *http.Request

	// Logged is a path that the log must have, or the driver has logged nothing.
	Logged string

	// Responses are the brand's: each is given to every request of every operation.
	Responses map[string]Response

	// First are responses after which a login sends a further request. Each response
	// is also tried as the one to that.
	First []Response

	// SaysNothing means that the driver quotes no words of its PBX. Then all planted
	// secrets are echoed, also those that the driver cannot know yet.
	SaysNothing bool
}

const secretsURL = "https://pbx.example.com"

// anyPBX are responses of any PBX, or of something in front of it.
var anyPBX = map[string]Response{
	"text":                 {Body: Echo},
	"a web page":           {Body: "<html><title>" + Echo + "</title>" + Echo + "</html>"},
	"HTTP 400":             {Status: 400, Body: Echo},
	"HTTP 401":             {Status: 401, Body: Echo},
	"a proxy's HTTP 401":   {Status: 401, Header: http.Header{"Www-Authenticate": {"Basic realm=" + Echo}}, Body: Echo},
	"HTTP 403":             {Status: 403, Body: Echo},
	"HTTP 404":             {Status: 404, Body: "<html>" + Echo},
	"HTTP 407":             {Status: 407, Header: http.Header{"Proxy-Authenticate": {Echo}}, Body: Echo},
	"HTTP 429":             {Status: 429, Header: http.Header{"Retry-After": {Echo}, "Date": {Echo}}, Body: Echo},
	"HTTP 500":             {Status: 500, Body: Echo},
	"HTTP 503":             {Status: 503, Header: http.Header{"Retry-After": {Echo}}},
	"a redirect":           {Status: 302, Header: http.Header{"Location": {"https://other.example.com/login?token=" + Echo}}},
	"a redirect to a path": {Status: 302, Header: http.Header{"Location": {"/" + Echo}}},
	"a bad redirect":       {Status: 302, Header: http.Header{"Location": {"%zz" + Echo}}},
	"a content type":       {Header: http.Header{"Content-Type": {Echo}}, Body: Echo},
}

// Test uses all of the driver, once for each response, and fails if a secret shows
// in an error, a log line, or anything that a program can print.
func (s Secrets) Test(t *testing.T) {
	for name, transport := range s.transports() {
		t.Run(name, func(t *testing.T) {
			for _, problem := range s.problems(t.Context(), transport) {
				t.Error(problem)
			}
		})
	}
}

// transports are the PBXs that the driver is used with, by name. Each repeats one
// secret: in a common text, a driver that finds one of them would hide all.
func (s Secrets) transports() map[string]http.RoundTripper {
	all := map[string]http.RoundTripper{"a transport that quotes": quoting{}}
	for secret := range s.Planted {
		for _, responses := range []map[string]Response{anyPBX, s.Responses} {
			for name, r := range responses {
				all[name+": "+secret] = s.echoing(secret, Responses(r))
				for i, first := range s.First {
					all[fmt.Sprintf("%s, after %d: %s", name, i+1, secret)] = s.echoing(secret, Responses(first, r))
				}
			}
		}
	}
	return all
}

// problems uses all of a driver over a transport, and returns the places where a
// secret shows, and why the search proves nothing if it does not.
func (s Secrets) problems(ctx context.Context, transport http.RoundTripper) []string {
	leaks := new(leak.Detector)
	for name, secret := range s.Planted {
		leaks.Plant(name, secret)
	}
	driver, settings, err := s.Open(pbx.Config{
		URL: secretsURL, Transport: through(transport.RoundTrip), Logger: zerolog.New(log(leaks.Write)).Level(zerolog.TraceLevel),
	})
	if err != nil {
		return []string{"not opened: " + err.Error()}
	}
	printed := func(where string, v any, err error) {
		leaks.Print(where, v)
		leaks.Print(where+"'s error", err)
	}
	token, err := driver.Login(ctx)
	printed("Login", token, err)
	if token != nil {
		leaks.Text("Token.Details", string(token.Details))
	}
	token, err = driver.KeepAlive(ctx, s.Token)
	printed("KeepAlive", token, err)
	if pinger, ok := driver.(pbx.Pinger); ok {
		printed("Ping", nil, pinger.Ping(ctx, s.Token))
	}

	request := s.Request(secretsURL).WithContext(ctx)
	printed("Authorize", nil, driver.Authorize(request, s.Token))
	if resp, err := driver.Transport().RoundTrip(request); err == nil { // its own error is the application's transport's
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		printed("Inspect", nil, driver.Inspect(resp, body, s.Token))
		printed("Inspect of a half", nil, driver.Inspect(resp, body[:len(body)/2], s.Token))
	}
	printed("Logout", nil, driver.Logout(ctx, s.Token))
	for _, v := range append(settings, driver, driver.Traits(), s.Token, *s.Token, s.Token.Value, s.Token.Refresh) {
		leaks.Print("a value", v)
	}

	problems := leaks.Leaks()
	if !strings.Contains(leaks.Logged(), s.Logged) {
		problems = append(problems, fmt.Sprintf("the log says nothing of %s: %s", s.Logged, leaks.Logged()))
	}
	return problems
}

// echoing fills in Echo.
type echoing struct {
	base   http.RoundTripper
	leaks  *leak.Detector // has the secrets to repeat
	always string         // what counts as carried by every exchange
}

func (s Secrets) echoing(secret string, base http.RoundTripper) *echoing {
	e := &echoing{base: base, leaks: new(leak.Detector)}
	e.leaks.Plant(secret, s.Planted[secret])
	if s.SaysNothing {
		e.always = s.Planted[secret]
	}
	return e
}

func (e *echoing) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		sent, _ = io.ReadAll(r.Body)
		r.Body.Close()
		r.Body = io.NopCloser(strings.NewReader(string(sent)))
	}
	resp, err := e.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, _ := io.ReadAll(resp.Body) // it is in memory
	exchange := fmt.Sprint(r.URL, r.Header, string(sent), resp.Header, string(body))
	echo := e.leaks.Echo(exchange + " " + e.always)
	quoted, _ := json.Marshal(echo) // a string always marshals
	text := strings.ReplaceAll(string(body), Echo, string(quoted[1:len(quoted)-1]))
	resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	for _, values := range resp.Header {
		for i := range values {
			values[i] = strings.ReplaceAll(values[i], Echo, echo)
		}
	}
	return resp, nil
}

// What a test's own transport and log hold is not the driver's to hide: these print
// as an address.

type through func(*http.Request) (*http.Response, error)

func (f through) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type log func([]byte) (int, error)

func (f log) Write(line []byte) (int, error) { return f(line) }

// quoting is a transport of an application that quotes the request in its errors.
type quoting struct{}

func (quoting) RoundTrip(r *http.Request) (*http.Response, error) {
	body := []byte("nothing")
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body.Close()
	}
	return nil, fmt.Errorf("proxy: %s %s: %v: %s", r.Method, r.URL, r.Header, body)
}
