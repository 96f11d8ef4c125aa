package wire_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
)

// net/http reads the proxy from the environment once, so that each of these has a
// process of its own.
func TestTheTrustInAPBXDoesNotHoldForAProxy(t *testing.T) {
	const address, insecure = "PBX_TEST_PROXY", "PBX_TEST_INSECURE"
	if proxy := os.Getenv(address); proxy != "" {
		cfg := settings("https://pbx.example.com:8088")
		cfg.TLS = pbx.TLS{PinSHA256: someonesPin}
		if os.Getenv(insecure) != "" {
			cfg.TLS = pbx.TLS{InsecureSkipVerify: true}
		}
		c := open(t, cfg)
		_, err := c.Do(t.Context(), login)
		wantFailure(t, err, pbx.ErrConfig, false, "would hold for the https:// proxy "+proxy+" too")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := c.Transport().RoundTrip(r); err == nil {
			resp.Body.Close()
			t.Error("the application's request went out")
		}
		return
	}
	proxy := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the proxy got its password: %q", r.Header.Get("Proxy-Authorization"))
	}))
	defer proxy.Close()
	host := proxy.Listener.Addr().String()
	for _, flag := range []string{"", "1"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "HTTPS_PROXY=https://u:canary@"+host, "NO_PROXY=", address+"="+host, insecure+"="+flag)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

func TestTheCertificateOfAProxyIsNotTakenForThePBXs(t *testing.T) {
	proxy := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{certificate(t, time.Now().AddDate(1, 0, 0), net.IPv4(127, 0, 0, 1))}})
	through, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	cfg := settings("https://pbx.example.com:8088")
	cfg.Transport = &http.Transport{Proxy: http.ProxyURL(through)}
	_, err = open(t, cfg).Do(t.Context(), login)
	if failure := wantFailure(t, err, pbx.ErrConfig, false, "the certificate of the https:// proxy "+through.Host+" is not trusted"); failure.Setting != "" {
		t.Errorf("setting %q", failure.Setting)
	}
}

func TestAProxyThatDoesNotConnectIsNamed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	for want, connect := range map[string]http.HandlerFunc{
		"the proxy %s did not connect to pbx.example.com:8088": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"no connection to the proxy %s":                        nil,
	} {
		proxy := httptest.NewServer(connect)
		if connect == nil {
			proxy.Close()
		}
		wantFailure(t, through(t, ctx, proxy, "https://pbx.example.com:8088"), pbx.ErrUnavailable, false, fmt.Sprintf(want, proxy.Listener.Addr()))
		proxy.Close()
	}
	seen := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { cancel(); <-seen }))
	defer slow.Close()
	defer close(seen)
	wantFailure(t, through(t, ctx, slow, "https://pbx.example.com:8088"), pbx.ErrUnavailable, false, "no connection to pbx.example.com:8088") // the PBX may be slow
}

func TestAProxyThatHasTheRequestIsNotBlamed(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer proxy.Close()
	wantFailure(t, through(t, t.Context(), proxy, "http://pbx.example.com:8088"), pbx.ErrUnavailable, true, "no response from pbx.example.com:8088")
}

// through is what a login over a proxy ends in.
func through(t *testing.T, ctx context.Context, proxy *httptest.Server, address string) error {
	t.Helper()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	cfg := settings(address)
	cfg.AllowPlainHTTP = true
	cfg.Transport = &http.Transport{Proxy: http.ProxyURL(at)}
	_, err = open(t, cfg).Do(ctx, login)
	return err
}
