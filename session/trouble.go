package session

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// trouble is what is wrong at a host.
type trouble uint8

const (
	inDoubt     trouble = 1 << iota // a login got no verdict
	wrongLogins                     // the PBX may count some
	lockedOut                       // the PBX has said so
	careful                         // requests with tokens have to ask and report
	doubtful                        // those with tokens that may be lost have to: see host.alert
)

// reasons are those that a person should know.
const reasons = inDoubt | wrongLogins | lockedOut

// troubled are the hosts that are in trouble.
type troubled[Host comparable] struct {
	mu    sync.Mutex // guards what follows
	hosts map[Host]troubledHost
	count HostStats
	next  time.Time // nothing passes before; zero: nothing passes
}

type troubledHost struct {
	what   trouble
	passes time.Time // when some of it does, by time alone; zero: never
}

// note notes what is wrong at a host now, and when some of that passes.
func (t *troubled[Host]) note(h Host, now trouble, passes time.Time) {
	now &= reasons
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(t.hosts[h].what, -1)
	t.add(now, 1)
	if now == 0 {
		delete(t.hosts, h)
		return
	}
	if t.hosts == nil {
		t.hosts = map[Host]troubledHost{}
	}
	t.hosts[h] = troubledHost{now, passes}
	t.next = sooner(t.next, passes)
}

// sooner is the earlier of two times, of which zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (t *troubled[Host]) add(what trouble, n int) {
	if what != 0 {
		t.count.InTrouble += n
	}
	if what&inDoubt != 0 {
		t.count.InDoubt += n
	}
	if what&wrongLogins != 0 {
		t.count.WrongLogins += n
	}
	if what&lockedOut != 0 {
		t.count.Locked += n
	}
}

func (t *troubled[Host]) list() []Host {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.hosts))
}

func (t *troubled[Host]) counts() HostStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// passed returns the hosts at which some trouble has passed.
func (t *troubled[Host]) passed(now time.Time) (hosts []Host) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next.IsZero() || now.Before(t.next) {
		return nil
	}
	t.next = time.Time{}
	for h, noted := range t.hosts {
		t.next = sooner(t.next, noted.passes)
		if !noted.passes.IsZero() && !now.Before(noted.passes) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}
