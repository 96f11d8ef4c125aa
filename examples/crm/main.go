// Command crm is the telephony settings page of a CRM that supports the PBXs of
// many brands.
//
//	go run .
//
// starts simulated PBXs on loopback addresses, and the page at
// http://127.0.0.1:8080. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// settingsOfProcess are the flags.
type settingsOfProcess struct {
	addr     string
	host     string // under which other machines reach the page
	database string
	simulate bool
	store    string // a directory; empty: the budget of wrong logins is this process's alone
	process  string
}

// run is main with its surroundings given. It returns the exit status: 0 fine, 1
// something failed, 2 wrong use.
func run(ctx context.Context, args []string, env func(string) string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("crm", flag.ContinueOnError)
	flags.SetOutput(errs)
	var o settingsOfProcess
	var shared string
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "address of the page")
	flags.StringVar(&o.host, "host", "", "host name under which other machines reach the page; needed for an -addr beyond this machine. The page has no login of its own: anyone who reaches it can change the settings")
	flags.StringVar(&o.database, "db", "", "settings file; without it the settings are gone when the program ends. Needs the environment variable "+keyVariable)
	flags.BoolVar(&o.simulate, "simulate", true, "start simulated PBXs, and fill empty settings with them")
	flags.StringVar(&shared, "store", "", "files:DIR shares the wrong logins and locks of each PBX host with every process that uses the same directory, and keeps them over restarts")
	flags.StringVar(&o.process, "process", "", "name of this process among several, as in A")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	wrong := func(format string, args ...any) int {
		fmt.Fprintf(errs, "crm: "+format+"\n", args...)
		return 2
	}
	if flags.NArg() > 0 {
		return wrong("%q is not understood: all settings are flags, see -help", flags.Arg(0))
	}
	host, _, err := net.SplitHostPort(o.addr)
	if err != nil {
		return wrong("-addr %q is not an address: write it as 127.0.0.1:8080", o.addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) && o.host == "" {
		return wrong("-addr %s can be reached from other machines, and the page has no login of its own: anyone could change the settings; if something in front of it checks who comes, add -host with the name that they use", o.addr)
	}
	if shared != "" {
		dir, ok := strings.CutPrefix(shared, "files:")
		if !ok || dir == "" {
			return wrong("-store %q is not a store: write it as files:DIR, with a directory that is its owner's alone (mkdir -m 700 DIR)", shared)
		}
		o.store = dir
	}
	key := newKey()
	if text := env(keyVariable); text != "" {
		if key, err = readKey(text); err != nil {
			return wrong("%v", err)
		}
	} else if o.database != "" {
		return wrong("-db needs a key: set %s to 32 random bytes in base64, as `openssl rand -base64 32` prints them, and keep it", keyVariable)
	}
	l, err := net.Listen("tcp", o.addr)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			fmt.Fprintf(errs, "crm: another program listens on %s: end it, or choose another port with -addr\n", o.addr)
		} else {
			fmt.Fprintln(errs, "crm:", err)
		}
		return 1
	}
	defer l.Close()
	var sims *simulated
	if o.simulate {
		sims = newSimulated("127.0.0.11", key)
	}
	p, err := open(o, key, sims, out)
	if err == nil {
		err = p.serve(ctx, l)
	}
	if err != nil {
		fmt.Fprintln(errs, "crm:", err)
		return 1
	}
	return 0
}

// goodbye is how long the sessions have to log out at the end.
const goodbye = 5 * time.Second

// program is a settings page with all that it needs.
type program struct {
	app    *app
	server *server
	sims   *simulated
	out    io.Writer

	endStreams context.CancelFunc
}

// open opens the settings and connects the PBXs. sims may be nil.
func open(o settingsOfProcess, key masterKey, sims *simulated, out io.Writer) (*program, error) {
	guard, err := guardOf(o.store)
	if err != nil {
		return nil, err
	}
	db, err := openDatabase(o.database, key)
	if err != nil {
		return nil, err
	}
	var demo []Settings
	if o.simulate {
		if demo, err = startCustomers(sims); err != nil {
			return nil, errors.Join(err, db.close())
		}
	}
	a, err := newApp(context.Background(), db, guard, sims)
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	if len(a.ids()) == 0 {
		if err := a.fill(context.Background(), demo); err != nil {
			return nil, errors.Join(err, a.close(context.Background()))
		}
	}
	streams, endStreams := context.WithCancel(context.Background())
	s, err := newServer(a, key, streams.Done())
	if err != nil {
		endStreams()
		return nil, errors.Join(err, a.close(context.Background()))
	}
	s.process, s.shares = o.process, o.store != ""
	s.print = func(line string) { fmt.Fprintln(out, line) }
	s.host = o.host
	if o.database == "" {
		s.demo = "Demo: settings and their key are gone when this program ends"
	}
	return &program{a, s, sims, out, endStreams}, nil
}

// guardOf returns the budget of wrong logins: shared in a directory, or this
// process's own.
func guardOf(dir string) (*session.Guard, error) {
	if dir == "" {
		return &session.Guard{}, nil
	}
	files, err := store.Files(dir)
	if err != nil {
		return nil, fmt.Errorf("-store: %w", err)
	}
	return session.NewGuard(files)
}

// serve shows the page on l until ctx ends, and logs all sessions out.
func (p *program) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: p.server.handler(), ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	fmt.Fprintf(p.out, "open http://%s\n", l.Addr())
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	p.endStreams()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	err = ignoreClosed(err)
	hurry, hurryUp := context.WithTimeout(last, time.Second) // browsers open connections that they never use
	defer hurryUp()
	if server.Shutdown(hurry) != nil {
		server.Close()
	}
	if closeErr := p.app.close(last); closeErr != nil {
		fmt.Fprintln(p.out, "some sessions were not logged out:", closeErr)
	}
	if p.sims != nil {
		p.sims.close()
	}
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
