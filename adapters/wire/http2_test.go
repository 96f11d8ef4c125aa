package wire_test

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/pbxauth/pbx"
)

// Over HTTP/2, which the settings' Transport may speak, net/http sends a request again that
// the server has ended by a reset.
func TestALoginIsSentOnceOverHTTP2(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var got atomic.Int32
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go resetStreams(c, &got)
		}
	}()
	var http2 http.Protocols
	http2.SetUnencryptedHTTP2(true)
	cfg := settings("http://" + listener.Addr().String())
	cfg.Transport = &http.Transport{Protocols: &http2}
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		for _, body := range []string{"", `{"username":"api"}`} {
			got.Store(0)
			req := login
			req.Method, req.Body = method, []byte(body)
			_, err := open(t, cfg).Do(t.Context(), req)
			wantFailure(t, err, pbx.ErrUnavailable, true, "no response from "+listener.Addr().String())
			if n := got.Load(); n != 1 {
				t.Errorf("%s %s was sent %d times: %v", method, body, n, err)
			}
		}
	}
}

// resetStreams is a server of HTTP/2 that reads requests and ends each with RST_STREAM and
// PROTOCOL_ERROR.
func resetStreams(c net.Conn, requests *atomic.Int32) {
	defer c.Close()
	io.CopyN(io.Discard, c, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
	c.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}) // SETTINGS
	for {
		var frame [9]byte
		if _, err := io.ReadFull(c, frame[:]); err != nil {
			return
		}
		io.CopyN(io.Discard, c, int64(frame[0])<<16|int64(frame[1])<<8|int64(frame[2]))
		switch kind, flags, stream := frame[3], frame[4], frame[5:]; {
		case kind == 4 && flags == 0: // SETTINGS
			c.Write([]byte{0, 0, 0, 4, 1, 0, 0, 0, 0})
		case kind <= 1 && flags&1 != 0: // the end of a request: HEADERS or DATA with END_STREAM
			requests.Add(1)
			c.Write(append(append([]byte{0, 0, 4, 3, 0}, stream...), 0, 0, 0, 1))
		}
	}
}
