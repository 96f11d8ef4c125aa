package pbx

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
)

type attemptKey struct{}

// attempt keeps the credentials of one attempt to log in.
type attempt struct {
	mu    sync.Mutex // guards known
	known map[any]Credentials
}

// WithAttempt returns a context for one attempt to log in. Within it,
// [AskCredentials] asks each source of credentials once. A session thereby
// sends exactly the credentials of which it has checked the fingerprint.
func WithAttempt(ctx context.Context) context.Context {
	return context.WithValue(ctx, attemptKey{}, &attempt{})
}

// AskCredentials returns what ask returns, and within one attempt (see
// [WithAttempt]) what it returned first for the same source. Drivers call it
// with the value that owns ask, such as their client. Errors are not kept. If ask
// panics, or has not returned when ctx ends, AskCredentials returns an error: ask
// is the application's, and nothing was sent.
func AskCredentials(ctx context.Context, source any, ask func(context.Context) (Credentials, error)) (Credentials, error) {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	if a == nil {
		return carefully(ctx, ask)
	}
	a.mu.Lock()
	got, ok := a.known[source]
	a.mu.Unlock()
	if ok {
		return got, nil
	}
	got, err := carefully(ctx, ask)
	if err != nil {
		return Credentials{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if first, ok := a.known[source]; ok {
		return first, nil
	}
	if a.known == nil {
		a.known = map[any]Credentials{}
	}
	a.known[source] = got
	return got, nil
}

// carefully calls ask, which may panic, and may ignore its context.
func carefully(ctx context.Context, ask func(context.Context) (Credentials, error)) (Credentials, error) {
	type outcome struct {
		got Credentials
		err error
	}
	returned := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if v := recover(); v != nil {
				what := fmt.Sprintf("a %T", v) // it may hold a secret
				if r, ok := v.(runtime.Error); ok {
					what = r.Error()
				}
				o = outcome{err: errors.New("the Credentials func panicked: " + what)}
			}
			returned <- o
		}()
		o.got, o.err = ask(ctx)
	}()
	select {
	case o := <-returned:
		return o.got, o.err
	case <-ctx.Done():
		select {
		case o := <-returned:
			return o.got, o.err
		default:
			return Credentials{}, ctx.Err()
		}
	}
}
