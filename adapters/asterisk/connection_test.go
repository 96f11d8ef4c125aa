package asterisk_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Over its limit of connections Asterisk closes a new one without a byte, which
// says nothing about the secret.
func TestAConnectionClosedWithoutAByteIsNoVerdict(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.login(t)
		s.Fault(pbxsim.Fault{Times: -1, Drop: pbxsim.DropBefore})
		before := s.Counts()
		_, login := s.driver.Login(t.Context())
		_, ping := s.driver.KeepAlive(t.Context(), token)
		logoff := s.driver.Logout(t.Context(), token)
		for op, err := range map[string]error{"login": login, "ping": ping, "logoff": logoff} {
			if got := failure(t, err); got.Kind != pbx.ErrUnavailable || !got.Sent || got.HTTPStatus != 0 {
				t.Errorf("%s: %v", op, err)
			}
		}
		if sent := s.Counts().Requests - before.Requests; sent != 3 {
			t.Errorf("%d requests, want one for each operation", sent)
		}
		s.ClearFaults()
		if _, err := s.driver.KeepAlive(t.Context(), token); err != nil {
			t.Errorf("the session did not survive it: %v", err)
		}
	})
}

// fail2ban drops the packets of a caller that it has locked.
func TestALockedCallerSeesATimeOut(t *testing.T) {
	simulate(t, asterisksim.Options{}, pbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		s.Lock("127.0.0.1")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := s.driver.Login(ctx)
		if got := failure(t, err); got.Kind != pbx.ErrUnavailable || s.Counts().Logins != 0 {
			t.Errorf("%v, %d logins sent", err, s.Counts().Logins)
		}
	})
}

// Asterisk closes a connection that was idle for 15 s.
func TestAnIdleConnectionThatWasClosedCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := asterisksim.New(nil, &pbxsim.Options{Accounts: map[string]string{user: secret}})
		line := &pipes{made: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: sim, IdleTimeout: 15 * time.Second}
		go server.Serve(line)
		defer server.Close()
		transport := &http.Transport{DialContext: line.dial}
		defer transport.CloseIdleConnections()

		driver, err := asterisk.New(asterisk.Config{Config: pbx.Config{
			URL: "http://127.0.0.1", Username: user, Password: pbx.NewSecret(secret), Transport: transport,
		}})
		if err != nil {
			t.Fatal(err)
		}
		token, err := driver.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			time.Sleep(40 * time.Second) // as a session pings
			if token, err = driver.KeepAlive(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
		if line.dialled != 6 {
			t.Errorf("%d connections, want one for the login and one for each ping", line.dialled)
		}
	})
}

// pipes are connections in memory to a server of the test's own.
type pipes struct {
	made    chan net.Conn
	closed  chan struct{}
	dialled int
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.made:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8088} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	p.dialled++
	p.made <- far
	return near, nil
}
