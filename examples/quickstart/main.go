// Command quickstart shows the library do its whole job.
//
//	go run ./examples/quickstart
//
// starts a simulated PBX of every brand on loopback, with tokens that live for
// three seconds, and drives each through its driver: it logs in, makes a call,
// stays logged in past the token's life, survives a restart of the PBX, shows
// that a wrong password is sent once however many ask, and logs out. It ends
// with status 1 if anything differs from what the library promises.
//
//	go run ./examples/quickstart -driver yeastar -url https://pbx.example.com:8088 -user api
//
// does the same with a real PBX, less the harm: one login, one call where the
// driver has a harmless one, one keep-alive, one logout. The password comes from
// the environment variable PBX_PASSWORD, or is asked for.
//
//	go run ./examples/quickstart -list
//
// prints the drivers and their options.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"
	_ "time/tzdata" // for options that name a zone, on machines without zones

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters" // registers every driver
	"github.com/pbxauth/pbx/internal/terminal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, askPassword))
}

// run is main with its surroundings given. It returns the exit status: 0 fine,
// 1 something differs, 2 wrong use.
func run(ctx context.Context, args []string, out, errs io.Writer, password func(context.Context) (pbx.Secret, error)) int {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(errs)
	list := flags.Bool("list", false, "print the drivers and their options")
	driver := flags.String("driver", "", "driver of a real PBX; without it, simulated ones are used")
	cfg := pbx.Config{Options: map[string]string{}}
	flags.StringVar(&cfg.URL, "url", "", "address of the real PBX, as in https://pbx.example.com:8088")
	flags.StringVar(&cfg.Username, "user", "", "user name of its API account; the password is read from PBX_PASSWORD, or asked for")
	flags.StringVar(&cfg.TLS.PinSHA256, "tls-pin", "", "pin of the PBX's self-signed certificate, as the error about it prints it")
	flags.BoolVar(&cfg.AllowPlainHTTP, "allow-plain-http", false, "send the password over http")
	flags.Func("option", "an option of the driver, as name=value; may be repeated", func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("write it as name=value")
		}
		cfg.Options[name] = value
		return nil
	})
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	switch {
	case flags.NArg() > 0:
		fmt.Fprintf(errs, "quickstart: %q is not understood: all settings are flags, see -help\n", flags.Arg(0))
		return 2
	case *list:
		printDrivers(out)
		return 0
	case *driver == "" && flags.NFlag() > 0:
		fmt.Fprintln(errs, "quickstart: a real PBX needs -driver, -url and -user; see -list for the drivers")
		return 2
	case *driver == "":
		return simulated(ctx, out)
	}
	if d, ok := pbx.Lookup(*driver); ok {
		for _, o := range d.Options {
			if _, given := cfg.Options[o.Name]; given && o.Kind == pbx.OptionSecret {
				fmt.Fprintf(errs, "quickstart: the option %s is secret, and flags stand in process lists: use conformance/pbxprobe, which reads it from the environment\n", o.Name)
				return 2
			}
		}
	}
	secret, err := password(ctx)
	if err != nil {
		fmt.Fprintln(errs, "quickstart:", err)
		return 2
	}
	cfg.Password = secret
	return tourReal(ctx, out, errs, *driver, cfg)
}

// askPassword takes the password from the environment, or from the terminal.
// There is no flag for it: flags stand in process lists.
func askPassword(ctx context.Context) (pbx.Secret, error) {
	if value, ok := os.LookupEnv("PBX_PASSWORD"); ok {
		return pbx.NewSecret(value), nil
	}
	return terminal.Password(ctx)
}

func printDrivers(out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer table.Flush()
	for _, d := range pbx.Drivers() {
		fmt.Fprintf(table, "%s\t%s\n", d.Name, d.Title)
		for _, o := range d.Options {
			kind := string(o.Kind)
			if len(o.Choices) > 0 {
				kind = strings.Join(values(o.Choices), "|")
			}
			var notes []string
			if o.Required {
				notes = append(notes, "required")
			}
			if o.Kind == pbx.OptionSecret {
				notes = append(notes, "secret")
			}
			if o.Default != "" {
				notes = append(notes, "default "+o.Default)
			}
			fmt.Fprintf(table, "  %s\t%s\t%s\t%s\n", o.Name, kind, strings.Join(notes, ", "), o.Help)
		}
	}
}

func values(choices []pbx.Choice) (all []string) {
	for _, c := range choices {
		all = append(all, c.Value)
	}
	return all
}
