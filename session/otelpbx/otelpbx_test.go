package otelpbx_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/otelpbx"
)

const canary = "canary-token-3Kx9"

// queryDriver carries its token in the query, as Yeastar does.
type queryDriver struct {
	url   string
	fails error
	panic bool
}

func (d *queryDriver) Login(context.Context) (*pbx.Token, error) {
	if d.panic {
		panic("broken driver")
	}
	if d.fails != nil {
		return nil, d.fails
	}
	return &pbx.Token{Value: pbx.NewSecret(canary), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}, nil
}

func (d *queryDriver) KeepAlive(_ context.Context, t *pbx.Token) (*pbx.Token, error) { return t, nil }
func (d *queryDriver) Logout(context.Context, *pbx.Token) error                      { return nil }
func (d *queryDriver) Traits() pbx.Traits                                            { return pbx.Traits{URL: d.url} }
func (d *queryDriver) Transport() http.RoundTripper                                  { return http.DefaultTransport }
func (d *queryDriver) Inspect(*http.Response, []byte, *pbx.Token) error              { return nil }

func (d *queryDriver) Authorize(r *http.Request, t *pbx.Token) error {
	q := r.URL.Query()
	q.Set("token", t.Value.Reveal())
	r.URL.RawQuery = q.Encode()
	return nil
}

func exporter() (*tracetest.InMemoryExporter, *trace.TracerProvider) {
	e := tracetest.NewInMemoryExporter()
	return e, trace.NewTracerProvider(trace.WithSyncer(e))
}

func TestEachOperationIsASpanAndADuration(t *testing.T) {
	spans, tracers := exporter()
	reader := metric.NewManualReader()
	driver := &queryDriver{url: "https://pbx.example.com:8088/base?x=" + canary}
	auth := otelpbx.Wrap(driver, &otelpbx.Options{
		TracerProvider: tracers, MeterProvider: metric.NewMeterProvider(metric.WithReader(reader)), Driver: "fake",
	})
	token, err := auth.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := auth.KeepAlive(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	driver.fails = &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrLocked, Message: "locked for " + canary}
	auth.Login(t.Context())
	auth.Logout(t.Context(), token)

	var got []string
	for _, s := range spans.GetSpans() {
		got = append(got, s.Name+" "+s.Status.Description)
		text := fmt.Sprintf("%+v", s)
		if strings.Contains(text, canary) || strings.Contains(text, "/base") {
			t.Errorf("a span shows more than the origin: %s", text)
		}
	}
	if want := "pbx login |pbx keep-alive |pbx login locked out|pbx logout "; strings.Join(got, "|") != want {
		t.Errorf("spans %q, want %q", strings.Join(got, "|"), want)
	}
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	h := data.ScopeMetrics[0].Metrics[0].Data.(metricdata.Histogram[float64])
	var n uint64
	for _, p := range h.DataPoints {
		n += p.Count
	}
	if n != 4 || len(h.DataPoints) != 4 {
		t.Errorf("%d durations in %d series, want 4 in 4", n, len(h.DataPoints))
	}
}

func TestAPanicIsNoSuccess(t *testing.T) {
	spans, tracers := exporter()
	auth := otelpbx.Wrap(&queryDriver{panic: true}, &otelpbx.Options{TracerProvider: tracers})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is swallowed")
			}
		}()
		auth.Login(t.Context())
	}()
	if got := spans.GetSpans(); len(got) != 1 || got[0].Status.Description != "panic" {
		t.Errorf("spans: %+v", got)
	}
}

// OpenTelemetry's conventions say that a port is a number.
func TestTheServerIsNamedAsInTheConventions(t *testing.T) {
	spans, tracers := exporter()
	otelpbx.Wrap(&queryDriver{url: "https://user:" + canary + "@[2001:db8::1]:8088/x"}, &otelpbx.Options{TracerProvider: tracers}).Login(t.Context())
	want := []attribute.KeyValue{attribute.String("pbx.operation", "login"), attribute.String("url.scheme", "https"), attribute.String("server.address", "2001:db8::1"), attribute.Int("server.port", 8088)}
	if got := spans.GetSpans()[0].Attributes; !slices.Equal(got, want) {
		t.Errorf("attributes %v, want %v", got, want)
	}
}

// Another wrapper may put anything into Kind. It would become an attribute.
func TestAFailureIsNamedByOneOfTheKinds(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{pbx.ErrUnavailable, "unavailable"},
		{&pbx.Error{Kind: pbx.ErrLocked}, "locked out"},
		{&pbx.Error{Kind: fmt.Errorf("%w: token %s", pbx.ErrTokenRejected, canary)}, "token rejected"},
		{&pbx.Error{Kind: errors.New("GET /?token=" + canary)}, "unknown"},
		{&pbx.Error{Kind: pbx.ErrUnavailable, Err: context.DeadlineExceeded}, "unavailable"},
		{&pbx.Error{Err: context.Canceled}, "canceled"},
		{context.DeadlineExceeded, "deadline exceeded"},
		{errors.New(canary), "unknown"},
	} {
		spans, tracers := exporter()
		otelpbx.Wrap(&queryDriver{fails: c.err}, &otelpbx.Options{TracerProvider: tracers}).Login(t.Context())
		if got := spans.GetSpans()[0].Status.Description; got != c.want {
			t.Errorf("%v is reported as %q, want %q", c.err, got, c.want)
		}
	}
}

func TestNothingOfTheDriverIsLost(t *testing.T) {
	auth := otelpbx.Wrap(&queryDriver{url: "https://pbx.example.com"}, nil)
	if _, ok := pbx.As[pbx.Requester](auth); !ok {
		t.Error("the Requester is lost")
	}
	if d, ok := pbx.As[pbx.Describer](auth); !ok || d.Traits().URL != "https://pbx.example.com" {
		t.Error("the Describer is lost")
	}
}

// Wrapped outside, instrumentation sees requests before they are authorized.
// Wrapped inside, it exports the token. This is why the documentation says
// outside.
func TestInstrumentationOutsideSeesNoToken(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("token") != canary {
			t.Errorf("the request carries no token: %s", r.URL)
		}
	}))
	defer server.Close()
	for where, want := range map[string]bool{"outside": false, "inside": true} {
		spans, tracers := exporter()
		s := session.New(&queryDriver{url: server.URL}, nil)
		client := &http.Client{Transport: otelhttp.NewTransport(s.Transport(nil), otelhttp.WithTracerProvider(tracers))}
		if where == "inside" {
			client.Transport = s.Transport(otelhttp.NewTransport(http.DefaultTransport, otelhttp.WithTracerProvider(tracers)))
		}
		resp, err := client.Get(server.URL + "/extensions")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		s.Close(t.Context())
		if len(spans.GetSpans()) == 0 {
			t.Errorf("%s: no span", where)
		}
		if shows := strings.Contains(fmt.Sprintf("%+v", spans.GetSpans()), canary); shows != want {
			t.Errorf("%s: the token shows: %v, want %v", where, shows, want)
		}
	}
}

func BenchmarkWrappedLogin(b *testing.B) {
	driver := &queryDriver{url: "https://pbx.example.com"}
	for name, auth := range map[string]pbx.Authenticator{"bare": driver, "wrapped": otelpbx.Wrap(driver, nil)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				auth.Login(b.Context())
			}
		})
	}
}

// restarting is a driver without a ping. Its PBX has restarted, and refuses all tokens.
type restarting struct {
	queryDriver
	logouts *int
}

func (d *restarting) Logout(context.Context, *pbx.Token) error { *d.logouts++; return nil }

// pinging is a driver with one.
type pinging struct{ queryDriver }

func (*pinging) Ping(context.Context, *pbx.Token) error { return nil }

func TestAWrappedDriverHasAPingOnlyIfItHadOne(t *testing.T) {
	if _, has := pbx.As[pbx.Pinger](otelpbx.Wrap(&pinging{}, nil)); !has {
		t.Error("the ping is lost")
	}
	if _, has := pbx.As[pbx.Pinger](otelpbx.Wrap(&queryDriver{}, nil)); has {
		t.Error("there is a ping that the driver does not have")
	}
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		logouts := 0
		var first *session.Session
		for i := range 8 {
			s, err := m.Add(fmt.Sprint(i), otelpbx.Wrap(&restarting{queryDriver{url: "https://pbx.test"}, &logouts}, nil))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			first = cmp.Or(first, s)
		}
		time.Sleep(time.Minute)
		token, _ := first.Token(t.Context())
		first.Invalidate(token)
		time.Sleep(time.Second)
		m.Close(t.Context())
		if logouts > 1 { // that of the new token
			t.Errorf("after one refusal, %d tokens are logged out that may be dead too", logouts-1)
		}
	})
}
