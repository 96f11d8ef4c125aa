package drivertest

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/pbxauth/pbx/adapters/threecx/threecxsim"
	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func TestAReplayComparesStatusAndHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pbxsim.ListenMemory(threecxsim.New(nil, nil))
		defer s.Close()
		x := golden.Exchange{Request: golden.Message{Line: "GET /nothing/here HTTP/1.1"}, Answer: golden.Message{Line: "HTTP/1.1 404 Not Found", Header: http.Header{}}}
		want(t, "the same", "", complaints(t, func(t testing.TB) { Replay(t, s, x) }))
		x.Answer.Header.Set("Date", "another day")
		want(t, "another day", "", complaints(t, func(t testing.TB) { Replay(t, s, x) }))
		x.Answer.Line = "HTTP/1.1 200 OK"
		want(t, "another status", "HTTP 404 Not Found, want 200", complaints(t, func(t testing.TB) { Replay(t, s, x) }))
		x.Answer.Line = "HTTP/1.1 404 Not Found"
		x.Answer.Header.Set("X-Version", "2")
		want(t, "a header that is missing", `X-Version: "", want "2"`, complaints(t, func(t testing.TB) { Replay(t, s, x) }))
	})
}
