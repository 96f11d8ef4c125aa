package conformance

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
)

// interceptor is the driver's transport. It counts what passes between the driver
// and the PBX, and can rewrite the responses.
type interceptor struct {
	base      http.RoundTripper
	host      string                 // of Config.URL
	progress  *atomic.Int64          // see Rule
	requests  atomic.Int64           // to any address
	bytesRead atomic.Int64           // of response bodies
	elsewhere atomic.Pointer[string] // another host that a request went to
	edit      atomic.Pointer[func(*http.Request)]
	change    atomic.Pointer[func(resp *http.Response, body []byte) []byte]

	mu   sync.Mutex // guards open
	open map[*countingBody]bool
}

func (i *interceptor) RoundTrip(r *http.Request) (*http.Response, error) {
	i.requests.Add(1)
	if host := r.URL.Host; host != i.host {
		i.elsewhere.Store(&host)
	}
	if i.progress != nil {
		i.progress.Add(1)
	}
	if edit := i.edit.Load(); edit != nil {
		r = r.Clone(r.Context())
		(*edit)(r)
	}
	resp, err := i.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if change := i.change.Load(); change != nil {
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		body = (*change)(resp, body)
		resp.Body = io.NopCloser(bytes.NewReader(body))
		resp.ContentLength = int64(len(body))
		resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	body := &countingBody{resp.Body, i}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.open == nil {
		i.open = map[*countingBody]bool{}
	}
	i.open[body] = true
	resp.Body = body
	return resp, nil
}

// rewrite changes all responses from now on. nil stops that.
func (i *interceptor) rewrite(change func(resp *http.Response, body []byte) []byte) {
	if change == nil {
		i.change.Store(nil)
		return
	}
	i.change.Store(&change)
}

// editRequests changes all requests from now on. nil stops that.
func (i *interceptor) editRequests(edit func(*http.Request)) {
	if edit == nil {
		i.edit.Store(nil)
		return
	}
	i.edit.Store(&edit)
}

// closeBodies closes the bodies that are still open, and returns how many they were.
func (i *interceptor) closeBodies() int {
	i.mu.Lock()
	open := slices.Collect(maps.Keys(i.open))
	i.mu.Unlock()
	for _, body := range open {
		body.Close()
	}
	return len(open)
}

// countingBody counts the bytes that are read of a body, and knows whether it is
// closed.
type countingBody struct {
	io.ReadCloser
	of *interceptor
}

func (m *countingBody) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.of.bytesRead.Add(int64(n))
	return n, err
}

func (m *countingBody) Close() error {
	m.of.mu.Lock()
	delete(m.of.open, m)
	m.of.mu.Unlock()
	return m.ReadCloser.Close()
}
