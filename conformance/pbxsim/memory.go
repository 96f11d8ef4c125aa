package pbxsim

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// memoryServers numbers the servers, so that each has an address of its own.
var memoryServers atomic.Uint32

// ListenMemory serves p over connections in memory. The URL looks like one of
// the loopback interface, at an IP address that no other server of the process
// has, as PBXs have; but only the server's own clients reach it, and they reach
// nothing else.
//
// Made inside a [testing/synctest] bubble, it belongs to that bubble: waiting
// for it blocks durably, and so its time is virtual, the Date of its responses
// included. Close it before the bubble ends.
func ListenMemory(p *PBX) *Server {
	n := memoryServers.Add(1)
	addr := &net.TCPAddr{IP: net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n)), Port: 8088}
	s := &Server{URL: "http://" + addr.String(), pbx: p}
	s.listen = func() (net.Listener, error) {
		return &memoryListener{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}, nil
	}
	var ports atomic.Uint32 // of the clients
	s.dial = func(from net.IP) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, to string) (net.Conn, error) {
			s.mu.Lock()
			l, _ := s.listener.(*memoryListener)
			s.mu.Unlock()
			if l == nil || to != addr.String() {
				return nil, refused(addr)
			}
			return l.dial(ctx, &net.TCPAddr{IP: from, Port: 1024 + int(ports.Add(1))%60_000})
		}
	}
	s.Reopen()
	p.attach(s)
	return s
}

type memoryListener struct {
	addr   net.Addr
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *memoryListener) Addr() net.Addr { return l.addr }

func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// dial connects the address from with the server.
func (l *memoryListener) dial(ctx context.Context, from net.Addr) (net.Conn, error) {
	near, far := net.Pipe()
	wasReset := new(atomic.Bool)
	select {
	case l.conns <- &memoryConn{Conn: far, local: l.addr, remote: from, wasReset: wasReset}:
		return &memoryConn{Conn: near, local: from, remote: l.addr, wasReset: wasReset}, nil
	case <-l.closed:
		return nil, refused(l.addr)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// refused is the error of a port at which nobody listens.
func refused(addr net.Addr) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// A memoryConn is an end of a pipe that has addresses.
type memoryConn struct {
	net.Conn
	local, remote net.Addr
	wasReset      *atomic.Bool // both ends have it
}

func (c *memoryConn) reset() {
	c.wasReset.Store(true)
	c.Close()
}

func (c *memoryConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && c.wasReset.Load() {
		err = &net.OpError{Op: "read", Net: "tcp", Source: c.local, Addr: c.remote, Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	}
	return n, err
}

func (c *memoryConn) LocalAddr() net.Addr  { return c.local }
func (c *memoryConn) RemoteAddr() net.Addr { return c.remote }
