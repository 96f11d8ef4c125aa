package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections hold nothing back: what the other side does not
// read is not written.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func TestAClientThatStopsReadingAPageIsDisconnected(t *testing.T) {
	for _, request := range []string{"GET /", "GET /static/page.js", "GET /nowhere", "GET /events", "GET /pbx/1", "GET /pbx/1/events", "POST /pbx/1/disconnect"} {
		t.Run(request, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, client, end := serving(t)
				if _, err := p.app.save(t.Context(), Settings{Name: "Old", Driver: "avaya", URL: "https://pbx.example"}); err != nil {
					t.Fatal(err)
				}
				visitor := &http.Request{Header: http.Header{"Cookie": {cookieName + "=abcdefghijklmnopqrstuvwxyz"}}}
				form := url.Values{"token": {p.server.token(visitor)}}.Encode()
				fmt.Fprintf(client, "%s HTTP/1.1\r\nHost: localhost\r\nCookie: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", request, visitor.Header.Get("Cookie"), len(form), form)
				time.Sleep(patience + time.Second)
				synctest.Wait()
				if n, err := client.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("%d bytes and the error %v after %v in which nothing was read", n, err, patience)
				}
				end()
			})
		})
	}
}

// serving starts a program with one connection, whose other end is client. end closes
// both.
func serving(t *testing.T) (p *program, client net.Conn, end func()) {
	t.Helper()
	p, err := open(settingsOfProcess{}, newKey(), nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	l := make(pipes)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.serve(ctx, l) }()
	server, client := net.Pipe()
	l <- server
	return p, client, func() {
		client.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// Each write has its own time: a stream that is read stays open, however long it lasts.
func TestAStreamThatIsReadStaysOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, end := serving(t)
		defer end()
		io.WriteString(client, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
		start := time.Now()
		client.SetReadDeadline(start.Add(20 * heartbeat))
		if n, err := io.Copy(io.Discard, client); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %v and %d bytes the stream ended with the error %v", time.Since(start), n, err)
		}
	})
}
