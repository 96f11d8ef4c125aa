package drivertest

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pbxauth/pbx/adapters/threecx/threecxsim"
	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func TestAReplayComparesStatusAndHeaders(t *testing.T) {
	InMemory(t, func() *pbxsim.PBX { return threecxsim.New(nil, nil) }, func(t *testing.T, _ *pbxsim.PBX, s *pbxsim.Server) {
		x := golden.Exchange{Request: golden.Message{Line: "GET /nothing/here HTTP/1.1"}, Response: golden.Message{Line: "HTTP/1.1 404 Not Found", Header: http.Header{}}}
		want(t, "the same", "", complaints(t, func(t testing.TB) { Replay(t, s, x) }))
		x.Response.Header.Set("Date", "another day")
		want(t, "another day", "", complaints(t, func(t testing.TB) { Replay(t, s, x) }))
		x.Response.Line = "HTTP/1.1 200 OK"
		want(t, "another status", "HTTP 404 Not Found, want 200", complaints(t, func(t testing.TB) { Replay(t, s, x) }))
		x.Response.Line = "HTTP/1.1 404 Not Found"
		x.Response.Header.Set("X-Version", "2")
		want(t, "a header that is missing", `X-Version: "", want "2"`, complaints(t, func(t testing.TB) { Replay(t, s, x) }))
	})
}

func TestBodiesThatDifferAreReported(t *testing.T) {
	for name, tt := range map[string]struct{ got, says string }{
		"the same fields":    {`{"b": 2, "a": 1}`, ""},
		"another value":      {`{"a":1,"b":3}`, "-want +got:"},
		"what is not JSON":   {`a=1`, "-want +got:"},
		"a field too many":   {`{"a":1,"b":2,"c":3}`, "-want +got:"},
		"a response of none": {``, "-want +got:"},
	} {
		want(t, name, tt.says, complaints(t, func(t testing.TB) { SameJSON(t, `{"a":1,"b":2}`, tt.got) }))
	}
	want(t, "the same text", "", complaints(t, func(t testing.TB) { SameJSON(t, "a=1", "a=1") }))
	want(t, "another text", "-want +got:", complaints(t, func(t testing.TB) { SameJSON(t, "a=1", "a=2") }))
}

func TestATranscriptThatDiffersIsReported(t *testing.T) {
	path := filepath.Join(t.TempDir(), "session.http")
	const exchange = "GET /nothing/here HTTP/1.1\nHost: pbx\nConnection: close\n\n>>>\nHTTP/1.1 404 Not Here\n\n"
	if err := os.WriteFile(path, []byte(exchange+"\n===\n"+exchange), 0o600); err != nil {
		t.Fatal(err)
	}
	InMemory(t, func() *pbxsim.PBX { return threecxsim.New(nil, nil) }, func(t *testing.T, _ *pbxsim.PBX, s *pbxsim.Server) {
		got := complaints(t, func(t testing.TB) { ReplayTranscript(t, s, path) })
		if len(got) != 2 || !strings.HasPrefix(got[0], "GET /nothing/here HTTP/1.1\n") || !strings.Contains(got[0], "404 Not Found") {
			t.Errorf("%q, want a complaint for each exchange", got)
		}
		want(t, "no file", "open nothing.http", complaints(t, func(t testing.TB) { ReplayTranscript(t, s, "nothing.http") }))
	})
}
