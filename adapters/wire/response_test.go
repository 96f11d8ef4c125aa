package wire_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
	x, err := open(t, settings(s.URL+"/tenant 7/")).Do(t.Context(), wire.Request{
		Op: pbx.OpRequest, Method: http.MethodPut, Path: "/api/call", Query: url.Values{"token": {"a&b c"}}, Header: http.Header{"X-Brand": {"y"}}, Body: []byte("{}"),
	})
	if err != nil {
		t.Fatal(err)
	}
	got := x.Response
	if _, ok := got.LocalAddr.(*net.TCPAddr); !ok {
		t.Fatalf("LocalAddr is %v", got.LocalAddr)
	}
	if want := "PUT /tenant%207/api/call?token=a%26b+c y {} from " + got.LocalAddr.String(); string(got.Body) != want || got.Status != 200 {
		t.Errorf("%d %s, want %s", got.Status, got.Body, want)
	}
}

func TestARequestInJSONHasItsType(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.Header.Get("Content-Type"), body)
	})
	c := open(t, settings(s.URL))
	object := map[string]string{"name": "a<b"}
	for name, tt := range map[string]struct {
		req  wire.Request
		want string
	}{
		"of its own":          {wire.Request{JSON: object}, `application/json {"name":"a\u003cb"}`},
		"of the driver":       {wire.Request{JSON: object, Header: http.Header{"Content-Type": {"application/json; charset=UTF-8"}}}, `application/json; charset=UTF-8 {"name":"a\u003cb"}`},
		"instead of the Body": {wire.Request{JSON: object, Body: []byte("x")}, `application/json {"name":"a\u003cb"}`},
		"nothing":             {wire.Request{Body: []byte("x")}, ` x`},
	} {
		tt.req.Op = pbx.OpRequest
		x, err := c.Do(t.Context(), tt.req)
		if err != nil || string(x.Response.Body) != tt.want {
			t.Errorf("%s: %v, %s, want %s", name, err, x.Response.Body, tt.want)
		}
	}
}

func TestARequestThatJSONCannotCarryIsNotSent(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("sent") })
	_, err := open(t, settings(s.URL)).Do(t.Context(), wire.Request{Op: pbx.OpLogin, JSON: func() {}})
	wantFailure(t, err, pbx.ErrProtocol, false, "cannot be written as JSON")
}

func TestAResponseIsReadUpToABound(t *testing.T) {
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
			x, err := open(t, settings(s.URL)).Do(t.Context(), login)
			if !ok {
				wantFailure(t, err, pbx.ErrProtocol, true, "larger than 1024 KiB")
			} else if err != nil || len(x.Response.Body) != size {
				t.Errorf("%d bytes, zipped %v: %v", size, zipped, err)
			}
		}
	}
}

// A session compares the length with that of a response to a request without credentials.
func TestTheLengthOfAFailureIsThatOfTheBodyAsItWasSent(t *testing.T) {
	for _, body := range []string{"", "<html></html>\r\n", "\xef\xbb\xbf<html></html>", "{}\x00\n"} {
		failure := inspected(t, login, wire.Response{Status: http.StatusNotFound, Body: []byte(body)}).Unexpected()
		if failure.Length != len(body) {
			t.Errorf("%q: length %d, want %d", body, failure.Length, len(body))
		}
	}
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 2*wire.MaxBody)) })
	_, err := open(t, settings(s.URL)).Do(t.Context(), login)
	if failure, ok := errors.AsType[*pbx.Error](err); !ok || failure.Length <= wire.MaxBody {
		t.Errorf("a large page: %#v", err)
	}
}

// inspected is an exchange with a response that a test makes up.
func inspected(t *testing.T, req wire.Request, resp wire.Response) *wire.Exchange {
	t.Helper()
	cfg := over("pbx.example.com", func(r *http.Request) (*http.Response, error) {
		if resp.Header == nil {
			resp.Header = http.Header{}
		}
		return &http.Response{StatusCode: resp.Status, Header: resp.Header, Body: io.NopCloser(bytes.NewReader(resp.Body)), Request: r}, nil
	})
	x, err := open(t, cfg).Do(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestAResponseThatIsNotTheBrandsIsExplained(t *testing.T) {
	const page, empty, alien = "the response is a web page", "the response is empty", "the response is not what this driver's PBX sends"
	const front = "something in front of it, or a page of its web server, does"
	for _, test := range []struct {
		op     pbx.Op
		status int
		body   string
		kind   error
		sent   bool
		want   []string
	}{
		{pbx.OpLogin, 200, `["canary"]`, pbx.ErrProtocol, true, []string{alien, "the request went to https://pbx.example.com:8088/api/login"}},
		{pbx.OpLogin, 200, "", pbx.ErrProtocol, true, []string{alien, empty}},
		{pbx.OpLogin, 200, "\n <!DOCTYPE HTML><html>canary", pbx.ErrProtocol, true, []string{alien, page}},
		{pbx.OpLogin, 200, "<HTML>canary", pbx.ErrProtocol, true, []string{alien, page}},
		{pbx.OpLogin, 200, "<?xml version='1.0'?><!-- x --><html><head>canary", pbx.ErrProtocol, true, []string{alien, page}},
		{pbx.OpLogin, 404, "<html>canary", pbx.ErrProtocol, true, []string{"HTTP status 404", page, "https://pbx.example.com:8088/api/login (the port is this driver's default, because the URL has none)"}},
		{pbx.OpLogin, 302, "canary", pbx.ErrProtocol, true, []string{"HTTP status 302"}},
		{pbx.OpLogin, 401, "", pbx.ErrConfig, true, []string{"HTTP status 401", front}},
		{pbx.OpKeepAlive, 401, "<html>canary", pbx.ErrConfig, true, []string{"HTTP status 401", front}},
		{pbx.OpLogin, 403, "<html>canary", pbx.ErrConfig, true, []string{"HTTP status 403", "forbids this"}},
		{pbx.OpLogin, 407, "", pbx.ErrConfig, true, []string{"HTTP status 407", "a proxy asks for a user name and password"}},
		{pbx.OpLogin, 429, "", pbx.ErrUnavailable, true, []string{"HTTP status 429"}},
		{pbx.OpLogin, 408, "", pbx.ErrUnavailable, true, []string{"HTTP status 408"}},
		{pbx.OpLogin, 502, "<html>canary", pbx.ErrUnavailable, true, []string{"HTTP status 502", page}},
	} {
		x := inspected(t, wire.Request{Op: test.op, Path: "/api/login"}, wire.Response{Status: test.status, Body: []byte(test.body)})
		err := x.Unexpected()
		for _, part := range test.want {
			wantFailure(t, err, test.kind, test.sent, part)
		}
		if err.Op != test.op || err.HTTPStatus != test.status || strings.Contains(err.Error(), "canary") {
			t.Errorf("%d %q: %v, op %s, status %d", test.status, test.body, err, err.Op, err.HTTPStatus)
		}
	}
}

// A response to HEAD has no body that shows who refuses the request. A ping decides.
func TestA401WithoutABodyMayMeanTheToken(t *testing.T) {
	inspect := func(method string, header http.Header, body string) *pbx.Error {
		r := &http.Response{StatusCode: 401, Header: header, Request: &http.Request{Method: method, URL: &url.URL{Path: "/api/list"}}}
		cfg := over("pbx.example.com", func(*http.Request) (*http.Response, error) { return nil, errors.New("unsent") })
		return open(t, cfg).Inspect(r, []byte(body), &pbx.Token{Value: pbx.NewSecret("canary")}).Unexpected()
	}
	if got := inspect(http.MethodHead, http.Header{}, ""); got.Kind != pbx.ErrTokenRejected || !got.Ambiguous || got.HTTPStatus != 401 || got.Op != pbx.OpRequest {
		t.Errorf("%v, ambiguous %t", got, got.Ambiguous)
	}
	for name, got := range map[string]*pbx.Error{
		"GET":            inspect(http.MethodGet, http.Header{}, ""),
		"no method":      inspect("", http.Header{}, ""),
		"a body":         inspect(http.MethodHead, http.Header{}, "<html>"),
		"authentication": inspect(http.MethodHead, http.Header{"Www-Authenticate": {"Basic"}}, ""),
	} {
		if got.Kind != pbx.ErrConfig || got.Ambiguous {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The token of an application's request is what a ping can decide about.
func TestA401ToADriversOwnHEADDoesNotMeanTheToken(t *testing.T) {
	for _, op := range []pbx.Op{pbx.OpLogin, pbx.OpPing} {
		err := inspected(t, wire.Request{Op: op, Method: http.MethodHead}, wire.Response{Status: 401}).Unexpected()
		if wantFailure(t, err, pbx.ErrConfig, true, "HTTP status 401"); err.Ambiguous {
			t.Errorf("%s: %v is ambiguous", op, err)
		}
	}
}

func TestHTTPAuthenticationIsNamed(t *testing.T) {
	for header, want := range map[string]string{
		`Basic realm="canary"`:  "asks for HTTP authentication (Basic)",
		`digest realm="canary"`: "asks for HTTP authentication (Digest)",
		"canary":                "asks for HTTP authentication: ",
	} {
		resp := wire.Response{Status: 401, Header: http.Header{"Www-Authenticate": {header}}}
		err := inspected(t, login, resp).Unexpected()
		if wantFailure(t, err, pbx.ErrConfig, true, want); strings.Contains(err.Error(), "canary") {
			t.Errorf("%v quotes the header", err)
		}
	}
}

func TestAnHTTPStatusIsReadForBrandsThatReportByIt(t *testing.T) {
	for status, want := range map[int][2]error{ // on a login, and elsewhere
		204: {nil, nil},
		401: {pbx.ErrInvalidCredentials, pbx.ErrTokenRejected},
		403: {pbx.ErrForbidden, pbx.ErrForbidden},
		404: {pbx.ErrProtocol, pbx.ErrProtocol},
		408: {pbx.ErrUnavailable, pbx.ErrUnavailable},
		429: {pbx.ErrUnavailable, pbx.ErrUnavailable},
		503: {pbx.ErrUnavailable, pbx.ErrUnavailable},
	} {
		if got := [2]error{wire.StatusKind(pbx.OpLogin, status), wire.StatusKind(pbx.OpRequest, status)}; got != want {
			t.Errorf("%d is %v, want %v", status, got, want)
		}
	}
}

func TestFailTakesOverThePBXsWords(t *testing.T) {
	req := wire.Request{Op: pbx.OpLogin, Path: "/x", Secrets: secrets("hunter2")}
	x := inspected(t, req, wire.Response{Status: 403, Header: http.Header{"Retry-After": {"7"}}})
	for said, want := range map[string]string{
		"not\ttoday, here": "wrong user name or hunter2; the PBX says: not today, here",
		"no\tHUNTER2":      "wrong user name or hunter2; the PBX says: [redacted]",
		"":                 "wrong user name or hunter2",
	} {
		got := x.Fail(pbx.ErrLocked, "20002", "wrong user name or hunter2", said)
		want := &pbx.Error{Driver: "fake", Op: pbx.OpLogin, Kind: pbx.ErrLocked, Code: "20002", HTTPStatus: 403, Message: want, RetryAfter: 7 * time.Second, Sent: true}
		if diff := cmp.Diff(*want, *got, cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func TestFailWithoutAMeaningHasThePBXsWordsAlone(t *testing.T) {
	x := inspected(t, login, wire.Response{Status: 400})
	if got := x.Fail(nil, "", "", "not today").Message; got != "the PBX says: not today" {
		t.Errorf("%q", got)
	}
}

// Firmware that counts characters announces another length than it sends.
func TestAResponseThatEndsEarlyIsWholeIfItsEnvelopeIs(t *testing.T) {
	for body, whole := range map[string]bool{
		`{"a":1}`: true, " {\"a\":1}\r\n": true, `{"a":`: false, `{"a":1}{`: false, `[1]`: false, "text": false, "": false,
		`<?xml version="1.0"?><xml><a>1</a></xml>`: true, `<xml><a>1</a>`: false, `<!-- x -->`: false, `<xml></a></xml>`: false,
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)+1))
			io.WriteString(w, body)
		})
		x, err := open(t, settings(s.URL)).Do(t.Context(), login)
		if !whole {
			wantFailure(t, err, pbx.ErrUnavailable, true, "broke off")
		} else if err != nil || string(x.Response.Body) != body {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestACodeIsANumberOrAName(t *testing.T) {
	x := inspected(t, wire.Request{Op: pbx.OpLogin, Path: "/x", Secrets: secrets("hunter2")}, wire.Response{Status: 403})
	for said, want := range map[string]string{
		"":                                     "",
		"-37":                                  "-37",
		"70004":                                "70004",
		"invalid_client":                       "invalid_client",
		"E-1.2":                                "E-1.2",
		"hunter2":                              "",
		"a code of hunter2":                    "",
		"two words":                            "",
		"line\nbreak":                          "",
		"-_.09AZaz":                            "-_.09AZaz",
		"{code}":                               "",
		"код":                                  "",
		strings.Repeat("x", 64):                strings.Repeat("x", 64),
		strings.Repeat("x", 65):                "",
		"Y2FuYXJ5InPDq2NyZXRcd29yZCAmKyUvPw==": "",
	} {
		if got := x.Fail(pbx.ErrProtocol, said, "").Code; got != want {
			t.Errorf("the code %q is %q, want %q", said, got, want)
		}
	}
}

// A challenge is not a verdict: nothing was there to be judged.
func TestARequestWithoutAProofIsNeverAWrongLogin(t *testing.T) {
	req := wire.Request{Op: pbx.OpLogin, Path: "/x", NoProof: true}
	x := inspected(t, req, wire.Response{Status: 502})
	wantFailure(t, x.Fail(pbx.ErrInvalidCredentials, "", "wrong password"), pbx.ErrProtocol, false, "wrong password")
	wantFailure(t, x.Unexpected(), pbx.ErrUnavailable, false, "502")
	_, err := open(t, over("pbx.example.com", func(*http.Request) (*http.Response, error) { return nil, io.EOF })).Do(t.Context(), req)
	wantFailure(t, err, pbx.ErrUnavailable, false, "no response")
	s := serve(t, truncated)
	_, err = open(t, settings(s.URL)).Do(t.Context(), req)
	wantFailure(t, err, pbx.ErrUnavailable, false, "broke off")
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
			resp := wire.Response{Status: 503, Header: http.Header{"Retry-After": {value}}}
			if got := inspected(t, login, resp).Fail(pbx.ErrUnavailable, "", "").RetryAfter; got != want {
				t.Errorf("Retry-After: %s is taken for %s, want %s", value, got, want)
			}
		}
	})
}

func TestAProxyThatAsksForAPasswordIsNamed(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	defer s.Close()
	proxy, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	cfg := settings("http://pbx.example.com:8088")
	cfg.AllowPlainHTTP = true
	cfg.Transport = &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}
	x, err := open(t, cfg).Do(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	wantFailure(t, x.Unexpected(), pbx.ErrConfig, true, "the proxy "+proxy.Host+" asks for a user name and password")
}

func TestARefusedPasswordWithBlanksAtItsEndsIsMentioned(t *testing.T) {
	for password, want := range map[string]string{
		" hunter2-x": "the password begins or ends with a blank", "hunter2-x\t": "the password begins or ends with a blank",
		"\ufeffhunter2-x": "the password begins with a byte order mark",
	} {
		s := serve(t, func(http.ResponseWriter, *http.Request) {})
		cfg := settings(s.URL)
		cfg.Password = pbx.NewSecret(password)
		c := open(t, cfg)
		if _, err := c.Credentials(t.Context()); err != nil {
			t.Fatal(err)
		}
		x, err := c.Do(t.Context(), login)
		if err != nil {
			t.Fatal(err)
		}
		err = x.Fail(pbx.ErrInvalidCredentials, "20003", "wrong user name or password")
		if wantFailure(t, err, pbx.ErrInvalidCredentials, true, want); strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v shows it", err)
		}
	}
}

func TestBlanksInAnEarlierPasswordAreNotMentioned(t *testing.T) {
	now := ""
	c := open(t, pbx.Config{URL: serve(t, func(http.ResponseWriter, *http.Request) {}).URL, Credentials: func(context.Context) (pbx.Credentials, error) {
		return pbx.Credentials{Username: "api", Password: pbx.NewSecret(now)}, nil
	}})
	for _, now = range []string{"first", "second ", "third"} {
		if _, err := c.Credentials(t.Context()); err != nil {
			t.Fatal(err)
		}
		x, err := c.Do(t.Context(), login)
		if err != nil {
			t.Fatal(err)
		}
		got := x.Fail(pbx.ErrInvalidCredentials, "", "wrong user name or password").Message
		if strings.Contains(got, "blank") != (now == "second ") {
			t.Errorf("%q: %s", now, got)
		}
	}
}

// The date of a Retry-After is by the clock of the PBX, which its Date shows.
func TestADateToRetryAtIsByTheClockOfThePBX(t *testing.T) {
	for _, off := range []time.Duration{-365 * 24 * time.Hour, -2 * time.Minute, 0, 2 * time.Minute, 3 * time.Hour} {
		now := time.Now().Add(off).UTC()
		resp := wire.Response{Status: 503, Header: http.Header{
			"Date":        {now.Format(http.TimeFormat)},
			"Retry-After": {now.Add(10 * time.Minute).Format(http.TimeFormat)},
		}}
		if got := inspected(t, wire.Request{Op: pbx.OpLogin}, resp).Unexpected().RetryAfter; got != 10*time.Minute {
			t.Errorf("a clock that is off by %s: %s", off, got)
		}
	}
}
