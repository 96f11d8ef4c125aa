package conformance

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
)

// A tap is the line between the driver and the PBX. It counts what passes, and
// can change the answers on the way, where a fault of pbxsim, which does not see
// the request, cannot make one that fits.
type tap struct {
	base   http.RoundTripper
	trips  atomic.Int64 // requests, wherever to
	read   atomic.Int64 // bytes of answers that were read
	change atomic.Pointer[func(resp *http.Response, body []byte) []byte]
}

func (t *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	t.trips.Add(1)
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if change := t.change.Load(); change != nil {
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
	resp.Body = meter{resp.Body, &t.read}
	return resp, nil
}

// alter changes all answers from now on; nil leaves them alone again.
func (t *tap) alter(change func(resp *http.Response, body []byte) []byte) {
	if change == nil {
		t.change.Store(nil)
		return
	}
	t.change.Store(&change)
}

// A meter counts what is read of a body.
type meter struct {
	io.ReadCloser
	read *atomic.Int64
}

func (m meter) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.read.Add(int64(n))
	return n, err
}
