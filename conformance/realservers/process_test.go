//go:build linux

package realservers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// process is a server that a test has started. The test ends it, and so does
// the kernel if the test is killed.
type process struct {
	name    string
	output  string // file with what it printed
	command *exec.Cmd
	ended   chan struct{}
	err     error // of Wait; set when ended is closed
}

// startProcess runs a program in dir until the test ends.
func startProcess(t *testing.T, dir, program string, args ...string) *process {
	t.Helper()
	p := &process{
		name:    program,
		output:  filepath.Join(dir, filepath.Base(program)+".out"),
		command: exec.Command(requireProgram(t, program), args...),
		ended:   make(chan struct{}),
	}
	output, err := os.OpenFile(p.output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p.command.Dir = dir
	p.command.Env = append(os.Environ(), "HOME="+dir, "LC_ALL=C.UTF-8", "TZ=UTC")
	p.command.Stdout, p.command.Stderr = output, output
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// Pdeathsig is sent when the thread ends that started the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer output.Close()
		err := p.command.Start()
		started <- err
		if err == nil {
			p.err = p.command.Wait()
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s printed:\n%s", p.name, p.printed())
		}
	})
	return p
}

// requireProgram returns where program is, and skips the test where it is not.
func requireProgram(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed: see README.md", program)
	}
	return path
}

// running reports whether the process has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends the process as a crash does.
func (p *process) kill() {
	p.command.Process.Kill()
	<-p.ended
}

// stop asks the process to end, and kills it after 10 s.
func (p *process) stop() {
	p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		p.kill()
	}
}

// printed returns the end of what the process printed.
func (p *process) printed() []byte {
	text, _ := os.ReadFile(p.output)
	return text[max(0, len(text)-4000):]
}

// ready waits until the process accepts connections at an address.
func (p *process) ready(t *testing.T, address string) {
	t.Helper()
	eventually(t, 20*time.Second, fmt.Sprintf("%s listens on %s", p.name, address), func() bool {
		if !p.running() {
			t.Fatalf("%s has ended: %v\n%s", p.name, p.err, p.printed())
		}
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// eventually waits until a condition holds, and fails the test after a time.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		pause(t, 50*time.Millisecond)
	}
}

// throughout checks for a time that a condition holds.
func throughout(t *testing.T, d time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(d); time.Now().Before(deadline); pause(t, 100*time.Millisecond) {
		if !holds() {
			t.Fatalf("%s before %s were over: %s", time.Until(deadline).Round(time.Second), d, what)
		}
	}
}

// pause lets real time pass, for a server that has no other.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// ports are given out from here on. They are below those that the system gives to
// clients, and to whatever listens on any port.
var ports atomic.Int32

func init() { ports.Store(30_200 + rand.Int32N(2_000)) }

// freePort returns a port of the loopback interface that nothing listens on, and that
// no other test of this process was given.
func freePort(t *testing.T) int {
	t.Helper()
	for port := ports.Add(1); port < 32_768; port = ports.Add(1) {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return int(port)
		}
	}
	t.Fatal("no free port")
	return 0
}

// run runs a program to its end and returns what it printed.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, requireProgram(t, program), args...)
	var output, errs bytes.Buffer
	command.Stdout, command.Stderr = &output, &errs
	if err := command.Run(); err != nil {
		var status *exec.ExitError
		if errors.As(err, &status) {
			t.Fatalf("%s %q: %v\n%s%s", program, args, err, &output, &errs)
		}
		t.Fatal(err)
	}
	return output.String()
}
