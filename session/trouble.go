package session

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// trouble is what is wrong at a host.
type trouble uint32

const (
	inDoubt     trouble = 1 << iota // a login got no response
	wrongLogins                     // the PBX may count some
	lockedOut                       // the PBX has said so
	careful                         // nothing of these, but requests with tokens have to ask and report
)

// reasons are those that a person should know.
const reasons = inDoubt | wrongLogins | lockedOut

// troubled are the hosts of a Guard that are in trouble.
type troubled struct {
	mu    sync.Mutex // guards what follows
	hosts map[*host]trouble
	count HostStats
}

// note notes what is wrong at a host now.
func (t *troubled) note(h *host, now trouble) {
	now &= reasons
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.hosts[h]
	if before == now {
		return
	}
	t.add(before, -1)
	t.add(now, 1)
	if now == 0 {
		delete(t.hosts, h)
		return
	}
	if t.hosts == nil {
		t.hosts = map[*host]trouble{}
	}
	t.hosts[h] = now
}

func (t *troubled) add(what trouble, n int) {
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

func (t *troubled) read() HostStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// HostsInTrouble returns the hosts of the Manager's [Guard] that have sessions
// and are in trouble, at most so many of them: locked ones first, then those with
// the most logins that count, then those in doubt for longest. It costs more the
// more hosts are in trouble.
func (m *Manager) HostsInTrouble(most int) []HostStatus {
	t := &m.fleet.gate.guard.troubled
	t.mu.Lock()
	hosts := slices.Collect(maps.Keys(t.hosts))
	t.mu.Unlock()
	all := make([]HostStatus, len(hosts))
	for i, h := range hosts {
		all[i] = h.status()
	}
	slices.SortFunc(all, func(a, b HostStatus) int {
		free := func(s HostStatus) int {
			if s.LockedUntil.IsZero() {
				return 1
			}
			return 0
		}
		return cmp.Or(free(a)-free(b), len(b.Bookings)-len(a.Bookings), a.InDoubt.Compare(b.InDoubt), cmp.Compare(a.Host, b.Host))
	})
	return all[:min(max(most, 0), len(all))]
}
