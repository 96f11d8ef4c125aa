package wire_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

func TestARequestArrivesAsItWasMade(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s from %s", r.Method, r.RequestURI, r.Header.Get("X-Brand"), body, r.RemoteAddr)
	})
	resp, err := open(t, settings(s.URL+"/tenant 7/api/x")).Do(t.Context(), wire.Request{
		Op: pbx.OpRequest, Method: http.MethodPut, Path: "/api/call", Query: url.Values{"token": {"a&b c"}}, Header: http.Header{"X-Brand": {"y"}}, Body: []byte("{}"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := resp.LocalAddr.(*net.TCPAddr); !ok {
		t.Fatalf("LocalAddr is %v", resp.LocalAddr)
	}
	if want := "PUT /tenant%207/api/call?token=a%26b+c y {} from " + resp.LocalAddr.String(); string(resp.Body) != want || resp.Status != 200 {
		t.Errorf("%d %s, want %s", resp.Status, resp.Body, want)
	}
}

func TestAnAnswerIsReadUpToABound(t *testing.T) {
	for size, ok := range map[int]bool{0: true, wire.MaxBody: true, wire.MaxBody + 1: false, 8 * wire.MaxBody: false} {
		for _, zipped := range []bool{false, true} {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body := bytes.Repeat([]byte("x"), size)
				if !zipped {
					w.Write(body)
					return
				}
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				z.Write(body)
				z.Close()
			})
			resp, err := open(t, settings(s.URL)).Do(t.Context(), login)
			if !ok {
				wantFailure(t, err, pbx.ErrProtocol, true, "larger than 1024 KiB")
			} else if err != nil || len(resp.Body) != size {
				t.Errorf("%d bytes, zipped %v: %v", size, zipped, err)
			}
		}
	}
}

func TestAnAnswerThatIsNotTheBrandsIsExplained(t *testing.T) {
	const page, empty, alien = "the answer is a web page", "the answer is empty", "the answer is not what this driver's PBX sends"
	for _, test := range []struct {
		op     pbx.Op
		status int
		body   string
		kind   error
		want   []string
	}{
		{pbx.OpLogin, 200, `["canary"]`, pbx.ErrProtocol, []string{alien}},
		{pbx.OpLogin, 200, "", pbx.ErrProtocol, []string{alien, empty}},
		{pbx.OpLogin, 200, "\n <!DOCTYPE HTML><html>canary", pbx.ErrProtocol, []string{alien, page}},
		{pbx.OpLogin, 200, "<HTML>canary", pbx.ErrProtocol, []string{alien, page}},
		{pbx.OpLogin, 200, "<?xml version='1.0'?><!-- x --><html><head>canary", pbx.ErrProtocol, []string{alien, page}},
		{pbx.OpLogin, 404, "<html>canary", pbx.ErrProtocol, []string{"HTTP status 404", page}},
		{pbx.OpLogin, 302, "canary", pbx.ErrProtocol, []string{"HTTP status 302"}},
		{pbx.OpLogin, 401, "", pbx.ErrInvalidCredentials, []string{"HTTP status 401", empty}},
		{pbx.OpRequest, 401, "", pbx.ErrTokenRejected, []string{"HTTP status 401"}},
		{pbx.OpKeepAlive, 401, "", pbx.ErrTokenRejected, []string{"HTTP status 401"}},
		{pbx.OpLogin, 403, "", pbx.ErrForbidden, []string{"HTTP status 403"}},
		{pbx.OpLogin, 429, "", pbx.ErrLocked, []string{"HTTP status 429"}},
		{pbx.OpLogin, 408, "", pbx.ErrUnavailable, []string{"HTTP status 408"}},
		{pbx.OpLogin, 502, "<html>canary", pbx.ErrUnavailable, []string{"HTTP status 502", page}},
	} {
		c := open(t, settings("pbx.example.com"))
		err := c.Unexpected(wire.Request{Op: test.op}, &wire.Response{Status: test.status, Body: []byte(test.body)})
		for _, part := range test.want {
			wantFailure(t, err, test.kind, true, part)
		}
		if err.Op != test.op || err.HTTPStatus != test.status || strings.Contains(err.Error(), "canary") {
			t.Errorf("%d %q: %v, op %s, status %d", test.status, test.body, err, err.Op, err.HTTPStatus)
		}
	}
	if kind := wire.StatusKind(pbx.OpLogin, 204); kind != nil {
		t.Errorf("204 is of kind %v", kind)
	}
}

func TestFailTakesOverThePBXsWords(t *testing.T) {
	c := open(t, settings("pbx.example.com"))
	req := wire.Request{Op: pbx.OpLogin, Secrets: []pbx.Secret{pbx.NewSecret("hunter2")}}
	got := c.Fail(req, &wire.Response{Status: 403, Header: http.Header{"Retry-After": {"7"}}}, pbx.ErrLocked, "20\n002", "wrong user name or hunter2", "no\tHUNTER2", "here")
	want := &pbx.Error{Driver: "fake", Op: pbx.OpLogin, Kind: pbx.ErrLocked, Code: "20 002", HTTPStatus: 403, Message: "wrong user name or hunter2; the PBX says: no [redacted], here", RetryAfter: 7 * time.Second, Sent: true}
	if diff := cmp.Diff(*want, *got, cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestRetryAfterIsReadAndCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
		for value, want := range map[string]time.Duration{
			"":                               0,
			"0":                              0,
			"120":                            2 * time.Minute,
			"3600":                           time.Hour,
			"3601":                           wire.MaxRetryAfter,
			"86400":                          wire.MaxRetryAfter,
			"9223372037":                     wire.MaxRetryAfter, // more nanoseconds than fit
			"99999999999999999999":           wire.MaxRetryAfter,
			"-1":                             0,
			"-9223372037":                    0,
			"-99999999999999999999":          0,
			"1.5":                            0,
			"soon":                           0,
			in(90 * time.Second):             90 * time.Second,
			in(-time.Minute):                 0,
			in(48 * time.Hour):               wire.MaxRetryAfter,
			"Fri, 31 Dec 9999 23:59:59 GMT":  wire.MaxRetryAfter,
			"Friday, 31-Dec-99 23:59:59 GMT": 0, // 1999
		} {
			resp := &wire.Response{Status: 503, Header: http.Header{"Retry-After": {value}}}
			if got := open(t, settings("pbx.example.com")).Fail(login, resp, pbx.ErrUnavailable, "", "").RetryAfter; got != want {
				t.Errorf("Retry-After: %s is taken for %s, want %s", value, got, want)
			}
		}
	})
}
