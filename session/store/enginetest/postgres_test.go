//go:build unix

package enginetest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pbxauth/pbx/session/store"
	"github.com/pbxauth/pbx/session/store/enginetest"
	"github.com/pbxauth/pbx/session/store/pgstore"
	"github.com/pbxauth/pbx/session/store/storetest"
)

func openPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func openPostgres(t testing.TB, url string, o pgstore.Options) *pgstore.Store {
	t.Helper()
	s, err := pgstore.Open(openPool(t, url), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t testing.TB, s *pgstore.Store) {
	t.Helper()
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func sql(t testing.TB, p *enginetest.Postgres, statement string) {
	t.Helper()
	if _, err := openPool(t, p.URL()).Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// The tests of PostgreSQL share one server, because starting one takes seconds.
func TestPostgres(t *testing.T) {
	t.Parallel()
	p := enginetest.StartPostgres(t)

	t.Run("Rules", func(t *testing.T) {
		create(t, openPostgres(t, p.URL(), pgstore.Options{}))
		storetest.Run(t, func(t testing.TB) store.Store { return openPostgres(t, p.URL(), pgstore.Options{}) },
			storetest.Faults{
				Stop: p.Kill, Start: p.Start,
				Forget: func(t testing.TB) { sql(t, p, "truncate pbx_store") },
				Damage: func(t testing.TB, key string) {
					sql(t, p, "update pbx_store set rev = -rev where key = '"+key+"'")
				},
			})
	})

	t.Run("RulesBehindASlowNetwork", func(t *testing.T) {
		proxy := enginetest.StartProxy(t, p.Addr())
		for _, stream := range []string{"upstream", "downstream"} {
			proxy.Add(t, "latency", stream, `{"latency": 1, "jitter": 1}`)
			proxy.Add(t, "slicer", stream, `{"average_size": 200, "size_variation": 150, "delay": 10}`)
		}
		o := pgstore.Options{Table: "slow"}
		create(t, openPostgres(t, p.URL(), o))
		storetest.Run(t, func(t testing.TB) store.Store { return openPostgres(t, p.URLAt(proxy.Addr()), o) },
			storetest.Faults{
				Stop: proxy.Cut, Start: proxy.Restore, Disturb: disturb(proxy),
				Hang:   func(t testing.TB) { proxy.Add(t, "timeout", "upstream", `{"timeout": 0}`) },
				Resume: proxy.Clear,
			})
	})

	t.Run("RulesInASerializableDatabase", func(t *testing.T) {
		sql(t, p, "create database strict")
		sql(t, p, "alter database strict set default_transaction_isolation = 'serializable'")
		url := strings.Replace(p.URL(), "/postgres?", "/strict?", 1)
		create(t, openPostgres(t, url, pgstore.Options{}))
		storetest.Run(t, func(t testing.TB) store.Store { return openPostgres(t, url, pgstore.Options{}) }, storetest.Faults{})
	})

	t.Run("ManyProcessesCreateOneTable", func(t *testing.T) {
		sql(t, p, "create schema app")
		s := openPostgres(t, p.URL(), pgstore.Options{Table: "app.cells"})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := s.Create(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if _, won, err := s.Swap(t.Context(), "k", 0, []byte("v"), 0); !won || err != nil {
			t.Error(won, err)
		}
		create(t, s) // leaves it as it is
		if e, err := s.Load(t.Context(), "k"); err != nil || string(e.Value) != "v" {
			t.Errorf("%q, %v", e.Value, err)
		}
	})

	t.Run("ATableOfALongNameReportsChanges", func(t *testing.T) {
		schema, table := strings.Repeat("s", 50), strings.Repeat("t", 50)
		sql(t, p, "create schema "+schema)
		s := openPostgres(t, p.URL(), pgstore.Options{Table: schema + "." + table})
		create(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), waitTime)
		defer cancel()
		heard := make(chan string, 10)
		go s.Watch(ctx, func(key string) { heard <- key })
		for _, want := range []string{"", "k"} { // it begins to listen, and then there is a Swap
			select {
			case got := <-heard:
				if got != want {
					t.Errorf("%q is heard, want %q", got, want)
				}
			case <-ctx.Done():
				t.Fatalf("%q is not heard", want)
			}
			if want == "" {
				s.Swap(ctx, "k", 0, []byte("v"), 0)
			}
		}
	})

	t.Run("ARemovedCellLeavesItsRevisionBehind", func(t *testing.T) {
		o := pgstore.Options{Table: "removed"}
		s := openPostgres(t, p.URL(), o)
		create(t, s)
		const ahead = 4_000_000_000_000_000 // of the server's clock, which was set back since
		sql(t, p, fmt.Sprintf("insert into removed values ('k', %d, 'v', 'infinity')", ahead))
		if _, won, err := s.Swap(t.Context(), "k", ahead, nil, 0); !won || err != nil {
			t.Fatal(won, err)
		}
		e, won, err := s.Swap(t.Context(), "k", 0, []byte("v"), 0)
		if err != nil || !won || e.Rev != ahead+2 {
			t.Errorf("won %v at %d, %v", won, e.Rev, err)
		}
	})

	t.Run("ExpiredRowsGo", func(t *testing.T) {
		o := pgstore.Options{Table: "expired"}
		s := openPostgres(t, p.URL(), o)
		create(t, s)
		sql(t, p, "insert into expired select 'old' || n, n, 'v', clock_timestamp() - interval '2 hours' from generate_series(1, 700) n")
		sql(t, p, "insert into expired select 'new' || n, n, 'v', clock_timestamp() - interval '1 minute' from generate_series(1, 10) n")
		pool := openPool(t, p.URL())
		left := func(want int) {
			t.Helper()
			var n int
			for deadline := time.Now().Add(waitTime); n != want; time.Sleep(5 * time.Millisecond) {
				if err := pool.QueryRow(t.Context(), "select count(*) from expired").Scan(&n); err != nil {
					t.Fatal(err)
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d rows are left, want %d", n, want)
				}
			}
		}
		s.Swap(t.Context(), "k1", 0, []byte("v"), 0)
		left(200 + 10 + 1) // at most 500 at a time, and those of the last hour stay
		openPostgres(t, p.URL(), o).Swap(t.Context(), "k2", 0, []byte("v"), 0)
		left(10 + 2)
	})

	t.Run("Errors", func(t *testing.T) { postgresErrors(t, p) })

	t.Run("AWatchThatCannotHearSaysSo", func(t *testing.T) {
		// A pooler in transaction mode accepts LISTEN and passes no notice on.
		sql(t, p, "create database elsewhere") // whose notices do not come here
		pool := openPool(t, p.URL())
		listen := openPool(t, strings.Replace(p.URL(), "/postgres?", "/elsewhere?", 1)).Config().ConnConfig
		s, err := pgstore.Open(pool, pgstore.Options{Listen: listen})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), waitTime)
		defer cancel()
		began := time.Now()
		err = s.Watch(ctx, func(string) { t.Error("something is heard") })
		if err == nil || !strings.Contains(err.Error(), "notices do not arrive: set Options.Listen") {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})

	t.Run("AWatchConnectsAsThePoolDoes", func(t *testing.T) {
		// The password is known when a connection is made, as with a vault.
		config, err := pgxpool.ParseConfig(strings.Replace(p.URL(), p.Password, "expired", 1))
		if err != nil {
			t.Fatal(err)
		}
		config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
			c.Password = p.Password
			return nil
		}
		s := openWith(t, config, pgstore.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), waitTime)
		defer cancel()
		s.Watch(ctx, func(string) { cancel() })
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Error("nothing is heard")
		}
	})

	t.Run("AWatchThatHasHeardIsNotGivenUp", func(t *testing.T) {
		listen := openPool(t, p.URL()).Config().ConnConfig
		var conns []*silenced
		listen.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return &silenced{Conn: conn}, err
		}
		listen.AfterConnect = func(_ context.Context, c *pgconn.PgConn) error {
			conns = append(conns, c.Conn().(*silenced))
			return nil
		}
		config := openPool(t, p.URL()).Config()
		config.ConnConfig.Tracer = tracer(func(query string) {
			if strings.Contains(query, "pg_notify") && len(conns) == 2 {
				conns[1].silent.Store(true) // the second one hears nothing, for whatever reason
			}
		})
		s := openWith(t, config, pgstore.Options{Listen: listen})
		ctx, cancel := context.WithTimeout(t.Context(), waitTime)
		defer cancel()
		heard := 0
		err := s.Watch(ctx, func(string) {
			if heard++; heard == 1 {
				conns[0].Close()
				return
			}
			cancel()
		})
		if heard != 2 || !errors.Is(err, context.Canceled) {
			t.Errorf("%d gaps are heard, %v", heard, err)
		}
	})

	t.Run("ANoticeThatCouldNotBeSentIsAGapSoon", func(t *testing.T) {
		// The pool goes through a pooler that restarts just after a Swap. The watch does not.
		proxy := enginetest.StartProxy(t, p.Addr())
		config := openPool(t, p.URLAt(proxy.Addr())).Config()
		var cut atomic.Bool
		config.ConnConfig.Tracer = tracer(func(query string) {
			if strings.Contains(query, "pg_notify") && strings.Contains(query, "unnest") && cut.CompareAndSwap(false, true) {
				proxy.Cut(t)
			}
		})
		s := openWith(t, config, pgstore.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), waitTime)
		defer cancel()
		gaps := 0
		openPostgres(t, p.URL(), pgstore.Options{}).Watch(ctx, func(key string) {
			switch {
			case key != "":
				t.Errorf("%q is heard", key)
			case gaps == 0:
				if _, won, err := s.Swap(ctx, "unnoticed", 0, []byte("v"), time.Hour); !won || err != nil {
					t.Error(won, err)
				}
				for !cut.Load() && ctx.Err() == nil {
					time.Sleep(time.Millisecond)
				}
				proxy.Restore(t)
			default:
				cancel()
			}
			gaps++
		})
		if gaps != 2 {
			t.Errorf("%d gaps are heard", gaps)
		}
	})

	t.Run("AStandbyIsNeverRead", func(t *testing.T) {
		p.BecomeStandby(t) // for the rest of the tests
		s := openPostgres(t, p.URL(), pgstore.Options{Table: "app.cells"})
		if e, err := s.Load(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "the server is a read-only standby: connect to the primary") {
			t.Errorf("Load returns %q, %v", e.Value, err)
		}
		if _, won, err := s.Swap(t.Context(), "k", 0, []byte("v"), 0); won || err == nil || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("won %v, %v", won, err)
		}
	})
}

// silenced is a connection that reads nothing while silent is set.
type silenced struct {
	net.Conn
	silent atomic.Bool

	mu   sync.Mutex // guards what follows
	ends time.Time  // of a read; zero: never
}

func (c *silenced) SetDeadline(t time.Time) error     { c.set(t); return c.Conn.SetDeadline(t) }
func (c *silenced) SetReadDeadline(t time.Time) error { c.set(t); return c.Conn.SetReadDeadline(t) }

func (c *silenced) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends = t
}

func (c *silenced) Read(b []byte) (int, error) {
	for c.silent.Load() {
		c.mu.Lock()
		ends := c.ends
		c.mu.Unlock()
		if !ends.IsZero() && !time.Now().Before(ends) {
			return 0, os.ErrDeadlineExceeded
		}
		time.Sleep(5 * time.Millisecond)
	}
	return c.Conn.Read(b)
}

// tracer is told of each query that begins.
type tracer func(query string)

func (f tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	f(data.SQL)
	return ctx
}

func (tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func postgresErrors(t *testing.T, p *enginetest.Postgres) {
	const secret = "canary-91cc"
	sql(t, p, "create table other (key text)")
	newer := openPostgres(t, p.URL(), pgstore.Options{Table: "newer"})
	create(t, newer)
	sql(t, p, "comment on table newer is 'pbx-store 2'")
	sql(t, p, "create role reader login password '"+secret+"'")
	create(t, openPostgres(t, p.URL(), pgstore.Options{}))
	as := func(user string) string { return strings.Replace(p.URL(), "postgres:"+p.Password, user+":"+secret, 1) }
	for _, c := range []struct{ name, url, table, says string }{
		{"wrong password", as("postgres"), "", "password authentication failed for user"},
		{"nobody there", "postgres://postgres:" + secret + "@127.0.0.1:1/postgres", "", "connection refused"},
		{"no TLS there", strings.Replace(p.URL(), "sslmode=disable", "sslmode=require", 1), "", "server refused TLS connection"},
		{"no table", p.URL(), "missing", "pgstore: k: the table missing is missing: run Create, or the statements of Schema"},
		{"another table", p.URL(), "other", `pgstore: k: the table other was not made by this library (its comment is not "pbx-store 1"): set another Table`},
		{"newer version", p.URL(), "newer", `pgstore: k: unreadable cell: a newer version made the table newer (format "2"): update this program`},
		{"not permitted", as("reader"), "", "permission denied for table pbx_store"},
		{"no such database", strings.Replace(p.URL(), "/postgres?", "/nowhere?", 1), "", `database "nowhere" does not exist`},
	} {
		s := openPostgres(t, c.url, pgstore.Options{Table: c.table})
		_, won, err := s.Swap(t.Context(), "k", 0, []byte("v"), 0)
		if won || err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "pgstore: k: ") {
			t.Errorf("%s: won %v, %v, want %s", c.name, won, err, c.says)
		}
		if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), p.Password) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := fmt.Sprintf("%+v", s); strings.Contains(got, secret) {
			t.Errorf("%s", got)
		}
	}
	if _, err := newer.Load(t.Context(), "k"); !errors.Is(err, store.ErrUnreadable) {
		t.Error(err)
	}
}

// openWith is a Store over a pool of that configuration.
func openWith(t *testing.T, config *pgxpool.Config, o pgstore.Options) *pgstore.Store {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s, err := pgstore.Open(pool, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
