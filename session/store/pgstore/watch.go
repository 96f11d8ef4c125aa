package pgstore

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Times of Watch.
const (
	greetTime  = 5 * time.Second  // for a notice of its own to come back
	quietTime  = 15 * time.Second // without a notice, before it checks the connection
	firstPause = 100 * time.Millisecond
	lastPause  = time.Second
)

// errDeaf says that a connection has no notices.
var errDeaf = errors.New("pgstore: notices do not arrive: set Options.Listen to a connection that does not go through a pooler in transaction mode")

// Watch implements [store.Watcher]. It has a connection of its own. While the
// server is away it tries again every 0.1 to 1 s. It returns another error than
// the context's if notices do not arrive although the server is there, and none has
// arrived before.
func (s *Store) Watch(ctx context.Context, changed func(key string)) error {
	pause, hears := firstPause, false
	for {
		heard, err := s.hear(ctx, changed)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if hears = hears || heard; errors.Is(err, errDeaf) && !hears {
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

// hear passes notices on until the connection fails or ctx ends, and reports
// whether it has heard any.
func (s *Store) hear(ctx context.Context, changed func(key string)) (heard bool, err error) {
	config := s.listen.Copy()
	if s.beforeListen != nil {
		if err := s.beforeListen(ctx, config); err != nil {
			return false, err
		}
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "listen "+s.channel, pgx.QueryExecModeSimpleProtocol); err != nil {
		return false, err
	}
	// A pooler may accept the statement and pass no notice on. Only a notice that
	// arrives proves that others will.
	greeting := "?" + rand.Text() // no key
	if _, err := s.pool.Exec(ctx, "select pg_notify($1::text, $2::text)", pgx.QueryExecModeExec, s.channel, greeting); err != nil {
		return false, err
	}
	greeted := time.Now().Add(greetTime)
	for {
		wait := quietTime
		if !heard {
			wait = time.Until(greeted)
		}
		notice, err := notification(ctx, conn, wait)
		switch {
		case ctx.Err() != nil:
			return heard, ctx.Err()
		case pgconn.Timeout(err) && !heard:
			return false, errDeaf
		case pgconn.Timeout(err):
			if err := alive(ctx, conn); err != nil {
				return true, err
			}
		case err != nil:
			return heard, err
		case notice.Payload == greeting:
			heard = true
			changed("") // what came before is not known
		case heard && !strings.HasPrefix(notice.Payload, "?"): // not another process's greeting
			changed(notice.Payload)
		}
	}
}

func notification(ctx context.Context, conn *pgx.Conn, wait time.Duration) (*pgconn.Notification, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return conn.WaitForNotification(ctx)
}

// alive reports that the server does not respond any more.
func alive(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
	return conn.Ping(ctx)
}
