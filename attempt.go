package pbx

import (
	"context"
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
// with the value that owns ask, such as their client. Errors are not kept.
func AskCredentials(ctx context.Context, source any, ask func(context.Context) (Credentials, error)) (Credentials, error) {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	if a == nil {
		return ask(ctx)
	}
	a.mu.Lock()
	got, ok := a.known[source]
	a.mu.Unlock()
	if ok {
		return got, nil
	}
	got, err := ask(ctx)
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
