//go:build unix

package enginetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Postgres is a PostgreSQL server with a database "postgres" whose owner is
// "postgres".
type Postgres struct {
	Server
	Password string

	data string
}

// StartPostgres starts a server with these settings besides its own, for example
// "fsync=on". PostgreSQL does not run as root, so root starts it as the user
// postgres, which its package makes.
func StartPostgres(t testing.TB, settings ...string) *Postgres {
	t.Helper()
	const installed = "/usr/lib/postgresql/*/bin"
	initdb := program(t, "initdb", "postgresql", installed)
	server := program(t, "postgres", "postgresql", installed)

	// The user postgres cannot enter a test's own directory.
	dir, err := os.MkdirTemp("", "enginetest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var as *syscall.SysProcAttr
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Skip("needs the user postgres, because PostgreSQL does not run as root: apt-get install --no-install-recommends postgresql")
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	run := func(path string, args ...string) *exec.Cmd {
		cmd := exec.Command(path, args...)
		cmd.Dir, cmd.SysProcAttr = dir, as
		return cmd
	}

	p := &Postgres{Server: Server{Port: freePort(t), log: filepath.Join(t.TempDir(), "log")}, Password: "canary-postgres"}
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(p.Password), 0o644); err != nil {
		t.Fatal(err)
	}
	p.data = filepath.Join(dir, "data")
	if out, err := run(initdb, "-D", p.data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", secret, "-N", "-E", "UTF8", "--no-locale").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	p.command = func() *exec.Cmd {
		args := []string{"-D", p.data, "-p", strconv.Itoa(p.Port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="}
		for _, setting := range settings {
			args = append(args, "-c", setting)
		}
		return run(server, args...)
	}
	p.ready = func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, p.URL())
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	}
	t.Cleanup(func() { p.end(syscall.SIGQUIT) })
	p.Start(t)
	return p
}

// Kill ends the server at once and all its processes with it. It writes nothing
// more, and recovers when it starts again, as after a crash.
func (p *Postgres) Kill(testing.TB) { p.end(syscall.SIGQUIT) }

// URL is the server's.
func (p *Postgres) URL() string { return p.URLAt(p.Addr()) }

// URLAt is the server's behind a proxy.
func (p *Postgres) URLAt(addr string) string {
	return fmt.Sprintf("postgres://postgres:%s@%s/postgres?sslmode=disable", p.Password, addr)
}

// BecomeStandby restarts the server as a read-only standby of its own data.
func (p *Postgres) BecomeStandby(t testing.TB) {
	t.Helper()
	p.end(syscall.SIGINT) // writes all, so that there is nothing to recover
	if err := os.WriteFile(filepath.Join(p.data, "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p.Start(t)
}
