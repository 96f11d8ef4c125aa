// Package prommetrics exports what a session.Manager knows to Prometheus.
//
//	metrics, err := prommetrics.New(manager, &prommetrics.Options{Fleet: "production"})
//	…
//	prometheus.MustRegister(metrics)
//
// Labels are the fleet, the driver, the state, the operation and the kind of
// failure. No label is the name of a session, an account or a URL, and hosts are
// only named where [Options].WorstHosts asks for it. The number of series depends
// on the number of drivers, and a scrape costs the same for ten sessions as for a
// hundred thousand.
//
// alerts.yml in this directory has alert rules, and the README has the queries that
// an operator of many PBXs needs.
package prommetrics

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pbxauth/pbx/session"
)

// Options are for [New].
type Options struct {
	// Fleet is the label fleet, which distinguishes the Managers of an organisation.
	// It must not be empty.
	Fleet string
	// WorstHosts is for how many of the hosts in trouble there are metrics of their
	// own, with the label host: see [session.Manager.HostsInTrouble]. A scrape then
	// costs more the more hosts are in trouble. 0: none.
	WorstHosts int
}

// New returns a Collector of m's figures. It returns an error if m is nil, or the
// options make no sense.
func New(m *session.Manager, opts *Options) (prometheus.Collector, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	switch {
	case m == nil:
		return nil, errors.New("prommetrics: New: the Manager is nil: use what session.NewManager returned")
	case o.Fleet == "":
		return nil, errors.New("prommetrics: New: Options.Fleet is empty: name the fleet, as in \"production\"")
	case !utf8.ValidString(o.Fleet):
		return nil, fmt.Errorf("prommetrics: New: Options.Fleet %q is not UTF-8: use another name", o.Fleet)
	case o.WorstHosts < 0:
		return nil, fmt.Errorf("prommetrics: New: Options.WorstHosts is %d: use a positive number, or 0 for none", o.WorstHosts)
	}
	return newCollector(m, o), nil
}

// collector reads a Manager's figures at each scrape. It holds none itself.
type collector struct {
	manager *session.Manager
	worst   int
	all     []*prometheus.Desc

	sessions, duration, failures                       *prometheus.Desc
	lifetimeLeft, waits, refused, adopted              *prometheus.Desc
	inTrouble, inDoubt, wrongLogins, locked            *prometheus.Desc
	storeOperations, storeErrors, storeAway            *prometheus.Desc
	hostWrongLogins, hostLockedUntil, hostTroubleSince *prometheus.Desc
}

func newCollector(m *session.Manager, o Options) *collector {
	c := &collector{manager: m, worst: o.WorstHosts}
	fleet := prometheus.Labels{"fleet": o.Fleet}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		d := prometheus.NewDesc("pbx_"+name, help, labels, fleet)
		c.all = append(c.all, d)
		return d
	}
	c.sessions = desc("sessions", "PBX sessions by state.", "driver", "state")
	c.duration = desc("operation_duration_seconds", "How long operations of PBX drivers took.", "driver", "op")
	c.failures = desc("operation_failures_total", "Operations of PBX drivers that failed, by kind of failure.", "driver", "op", "kind")
	c.lifetimeLeft = desc("token_lifetime_left_ratio", "Share of a token's lifetime that was left when another one came. 0: it had expired.", "driver")
	c.waits = desc("token_waits_total", "Requests that had to wait for a token.", "driver")
	c.refused = desc("tokens_refused_total", "Tokens that a PBX refused before they expired.", "driver")
	c.adopted = desc("tokens_adopted_total", "Tokens that came from other processes through the store.", "driver")
	c.inTrouble = desc("hosts_in_trouble", "PBX hosts that are in doubt, count wrong logins, or have locked this client.")
	c.inDoubt = desc("hosts_in_doubt", "PBX hosts that have not responded to the last login.")
	c.wrongLogins = desc("hosts_with_wrong_logins", "PBX hosts that may count a wrong login, so that a lockout is nearer.")
	c.locked = desc("hosts_locked", "PBX hosts that have locked this client or one of its accounts.")
	c.storeOperations = desc("store_operations_total", "Operations of the store that this process shares.")
	c.storeErrors = desc("store_errors_total", "Operations of the store that failed.")
	c.storeAway = desc("store_away_seconds", "For how long every operation of the store has failed. 0: the last one did not.")
	if o.WorstHosts > 0 {
		c.hostWrongLogins = desc("host_wrong_logins", "Logins that a PBX host in trouble may count as wrong.", "host")
		c.hostLockedUntil = desc("host_locked_until_timestamp_seconds", "When the lock of a PBX host in trouble ends. 0: it has stated none.", "host")
		c.hostTroubleSince = desc("host_trouble_since_timestamp_seconds", "Since when a PBX host has been in trouble.", "host")
	}
	return c
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.all {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	histogram := func(d *prometheus.Desc, h session.Histogram, labels ...string) {
		buckets := make(map[float64]uint64, len(h.Buckets))
		for _, b := range h.Buckets {
			buckets[b.Most] = b.Count
		}
		out <- prometheus.MustNewConstHistogram(d, h.Count, h.Sum, buckets, labels...)
	}

	stats := c.manager.Stats()
	for _, d := range stats.Drivers {
		driver := d.Driver
		if driver == "" {
			driver = "(unnamed)" // no driver can be registered under this name
		}
		for state, n := range d.Sessions {
			gauge(c.sessions, float64(n), driver, state.String())
		}
		for op, o := range d.Operations {
			histogram(c.duration, o.Duration, driver, label(string(op)))
			for kind, n := range o.Failures {
				counter(c.failures, n, driver, label(string(op)), label(kind))
			}
		}
		histogram(c.lifetimeLeft, d.LifetimeLeft, driver)
		counter(c.waits, d.Waits, driver)
		counter(c.refused, d.RefusedTokens, driver)
		counter(c.adopted, d.AdoptedTokens, driver)
	}
	gauge(c.inTrouble, float64(stats.Hosts.InTrouble))
	gauge(c.inDoubt, float64(stats.Hosts.InDoubt))
	gauge(c.wrongLogins, float64(stats.Hosts.WrongLogins))
	gauge(c.locked, float64(stats.Hosts.Locked))
	counter(c.storeOperations, stats.Store.Operations)
	counter(c.storeErrors, stats.Store.Errors)
	away := 0.0
	if since := stats.Store.AwaySince; !since.IsZero() {
		away = time.Since(since).Seconds()
	}
	gauge(c.storeAway, away)
	if c.worst == 0 {
		return
	}
	named := map[string]bool{}
	for _, h := range c.manager.HostsInTrouble(c.worst) {
		host := strings.ToValidUTF8(h.Host, "?")
		if host == "" {
			host = "unknown"
		}
		if named[host] { // drivers that do not say where their PBX is
			continue
		}
		named[host] = true
		gauge(c.hostWrongLogins, float64(len(h.Bookings)-h.InFlight), host)
		gauge(c.hostLockedUntil, timestamp(h.LockedUntil), host)
		gauge(c.hostTroubleSince, timestamp(since(h)), host)
	}
}

// label writes an operation or a kind of failure as Prometheus' labels are
// written.
func label(name string) string { return strings.NewReplacer(" ", "_", "-", "_").Replace(name) }

// since is when a host's trouble began.
func since(h session.HostStatus) (first time.Time) {
	times := []time.Time{h.InDoubt, h.LockedSince}
	for _, b := range h.Bookings {
		times = append(times, b.Since)
	}
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// timestamp is a time as Prometheus writes it; 0: none.
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
