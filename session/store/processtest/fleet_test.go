//go:build unix

package processtest

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

const (
	goodName  = "good"
	wrongName = "wrong"
	password  = "S3cret-of-crm"
)

// firstAddress is that of the first simulated PBX of a test. Each PBX has one of
// its own, because PBXs at one address share a lockout budget.
var firstAddress = struct {
	sync.Mutex
	next netip.Addr
}{next: netip.MustParseAddr("127.17.0.1")}

// fleet is the simulated PBXs of a test and the processes that use them.
type fleet struct {
	t        *testing.T
	pbxs     []*pbxsim.PBX
	accounts []account
	store    string // for the processes
	key      []byte

	processes []*process
	started   int
	lost      map[string]int // of processes that have ended
}

func newFleet(t *testing.T, store string) *fleet {
	f := &fleet{t: t, store: store, key: make([]byte, 32), lost: map[string]int{}}
	rand.Read(f.key)
	return f
}

// lifetime is that of tokens that can be renewed without a login: so short that
// renewals meet every fault.
const lifetime = 20 * time.Second

// simulate adds a simulated PBX, with an account of each name.
func (f *fleet) simulate(brand simulators.Simulator, names ...string) *pbxsim.PBX {
	f.t.Helper()
	driver, _ := pbx.Lookup(brand.Driver)
	lasts := lifetime
	if renewsByLogin(f.t, brand) {
		lasts = time.Hour
	}
	sim := brand.New(&pbxsim.Options{Accounts: map[string]string{goodName: password}, Lifetime: lasts})
	server, err := pbxsim.ListenAt(sim, netip.AddrPortFrom(newAddress(), 0).String(), false)
	if err != nil {
		if runtime.GOOS == "darwin" {
			f.t.Skip("needs loopback addresses other than 127.0.0.1, which macOS does not have")
		}
		f.t.Fatal(err)
	}
	f.t.Cleanup(server.Close)
	f.pbxs = append(f.pbxs, sim)
	for _, name := range names {
		a := account{Name: fmt.Sprintf("%s-%d", name, len(f.pbxs)), Driver: brand.Driver, Variant: brand.Variant, URL: server.URL, User: goodName, Password: password, Options: maps.Clone(brand.Options)}
		if a.Options == nil {
			a.Options = map[string]string{}
		}
		for _, o := range driver.Options {
			if o.Name == "token_ttl" { // which no response states
				a.Options[o.Name] = lasts.String()
			}
		}
		if name == wrongName {
			a.User, a.Password = wrongName, "guess"
		}
		f.accounts = append(f.accounts, a)
	}
	return sim
}

func newAddress() netip.Addr {
	firstAddress.Lock()
	defer firstAddress.Unlock()
	a := firstAddress.next
	firstAddress.next = a.Next()
	return a
}

// renewsByLogin reports that a brand has no keep-alive.
func renewsByLogin(t *testing.T, brand simulators.Simulator) bool {
	t.Helper()
	auth, err := account{Driver: brand.Driver, URL: "http://127.0.0.1:1", User: "u", Password: "p", Options: brand.Options}.open()
	if err != nil {
		t.Fatal(err)
	}
	describer, ok := pbx.As[pbx.Describer](auth)
	return ok && describer.Traits().KeepAlive == pbx.KeepAliveNone
}

// process is one process of the program.
type process struct {
	name    string
	command *exec.Cmd
	stdin   io.Closer
	ended   chan struct{}

	mu     sync.Mutex // guards what follows
	last   report
	errors bytes.Buffer // what it wrote to its standard error
}

// Write takes what the process writes to its standard error.
func (p *process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errors.Write(text)
}

// said returns the last lines that the process wrote about a session.
func (p *process) said(session string) string {
	const most = 40
	p.mu.Lock()
	defer p.mu.Unlock()
	var about []string
	for line := range strings.Lines(p.errors.String()) {
		if strings.Contains(line, fmt.Sprintf("%q", session)) {
			about = append(about, line)
		}
	}
	return strings.Join(about[max(0, len(about)-most):], "")
}

// start starts a process.
func (f *fleet) start() *process {
	f.t.Helper()
	program, err := os.Executable()
	if err != nil {
		f.t.Fatal(err)
	}
	f.started++
	p := &process{name: fmt.Sprintf("crm-%d", f.started), command: exec.Command(program), ended: make(chan struct{})}
	p.command.Env = append(os.Environ(), asProgram+"=yes")
	p.command.Stderr = p
	stdin, err := p.command.StdinPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	p.stdin = stdin
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		reports := json.NewDecoder(stdout)
		for {
			var r report
			if reports.Decode(&r) != nil {
				break
			}
			p.mu.Lock()
			p.last = r
			p.mu.Unlock()
		}
		p.command.Wait()
	}()
	f.processes = append(f.processes, p)
	f.t.Cleanup(func() {
		p.stdin.Close()
		select {
		case <-p.ended:
		case <-time.After(10 * time.Second):
			p.command.Process.Kill()
			<-p.ended
		}
	})
	if err := json.NewEncoder(stdin).Encode(assignment{Process: p.name, Store: f.store, Key: f.key, Accounts: f.accounts}); err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (p *process) report() report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// signal stops a process, or lets it go on.
func (p *process) signal(s syscall.Signal) { p.command.Process.Signal(s) }

// kill ends a process with kill -9.
func (f *fleet) kill(p *process) {
	p.signal(syscall.SIGKILL)
	<-p.ended
	for cause, n := range p.report().Lost {
		f.lost[cause] += n
	}
	f.processes = slices.DeleteFunc(f.processes, func(other *process) bool { return other == p })
}

// allWork waits until each process had a request accepted by each PBX, and
// returns how long that took.
func (f *fleet) allWork(within time.Duration, what string) time.Duration {
	f.t.Helper()
	begin := time.Now()
	before := map[*process]report{}
	for _, p := range f.processes {
		before[p] = p.report()
	}
	for {
		var missing []string
		for _, p := range f.processes {
			now := p.report()
			for _, a := range f.accounts {
				wrong := strings.HasPrefix(a.Name, wrongName)
				if wrong && now.States[a.Name] == "rejected" || !wrong && now.Accepted[a.Name] > before[p].Accepted[a.Name]+1 && now.States[a.Name] == "live" {
					continue
				}
				missing = append(missing, fmt.Sprintf("%s of %s in %s is %s", a.Name, a.Driver, p.name, now.States[a.Name]))
				if took := time.Since(begin); took > within {
					f.t.Logf("%s, %s:\n%s", p.name, a.Name, p.said(a.Name))
				}
			}
		}
		took := time.Since(begin)
		if len(missing) == 0 {
			return took
		}
		if took > within {
			f.t.Errorf("%s: not within %s: %s", what, within, strings.Join(missing, ", "))
			return took
		}
		time.Sleep(reportEvery)
	}
}

// counts adds up what all PBXs have seen.
func (f *fleet) counts() (all pbxsim.Counts) {
	for _, sim := range f.pbxs {
		c := sim.Counts()
		all.GoodLogins += c.GoodLogins
		all.WrongLogins += c.WrongLogins
		all.LockedLogins += c.LockedLogins
		all.CrowdedLogins += c.CrowdedLogins
		all.KeepAlives += c.KeepAlives
		all.AppRequests += c.AppRequests
		all.RefusedTokens += c.RefusedTokens
		all.Locks += c.Locks
	}
	return all
}

// lostRequests are those of all processes, by cause.
func (f *fleet) lostRequests() map[string]int {
	all := maps.Clone(f.lost)
	for _, p := range f.processes {
		for cause, n := range p.report().Lost {
			all[cause] += n
		}
	}
	return all
}
