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

// sendByHand writes a response to the connection itself.
func sendByHand(w http.ResponseWriter, r *http.Request, reply Reply, fault Fault) {
	conn, buffered := takeOver(w)
	defer conn.Close()
	defer context.AfterFunc(r.Context(), func() { conn.Close() })()

	// Errors of writing mean that the client is gone.
	if fault.Raw != nil {
		conn.Write(fault.Raw)
		return
	}
	if fault.Status == http.StatusSwitchingProtocols {
		reply.Header.Set("Connection", "Upgrade")
		reply.Header.Set("Upgrade", "websocket")
		reply.Header.Del("Content-Length")
	}
	if _, ok := reply.Header["Date"]; !ok {
		reply.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	var response bytes.Buffer
	fmt.Fprintf(&response, "HTTP/1.1 %d %s\r\n", reply.Status, http.StatusText(reply.Status))
	if fault.HeaderBytes > 0 {
		reply.Header.Set("Connection", "close")
		response.WriteString("X-Filler: ")
		conn.Write(response.Bytes())
		response.Reset()
		stream(conn, fault.HeaderBytes)
		response.WriteString("\r\n")
	}
	reply.Header.Write(&response)
	response.WriteString("\r\n")
	response.Write(reply.Body)
	once := response.Bytes()

	switch {
	case fault.Double == DoubleAtOnce:
		conn.Write(bytes.Repeat(once, 2))
	case fault.Double == DoubleOnNext:
		conn.Write(once)
		if next, err := http.ReadRequest(buffered.Reader); err == nil {
			io.Copy(io.Discard, next.Body)
			conn.Write(once)
		}
		return
	default:
		conn.Write(once)
		if fault.LengthOff > 0 {
			return // only the end of the connection ends the body
		}
	}
	io.Copy(io.Discard, buffered.Reader) // until the client closes, or the server
}
