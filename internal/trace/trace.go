// Package trace keeps secrets from the traces of requests.
package trace

import (
	"context"
	"net/http/httptrace"
)

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
