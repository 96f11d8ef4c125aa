package main

import (
	"context"
	"strconv"
	"sync"
	"time"
)

// watched is a token with a goroutine and a timer of its own, as integrations are
// often written.
type watched struct {
	mu      sync.RWMutex
	token   string
	expires time.Time
}

func watch(ctx context.Context, login login) *watched {
	w := &watched{}
	w.renew(ctx, login)
	go func() {
		timer := time.NewTicker(tokenLife * 2 / 3)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
				w.renew(ctx, login)
			case <-ctx.Done():
				return
			}
		}
	}()
	return w
}

func (w *watched) renew(ctx context.Context, login login) {
	token, err := login(ctx)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.token, w.expires = token, time.Now().Add(tokenLife)
}

func (w *watched) ask() (string, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.token, time.Now().Before(w.expires)
}

func loopWatched() (ask func(n int), done func()) {
	ctx, cancel := context.WithCancel(context.Background())
	w := watch(ctx, succeed)
	return func(n int) {
		for range n {
			if _, ok := w.ask(); !ok {
				panic("no token")
			}
		}
	}, cancel
}

func fillWatched(n int) (done func()) {
	ctx, cancel := context.WithCancel(context.Background())
	sessions := map[string]*watched{}
	for i := range n {
		sessions["customer-"+strconv.Itoa(i)] = watch(ctx, succeed)
	}
	return func() { cancel(); clear(sessions) }
}
