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
	store    string // as -store names it; empty: this process shares nothing
	process  string
}

// run is main with its surroundings given. It returns the exit status: 0 fine, 1
// something failed, 2 wrong use.
func run(ctx context.Context, args []string, env func(string) string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("crm", flag.ContinueOnError)
	flags.SetOutput(errs)
	var o settingsOfProcess
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "address of the page")
	flags.StringVar(&o.host, "host", "", "host name under which other machines reach the page; needed for an -addr beyond this machine. The page has no login of its own: anyone who reaches it can change the settings")
	flags.StringVar(&o.database, "db", "", "settings file; without it the settings are gone when the program ends. Needs the environment variable "+keyVariable)
	flags.BoolVar(&o.simulate, "simulate", true, "start simulated PBXs, and fill empty settings with them")
	flags.StringVar(&o.store, "store", "", "files:DIR, redis://… or postgres://… shares tokens, wrong logins and locks with every process that has the same store and key, and keeps them over restarts. A URL with a password belongs into the environment variable "+storeVariable+" instead")
	flags.StringVar(&o.process, "process", fmt.Sprintf("crm-%d", os.Getpid()), "name of this process among several, of a-z, 0-9 and ._-")
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
	if o.store == "" {
		o.store = env(storeVariable)
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
	if o.store != "" && storeKind(o.store) == "" {
		return wrong("-store is none of files:DIR, redis://host:port/0 and postgres://host:port/database: write one of them; a directory is its owner's alone (mkdir -m 700 DIR)")
	}
	if strings.Trim(o.process, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" || len(o.process) > 40 || o.process == "" {
		return wrong("-process %.60q is not a name: use up to 40 of a-z, 0-9 and ._-", o.process)
	}
	key := newKey()
	if text := env(keyVariable); text != "" {
		if key, err = readKey(text); err != nil {
			return wrong("%v", err)
		}
	} else if o.database != "" || o.store != "" {
		return wrong("-db and -store need a key: set %s to 32 random bytes in base64, as `openssl rand -base64 32` prints them, and keep it", keyVariable)
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
	db, err := openDatabase(o.database, key)
	if err != nil {
		return nil, err
	}
	with, err := share(context.Background(), o.store, o.process, key)
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	closeBoth := func() error { with.close(); return db.close() }
	var demo []Settings
	if o.simulate {
		if demo, err = startCustomers(sims); err != nil {
			return nil, errors.Join(err, closeBoth())
		}
	}
	a, err := newApp(context.Background(), db, with, sims)
	if err != nil {
		return nil, errors.Join(err, closeBoth())
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
	s.print = func(line string) { fmt.Fprintln(out, line) }
	s.host = o.host
	if o.database == "" {
		s.demo = "Demo: settings and their key are gone when this program ends"
	}
	return &program{a, s, sims, out, endStreams}, nil
}

// serve shows the page on l until ctx ends, and ends all sessions.
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
		fmt.Fprintln(p.out, "some sessions could not be logged out:", closeErr)
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
