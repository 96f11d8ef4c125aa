package pbxsim

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
)

// panicsOnly writes the panics of a dialect to standard error. Its client sees no more
// than a lost response.
type panicsOnly struct{}

func (panicsOnly) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("panic serving")) {
		return os.Stderr.Write(line)
	}
	return len(line), nil
}

// A Server is a PBX at an address.
type Server struct {
	URL string // of the loopback network, as in "http://127.0.0.1:41234"

	pbx    *PBX
	listen func() (net.Listener, error) // at the same address every time
	dial   func(from net.IP) func(ctx context.Context, network, addr string) (net.Conn, error)
	tls    *tls.Config // nil: plain HTTP

	mu       sync.Mutex // guards all below
	listener net.Listener
	stop     func()                  // nil while closed
	isCut    bool                    // closed by [PBX.Down], for [PBX.Up] to open
	clients  map[string]*http.Client // by address
}

// Listen serves p on a port of the loopback interface. All such servers are at
// 127.0.0.1. A client that counts wrong logins by host takes them for one PBX: give
// several PBXs addresses of their own with [ListenMemory] or [ListenAt].
func Listen(p *PBX) *Server {
	return listenLoopback(p, nil)
}

// ListenTLS serves p on a port of the loopback interface over TLS, with a
// certificate that is new and self-signed, as factory certificates are.
// [Server.Client] trusts it.
func ListenTLS(p *PBX) *Server {
	return ListenFaultyTLS(p, 0)
}

// ListenFaultyTLS is [ListenTLS] with something that a client may not accept.
// Such a client sees the fault and not the PBX.
func ListenFaultyTLS(p *PBX, fault TLSFault) *Server {
	cert := selfSigned(fault)
	return listenLoopback(p, fault.tlsConfig(cert))
}

// ListenAt serves p at an address, as in "127.0.0.2:8088", over TLS as
// [ListenTLS] does, or over plain HTTP.
func ListenAt(p *PBX, address string, secure bool) (*Server, error) {
	var over *tls.Config
	if secure {
		over = TLSFault(0).tlsConfig(selfSigned(0))
	}
	return listenAt(p, address, over)
}

// listenLoopback serves p over TLS, or over plain HTTP if over is nil.
func listenLoopback(p *PBX, over *tls.Config) *Server {
	s, err := listenAt(p, "127.0.0.1:0", over)
	if err != nil {
		panic("pbxsim: " + err.Error())
	}
	return s
}

func listenAt(p *PBX, addr string, over *tls.Config) (*Server, error) {
	s := &Server{pbx: p, tls: over}
	s.listen = func() (net.Listener, error) {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			addr = l.Addr().String()
		}
		return l, err
	}
	s.dial = func(from net.IP) func(context.Context, string, string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).DialContext
	}
	if err := s.reopen(); err != nil {
		return nil, err
	}
	p.attach(s)
	s.URL = "http://" + addr
	if over != nil {
		s.URL = "https://" + addr
	}
	return s, nil
}

// Reopen serves again, at the same address, after a Close. It panics where the
// port of a loopback server has been taken meanwhile.
func (s *Server) Reopen() {
	if err := s.reopen(); err != nil {
		panic("pbxsim: " + err.Error())
	}
}

func (s *Server) reopen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isCut = false
	if s.stop != nil {
		return nil
	}
	l, err := s.listen()
	if err != nil {
		return err
	}
	s.listener = l
	if s.tls != nil {
		l = tls.NewListener(l, s.tls)
	}

	ctx, cancel := context.WithCancel(context.Background())
	var goroutines sync.WaitGroup
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			goroutines.Add(1) // a connection that is taken over does not count any more
			defer goroutines.Done()
			s.pbx.ServeHTTP(w, r)
		}),
		BaseContext: func(net.Listener) context.Context { return context.WithValue(ctx, closingKey{}, ctx.Done()) },
		ErrorLog:    log.New(panicsOnly{}, "", 0), // handshakes that fail are the tests' own
		Protocols:   new(http.Protocols),
		ConnState: func(c net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				goroutines.Add(1)
				if ctx.Err() != nil { // came in while the server was closing
					c.Close()
				}
			case http.StateClosed, http.StateHijacked:
				goroutines.Done()
			}
		},
	}
	server.Protocols.SetHTTP1(true)
	goroutines.Go(func() { server.Serve(l) })
	s.stop = func() {
		cancel()
		server.Close()
		goroutines.Wait()
	}
	return nil
}

// closingKey is the key under which a request's context has a channel that is
// closed when the server closes.
type closingKey struct{}

// closing returns that channel. It is nil in a server that is not of this
// package.
func closing(r *http.Request) <-chan struct{} {
	done, _ := r.Context().Value(closingKey{}).(<-chan struct{})
	return done
}

// cut closes the server until restore.
func (s *Server) cut() {
	s.mu.Lock()
	open := s.stop != nil
	s.mu.Unlock()
	if !open {
		return
	}
	s.Close()
	s.mu.Lock()
	s.isCut = true
	s.mu.Unlock()
}

// restore opens the server, unless it has been closed since cut.
func (s *Server) restore() {
	s.mu.Lock()
	isCut := s.isCut
	s.mu.Unlock()
	if isCut {
		s.Reopen()
	}
}

// Close cuts all connections and refuses new ones, as when a PBX is unplugged,
// and waits until the server's goroutines have ended. The PBX keeps its tokens;
// see [PBX.Restart].
func (s *Server) Close() {
	s.mu.Lock()
	stop := s.stop
	s.stop, s.listener, s.isCut = nil, nil, false
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clients {
		c.CloseIdleConnections() // or the next request might still try one of them
	}
}

// Client returns a plain client that reaches the server from 127.0.0.1. It is
// the same one every time.
func (s *Server) Client() *http.Client {
	return s.ClientFrom("127.0.0.1")
}

// ClientFrom returns a client whose requests come from the given IP address. In
// memory that is any address; over loopback it is one of 127.0.0.0/8, as far as
// the operating system has them.
func (s *Server) ClientFrom(ip string) *http.Client {
	from := net.ParseIP(ip)
	if from == nil {
		panic("pbxsim: not an IP address: " + ip)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[ip]; c != nil {
		return c
	}
	transport := &http.Transport{DialContext: s.dial(from)}
	if leaf := s.Certificate(); leaf != nil {
		roots := x509.NewCertPool()
		roots.AddCert(leaf)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	if s.clients == nil {
		s.clients = make(map[string]*http.Client)
	}
	s.clients[ip] = &http.Client{Transport: transport}
	return s.clients[ip]
}

// Certificate returns the server's certificate. It is nil for plain HTTP, and for
// [NegativeSerial], which crypto/x509 does not read.
func (s *Server) Certificate() *x509.Certificate {
	if s.tls == nil {
		return nil
	}
	return s.tls.Certificates[0].Leaf
}
