// Package exposure is for tests: it collects all that a program could print of a
// driver, and finds the secrets in it that have been planted there.
package exposure

import (
	"bytes"
	"context"
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
	"time"

	"github.com/rs/zerolog"

	"github.com/pbxauth/pbx"
)

// Exposure is what has been shown so far. The zero value is not ready: see New.
type Exposure struct {
	t       testing.TB
	secrets map[string]string // by what they are called
	shown   []string
	log     bytes.Buffer
}

// New returns an Exposure that looks for these secrets, by their names.
func New(t testing.TB, secrets map[string]string) *Exposure {
	return &Exposure{t: t, secrets: secrets}
}

// Logger is the one to give the driver: what it logs is shown.
func (x *Exposure) Logger() zerolog.Logger {
	return zerolog.New(&x.log).Level(zerolog.TraceLevel)
}

// Show shows a text.
func (x *Exposure) Show(text string) { x.shown = append(x.shown, text) }

// Print shows v in every way that a program prints a value.
func (x *Exposure) Print(v any) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		x.Show(fmt.Sprintf(verb, v))
		x.Show(fmt.Sprintf(verb, []any{v, struct{ v any }{v}}))
	}
	if data, err := json.Marshal(v); err == nil {
		x.Show(string(data))
	}
	var log bytes.Buffer
	logger := zerolog.New(&log)
	logger.Info().Interface("v", v).Any("any", v).Msg("")
	slog.New(slog.NewTextHandler(&log, nil)).Info("", "v", v)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("", "v", v)
	x.Show(log.String())
}

// Fail shows err, and all that it is made of.
func (x *Exposure) Fail(err error) {
	if err == nil {
		return
	}
	x.Print(err)
	x.Show(err.Error())
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) {
		for _, inner := range several.Unwrap() {
			x.Fail(inner)
		}
		return
	}
	x.Fail(errors.Unwrap(err))
}

// Driver is an Authenticator with the optional interfaces through which it can
// say something.
type Driver interface {
	pbx.Authenticator
	pbx.Requester
	pbx.Describer
}

// Exercise uses all of a driver, arranging for trouble before each operation,
// and shows all that comes out. call is a request of the application's.
func (x *Exposure) Exercise(driver Driver, token *pbx.Token, call *http.Request, trouble func()) {
	ctx := context.Background()
	trouble()
	got, err := driver.Login(ctx)
	x.Print(got)
	x.Fail(err)
	if got != nil {
		x.Show(string(got.Details))
	}
	trouble()
	got, err = driver.KeepAlive(ctx, token)
	x.Print(got)
	x.Fail(err)

	trouble()
	x.Fail(driver.Authorize(call, token))
	callCtx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if resp, err := driver.Transport().RoundTrip(call.WithContext(callCtx)); err == nil { // its own error is the application's transport's
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		x.Fail(driver.Inspect(resp, body, token))
		x.Fail(driver.Inspect(resp, body[:len(body)/2], token))
	}

	trouble()
	x.Fail(driver.Logout(ctx, token))
	for _, v := range []any{driver, driver.Traits(), token, *token, token.Value} {
		x.Print(v)
	}
}

// Scan fails the test if a secret has been shown, in any spelling, or if there
// is no sign of the path in the log, which then has logged nothing.
func (x *Exposure) Scan(path string) {
	x.t.Helper()
	if !strings.Contains(x.log.String(), path) {
		x.t.Errorf("the log says nothing of %s: %s", path, x.log.String())
	}
	if len(x.shown) < 100 {
		x.t.Errorf("only %d texts were scanned", len(x.shown))
	}
	all := strings.ToLower(strings.Join(x.shown, "\n") + "\n" + x.log.String())
	for name, secret := range x.secrets {
		for _, spelling := range spellings(secret) {
			if at := strings.Index(all, strings.ToLower(spelling)); at >= 0 {
				x.t.Errorf("the %s shows: …%s…", name, all[max(0, at-100):min(len(all), at+len(spelling)+20)])
				break
			}
		}
	}
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

// Through is a RoundTripper that prints as an address, as http.Transport does:
// what a test's own transport holds is not the driver's to hide.
type Through func(*http.Request) (*http.Response, error)

// RoundTrip calls f.
func (f Through) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Quoting is a transport of an application that quotes the request in its
// errors.
type Quoting struct{}

// RoundTrip fails, quoting all of r.
func (Quoting) RoundTrip(r *http.Request) (*http.Response, error) {
	body := []byte("nothing")
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body.Close()
	}
	return nil, fmt.Errorf("proxy: %s %s: %v: %s", r.Method, r.URL, r.Header, body)
}
