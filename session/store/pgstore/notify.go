package pgstore

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// notifier reports to the watchers which cells have changed. Swaps do not wait for it:
// PostgreSQL lets only one transaction with a notice commit at a time, so all
// notices that are due go out in one statement. Now and then it also removes rows
// that have expired.
//
// A goroutine runs while something is due.
type notifier struct {
	pool               *pgxpool.Pool
	channel, sweepRows string // sweepRows is a statement

	mu      sync.Mutex
	due     map[string]struct{} // keys; "": any cell may have changed
	running bool
	sweepAt time.Time
}

const (
	// sendTime bounds each statement. One that failed is followed by others that report a
	// gap: some at once, and then the next one that is due.
	sendTime = 5 * time.Second
	// mostFailures is how many in a row fail before it is left to the next Swap.
	mostFailures = 6
	// maxDue bounds what piles up while the server is slow. Beyond it, one notice
	// reports a gap.
	maxDue = 1000
	// sweepEvery is how often a process removes rows that have expired.
	sweepEvery = time.Minute
)

// changed makes a notice of key due.
func (n *notifier) changed(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.due == nil {
		n.due = make(map[string]struct{})
	}
	if len(n.due) >= maxDue {
		clear(n.due)
		key = ""
	}
	n.due[key] = struct{}{}
	if !n.running {
		n.running = true
		go n.run()
	}
}

func (n *notifier) run() {
	for failed := 0; ; {
		keys, sweep := n.take()
		if len(keys) == 0 {
			return
		}
		if err := n.exec("select pg_notify($1::text, key) from unnest($2::text[]) key", n.channel, keys); err != nil {
			if failed++; n.lose(failed == mostFailures) {
				return
			}
			time.Sleep(min(firstPause<<(failed-1), lastPause))
			continue
		}
		failed = 0
		if sweep {
			n.exec(n.sweepRows) // the next sweep removes what this one does not
		}
	}
}

// lose makes the notice of a gap due, and ends the goroutine if it is to.
func (n *notifier) lose(end bool) (ended bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.due[""], n.running = struct{}{}, !end
	return end
}

// take returns what is due. If that is nothing, the goroutine has to end.
func (n *notifier) take() (keys []string, sweep bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for key := range n.due {
		keys = append(keys, key)
	}
	clear(n.due)
	n.running = len(keys) > 0
	if now := time.Now(); n.running && !now.Before(n.sweepAt) {
		n.sweepAt, sweep = now.Add(sweepEvery), true
	}
	return keys, sweep
}

func (n *notifier) exec(sql string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), sendTime)
	defer cancel()
	_, err := n.pool.Exec(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
	return err
}
