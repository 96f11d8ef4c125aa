package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// Times of Watch.
const (
	quietTime  = 15 * time.Second // without a notice, before it checks the connection
	firstPause = 100 * time.Millisecond
	lastPause  = time.Second
)

// Watch implements [store.Watcher]. It has a connection of its own. While the
// server is away it tries again every 0.1 to 1 s. It returns another error than
// the context's if the server does not permit it to subscribe.
func (s *Store) Watch(ctx context.Context, changed func(key string)) error {
	pause := firstPause
	for {
		heard, err := s.listen(ctx, changed)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if redis.IsPermissionError(err) || errors.Is(err, redis.ErrClosed) {
			return err
		}
		if heard {
			pause = firstPause
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		pause = min(2*pause, lastPause)
	}
}

// listen passes notices on until the connection fails or ctx ends, and reports
// whether it had subscribed.
func (s *Store) listen(ctx context.Context, changed func(key string)) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// While the client connects, it looks at the deadline of a context alone.
	messages, failed := make(chan any), make(chan error, 1)
	go func() { failed <- s.receive(ctx, messages) }()
	for {
		select {
		case <-ctx.Done():
			return heard, ctx.Err()
		case err := <-failed:
			return heard, err
		case message := <-messages:
			switch m := message.(type) {
			case *redis.Subscription:
				heard = true
				s.accepted.Store(false) // it may be another server
				changed("")             // what came before is not known
			case *redis.Message:
				changed(m.Payload)
			}
		}
	}
}

// receive subscribes and hands messages over until the connection fails or ctx ends.
func (s *Store) receive(ctx context.Context, messages chan<- any) error {
	sub := s.client.Subscribe(ctx) // opens nothing yet
	defer sub.Close()
	// A read does not notice a cancelled context by itself.
	stop := context.AfterFunc(ctx, func() { sub.Close() })
	defer stop()
	if err := sub.Subscribe(ctx, s.channel); err != nil {
		return err
	}
	asked := false // for a sign of life
	for {
		message, err := sub.ReceiveTimeout(ctx, quietTime)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if timeout, ok := err.(interface{ Timeout() bool }); ok && timeout.Timeout() && !asked {
			asked = true
			if err = sub.Ping(ctx); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		asked = false
		select {
		case messages <- message:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
