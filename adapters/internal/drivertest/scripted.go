package drivertest

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Response is one that a PBX gives.
type Response struct {
	Status int // 0: 200
	Header http.Header
	Body   string
}

// RoundTrip gives r to every request.
func (r Response) RoundTrip(req *http.Request) (*http.Response, error) {
	return Responses(r).RoundTrip(req)
}

// Request is one that came.
type Request struct {
	Method, Path string
	Header       http.Header
	Body         string
}

// PBX gives prepared responses, one after the other, and the last one to all that
// follows. A simulator gives those of a vendor's documents. This is for the others.
// It is an [http.RoundTripper].
type PBX struct {
	responses []Response

	mu   sync.Mutex // guards sent
	sent []Request
}

// Responses returns a PBX that gives these responses.
func Responses(responses ...Response) *PBX { return &PBX{responses: responses} }

// Bodies returns a PBX with responses that have these bodies, under HTTP 200.
func Bodies(bodies ...string) *PBX {
	p := &PBX{}
	for _, body := range bodies {
		p.responses = append(p.responses, Response{Body: body})
	}
	return p
}

// Sent returns the requests so far.
func (p *PBX) Sent() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Request(nil), p.sent...)
}

// SentBodies returns the bodies of the requests so far.
func (p *PBX) SentBodies() []string {
	var bodies []string
	for _, r := range p.Sent() {
		bodies = append(bodies, r.Body)
	}
	return bodies
}

// RoundTrip gives the next response.
func (p *PBX) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	given := p.responses[min(len(p.sent), len(p.responses)-1)]
	p.sent = append(p.sent, Request{r.Method, r.URL.Path, r.Header.Clone(), string(body)})

	text, header := given.Body, given.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	status := cmp.Or(given.Status, http.StatusOK)
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)), Request: r,
	}, nil
}

// Unsent is an [http.RoundTripper] for tests in which nothing may be sent.
type Unsent struct {
	T interface {
		Helper()
		Errorf(format string, args ...any)
	}
}

// RoundTrip fails the test.
func (u Unsent) RoundTrip(r *http.Request) (*http.Response, error) {
	u.T.Helper()
	u.T.Errorf("sent: %s %s", r.Method, r.URL.Path)
	return nil, http.ErrHandlerTimeout
}

// Body returns a PBX that gives one body to every request, under HTTP 200.
func Body(body string) *PBX { return Responses(Response{Body: body}) }
