package session

import "time"

// settings hold for all drivers of a Manager.
type settings struct {
	timeout time.Duration
	journal *journal
	hook    *hook // nil: the application wants none
}

// flush waits until OnOp and the log have what has happened so far, or stop is
// closed.
func (s *settings) flush(stop <-chan struct{}) {
	if s.hook != nil {
		s.hook.infos.flush(stop)
	}
	s.journal.lines.flush(stop)
}
