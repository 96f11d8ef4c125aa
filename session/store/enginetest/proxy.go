//go:build unix

package enginetest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Proxy is a toxiproxy before a server: what a client sees of a faulty network.
type Proxy struct {
	proxy *toxiproxy.Proxy
}

// StartProxy starts a proxy before the server at addr.
func StartProxy(t testing.TB, addr string) *Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := &Proxy{proxy: toxiproxy.NewProxy(server, "store", "127.0.0.1:0", addr)}
	p.Restore(t)
	t.Cleanup(func() { p.proxy.Stop() })
	return p
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.proxy.Listen }

// Cut closes all connections and refuses new ones, until Restore.
func (p *Proxy) Cut(testing.TB) { p.proxy.Stop() }

// Restore ends Cut.
func (p *Proxy) Restore(t testing.TB) {
	t.Helper()
	if err := p.proxy.Start(); err != nil {
		t.Error(err)
	}
}

// Redirect passes new connections on to another server. The proxy has to be cut.
func (p *Proxy) Redirect(addr string) { p.proxy.Upstream = addr }

// Add adds a fault to what the server sends ("downstream") or gets ("upstream"),
// by toxiproxy's name for it, with its attributes as JSON.
func (p *Proxy) Add(t testing.TB, kind, stream, attributes string) {
	t.Helper()
	toxic := fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "attributes": %s}`, kind+"-"+stream, kind, stream, attributes)
	if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		t.Error(err)
	}
}

// Clear removes all faults that Add added.
func (p *Proxy) Clear(testing.TB) { p.proxy.Toxics.ResetToxics(context.Background()) }
