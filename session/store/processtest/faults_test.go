//go:build unix

package processtest

import (
	"flag"
	"math/rand/v2"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/session/store/enginetest"
)

var long = flag.Duration("long", 0, "how long the tests of faults go on with faults at random, after each fault once")

const (
	processes = 4
	sessions  = 50 // of good accounts, in each process
	// back is how long after a fault each process has to work with each PBX again: as
	// long as the claim holds of a process that was killed while it logged in.
	back = 26 * time.Second
	// away is how long a store is.
	away = 3 * time.Second
	// restarts is how many PBXs restart during a fault, so that logins are due.
	restarts = 5
)

// fault is something that happens to processes or to the store.
type fault struct {
	name  string
	begin func()
	lasts time.Duration
	end   func()
}

// newBusyFleet starts processes with sessions at PBXs of all brands. Some PBXs have
// a second account, whose password is wrong.
func newBusyFleet(t *testing.T, store string) *fleet {
	t.Helper()
	f := newFleet(t, store)
	brands := simulators.All()
	for n := range sessions {
		names := []string{goodName}
		if n%10 == 0 {
			names = append(names, wrongName)
		}
		f.simulate(brands[n%len(brands)], names...)
	}
	for range processes {
		f.start()
	}
	t.Logf("all work after %s: %+v", f.allWork(time.Minute, "the start").Round(100*time.Millisecond), f.counts())
	return f
}

// ofProcesses are the faults of processes.
func ofProcesses(f *fleet) []fault {
	var which *process
	one := func() *process { return f.processes[rand.IntN(len(f.processes))] }
	return []fault{
		{"a process is killed with kill -9", func() { f.kill(one()) }, 0, func() { f.start() }},
		{"a process is stopped and wakes up", func() { which = one(); which.signal(syscall.SIGSTOP) }, 4 * time.Second, func() { which.signal(syscall.SIGCONT) }},
		{"all processes are replaced", func() {
			for _, p := range slices.Clone(f.processes) {
				f.kill(p)
			}
		}, 0, func() {
			for range processes {
				f.start()
			}
		}},
	}
}

// suffer plays faults and returns how many PBXs have restarted meanwhile.
func (f *fleet) suffer(faults []fault) (restarted int) {
	f.t.Helper()
	play := func(x fault) {
		f.t.Helper()
		before := f.counts()
		x.begin()
		for range restarts {
			f.pbxs[rand.IntN(len(f.pbxs))].Restart()
			restarted++
		}
		time.Sleep(x.lasts)
		x.end()
		took := f.allWork(back, x.name)
		after := f.counts()
		f.t.Logf("%s: all work %s later; %d logins for %d restarts of PBXs, %d wrong", x.name, took.Round(100*time.Millisecond),
			after.GoodLogins-before.GoodLogins, restarts, after.WrongLogins-before.WrongLogins)
	}
	for _, x := range faults {
		play(x)
	}
	for end := time.Now().Add(*long); time.Now().Before(end) && !f.t.Failed(); {
		x := faults[rand.IntN(len(faults))]
		if x.lasts > 0 {
			x.lasts = time.Duration(rand.Int64N(int64(4 * x.lasts)))
		}
		play(x)
	}
	return restarted
}

// causes are why a request may be lost.
var causes = []*regexp.Regexp{
	// While the store is away, nothing logs in.
	regexp.MustCompile(`^unavailable: .*not sent: the store that shares the token does not respond$`),
	regexp.MustCompile(`^unavailable: .*not sent: the wrong logins of .* are not known, because the store does not respond$`),
	// Another process has replaced the token, or the PBX has restarted, and the
	// request could not be repeated in time.
	regexp.MustCompile(`^request: .*token rejected`),
	// Of a PBX that has restarted, tokens are tried one at a time.
	regexp.MustCompile(`^request: .*not sent: after a refused token`),
	// The process that was logging in was killed or stopped.
	regexp.MustCompile(`^connecting: context deadline exceeded$`),
	// The process itself was stopped until its request's deadline had passed.
	regexp.MustCompile(`^stopped: .*context deadline exceeded$`),
}

// check says whether what holds over all faults has held.
func (f *fleet) check(restarted int) {
	f.t.Helper()
	counts := f.counts()
	f.t.Logf("in all %d good logins for %d sessions and %d restarts of PBXs, %d wrong ones for %d accounts, %d refused as locked, %d locks; %d keep-alives, %d requests",
		counts.GoodLogins, sessions, restarted, counts.WrongLogins, len(f.accounts)-sessions, counts.LockedLogins, counts.Locks, counts.KeepAlives, counts.AppRequests)
	if counts.Locks != 0 || counts.LockedLogins != 0 {
		f.t.Errorf("%d locks, %d logins refused by one", counts.Locks, counts.LockedLogins)
	}
	for cause, n := range f.lostRequests() {
		f.t.Logf("lost: %4d  %s", n, cause)
		if !slices.ContainsFunc(causes, func(known *regexp.Regexp) bool { return known.MatchString(cause) }) {
			f.t.Errorf("%d requests were lost without a known cause: %s", n, cause)
		}
	}
}

func TestFaultsOfProcessesAndOfRedis(t *testing.T) {
	t.Parallel()
	lasting := []string{"--appendonly", "yes"}
	master := enginetest.StartRedis(t, lasting...)
	proxy := enginetest.StartProxy(t, master.Addr())
	f := newBusyFleet(t, "redis://"+proxy.Addr())
	restarted := f.suffer(append(ofProcesses(f),
		fault{"Redis is killed and restarts with its log", func() { master.Kill(t) }, away, func() { master.Start(t) }},
		fault{"Redis hangs", func() { master.Pause(t) }, away, func() { master.Resume(t) }},
		fault{"Redis is cut off", func() { proxy.Cut(t) }, away, func() { proxy.Restore(t) }},
		fault{"Redis restarts empty", func() { master.Kill(t); master.Lose(t) }, away, func() { master.Start(t) }},
		fault{"a replica of Redis is promoted", func() {
			replica := enginetest.StartRedis(t, lasting...)
			replica.BecomeReplica(t, master)
			proxy.Cut(t)
			master.Kill(t)
			master = replica
		}, away, func() {
			master.Promote(t)
			proxy.Redirect(master.Addr())
			proxy.Restore(t)
		}},
	))
	f.check(restarted)
}

func TestFaultsOfPostgreSQL(t *testing.T) {
	t.Parallel()
	server := enginetest.StartPostgres(t)
	createTable(t, server.URL())
	proxy := enginetest.StartProxy(t, server.Addr())
	f := newBusyFleet(t, server.URLAt(proxy.Addr()))
	restarted := f.suffer(append(ofProcesses(f)[:1],
		fault{"PostgreSQL crashes and restarts", func() { server.Kill(t) }, 0, func() { server.Start(t) }},
		fault{"PostgreSQL is stopped", func() { server.Kill(t) }, 2 * away, func() { server.Start(t) }},
		fault{"PostgreSQL is cut off", func() { proxy.Cut(t) }, away, func() { proxy.Restore(t) }},
	))
	f.check(restarted)
}
