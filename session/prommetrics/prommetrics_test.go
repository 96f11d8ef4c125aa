package prommetrics_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/prommetrics"
)

var update = flag.Bool("update", false, "write testdata anew")

// driver is one whose logins all end alike.
type driver struct {
	name, url string
	err       error
}

const token = "canary-token-77aa"

func (d driver) Login(context.Context) (*pbx.Token, error) {
	if d.err != nil {
		return nil, &pbx.Error{Driver: d.name, Op: pbx.OpLogin, Kind: d.err, Sent: true}
	}
	now := time.Now()
	return &pbx.Token{Value: pbx.NewSecret(token), IssuedAt: now, ExpiresAt: now.Add(time.Hour)}, nil
}

func (d driver) KeepAlive(_ context.Context, t *pbx.Token) (*pbx.Token, error) { return t, nil }

func (d driver) Logout(context.Context, *pbx.Token) error { return nil }

func (d driver) Traits() pbx.Traits {
	return pbx.Traits{Driver: d.name, URL: d.url, Account: "canary-account", KeepAlive: pbx.KeepAliveNone}
}

// newFleet is a Manager with n sessions, of which every fourth is in trouble.
func newFleet(tb testing.TB, n int) *session.Manager {
	tb.Helper()
	m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 1_000_000})
	tb.Cleanup(func() { m.Close(context.Background()) })
	kinds := []error{pbx.ErrInvalidCredentials, nil, nil, nil}
	for i := range n {
		d := driver{name: "yeastar", url: fmt.Sprintf("https://pbx-%d.test", i), err: kinds[i%4]}
		if _, err := m.Add(fmt.Sprint("customer-", i), d); err != nil {
			tb.Fatal(err)
		}
	}
	if err := m.Ready(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return m
}

// registered is a registry with the Manager's metrics.
func registered(tb testing.TB, m *session.Manager, opts prommetrics.Options) *prometheus.Registry {
	tb.Helper()
	c, err := prommetrics.New(m, &opts)
	if err != nil {
		tb.Fatal(err)
	}
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(c); err != nil {
		tb.Fatal(err)
	}
	return r
}

// scrape is what Prometheus would read.
func scrape(tb testing.TB, r prometheus.Gatherer) string {
	tb.Helper()
	families, err := r.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			tb.Fatal(err)
		}
	}
	return b.String()
}

func TestTheMetricsOfASmallFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		for name, d := range map[string]driver{
			"fine":    {name: "yeastar", url: "https://fine.test"},
			"refused": {name: "yeastar", url: "https://refused.test", err: pbx.ErrInvalidCredentials},
			"locked":  {name: "yeastar", url: "https://locked.test", err: pbx.ErrLocked},
		} {
			if _, err := m.Add(name, d); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Minute) // and not until a renewal or another attempt, whose times are left to chance
		got := scrape(t, registered(t, m, prommetrics.Options{Fleet: "production", WorstHosts: 2}))
		const file = "testdata/metrics.txt"
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
			t.Errorf("if this is right, run go test -update (-want +got):\n%s", diff)
		}
	})
}

func TestNoSessionAccountURLOrTokenIsALabel(t *testing.T) {
	m := newFleet(t, 40)
	for _, worst := range []int{0, 3} {
		text := scrape(t, registered(t, m, prommetrics.Options{Fleet: "test", WorstHosts: worst}))
		for _, secret := range []string{"customer", "https", "canary"} {
			if strings.Contains(text, secret) {
				t.Errorf("with %d worst hosts, %q shows", worst, secret)
			}
		}
		if hosts := strings.Count(text, "pbx_host_wrong_logins{"); hosts != worst || strings.Count(text, ".test") != 3*worst {
			t.Errorf("%d hosts, want %d", hosts, worst)
		}
	}
}

func TestAScrapeOfALargeFleetIsAsLargeAsOfASmallOne(t *testing.T) {
	lines := func(n int) int {
		return strings.Count(scrape(t, registered(t, newFleet(t, n), prommetrics.Options{Fleet: "test", WorstHosts: 2})), "\n")
	}
	if small, large := lines(10), lines(2000); small != large {
		t.Errorf("%d lines for 10 sessions, %d for 2000", small, large)
	}
}

func TestTwoFleetsShareARegistry(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	for _, fleet := range []string{"north", "south"} {
		c, err := prommetrics.New(newFleet(t, 2), &prommetrics.Options{Fleet: fleet})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	text := scrape(t, r)
	for _, want := range []string{`pbx_sessions{driver="yeastar",fleet="north",state="live"} 1`, `pbx_sessions{driver="yeastar",fleet="south",state="live"} 1`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestMistakesAreNamed(t *testing.T) {
	m := session.NewManager(nil)
	defer m.Close(context.Background())
	for _, row := range []struct {
		manager *session.Manager
		opts    *prommetrics.Options
		want    string
	}{
		{nil, &prommetrics.Options{Fleet: "a"}, "the Manager is nil"},
		{m, nil, "Options.Fleet is empty"},
		{m, &prommetrics.Options{}, "Options.Fleet is empty"},
		{m, &prommetrics.Options{Fleet: "\xff"}, "is not UTF-8"},
		{m, &prommetrics.Options{Fleet: "a", WorstHosts: -1}, "Options.WorstHosts is -1"},
	} {
		c, err := prommetrics.New(row.manager, row.opts)
		if c != nil || err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("New(%v, %v): %v, want %q", row.manager, row.opts, err, row.want)
		}
	}
}

// BenchmarkScrape is what a scrape costs, and that it costs the same for a large
// fleet.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := registered(b, newFleet(b, n), prommetrics.Options{Fleet: "test"})
			b.ReportMetric(float64(len(scrape(b, r))), "bytes")
			b.ReportAllocs()
			for b.Loop() {
				scrape(b, r)
			}
		})
	}
}
