package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
	"github.com/pbxauth/pbx/session/store/pgstore"
	"github.com/pbxauth/pbx/session/store/redisstore"
)

// storeKinds are the schemes of -store, and what people call the stores.
var storeKinds = map[string]string{"files": "files", "redis": "Redis", "rediss": "Redis", "postgres": "PostgreSQL", "postgresql": "PostgreSQL"}

// storeKind is what people call the store that -store names; empty: there is none
// of that name.
func storeKind(name string) string {
	scheme, rest, _ := strings.Cut(name, ":")
	if rest == "" {
		return ""
	}
	return storeKinds[scheme]
}

// sharing is how this process shares tokens and the budgets of wrong logins with
// others. The zero value: it is alone.
type sharing struct {
	shared  *session.Shared
	kind    string // of the store, as people call it
	process string // this one's name
	close   func()
}

// share opens the store that -store names. All processes that share it need the
// same key.
func share(ctx context.Context, name, process string, key masterKey) (sharing, error) {
	if name == "" {
		return sharing{close: func() {}}, nil
	}
	s, closeStore, err := openStore(ctx, name)
	if err != nil {
		return sharing{}, fmt.Errorf("-store: %w", err)
	}
	shared, err := session.NewShared(session.SharedSettings{Store: s, Keys: [][]byte{key.derive("store")}, Prefix: "crm", Process: process})
	if err != nil {
		closeStore()
		return sharing{}, err
	}
	return sharing{shared, storeKind(name), process, closeStore}, nil
}

// openStore opens the store that -store names. Errors do not show its URL, which
// may hold a password.
func openStore(ctx context.Context, name string) (store.Store, func(), error) {
	switch storeKind(name) {
	case "files":
		s, err := store.Files(strings.TrimPrefix(name, "files:"))
		return s, func() {}, err
	case "Redis":
		s, err := redisstore.Open(name, redisstore.Options{})
		return s, func() { s.Close() }, err
	case "PostgreSQL":
		pool, err := pgxpool.New(ctx, name)
		if err != nil {
			return nil, nil, errors.New("the URL cannot be read: write it as postgres://user:password@host:port/database, with special characters escaped")
		}
		s, err := pgstore.Open(pool, pgstore.Options{})
		if err == nil {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			err = s.Create(ctx)
		}
		if err != nil {
			pool.Close()
		}
		return s, pool.Close, err
	}
	return nil, nil, errors.New("this is not a store: write files:DIR, redis://host:port/0 or postgres://host:port/database")
}

// processOf is what people called the process that brought a token: its name
// without the suffix that makes it unique.
func processOf(status session.Status) string {
	if i := strings.LastIndexByte(status.Process, '-'); i > 0 {
		return status.Process[:i]
	}
	return status.Process
}
