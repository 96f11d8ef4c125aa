package pgstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const secret = "canary-c0de"

func pool(t *testing.T) *pgxpool.Pool {
	p, err := pgxpool.New(context.Background(), "postgres://user:"+secret+"@127.0.0.1:1/app")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestBadOptionsAreRefused(t *testing.T) {
	if _, err := Open(nil, Options{}); err == nil || err.Error() != "pgstore: no pool: make one with pgxpool.New" {
		t.Error(err)
	}
	for _, table := range []string{"Cells", "a b", "x;drop table y", "a.b.c", ".a", "a.", "1a", "ä", `"a"`, strings.Repeat("a", 51)} {
		want := fmt.Sprintf("pgstore: Table %q: use table or schema.table, of a-z, 0-9 and _, up to 50 each", table)
		if _, err := Open(pool(t), Options{Table: table}); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", table, err, want)
		}
		if _, err := Schema(table); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", table, err, want)
		}
	}
}

func TestSchemaNamesTheTable(t *testing.T) {
	got, err := Schema("app.cells")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"create table if not exists app.cells (",
		"create index if not exists cells_expires on app.cells (expires)",
		"comment on table app.cells is 'pbx-store 1'",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nlacks %s", got, want)
		}
	}
	if strings.Contains(got, defaultTable) {
		t.Errorf("%s\nnames the default table", got)
	}
	if got, _ := Schema(""); !strings.Contains(got, "create table if not exists pbx_store (") {
		t.Errorf("%s", got)
	}
}

func TestEachStatementNamesTheTable(t *testing.T) {
	s, err := Open(pool(t), Options{Table: "app.cells"})
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{s.loadSQL, s.swapSQL, s.notices.sweepRows} {
		if !strings.Contains(sql, " app.cells ") || strings.Contains(sql, defaultTable) {
			t.Errorf("%s", sql)
		}
	}
	if s.channel != "app_cells_changed" {
		t.Errorf("channel %s", s.channel)
	}
}

func TestTheChannelOfALongTableIsANameForPostgreSQL(t *testing.T) {
	seen := map[string]string{}
	for _, table := range []string{"cells", "app.cells", strings.Repeat("s", 50) + "." + strings.Repeat("t", 50), strings.Repeat("s", 50) + "." + strings.Repeat("t", 49)} {
		s, err := Open(pool(t), Options{Table: table})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.channel) > 63 || strings.Trim(s.channel, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			t.Errorf("%s: channel %s of %d bytes", table, s.channel, len(s.channel))
		}
		if other := seen[s.channel]; other != "" {
			t.Errorf("%s has the channel of %s", table, other)
		}
		seen[s.channel] = table
	}
}

// keysAfter makes notices due and returns what would be sent.
func (n *notifier) keysAfter(keys ...string) []string {
	n.mu.Lock()
	n.running = true // so that nothing is sent
	n.mu.Unlock()
	for _, key := range keys {
		n.changed(key)
	}
	due, _ := n.take()
	slices.Sort(due)
	return due
}

func TestMoreNoticesThanArePiledUpAreAGap(t *testing.T) {
	var n notifier
	var many []string
	for i := range maxDue + 5 {
		many = append(many, fmt.Sprintf("k%d", i))
	}
	got := n.keysAfter(many...)
	if len(got) != 5 || got[0] != "" {
		t.Errorf("%d notices are due: %.50q", len(got), got)
	}
}

func TestNoticesThatCouldNotBeSentAreAGap(t *testing.T) {
	n := notifier{pool: pool(t), channel: "c"}
	n.changed("a") // nothing listens there
	for running := true; running; time.Sleep(time.Millisecond) {
		n.mu.Lock()
		running = n.running
		n.mu.Unlock()
	}
	if got := n.keysAfter("b"); !slices.Equal(got, []string{"", "b"}) {
		t.Errorf("%q are due", got)
	}
	if got := n.keysAfter("c"); !slices.Equal(got, []string{"c"}) {
		t.Errorf("%q are due after the gap was reported", got)
	}
}

func TestNoPasswordIsPrinted(t *testing.T) {
	s, err := Open(pool(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
		if got := fmt.Sprintf(verb, s); got != `pgstore.Store("pbx_store")` {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	if _, err := s.Load(t.Context(), "k"); err == nil || strings.Contains(err.Error(), secret) {
		t.Error(err)
	}
}

func TestErrorsHaveOneLine(t *testing.T) {
	cause := errors.New("failed to connect:\n\t[::1]:5432: refused\n\t127.0.0.1:5432: refused")
	err := plain(fmt.Errorf("pool: %w", cause))
	if err.Error() != "pool: failed to connect: [::1]:5432: refused 127.0.0.1:5432: refused" || !errors.Is(err, cause) {
		t.Error(err)
	}
}
