package main

import (
	"context"
	"errors"
	"io"
	"net"
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
	for _, path := range []string{"/", "/static/page.js", "/nowhere", "/events"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
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
				io.WriteString(client, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
				time.Sleep(patience + time.Second)
				synctest.Wait()
				if n, err := client.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("%d bytes and the error %v after %v in which nothing was read", n, err, patience)
				}
				client.Close()
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Each write has its own time: a stream that is read stays open, however long it lasts.
func TestAStreamThatIsReadStaysOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
		io.WriteString(client, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
		start := time.Now()
		client.SetReadDeadline(start.Add(20 * heartbeat))
		n, err := io.Copy(io.Discard, client)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %v and %d bytes the stream ended with the error %v", time.Since(start), n, err)
		}
		client.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
