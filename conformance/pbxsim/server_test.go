package pbxsim_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func TestAServerIsALoopbackAddress(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		scheme := "http"
		if s.Certificate() != nil {
			scheme = "https"
		}
		u, err := url.Parse(s.URL)
		if err != nil || u.Scheme != scheme || !net.ParseIP(u.Hostname()).IsLoopback() || u.Port() == "" {
			t.Errorf("URL = %q", s.URL)
		}
		login(t, s)
		if got := p.Log()[0].From; got != "127.0.0.1" {
			t.Errorf("caller %q, want 127.0.0.1", got)
		}
	})
}

type panicking struct{ plain }

func (panicking) Serve(*pbxsim.Accounts, *pbxsim.Request) pbxsim.Reply {
	panic("a fault of the dialect")
}

// The client sees a lost response, and would be blamed for it.
func TestAPanicOfADialectIsShown(t *testing.T) {
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	old := os.Stderr
	os.Stderr = stderr
	defer func() { os.Stderr = old }()
	s := pbxsim.ListenMemory(pbxsim.New(panicking{}, nil))
	if resp, err := s.Client().Get(s.URL); err == nil {
		resp.Body.Close()
		t.Error("there is a response")
	}
	s.Close()
	shown, err := os.ReadFile(stderr.Name())
	if err != nil || !strings.Contains(string(shown), "a fault of the dialect") || !strings.Contains(string(shown), "server_test.go") {
		t.Errorf("standard error has %q (%v)", shown, err)
	}
}

// PBXs are hosts of their own, and have a budget of wrong logins each.
func TestServersInMemoryAreHostsOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		s := pbxsim.ListenMemory(pbxsim.New(plain{}, nil))
		defer s.Close()
		u, err := url.Parse(s.URL)
		if err != nil || seen[u.Hostname()] {
			t.Fatalf("URL = %q", s.URL)
		}
		seen[u.Hostname()] = true
	}
}

func TestCloseRefusesAndReopenResumes(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		token := login(t, s)
		s.Close()
		s.Close()
		if _, _, err := ask(s.Client(), s.URL+good); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("error %v, want connection refused", err)
		}
		s.Reopen()
		s.Reopen()
		want(t, s, "/request?token="+token, "ok")
	})
}

func TestConnectionsAreKept(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		for range 2 {
			resp, _, err := ask(s.Client(), s.URL+good)
			if err != nil || resp.Close {
				t.Errorf("error %v, close %v", err, resp.Close)
			}
		}
		if s.Client() != s.ClientFrom("127.0.0.1") {
			t.Error("Client is a new one every time")
		}
	})
}

func TestClientFromIsTheAddressThatThePBXSees(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		ips := []string{"192.0.2.7", "2001:db8::7", "127.0.0.1"}
		for i, ip := range ips {
			sayFrom(t, s, ip, good)
			if got := p.Log()[i].From; got != ip {
				t.Errorf("caller %q, want %q", got, ip)
			}
		}
	})
}

func TestAMemoryClientReachesItsOwnServerOnly(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		other := pbxsim.ListenMemory(p)
		defer other.Close()
		if other.URL == s.URL {
			t.Errorf("two servers at %s", s.URL)
		}
		if _, _, err := ask(s.Client(), other.URL+good); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("error %v, want connection refused", err)
		}
	})
}

func TestACertificateIsTrustedByItsOwnClientOnly(t *testing.T) {
	p := pbxsim.New(plain{}, nil)
	s, other := pbxsim.ListenTLS(p), pbxsim.ListenTLS(p)
	defer s.Close()
	defer other.Close()
	say(t, s, good)
	var unknown x509.UnknownAuthorityError
	if _, _, err := ask(other.Client(), s.URL+good); !errors.As(err, &unknown) {
		t.Errorf("error %v, want an unknown authority", err)
	}
}

// A client that takes a token's life from the Date of its answer needs that one
// to be as virtual as the rest.
func TestDateIsVirtual(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		for range 3 {
			resp, _, err := ask(s.Client(), s.URL+good)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := resp.Header.Get("Date"), time.Now().UTC().Format(http.TimeFormat); got != want {
				t.Errorf("Date: %s, want %s", got, want)
			}
			time.Sleep(90 * time.Minute)
		}
	})
}

func TestFaultyTLSIsRefusedByGo(t *testing.T) {
	for fault, want := range map[pbxsim.TLSFault]string{
		pbxsim.CommonNameOnly: "SAN",
		pbxsim.NegativeSerial: "negative serial number",
		pbxsim.RSAKeyExchange: "handshake failure",
		pbxsim.OldTLS:         "protocol version",
	} {
		p := pbxsim.New(plain{}, nil)
		s := pbxsim.ListenFaultyTLS(p, fault)
		defer s.Close()
		_, _, err := ask(s.Client(), s.URL+good)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one about %s", err, want)
		}
		if len(p.Log()) != 0 {
			t.Error("a request came through")
		}
	}
}

// The faults are no more than that: a client that accepts them reaches the PBX.
func TestFaultyTLSServesAClientThatAcceptsIt(t *testing.T) {
	for fault, accept := range map[pbxsim.TLSFault]*tls.Config{
		pbxsim.CommonNameOnly: {InsecureSkipVerify: true},
		pbxsim.RSAKeyExchange: {InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
		pbxsim.OldTLS:         {InsecureSkipVerify: true, MinVersion: tls.VersionTLS10},
	} {
		s := pbxsim.ListenFaultyTLS(pbxsim.New(plain{}, nil), fault)
		defer s.Close()
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: accept}}
		defer c.CloseIdleConnections()
		if _, got, err := ask(c, s.URL+bad); got != wrong {
			t.Errorf("%v: %q, %v", fault, got, err)
		}
	}
}
