package pbxsim

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// What no http.ResponseWriter can do to a connection.

// takeOver takes a request's connection from the server. It ends the request
// where that is not possible: in a test without connections.
func takeOver(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return conn, buffered
}

// reset ends a request by resetting its connection.
func reset(w http.ResponseWriter) {
	conn, _ := takeOver(w)
	raw := conn
	if over, ok := conn.(*tls.Conn); ok {
		raw = over.NetConn()
	}
	switch c := raw.(type) {
	case *net.TCPConn:
		c.SetLinger(0)
		c.Close()
	case *memoryConn:
		c.reset()
	default:
		c.Close()
	}
	panic(http.ErrAbortHandler)
}

// sendTwice sends a response, whose header w has, and sends it again.
func sendTwice(w http.ResponseWriter, r *http.Request, reply Reply, mode DoubleMode) {
	var response bytes.Buffer
	fmt.Fprintf(&response, "HTTP/1.1 %d %s\r\n", reply.Status, http.StatusText(reply.Status))
	header := w.Header()
	if _, ok := header["Date"]; !ok {
		header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	header.Write(&response)
	response.WriteString("\r\n")
	response.Write(reply.Body)

	conn, buffered := takeOver(w)
	defer conn.Close()
	defer context.AfterFunc(r.Context(), func() { conn.Close() })()
	once := response.Bytes()
	// An error of Write means that the client is gone.
	switch mode {
	case DoubleAtOnce:
		conn.Write(bytes.Repeat(once, 2))
	case DoubleOnNext:
		conn.Write(once)
		if next, err := http.ReadRequest(buffered.Reader); err == nil {
			io.Copy(io.Discard, next.Body)
			conn.Write(once)
		}
		return
	}
	io.Copy(io.Discard, buffered.Reader) // until the client closes, or the server
}
