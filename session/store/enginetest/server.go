//go:build unix

package enginetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience is how long a server may take to start or stop.
const patience = 30 * time.Second

// Server is a process that a test starts, kills and starts again.
type Server struct {
	Port int

	command func() *exec.Cmd
	ready   func(ctx context.Context) error
	log     string

	mu     sync.Mutex
	cmd    *exec.Cmd     // nil: not running
	exited chan struct{} // closed when cmd has ended
}

// Addr is where the server listens.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

// Start starts the server and returns when it is ready.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd = s.command()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	s.exited = exited
	cmd := s.cmd
	go func() {
		cmd.Wait()
		close(exited)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := s.ready(ctx)
		if err == nil {
			return
		}
		select {
		case <-exited:
			said, _ := os.ReadFile(s.log)
			t.Fatalf("%s ends at once\n%s", s.cmd.Path, said)
		case <-ctx.Done():
			said, _ := os.ReadFile(s.log)
			t.Fatalf("%s does not start: %v\n%s", s.cmd.Path, err, said)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Kill ends the server at once, as kill -9 does. A server that has ended is left
// alone.
func (s *Server) Kill(testing.TB) { s.end(syscall.SIGKILL) }

func (s *Server) end(with syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(with)
	<-s.exited
	s.cmd = nil
}

// Pause stops the server's process, so that it accepts connections and does not
// respond. Resume lets it go on.
func (s *Server) Pause(t testing.TB)  { s.signal(t, syscall.SIGSTOP) }
func (s *Server) Resume(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Error(err)
	}
}

// program finds an executable in PATH or one of the other places.
func program(t testing.TB, name, pkg string, elsewhere ...string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, pattern := range elsewhere {
		if found, _ := filepath.Glob(filepath.Join(pattern, name)); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	t.Skipf("needs %s: apt-get install --no-install-recommends %s", name, pkg)
	return ""
}

// ports are given out from here on. They, and the ports 10,000 above that the nodes
// of a Redis Cluster also use, are below those that the system gives to clients.
var ports atomic.Int32

func init() { ports.Store(11000 + rand.Int32N(9000)) }

// freePort returns a port that nothing listens on, nor on the one 10,000 above.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := int(ports.Add(1))
		if isFree(port) && isFree(port+10000) {
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}
