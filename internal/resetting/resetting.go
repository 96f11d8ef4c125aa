// Package resetting has a server for tests that ends each request of HTTP/2 by a reset.
package resetting

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

// Serve starts the server at a loopback port until the test ends. It returns its URL, how
// many requests it has got, and a client's transport for it.
func Serve(t testing.TB) (url string, got *atomic.Int32, transport *http.Transport) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got = new(atomic.Int32)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go reset(c, got)
		}
	}()
	var http2 http.Protocols
	http2.SetUnencryptedHTTP2(true)
	transport = &http.Transport{Protocols: &http2}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		listener.Close()
	})
	return "http://" + listener.Addr().String(), got, transport
}

// reset reads requests and ends each with RST_STREAM and PROTOCOL_ERROR.
func reset(c net.Conn, got *atomic.Int32) {
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
			got.Add(1)
			c.Write(append(append([]byte{0, 0, 4, 3, 0}, stream...), 0, 0, 0, 1))
		}
	}
}
