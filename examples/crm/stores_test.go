package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// stores are what -store names in tests, by kind. Each makes a new one, or skips the
// test where its server is not installed.
var stores = []struct {
	kind string
	make func(t *testing.T) string
}{
	{"files", filesStore},
	{"Redis", redisStore},
	{"PostgreSQL", postgresStore},
}

func filesStore(t *testing.T) string {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return "files:" + dir
}

func redisStore(t *testing.T) string {
	addr := serve(t, nil, "redis-server", "--bind", "127.0.0.1", "--save", "", "--requirepass", planted, "--dir", t.TempDir(), "--port")
	return "redis://:" + planted + "@" + addr + "/0"
}

// postgresStore starts PostgreSQL as the user postgres if this is root, because it
// does not run as root.
func postgresStore(t *testing.T) string {
	dir, err := os.MkdirTemp("", "crm-postgres-") // the user postgres cannot enter a test's own directory
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var as *syscall.SysProcAttr
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Skip("there is no user postgres: apt-get install --no-install-recommends postgresql")
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	data := filepath.Join(dir, "data")
	init := exec.Command(installed(t, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-N", "--no-locale")
	init.Dir, init.SysProcAttr = dir, as
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	addr := serve(t, as, "postgres", "-D", data, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-p")
	url := "postgres://postgres:" + planted + "@" + addr + "/postgres"
	eventually(t, func() bool { // it listens before it is ready
		conn, err := pgx.Connect(t.Context(), url)
		if err == nil {
			conn.Close(t.Context())
		}
		return err == nil
	}, func() string { return "postgres does not get ready" })
	return url
}

// installed finds the program of a server.
func installed(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(found) > 0 {
		return found[len(found)-1]
	}
	t.Skipf("there is no %s: apt-get install --no-install-recommends redis-server postgresql", name)
	return ""
}

// serve starts a server whose last argument is its port, and ends it with the test.
func serve(t *testing.T, as *syscall.SysProcAttr, name string, args ...string) (addr string) {
	t.Helper()
	path := installed(t, name)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	l.Close()
	cmd := exec.Command(path, append(args, port)...)
	cmd.Dir, cmd.SysProcAttr = "/", as
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGQUIT) // PostgreSQL ends all its processes
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	eventually(t, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, func() string { return fmt.Sprintf("%s does not start", name) })
	return addr
}
