package wire_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

const someonesPin = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

// certificate is self-signed, as those of factories are.
func certificate(t *testing.T, notAfter time.Time, ips ...net.IP) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "MyPBX"},
		NotBefore: notAfter.AddDate(-1, 0, 0), NotAfter: notAfter,
		DNSNames: []string{"pbx.internal"}, IPAddresses: ips,
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func serveTLS(t *testing.T, config *tls.Config) *server {
	s := newServer(t, func(http.ResponseWriter, *http.Request) {})
	s.TLS = config
	s.StartTLS()
	return s
}

func pool(certs ...tls.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c.Leaf)
	}
	return p
}

func caFile(t *testing.T, certs ...tls.Certificate) string {
	t.Helper()
	var text []byte
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})...)
	}
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestACertificateIsTrustedAsTheSettingsSay(t *testing.T) {
	nextYear := time.Now().AddDate(1, 0, 0)
	own, other := certificate(t, nextYear), certificate(t, nextYear)
	pin := pbx.Pin(own.Leaf)
	const name, untrusted, misnamed, replaced = "pbx.internal", "the PBX's certificate is not trusted", "is for another name: set TLS.ServerName", "is not the pinned one"
	s := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{own}})
	for title, test := range map[string]struct {
		tls  pbx.TLS
		want string // part of the error
	}{
		"nothing":               {pbx.TLS{}, misnamed},
		"a name":                {pbx.TLS{ServerName: name}, untrusted},
		"roots":                 {pbx.TLS{RootCAs: pool(own)}, misnamed},
		"roots and name":        {pbx.TLS{RootCAs: pool(own), ServerName: name}, ""},
		"roots, a wrong name":   {pbx.TLS{RootCAs: pool(own), ServerName: "pbx.example"}, misnamed},
		"file and name":         {pbx.TLS{CAFile: caFile(t, other, own), ServerName: name}, ""},
		"another's roots":       {pbx.TLS{RootCAs: pool(other), ServerName: name}, untrusted},
		"another's file":        {pbx.TLS{CAFile: caFile(t, other), ServerName: name}, untrusted},
		"pin":                   {pbx.TLS{PinSHA256: pin}, ""},
		"bare pin":              {pbx.TLS{PinSHA256: strings.TrimPrefix(pin, "sha256/")}, ""},
		"a pin from a file":     {pbx.TLS{PinSHA256: pin + "\n"}, ""},
		"another's pin":         {pbx.TLS{PinSHA256: someonesPin}, replaced},
		"pin, any name":         {pbx.TLS{PinSHA256: pin, ServerName: "pbx.example"}, ""},
		"pin and roots":         {pbx.TLS{PinSHA256: pin, RootCAs: pool(own), ServerName: name}, ""},
		"pin and file":          {pbx.TLS{PinSHA256: pin, CAFile: caFile(t, own), ServerName: name}, ""},
		"pin, roots, no name":   {pbx.TLS{PinSHA256: pin, RootCAs: pool(own)}, misnamed},
		"pin, another's roots":  {pbx.TLS{PinSHA256: pin, RootCAs: pool(other), ServerName: name}, untrusted},
		"another's pin, roots":  {pbx.TLS{PinSHA256: someonesPin, RootCAs: pool(own), ServerName: name}, replaced},
		"no verification":       {pbx.TLS{InsecureSkipVerify: true}, ""},
		"no verification, name": {pbx.TLS{InsecureSkipVerify: true, ServerName: name}, ""},
	} {
		t.Run(title, func(t *testing.T) {
			s.requests.Store(0)
			s.connections.Store(0)
			cfg := settings(s.URL)
			cfg.TLS = test.tls
			_, err := open(t, cfg).Do(t.Context(), login)
			if test.want == "" {
				if err != nil || s.requests.Load() != 1 {
					t.Errorf("%v, %d requests", err, s.requests.Load())
				}
				return
			}
			wantFailure(t, err, pbx.ErrConfig, false, test.want)
			if !strings.Contains(err.Error(), pin) {
				t.Errorf("%v does not name the pin %s", err, pin)
			}
			if s.requests.Load() != 0 || s.connections.Load() != 1 { // trying again would not help
				t.Errorf("%d requests over %d connections, want 0 over 1", s.requests.Load(), s.connections.Load())
			}
		})
	}
}

func TestThePinInTheErrorIsTheOneToSet(t *testing.T) {
	s := serveTLS(t, nil)
	cfg := settings(s.URL)
	_, err := open(t, cfg).Do(t.Context(), login)
	wantFailure(t, err, pbx.ErrConfig, false, "set TLS.CAFile, or TLS.PinSHA256 to sha256/")
	cfg.TLS.PinSHA256 = regexp.MustCompile(`sha256/[A-Za-z0-9+/=]+`).FindString(err.Error())
	if _, err := open(t, cfg).Do(t.Context(), login); err != nil {
		t.Error(err)
	}
}

func TestAnExpiredCertificateIsNamedAsSuch(t *testing.T) {
	cert := certificate(t, time.Now().AddDate(0, 0, -1), net.IPv4(127, 0, 0, 1))
	s := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}})
	cfg := settings(s.URL)
	cfg.TLS.RootCAs = pool(cert)
	_, err := open(t, cfg).Do(t.Context(), login)
	wantFailure(t, err, pbx.ErrConfig, false, "has expired or is not valid yet")
	cfg.TLS = pbx.TLS{PinSHA256: pbx.Pin(cert.Leaf)} // dates are not looked at
	if _, err := open(t, cfg).Do(t.Context(), login); err != nil {
		t.Error(err)
	}
}

func TestTheServerNameIsAskedFor(t *testing.T) {
	asked := make(chan string, 1)
	s := serveTLS(t, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		asked <- hello.ServerName
		return nil, nil
	}})
	cfg := settings(s.URL)
	cfg.TLS = pbx.TLS{InsecureSkipVerify: true, ServerName: "pbx.internal"}
	if _, err := open(t, cfg).Do(t.Context(), login); err != nil {
		t.Fatal(err)
	}
	if got := <-asked; got != "pbx.internal" {
		t.Errorf("asked for %q", got)
	}
}

func TestTheMinimumVersionHolds(t *testing.T) {
	for _, test := range []struct {
		server, least uint16
		ok            bool
	}{
		{tls.VersionTLS10, 0, false},
		{tls.VersionTLS10, tls.VersionTLS10, true},
		{tls.VersionTLS12, 0, true},
		{tls.VersionTLS12, tls.VersionTLS13, false},
		{tls.VersionTLS13, tls.VersionTLS13, true},
	} {
		s := serveTLS(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: test.server})
		cfg := settings(s.URL)
		cfg.TLS = pbx.TLS{InsecureSkipVerify: true, MinVersion: test.least}
		_, err := open(t, cfg).Do(t.Context(), login)
		if test.ok {
			if err != nil {
				t.Errorf("server %x, minimum %x: %v", test.server, test.least, err)
			}
			continue
		}
		wantFailure(t, err, pbx.ErrConfig, false, "TLS.MinVersion")
	}
}

// Old OpenSSL does not refuse: it answers with the version that it has.
func TestAnOldVersionOfTLSIsNamedAsSuch(t *testing.T) {
	hello := append([]byte{22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1}, make([]byte, 32+1+2+1)...)
	hello[len(hello)-2] = 0x2f // TLS_RSA_WITH_AES_128_CBC_SHA
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.Write(hello)
		io.Copy(io.Discard, conn)
	}()
	_, err = open(t, settings("https://"+l.Addr().String())).Do(t.Context(), login)
	wantFailure(t, err, pbx.ErrConfig, false, "set a lower TLS.MinVersion")
}

func TestHTTPSToAPlainPortSaysSo(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	_, err := open(t, settings("https://"+s.Listener.Addr().String())).Do(t.Context(), login)
	wantFailure(t, err, pbx.ErrConfig, false, "this port speaks plain http, not https")
	if got := s.requests.Load() + s.connections.Load(); got != 1 {
		t.Errorf("%d connections and requests, want 1", got)
	}
}

func TestTLSSettingsThatContradictAreRefused(t *testing.T) {
	noPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(noPEM, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, settingsOf := range map[string][]pbx.TLS{
		"InsecureSkipVerify contradicts": {
			{InsecureSkipVerify: true, PinSHA256: someonesPin},
			{InsecureSkipVerify: true, CAFile: noPEM},
			{InsecureSkipVerify: true, RootCAs: x509.NewCertPool()},
		},
		"CAFile and RootCAs are both set": {{CAFile: noPEM, RootCAs: x509.NewCertPool()}},
		"holds no PEM certificate":        {{CAFile: noPEM}},
		"no such file":                    {{CAFile: filepath.Join(t.TempDir(), "none.pem")}, {CAFile: "none\r\n.pem"}},
		"name too long":                   {{CAFile: strings.Repeat("x", 100_000)}},
		"has the certificate itself":      {{CAFile: "-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----\n"}},
		"is not the name of a host":       {{ServerName: "canary.example:8089"}, {ServerName: "https://canary.example"}, {ServerName: "a canary"}, {ServerName: "canary\n"}, {ServerName: "[::1]"}},
		"write an international name as it is in the certificate, in Punycode": {{ServerName: "кanary.example"}},
		"MinVersion is no version of TLS":                                      {{MinVersion: 12}, {MinVersion: 0x0300}, {MinVersion: 0x0305}, {MinVersion: 65535}}, // 12 would permit TLS 1.0
		"PinSHA256 is not a base64 SHA-256": {
			{PinSHA256: "canary"}, {PinSHA256: "sha256/"}, {PinSHA256: "sha256/AAAA"}, {PinSHA256: "sha1/" + strings.TrimPrefix(someonesPin, "sha256/")},
		},
	} {
		for _, contradiction := range settingsOf {
			cfg := settings("pbx.example.com")
			cfg.TLS = contradiction
			_, err := wire.New(brand, cfg)
			if text := wantFailure(t, err, pbx.ErrConfig, false, want).Error(); strings.Contains(text, "canary") {
				t.Errorf("quotes the setting: %s", text)
			} else if strings.ContainsAny(text, "\r\n") || len(text) > 500 {
				t.Errorf("is no short line: %q", text)
			}
		}
	}
}

func TestAPinForPlainHTTPIsRefused(t *testing.T) {
	cfg := settings("http://pbx.example.com")
	cfg.AllowPlainHTTP = true
	cfg.TLS.PinSHA256 = someonesPin
	_, err := wire.New(brand, cfg)
	wantFailure(t, err, pbx.ErrConfig, false, "plain http has no certificate")
	cfg.TLS = pbx.TLS{MinVersion: tls.VersionTLS13} // perhaps that of all PBXs of a program
	if _, err := wire.New(brand, cfg); err != nil {
		t.Error(err)
	}
}

func TestPBXsOfOneTrustShareTheirConnections(t *testing.T) {
	cert := certificate(t, time.Now().AddDate(1, 0, 0))
	roots, file := pool(cert), caFile(t, cert)
	transport := func(host string, trust pbx.TLS) http.RoundTripper {
		cfg := settings(host)
		cfg.TLS = trust
		return open(t, cfg).Transport()
	}
	profiles := []pbx.TLS{
		{}, {RootCAs: roots}, {CAFile: file}, {RootCAs: pool(cert)}, {PinSHA256: someonesPin}, {PinSHA256: someonesPin, RootCAs: roots},
		{ServerName: "a.example"}, {ServerName: "b.example"}, {ServerName: "::1"}, {MinVersion: tls.VersionTLS13}, {InsecureSkipVerify: true},
	}
	seen := map[http.RoundTripper]int{}
	for i, profile := range profiles {
		shared := transport("a.example", profile)
		if transport("b.example", profile) != shared {
			t.Errorf("profile %d is not shared", i)
		}
		if before, ok := seen[shared]; ok {
			t.Errorf("profiles %d and %d are one", before, i)
		}
		seen[shared] = i
	}
	if transport("c.example", pbx.TLS{CAFile: caFile(t, cert)}) != transport("d.example", pbx.TLS{CAFile: file}) {
		t.Error("two files of one content are not shared")
	}
	before := transport("e.example", pbx.TLS{CAFile: file})
	if err := os.Rename(caFile(t, cert, certificate(t, time.Now())), file); err != nil {
		t.Fatal(err)
	}
	if transport("f.example", pbx.TLS{CAFile: file}) == before {
		t.Error("a file that has changed is taken for the old one")
	}
}

func TestATransportThatNobodyUsesIsReleased(t *testing.T) {
	const many = 50
	idleTransports := func() int { n, _ := wire.IdleTransports(); return n }
	before, idle := wire.SharedSenders(), idleTransports()
	var clients []*wire.Client
	for i := range many {
		cfg := settings("pbx.example.com")
		cfg.TLS.ServerName = fmt.Sprintf("%d.example", i)
		c := open(t, cfg)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.0.0.1:1/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := c.Transport().RoundTrip(r); err == nil {
			resp.Body.Close()
		}
		clients = append(clients, c)
	}
	// Those of earlier tests may have been released since.
	if got := idleTransports(); got < many {
		t.Fatalf("%d transports may keep connections, of %d that were used", got, many)
	}
	if got := wire.SharedSenders(); got < many {
		t.Fatalf("%d transports for %d profiles", got, many)
	}
	runtime.KeepAlive(clients)
	clients = nil
	for range 1000 {
		if runtime.GC(); wire.SharedSenders() <= before && idleTransports() <= idle {
			return
		}
	}
	t.Errorf("%d senders remain, %d before; %d transports may keep connections, %d before", wire.SharedSenders(), before, idleTransports(), idle)
}

func TestFirmwareWhoseTLSGoRefusesIsNamedWithTheWayOut(t *testing.T) {
	for fault, want := range map[pbxsim.TLSFault]string{
		pbxsim.CommonNameOnly: "has only a common name",
		pbxsim.NegativeSerial: "GODEBUG=x509negativeserial=1",
		pbxsim.RSAKeyExchange: "GODEBUG=tlsrsakex=1",
	} {
		sim := yeastarsim.New(nil, nil)
		s := pbxsim.ListenFaultyTLS(sim, fault)
		_, err := open(t, settings(s.URL)).Do(t.Context(), login)
		wantFailure(t, err, pbx.ErrConfig, false, want)
		if len(sim.Log()) != 0 {
			t.Error("a request came through")
		}
		s.Close()
	}
}

// A server within TLS 1.3 refuses a client without a certificate after the request was
// sent. It reads none of it, so that no login counts, and a person has to act.
func TestAServerThatAsksForAClientCertificateIsNoOutage(t *testing.T) {
	cert := certificate(t, time.Now().AddDate(1, 0, 0), net.IPv4(127, 0, 0, 1))
	for version, want := range map[uint16]string{tls.VersionTLS12: "asks for a client certificate", tls.VersionTLS13: "set Transport to"} {
		s := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: version})
		cfg := settings(s.URL)
		cfg.TLS.RootCAs = pool(cert)
		_, err := open(t, cfg).Do(t.Context(), login)
		wantFailure(t, err, pbx.ErrConfig, false, want)
		if requests, connections := s.requests.Load(), s.connections.Load(); requests != 0 || connections != 1 {
			t.Errorf("%s: %d requests on %d connections", tls.VersionName(version), requests, connections)
		}
	}
}

// nginx accepts the connection, and responds itself (ssl_verify_client on, nginx 1.22).
func TestAPageThatAsksForAClientCertificateIsNoResponseOfThePBX(t *testing.T) {
	page := "<html>\r\n<head><title>400 No required SSL certificate was sent</title></head>\r\n<body>\r\n<center><h1>400 Bad Request</h1></center>\r\n" +
		"<center>No required SSL certificate was sent</center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
	respond := roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 400, Body: io.NopCloser(strings.NewReader(page))}, nil
	})
	_, err := open(t, over("https://pbx.example.com", respond)).Do(t.Context(), login)
	if failure := wantFailure(t, err, pbx.ErrConfig, false, "asks for a client certificate"); failure.Setting != "Transport" {
		t.Errorf("setting %q", failure.Setting)
	}
	if _, err := open(t, over("http://localhost", respond)).Do(t.Context(), login); err != nil { // there are no certificates
		t.Error(err)
	}
}

// A server in front of several names refuses others before the request is sent.
func TestANameThatTheServerDoesNotHaveIsNamed(t *testing.T) {
	none := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: none})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	_, err = open(t, settings("https://"+l.Addr().String())).Do(t.Context(), login)
	if failure := wantFailure(t, err, pbx.ErrConfig, false, "no certificate for this name"); failure.Setting != "TLS.ServerName" {
		t.Errorf("setting %q", failure.Setting)
	}
}
