package prommetrics_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/prommetrics"
)

// program finds a program of Debian's package prometheus, or skips the test.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: apt-get install prometheus", name)
	}
	return path
}

func TestPromtoolFindsNothingWrongWithTheMetrics(t *testing.T) {
	text := scrape(t, registered(t, newFleet(t, 8), prommetrics.Options{Fleet: "test", WorstHosts: 1}))
	check := exec.CommandContext(t.Context(), program(t, "promtool"), "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestPromtoolFindsNothingWrongWithTheAlertRules(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), program(t, "promtool"), "check", "rules", "alerts.yml").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// queries are the blocks of PromQL in the README.
func queries(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile("(?s)```promql\n(.*?)\n```").FindAllSubmatch(text, -1) {
		all = append(all, string(m[1]))
	}
	if len(all) < 6 {
		t.Fatalf("%d queries in the README", len(all))
	}
	return all
}

func TestTheAlertRulesAndTheQueriesUseMetricsThatExist(t *testing.T) {
	rules, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	families, err := registered(t, newFleet(t, 8), prommetrics.Options{Fleet: "test", WorstHosts: 1}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	var exist []string
	for _, f := range families {
		exist = append(exist, f.GetName())
	}
	used := regexp.MustCompile(`pbx_[a-z_]+`).FindAllString(string(rules)+strings.Join(queries(t), "\n"), -1)
	if len(used) < 15 {
		t.Fatalf("only %d uses of metrics", len(used))
	}
	for _, name := range used {
		base := name
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			base = strings.TrimSuffix(base, suffix)
		}
		if !slices.Contains(exist, base) {
			t.Errorf("there is no metric %s", name)
		}
	}
}

// A real Prometheus scrapes a program whose PBX gets locked.
func TestARealPrometheusFiresTheAlertWhenAPBXLocks(t *testing.T) {
	path := program(t, "prometheus")
	sim := yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}})
	server := pbxsim.Listen(sim)
	defer server.Close()
	auth, err := pbx.Open("yeastar", pbx.Config{URL: server.URL, Username: "api", Password: pbx.NewSecret("secret")})
	if err != nil {
		t.Fatal(err)
	}
	m := session.NewManager(&session.Options{Guard: &session.Guard{}})
	defer m.Close(context.Background())
	s, err := m.Add("customer-7", auth)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	scraped := httptest.NewServer(promhttp.HandlerFor(registered(t, m, prommetrics.Options{Fleet: "test", WorstHosts: 5}), promhttp.HandlerOpts{}))
	defer scraped.Close()
	p := startPrometheus(t, path, strings.TrimPrefix(scraped.URL, "http://"))

	p.until(t, "the first scrape", `pbx_sessions{state="live"} == 1`)
	if firing := p.firing(t); len(firing) > 0 {
		t.Errorf("firing while all is well: %v", firing)
	}
	// The token dies with a restart. The login that follows finds that somebody at
	// this address has typed wrong passwords.
	token, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sim.Lock("127.0.0.1")
	sim.Restart()
	s.Invalidate(token)
	p.until(t, "the lock", `pbx_sessions{state="locked"} == 1 and on () pbx_hosts_locked == 1`)
	p.wait(t, "the alert", func() bool { return slices.Contains(p.firing(t), "PBXLocked") })

	for _, query := range queries(t) {
		if _, err := p.query(query); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	for _, query := range []string{queries(t)[0], queries(t)[1], queries(t)[3], queries(t)[4]} { // what is down, why, for how long, near
		if n, err := p.query(query); n == 0 {
			t.Errorf("%s has no result (%v)", query, err)
		}
	}
}

// prometheusServer is a Prometheus with a directory and a port of its own.
type prometheusServer struct {
	url string
	log bytes.Buffer // of a process that has ended
}

func startPrometheus(t *testing.T, path, target string) *prometheusServer {
	t.Helper()
	rules, err := filepath.Abs("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf(`
global: {scrape_interval: 200ms, evaluation_interval: 200ms}
rule_files: [%q]
scrape_configs: [{job_name: pbx, static_configs: [{targets: [%q]}]}]
`, rules, target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	ctx, cancel := context.WithCancel(context.Background())
	p := &prometheusServer{url: "http://" + address}
	cmd := exec.CommandContext(ctx, path, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel() // ends this process, by its id
		cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus says:\n%s", p.log.String())
		}
	})
	p.wait(t, "Prometheus", func() bool {
		resp, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// wait waits until something holds, for a minute at most.
func (p *prometheusServer) wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

// until waits until a query has a result.
func (p *prometheusServer) until(t *testing.T, what, query string) {
	t.Helper()
	p.wait(t, what, func() bool { n, _ := p.query(query); return n > 0 })
}

// query returns how many series a query has.
func (p *prometheusServer) query(query string) (n int, err error) {
	var data struct{ Result []json.RawMessage }
	err = p.get("/api/v1/query?query="+url.QueryEscape(query), &data)
	return len(data.Result), err
}

// firing are the alerts that fire.
func (p *prometheusServer) firing(t *testing.T) (names []string) {
	t.Helper()
	var data struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	if err := p.get("/api/v1/alerts", &data); err != nil {
		t.Fatal(err)
	}
	for _, a := range data.Alerts {
		if a.State == "firing" {
			names = append(names, a.Labels["alertname"])
		}
	}
	return names
}

func (p *prometheusServer) get(path string, data any) error {
	resp, err := http.Get(p.url + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var envelope struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(text, &envelope); err != nil {
		return err
	}
	if envelope.Status != "success" {
		return errors.New(envelope.Error)
	}
	return json.Unmarshal(envelope.Data, data)
}
