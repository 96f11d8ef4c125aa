// Package otelpbx reports what drivers do to OpenTelemetry: a span and a
// duration for each login, keep-alive, logout and ping.
//
//	auth, err := pbx.Open("yeastar", cfg)
//	…
//	s, err := manager.Add("acme", otelpbx.Wrap(auth, nil))
//
// Spans and instruments hold the operation, the kind of failure, and the scheme,
// host and port of the PBX. They hold no other part of a URL, no error text, no
// account and no secret.
//
// # The application's own requests
//
// Several brands carry the token in the URL, and instrumentation such as
// otelhttp records URLs. So wrap the session's transport from outside, where
// requests have no token yet:
//
//	client := &http.Client{Transport: otelhttp.NewTransport(s.Transport(nil))}
//
// Never hand an instrumented transport to Session.Transport: it would see, and
// export, the token.
package otelpbx

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/pbxauth/pbx"
)

const scope = "github.com/pbxauth/pbx/session/otelpbx"

// Options say where to report. Nil, and zero fields, mean the global providers.
type Options struct {
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	// Driver is the driver's registered name, as the attribute pbx.driver.
	// Empty: the attribute is left out.
	Driver string
}

// Wrap returns auth with its operations reported. It keeps auth's optional
// interfaces (see [pbx.As]). It panics if auth is nil.
func Wrap(auth pbx.Authenticator, opts *Options) pbx.Authenticator {
	if auth == nil {
		panic("otelpbx: Wrap: auth is nil")
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	w := &wrapper{inner: auth, tracer: o.TracerProvider.Tracer(scope)}
	if o.Driver != "" {
		w.common = append(w.common, attribute.String("pbx.driver", o.Driver))
	}
	if d, ok := pbx.As[pbx.Describer](auth); ok {
		w.common = append(w.common, server(d.Traits().URL)...)
	}
	// The only error is that of an ill-formed name.
	w.duration, _ = o.MeterProvider.Meter(scope).Float64Histogram("pbx.operation.duration",
		metric.WithUnit("s"), metric.WithDescription("How long an operation of a PBX driver took."),
		metric.WithExplicitBucketBoundaries(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30))
	if p, ok := pbx.As[pbx.Pinger](auth); ok {
		return &pinger{w, p}
	}
	return w
}

// server is the PBX's address without path, query and user.
func server(address string) []attribute.KeyValue {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return nil
	}
	attrs := []attribute.KeyValue{attribute.String("url.scheme", u.Scheme), attribute.String("server.address", u.Hostname())}
	if port, err := strconv.Atoi(u.Port()); err == nil {
		attrs = append(attrs, attribute.Int("server.port", port))
	}
	return attrs
}

type wrapper struct {
	inner    pbx.Authenticator
	tracer   trace.Tracer
	duration metric.Float64Histogram
	common   []attribute.KeyValue
}

// Unwrap lets [pbx.As] find what the driver implements.
func (w *wrapper) Unwrap() pbx.Authenticator { return w.inner }

func (w *wrapper) Login(ctx context.Context) (t *pbx.Token, err error) {
	ctx, end := w.begin(ctx, pbx.OpLogin)
	err = errPanic // unless the driver returns
	defer func() { end(err) }()
	return w.inner.Login(ctx)
}

func (w *wrapper) KeepAlive(ctx context.Context, t *pbx.Token) (_ *pbx.Token, err error) {
	ctx, end := w.begin(ctx, pbx.OpKeepAlive)
	err = errPanic // unless the driver returns
	defer func() { end(err) }()
	return w.inner.KeepAlive(ctx, t)
}

func (w *wrapper) Logout(ctx context.Context, t *pbx.Token) (err error) {
	ctx, end := w.begin(ctx, pbx.OpLogout)
	err = errPanic // unless the driver returns
	defer func() { end(err) }()
	return w.inner.Logout(ctx, t)
}

// pinger is a wrapper of a driver that has a ping. A session does without one, but not
// if there seems to be one that is not supported.
type pinger struct {
	*wrapper
	inner pbx.Pinger
}

func (p *pinger) Ping(ctx context.Context, t *pbx.Token) (err error) {
	ctx, end := p.begin(ctx, pbx.OpPing)
	err = errPanic // unless the driver returns
	defer func() { end(err) }()
	return p.inner.Ping(ctx, t)
}

// errPanic is the outcome of an operation that never returned.
var errPanic = errors.New("the driver panicked")

// begin starts a span. end is called with the outcome.
func (w *wrapper) begin(ctx context.Context, op pbx.Op) (_ context.Context, end func(error)) {
	attrs := append([]attribute.KeyValue{attribute.String("pbx.operation", string(op))}, w.common...)
	start := time.Now()
	ctx, span := w.tracer.Start(ctx, "pbx "+string(op), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
	return ctx, func(err error) {
		if err != nil {
			kind := kindOf(err)
			attrs = append(attrs, attribute.String("error.type", kind))
			span.SetAttributes(attribute.String("error.type", kind))
			span.SetStatus(codes.Error, kind)
		}
		span.End()
		w.duration.Record(ctx, time.Since(start).Seconds(), metric.WithAttributes(attrs...))
	}
}

// kinds are those of pbx. No other text becomes an attribute: that of a driver or
// of another wrapper could be anything.
var kinds = []error{pbx.ErrInvalidCredentials, pbx.ErrLocked, pbx.ErrForbidden, pbx.ErrTokenRejected, pbx.ErrTooManySessions,
	pbx.ErrUnavailable, pbx.ErrProtocol, pbx.ErrConfig, pbx.ErrNotSupported}

// kindOf names the failure by one of pbx's kinds.
func kindOf(err error) string {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	switch {
	case err == errPanic:
		return "panic"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline exceeded"
	}
	return "unknown"
}
