package drivertest

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// InMemory runs f in virtual time, with the PBX that simulated makes and its server.
func InMemory(t *testing.T, simulated func() *pbxsim.PBX, f func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := simulated()
		s := pbxsim.ListenMemory(p)
		defer s.Close()
		f(t, p, s)
	})
}

// Send sends a request as it is given, without a driver, and returns the response and
// its body. header is names and values in turn.
func Send(t testing.TB, s *pbxsim.Server, method, target, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r := NewRequest(t, method, s.URL+target, "", body)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(got)
}

// Replay sends the request of a sample, checks the status and the sample's headers
// but for the Date, and returns the body, which a simulator may spell otherwise.
func Replay(t testing.TB, s *pbxsim.Server, x golden.Exchange) string {
	t.Helper()
	var header []string
	for name := range x.Request.Header {
		header = append(header, name, x.Request.Header.Get(name))
	}
	line := strings.Fields(x.Request.Line)
	resp, body := Send(t, s, line[0], line[1], x.Request.Body, header...)
	if want := strings.Fields(x.Response.Line)[1]; !strings.HasPrefix(resp.Status, want) {
		t.Errorf("HTTP %s, want %s", resp.Status, want)
	}
	for name := range x.Response.Header {
		if got, want := resp.Header.Get(name), x.Response.Header.Get(name); got != want && name != "Date" {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	return body
}

// SameJSON compares two bodies but for the order of fields, and to the byte if they are
// no JSON.
func SameJSON(t testing.TB, want, got string) {
	t.Helper()
	if diff := cmp.Diff(decoded(want), decoded(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func decoded(text string) (v any) {
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	return v
}

// ReplayTranscript sends the requests of a file, each on a connection of its own, and
// compares the responses to the byte. The file has a request, a line of >>> and the
// response, and a line of === before the next request.
func ReplayTranscript(t testing.TB, s *pbxsim.Server, path string) {
	t.Helper()
	transcript, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for exchange := range strings.SplitSeq(strings.TrimSuffix(string(transcript), "\n"), "\n===\n") {
		request, want, _ := strings.Cut(exchange, "\n>>>\n")
		if diff := cmp.Diff(wire(want), converse(t, s, wire(request))); diff != "" {
			t.Errorf("%s\nresponse (-want +got):\n%s", request, diff)
		}
	}
}

// wire turns a message of a transcript into what goes over the wire.
func wire(message string) string {
	head, body, _ := strings.Cut(message, "\n\n")
	return strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + body
}

// converse sends bytes on a new connection, and returns what comes back.
func converse(t testing.TB, s *pbxsim.Server, request string) string {
	t.Helper()
	dial := s.Client().Transport.(*http.Transport).DialContext
	conn, err := dial(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}
