// Package pgstore keeps the cells of [store.Store] in a table of PostgreSQL, so
// that processes on several machines share them.
//
//	pool, err := pgxpool.New(ctx, "postgres://user:password@db.example.com/app")
//	s, err := pgstore.Open(pool, pgstore.Options{})
//	err = s.Create(ctx) // once, or run [Schema] with your migrations
//
// Each operation is one statement outside any transaction, without a prepared
// statement, so it works behind PgBouncer in every mode. The server has to be a
// primary of version 12 or newer. Swaps are as durable as its synchronous_commit
// says. With asynchronous replication a failover forgets the last ones.
package pgstore

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pbxauth/pbx/session/store"
)

// Options are optional.
type Options struct {
	// Table is the name of the table, "table" or "schema.table", of a-z, 0-9 and _.
	// It has to be the same in all processes that share the store. Default:
	// "pbx_store".
	Table string

	// Listen is how Watch connects. It needs a connection to the server itself or
	// through a pooler in session mode: PgBouncer in transaction mode passes no
	// notices on. Default: as the pool connects, with its BeforeConnect.
	Listen *pgx.ConnConfig
}

// Store is a [store.Store] and a [store.Watcher] in PostgreSQL. It needs no Close:
// the last of its goroutines ends 40 s after the last Swap at the latest.
type Store struct {
	pool         *pgxpool.Pool
	listen       *pgx.ConnConfig
	beforeListen func(context.Context, *pgx.ConnConfig) error // nil: nothing
	table        string
	channel      string

	loadSQL, swapSQL string

	notices  notifier
	accepted atomic.Bool // the table's format has been checked
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Watcher = (*Store)(nil)
)

const (
	defaultTable = "pbx_store"
	comment      = "pbx-store "
	format       = "1"
	// createLock keeps processes that create the table from each other's way.
	createLock = 0x706278 // "pbx"
)

// The statements, with the table's default name in them.
var (
	//go:embed table.sql
	tableSQL string
	//go:embed load.sql
	loadSQL string
	//go:embed swap.sql
	swapSQL string
	//go:embed sweep.sql
	sweepSQL string
)

// Schema returns the statements that make the table, for an application that
// runs its migrations itself. An empty name is the default one.
func Schema(table string) (string, error) {
	if table == "" {
		table = defaultTable
	}
	if err := checkTable(table); err != nil {
		return "", err
	}
	return rename(tableSQL, table), nil
}

// Names end below 63 bytes, PostgreSQL's limit, with "_expires" behind them.
var tableName = regexp.MustCompile(`^([a-z_][a-z0-9_]{0,49}\.)?[a-z_][a-z0-9_]{0,49}$`)

func checkTable(table string) error {
	if !tableName.MatchString(table) {
		return fmt.Errorf("pgstore: Table %.70q: use table or schema.table, of a-z, 0-9 and _, up to 50 each", table)
	}
	return nil
}

// rename puts the table's name into a statement.
func rename(sql, table string) string {
	_, last, ok := strings.Cut(table, ".")
	if !ok {
		last = table
	}
	// An index has no schema of its own.
	sql = strings.ReplaceAll(sql, defaultTable+"_expires", last+"_expires")
	return regexp.MustCompile(`\b`+defaultTable+`\b`).ReplaceAllString(sql, table)
}

// Open returns a store over the application's pool. It sends nothing: a server
// that is away or refuses the password is an error of each Load and Swap.
func Open(pool *pgxpool.Pool, o Options) (*Store, error) {
	if pool == nil {
		return nil, errors.New("pgstore: no pool: make one with pgxpool.New")
	}
	if o.Table == "" {
		o.Table = defaultTable
	}
	if err := checkTable(o.Table); err != nil {
		return nil, err
	}
	var beforeListen func(context.Context, *pgx.ConnConfig) error
	if o.Listen == nil {
		config := pool.Config()
		o.Listen, beforeListen = config.ConnConfig, config.BeforeConnect
	}
	channel := channelOf(o.Table)
	return &Store{
		pool: pool, listen: o.Listen.Copy(), beforeListen: beforeListen, table: o.Table, channel: channel,
		loadSQL: rename(loadSQL, o.Table), swapSQL: rename(swapSQL, o.Table),
		notices: notifier{pool: pool, channel: channel, sweepRows: rename(sweepSQL, o.Table)},
	}, nil
}

// channelOf names the channel of a table's notices. PostgreSQL refuses names of 64
// bytes or more, so a schema and a table that are too long together get a hash.
func channelOf(table string) string {
	channel := strings.ReplaceAll(table, ".", "_") + "_changed"
	if len(channel) > 63 {
		channel = fmt.Sprintf("pbx_%.16x_changed", sha256.Sum256([]byte(table)))
	}
	return channel
}

// Format implements [fmt.Formatter]. It prints the table and not how to connect.
func (s *Store) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "pgstore.Store(%q)", s.table) }

// Create makes the table if it is not there. Any number of processes may do so at
// once.
func (s *Store) Create(ctx context.Context) error {
	sql := fmt.Sprintf("select pg_advisory_xact_lock(%d);\n%s", createLock, rename(tableSQL, s.table))
	if _, err := s.pool.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("pgstore: create %s: %w", s.table, plain(err))
	}
	return nil
}

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context, key string) (store.Entry, error) {
	if err := s.check(ctx, key, nil, 0); err != nil {
		return store.Entry{}, err
	}
	for {
		e, err := s.load(ctx, key)
		if conflict(err) {
			continue
		}
		if err != nil {
			return store.Entry{}, s.failed(key, err)
		}
		return e, nil
	}
}

// Swap implements [store.Store].
func (s *Store) Swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (store.Entry, bool, error) {
	if err := s.check(ctx, key, value, keep); err != nil {
		return store.Entry{}, false, err
	}
	for {
		e, won, err := s.swap(ctx, key, rev, value, keep)
		switch {
		case conflict(err):
			continue // without effect
		case err != nil:
			return store.Entry{}, false, s.failed(key, err)
		case !won && e.Rev == rev:
			continue // as the cell was found, the Swap would have won: it has changed since
		}
		return e, won, nil
	}
}

// check is what comes before each operation.
func (s *Store) check(ctx context.Context, key string, value []byte, keep time.Duration) error {
	if err := store.Check(key, value, keep); err != nil {
		return err
	}
	if err := s.accept(ctx); err != nil {
		return s.failed(key, err)
	}
	return nil
}

// swap tries once. If it has not won although the revision is the one that was
// expected, another Swap came between.
func (s *Store) swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (store.Entry, bool, error) {
	expected := int64(-1) // no cell's
	if rev <= math.MaxInt64 {
		expected = int64(rev)
	}
	var put *int64
	var found int64
	var e store.Entry
	var standby bool
	if len(value) == 0 {
		value = nil
	}
	micros := keep.Microseconds()
	if keep%time.Microsecond > 0 {
		micros++ // 0 would never expire
	}
	err := s.pool.QueryRow(ctx, s.swapSQL, pgx.QueryExecModeExec, key, expected, value, micros).Scan(&put, &found, &e.Value, &e.Now, &standby)
	switch {
	case err != nil:
		return store.Entry{}, false, err
	case standby:
		return store.Entry{}, false, errStandby
	case put == nil && rev == 0 && found == 0 && value == nil:
		return e, true, nil // removed nothing
	case put == nil:
		err := s.parse(&e, found)
		return e, false, err
	}
	e.Value = nil
	if value != nil {
		e.Value = append([]byte(nil), value...)
		e.Rev = uint64(*put)
	}
	s.notices.changed(key)
	return e, true, nil
}

func (s *Store) load(ctx context.Context, key string) (store.Entry, error) {
	var e store.Entry
	var rev int64
	var standby bool
	err := s.pool.QueryRow(ctx, s.loadSQL, pgx.QueryExecModeExec, key).Scan(&rev, &e.Value, &e.Now, &standby)
	if err == nil && standby {
		err = errStandby
	}
	if err == nil {
		err = s.parse(&e, rev)
	}
	return e, err
}

func (s *Store) parse(e *store.Entry, rev int64) error {
	if rev < 0 || rev > 0 && len(e.Value) == 0 {
		return fmt.Errorf("%w: the row in %s is not what this version writes: delete it to begin anew", store.ErrUnreadable, s.table)
	}
	e.Rev = uint64(rev)
	return nil
}

// What a standby holds may be old.
var errStandby = errors.New("the server is a read-only standby: connect to the primary")

// accept checks once that the table is of the format that this version knows.
func (s *Store) accept(ctx context.Context) error {
	if s.accepted.Load() {
		return nil
	}
	var exists bool
	var says string
	err := s.pool.QueryRow(ctx, "select to_regclass($1::text) is not null, coalesce(obj_description(to_regclass($1::text), 'pg_class'), '')",
		pgx.QueryExecModeExec, s.table).Scan(&exists, &says)
	if err != nil {
		return err
	}
	if !exists {
		return fmt.Errorf("the table %s is missing: run Create, or the statements of Schema", s.table)
	}
	switch found, ours := strings.CutPrefix(says, comment); {
	case !ours:
		return fmt.Errorf("the table %s was not made by this library (its comment is not %q): set another Table", s.table, comment+format)
	case found != format:
		return fmt.Errorf("%w: a newer version made the table %s (format %.10q): update this program", store.ErrUnreadable, s.table, found)
	}
	s.accepted.Store(true)
	return nil
}

// failed is the error of an operation.
func (s *Store) failed(key string, err error) error {
	return fmt.Errorf("pgstore: %s: %w", key, plain(err))
}

// plain gives an error one line. The client reports each address that it tried
// on a line of its own.
func plain(err error) error {
	if !strings.ContainsAny(err.Error(), "\n\t") {
		return err
	}
	return oneLine{err}
}

type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }
func (e oneLine) Unwrap() error { return e.error }

// conflict reports that the server undid a statement because of another one. It
// does so in a database whose default isolation is serializable or repeatable
// read.
func conflict(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01") // serialization failure, deadlock
}
