package session_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// BenchmarkTransport compares a request through a session with the same one through
// net/http. Nothing is sent: a RoundTripper responds from memory, so that the
// difference is the session's own cost, and that of the driver's Authorize and
// Inspect, which are a line each here. The response is judged by its status or its
// body. The request's context has a deadline, or the session sets one.
func BenchmarkTransport(b *testing.B) {
	for _, row := range transportRows {
		b.Run(row.name, func(b *testing.B) {
			plain, authorized := callers(b, row)
			took := compare(b, 500,
				contender{"net/http", times(plain)},
				contender{"session", times(authorized)})
			added := make([]float64, len(took[0]))
			for round := range added {
				added[round] = took[1][round] - took[0][round]
			}
			b.ReportMetric(median(added), "added-ns")
			b.ReportMetric(testing.AllocsPerRun(100, authorized)-testing.AllocsPerRun(100, plain), "added-allocs")
		})
	}
}

func TestARequestCostsAtMostTenAllocationsMoreThanWithoutASession(t *testing.T) {
	for _, row := range transportRows {
		t.Run(row.name, func(t *testing.T) {
			plain, authorized := callers(t, row)
			added := testing.AllocsPerRun(100, authorized) - testing.AllocsPerRun(100, plain)
			t.Logf("%.0f allocations more", added)
			if added > 10 {
				t.Errorf("%.0f allocations more", added)
			}
		})
	}
}

type transportRow struct {
	name     string
	auth     func() pbx.Authenticator
	method   string
	deadline bool
}

var transportRows = []transportRow{
	{"status", func() pbx.Authenticator { return &fake{life: time.Hour} }, http.MethodPost, true},
	{"body", func() pbx.Authenticator { return inspecting{&fake{life: time.Hour}} }, http.MethodPost, true},
	{"body, no deadline", func() pbx.Authenticator { return inspecting{&fake{life: time.Hour}} }, http.MethodPost, false},
	{"body, no deadline, GET", func() pbx.Authenticator { return inspecting{&fake{life: time.Hour}} }, http.MethodGet, false},
}

func times(once func()) func(n int) {
	return func(n int) {
		for range n {
			once()
		}
	}
}

// callers makes the two ways of sending one request and reading its response.
func callers(tb testing.TB, row transportRow) (plain, authorized func()) {
	const body = `{"status":"Success","extension":[{"number":"1000","status":"Registered","type":"SIP"}]}`
	media := []string{"application/json; charset=utf-8"}
	memory := roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		return &http.Response{
			StatusCode: 200, Header: http.Header{"Content-Type": media}, Request: r,
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	})
	s := session.New(row.auth(), &session.Options{Guard: &session.Guard{}})
	tb.Cleanup(func() { s.Close(context.Background()) })
	token, err := s.Token(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	ctx := context.Background()
	if row.deadline {
		bounded, cancel := context.WithTimeout(ctx, time.Hour)
		tb.Cleanup(cancel)
		ctx = bounded
	}
	through := func(transport http.RoundTripper, authorization string) func() {
		client := &http.Client{Transport: transport}
		return func() {
			var question io.Reader
			if row.method == http.MethodPost {
				question = strings.NewReader(`{"number":"1000"}`)
			}
			r, err := http.NewRequestWithContext(ctx, row.method, "https://pbx.test:8088/api/v1.1.0/extension/list", question)
			if err != nil {
				tb.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			if authorization != "" {
				r.Header.Set("Authorization", "Bearer "+authorization)
			}
			resp, err := client.Do(r)
			if err != nil {
				tb.Fatal(err)
			}
			if got, err := io.ReadAll(resp.Body); err != nil || len(got) != len(body) {
				tb.Fatalf("%d bytes, %v", len(got), err)
			}
			resp.Body.Close()
		}
	}
	return through(memory, token.Value.Reveal()), through(s.Transport(memory), "")
}
