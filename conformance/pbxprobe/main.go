package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // for options that name a zone, on machines without zones

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters" // registers every driver
	"github.com/pbxauth/pbx/internal/terminal"
)

// The exit statuses.
const (
	exitFine = iota
	exitFailed
	exitUse
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second one ends the process
	os.Exit(run(ctx, os.Args[1:], terminal.Password, os.LookupEnv, os.Stdout, os.Stderr, time.Now))
}

// run is main with its surroundings given. ask is called for the password if the
// environment has none.
func run(ctx context.Context, args []string, ask func(context.Context) (pbx.Secret, error), env func(string) (string, bool),
	stdout, stderr io.Writer, now func() time.Time) int {
	use, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return exitFine
	}
	var p *probe
	if err == nil {
		p, err = use.open(ctx, ask, env, now)
	}
	if err != nil {
		fmt.Fprintln(stderr, "pbxprobe:", err)
		return exitUse
	}
	p.out, p.aside, p.margin = stdout, stdout, strings.Repeat(" ", 36)
	if use.json {
		p.out, p.aside, p.margin = io.Discard, stderr, ""
	}
	p.run(ctx)
	if use.json {
		p.report.print(stdout)
	}
	if !p.report.OK {
		return exitFailed
	}
	return exitFine
}

// usage is what the command line says.
type usage struct {
	driver  string
	cfg     pbx.Config
	options []string
	memory  string
	json    bool
}

// parse reads the command line. Its errors are one line and quote no argument
// that stands alone: it may be a password.
func parse(args []string, stdout io.Writer) (*usage, error) {
	u := &usage{cfg: pbx.Config{Options: map[string]string{}}}
	flags := flag.NewFlagSet("pbxprobe", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&u.driver, "driver", "", "`name` of the PBX's driver")
	flags.StringVar(&u.cfg.URL, "url", "", "`address` of the PBX, as in https://pbx.example.com:8088")
	flags.StringVar(&u.cfg.Username, "user", "", "user `name` of its API account; the password is read from PBX_PASSWORD, or asked for")
	flags.Func("option", "an option of the driver, as `name=value`; may be repeated; secret ones are read from PBX_OPTION_NAME", func(s string) error {
		u.options = append(u.options, s)
		return nil
	})
	flags.StringVar(&u.cfg.TLS.CAFile, "tls-ca", "", "PEM `file` of the authorities to trust")
	flags.StringVar(&u.cfg.TLS.PinSHA256, "tls-pin", "", "`pin` of the PBX's self-signed certificate, as the error about it prints it")
	flags.BoolVar(&u.cfg.TLS.InsecureSkipVerify, "insecure-skip-verify", false, "accept any certificate, and so anyone on the path")
	flags.BoolVar(&u.cfg.AllowPlainHTTP, "allow-plain-http", false, "send the password over http, readable by anyone on the path")
	flags.StringVar(&u.memory, "memory", "", "`directory` to remember wrong logins in (else PBXPROBE_MEMORY, else the user's cache folder)")
	flags.BoolVar(&u.json, "json", false, "print one JSON object instead of lines")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(stdout, "pbxprobe checks a real PBX with one login. The password comes from PBX_PASSWORD, or is asked for.")
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w (see -help)", err)
	case flags.NArg() > 0:
		return nil, errors.New("all settings are flags, and an argument is none (see -help)")
	case u.driver == "" || u.cfg.URL == "":
		return nil, errors.New("-driver, -url and -user say which PBX to check (see -help)")
	}
	return u, nil
}

// open checks the settings and sends nothing.
func (u *usage) open(ctx context.Context, ask func(context.Context) (pbx.Secret, error), env func(string) (string, bool), now func() time.Time) (*probe, error) {
	start := time.Now()
	driver, _ := pbx.Lookup(u.driver) // Open tells which there are
	secrets, err := u.readOptions(driver, env)
	if err != nil {
		return nil, err
	}
	memory := memory{dir: u.memory, now: now}
	if memory.dir == "" {
		memory.dir, _ = env("PBXPROBE_MEMORY")
	}
	if memory.dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, errors.New("there is no cache folder to remember wrong logins in: name a directory with -memory")
		}
		memory.dir = filepath.Join(cache, "pbxprobe")
	}
	asked := time.Duration(0)
	if u.cfg.Username != "" && driver.Name != "" { // without a user, a key may do
		begin := time.Now()
		if u.cfg.Password, err = password(ctx, ask, env); err != nil {
			return nil, err
		}
		asked = time.Since(begin)
		secrets = append(secrets, u.cfg.Password)
	}
	auth, err := pbx.Open(u.driver, u.cfg)
	if err != nil {
		if flags := flagsFor(err.Error()); flags != "" {
			err = fmt.Errorf("%w (%s)", err, flags)
		}
		return nil, err
	}
	p := newProbe(u.driver, u.cfg, auth, memory, secrets)
	p.opened = time.Since(start) - asked
	return p, nil
}

// readOptions fills in the driver's options and returns the secret ones' values.
func (u *usage) readOptions(driver pbx.Driver, env func(string) (string, bool)) (secrets []pbx.Secret, err error) {
	hidden := map[string]string{} // the secret ones' variables
	for _, o := range driver.Options {
		if o.Kind == pbx.OptionSecret {
			hidden[o.Name] = "PBX_OPTION_" + strings.ToUpper(strings.ReplaceAll(o.Name, "-", "_"))
		}
	}
	for _, given := range u.options {
		name, value, ok := strings.Cut(given, "=")
		if !ok {
			return nil, errors.New("an -option is written as name=value")
		}
		if variable := hidden[name]; variable != "" {
			return nil, fmt.Errorf("the option %s is secret, and flags stand in process lists: set %s instead", name, variable)
		}
		u.cfg.Options[name] = value
	}
	for name, variable := range hidden {
		if value, ok := env(variable); ok {
			secret := pbx.NewSecret(value)
			if u.cfg.Secrets == nil {
				u.cfg.Secrets = map[string]pbx.Secret{}
			}
			u.cfg.Secrets[name] = secret
			secrets = append(secrets, secret)
		}
	}
	return secrets, nil
}

func password(ctx context.Context, ask func(context.Context) (pbx.Secret, error), env func(string) (string, bool)) (pbx.Secret, error) {
	if value, ok := env("PBX_PASSWORD"); ok {
		return pbx.NewSecret(value), nil
	}
	return ask(ctx)
}
