// Package trace follows what net/http does with a request: it keeps secrets from the
// traces of others, and a request from being sent twice.
package trace

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
)

// Once is ctx for a request that goes out once over HTTP/2. net/http sends one again that
// the server has ended by a reset, without a pause: then the context ends with cause. end
// has to be called when the response is done with.
func Once(ctx context.Context, cause error) (once context.Context, end context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	var sent atomic.Bool
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaderField: func(name string, _ []string) {
			if name == ":method" { // of HTTP/2 only
				sent.Store(true)
			}
		},
		GotConn: func(httptrace.GotConnInfo) {
			if sent.Load() {
				cancel(cause)
			}
		},
	}), cancel
}

// Veil is ctx with a trace that does not see the headers that hide is true for.
// Instrumentation puts traces into the contexts of requests.
func Veil(ctx context.Context, hide func(values []string) bool) context.Context {
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil || trace.WroteHeaderField == nil {
		return ctx
	}
	veiled := *trace
	veiled.WroteHeaderField = func(name string, values []string) {
		if !hide(values) {
			trace.WroteHeaderField(name, values)
		}
	}
	return traced{ctx, &veiled}
}

// traced is a context with another trace. [httptrace.WithClientTrace] would keep the first
// one too.
type traced struct {
	context.Context
	trace *httptrace.ClientTrace
}

func (t traced) Value(key any) any {
	value := t.Context.Value(key)
	if _, is := value.(*httptrace.ClientTrace); is {
		return t.trace
	}
	return value
}
