package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

const driver = "yeastar"

// patience is how long a step of the story may take.
const patience = 30 * time.Second

// story is one run: the simulated PBX, and the replicas that use it.
type story struct {
	ctx      context.Context
	out      io.Writer
	pbx      *pbxsim.PBX
	work     assignment // without a name
	replicas []*process // in their order, without those that were killed
	started  int
	changed  chan struct{} // a replica has reported something
	seen     pbxsim.Counts // when the PBX was looked at last
}

// process is a replica as its starter sees it.
type process struct {
	name    string
	command *exec.Cmd
	stdin   io.Closer // closing it asks the replica to end
	ended   chan struct{}

	mu   sync.Mutex // guards what follows
	last report

	before report // at the beginning of the step; used by the story alone
}

// tell runs the story.
func tell(ctx context.Context, address string, out io.Writer) (err error) {
	where, err := newPlace(address)
	if err != nil {
		return err
	}
	opened, err := where.open(ctx)
	if err != nil {
		return err
	}
	defer opened.close()
	if err := opened.check(ctx); err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, opened.erase(ctx))
	}()

	// The settings of a real program are in its database.
	dir, err := os.MkdirTemp("", "replicas-settings-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	old, fresh := rand.Text(), rand.Text()
	brand := simulators.Of(driver)[0]
	sim := brand.New(&pbxsim.Options{Accounts: map[string]string{account: old}})
	server := pbxsim.Listen(sim)
	defer server.Close()
	key := make([]byte, 32)
	rand.Read(key)
	s := &story{ctx: ctx, out: out, pbx: sim, changed: make(chan struct{}, 1), work: assignment{
		Place: where, Key: key, Driver: driver, Options: brand.Options, URL: server.URL, Settings: filepath.Join(dir, "password")}}
	defer s.end()

	fmt.Fprintf(out, "A simulated PBX is at %s. It locks an address after 5 wrong logins.\nThe store is %s.\n", server.URL, opened.kind)
	return s.steps(old, fresh)
}

func (s *story) steps(old, fresh string) error {
	save := func(password string) error { return os.WriteFile(s.work.Settings, []byte(password), 0o600) }
	restart := func() error { s.pbx.Restart(); return nil }

	if err := save(old); err != nil {
		return err
	}
	if err := s.step("Three replicas start with the same account", func() error {
		for range 3 {
			if err := s.start(); err != nil {
				return err
			}
		}
		return nil
	}, working); err != nil {
		return err
	}
	if err := s.step("The one that logged in is killed with kill -9, and another one starts", func() error {
		for _, p := range s.replicas {
			if p.report().Logins > 0 {
				s.kill(p)
				break
			}
		}
		return s.start()
	}, working); err != nil {
		return err
	}
	if err := s.step("The PBX restarts, and all its tokens are gone", restart, working); err != nil {
		return err
	}
	if err := s.step("Somebody changes the password at the PBX, and it restarts", func() error {
		s.pbx.SetPassword(account, fresh)
		return restart()
	}, refused); err != nil {
		return err
	}
	if err := s.step("A person types the new password into the program's settings", func() error { return save(fresh) }, working); err != nil {
		return err
	}
	c := s.pbx.Counts()
	fmt.Fprintf(s.out, "\nIn all %d good logins, %d wrong ones, %d locks.\n", c.GoodLogins, c.WrongLogins, c.Locks)
	return nil
}

// working and refused are what a step waits for. The first request that is
// accepted may have been under way before.
func working(now, before report) bool {
	return now.State == "live" && now.Accepted >= before.Accepted+2
}
func refused(now, _ report) bool { return now.State == "rejected" }

// step does something, waits until all replicas have come to what is expected of
// them, and prints what each did.
func (s *story) step(title string, do func() error, expected func(now, before report) bool) error {
	fmt.Fprintf(s.out, "\n%s.\n", title)
	for _, p := range s.replicas {
		p.before = p.report()
	}
	s.seen = s.pbx.Counts()
	if err := do(); err != nil {
		return err
	}
	if err := s.wait(expected); err != nil {
		return err
	}
	for _, p := range s.replicas {
		fmt.Fprintf(s.out, "  %-10s %s\n", p.name, outcome(p.report(), p.before))
	}
	c := s.pbx.Counts()
	fmt.Fprintf(s.out, "  the PBX    %d good logins, %d wrong\n", c.GoodLogins-s.seen.GoodLogins, c.WrongLogins-s.seen.WrongLogins)
	return nil
}

// outcome says what a replica did in a step.
func outcome(now, before report) string {
	own, failed := now.Logins-before.Logins, now.FailedLogins-before.FailedLogins
	switch {
	case now.State == "rejected" && failed > 0:
		return "sent the old password: " + now.Why
	case now.State == "rejected":
		return "sent nothing: " + now.Why
	case own > 0:
		return "logged in"
	default:
		return "took the token from the store"
	}
}

// wait waits until all replicas have come to something.
func (s *story) wait(expected func(now, before report) bool) error {
	deadline := time.After(patience)
	for {
		all := true
		for _, p := range s.replicas {
			all = all && expected(p.report(), p.before)
		}
		if all {
			return nil
		}
		select {
		case <-s.changed:
		case <-deadline:
			return fmt.Errorf("the step did not finish within %s", patience)
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}

// start starts a replica.
func (s *story) start() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	s.started++
	p := &process{name: fmt.Sprintf("replica-%d", s.started), command: exec.Command(program), ended: make(chan struct{})}
	p.command.Env = append(os.Environ(), asReplica+"=yes")
	p.command.Stderr = os.Stderr
	stdin, err := p.command.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.command.Start(); err != nil {
		return err
	}
	p.stdin = stdin
	s.replicas = append(s.replicas, p)
	go func() {
		defer close(p.ended)
		p.listen(json.NewDecoder(stdout), s.changed)
		p.command.Wait()
	}()
	work := s.work
	work.Name = p.name
	return json.NewEncoder(stdin).Encode(work)
}

// listen notes what the replica reports until it ends.
func (p *process) listen(in *json.Decoder, changed chan<- struct{}) {
	for {
		var r report
		if in.Decode(&r) != nil {
			return
		}
		p.mu.Lock()
		p.last = r
		p.mu.Unlock()
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

func (p *process) report() report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// kill ends a replica as kill -9 does.
func (s *story) kill(p *process) {
	p.command.Process.Kill()
	<-p.ended
	for n, other := range s.replicas {
		if other == p {
			s.replicas = append(s.replicas[:n], s.replicas[n+1:]...)
			break
		}
	}
}

// end ends all replicas.
func (s *story) end() {
	for _, p := range s.replicas {
		p.stdin.Close()
	}
	for _, p := range s.replicas {
		select {
		case <-p.ended:
		case <-time.After(10 * time.Second):
			p.command.Process.Kill()
			<-p.ended
		}
	}
}
