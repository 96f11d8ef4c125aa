package golden_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx/conformance/golden"
)

// post sends a request as a driver might, with fields that no file lists.
func post(t *testing.T, client http.RoundTripper, url, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Not-Listed", "1")
	resp, err := client.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(got)
}

func load(t *testing.T, path string) golden.Exchange {
	t.Helper()
	x, err := golden.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestAnExchangeIsReadFromItsFile(t *testing.T) {
	want := golden.Exchange{
		Name: "login.http",
		Request: golden.Message{
			Line:   "POST /api?type=json HTTP/1.1",
			Header: http.Header{"Host": {"pbx.example:8088"}, "Content-Type": {"application/json"}, "Content-Length": {"46"}},
			Body:   `{"id":"{{id}}","user":"api","url":"http://x/"}`,
		},
		Response: golden.Message{
			Line:   "HTTP/1.1 401 Unauthorized",
			Header: http.Header{"Server": {"Boa/0.94.14rc21"}},
			Body:   "{\"id\":\"{{id}}\",\n  \"code\":401}",
		},
	}
	if diff := cmp.Diff(want, load(t, "testdata/login.http")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestBodiesEndBeforeTheLastLineBreak(t *testing.T) {
	tests := []struct{ text, request, answer string }{
		{"POST / HTTP/1.1\n>>>\nHTTP/1.1 200 OK", "", ""},
		{"POST / HTTP/1.1\n\n>>>\nHTTP/1.1 200 OK\n", "", ""},
		{"POST / HTTP/1.1\n\n>>>\nHTTP/1.1 200 OK\n\n", "", ""},
		{"POST / HTTP/1.1\n\na\n>>>\nHTTP/1.1 200 OK\n\nb\n", "a", "b"},
		{"POST / HTTP/1.1\n\na\n\n>>>\nHTTP/1.1 200 OK\n\nb\n\n", "a\n", "b\n"},
		{"POST / HTTP/1.1\n\n# a\n\nb\n>>>\nHTTP/1.1 200 OK\n\n>>>", "# a\n\nb", ">>>"},
		{"# POST\r\n\r\nPOST / HTTP/1.1\r\n\r\na\r\n>>>\r\nHTTP/1.1 200 OK\r\n\r\nb\r\n", "a", "b"},
	}
	for _, tt := range tests {
		x, err := golden.Parse("x", tt.text)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
		}
		if x.Request.Body != tt.request || x.Response.Body != tt.answer {
			t.Errorf("%q: bodies %q and %q, want %q and %q", tt.text, x.Request.Body, x.Response.Body, tt.request, tt.answer)
		}
	}
}

func TestWhatIsNoExchangeIsRefused(t *testing.T) {
	const request, answer = "POST / HTTP/1.1", "HTTP/1.1 200 OK"
	tests := []struct{ name, text string }{
		{"nothing", ""},
		{"comments only", "# POST / HTTP/1.1\n"},
		{"no response", request + "\n\n{}\n"},
		{"separator not on a line of its own", request + "\n\n{}>>>\n" + answer},
		{"no version in the request line", "POST /\n>>>\n" + answer},
		{"method in lower case", "post / HTTP/1.1\n>>>\n" + answer},
		{"status that is none", request + "\n>>>\nHTTP/1.1 OK"},
		{"body without an empty line before it", request + "\n{}\n>>>\n" + answer},
		{"blank in a field's name", request + "\nContent Type: x\n>>>\n" + answer},
		{"comment after the first line", request + "\n# Host\n>>>\n" + answer},
		{"the same name twice", request + "\n\n{{id}}{{id}}\n>>>\n" + answer},
		{"a name in the response only", request + "\n\n{{id}}\n>>>\n" + answer + "\n\n{{ids}}"},
		{"not UTF-8", request + "\n\n\xff\n>>>\n" + answer},
	}
	for _, tt := range tests {
		if x, err := golden.Parse("x", tt.text); err == nil {
			t.Errorf("%s: read as %+v", tt.name, x)
		}
	}
	if _, err := golden.Load("testdata/missing.http"); err == nil {
		t.Error("a missing file was read")
	}
}

func TestARequestThatMatchesGetsTheResponse(t *testing.T) {
	replay := golden.NewReplay(load(t, "testdata/login.http"), load(t, "testdata/logout.http"))
	client := http.RoundTripper(replay)

	status, answer := post(t, client, "https://pbx.example:8088/api?type=json", `{"id":"7f3a-x","user":"api","url":"http://x/"}`)
	if want := "{\"id\":\"7f3a-x\",\n  \"code\":401}"; status != 401 || answer != want {
		t.Errorf("answered %d %s, want 401 %s", status, answer, want)
	}
	status, answer = post(t, client, "https://pbx.example:8088/api/logout?token=48a7", "")
	if status != 200 || answer != "" {
		t.Errorf("answered %d %q, want 200 and nothing", status, answer)
	}
	if diff := replay.Diff(); diff != "" {
		t.Error(diff)
	}
}

func TestEachDifferenceIsReported(t *testing.T) {
	const good, body = "https://pbx.example:8088/api?type=json", `{"id":"7f3a-x","user":"api","url":"http://x/"}`
	tests := []struct{ name, url, body, part, want, got string }{
		{"path", "https://pbx.example:8088/api/?type=json", body, "request line", "POST /api?type=json HTTP/1.1", "POST /api/?type=json HTTP/1.1"},
		{"query", "https://pbx.example:8088/api", body, "request line", "POST /api?type=json HTTP/1.1", "POST /api HTTP/1.1"},
		{"host", "https://pbx.example/api?type=json", body, "Host", "pbx.example:8088", "pbx.example"},
		{"length", good, body + " ", "Content-Length", "46", "47"},
		{"key order", good, `{"user":"api","id":"7f3a-x","url":"http://x/"}`, "body", `{"id":"{{id}}","user":"api","url":"http://x/"}`, `{"user":"api","id":"7f3a-x","url":"http://x/"}`},
		{"nothing made up", good, `{"id":"","user":"api","url":"http://x/______"}`, "body", `{"id":"{{id}}","user":"api","url":"http://x/"}`, `{"id":"","user":"api","url":"http://x/______"}`},
		{"made up across a quote", good, `{"id":"a","b":"","user":"api","url":"http://x/"}`, "body", `{"id":"{{id}}","user":"api","url":"http://x/"}`, `{"id":"a","b":"","user":"api","url":"http://x/"}`},
		{"a sign that is none", good, `{"id":"7f3a-x","user":"api","url":"httpX//x/"}`, "body", `{"id":"{{id}}","user":"api","url":"http://x/"}`, `{"id":"7f3a-x","user":"api","url":"httpX//x/"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			replay := golden.NewReplay(load(t, "testdata/login.http"))
			post(t, replay, tt.url, tt.body)
			want := fmt.Sprintf("login.http: %s:\n\twant `%s`\n\t got `%s`", tt.part, tt.want, tt.got)
			if diff := replay.Diff(); !strings.Contains(diff, want) {
				t.Errorf("told\n%s\nwant\n%s", diff, want)
			}
		})
	}
}

func TestAChunkedBodyHasNoContentLength(t *testing.T) {
	replay := golden.NewReplay(load(t, "testdata/login.http"))
	body := io.MultiReader(strings.NewReader(`{"id":"7f3a-x","user":"api","url":"http://x/"}`))
	resp, err := (&http.Client{Transport: replay}).Post("https://pbx.example:8088/api?type=json", "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if diff, want := replay.Diff(), "login.http: Content-Length:\n\twant `46`\n\t got ``"; diff != want {
		t.Errorf("told\n%s\nwant\n%s", diff, want)
	}
}

func TestTooManyAndTooFewRequestsAreReported(t *testing.T) {
	replay := golden.NewReplay(load(t, "testdata/logout.http"))
	client := http.RoundTripper(replay)
	if diff, want := replay.Diff(), "logout.http: was not asked for: POST /api/logout?token=48a7 HTTP/1.1"; diff != want {
		t.Errorf("told %q, want %q", diff, want)
	}
	post(t, client, "https://pbx.example/api/logout?token=48a7", "")
	if diff := replay.Diff(); diff != "" {
		t.Errorf("told %q, want nothing", diff)
	}
	if resp, err := (&http.Client{Transport: replay}).Get("https://pbx.example/more"); err == nil {
		t.Errorf("a request too many was answered %s", resp.Status)
	}
	if diff, want := replay.Diff(), "one request too many: GET /more HTTP/1.1"; diff != want {
		t.Errorf("told %q, want %q", diff, want)
	}
}

// recorder is a test that is meant to fail.
type recorder struct {
	testing.TB
	cleanup func()
	errors  []string
	stopped bool
}

func (r *recorder) Helper()           {}
func (r *recorder) Cleanup(f func())  { r.cleanup = f }
func (r *recorder) Error(args ...any) { r.errors = append(r.errors, fmt.Sprint(args...)) }
func (r *recorder) Fatal(args ...any) { r.stopped = true; panic(r) }

func TestAClientFailsItsTestInTheEnd(t *testing.T) {
	good := &recorder{TB: t}
	post(t, golden.Transport(good, "testdata/logout.http"), "https://pbx.example/api/logout?token=48a7", "")
	good.cleanup()
	if good.errors != nil {
		t.Errorf("failed by %q", good.errors)
	}

	idle := &recorder{TB: t}
	golden.Transport(idle, "testdata/logout.http")
	idle.cleanup()
	if want := []string{"logout.http: was not asked for: POST /api/logout?token=48a7 HTTP/1.1"}; !cmp.Equal(want, idle.errors) {
		t.Errorf("failed by %q, want %q", idle.errors, want)
	}

	lost := &recorder{TB: t}
	func() {
		defer func() { recover() }()
		golden.Transport(lost, "testdata/missing.http")
	}()
	if !lost.stopped {
		t.Error("a missing file did not stop the test")
	}
}
