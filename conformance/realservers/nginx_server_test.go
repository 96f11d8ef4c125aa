//go:build linux

package realservers

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
)

// nginx is a running nginx, Debian's nginx-light.
type nginx struct {
	*process
	dir   string
	port  int
	trust pbx.TLS // for its certificate, which is self-signed
}

// startNginx starts an nginx with the lines of a server block, which may name
// the port $PORT, and lines of the http block.
func startNginx(t *testing.T, server, http string) *nginx {
	t.Helper()
	requireProgram(t, "nginx")
	n := &nginx{dir: t.TempDir(), port: freePort(t)}
	n.trust = pbx.TLS{PinSHA256: pbx.Pin(writeCertificate(t, n.dir))}
	n.configure(t, server, http)
	n.process = startProcess(t, n.dir, "nginx", "-p", n.dir, "-c", n.file("nginx.conf"), "-e", n.file("error.log"))
	n.ready(t, n.address())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("nginx has seen: %v", n.seen(t))
		}
	})
	return n
}

func (n *nginx) file(name string) string { return filepath.Join(n.dir, name) }

func (n *nginx) address() string { return fmt.Sprintf("127.0.0.1:%d", n.port) }

func (n *nginx) configure(t *testing.T, server, http string) {
	t.Helper()
	text := strings.NewReplacer("$DIR", n.dir, "$PORT", fmt.Sprint(n.port), "$SERVER", server, "$HTTP", http).Replace(`
user root; # or its worker cannot write below the test's directory
daemon off;
worker_processes 1;
pid $DIR/nginx.pid;
error_log $DIR/error.log info;
events {}
http {
	log_format seen '$request_method $uri $status $upstream_status';
	access_log $DIR/access.log seen;
	client_body_temp_path $DIR/body;
	proxy_temp_path $DIR/proxy;
	fastcgi_temp_path $DIR/fastcgi;
	uwsgi_temp_path $DIR/uwsgi;
	scgi_temp_path $DIR/scgi;
	ssl_certificate $DIR/certificate.pem;
	ssl_certificate_key $DIR/key.pem;
	$HTTP
	server {
		$SERVER
	}
}
`)
	text = strings.ReplaceAll(text, "$PORT", fmt.Sprint(n.port)) // in server
	if err := os.WriteFile(n.file("nginx.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reconfigure makes nginx read another server block, as an administrator does.
func (n *nginx) reconfigure(t *testing.T, server, http string) {
	t.Helper()
	n.configure(t, server, http)
	ended := func() int {
		text, _ := os.ReadFile(n.file("error.log"))
		return bytes.Count(text, []byte("exited with code"))
	}
	before := ended()
	n.command.Process.Signal(syscall.SIGHUP)
	// The old worker closes its connections.
	eventually(t, 10*time.Second, "nginx has read its file again", func() bool { return ended() > before })
}

// seen counts the lines of nginx's access log: method, path, status, and the
// status of the server behind it.
func (n *nginx) seen(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile(n.file("access.log"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for line := range strings.Lines(string(text)) {
		seen[strings.TrimSpace(line)]++
	}
	return seen
}

// statuses counts nginx's responses by status, as in "200: 10, 502: 3".
func (n *nginx) statuses(t *testing.T) string {
	t.Helper()
	statuses := map[string]int{}
	for line, times := range n.seen(t) {
		if fields := strings.Fields(line); len(fields) > 2 {
			statuses[fields[2]] += times
		}
	}
	var texts []string
	for _, status := range slices.Sorted(maps.Keys(statuses)) {
		texts = append(texts, fmt.Sprintf("%s: %d", status, statuses[status]))
	}
	return strings.Join(texts, ", ")
}

func writeCertificate(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "127.0.0.1"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"certificate.pem": {Type: "CERTIFICATE", Bytes: der},
		"key.pem":         {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
