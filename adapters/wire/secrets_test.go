package wire_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
	"github.com/pbxauth/pbx/internal/leak"
	"github.com/rs/zerolog"
)

// What must not be seen. newToken is one that the client does not know yet.
const (
	password = `canary/pass"word&ü`
	digest   = "canary0123456789abcdef"
	token    = "canary+token="
	newToken = "zebra-9876543210"
)

// search returns a detector of all of them.
func search() *leak.Detector {
	leaks := new(leak.Detector)
	for name, secret := range map[string]string{"password": password, "digest": digest, "token": token, "new token": newToken} {
		leaks.Plant(name, secret)
	}
	return leaks
}

// report fails the test if something has leaked.
func report(t *testing.T, leaks *leak.Detector) {
	t.Helper()
	for _, found := range leaks.Leaks() {
		t.Error(found)
	}
}

// planted carries the secrets wherever a request can.
func planted() wire.Request {
	return wire.Request{
		Op: pbx.OpLogin, Path: "/api/" + digest + "/login",
		Query:   url.Values{"token": {token}, "password": {password}},
		Header:  http.Header{"Authorization": {"Bearer " + token}, "Cookie": {"session=" + digest}},
		Body:    []byte(`{"password":"` + digest + `"}`),
		Secrets: secrets(password, digest, token),
	}
}

// echo has the secrets that the client knows, as a PBX sends them back.
func echo() string { return search().Echo(password + " " + digest + " " + token) }

// TestNoSecretGetsIntoAnErrorOrALine makes everything go wrong while the
// secrets are all over the request and the answer, and looks in every error and
// every log line.
func TestNoSecretGetsIntoAnErrorOrALine(t *testing.T) {
	head := "HTTP/1.1 500 " + strings.ReplaceAll(echo(), "\n", " ") + "\r\nX-Token: " + newToken + "\r\nRetry-After: " + newToken + "\r\n"
	redirect := func(location string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Location"] = []string{location}
			w.WriteHeader(302)
		}
	}
	closed := serve(t, nil)
	closed.Close()
	untrusted := serveTLS(t, nil)
	quoting := func(wrap func(*http.Request) error) pbx.Config {
		return over("pbx.example.com", func(r *http.Request) (*http.Response, error) { return nil, wrap(r) })
	}
	servers := map[string]http.HandlerFunc{
		"status text":   raw(head + "Content-Length: 0\r\n\r\n"),
		"body":          func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, echo()) },
		"page":          func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>"+echo()) },
		"mirror":        func(w http.ResponseWriter, r *http.Request) { r.Write(w) },
		"not HTTP":      raw(`{"token":"` + newToken + `"}`),
		"bad status":    raw("HTTP/1.1 " + newToken + " OK\r\n\r\n"),
		"bad header":    raw("HTTP/1.1 200 OK\r\nToken " + newToken + "\r\n\r\n"),
		"bad length":    raw("HTTP/1.1 200 OK\r\nContent-Length: " + newToken + "\r\n\r\n"),
		"bad encoding":  raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + newToken + "\r\n\r\n"),
		"bad chunk":     raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + newToken),
		"bad trailer":   raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + newToken + "\r\n\r\n"),
		"bad gzip":      raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 16\r\n\r\n" + newToken),
		"truncated":     raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + newToken),
		"huge":          func(w http.ResponseWriter, r *http.Request) { w.Write(bytes.Repeat([]byte(newToken), 1<<17)) },
		"dropped":       func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirect":      redirect("https://pbx.example/api/login?token=" + newToken),
		"echo redirect": func(w http.ResponseWriter, r *http.Request) { redirect("https://pbx.example"+r.RequestURI)(w, r) },
		"user redirect": redirect("https://" + newToken + ":" + newToken + "@pbx.example/#" + newToken),
		"bad redirect":  redirect("https://[" + newToken),
		"path redirect": redirect("https://pbx.example/" + newToken),
	}
	cases := map[string]pbx.Config{
		"refused":   settings(closed.URL),
		"untrusted": settings(untrusted.URL),
		"plain":     settings("https://" + serve(t, nil).Listener.Addr().String()),
		"quoting":   quoting(func(r *http.Request) error { return fmt.Errorf("%s %s: %s", r.Method, r.URL, r.Header) }),
		"url.Error": quoting(func(r *http.Request) error {
			return &url.Error{Op: "Post", URL: r.URL.String() + newToken, Err: io.EOF}
		}),
		"two of them": quoting(func(r *http.Request) error {
			return &url.Error{Op: "Post", URL: r.URL.String(), Err: &url.Error{URL: newToken, Err: &net.DNSError{Name: "pbx", Err: "none"}}}
		}),
		"wrapped": quoting(func(r *http.Request) error { return fmt.Errorf("%s: %w", r.URL, context.DeadlineExceeded) }),
		"quoting, none": quoting(func(r *http.Request) error {
			httptrace.ContextClientTrace(r.Context()).GetConn("")
			return fmt.Errorf("%v", r)
		}),
	}
	for name, handler := range servers {
		cases[name] = settings(serve(t, handler).URL)
	}

	std := search() // where net/http may write by itself
	log.SetOutput(std)
	defer log.SetOutput(os.Stderr)
	for name, cfg := range cases {
		t.Run(name, func(t *testing.T) {
			leaks := search()
			cfg.Logger = zerolog.New(leaks).Level(zerolog.TraceLevel)
			cfg.Password = pbx.NewSecret(password)
			req, c := planted(), open(t, cfg)
			x, err := c.Do(t.Context(), req)
			leaks.Print("the error", err)
			if err == nil {
				leaks.Print("an unexpected response", x.Unexpected())
				leaks.Print("a failure", x.Fail(nil, string(x.Response.Body), "", string(x.Response.Body)))
				details, _ := json.Marshal(map[string]string{"token": newToken, "note": echo()})
				leaks.Text("Details", string(x.Details(details, "token")))
			}
			if leaks.Logged() == "" {
				t.Error("nothing is logged")
			}
			report(t, leaks)
		})
	}
	report(t, std)
}

// Request.Secrets lists what is neither of these.
func TestWhatARequestCarriesIsHiddenWithoutBeingListed(t *testing.T) {
	secret := map[string]string{
		"query": "zebra-one", "cookie": "giraffe-two", "bearer": "ostrich-three",
		"password": "hunter2", "MD5 of the password": "2ab96390c7dbe3439de74d0c9b0b1767",
		"token": "penguin-four", "refresh token": "walrus-five",
	}
	sent := inspected(t, wire.Request{
		Op: pbx.OpPing, Query: url.Values{"token": {secret["query"]}},
		Header: http.Header{"Cookie": {"a=b; sid=" + secret["cookie"]}, "Authorization": {"Bearer " + secret["bearer"]}},
	}, wire.Response{Status: 200})
	seen := open(t, settings("pbx.example.com")).Inspect(&http.Response{StatusCode: 200}, nil,
		&pbx.Token{Value: pbx.NewSecret(secret["token"]), Refresh: pbx.NewSecret(secret["refresh token"])})
	for x, names := range map[*wire.Exchange][]string{
		sent: {"query", "cookie", "bearer", "password", "MD5 of the password"},
		seen: {"password", "MD5 of the password", "token", "refresh token"},
	} {
		for _, name := range names {
			details, _ := json.Marshal(map[string]string{"echo": secret[name]})
			if got := string(x.Details(details)); got != `{"echo":"[redacted]"}` {
				t.Errorf("%s: the details are %s", name, got)
			}
			if got := x.Clean("is " + secret[name] + "?"); got[0] != pbx.Redacted {
				t.Errorf("%s: the text is %s", name, got)
			}
		}
	}
}

// A refresh may be refused with a new token beside the refusal, and the text around it
// may repeat it. Hide takes it out of both.
func TestANewTokenThatComesWithARefusalIsNotShown(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(403)
		json.NewEncoder(w).Encode(map[string]string{"token": newToken, "code": newToken, "message": "try again with " + search().Echo(newToken)})
	})
	x, err := open(t, settings(s.URL)).Do(t.Context(), wire.Request{Op: pbx.OpKeepAlive})
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Token, Code, Message string }
	if !wire.ReadJSON(x.Response.Body, &got) || got.Token != newToken {
		t.Fatalf("the response is %s", x.Response.Body)
	}
	shown := func() string { return fmt.Sprintf("%+v", *x.Fail(pbx.ErrForbidden, got.Code, "refused", got.Message)) }
	if !strings.Contains(shown(), newToken) {
		t.Fatalf("nothing is to be hidden: %s", shown())
	}
	x.Hide(pbx.NewSecret(got.Token))
	leaks := search()
	leaks.Print("the refusal", x.Fail(pbx.ErrForbidden, got.Code, "refused", got.Message))
	leaks.Text("its details", string(x.Details(x.Response.Body, "token")))
	report(t, leaks)
}

// TestNoSecretOfAVaultGetsIntoAnError: an http.Client's error quotes the URL.
func TestNoSecretOfAVaultGetsIntoAnError(t *testing.T) {
	_, failed := http.Get("http://127.0.0.1:0/v1/secret?token=" + newToken)
	var sealed error
	c := open(t, pbx.Config{URL: "pbx.example.com", Credentials: func(context.Context) (pbx.Credentials, error) {
		return pbx.Credentials{Username: "api", Password: pbx.NewSecret(password)}, sealed
	}})
	if _, err := c.Credentials(t.Context()); err != nil {
		t.Fatal(err)
	}
	sealed = fmt.Errorf("vault: %w", failed)
	_, first := c.Credentials(t.Context())
	_, second := c.Fingerprint(t.Context(), nil)
	for _, err := range []error{first, second} {
		leaks := search()
		leaks.Print("the error", err)
		report(t, leaks)
		if op := (*net.OpError)(nil); !errors.As(err, &op) {
			t.Errorf("%v lost its cause", err)
		}
	}
}

// A vault may give out another password with each login.
func TestWhatAPBXSaysIsShownAfterManyPasswords(t *testing.T) {
	n := 0
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "out of order") })
	c := open(t, pbx.Config{URL: s.URL, Credentials: func(context.Context) (pbx.Credentials, error) {
		n++
		return pbx.Credentials{Username: "api", Password: pbx.NewSecret(strings.Repeat(fmt.Sprintf("%s-%d/", password, n), 50))}, nil
	}})
	for range 100 {
		if _, err := c.Credentials(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	x, err := c.Do(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	if said := x.Fail(pbx.ErrUnavailable, "", "failed", string(x.Response.Body)).Error(); !strings.Contains(said, "out of order") {
		t.Error(said)
	}
}

// TestALogLineSaysWhatWentWhere and nothing more.
func TestALogLineSaysWhatWentWhere(t *testing.T) {
	var lines bytes.Buffer
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	cfg := settings(s.URL)
	cfg.Logger = zerolog.New(&lines)
	if _, err := open(t, cfg).Do(t.Context(), planted()); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, &lines)
	}
	delete(got, "took")
	want := map[string]any{"level": "debug", "driver": "fake", "op": "login", "method": "POST", "host": s.Listener.Addr().String(), "path": "/api/[redacted]/login", "status": 204.0, "message": "response"}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %v, want %v", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("the line has more or less: %v", got)
	}
	lines.Reset()
	cfg.Logger = cfg.Logger.Level(zerolog.InfoLevel)
	if _, err := open(t, cfg).Do(t.Context(), planted()); err != nil || lines.Len() != 0 {
		t.Errorf("%v, logged %s", err, &lines)
	}
}

// Instrumentation puts a trace into the context of a login, and net/http tells it each header.
func TestATraceInTheContextSeesNoHeader(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {})
	headers, wrote := 0, false
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		WroteHeaderField: func(string, []string) { headers++ },
		WroteRequest:     func(httptrace.WroteRequestInfo) { wrote = true },
	})
	for _, ctx := range []context.Context{ctx, httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{})} {
		if _, err := open(t, settings(s.URL)).Do(ctx, planted()); err != nil {
			t.Fatal(err)
		}
	}
	if headers != 0 || !wrote {
		t.Errorf("the trace saw %d headers, and the request as written: %v", headers, wrote)
	}
}

// A driver's author prints what is at hand, and that is the Client.
func TestAClientPrintsNoSecret(t *testing.T) {
	cfg := settings("https://pbx.example.com")
	cfg.Password = pbx.NewSecret(password)
	c := open(t, cfg)
	leaks := search()
	leaks.Print("the Client", c)
	leaks.Print("a driver", struct{ wire *wire.Client }{c})
	report(t, leaks)
}
