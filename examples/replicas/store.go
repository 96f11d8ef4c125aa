package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pbxauth/pbx/session/store"
	"github.com/pbxauth/pbx/session/store/pgstore"
	"github.com/pbxauth/pbx/session/store/redisstore"
	"github.com/redis/go-redis/v9"
)

// place is where the replicas of one run keep what they share.
type place struct {
	Address string // a directory, or a URL
	Name    string // of what this run puts there, so that two runs do not meet
}

// newPlace makes the place that -store names. No error shows the URL's password.
func newPlace(address string) (place, error) {
	p := place{address, "replicas_" + strings.ToLower(rand.Text()[:8])}
	switch p.scheme() {
	case "redis", "rediss", "postgres", "postgresql":
		return p, nil
	}
	if address != "files" {
		return p, errors.New("-store: use files, redis://user:password@host:port or postgres://user:password@host/database")
	}
	var err error
	p.Address, err = os.MkdirTemp("", p.Name+"-") // accessible to its owner alone
	return p, err
}

func (p place) scheme() string {
	scheme, _, _ := strings.Cut(p.Address, "://")
	return scheme
}

// opened is a place that is in use.
type opened struct {
	store.Store
	kind  string // for people
	close func()
	erase func(context.Context) error // removes what this run has put there
}

func (p place) open(ctx context.Context) (*opened, error) {
	switch p.scheme() {
	case "redis", "rediss":
		return p.redis()
	case "postgres", "postgresql":
		return p.postgres(ctx)
	}
	s, err := store.Files(p.Address)
	if err != nil {
		return nil, err
	}
	return &opened{s, "a directory of this machine", func() {}, func(context.Context) error { return os.RemoveAll(p.Address) }}, nil
}

func (p place) redis() (*opened, error) {
	prefix := p.Name + ":"
	s, err := redisstore.Open(p.Address, redisstore.Options{Prefix: prefix})
	if err != nil {
		return nil, err
	}
	erase := func(ctx context.Context) error {
		options, err := redis.ParseURL(p.Address)
		if err != nil {
			return err
		}
		client := redis.NewClient(options)
		defer client.Close()
		keys := client.Scan(ctx, 0, prefix+"*", 100).Iterator()
		for keys.Next(ctx) {
			if err := client.Del(ctx, keys.Val()).Err(); err != nil {
				return err
			}
		}
		return keys.Err()
	}
	return &opened{s, "Redis", func() { s.Close() }, erase}, nil
}

func (p place) postgres(ctx context.Context) (*opened, error) {
	pool, err := pgxpool.New(ctx, p.Address)
	if err != nil { // which may quote the URL
		return nil, errors.New("-store: the URL cannot be read: use postgres://user:password@host/database")
	}
	s, err := pgstore.Open(pool, pgstore.Options{Table: p.Name})
	if err == nil {
		err = s.Create(ctx)
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	erase := func(ctx context.Context) error {
		_, err := pool.Exec(ctx, "drop table "+p.Name)
		return err
	}
	return &opened{s, "PostgreSQL", pool.Close, erase}, nil
}

// check finds out whether the store works, so that a wrong password is known
// before the story begins.
func (o *opened) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := o.Load(ctx, "check"); err != nil {
		return fmt.Errorf("the store does not work: %w", err)
	}
	return nil
}
