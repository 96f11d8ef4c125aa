// Package golden replays what vendors print. A vendor's page shows a request
// and its response. A driver must send the one to the byte, and must read the
// other. Such a sample is kept as a file, so that drivers in other languages
// can be held to it too, and is played to the driver by a client that never
// leaves the process:
//
//	func TestTheVendorsLogin(t *testing.T) {
//		auth, err := pbx.Open("yeastar", pbx.Config{
//			URL: "https://192.168.5.150", Username: "api", Password: pbx.NewSecret("Yeastar202"),
//			Transport: golden.Transport(t, "testdata/golden/login.http"),
//		})
//		…
//		token, err := auth.Login(t.Context())
//		…
//	}
//
// The test fails by itself if the driver sent anything else, or less.
//
// # The format
//
// FORMAT.md describes it for readers in other languages.
//
// One exchange to a file, in UTF-8, lines ending in LF:
//
//	# Where this is printed, and what deliberately differs from the print.
//	POST /api/v1.1.0/login HTTP/1.1
//	Host: 192.168.5.150:8088
//	Content-Type: application/json; charset=utf-8
//
//	{"username":"api","password":"2d7257a528679d01a19c70e3fa773620"}
//	>>>
//	HTTP/1.1 200 OK
//
//	{"status":"Success","token":"48a7d7481a5355aa4fb5dc285edeb40e"}
//
// Lines that begin with # are comments, and stand at the top only. Then comes
// the request, a line of >>>, and the response. Each is its first line, the header
// fields that matter, an empty line and the body. Without a body the empty line
// may be missing.
//
//   - The request's first line must match to the byte, order and spelling of
//     the query included, and so must the body. The line break before >>>, and
//     the last one of the file, belong to no body.
//   - A header field of the request must be there with exactly that value. The
//     names are compared without regard to case. Fields that are not listed may
//     be there or not.
//   - {{name}} in the request's body, once per name, stands for a piece of text
//     that the client makes up, without quotes or angle brackets: a request's
//     id, say. The same name in the response's body is replaced by that text.
//   - The response is sent as it stands, with a Content-Length.
package golden

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// Exchange is one request and its response.
type Exchange struct {
	Name     string // of the file, for messages
	Request  Message
	Response Message
}

// Message is one side of an [Exchange].
type Message struct {
	Line   string // "POST /api/login HTTP/1.1", or "HTTP/1.1 200 OK"
	Header http.Header
	Body   string
}

var (
	requestLine = regexp.MustCompile(`^[A-Z]+ \S+ HTTP/1\.[01]$`)
	statusLine  = regexp.MustCompile(`^HTTP/1\.[01] [1-5]\d\d( .*)?$`)
	invented    = regexp.MustCompile(`\{\{(\w+)\}\}`)
)

// Transport returns a RoundTripper that plays the exchanges in these files, in this
// order. When the test ends it fails the test by what differed.
func Transport(t testing.TB, paths ...string) http.RoundTripper {
	t.Helper()
	var exchanges []Exchange
	for _, path := range paths {
		x, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		exchanges = append(exchanges, x)
	}
	replay := NewReplay(exchanges...)
	t.Cleanup(func() {
		if diff := replay.Diff(); diff != "" {
			t.Error(diff)
		}
	})
	return replay
}

// Load reads the exchange in a file.
func Load(path string) (Exchange, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Exchange{}, err
	}
	return Parse(filepath.Base(path), string(text))
}

// Parse reads an exchange. The name goes into its messages.
func Parse(name, text string) (Exchange, error) {
	x := Exchange{Name: name}
	if !utf8.ValidString(text) {
		return Exchange{}, fmt.Errorf("golden: %s: not UTF-8", name)
	}
	text = strings.ReplaceAll(text, "\r\n", "\n") // a checkout may have made it so
	for strings.HasPrefix(text, "#") || strings.HasPrefix(text, "\n") {
		_, text, _ = strings.Cut(text, "\n")
	}
	request, answer, ok := strings.Cut(text, "\n>>>\n")
	if !ok {
		return Exchange{}, fmt.Errorf("golden: %s: no line of >>> separates the request from its response", name)
	}
	var err error
	if x.Request, err = parseMessage(request); err != nil {
		return Exchange{}, fmt.Errorf("golden: %s: request: %w", name, err)
	}
	if x.Response, err = parseMessage(strings.TrimSuffix(answer, "\n")); err != nil {
		return Exchange{}, fmt.Errorf("golden: %s: response: %w", name, err)
	}
	if !requestLine.MatchString(x.Request.Line) {
		return Exchange{}, fmt.Errorf("golden: %s: %q is not the first line of a request", name, x.Request.Line)
	}
	if !statusLine.MatchString(x.Response.Line) {
		return Exchange{}, fmt.Errorf("golden: %s: %q is not the first line of a response", name, x.Response.Line)
	}
	known := map[string]bool{}
	for _, match := range invented.FindAllStringSubmatch(x.Request.Body, -1) {
		if known[match[1]] {
			return Exchange{}, fmt.Errorf("golden: %s: %s is twice in the request", name, match[0])
		}
		known[match[1]] = true
	}
	for _, match := range invented.FindAllStringSubmatch(x.Response.Body, -1) {
		if !known[match[1]] {
			return Exchange{}, fmt.Errorf("golden: %s: %s is in the response and not in the request", name, match[0])
		}
	}
	return x, nil
}

func parseMessage(text string) (Message, error) {
	head, body, ok := strings.Cut(text, "\n\n")
	if !ok {
		head = strings.TrimSuffix(head, "\n")
	}
	lines := strings.Split(head, "\n")
	m := Message{Line: lines[0], Header: http.Header{}, Body: body}
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return Message{}, fmt.Errorf("%q is not a header field", line)
		}
		m.Header.Add(name, strings.TrimSpace(value))
	}
	return m, nil
}
