package prommetrics_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/prommetrics"
)

// apiAccount is that of the simulated PBX.
var apiAccount = map[string]string{"api": "secret"}

// A program registers the metrics of its Manager and serves them as it serves its
// others.
func Example() {
	server := pbxsim.ListenMemory(yeastarsim.New(nil, &pbxsim.Options{Accounts: apiAccount}))
	defer server.Close()
	auth, err := pbx.Open("yeastar", pbx.Config{
		URL: server.URL, Username: "api", Password: pbx.NewSecret("secret"),
		Transport: server.Client().Transport, // only because the PBX is simulated
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	m := session.NewManager(nil)
	defer m.Close(ctx)
	if _, err := m.Add("customer-7", auth); err != nil {
		fmt.Println(err)
		return
	}
	if err := m.Ready(ctx); err != nil {
		fmt.Println(err)
		return
	}

	metrics, err := prommetrics.New(m, &prommetrics.Options{Fleet: "production"})
	if err != nil {
		fmt.Println(err)
		return
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics)
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{}) // http.Handle("/metrics", handler)

	response := httptest.NewRecorder()
	handler.ServeHTTP(response, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(response.Body.String()) {
		if strings.HasPrefix(line, "pbx_sessions{") {
			fmt.Print(line)
		}
	}
	// Output:
	// pbx_sessions{driver="yeastar",fleet="production",state="connecting"} 0
	// pbx_sessions{driver="yeastar",fleet="production",state="live"} 1
	// pbx_sessions{driver="yeastar",fleet="production",state="locked"} 0
	// pbx_sessions{driver="yeastar",fleet="production",state="rejected"} 0
	// pbx_sessions{driver="yeastar",fleet="production",state="renewing"} 0
	// pbx_sessions{driver="yeastar",fleet="production",state="unavailable"} 0
}
