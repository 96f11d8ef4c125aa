// Command pbxsim starts simulated PBXs on loopback, for tests in any language.
//
//	PBX_PASSWORD=secret go run ./conformance/pbxsim/cmd/pbxsim -driver yeastar -user api
//
// starts one, prints its address, and logs its requests without secrets. Without
// -driver it starts one of each kind. Each has a loopback address of its own, so
// that a wrong password at one brand does not lock the others. -config starts
// those that a JSON file describes.
//
// A small HTTP API on a port of its own makes them misbehave, and says what they
// have seen: see the README beside this file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.LookupEnv))
}

// run is main with its surroundings given. It returns the exit status: 0 when
// ctx has ended, 1 if a PBX cannot be started, 2 for wrong use.
func run(ctx context.Context, args []string, out, errs io.Writer, env func(string) (string, bool)) int {
	flags := flag.NewFlagSet("pbxsim", flag.ContinueOnError)
	flags.SetOutput(errs)
	list := flags.Bool("list", false, "print the kinds of PBX")
	config := flags.String("config", "", "JSON `file` that describes several PBXs; the flags for one are not used")
	control := flags.String("control", "127.0.0.1:0", "`address` of the control API")
	public := flags.Bool("public", false, "permit addresses that are not loopback: anyone who reaches them can use the simulators")
	var one description
	flags.StringVar(&one.Driver, "driver", "", "`name` of the driver that the PBX is for; empty: one of each kind")
	flags.StringVar(&one.Variant, "variant", "", "`name` of the variant, see -list")
	flags.StringVar(&one.Listen, "listen", "", "`address` of the PBX, as in 127.0.0.1:8088; empty: a loopback address of its own, port 8088 if it is free")
	flags.BoolVar(&one.TLS, "tls", false, "serve https with a new self-signed certificate, and print its pin")
	user := flags.String("user", "api", "user `name` of the account")
	passwordEnv := flags.String("password-env", "PBX_PASSWORD", "`variable` that holds the account's password; without it the password is \"secret\"")
	flags.DurationVar((*time.Duration)(&one.Lifetime), "lifetime", 0, "lifetime of tokens; 0: the brand's")
	flags.IntVar(&one.Lockout.After, "lock-after", 0, "wrong logins that lock; 0: the brand's, negative: never")
	flags.DurationVar((*time.Duration)(&one.Lockout.For), "lock-for", 0, "how long a lock lasts; 0: the brand's")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	fail := func(status int, err error) int {
		fmt.Fprintln(errs, "pbxsim:", err)
		return status
	}
	switch {
	case flags.NArg() > 0:
		return fail(2, fmt.Errorf("%q is not understood: all settings are flags, see -help", flags.Arg(0)))
	case *list:
		for _, s := range simulators.All() {
			fmt.Fprintln(out, strings.TrimSpace(s.Driver+" "+s.Variant))
		}
		return 0
	}
	password, ok := env(*passwordEnv)
	if !ok {
		password = "secret"
	}
	one.Accounts = map[string]string{*user: password}
	all := []description{one}
	switch {
	case *config != "":
		text, err := os.ReadFile(*config)
		if err != nil {
			return fail(2, err)
		}
		if all, err = parse(*config, text); err != nil {
			return fail(2, err)
		}
	case one.Driver == "":
		all = eachKind(one)
	}
	if err := check(all); err != nil {
		return fail(2, err)
	}
	return serve(ctx, all, *control, *public, out, errs)
}

// eachKind describes one PBX of each kind with the settings of common.
func eachKind(common description) []description {
	var all []description
	for _, s := range simulators.All() {
		d := common
		d.Driver, d.Variant, d.Listen = s.Driver, s.Variant, ""
		all = append(all, d)
	}
	return all
}

// A running PBX, with what the control API calls it.
type running struct {
	name   string
	sim    *pbxsim.PBX
	server *pbxsim.Server
}

func serve(ctx context.Context, all []description, control string, public bool, out, errs io.Writer) int {
	fail := func(err error) int {
		fmt.Fprintln(errs, "pbxsim:", err)
		return 1
	}
	if err := permitted(control, public); err != nil {
		return fail(err)
	}
	log := &requestLog{out: out}
	var pbxs []running
	defer func() {
		for _, p := range pbxs {
			p.server.Close()
		}
	}()
	shared := false
	for i, d := range all {
		address := d.Listen
		if address == "" {
			address = ownAddress(i)
			shared = shared || strings.HasPrefix(address, "127.0.0.1:")
		}
		if err := permitted(address, public); err != nil {
			return fail(err)
		}
		sim := d.start()
		server, err := pbxsim.ListenAt(sim, address, d.TLS)
		if host, _, _ := net.SplitHostPort(address); err != nil && d.Listen == "" { // the port is taken
			server, err = pbxsim.ListenAt(sim, net.JoinHostPort(host, "0"), d.TLS)
		}
		if err != nil {
			return fail(fmt.Errorf("%s: %w: choose another address with -listen", d.Name, err))
		}
		pbxs = append(pbxs, running{d.Name, sim, server})
		pin := ""
		if cert := server.Certificate(); cert != nil {
			pin = "  pin " + pbx.Pin(cert)
		}
		fmt.Fprintf(out, "%-18s %s%s\n", d.Name, server.URL, pin)
	}
	if shared && len(all) > 1 {
		fmt.Fprintln(out, "This machine has no 127.0.0.2: all PBXs are at 127.0.0.1, so clients count their wrong logins together.")
	}
	api, err := newControl(control, pbxs)
	if err != nil {
		return fail(fmt.Errorf("control API: %w: choose another address with -control", err))
	}
	defer api.close()
	fmt.Fprintf(out, "%-18s %s\n", "control API", api.url)

	log.follow(ctx, pbxs)
	return 0
}

// ownAddress is a loopback address that no other PBX of the program has, if
// this machine has more than one.
func ownAddress(i int) string {
	address := "127.0.0." + strconv.Itoa(2+i)
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		return "127.0.0.1:0"
	}
	l.Close()
	return address + ":8088"
}

// permitted refuses addresses that others can reach.
func permitted(address string, public bool) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("the address %q is not like 127.0.0.1:8088", address)
	}
	if ip := net.ParseIP(host); !public && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("the address %s can be reached from outside: use one of 127.0.0.0/8, or permit it with -public", address)
	}
	return nil
}

// requestLog prints what the PBXs have seen: no path, because a path can hold a
// token, and no header or body.
type requestLog struct {
	mu  sync.Mutex // guards out
	out io.Writer
}

// follow prints until ctx ends.
func (l *requestLog) follow(ctx context.Context, pbxs []running) {
	printed := make([]int, len(pbxs))
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		for i, p := range pbxs {
			total := p.sim.Counts().Requests
			if total == printed[i] {
				continue
			}
			records := p.sim.Log()
			fresh := min(total-printed[i], len(records))
			for _, r := range records[len(records)-fresh:] {
				l.print(p.name, r)
			}
			printed[i] += fresh
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (l *requestLog) print(name string, r pbxsim.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	status := strconv.Itoa(r.Status)
	if r.Status == 0 {
		status = "no response"
	}
	fmt.Fprintf(l.out, "%s  %-18s %-9s from %s  %s  %v\n", r.At.Format(time.TimeOnly), name, r.Action, r.From, status, r.Verdict)
}
