package session

import (
	"context"
	"time"
)

// settings are what the drivers of a Manager, and the hosts that they are at, have
// from it.
type settings struct {
	ctx      context.Context // ends with the Manager
	last     context.Context // of what a Close waits for: ends when the Manager's has no time left
	schedule *scheduler
	store    *backing // nil: this process is alone
	journal  *journal
	hook     *hook         // nil: the application wants none
	timeout  time.Duration // of a request
	perHost  int16         // requests at a time
}

// during returns ctx with an earlier end: when a Close of the Manager has no time left.
func (s *settings) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(s.last, cancel)
	if s.last.Err() != nil { // AfterFunc is not there at once
		cancel()
	}
	return ctx, func() { unhook(); cancel() }
}

// flush waits until OnOp and the log have what has happened so far, or stop is
// closed.
func (s *settings) flush(stop <-chan struct{}) {
	if s.hook != nil {
		s.hook.infos.flush(stop)
	}
	s.journal.lines.flush(stop)
}
