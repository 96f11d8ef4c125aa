package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	_ "time/tzdata" // for options that name a zone, on machines without zones

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters" // registers every driver
	"github.com/pbxauth/pbx/conformance/probe"
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
	os.Exit(run(ctx, os.Args[1:], standard(), os.LookupEnv, os.Stdout, os.Stderr))
}

// console is where people type.
type console interface {
	// Password asks for a password, without echo.
	Password(ctx context.Context) (pbx.Secret, error)
	// Confirm asks a question and reports whether the reply is yes.
	Confirm(ctx context.Context, question string) (bool, error)
}

// run is main with its surroundings given.
func run(ctx context.Context, args []string, people console, env func(string) (string, bool),
	stdout, stderr io.Writer) int {
	use, err := parse(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitFine
	case err == nil && use.version:
		fmt.Fprintln(stdout, version())
		return exitFine
	case err == nil && use.list:
		list(stdout)
		return exitFine
	}
	var c *check
	if err == nil {
		c, err = use.open(ctx, people, env)
	}
	if err != nil {
		fmt.Fprintln(stderr, "pbxprobe:", err)
		return exitUse
	}
	c.out, c.aside, c.margin = stdout, stdout, strings.Repeat(" ", 39)
	if use.json {
		c.out, c.aside, c.margin = io.Discard, stderr, ""
	}
	report := c.run(ctx, probe.Within(c.ledger.guard))
	if use.force != "" {
		if report, err = c.forced(ctx, people, use.force, report); err != nil {
			fmt.Fprintln(stderr, "pbxprobe:", err)
		}
	}
	if use.json {
		encoder := json.NewEncoder(stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		encoder.Encode(report) // an error means that nobody reads
	}
	if !report.OK {
		return exitFailed
	}
	return exitFine
}

// usage is what the command line says.
type usage struct {
	driver  string
	cfg     pbx.Config
	options []string
	ledger  string
	force   string
	json    bool
	list    bool
	version bool
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
	flags.StringVar(&u.ledger, "ledger", "", "`directory` that remembers wrong logins, as package session/store has it; share it with programs that log in to the same PBX (else PBXPROBE_LEDGER, else one in the user's cache folder)")
	flags.StringVar(&u.force, "force", "", "log in although wrong logins are remembered, for this `reason`; asks on the terminal first")
	flags.BoolVar(&u.json, "json", false, "print one JSON object instead of lines")
	flags.BoolVar(&u.list, "list", false, "print the drivers and their options")
	flags.BoolVar(&u.version, "version", false, "print the version")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(stdout, "pbxprobe checks a real PBX with one login. The password comes from PBX_PASSWORD, or is asked for.")
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w (see -help)", err)
	case flags.NArg() > 0:
		return nil, errors.New("all settings are flags: remove the other arguments (see -help)")
	case u.list || u.version:
		return u, nil
	case u.driver == "" || u.cfg.URL == "":
		return nil, errors.New("-driver, -url and -user say which PBX to check (see -help)")
	}
	return u, nil
}

// open checks the settings and sends nothing.
func (u *usage) open(ctx context.Context, people console, env func(string) (string, bool)) (*check, error) {
	driver, _ := pbx.Lookup(u.driver) // Open says which there are
	if err := u.readOptions(driver, env); err != nil {
		return nil, err
	}
	dir := u.ledger
	if dir == "" {
		dir, _ = env("PBXPROBE_LEDGER")
	}
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, errors.New("there is no cache folder to remember wrong logins in: name a directory with -ledger")
		}
		dir = filepath.Join(cache, "pbxprobe", "ledger")
	}
	var err error
	if u.cfg.Username != "" && driver.Name != "" || driver.NoUsername && len(u.cfg.Secrets) == 0 { // else a key may do
		if u.cfg.Password, err = password(ctx, people, env); err != nil {
			return nil, err
		}
	}
	auth, err := pbx.Open(u.driver, u.cfg)
	if err != nil {
		err = forOperators(err)
		if flags := flagsFor(err); flags != "" {
			err = fmt.Errorf("%w (%s)", err, flags)
		}
		return nil, err
	}
	l, err := openLedger(dir)
	if err != nil {
		return nil, fmt.Errorf("wrong logins cannot be remembered: %w: name another directory with -ledger or PBXPROBE_LEDGER", err)
	}
	return newCheck(u.driver, u.cfg, auth, l), nil
}

// readOptions fills in the driver's options, the secret ones from the environment.
func (u *usage) readOptions(driver pbx.Driver, env func(string) (string, bool)) error {
	hidden := map[string]string{} // the secret ones' variables
	for _, o := range driver.Options {
		if o.Kind == pbx.OptionSecret {
			hidden[o.Name] = "PBX_OPTION_" + strings.ToUpper(strings.ReplaceAll(o.Name, "-", "_"))
		}
	}
	for _, given := range u.options {
		name, value, ok := strings.Cut(given, "=")
		if !ok {
			return errors.New("an -option is written as name=value")
		}
		if variable := hidden[name]; variable != "" {
			return fmt.Errorf("the option %s is secret, and flags show in process lists: set %s instead", name, variable)
		}
		u.cfg.Options[name] = value
	}
	for name, variable := range hidden {
		if value, ok := env(variable); ok {
			if u.cfg.Secrets == nil {
				u.cfg.Secrets = map[string]pbx.Secret{}
			}
			u.cfg.Secrets[name] = pbx.NewSecret(value)
		}
	}
	return nil
}

func password(ctx context.Context, people console, env func(string) (string, bool)) (pbx.Secret, error) {
	if value, ok := env("PBX_PASSWORD"); ok {
		return pbx.NewSecret(value), nil
	}
	return people.Password(ctx)
}
